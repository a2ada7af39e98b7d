//! The database's reads and its writer. What processes that have ended left open is closed before this one takes calls, and again
//! whenever a lease runs out; what their rollups lack is said.

use std::time::Duration;

use actix::{Addr, ArbiterHandle};
use exai_actors::clock::{self, UtcMillis};
use exai_actors::dispatcher::Dispatcher;
use exai_actors::dispatcher::messages::GetLive;
use exai_actors::health::HealthBoard;
use exai_actors::mail;
use exai_actors::meter::{self, Counter};
use exai_actors::storage::Store;
use exai_actors::storage::rows::{Abandoned, Life};
use exai_actors::storage_writer::messages::{LEASE_MS, Record, WriterFacts, Written};
use exai_actors::storage_writer::{self, StorageWriter, batch, write};
use tokio::sync::watch;

use super::{Deaths, StartError};
use crate::config::Config;
use crate::replica::Replica;

/// How often a replica says that it answers for its open calls: twice may fail.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How often it is asked whether the database can be read.
const READS_PING_EVERY: Duration = Duration::from_secs(5);
/// How long what must be written at the start is tried.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);
/// The pause between two tries.
const RECOVER_PAUSE: Duration = Duration::from_millis(500);
/// How often it is tried to find out how earlier processes ended, and the pause between two tries.
const OWN_UP_TRIES: u32 = 6;
const OWN_UP_PAUSE: Duration = Duration::from_secs(10);
/// How long the dispatcher may take to name its calls.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// Renewals in a row before another replica's silence means anything.
const KEPT_BEFORE_JUDGING: u32 = 3;
/// How far the clocks of two replicas may be apart, in milliseconds.
const CLOCKS_APART_MS: i64 = 30_000;

/// The running storage.
pub(super) struct Stored {
    /// Its reads.
    pub(super) store: Store,
    /// Its writer.
    pub(super) writer: Addr<StorageWriter>,
    /// What the writer says it has done.
    pub(super) facts: watch::Receiver<WriterFacts>,
}

/// Starts the writer, which first writes what waits in a spool; then closes what was left open.
pub(super) async fn start(
    config: &Config,
    replica: &mut Replica,
    arbiter: ArbiterHandle,
    board: &HealthBoard,
    deaths: &Deaths,
) -> Result<Stored, StartError> {
    let (url, durability) = (config.storage.url.clone(), config.storage.durability);
    let store = Store::open(&url, config.storage.pool_size, board.clone())?;
    let (facts, seen) = watch::channel(Default::default());
    let wiring = storage_writer::Wiring {
        arbiter: &arbiter,
        url,
        durability,
        board: board.clone(),
        facts,
        limits: batch::Limits { result_ttl: config.limits.result_ttl, ..Default::default() },
        spool: replica.spool(config.storage.spool_mib << 20),
    };
    let writer = storage_writer::start(wiring, deaths.clone().of("storage_writer", true));
    recover(&writer, replica).await?;
    begin_life(&store, &writer, replica).await?;
    replica.release_left_behind();
    Ok(Stored { store, writer, facts: seen })
}

/// Closes every call that an earlier life of this replica, or of one that has ended, left open.
async fn recover(writer: &Addr<StorageWriter>, replica: &Replica) -> Result<(), StartError> {
    for id in replica.ended() {
        let abandoned = Abandoned::OfReplica(id.to_owned());
        tell_closed(insist(writer, &Record::Recovered { abandoned, at: clock::utc_now() }).await?);
    }
    Ok(())
}

