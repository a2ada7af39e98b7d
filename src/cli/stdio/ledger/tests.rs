//! The book through a client's life: connections that end, servers that leave, handshakes, progress, limits.

use std::time::Duration;

use exai_actors::clock;

use super::*;

const LIST: &str = r#"{"id":1,"method":"tools/list"}"#;
const INITIALIZED: &str = r#"{"method":"notifications/initialized"}"#;

fn ledger() -> Ledger {
    Ledger::new(1000)
}

fn hear(ledger: &mut Ledger, line: &str, connected: bool) -> Step {
    ledger.hear(line.to_owned(), || "k".to_owned(), connected, clock::now())
}

#[test]
fn a_request_is_answered_once_whatever_comes() {
    let mut ledger = ledger();
    assert_eq!(hear(&mut ledger, LIST, true), Step::Send(LIST.to_owned()));
    let again = hear(&mut ledger, LIST, true);
    assert!(matches!(again, Step::Answer(text) if text.contains("a request with this id is running")));
    assert_eq!(ledger.resend(clock::now()).0, [LIST]);
    let answer = r#"{"id":1,"result":{}}"#;
    assert_eq!(ledger.tell(answer.to_owned()).as_deref(), Some(answer));
    assert_eq!((ledger.tell(answer.to_owned()), ledger.is_empty()), (None, true));
    assert!(ledger.resend(clock::now()).0.is_empty());
}

#[test]
fn what_is_asked_without_a_connection_waits_and_a_cancel_ends_it() {
    let mut ledger = ledger();
    assert_eq!(hear(&mut ledger, LIST, false), Step::Done);
    let call = r#"{"id":2,"method":"tools/call","params":{}}"#;
    assert_eq!(hear(&mut ledger, call, false), Step::Done);
    let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#;
    assert_eq!(hear(&mut ledger, cancel, false), Step::Done);
    let keyed = r#"{"id":2,"method":"tools/call","params":{"_meta":{"exai/idempotencyKey":"k"}}}"#;
    assert_eq!(ledger.resend(clock::now()).0, [keyed]);
    let cancel = r#"{"method":"notifications/cancelled","params":{"requestId":2}}"#;
    assert_eq!(hear(&mut ledger, cancel, true), Step::Send(cancel.to_owned()));
    assert!(ledger.resend(clock::now()).0.is_empty());
}

