//! The text of `/metrics`: every family of the contract with its type, unit and help, a family without a series too. It counts nothing.

mod clients;
mod labels;

use std::fmt::Error;
use std::sync::Arc;

use exai_actors::clock::UtcMillis;
use exai_actors::dispatcher::messages::Load;
use exai_actors::events;
use exai_actors::meter::{Counter, Distribution};
use exai_actors::metrics::messages::BreakerPosition;
use exai_actors::metrics::{Buckets, Snapshot};
use exai_actors::storage_writer::messages::WriterFacts;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

use super::process::Usage;
use labels::{Labels, Value};

/// Where what `/metrics` tells is published.
#[derive(Debug, Clone)]
pub(crate) struct Scrape {
    /// The sums.
    pub(crate) published: watch::Receiver<Arc<Snapshot>>,
    /// The permits.
    pub(crate) load: watch::Receiver<Load>,
    /// The writer's word.
    pub(crate) facts: watch::Receiver<WriterFacts>,
    /// This process in the journal.
    pub(crate) replica: String,
    /// This life of it in the rollups.
    pub(crate) life: String,
    /// Since when.
    pub(crate) started_at: UtcMillis,
}

impl Scrape {
    /// The text.
    pub(super) fn text(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        // Writing to a text fails only where a value cannot be written, and numbers can.
        if text::encode(&mut text, &registry).is_err() {
            log::error!("the metrics could not be put into words");
        }
        text
    }

    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self {
            published: watch::channel(Arc::default()).1,
            load: watch::channel(Load::default()).1,
            facts: watch::channel(WriterFacts::default()).1,
            replica: "r".to_owned(),
            life: "l".to_owned(),
            started_at: UtcMillis(1_500),
        }
    }
}

impl Collector for Scrape {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> Result<(), Error> {
        let sums = Arc::clone(&self.published.borrow());
        for counter in Counter::ALL {
            match counter {
                Counter::Cost => cost(&mut out, &sums)?,
                Counter::SessionsOpened | Counter::SessionsClosed => {}
                Counter::Calls
                | Counter::UpstreamRequests
                | Counter::Messages
                | Counter::Tokens
                | Counter::Retries
                | Counter::BreakerTransitions
                | Counter::CacheOperations
                | Counter::ActorRestarts
                | Counter::Dropped
                | Counter::Files => family(&mut out, &sums, counter)?,
            }
        }
        for distribution in Distribution::ALL {
            histogram(&mut out, &sums, distribution)?;
        }
        sessions(&mut out, &sums)?;
        clients::encode(&mut out, &events::clients())?;
        self.gauges(&mut out, &sums)?;
        self.process(&mut out)
    }
}

impl Scrape {
    fn gauges(&self, out: &mut DescriptorEncoder<'_>, sums: &Snapshot) -> Result<(), Error> {
        let Load { permits, .. } = self.load.borrow().clone();
        let scoped = |value: fn(&exai_actors::dispatcher::messages::PermitGauge) -> usize| {
            permits
                .iter()
                .map(move |gauge| (vec![("scope", Value(&gauge.scope))], number(value(gauge))))
                .collect()
        };
        gauge(out, "exai_permits_in_use", "Permits that calls hold", None, scoped(|gauge| gauge.in_use))?;
        gauge(out, "exai_permits_limit", "Permits that there are", None, scoped(|gauge| gauge.limit))?;
        let breakers = sums.breakers.iter().map(|((provider, model), at)| {
            (vec![("provider", Value(provider.as_str())), ("model", Value(model.as_str()))], position(*at))
        });
        let help =
            "Breakers that ever moved: 0 closed or disabled, 1 open, forced open or parked, 2 half-open";
        gauge(out, "exai_breaker_state", help, None, breakers.collect())?;
        let lags = sums.lags.iter().map(|(thread, lag)| (vec![("thread", Value(thread))], lag.as_secs_f64()));
        let help = "How late the last tick of each thread came";
        gauge(out, "exai_event_loop_lag", help, Some(&Unit::Seconds), lags.collect())?;
        let waits =
            sums.mailboxes.iter().map(|(actor, wait)| (vec![("actor", Value(actor))], wait.as_secs_f64()));
        let help = "How long a message waits for each actor, or has waited that is not handled: one is sent every second to find out";
        gauge(out, "exai_mailbox_wait", help, Some(&Unit::Seconds), waits.collect())?;
        recent(out, sums)?;
        let facts = *self.facts.borrow();
        gauge(
            out,
            "exai_spool_rows",
            "Outcomes that wait for the database",
            None,
            one(approximate(facts.spool_rows)),
        )?;
        gauge(
            out,
            "exai_storage_waiting_rows",
            "Records that wait for the next commit",
            None,
            one(number(facts.waiting)),
        )
    }

