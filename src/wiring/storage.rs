//! The database's reads and its writer. What processes that have ended left open is closed before this one takes calls, and again
//! whenever a lease runs out.

use std::time::Duration;

use actix::{Addr, ArbiterHandle};
use exai_actors::clock::{self, UtcMillis};
use exai_actors::health::HealthBoard;
use exai_actors::storage::Store;
use exai_actors::storage::rows::Abandoned;
use exai_actors::storage_writer::messages::{LEASE_MS, Record, WriteError, WriterFacts, Written};
use exai_actors::storage_writer::{self, StorageWriter, batch, write};
use tokio::sync::watch;

use super::{Deaths, StartError};
use crate::config::Config;
use crate::replica::Replica;

/// How often a replica says that it answers for its open calls: twice may fail.
const RENEW_EVERY: Duration = Duration::from_secs(10);
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

/// Starts the writer, which first writes what waits in a spool; then closes what was left open, and keeps this process's leases.
pub(super) async fn start(
    config: &Config,
    replica: &Replica,
    arbiter: &ArbiterHandle,
    board: &HealthBoard,
    deaths: &Deaths,
) -> Result<Stored, StartError> {
    let (url, durability) = (config.storage.url.clone(), config.storage.durability);
    let store = Store::open(&url, config.storage.pool_size, board.clone())?;
    let (facts, seen) = watch::channel(Default::default());
    let wiring = storage_writer::Wiring {
        arbiter,
        url,
        durability,
        board: board.clone(),
        facts,
        limits: batch::Limits { result_ttl: config.limits.result_ttl, ..Default::default() },
        spool: replica.spool(config.storage.spool_mib << 20),
    };
    let writer = storage_writer::start(wiring, deaths.clone().of("storage_writer", true));
    recover(&writer, replica).await?;
    actix_rt::spawn(keep_leases(writer.clone(), replica.id().to_owned()));
    Ok(Stored { store, writer, facts: seen })
}

/// Closes every call that an earlier life of this replica, or of one that has ended, left open.
async fn recover(writer: &Addr<StorageWriter>, replica: &Replica) -> Result<(), StartError> {
    for id in replica.ended() {
        close(writer, Abandoned::OfReplica(id.to_owned())).await.map_err(StartError::Recover)?;
    }
    Ok(())
}

/// Keeps this replica's leases, and closes the calls of replicas that no longer keep theirs, for ever. Where the database was away,
/// nobody could keep a lease: a replica judges the others only once everyone has had the time to.
async fn keep_leases(writer: Addr<StorageWriter>, replica: String) {
    let mut kept = 0u32;
    loop {
        let now = clock::utc_now().0;
        let renewed = Record::LeasesRenewed { replica: replica.clone(), until: UtcMillis(now + LEASE_MS) };
        // A database that is away is the writer's to report; here the next round does it.
        kept = if write(&writer, renewed).await.is_ok() { kept.saturating_add(1) } else { 0 };
        if kept > KEPT_BEFORE_JUDGING {
            let _ = close(&writer, Abandoned::ExpiredBefore(UtcMillis(now - CLOCKS_APART_MS))).await;
        }
        tokio::time::sleep(RENEW_EVERY).await;
    }
}

async fn close(writer: &Addr<StorageWriter>, abandoned: Abandoned) -> Result<(), WriteError> {
    let recovered = write(writer, Record::Recovered { abandoned, at: clock::utc_now() }).await?;
    if let Written::Recovered { interrupted, unknown } = recovered
        && interrupted + unknown > 0
    {
        log::warn!(interrupted, unknown; "recovered: calls that a process left open are closed");
    }
    Ok(())
}
