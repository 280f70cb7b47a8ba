//! The three trees and the settings that keep them small.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use fjall::config::{BlockSizePolicy, FilterPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::key::{self, EventKey, record};
use super::queue::Group;
use crate::Error;

const MIB: u64 = 1024 * 1024;

/// Blocks held in memory.
const CACHE_BYTES: u64 = 4 * MIB;

/// What a tree holds in memory before it is written out.
const EVENTS_MEMTABLE: u64 = 2 * MIB;
const SMALL_MEMTABLE: u64 = MIB;

/// Journals together: fjall's smallest. On disk, not in memory.
const JOURNAL_BYTES: u64 = 64 * MIB;

const OPEN_FILES: usize = 64;

/// Bigger blocks than fjall's 4 KiB: fewer index entries to hold.
const BLOCK_BYTES: u32 = 16 * 1024;

/// One of the workers writes memtables out while the other compacts. With one alone memtables grow behind a compaction.
const WORKERS: usize = 2;

/// What all memtables together may hold before the writer waits for the workers, and the longest it waits.
const WRITE_BUFFER: u64 = 8 * MIB;
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(super) struct Trees {
    database: Database,
    pub records: Keyspace,
    pub events: Keyspace,
    pub index: Keyspace,
}

impl Trees {
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(WORKERS)
            .manual_journal_persist(true)
            .open()?;
        let options =
            |memtable| KeyspaceCreateOptions::default().max_memtable_size(memtable).manual_journal_persist(true);
        // Events are looked up only when they are there, so filters would be memory for nothing; what is pinned grows with
        // what is stored.
        let bulk = |memtable| {
            options(memtable)
                .filter_policy(FilterPolicy::disabled())
                .index_block_pinning_policy(PinningPolicy::all(false))
                .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        };
        let records = database.keyspace("records", || options(SMALL_MEMTABLE))?;
        let events = database.keyspace("events", || bulk(EVENTS_MEMTABLE))?;
        let index = database.keyspace("index", || bulk(SMALL_MEMTABLE))?;
        Ok(Self { database, records, events, index })
    }

    /// The next free number.
    pub fn counter(&self) -> Result<u64, Error> {
        let stored = self.records.get(record::COUNTER)?;
        Ok(stored.and_then(|bytes| key::number(&bytes)).unwrap_or(1))
    }

    /// Uids of groups whose purge is not over.
    pub fn dead_groups(&self) -> Result<HashSet<String>, Error> {
        let found = self.records.prefix(record::DEAD_GROUPS);
        let uids = found.map(|guard| {
            let key = guard.key()?;
            Ok(String::from_utf8_lossy(&key[record::DEAD_GROUPS.len()..]).into_owned())
        });
        uids.collect()
    }

    /// Make a group durable, all or nothing. When this returns `Ok`, a power cut loses nothing of it.
    pub fn commit(&self, group: Group) -> Result<(), Error> {
        self.wait_for_room();
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in group.records.iter() {
            match value {
                Some(value) => batch.insert(&self.records, key.as_slice(), value.as_slice()),
                None => batch.remove(&self.records, key.as_slice()),
            }
        }
        // An event before its index entry and an index entry gone before its event: a reader who meets the batch half
        // applied finds whatever it is led to.
        for added in group.added {
            let index = EventKey::new(added.stream, added.key.position);
            batch.insert(&self.events, added.key.bytes(), added.value);
            batch.insert(&self.index, index.bytes(), []);
        }
        for removed in group.removed {
            let index = EventKey::new(removed.stream, removed.key.position);
            batch.remove(&self.index, index.bytes());
            batch.remove(&self.events, removed.key.bytes());
        }
        Ok(batch.commit()?)
    }
    /// Let the workers catch up. Not for ever: if they have failed, the commit says so.
    fn wait_for_room(&self) {
        let begun = std::time::Instant::now();
        while self.database.write_buffer_size() > WRITE_BUFFER && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
