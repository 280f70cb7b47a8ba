//! The media the suite runs on, and small records to put there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_disk::Disk;
use longshore_model::setting::Setting;
use longshore_model::{Change, State, TableName};
use longshore_store::{
    Backend, Claim, Commit, Epoch, Error, Fault, Full, Group, Memory, Revision, Sqlite, Store, Tuning, Unsettled,
    Writer,
};

/// A medium that back ends are opened on.
pub trait Fixture: Sized {
    type Backend: Backend + 'static;

    fn new() -> Self;

    /// Several may be open at one time.
    fn open(&self) -> Self::Backend;

    /// From now on there is no space, or there is again. Does nothing where that cannot be had.
    fn set_full(&self, full: bool);
}

pub struct InMemory(pub Memory);

impl Fixture for InMemory {
    type Backend = Memory;

    fn new() -> Self {
        Self(Memory::default())
    }

    fn open(&self) -> Memory {
        self.0.clone()
    }

    fn set_full(&self, full: bool) {
        self.0.set_fault(if full { Fault::Full } else { Fault::None });
    }
}

/// SQLite on real files.
pub struct OnFiles(PathBuf);

impl Fixture for OnFiles {
    type Backend = Sqlite;

    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("longshore-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn open(&self) -> Sqlite {
        Sqlite::open_with(&self.0.join("state.db"), Tuning { shared: true, checkpoint: 16 }).unwrap()
    }

    fn set_full(&self, _: bool) {}
}

impl Drop for OnFiles {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// SQLite on a simulated disk. That one has no locks: back ends that are open at one time must take turns, and the one
/// that wrote less knows nothing of the other's pages. So an older one is given a view of its own, as `open` says.
pub struct OnDisk(pub Disk);

/// A handle that opens the database for each operation.
pub struct Anew(Disk);

impl Anew {
    fn sqlite(&self) -> Result<Sqlite, Error> {
        Sqlite::open_with(&self.0.path("state.db"), Tuning { shared: false, checkpoint: 16 })
    }
}

impl Backend for Anew {
    fn claim(&mut self, claim: &Claim) -> Result<Epoch, Error> {
        self.sqlite()?.claim(claim)
    }

    fn renew(&mut self, epoch: Epoch, until: i64) -> Result<(), Error> {
        self.sqlite()?.renew(epoch, until)
    }

    fn load(&mut self, put: &mut dyn FnMut(longshore_model::Record)) -> Result<Revision, Error> {
        self.sqlite()?.load(put)
    }

    fn commit(&mut self, group: &Group<'_>) -> Result<(), Error> {
        self.sqlite()?.commit(group)
    }
}

impl Fixture for OnDisk {
    type Backend = Anew;

    fn new() -> Self {
        Self(Disk::default())
    }

    fn open(&self) -> Anew {
        Anew(self.0.clone())
    }

    fn set_full(&self, full: bool) {
        self.0.set_capacity(full.then_some(0));
    }
}

/// A record called `name` that holds `value`.
pub fn put(name: &str, value: u64) -> Change {
    let (account, principal) = ("000000000000".to_owned(), String::new());
    Setting { account, principal, name: name.to_owned(), value: value.to_string() }.into()
}

pub fn delete(name: &str) -> Change {
    Change::Delete(TableName::Setting, key(name))
}

fn key(name: &str) -> String {
    format!("000000000000/{name}/")
}

pub fn value(state: &State, name: &str) -> Option<u64> {
    state.settings.get(&key(name)).map(|setting| setting.value.parse().unwrap())
}

pub fn commit(revision: Revision, changes: Vec<Change>) -> Arc<Commit> {
    Arc::new(Commit { revision, changes })
}

/// Everything a back end holds, as text.
pub fn loaded(backend: &mut impl Backend) -> (Revision, BTreeMap<String, String>) {
    let mut state = State::default();
    let revision = backend.load(&mut |record| state.apply(&Change::Put(record))).unwrap();
    (revision, contents(&state))
}

/// Every record of a state, as text.
pub fn contents(state: &State) -> BTreeMap<String, String> {
    let text = |record: longshore_model::Record| String::from_utf8(record.to_bytes()).unwrap();
    state.records().map(|record| (format!("{:?} {}", record.table(), record.key()), text(record))).collect()
}

pub fn manual<F: Fixture>(fixture: &F) -> (Store, Writer) {
    Store::open_manual(fixture.open(), &Claim::of("test")).unwrap()
}

/// Queue one change.
pub fn write(store: &Store, change: Change) -> Result<Revision, Full> {
    let queued = store.transact(|_, changes| {
        changes.push(change);
        Ok::<(), Full>(())
    });
    queued.map(|((), revision)| revision)
}

/// How it stands with a revision, once that is known.
pub fn settled(store: &Store, revision: Revision) -> Result<(), Unsettled> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.durable(revision))
}
