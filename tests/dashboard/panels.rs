//! What each panel shows, against what `/metrics` and the journal have.

use serde_json::{Value, json};

use crate::numbers::Found;

/// Ends of calls that are no failure.
const FINE: [&str; 3] = ["completed", "cancelled", "replayed"];

/// The strip above all panels.
pub(crate) fn strip(found: &mut Found, page: &Value) {
    let strip = &page["strip"];
    let shown = |name: &str| strip[name][0].clone();
    let running = found.scraped("exai_permits_in_use", &["scope=\"global\""]);
    found.are("in flight", &shown("Calls in flight"), running, 0.0);
    let all = found.scraped("exai_calls_total", &[]);
    let refused = found.scraped("exai_calls_total", &["outcome=\"refused_"]);
    let fine = FINE.map(|end| found.scraped("exai_calls_total", &[&format!("outcome=\"{end}\"")]));
    let failed = all - fine.iter().sum::<f64>();
    let journal = found.journal.calls.len() as f64;
    found.is("all calls", &json!(all.to_string()), journal + refused);
    found.is("throughput", &shown("Throughput"), all / 60.0);
    found.is("errors", &shown("Errors, 5 min"), 100.0 * failed / all);
    let of_journal = found.journal.calls_in("failed") + refused;
    found.same(
        "errors in words",
        &strip["Errors, 5 min"][1],
        &format!("{of_journal} of {}", journal + refused),
    );
    for (name, quantile) in [("p50", "0.5"), ("p95", "0.95"), ("p99", "0.99")] {
        let labels = ["of=\"exai_call_seconds\"", &format!("quantile=\"{quantile}\"")];
        let seconds = found.scraped("exai_recent_seconds", &labels);
        found.is(name, &shown(name), seconds * 1000.0);
    }
    let (active, open) = (found.scraped("exai_sessions_active", &[]), found.journal.open);
    found.are("sessions", &shown("Sessions"), active, open);
    let (told, cost) = (found.scraped("exai_cost_usd_total", &[]), found.journal.cost());
    found.are("cost", &shown("Cost today"), told, cost);
}

/// A list such as `Requests ended: 2 500, 3 completed`, as pairs of words.
fn listed(shown: &Value) -> Vec<(String, String)> {
    let list = shown.as_str().unwrap_or_default().split_once(": ").map_or("", |(_, list)| list);
    let items = list.split(", ").filter_map(|item| item.split_once(' '));
    items.map(|(n, what)| (what.to_owned(), n.to_owned())).collect()
}

/// The cards of the providers.
pub(crate) fn providers(found: &mut Found, page: &Value) {
    for name in ["kimi", "glm"] {
        let (card, label) = (&page["providers"][name], format!("provider=\"{name}\""));
        let scope = format!("scope=\"provider:{name}\"");
        let permits = ["exai_permits_in_use", "exai_permits_limit"].map(|one| found.scraped(one, &[&scope]));
        found.same("permits", &card["Permits"], &format!("{} of {}", permits[0], permits[1]));
        found.is("upstream now", &card["Upstream now"], 0.0);
        let ended = listed(&card["ended"]);
        for (status, n) in &ended {
            let labels = [label.as_str(), &format!("status=\"{status}\"")];
            let wanted = found.scraped("exai_upstream_requests_total", &labels);
            found.is(&format!("{name} ended {status}"), &json!(n), wanted);
        }
        let sum = ended.iter().filter_map(|(_, n)| n.parse::<f64>().ok()).sum::<f64>();
        let all = found.scraped("exai_upstream_requests_total", &[&label]);
        let journal = found.journal.attempts.iter().filter(|attempt| attempt.0 == name).count();
        found.are(&format!("requests of {name}"), &json!(sum.to_string()), all, journal as f64);
        let failed = listed(&card["failed"]);
        for (kind, n) in &failed {
            let labels = [label.as_str(), &format!("outcome=\"{kind}\"")];
            let wanted = found.scraped("exai_calls_total", &labels);
            let of_kind = found.journal.calls.iter().filter(|call| call.2 == *kind).count();
            found.are(&format!("{name} failed by {kind}"), &json!(n), wanted, of_kind as f64);
        }
        let outcomes = found.scraped("exai_calls_total", &[&label]);
        let fine =
            FINE.map(|end| found.scraped("exai_calls_total", &[&label, &format!("outcome=\"{end}\"")]));
        let sum = failed.iter().filter_map(|(_, n)| n.parse::<f64>().ok()).sum::<f64>();
        found.is(
            &format!("failures of {name}"),
            &json!(sum.to_string()),
            outcomes - fine.iter().sum::<f64>(),
        );
        for (shown, field) in [("First token, p50", "first_token_ms"), ("Total, p50", "total_ms")] {
            let receipts =
                found.journal.calls.iter().map(|call| &call.3).filter(|one| one["provider"] == name);
            let mut times = receipts.filter_map(|one| one[field].as_f64()).collect::<Vec<_>>();
            times.sort_by(f64::total_cmp);
            let middle = times[times.len().div_ceil(2) - 1];
            found.is(&format!("{shown} of {name}"), &card[shown], middle);
        }
    }
}

