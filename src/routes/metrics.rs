//! `GET /metrics`: the sums as Prometheus and its kin read them (OpenMetrics 1.0, or the older text format for who asks for that). It
//! reads what is published and waits for no actor.

use std::collections::HashSet;

use actix_web::http::header::{Accept, Header};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::routes::Door;
use crate::security::{Refusal, Scope};

/// The media type of the OpenMetrics text format (OpenMetrics 1.0, "Protocol Negotiation").
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The media type of the format before it (Prometheus, "Exposition formats").
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(super) async fn scrape(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    let text = door.scrape.text();
    Ok(if wants_plain(&request) {
        HttpResponse::Ok().content_type(PLAIN).body(plain(&text))
    } else {
        HttpResponse::Ok().content_type(OPENMETRICS).body(text)
    })
}

/// Whether the older format comes first among those that both sides know.
fn wants_plain(request: &HttpRequest) -> bool {
    let wanted = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
    let known = wanted
        .iter()
        .map(|media| media.essence_str())
        .find(|media| [essence(OPENMETRICS), essence(PLAIN)].contains(media));
    known == Some(essence(PLAIN))
}

fn essence(media: &str) -> &str {
    media.split(';').next().unwrap_or(media)
}

/// The same in the older format: a counter's family is named as its samples are, and there are no units and no end.
fn plain(openmetrics: &str) -> String {
    let family = |line| str::strip_prefix(line, "# TYPE ")?.strip_suffix(" counter");
    let counters = openmetrics.lines().filter_map(family).collect::<HashSet<_>>();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(word), Some(name), Some(rest)) if counters.contains(name) => {
                text.extend(["# ", word, " ", name, "_total ", rest]);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_older_format_is_for_who_prefers_it() {
        let wants = |accept: &str| {
            wants_plain(&TestRequest::default().insert_header(("accept", accept)).to_http_request())
        };
        assert!(wants("text/plain;version=0.0.4"));
        assert!(wants("application/openmetrics-text;q=0.2,text/plain;q=0.5"));
        assert!(!wants("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"));
        assert!(!wants("*/*") && !wants_plain(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let openmetrics = "# HELP a_seconds How long.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
            a_seconds_total{b=\"# TYPE a_seconds gauge\"} 1.5\n# HELP c Now.\n# TYPE c gauge\nc 2\n# EOF\n";
        let expected = "# HELP a_seconds_total How long.\n# TYPE a_seconds_total counter\n\
            a_seconds_total{b=\"# TYPE a_seconds gauge\"} 1.5\n# HELP c Now.\n# TYPE c gauge\nc 2\n";
        assert_eq!(plain(openmetrics), expected);
    }
}