#[test]
fn a_handshake_is_kept_once_it_is_taken() {
    let mut ledger = ledger();
    hear(&mut ledger, r#"{"id":0,"method":"initialize"}"#, true);
    assert_eq!(ledger.hello(), None);
    ledger.tell(r#"{"id":0,"result":{}}"#.to_owned());
    // Said while a connection is being made, whose hello is on its way.
    let hello = ledger.hello().unwrap();
    assert_eq!(hello, format!(r#"{{"id":{REPLAY_ID},"method":"initialize"}}"#));
    assert_eq!(hear(&mut ledger, INITIALIZED, false), Step::Done);
    hear(&mut ledger, LIST, false);
    for _ in 0..2 {
        assert_eq!(ledger.resend(clock::now()).0, [INITIALIZED, LIST]);
    }
    let answer = |what: &str| is_replay(&format!(r#"{{"id":{REPLAY_ID},"{what}":{{}}}}"#));
    assert_eq!((answer("result"), answer("error"), is_replay(LIST)), (Some(true), Some(false), None));
}

#[test]
fn a_client_that_says_all_of_its_handshake_at_once_is_taken_so() {
    let mut ledger = ledger();
    let hello = r#"{"id":0,"method":"initialize"}"#;
    for line in [hello, INITIALIZED, LIST] {
        assert_eq!(hear(&mut ledger, line, false), Step::Done);
    }
    assert_eq!(ledger.resend(clock::now()).0, [hello, INITIALIZED, LIST]);
    ledger.tell(r#"{"id":0,"result":{}}"#.to_owned());
    assert_eq!(ledger.resend(clock::now()).0, [INITIALIZED, LIST]);
}

#[test]
fn a_cancel_that_nobody_hears_is_kept_with_its_call() {
    let mut ledger = ledger();
    let call = r#"{"id":2,"method":"tools/call","params":{"_meta":{"exai/idempotencyKey":"k"}}}"#;
    hear(&mut ledger, call, true);
    hear(&mut ledger, LIST, true);
    let cancel = |id: u8| format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
    for id in [1, 2, 2] {
        assert_eq!(hear(&mut ledger, &cancel(id), false), Step::Done);
    }
    assert!(ledger.is_empty(), "nobody waits for it");
    let why = CallError::new(ErrorKind::Internal, "gone");
    assert!(ledger.fail(&why, clock::now()).is_empty());
    let (lines, answers) = ledger.resend(clock::now());
    assert_eq!((lines, answers.len()), (VecDeque::from([call.to_owned(), cancel(2)]), 0));
    assert_eq!(ledger.tell(r#"{"id":2,"result":{}}"#.to_owned()), None);
    assert!(ledger.resend(clock::now()).0.is_empty());
}

#[test]
fn an_answer_reaches_the_connection_that_asked_and_no_other() {
    let mut ledger = ledger();
    let (asks, answers) = (r#"{"id":7,"method":"roots/list"}"#, r#"{"id":7,"result":{}}"#);
    assert_eq!(hear(&mut ledger, answers, true), Step::Done, "nobody asked");
    assert_eq!(ledger.tell(asks.to_owned()).as_deref(), Some(asks));
    assert_eq!(hear(&mut ledger, answers, true), Step::Send(answers.to_owned()));
    assert_eq!(hear(&mut ledger, answers, true), Step::Done, "twice");
    ledger.tell(asks.to_owned());
    ledger.resend(clock::now());
    assert_eq!(hear(&mut ledger, answers, true), Step::Done, "another connection asked");
}

#[test]
fn progress_goes_on_where_it_was() {
    let mut ledger = ledger();
    hear(&mut ledger, r#"{"id":1,"method":"x","params":{"_meta":{"progressToken":"t"}}}"#, true);
    let told = |number: u32| {
        format!(
            r#"{{"method":"notifications/progress","params":{{"progress":{number},"progressToken":"t"}}}}"#
        )
    };
    assert_eq!(ledger.tell(told(5)), Some(told(5)));
    ledger.resend(clock::now());
    assert_eq!(ledger.tell(told(1)), Some(told(6)));
    assert_eq!(ledger.tell(told(2)), Some(told(7)));
    ledger.tell(r#"{"id":1,"result":{}}"#.to_owned());
    assert_eq!(ledger.tell(told(3)), None);
}

#[test]
fn a_server_that_leaves_keeps_the_call_and_one_that_never_takes_it_does_not() {
    let mut ledger = ledger();
    hear(&mut ledger, LIST, true);
    assert_eq!(ledger.tell(r#"{"id":1,"error":{"data":{"kind":"draining"}}}"#.to_owned()), None);
    for _ in 1..SENT_MAX {
        assert_eq!(ledger.resend(clock::now()), (VecDeque::from([LIST.to_owned()]), vec![]));
    }
    let (again, answers) = ledger.resend(clock::now());
    assert!(again.is_empty() && answers.len() == 1 && ledger.is_empty(), "{answers:?}");
}

#[test]
fn who_asks_again_what_was_given_up_gets_its_name() {
    let (mut ledger, mut drawn, began) = (ledger(), 0, clock::now());
    let why = CallError::new(ErrorKind::Internal, "gone");
    let call = |id: u32, asks: &str| {
        let params = format!(r#"{{"arguments":{{"prompt":"{asks}"}},"_meta":{{"progressToken":{id}}}}}"#);
        format!(r#"{{"id":{id},"method":"tools/call","params":{params}}}"#)
    };
    let mut name = |ledger: &mut Ledger, line: String, connected: bool, after_s: u64| {
        drawn += 1;
        let now = began + Duration::from_secs(after_s);
        ledger.hear(line, || format!("key {drawn}."), connected, now);
        let line = &ledger.open.back().unwrap().line;
        line[line.find("key ").unwrap() + 4..line.find('.').unwrap()].parse::<u32>().unwrap()
    };
    assert_eq!([1, 2].map(|id| name(&mut ledger, call(id, "a"), true, 0)), [1, 2], "each has its own");
    assert_eq!(ledger.fail(&why, began).len(), 2);
    assert_eq!([3, 4].map(|id| name(&mut ledger, call(id, "b"), false, 0)), [3, 4], "another question");
    ledger.fail(&why, began);
    assert_eq!([5, 6, 7].map(|id| name(&mut ledger, call(id, "a"), true, 3599)), [1, 2, 7]);
    ledger.fail(&why, began);
    assert_eq!(name(&mut ledger, call(8, "b"), true, 0), 8, "those were never sent");
    assert_eq!(name(&mut ledger, call(9, "a"), true, 3600), 9, "too old");
    // One that ends every connection is given up too.
    for _ in 1..SENT_MAX {
        ledger.resend(began);
    }
    assert_eq!(ledger.resend(began).1.len(), 2);
    assert_eq!(name(&mut ledger, call(10, "a"), true, 1), 9);
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let mut ledger = ledger();
    let line = |id: usize, bytes: usize| format!(r#"{{"id":{id},"method":"{}"}}"#, "x".repeat(bytes));
    assert!(is_refused(&hear(&mut ledger, &line(1, 1001), true)));
    let steps = (0..5).map(|id| hear(&mut ledger, &line(id, 900), true));
    assert_eq!(steps.filter(is_refused).count(), 1);
    let mut ledger = Ledger::new(1_000_000);
    let steps = (0..UNANSWERED_MAX + 3).map(|id| hear(&mut ledger, &line(id, 1), true));
    assert_eq!(steps.filter(is_refused).count(), 3);
    let why = CallError::new(ErrorKind::Internal, "gone");
    assert_eq!((ledger.fail(&why, clock::now()).len(), ledger.is_empty()), (UNANSWERED_MAX, true));
}

fn is_refused(step: &Step) -> bool {
    matches!(step, Step::Answer(_))
}
