//! What every back end must do, and what the store makes of it: one suite, run on each back end.
//!
//! A back end passes if [`conform!`] passes for its fixture. SQLite runs it on real files and on a simulated disk.

#[path = "conformance/fixture.rs"]
mod fixture;
#[path = "conformance/following.rs"]
mod following;
#[path = "conformance/full.rs"]
mod full;
#[path = "conformance/history.rs"]
mod history;
#[path = "conformance/keeping.rs"]
mod keeping;
#[path = "conformance/linear.rs"]
mod linear;
#[path = "conformance/writing.rs"]
mod writing;

use fixture::{InMemory, OnDisk, OnFiles};

macro_rules! conform {
    ($name:ident, $fixture:ty, $cases:literal, [$($module:ident :: $test:ident,)*]) => {
        mod $name {
            use super::*;
            $(#[test] fn $test() { $module::$test::<$fixture>(); })*

            #[test]
            fn every_watch_yields_what_became_durable_in_order_once_and_all() {
                following::every_watch_yields_what_became_durable_in_order_once_and_all::<$fixture>($cases);
            }

            #[test]
            fn histories_with_crashes_are_linearizable() {
                history::histories_with_crashes_are_linearizable::<$fixture>($cases);
            }

            #[test]
            fn histories_of_clients_at_once_are_linearizable() {
                history::histories_of_clients_at_once_are_linearizable::<$fixture>($cases / 4);
            }
        }
    };
}

macro_rules! conform_all {
    ($tests:tt) => {
        conform!(memory, InMemory, 400, $tests);
        conform!(sqlite_on_files, OnFiles, 24, $tests);
        conform!(sqlite_on_a_simulated_disk, OnDisk, 100, $tests);
    };
}

conform_all!([
    keeping::a_fresh_back_end_is_empty,
    keeping::what_is_committed_is_there_after_opening_again,
    keeping::a_commit_that_follows_another_revision_changes_nothing,
    keeping::an_empty_group_changes_nothing,
    writing::whoever_opens_takes_the_next_epoch,
    writing::an_older_writer_changes_nothing,
    writing::a_lease_keeps_others_away_until_it_ends,
    writing::a_lease_can_be_renewed_and_given_up,
    writing::an_open_store_keeps_its_lease,
    writing::a_store_that_lost_its_epoch_acknowledges_nothing,
    writing::a_transaction_decides_against_the_newest_state,
    writing::a_transaction_that_refuses_leaves_nothing_behind,
    writing::nothing_is_durable_before_it_is_committed,
    writing::what_is_queued_is_written_when_the_store_is_dropped,
    following::a_watch_resumes_where_another_was,
    following::a_watch_waits_for_the_next_commit,
    following::what_is_compacted_is_not_yielded,
    following::history_is_bounded,
]);

macro_rules! full {
    ($name:ident, $fixture:ty, [$($test:ident,)*]) => {
        mod $name {
            use super::*;
            $(#[test] fn $test() { full::$test::<$fixture>(); })*
        }
    };
}

macro_rules! full_all {
    ($tests:tt) => {
        full!(a_full_disk_in_memory, InMemory, $tests);
        full!(a_full_disk_under_sqlite, OnDisk, $tests);
    };
}

full_all!([
    a_full_disk_refuses_writes_serves_reads_and_recovers,
    what_a_full_disk_refused_never_happened,
    a_watch_over_a_full_disk_is_told_to_read_afresh,
    a_store_with_a_thread_recovers_by_itself,
    a_full_disk_is_not_opened,
]);
