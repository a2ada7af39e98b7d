//! What the handlers work with, and who may use them.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Addr;
use actix_web::HttpRequest;
use actix_web::http::Method;
use exai_actors::clock::{self, Instant};
use exai_actors::health::HealthBoard;
use exai_actors::ids::{Principal, ProviderName};
use exai_actors::models::CurrentCatalogue;
use exai_actors::provider_supervisor::ProviderSupervisor;

use super::assets::Folder;
use super::exposition::Scrape;
use crate::security::{Browsers, COOKIE, Gate, Pass, Refusal, Scope};
use crate::wiring::Reloader;

/// What our own pages send with whatever changes something: a foreign page cannot, without asking this server first.
const OUR_PAGE: &str = "x-exai-page";

/// What the handlers know.
#[derive(Clone)]
pub(crate) struct Door {
    /// Who may come in.
    pub(crate) gate: Gate,
    /// Reads the settings again.
    pub(crate) reloader: Option<Reloader>,
    /// How every part is.
    pub(crate) health: HealthBoard,
    /// When EXAI started.
    pub(crate) started: Instant,
    /// Who decides whether calls may go to each provider.
    pub(crate) supervisors: Arc<BTreeMap<ProviderName, Addr<ProviderSupervisor>>>,
    /// What `/metrics` tells.
    pub(crate) scrape: Scrape,
    /// Which models there are.
    pub(crate) catalogue: CurrentCatalogue,
    /// Who has logged in.
    pub(crate) browsers: Browsers,
    /// Where the pages are, when not in the binary.
    pub(crate) folder: Folder,
}

impl Door {
    /// Who sends this request, where it may do what `scope` opens: whoever has such a token, or a browser that logged in with one. A
    /// browser that wants something changed says so from a page of ours.
    pub(crate) fn check(&self, request: &HttpRequest, scope: Scope) -> Result<Principal, Refusal> {
        self.admit(request, scope).map(|pass| pass.principal)
    }

    /// The same, for a connection that lasts.
    pub(crate) fn admit(&self, request: &HttpRequest, scope: Scope) -> Result<Pass, Refusal> {
        if Gate::presents(request) {
            return self.gate.check(request, scope);
        }
        self.gate.outside(request)?;
        let sent_by_us = request.headers().contains_key(OUR_PAGE);
        let cookie = request.cookie(COOKIE);
        let login = cookie.and_then(|cookie| self.browsers.held(cookie.value(), clock::now()));
        let known = login.and_then(|login| Some((self.gate.by_digest(&login.token)?, login)));
        let Some((caller, login)) = known else {
            return Err(if sent_by_us { Refusal::Login } else { Refusal::Token });
        };
        let only_reads = [Method::GET, Method::HEAD].contains(request.method());
        let is_our_page = Gate::names_its_page(request) && sent_by_us;
        if !only_reads && !is_our_page {
            return Err(Refusal::Origin);
        }
        Ok(self.gate.pass(caller, login.token, scope)?.of_login(login))
    }
}
