//! What the rollups lack of a process that was killed is said by the next one: in its log, its counters and the log of flushes.

use std::time::Duration;

use exai_actors::clock;

use crate::client::Client;
use crate::database::Database;
use crate::server::SOON;
use crate::world::World;
use crate::{counted, until_counted};

async fn ask(world: &World, calls: usize) {
    let mut client = Client::connect(&world.server).await;
    for n in 0..calls {
        assert!(!client.chat(&format!("question {n}")).await.is_error());
    }
    until_counted(world, "exai_calls_total", &["completed"], calls as f64).await;
}

/// How the lives ended, once so many are known to have.
async fn how_lives_ended(world: &World, lives: usize) -> Vec<String> {
    let by = clock::now() + SOON;
    loop {
        let ended = "SELECT status AS t FROM metrics_flush_log WHERE status IN ('ended', 'lost') ORDER BY at";
        let ended = world.db.texts(ended).await;
        if ended.len() == lives {
            return ended;
        }
        assert!(clock::now() < by, "{ended:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn a_killed_process_is_owned_up_to(db: Database) {
    let mut world = World::with(db, |with| {
        with.set("EXAI_METRICS__FLUSH_S", "600");
    })
    .await;
    ask(&world, 3).await;
    world.server.kill9().await;
    world.server.restart().await;
    until_counted(&world, "exai_dropped_total", &["rollup_calls"], 3.0).await;
    assert!(world.server.output().contains("killed before its last flush"), "{}", world.server.output());
    let told = "SELECT CAST(batch_size AS BIGINT) AS n FROM metrics_flush_log WHERE status = 'lost'";
    assert_eq!(world.db.number(told).await, 3);

    ask(&world, 2).await;
    world.server.sigterm();
    assert_eq!(world.server.exit_code(SOON).await, Some(0));
    world.server.restart().await;
    assert_eq!(how_lives_ended(&world, 2).await, ["lost", "ended"], "a drained process loses nothing");
    world.server.kill9().await;
    world.server.restart().await;
    assert_eq!(how_lives_ended(&world, 3).await, ["lost", "ended", "ended"], "one that did nothing neither");
    assert_eq!(counted(&world, "exai_dropped_total", &["rollup_calls"]).await, 0.0);
    let (code, said) = world.server.command("audit").await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn a_killed_process_is_owned_up_to_on_sqlite() {
    a_killed_process_is_owned_up_to(Database::sqlite()).await;
}

#[tokio::test]
#[ignore = "needs Postgres: tests/run starts one"]
async fn a_killed_process_is_owned_up_to_on_postgres() {
    a_killed_process_is_owned_up_to(Database::postgres().await).await;
}
