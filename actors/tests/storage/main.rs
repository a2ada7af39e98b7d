//! The storage on real databases: SQLite files here, a private Postgres where `tests/run` starts one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cases;
mod events;
mod full_disk;
mod outages;
mod records;
mod recovery;
mod rollups;
mod silence;
mod spool;
mod tls;
mod world;

use cases::*;
use events::*;
use recovery::*;
use rollups::*;

/// Runs each case on both databases.
macro_rules! on_both {
    ($($(#[$attribute:meta])* $case:ident,)*) => {
        mod sqlite {
            $($(#[$attribute])* #[actix::test] async fn $case() { crate::$case(crate::world::Db::sqlite().await).await; })*
        }
        mod postgres {
            $(
                $(#[$attribute])*
                #[actix::test]
                #[ignore = "needs Postgres: tests/run starts one"]
                async fn $case() { crate::$case(crate::world::Db::postgres().await).await; }
            )*
        }
    };
}

on_both! {
    every_record_is_written,
    a_batch_written_twice_stands_once,
    the_books_are_those_of_one_life,
    a_life_that_was_killed_lacks_what_its_last_flush_did_not_have,
    only_the_last_hours_of_a_long_life_are_looked_at,
    a_thread_is_loaded_newest_turns_oldest_first,
    another_principals_things_look_unknown,
    a_used_key_writes_nothing,
    the_same_exchange_twice_changes_nothing,
    the_first_end_stands,
    writes_that_come_together_are_committed_together,
    a_poisonous_row_is_refused_alone,
    a_flush_waits_for_what_came_before_it,
    what_goes_beyond_the_limit_is_refused_at_once,
    migrating_twice_does_nothing,
    two_processes_may_migrate_at_once,
    a_foreign_schema_is_refused_by_name,
    process_durability_writes_the_same,
    an_undelivered_answer_is_handed_out,
    only_an_answer_of_ones_own_to_the_same_request_is_handed_out,
    the_very_same_call_is_never_its_own_answer,
    a_key_is_taken_over_only_from_the_unknown,
    a_dead_replicas_calls_are_closed,
    a_lease_that_ran_out_is_an_abandoned_call,
    a_closed_call_is_not_sent,
    the_end_of_a_call_that_may_not_stand_is_no_defect,
    what_is_outdated_goes_in_steps,
    events_are_kept_once_and_within_bounds,
}
