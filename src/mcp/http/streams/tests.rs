//! Which of a session's streams can be come back to.

use exai_actors::clock;
use futures_util::StreamExt;

use super::*;

/// A stream of an answer that a client has read whole.
async fn read(streams: &mut Streams, resumable: bool, now: Instant) -> u64 {
    let log = streams.open(now);
    log.finish("the answer", None, None);
    if resumable {
        log.events(0, true, ()).count().await;
    } else {
        log.clone().body("the answer".into(), ()).count().await;
    }
    streams.last
}

#[tokio::test]
async fn the_last_streams_that_were_read_can_be_resumed_for_a_while() {
    let mut streams = Streams::new(Kept::default());
    let mut read_ones = Vec::new();
    for _ in 0..READ_MAX + 2 {
        read_ones.push(read(&mut streams, true, clock::now()).await);
        // What went out as one body has no events to come back for, and costs the others no place.
        let body = read(&mut streams, false, clock::now()).await;
        streams.open(clock::now()).end();
        assert!(streams.get(body).is_none());
    }
    let kept = read_ones.iter().map(|id| streams.get(*id).is_some()).collect::<Vec<_>>();
    assert_eq!(kept, [vec![false; 2], vec![true; READ_MAX]].concat());
    streams.open(clock::now() + READ_KEPT_FOR + Duration::from_secs(1));
    assert!(read_ones.iter().all(|id| streams.get(*id).is_none()), "a minute is long enough");
    assert!(streams.get(GENERAL).is_some());
}
