//! Records in memory that outlive the store: for tests and simulation.
//!
//! A clone is another handle on the same medium, so a store can die and another can open what it left. The medium fails
//! when it is told to: see [`Fault`], [`Memory::lose_syncs`] and [`Memory::power_cut`].

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_model::{Change, Record, TableName};
use parking_lot::Mutex;

use crate::backend::{Epoch, Lease};
use crate::{Backend, Claim, Commit, Error, Group, Revision};

/// What becomes of the next commits and claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// They are refused: there is no space.
    Full,
    /// They fail, and nothing of them is stored.
    LostSync,
    /// They fail, and yet they are stored.
    UnsureSync,
}

/// What a power cut leaves.
#[derive(Clone, Debug, Default)]
struct Kept {
    records: BTreeMap<(TableName, String), Record>,
    revision: Revision,
    lease: Lease,
}

impl Kept {
    fn apply(&mut self, commit: &Commit) {
        for change in &commit.changes {
            match change {
                Change::Put(record) => self.records.insert((record.table(), record.key()), record.clone()),
                Change::Delete(table, key) => self.records.remove(&(*table, key.clone())),
            };
        }
        self.revision = commit.revision;
    }
}

#[derive(Debug, Default)]
struct Medium {
    synced: Kept,
    /// Commits that the medium says are synced and are not, and the lease as it is in the cache.
    cached: Vec<Arc<Commit>>,
    cached_lease: Option<Lease>,
    lying: bool,
    fault: Fault,
}

impl Medium {
    fn revision(&self) -> Revision {
        self.cached.last().map_or(self.synced.revision, |commit| commit.revision)
    }

    fn lease(&self) -> &Lease {
        self.cached_lease.as_ref().unwrap_or(&self.synced.lease)
    }

    /// Carry out `write` as the fault of the day has it.
    fn write(&mut self, write: impl FnOnce(&mut Self)) -> Result<(), Error> {
        match self.fault {
            Fault::Full => return Err(Error::Full),
            Fault::LostSync => return Err(Error::Unsynced),
            Fault::None | Fault::UnsureSync => write(self),
        }
        if !self.lying {
            self.sync();
        }
        match self.fault {
            Fault::UnsureSync => Err(Error::Unsynced),
            _ => Ok(()),
        }
    }

    fn sync(&mut self) {
        for commit in std::mem::take(&mut self.cached) {
            self.synced.apply(&commit);
        }
        if let Some(lease) = self.cached_lease.take() {
            self.synced.lease = lease;
        }
    }
}

/// A handle on records in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Medium>>);

impl Memory {
    /// From now on commits and claims end so.
    pub fn set_fault(&self, fault: Fault) {
        self.0.lock().fault = fault;
    }

    /// From now on what is committed is only cached, as on a disk that lies about having written; `false` ends that and
    /// writes out what is cached.
    pub fn lose_syncs(&self, lying: bool) {
        let mut medium = self.0.lock();
        medium.lying = lying;
        if !lying {
            medium.sync();
        }
    }

    /// What was only cached is gone.
    pub fn power_cut(&self) {
        let mut medium = self.0.lock();
        medium.cached.clear();
        medium.cached_lease = None;
    }
}

impl Backend for Memory {
    fn claim(&mut self, claim: &Claim) -> Result<Epoch, Error> {
        let mut medium = self.0.lock();
        let lease = medium.lease().pass(claim)?;
        let epoch = lease.epoch;
        medium.write(|medium| medium.cached_lease = Some(lease))?;
        Ok(epoch)
    }

    fn renew(&mut self, epoch: Epoch, until: i64) -> Result<(), Error> {
        let mut medium = self.0.lock();
        medium.lease().admit(epoch)?;
        let lease = Lease { until: Some(until), ..medium.lease().clone() };
        medium.write(|medium| medium.cached_lease = Some(lease))
    }

    fn load(&mut self, put: &mut dyn FnMut(Record)) -> Result<Revision, Error> {
        let medium = self.0.lock();
        let mut all = medium.synced.clone();
        medium.cached.iter().for_each(|commit| all.apply(commit));
        all.records.into_values().for_each(put);
        Ok(all.revision)
    }

    fn commit(&mut self, group: &Group<'_>) -> Result<(), Error> {
        let mut medium = self.0.lock();
        medium.lease().admit(group.epoch)?;
        group.follows(medium.revision())?;
        medium.write(|medium| medium.cached.extend(group.commits.iter().cloned()))
    }
}
