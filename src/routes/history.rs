//! What was: conversations, the metrics of the last minutes and days, and the configuration in force.

use actix_web::{Error, HttpRequest, HttpResponse, web};
use exai_actors::clock::{self, UtcMillis};
use exai_actors::storage::rows::history::Browse;
use serde::Deserialize;
use serde_json::json;

use crate::routes::answer::{found, read, refused};
use crate::routes::{Door, Panel};
use crate::security::{Refusal, Scope};
use crate::wiring::Reloader;

/// Rows of one page.
const PAGE: u16 = 50;
/// Characters of a search that count.
const SEARCH_CHARS_MAX: usize = 200;
/// What memory holds, in minutes.
const MEMORY_MINUTES: i64 = 15;
/// Beyond these minutes the hours serve.
const BY_MINUTE_MAX: i64 = 6 * 60;
/// 30 days.
const MINUTES_MAX: i64 = 30 * 24 * 60;

/// Which conversations.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    search: String,
    #[serde(default)]
    titles: bool,
    before: Option<i64>,
}

/// How far back.
#[derive(Debug, Deserialize)]
pub(super) struct Range {
    minutes: i64,
}

/// `GET /api/conversations?search=&before=`: those that spoke last, and their sizes. With `titles=true`, which are content: for whoever asks as
/// an admin, and noted.
pub(super) async fn conversations(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    search: Result<web::Query<Search>, Error>,
) -> Result<HttpResponse, Refusal> {
    let Ok(search) = search else {
        door.check(&request, Scope::Dashboard)?;
        return Ok(refused(
            "The parameters are search, titles (true or false) and before (a time in ms).".to_owned(),
        ));
    };
    let who = door.check(&request, if search.titles { Scope::Admin } else { Scope::Dashboard })?;
    if search.titles {
        panel.audit((&request, &who), "operator_reads_titles", "", None);
    }
    let words = search.search.trim().chars().take(SEARCH_CHARS_MAX).collect::<String>();
    let browse = Browse {
        search: (!words.is_empty()).then_some(words),
        titles: search.titles,
        before: search.before.map(UtcMillis),
        limit: PAGE,
    };
    Ok(read(panel.store.browse_conversations(browse).await))
}

/// `GET /api/history?minutes=`: samples of the last 15 minutes from memory; beyond, the rollups of minutes or hours.
pub(super) async fn metrics(
    request: HttpRequest,
    door: web::Data<Door>,
    panel: web::Data<Panel>,
    range: Result<web::Query<Range>, Error>,
) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    let Ok(range) = range else {
        return Ok(refused("The parameter is minutes: how far back, a whole number.".to_owned()));
    };
    let minutes = range.minutes.clamp(1, MINUTES_MAX);
    if minutes <= MEMORY_MINUTES {
        return Ok(found(&json!({ "samples": panel.watched.samples() })));
    }
    let since = UtcMillis(clock::utc_now().0 - minutes * 60_000);
    Ok(match panel.store.rollups(since, minutes > BY_MINUTE_MAX).await {
        Ok(rollups) => found(&json!({ "rollups": rollups })),
        Err(error) => read::<()>(Err(error)),
    })
}

/// `GET /api/config`: what is in force, secrets masked, and what the server is.
pub(super) async fn config(request: HttpRequest, door: web::Data<Door>) -> Result<HttpResponse, Refusal> {
    door.check(&request, Scope::Dashboard)?;
    Ok(found(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": clock::now().duration_since(door.started).as_secs(),
        "config": door.reloader.as_ref().map(Reloader::in_force),
    })))
}
