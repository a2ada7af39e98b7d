//! What each client did, by the name that it gives itself: at most 64 names, and `other` for everyone beyond (`events::clients`).

use std::collections::BTreeMap;
use std::fmt::Error;

use exai_actors::events::ClientTotals;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::labels::{Labels, Value};
use super::{NO_EXEMPLAR, approximate, gauge, millis};

/// What a family tells of a client.
type Told = fn(&ClientTotals) -> u64;

/// Every family of them.
pub(super) fn encode(
    out: &mut DescriptorEncoder<'_>,
    clients: &BTreeMap<String, ClientTotals>,
) -> Result<(), Error> {
    let help = "Messages from (in) and to (out) each client, since it gave its name";
    let mut messages = out.encode_descriptor("exai_client_messages", help, None, MetricType::Counter)?;
    for (name, client) in clients {
        for (direction, n) in [("in", client.messages_in), ("out", client.messages_out)] {
            let labels: Labels<'_> = vec![("client", Value(name)), ("direction", Value(direction))];
            messages.encode_family(&labels)?.encode_counter(&n, NO_EXEMPLAR)?;
        }
    }
    let counters: [(&str, &str, Told); 4] = [
        ("exai_client_errors", "Requests that were answered with an error", |client| client.errors),
        ("exai_client_sessions", "Connections ever", |client| client.sessions),
        ("exai_client_reconnections", "Connections within a minute after one ended", |client| {
            client.reconnections
        }),
        ("exai_client_deduplicated_calls", "Calls answered by another call", |client| client.deduplicated),
    ];
    for (family, help, value) in counters {
        let mut family = out.encode_descriptor(family, help, None, MetricType::Counter)?;
        for (name, client) in clients {
            family.encode_family(&labels(name))?.encode_counter(&value(client), NO_EXEMPLAR)?;
        }
    }
    let help = "How long connections have lasted together";
    let mut lasted =
        out.encode_descriptor("exai_client_connected", help, Some(&Unit::Seconds), MetricType::Counter)?;
    for (name, client) in clients {
        let seconds = approximate(client.connected_ms) / 1000.0;
        lasted.encode_family(&labels(name))?.encode_counter(&seconds, NO_EXEMPLAR)?;
    }
    let all = |value: fn(&ClientTotals) -> f64| {
        clients.iter().map(|(name, client)| (labels(name), value(client))).collect::<Vec<_>>()
    };
    let now = all(|client| approximate(client.connected));
    gauge(out, "exai_client_connections", "Connections now", None, now)?;
    let help = "When it last did anything, since 1970";
    let last = all(|client| millis(client.last_activity) / 1000.0);
    gauge(out, "exai_client_last_activity", help, Some(&Unit::Seconds), last)
}

fn labels(name: &str) -> Labels<'_> {
    vec![("client", Value(name))]
}
