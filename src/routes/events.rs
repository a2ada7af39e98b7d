//! The connection monitor over HTTP: what happened on connections lately, page by page, from memory.

use actix_web::{HttpRequest, HttpResponse, web};
use exai_actors::clock::UtcMillis;
use exai_actors::events::{self, Kind, PAGE_MAX, Query, Since};
use exai_actors::ids::ProviderName;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::routes::Door;
use crate::routes::answer::refused;
use crate::security::{Refusal, Scope};

/// Events of a page where the request does not say.
const LIMIT: usize = 200;

/// The parameters as they are written, so that each bad one is named.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    kind: Option<String>,
    since: Option<String>,
    limit: Option<String>,
}

/// `GET /api/events?kind=&since=&limit=`: the events from `since` on (a sequence number, or a time), oldest first, with the `next`
/// sequence; `lost` says how many that mattered never got into the table.
pub(super) async fn list(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    let parameters = match web::Query::<Parameters>::from_query(request.query_string()) {
        Ok(parameters) => parameters.into_inner(),
        Err(_) => {
            return Ok(refused("The parameters are kind, since and limit, each at most once.".to_owned()));
        }
    };
    let known =
        |kind: &str| Kind::FIXED.contains(&kind) || door.supervisors.contains_key(&ProviderName::from(kind));
    match query(&parameters, known) {
        Ok(query) => {
            let page = events::read(&query);
            let body = json!({
                "events": page.events, "next": page.next, "missed": page.missed, "lost": events::lost(),
            });
            Ok(HttpResponse::Ok().json(body))
        }
        Err(sentence) => Ok(refused(sentence)),
    }
}

fn query(parameters: &Parameters, known: impl Fn(&str) -> bool) -> Result<Query<'_>, String> {
    let Parameters { kind, since, limit } = parameters;
    if kind.as_deref().is_some_and(|kind| !known(kind)) {
        return Err(format!("kind is one of {}, or the name of a provider in use.", Kind::FIXED.join(", ")));
    }
    let since = match since.as_deref() {
        None => Since::Sequence(0),
        Some(text) => since_of(text).ok_or(
            "since is a sequence number, the `next` of an earlier answer, or a time such as 2026-11-24T12:00:00Z.",
        )?,
    };
    let limit = match limit.as_deref() {
        None => LIMIT,
        Some(text) => (text.parse::<usize>().ok())
            .filter(|limit| (1..=PAGE_MAX).contains(limit))
            .ok_or(format!("limit is a whole number from 1 to {PAGE_MAX}."))?,
    };
    Ok(Query { kind: kind.as_deref(), since, limit })
}

/// A sequence number, or a time as in RFC 3339.
fn since_of(text: &str) -> Option<Since> {
    if let Ok(seq) = text.parse() {
        return Some(Since::Sequence(seq));
    }
    let time = text.parse::<Timestamp>().ok()?;
    Some(Since::Time(UtcMillis(time.as_millisecond())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query_string: &str) -> Result<(Option<String>, Since, usize), String> {
        let parameters =
            web::Query::<Parameters>::from_query(query_string).map_err(|error| error.to_string())?;
        let query = query(&parameters, |kind| kind == "kimi" || Kind::FIXED.contains(&kind))?;
        Ok((query.kind.map(str::to_owned), query.since, query.limit))
    }

    #[test]
    fn parameters_are_what_they_say_or_are_refused_by_name() {
        assert_eq!(parsed(""), Ok((None, Since::Sequence(0), LIMIT)));
        let all = parsed("kind=kimi&since=17&limit=1000");
        assert_eq!(all, Ok((Some("kimi".to_owned()), Since::Sequence(17), 1000)));
        let time = parsed("since=1970-01-01T00:00:01.5Z").map(|(_, since, _)| since);
        assert_eq!(time, Ok(Since::Time(UtcMillis(1500))));
        for (text, named) in [
            ("kind=nothing", "kind"),
            ("kind=", "kind"),
            ("since=yesterday", "since"),
            ("since=-1", "since"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=all", "limit"),
            ("strange=1", "strange"),
        ] {
            let refused = parsed(text).err().unwrap_or_default();
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }
}
