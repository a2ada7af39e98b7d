//! A call that ends while the database is away: whoever asked hears it soon, and the journal when it is back.

use std::time::Duration;

use exai_actors::clock;
use exai_actors::error::ErrorKind;
use exai_upstream::Script;

use crate::support::{Core, SOON, ask};

#[actix::test]
async fn an_end_that_the_database_did_not_take_is_written_when_it_is_back() {
    let core = Core::start().await;
    core.kimi.push_script(Script::of("stall-after=2"));
    let mut attached = core.consult(ask("why?"), None).await.expect("accepted");
    let by = clock::now() + SOON;
    while core.kimi.journal().is_empty() {
        assert!(clock::now() < by, "it was never sent");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let locked = core.lock();
    core.cancel(attached.call);
    let error = attached.answered().await.as_ref().clone().expect_err("it was cancelled");
    assert_eq!(error.kind, ErrorKind::Cancelled);
    drop(locked);
    let by = clock::now() + SOON;
    while core.texts("SELECT state AS t FROM calls") != ["cancelled"] {
        assert!(clock::now() < by, "its row is {:?}", core.texts("SELECT state AS t FROM calls"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(core.texts("SELECT state AS t FROM attempts"), ["cancelled"]);
}
