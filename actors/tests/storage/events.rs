//! What happened on connections is kept, once, within bounds of age and number.

use exai_actors::clock::UtcMillis;
use exai_actors::ids::CallId;
use exai_actors::storage::rows::*;
use exai_actors::storage_writer::messages::{Record, Written};
use uuid::Uuid;

use crate::world::{Db, World};

fn event(at: i64, call: Option<CallId>) -> NewEvent {
    NewEvent {
        id: Uuid::now_v7(),
        at: UtcMillis(at),
        kind: "websocket".into(),
        direction: "close",
        peer: "192.0.2.1:4711 \0".into(),
        bytes: 7,
        ms: 8,
        outcome: "closed_1001".into(),
        call,
        sampled: 3,
    }
}

fn outdated(events: i64, events_kept_max: u32) -> Record {
    let never = UtcMillis(0);
    Record::Expired(Outdated {
        results: never,
        calls: never,
        conversations: never,
        sessions: never,
        metric_minutes: never,
        metric_hours: never,
        events: UtcMillis(events),
        events_kept_max,
        rows_max: 100,
    })
}

pub(crate) async fn events_are_kept_once_and_within_bounds(db: Db) {
    let world = World::new(db);
    let call = CallId::mint();
    let batch = (1..=251).map(|at| event(at, (at == 7).then_some(call))).collect::<Vec<_>>();
    world.done(Record::Events(batch.clone())).await;
    world.done(Record::Events(batch)).await;
    world.done(Record::Events(Vec::new())).await;
    for (sql, expected) in [
        ("SELECT count(*) AS n FROM events", 251),
        ("SELECT CAST(sum(sampled) AS BIGINT) AS n FROM events", 753),
        ("SELECT count(*) AS n FROM events WHERE call_id IS NULL", 250),
        ("SELECT count(*) AS n FROM events WHERE bytes = 7 AND ms = 8 AND direction = 'close'", 251),
    ] {
        assert_eq!(world.db.number(sql).await, expected, "{sql}");
    }
    let of_call = format!("SELECT at AS n FROM events WHERE call_id = '{call}'");
    assert_eq!(world.db.number(&of_call).await, 7);

    // By age: what happened before the eleventh moment.
    assert_eq!(world.write(outdated(11, 1000)).await, Ok(Written::Expired(10)));
    assert_eq!(world.db.number("SELECT min(at) AS n FROM events").await, 11);
    // By number: the newest stay, and one step takes no more than it may.
    for gone in [100, 100, 1, 0] {
        assert_eq!(world.write(outdated(0, 40)).await, Ok(Written::Expired(gone)));
    }
    for (sql, expected) in
        [("SELECT count(*) AS n FROM events", 40), ("SELECT min(at) AS n FROM events", 212)]
    {
        assert_eq!(world.db.number(sql).await, expected, "{sql}");
    }
}