    fn process(&self, out: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let labels = vec![
            ("version", Value(env!("CARGO_PKG_VERSION"))),
            ("replica", Value(&self.replica)),
            ("life", Value(&self.life)),
        ];
        gauge(
            out,
            "exai_build_info",
            "What runs, and its names in the journal and the rollups",
            None,
            vec![(labels, 1.0)],
        )?;
        let since = one(millis(self.started_at) / 1000.0);
        gauge(
            out,
            "exai_process_start_time",
            "When the process started, since 1970",
            Some(&Unit::Seconds),
            since,
        )?;
        let Some(usage) = Usage::read() else { return Ok(()) };
        let help = "Processor time, user and system";
        let mut cpu =
            out.encode_descriptor("exai_process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        cpu.encode_counter(&usage.cpu_seconds, NO_EXEMPLAR)?;
        let resident = one(approximate(usage.resident_bytes));
        gauge(out, "exai_process_resident_memory", "Memory that is in RAM", Some(&Unit::Bytes), resident)?;
        gauge(out, "exai_process_open_fds", "Open file descriptors", None, one(approximate(usage.open_fds)))
    }
}

const NO_EXEMPLAR: Option<&Exemplar<Labels<'static>, f64>> = None;

fn family(out: &mut DescriptorEncoder<'_>, sums: &Snapshot, counter: Counter) -> Result<(), Error> {
    let mut family = out.encode_descriptor(counter.name(), counter.help(), None, MetricType::Counter)?;
    for (values, n) in sums.of(counter) {
        let labels: Labels<'_> =
            counter.labels().iter().copied().zip(values.iter().map(|value| Value(value))).collect();
        family.encode_family(&labels)?.encode_counter(&n, NO_EXEMPLAR)?;
    }
    Ok(())
}

fn cost(out: &mut DescriptorEncoder<'_>, sums: &Snapshot) -> Result<(), Error> {
    let counter = Counter::Cost;
    let mut family = out.encode_descriptor(counter.name(), counter.help(), None, MetricType::Counter)?;
    for (values, billionths) in sums.of(counter) {
        let labels: Labels<'_> =
            counter.labels().iter().copied().zip(values.iter().map(|value| Value(value))).collect();
        family.encode_family(&labels)?.encode_counter(&(approximate(billionths) / 1e9), NO_EXEMPLAR)?;
    }
    Ok(())
}

fn sessions(out: &mut DescriptorEncoder<'_>, sums: &Snapshot) -> Result<(), Error> {
    let closed = |transport: &str| {
        sums.of(Counter::SessionsClosed).find(|(labels, _)| &*labels[0] == transport).map_or(0, |(_, n)| n)
    };
    let active = sums.of(Counter::SessionsOpened).map(|(labels, opened)| {
        (vec![("transport", Value(&labels[0]))], approximate(opened.saturating_sub(closed(&labels[0]))))
    });
    gauge(out, "exai_sessions_active", "Clients connected now", None, active.collect())?;
    let total = sums.of(Counter::SessionsOpened).map(|(_, n)| n).sum::<u64>();
    let mut family =
        out.encode_descriptor("exai_sessions", "Clients that ever connected", None, MetricType::Counter)?;
    family.encode_counter(&total, NO_EXEMPLAR)
}

fn histogram(
    out: &mut DescriptorEncoder<'_>,
    sums: &Snapshot,
    distribution: Distribution,
) -> Result<(), Error> {
    let (name, unit) = match distribution.name().strip_suffix("_seconds") {
        Some(name) => (name, Some(Unit::Seconds)),
        None => (distribution.name(), None),
    };
    let nothing = Buckets::of(distribution);
    let values = sums.distributions.get(&distribution).unwrap_or(&nothing);
    let scaled = |value: u64| approximate(value) / distribution.steps();
    let mut buckets = values.buckets.iter().map(|(bound, n)| (scaled(*bound), *n)).collect::<Vec<_>>();
    let inside = values.buckets.iter().map(|(_, n)| n).sum::<u64>();
    buckets.push((f64::MAX, values.count - inside));
    let mut family =
        out.encode_descriptor(name, distribution.help(), unit.as_ref(), MetricType::Histogram)?;
    family.encode_histogram::<Labels<'_>>(scaled(values.sum), values.count, &buckets, None)
}

fn recent(out: &mut DescriptorEncoder<'_>, sums: &Snapshot) -> Result<(), Error> {
    let times = sums.recent.iter().filter(|(of, _)| of.name().ends_with("_seconds"));
    let series = times.flat_map(|(of, told)| {
        [("0.5", told.p50), ("0.95", told.p95), ("0.99", told.p99)].map(|(quantile, value)| {
            (vec![("of", Value(of.name())), ("quantile", Value(quantile))], approximate(value) / of.steps())
        })
    });
    let help = "Percentiles of the last five minutes, within 1 %, of the histogram that `of` names";
    gauge(out, "exai_recent", help, Some(&Unit::Seconds), series.collect())
}

fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    series: Vec<(Labels<'_>, f64)>,
) -> Result<(), Error> {
    let mut family = out.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (labels, value) in series {
        if labels.is_empty() {
            family.encode_gauge(&value)?;
        } else {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}

fn one<'a>(value: f64) -> Vec<(Labels<'a>, f64)> {
    vec![(Vec::new(), value)]
}

fn position(at: BreakerPosition) -> f64 {
    match at {
        BreakerPosition::Closed | BreakerPosition::Disabled => 0.0,
        BreakerPosition::Open | BreakerPosition::ForcedOpen | BreakerPosition::Parked => 1.0,
        BreakerPosition::HalfOpen => 2.0,
    }
}

fn number(n: usize) -> f64 {
    approximate(u64::try_from(n).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
fn approximate(n: u64) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "the format's numbers are floats")]
fn millis(at: UtcMillis) -> f64 {
    at.0 as f64
}
