//! What sessions and streams may be and keep, all together, from many threads at once.

use super::kept::Kept;
use super::sessions::{Session, Sessions};
use super::stream::{First, Log};
use super::streams::READ_KEPT_FOR;
use crate::mcp::monitor::Monitor;
use exai_actors::ids::Principal;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// More than one stream may keep beside its last message.
const LARGE_BYTES: usize = 900 * 1024;

#[test]
fn threads_that_open_sessions_at_once_never_exceed_the_cap() {
    let mut sessions = Sessions::new(100);
    sessions.sessions_max = 10;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let sessions = &sessions;
            scope.spawn(move || {
                for number in 0..200 {
                    let make = |kept| Session::new(Principal::from("tester"), Monitor::default(), None, kept);
                    if number % 2 == 0 {
                        sessions.open(&format!("{thread}-{number}"), &Principal::from("tester"), make);
                    } else {
                        sessions.visit(&(Principal::from("tester"), format!("{thread}-{number}")), make);
                    }
                    let known = sessions.known.lock();
                    assert!(known.by_key.len() + known.visitors.len() <= 10);
                }
            });
        }
    });
    let known = sessions.known.lock();
    assert_eq!(known.by_key.len() + known.visitors.len(), 10, "the idlest gave way, one for one");
}

#[tokio::test]
async fn streams_share_one_bound_and_the_last_message_always_stays() {
    let (kept, large) = (Kept::default(), "x".repeat(LARGE_BYTES));
    let streams = (0..80).map(|id| Log::new(id, kept.clone())).collect::<Vec<_>>();
    for stream in &streams {
        stream.push(&large);
    }
    assert!(kept.is_full(), "80 streams of 900 KiB are more than 64 MiB");
    let late = Log::new(100, kept.clone());
    late.push("a progress");
    late.finish("the answer", None, None);
    let First::Stream = late.first(Duration::from_secs(1)).await else {
        panic!("that something gave way must be seen")
    };
    let whole = Log::new(101, kept.clone());
    whole.finish("the answer", None, None);
    let First::Whole(text, _) = whole.first(Duration::from_secs(1)).await else { panic!("it is lost") };
    assert_eq!(&*text, "the answer");
    drop((streams, late, whole));
    assert!(!kept.is_full(), "what nobody holds is not counted");
}

#[test]
fn a_session_over_the_bound_loses_what_it_has_not_read() {
    let sessions = Sessions::new(100);
    let session = opened(&sessions, "a");
    let large = "x".repeat(LARGE_BYTES * 4);
    for _ in 0..17 {
        session.stream().finish(&large, None, None);
    }
    assert!(session.log(1).is_some(), "an unread answer is kept while there is room");
    for _ in 0..2 {
        session.stream().finish(&large, None, None);
    }
    session.stream();
    assert!((1..=19).all(|id| session.log(id).is_none()), "and none of them once there is none");
    assert!(session.log(20).is_some(), "what runs stays");
}

fn opened(sessions: &Sessions, key: &str) -> Arc<Session> {
    let make = |kept| Session::new(Principal::from("tester"), Monitor::default(), None, kept);
    sessions.open(key, &Principal::from("tester"), make).unwrap()
}

/// A stream of a session that its client has read whole and can come back to.
async fn read_whole(session: &Session, answer: &str) {
    let log = session.stream();
    log.finish(answer, None, None);
    log.events(0, true, ()).count().await;
}

#[tokio::test]
async fn what_sessions_have_read_takes_no_place_of_what_another_has_not() {
    let sessions = Sessions::new(100);
    let quiet = opened(&sessions, "quiet");
    quiet.stream().finish("lost", None, None);
    let large = "x".repeat(LARGE_BYTES * 4);
    let loud = ["a", "b", "c", "d"].map(|key| opened(&sessions, key));
    for session in &loud {
        for _ in 0..5 {
            read_whole(session, &large).await;
        }
    }
    quiet.stream();
    assert!(quiet.log(1).is_some(), "an unread answer is kept");
    let kept = loud.iter().flat_map(|session| (1..=5).filter_map(|id| session.log(id))).count();
    assert_eq!(kept, 4, "all that have a place in 16 MiB");
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_gives_up_what_it_has_read() {
    let sessions = Sessions::new(100);
    let session = opened(&sessions, "idle");
    read_whole(&session, "the answer").await;
    for (within, is_kept) in [(READ_KEPT_FOR / 2, true), (READ_KEPT_FOR * 2, false)] {
        tokio::time::timeout(within, sessions.outlive(&session)).await.unwrap_err();
        assert_eq!(session.log(1).is_some(), is_kept, "{within:?} later");
    }
}

#[test]
fn who_opens_many_evicts_its_own_and_not_the_few_of_others() {
    let mut sessions = Sessions::new(100);
    sessions.sessions_max = 10;
    let open = |name: &str, key: &str| {
        let principal = Principal::from(name);
        let make = |kept| Session::new(principal.clone(), Monitor::default(), None, kept);
        sessions.open(key, &principal, make).is_some()
    };
    assert!(open("quiet", "quiet-0"));
    for number in 0..50 {
        assert!(open("loud", &format!("loud-{number}")));
    }
    assert!(sessions.find("quiet-0", &Principal::from("quiet")).is_some(), "the oldest, and not of the many");
    assert!(open("quiet", "quiet-1") && open("quiet", "quiet-2"));
    assert!(sessions.find("quiet-0", &Principal::from("quiet")).is_some());
}