/// The list of the parts.
pub(crate) fn health(found: &mut Found, page: &Value) {
    let shown = page["health"].as_array().into_iter().flatten();
    let shown = shown.map(|one| (one[1].as_str().unwrap_or_default().to_owned(), one[0].clone()));
    let shown = shown.collect::<std::collections::BTreeMap<_, _>>();
    let told = found.journal.health["components"].as_object().cloned().unwrap_or_default();
    found.is("parts", &json!(shown.len().to_string()), told.len() as f64);
    for (part, health) in &told {
        let status = health["status"].as_str().unwrap_or_default();
        found.same(part, shown.get(part).unwrap_or(&Value::Null), status);
    }
}

/// Every call, by its id.
pub(crate) fn calls(found: &mut Found, page: &Value) {
    let rows = page["tables"]["Calls"].as_array().cloned().unwrap_or_default();
    let (journal, refused) =
        (found.journal.calls.clone(), found.scraped("exai_calls_total", &["outcome=\"refused_"]));
    found.is("calls", &json!(rows.len().to_string()), journal.len() as f64 + refused);
    for (id, state, kind, receipt) in journal {
        let Some(row) = rows.iter().find(|row| row["id"] == id) else {
            found.amiss.push(format!("call {id} is not shown"));
            continue;
        };
        found.same("phase", &row["Phase"], if state == "completed" { &state } else { &kind });
        if state == "completed" {
            found.is("time", &row["Time"], receipt["total_ms"].as_f64().unwrap());
            found.is("tokens", &row["Tokens"], receipt["tokens"]["completion"].as_f64().unwrap());
            found.is("cost", &row["Cost"], receipt["cost_usd"].as_f64().unwrap());
            found.same("model", &row["Model"], receipt["model_asked"].as_str().unwrap());
        }
    }
}

/// Who is connected, and what each client has done.
pub(crate) fn sessions(found: &mut Found, page: &Value) {
    let rows = page["tables"]["Sessions"].as_array().cloned().unwrap_or_default();
    let (active, open) = (found.scraped("exai_sessions_active", &[]), found.journal.open);
    found.are("sessions", &json!(rows.len().to_string()), active, open);
    for (column, direction) in [("In", "in"), ("Out", "out")] {
        let shown = rows.iter().filter_map(|row| row[column].as_str()?.replace(',', "").parse::<f64>().ok());
        let label = format!("direction=\"{direction}\"");
        let wanted = found.scraped("exai_messages_total", &[&label]);
        found.is(&format!("messages {direction}"), &json!(shown.sum::<f64>().to_string()), wanted);
    }
    let clients = page["tables"]["Clients"].as_array().cloned().unwrap_or_default();
    found.is("clients", &json!(clients.len().to_string()), 4.0);
    for row in clients {
        let label = format!("client=\"{}\"", row["Client"].as_str().unwrap_or_default());
        for (column, family, more) in [
            ("Now", "exai_client_connections", ""),
            ("Ever", "exai_client_sessions_total", ""),
            ("Reconnections", "exai_client_reconnections_total", ""),
            ("In", "exai_client_messages_total", "direction=\"in\""),
            ("Out", "exai_client_messages_total", "direction=\"out\""),
            ("Errors", "exai_client_errors_total", ""),
            ("Deduplicated", "exai_client_deduplicated_calls_total", ""),
        ] {
            let wanted = found.scraped(family, &[&label, more]);
            found.is(&format!("{column} of {label}"), &row[column], wanted);
        }
    }
}

