//! What a panic of the writer costs. A binary of its own: a planted panic strikes whoever comes first in the process.
#![cfg(feature = "faults")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "shared with the tests of the storage, which use all of it")]
#[path = "storage/records.rs"]
mod records;
#[expect(dead_code, reason = "shared with the tests of the storage, which use all of it")]
#[path = "storage/world.rs"]
mod world;

use exai_actors::faults::{Point, arm};
use exai_actors::ids::CallId;
use exai_actors::storage_writer::messages::{Record, WriteError};
use futures_util::future::join_all;
use tokio::sync::Mutex;

use records::call;
use world::{Db, World};

/// One planted panic at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn the_poison_alone_is_lost(db: Db) {
    let _alone = ALONE.lock().await;
    let world = World::new(db);
    let open = || Record::CallOpened(call(CallId::mint(), "ann", None), None);
    world.done(open()).await;
    for round in 1..=3 {
        // The first hundred are taken in and wait, or are being committed, when the writer dies.
        let mut before = Box::pin(join_all((0..100).map(|_| world.write(open()))));
        assert!(futures_util::poll!(&mut before).is_pending());
        world.flush().await;
        let mut waiting = Box::pin(join_all((0..100).map(|_| world.write(open()))));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        arm(Point::StorageWriter, 1);
        let behind = join_all((0..100).map(|_| world.write(open()))).await;
        let (before, waiting) = (before.await, waiting.await);
        let lost =
            |outcomes: &[Result<_, WriteError>]| outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!(lost(&before), 0, "round {round}: what was durable stays acknowledged");
        assert_eq!(lost(&waiting) + lost(&behind), 1, "round {round}: the poison is lost, and nothing else");
        let expected = 1 + round * 299;
        assert_eq!(world.db.number("SELECT count(*) AS n FROM calls").await, expected, "round {round}");
    }
}

#[actix::test]
async fn sqlite() {
    the_poison_alone_is_lost(Db::sqlite().await).await;
}

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn postgres() {
    the_poison_alone_is_lost(Db::postgres().await).await;
}
