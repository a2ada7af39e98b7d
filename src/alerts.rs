//! Alerts: what an operator is to be woken for. They are decided in `rules` from the health board and the published sums, said in
//! the log, and sent to the webhook, each once when it begins and once when it is over. Nothing else sends alerts.

mod rules;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use exai_actors::clock::{Instant, Moment};
use exai_actors::health::{HealthBoard, Status};
use exai_actors::meter::Counter;
use exai_actors::metrics::Snapshot;
use exai_actors::metrics::messages::BreakerPosition;
use exai_actors::storage::Store;
use exai_actors::storage_writer::COMPONENT as STORAGE;
use exai_actors::storage_writer::messages::WriterFacts;
use tokio::sync::{mpsc, watch};

use crate::config;
use rules::{Notice, Rules, Seen, Spent};

/// How often the rules are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often the bill of the day is read, where there is a budget.
const BILL_EVERY: Duration = Duration::from_secs(10);
/// The outcomes of calls that failed through no fault of their callers. What a provider rejects (`upstream_rejected`) is what somebody
/// asked: one client's bad input wakes nobody.
const FAILED: [&str; 7] = [
    "upstream_error",
    "upstream_timeout",
    "rate_limited",
    "deadline_exceeded",
    "storage_unavailable",
    "internal",
    "unwritten",
];
/// Notices that may wait for the webhook. Where there is no room, the log alone has them.
const NOTICES_MAX: usize = 64;

/// Where what the rules look at is published.
pub(crate) struct Alerts {
    /// How every part is.
    pub(crate) board: HealthBoard,
    /// The sums.
    pub(crate) published: watch::Receiver<Arc<Snapshot>>,
    /// The writer's word.
    pub(crate) facts: watch::Receiver<WriterFacts>,
    /// The bill.
    pub(crate) store: Store,
    /// Where notices go beside the log, and what is worth one.
    pub(crate) settings: config::Alerts,
    /// Who tells.
    pub(crate) replica: String,
}

impl Alerts {
    /// Looks, for ever.
    pub(crate) async fn watch(self) {
        let outlet = self.settings.webhook_url.clone().map(|url| {
            let (outlet, notices) = mpsc::channel(NOTICES_MAX);
            actix_rt::spawn(webhook::send_all(url, self.replica.clone(), notices));
            outlet
        });
        let mut rules = Rules::new(self.settings.breaker_open);
        let mut bill = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let moment = Moment::read();
            self.read_bill(&mut bill, moment).await;
            for notice in rules.look(&self.seen(bill.and_then(|(_, spent)| spent)), moment) {
                say(&notice);
                if let Some(outlet) = &outlet
                    && outlet.try_send(notice).is_err()
                {
                    log::warn!("the webhook has too many notices waiting; this one stands in the log alone");
                }
            }
        }
    }

    /// Reads what the day has cost, where that is due. A database that is away leaves the bill as it was.
    async fn read_bill(&self, bill: &mut Option<(Instant, Option<Spent>)>, moment: Moment) {
        let Some(budget_usd) = self.settings.daily_budget_usd else { return };
        if bill.is_some_and(|(at, _)| moment.now.saturating_duration_since(at) < BILL_EVERY) {
            return;
        }
        let before = bill.and_then(|(_, spent)| spent);
        let read = self.store.cost_of_day(moment.utc).await;
        *bill = Some((moment.now, read.map_or(before, |today_usd| Some(Spent { today_usd, budget_usd }))));
    }

    fn seen(&self, spent: Option<Spent>) -> Seen {
        let sums = Arc::clone(&self.published.borrow());
        let shut = sums.breakers.iter().filter(|(_, position)| match position {
            BreakerPosition::Open
            | BreakerPosition::HalfOpen
            | BreakerPosition::ForcedOpen
            | BreakerPosition::Parked => true,
            BreakerPosition::Closed | BreakerPosition::Disabled => false,
        });
        let name = |(provider, model): &(String, String)| match model.as_str() {
            "" => provider.clone(),
            model => format!("{provider}/{model}"),
        };
        let (mut completed, mut failed) = (0, 0);
        for (labels, count) in sums.of(Counter::Calls) {
            match labels.last().map(|outcome| &**outcome) {
                Some("completed") => completed += count,
                Some(outcome) if FAILED.contains(&outcome) => failed += count,
                // Cancelled, refused, or the caller's own mistake.
                Some(_) | None => {}
            }
        }
        let status = |part: &str| self.board.get(part).map(|health| (health.status, health.detail));
        Seen {
            shut_breakers: shut.map(|(key, _)| name(key)).collect(),
            completed,
            failed,
            spent,
            spool_rows: self.facts.borrow().spool_rows,
            disk: status("disk").filter(|(status, _)| *status != Status::Ok).map(|(_, detail)| detail),
            storage: status(STORAGE).filter(|(status, _)| *status == Status::Down).map(|(_, detail)| detail),
        }
    }
}

fn say(notice: &Notice) {
    let Notice { alert, subject, is_over, detail, .. } = notice;
    if *is_over {
        log::info!(alert, subject = subject.as_str(); "alert is over");
    } else {
        log::error!(alert, subject = subject.as_str(); "alert: {detail}");
    }
}