/// How large conversations are.
pub(crate) fn conversations(found: &mut Found, page: &Value) {
    let rows = page["tables"]["Conversations"].as_array().cloned().unwrap_or_default();
    let journal = found.journal.conversations.clone();
    found.is("conversations", &json!(rows.len().to_string()), journal.len() as f64);
    for (id, sizes) in journal {
        let row = rows.iter().find(|row| row["id"] == id).cloned().unwrap_or_default();
        for (column, wanted) in ["Turns", "Tokens", "Size"].into_iter().zip(sizes) {
            found.is(&format!("{column} of {id}"), &row[column], wanted);
        }
    }
}

/// Tokens and cost by model, and the charts of the last 15 minutes.
pub(crate) fn models(found: &mut Found, page: &Value) {
    let sums = by_model(found, page);
    let last = |chart: &str, n: usize| {
        let words = page["charts"][chart][n].as_str().and_then(|words| words.split_once(' '));
        json!(words.map_or("", |(_, number)| number))
    };
    found.is("prompts", &last("Tokens since the start", 0), sums[0]);
    found.is("answers", &last("Tokens since the start", 1), sums[1]);
    found.is("cost since the start", &last("Cost since the start", 0), sums[2]);
    let median = ["of=\"exai_call_seconds\"", "quantile=\"0.5\""];
    let median = found.scraped("exai_recent_seconds", &median);
    found.is("p50 of the chart", &last("Latency of the last 5 min", 0), median * 1000.0);
}

/// The table of tokens and cost; gives the sums of prompts, answers and cost.
fn by_model(found: &mut Found, page: &Value) -> [f64; 3] {
    let rows = page["tables"]["Tokens by model"].as_array().cloned().unwrap_or_default();
    found.is("models", &json!(rows.len().to_string()), 3.0);
    let mut sums = [0.0; 3];
    for row in rows {
        let (provider, model) = row["Model"].as_str().and_then(|key| key.split_once(':')).unwrap_or_default();
        let labels = [format!("provider=\"{provider}\""), format!("model=\"{model}\"")];
        let attempts = found.journal.attempts.iter().filter(|attempt| attempt.1 == model);
        let journal = attempts.fold([0.0; 3], |sum, (_, _, _, cost, [prompt, answer])| {
            [sum[0] + prompt, sum[1] + answer, sum[2] + cost]
        });
        for (n, (column, kind)) in [("Prompt", "prompt"), ("Answer", "completion")].into_iter().enumerate() {
            let kind = format!("kind=\"{kind}\"");
            let wanted = found.scraped("exai_tokens_total", &[&labels[0], &labels[1], &kind]);
            found.are(&format!("{column} of {model}"), &row[column], wanted, journal[n]);
            sums[n] += wanted;
        }
        for column in ["Cached", "Reasoning"] {
            let kind = format!("kind=\"{}\"", column.to_lowercase());
            let wanted = found.scraped("exai_tokens_total", &[&labels[0], &labels[1], &kind]);
            found.is(&format!("{column} of {model}"), &row[column], wanted);
        }
        let wanted = found.scraped("exai_cost_usd_total", &[&labels[0], &labels[1]]);
        found.are(&format!("cost of {model}"), &row["Cost"], wanted, journal[2]);
        sums[2] += wanted;
    }
    sums
}

/// The hour: tokens and cost by model, which are all there are, and the charts, whose last point is the newest minute of the database.
pub(crate) fn rollups(found: &mut Found, page: &Value) {
    by_model(found, page);
    for (chart, series, metric) in [
        ("Calls a window", "ended", "exai_calls_total"),
        ("Cost a window", "cost", "exai_cost_usd_total"),
        ("Latency of calls", "p50", "exai_call_seconds"),
        ("Memory", "p50", "exai_process_resident_memory_bytes"),
        ("Event-loop lag", "p50", "exai_event_loop_lag_seconds"),
    ] {
        let shown = page["charts"][chart][0].as_str().and_then(|words| words.split_once(' '));
        let (name, number) = shown.unwrap_or_default();
        found.same("series", &json!(name), series);
        let wanted = found.journal.newest.get(metric).copied().unwrap_or(-1.0);
        found.is(chart, &json!(number), wanted);
    }
}