/// Puts this life on record, and has the ends of those before it found out meanwhile.
async fn begin_life(
    store: &Store,
    writer: &Addr<StorageWriter>,
    replica: &Replica,
) -> Result<(), StartError> {
    let (life, began) = (replica.life().clone(), clock::utc_now());
    insist(writer, &Record::LifeBegan(life.clone(), began)).await?;
    let ended = replica.ended().map(str::to_owned).collect::<Vec<_>>();
    let (store, writer) = (store.clone(), writer.clone());
    actix_rt::spawn(async move {
        for _ in 0..OWN_UP_TRIES {
            if own_up(&store, &writer, &ended, (&life, began)).await.is_some() {
                return;
            }
            tokio::time::sleep(OWN_UP_PAUSE).await;
        }
        log::warn!(
            "what the rollups lack of earlier processes was not found out; the next start looks again"
        );
    });
    Ok(())
}

/// Says what the rollups lack of earlier processes of these replicas, which is in the journal alone. None if the database did not let it.
async fn own_up(
    store: &Store,
    writer: &Addr<StorageWriter>,
    replicas: &[String],
    (own, began): (&Life, UtcMillis),
) -> Option<()> {
    for ended in store.unclosed_lives(replicas, own, began).await.ok()? {
        let lost = ended.lost;
        write(writer, Record::LifeEnded(ended, clock::utc_now())).await.ok()?;
        if lost > 0 {
            meter::add(Counter::Dropped, &["rollup_calls"], lost);
            log::warn!(calls = lost; "killed before its last flush: what an earlier process counted last is in no rollup");
        }
    }
    Some(())
}

/// Writes what nothing can go on without. It may wait behind a spool that is being written, which may be large.
async fn insist(writer: &Addr<StorageWriter>, record: &Record) -> Result<Written, StartError> {
    let give_up_at = clock::now() + RECOVER_WITHIN;
    loop {
        match write(writer, record.clone()).await {
            Err(_) if clock::now() < give_up_at => tokio::time::sleep(RECOVER_PAUSE).await,
            tried => return tried.map_err(StartError::Recover),
        }
    }
}

/// What goes on beside the writer as long as it lives.
pub(super) fn attend(store: Store, writer: Addr<StorageWriter>, dispatcher: Addr<Dispatcher>) {
    actix_rt::spawn(watch_reads(store));
    actix_rt::spawn(keep_leases(writer, dispatcher));
}

/// Keeps the leases of the calls that live here, and closes the calls that nobody keeps a lease of, for ever: those of a replica
/// that is gone, and one of our own whose end could not be written. Where the database was away, nobody could keep a lease: the
/// others are judged only once everyone has had the time to.
async fn keep_leases(writer: Addr<StorageWriter>, dispatcher: Addr<Dispatcher>) {
    let mut kept = 0u32;
    loop {
        kept = if renew(&writer, &dispatcher).await { kept.saturating_add(1) } else { 0 };
        if kept > KEPT_BEFORE_JUDGING {
            let at = clock::utc_now();
            let abandoned = Abandoned::ExpiredBefore(UtcMillis(at.0 - CLOCKS_APART_MS));
            // A database that is away is the writer's to report; here the next round does it.
            if let Ok(recovered) = write(&writer, Record::Recovered { abandoned, at }).await {
                tell_closed(recovered);
            }
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn renew(writer: &Addr<StorageWriter>, dispatcher: &Addr<Dispatcher>) -> bool {
    let Ok(calls) = mail::ask(dispatcher, GetLive, ASK_WITHIN).await else { return false };
    let until = UtcMillis(clock::utc_now().0 + LEASE_MS);
    write(writer, Record::LeasesRenewed { calls, until }).await.is_ok()
}

fn tell_closed(recovered: Written) {
    if let Written::Recovered { interrupted, unknown } = recovered
        && interrupted + unknown > 0
    {
        log::warn!(interrupted, unknown; "recovered: calls that a process left open are closed");
    }
}

/// Reads are asked for only when a client asks; until then the board would keep what the last of them said.
async fn watch_reads(store: Store) {
    loop {
        tokio::time::sleep(READS_PING_EVERY).await;
        // The store tells the board by itself.
        let _ = store.ping().await;
    }
}
