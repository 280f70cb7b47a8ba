//! The control plane's disk: what was synced outlives the process, what was not is gone.

use std::sync::Arc;

use longshore_store::{Claim, Commit, Fault, Memory, Step, Store, Watch};

#[derive(Debug, Default)]
pub struct Disk(Memory);

/// The end of a store that writes, and the watch on what it wrote.
pub struct Writer {
    writer: longshore_store::Writer,
    watch: Watch,
    written: u64,
}

impl Disk {
    /// A process opens the store.
    ///
    /// # Errors
    /// When the store does not open, in words: nothing here may bring that about.
    pub fn open(&self) -> Result<(Store, Writer), String> {
        self.0.set_fault(Fault::None);
        let (store, writer) = Store::open_manual(self.0.clone(), &Claim::of("plane")).map_err(|it| it.to_string())?;
        let written = store.durable_revision();
        let watch = store.watch(written).map_err(|it| it.to_string())?;
        Ok((store, Writer { writer, watch, written }))
    }

    /// The next sync fails: `kept` says whether what it wrote is there all the same.
    pub fn fail_next_sync(&self, kept: bool) {
        self.0.set_fault(if kept { Fault::UnsureSync } else { Fault::LostSync });
    }

    /// There is no space from now on.
    pub fn fill(&self) {
        self.0.set_fault(Fault::Full);
    }

    /// Syncs succeed again, and there is space.
    pub fn heal(&self) {
        self.0.set_fault(Fault::None);
    }
}

/// What became of a write.
pub enum Wrote {
    /// These commits are told, in order.
    Told(Vec<Arc<Commit>>),
    /// There was no space: everything that was not durable is undone.
    Undone,
    /// The disk failed, which is the process's end.
    Failed,
}

impl Writer {
    /// Whether something waits to be written, or the disk had no space when it was last asked.
    pub fn has_work(&self, store: &Store) -> bool {
        store.is_full() || store.read().revision() > self.written
    }

    /// Write and sync the next group.
    pub fn step(&mut self, store: &Store) -> Wrote {
        let was_full = store.is_full();
        match self.writer.step() {
            Ok(Step::Committed(revision)) => self.written = revision,
            Ok(Step::Full) if !was_full => return self.begin_again(store),
            Ok(Step::Full | Step::Idle | Step::Recovered) => {}
            Err(_) => return Wrote::Failed,
        }
        let mut commits = Vec::new();
        while let Ok(Some(commit)) = self.watch.try_next() {
            commits.push(commit);
        }
        Wrote::Told(commits)
    }

    fn begin_again(&mut self, store: &Store) -> Wrote {
        self.written = store.read().revision();
        match store.watch(self.written) {
            Ok(watch) => {
                self.watch = watch;
                Wrote::Undone
            }
            Err(_) => Wrote::Failed,
        }
    }
}
