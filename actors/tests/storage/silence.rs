//! The database is there and says nothing: it is waited for once, by one write and one read, and by nobody else.

use std::time::Duration;

use exai_actors::clock;
use exai_actors::health::Status;
use exai_actors::ids::CallId;
use exai_actors::storage::StorageError;
use exai_actors::storage_writer::messages::WriteError;

use crate::outages::{Server, opened};
use crate::records::principal;
use crate::world::{Db, World};

#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_server_that_hangs_is_waited_for_once() {
    let mut server = Server::start("");
    let world = World::new(Db::on_server(&server.url).await);
    world.done(opened(CallId::mint())).await;
    let ann = principal("ann");
    world.store.load_call(&ann, CallId::mint()).await.unwrap();
    server.order("pause_postgres");
    let asked = clock::now();
    let read = world.store.load_call(&ann, CallId::mint());
    let (read, written) = tokio::join!(read, world.write(opened(CallId::mint())));
    assert!(matches!(read, Err(StorageError::TimedOut(_))), "{read:?}");
    assert_eq!(written, Err(WriteError::Unavailable));
    assert!(clock::now() - asked < Duration::from_secs(12));
    assert_eq!(world.board.get("storage").unwrap().status, Status::Down);
    let asked = clock::now();
    for _ in 0..20 {
        assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable));
    }
    assert!(clock::now() - asked < Duration::from_secs(1), "{:?}", clock::now() - asked);
    // A ping is given a second, so that nobody's question is taken for a silence; a read of that second is the last that waits.
    let silent = |read| matches!(read, Err(StorageError::Silent));
    while !silent(world.store.load_call(&ann, CallId::mint()).await) {}
    assert!(clock::now() - asked < Duration::from_secs(7), "{:?}", clock::now() - asked);
    let asked = clock::now();
    for _ in 0..20 {
        assert!(silent(world.store.load_call(&ann, CallId::mint()).await));
    }
    assert!(clock::now() - asked < Duration::from_secs(1), "{:?}", clock::now() - asked);
    server.order("unpause_postgres");
    world.until(Status::Ok).await;
    world.done(opened(CallId::mint())).await;
    let by = clock::now() + Duration::from_secs(3);
    while let Err(error) = world.store.load_call(&ann, CallId::mint()).await {
        assert!(matches!(error, StorageError::Silent) && clock::now() < by, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.board.get("storage_reads").unwrap().status, Status::Ok);
}

/// Somebody's lock on a table is no shorter a wait than a server that hangs, and a table that is gone is no defect of a row.
#[actix::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_table_that_is_locked_or_gone_is_an_outage() {
    let world = World::new(Db::postgres().await);
    world.done(opened(CallId::mint())).await;
    let (other, driver) = tokio_postgres::connect(&world.db.text, tokio_postgres::NoTls).await.unwrap();
    actix::spawn(driver);
    let gone = ["calls", "attempts"].map(|table| {
        let (away, back) = (
            format!("ALTER TABLE {table} RENAME TO elsewhere"),
            format!("ALTER TABLE elsewhere RENAME TO {table}"),
        );
        (away, back, table)
    });
    let locked = ("BEGIN; LOCK TABLE calls".to_owned(), "ROLLBACK".to_owned(), "does not answer");
    for (begins, ends, says) in std::iter::once(locked).chain(gone) {
        other.batch_execute(&begins).await.unwrap();
        assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable), "{begins}");
        let asked = clock::now();
        for _ in 0..20 {
            assert_eq!(world.write(opened(CallId::mint())).await, Err(WriteError::Unavailable), "{begins}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(clock::now() - asked < Duration::from_secs(2), "{begins}: {:?}", clock::now() - asked);
        let health = world.board.get("storage").unwrap();
        assert!(health.status == Status::Down && health.detail.contains(says), "{begins}: {}", health.detail);
        other.batch_execute(&ends).await.unwrap();
        world.until(Status::Ok).await;
        world.done(opened(CallId::mint())).await;
    }
}
