//! The last durable commits, and those who follow them.
//!
//! A [`Watch`] yields every commit after a revision: in order, each once, none left out. History is bounded; who asks for
//! what is forgotten is told so ([`Compacted`]) and reads the state instead. It lies in memory only: after a restart it
//! begins with what was loaded. Whatever must survive a restart is in the state.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::mark::Mark;
use crate::{Closed, Commit, Revision};

/// Commits that are kept.
const COMMITS: usize = 4096;

/// Changes that are kept, over all commits.
const CHANGES: usize = 32 * 1024;

/// What was asked for is no longer known: read the state, and watch from its revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("commits up to revision {floor} are forgotten")]
pub struct Compacted {
    pub floor: Revision,
}

/// Why a watch has no next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missed {
    #[error(transparent)]
    Compacted(#[from] Compacted),
    #[error(transparent)]
    Closed(#[from] Closed),
}

#[derive(Default)]
struct Kept {
    commits: VecDeque<Arc<Commit>>,
    changes: usize,
    /// The newest revision that is forgotten, or was never here.
    floor: Revision,
}

impl Kept {
    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.commits.pop_front() {
            self.changes -= oldest.changes.len();
            self.floor = oldest.revision;
        }
    }
}

pub(crate) struct History(Mutex<Kept>);

impl History {
    /// A history that begins after `floor`.
    pub fn after(floor: Revision) -> Self {
        Self(Mutex::new(Kept { floor, ..Kept::default() }))
    }

    pub fn extend(&self, group: &[Arc<Commit>]) {
        let mut kept = self.0.lock();
        for commit in group {
            kept.changes += commit.changes.len();
            kept.commits.push_back(commit.clone());
        }
        while kept.commits.len() > COMMITS || kept.changes > CHANGES {
            kept.forget_oldest();
        }
    }

    pub fn compact(&self, up_to: Revision) {
        let mut kept = self.0.lock();
        while kept.commits.front().is_some_and(|oldest| oldest.revision <= up_to) {
            kept.forget_oldest();
        }
        kept.floor = kept.floor.max(up_to);
    }

    /// The first commit after `position`, if there is one.
    fn next(&self, position: Revision) -> Result<Option<Arc<Commit>>, Compacted> {
        let kept = self.0.lock();
        if position < kept.floor {
            return Err(Compacted { floor: kept.floor });
        }
        let index = kept.commits.partition_point(|commit| commit.revision <= position);
        Ok(kept.commits.get(index).cloned())
    }
}

/// Follows the durable commits after a revision.
pub struct Watch {
    history: Arc<History>,
    mark: watch::Receiver<Mark>,
    position: Revision,
}

impl Watch {
    pub(crate) fn new(history: Arc<History>, mark: watch::Receiver<Mark>, from: Revision) -> Result<Self, Compacted> {
        history.next(from)?;
        Ok(Self { history, mark, position: from })
    }

    /// The revision of the last commit that was yielded: another watch from here goes on where this one is.
    pub fn position(&self) -> Revision {
        self.position
    }

    /// Leaves out every hundredth commit.
    #[cfg(feature = "planted")]
    fn without_the_skipped(&self, next: Option<Arc<Commit>>) -> Result<Option<Arc<Commit>>, Compacted> {
        let planted = longshore_model::planted::is(longshore_model::planted::Bug::EventSkipped);
        match next {
            Some(commit) if planted && commit.revision % 100 == 0 => self.history.next(commit.revision),
            next => Ok(next),
        }
    }

    /// The next commit, once it is durable.
    ///
    /// # Errors
    /// [`Missed::Compacted`] if this watch has fallen too far behind or commits were undone because the disk is full;
    /// [`Missed::Closed`] if no more can come.
    pub async fn next(&mut self) -> Result<Arc<Commit>, Missed> {
        loop {
            if let Some(commit) = self.try_next()? {
                return Ok(commit);
            }
            self.mark.changed().await.map_err(|_| Closed)?;
        }
    }

    /// The next commit if it is durable already.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub fn try_next(&mut self) -> Result<Option<Arc<Commit>>, Missed> {
        // Looked at first: what becomes durable after this wakes `next`.
        let closed = self.mark.borrow_and_update().is_closed();
        let next = self.history.next(self.position)?;
        #[cfg(feature = "planted")]
        let next = self.without_the_skipped(next)?;
        match &next {
            Some(commit) => self.position = commit.revision,
            None if closed => return Err(Closed.into()),
            None => {}
        }
        Ok(next)
    }
}
