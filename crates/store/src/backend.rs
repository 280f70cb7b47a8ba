//! What a back end must do: keep records and the revision they are of, for one writer at a time.
//!
//! A writer first *claims* the back end and so gets an epoch, one higher than any before it. From then on the commits of
//! older epochs are refused: a writer that was thought dead and is not can do no harm. Each commit also says which
//! revision it follows, and is refused if another is stored. The conformance suite (`tests/conformance.rs`) says the same
//! in code; a back end is one that passes it.

use std::sync::Arc;
use std::time::Duration;

use longshore_model::{Change, Record};

use crate::{Error, Revision};

/// The changes of one transaction: durable all together or not at all.
#[derive(Debug)]
pub struct Commit {
    pub revision: Revision,
    pub changes: Vec<Change>,
}

/// Counts the writers that a back end has had. Zero is before the first.
pub type Epoch = u64;

/// Who would write, and for how long others must keep away.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The name of the writer; one that comes back under its name need not wait for its own lease to end.
    pub holder: String,
    /// The time of the claim, in milliseconds since the epoch.
    pub now: i64,
    /// How long another holder's claim is refused, counted from the claim and from each renewal. `None` keeps nobody
    /// away: enough where something else admits one writer at a time, as SQLite's lock on its file does.
    pub ttl: Option<Duration>,
}

impl Claim {
    /// A claim that keeps nobody away.
    pub fn of(holder: &str) -> Self {
        Self { holder: holder.to_owned(), now: 0, ttl: None }
    }

    /// When the lease ends that this claim would get, in milliseconds since the epoch.
    pub fn until(&self) -> Option<i64> {
        let ttl = i64::try_from(self.ttl?.as_millis()).unwrap_or(i64::MAX);
        Some(self.now.saturating_add(ttl))
    }
}

/// The claim that holds at present, as a back end keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    pub holder: String,
    pub epoch: Epoch,
    pub until: Option<i64>,
}

impl Lease {
    /// The lease that follows this one.
    pub fn pass(&self, claim: &Claim) -> Result<Self, Error> {
        match self.until {
            Some(until) if until > claim.now && self.holder != claim.holder => {
                Err(Error::Held { holder: self.holder.clone(), until })
            }
            _ => Ok(Self { holder: claim.holder.clone(), epoch: self.epoch + 1, until: claim.until() }),
        }
    }

    /// Refuses every epoch but the newest.
    pub fn admit(&self, epoch: Epoch) -> Result<(), Error> {
        match self.epoch == epoch {
            true => Ok(()),
            false => Err(Error::Fenced { epoch, newest: self.epoch }),
        }
    }
}

/// Commits that become durable together.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Of the claim under which they are written.
    pub epoch: Epoch,
    /// The revision that they follow: the newest one stored.
    pub after: Revision,
    /// In order. May be empty: then the claim and the revision are looked at, and whether there is some space.
    pub commits: &'a [Arc<Commit>],
}

impl Group<'_> {
    /// The newest revision once the group is stored.
    pub fn last(&self) -> Revision {
        self.commits.last().map_or(self.after, |commit| commit.revision)
    }

    /// Refuses a group that does not follow what is `stored`.
    pub(crate) fn follows(&self, stored: Revision) -> Result<(), Error> {
        match self.after == stored {
            true => Ok(()),
            false => Err(Error::Moved { expected: self.after, stored }),
        }
    }
}

/// Where records lie. Used by one thread.
pub trait Backend: Send {
    /// Become the writer. What older epochs commit from now on is refused.
    ///
    /// # Errors
    /// [`Error::Held`] while another holder's lease lasts; [`Error::Full`].
    fn claim(&mut self, claim: &Claim) -> Result<Epoch, Error>;

    /// Let the lease of `epoch` end at `until`, in milliseconds since the epoch; a time that is past gives it up.
    ///
    /// # Errors
    /// [`Error::Fenced`] if there is a newer epoch.
    fn renew(&mut self, epoch: Epoch, until: i64) -> Result<(), Error>;

    /// Hand every record to `put` and return the last durable revision.
    fn load(&mut self, put: &mut dyn FnMut(Record)) -> Result<Revision, Error>;

    /// Make a group of commits durable, in order and all or none. When this returns `Ok`, a power cut loses nothing of it.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing of the group is stored, and a later attempt may succeed. [`Error::Fenced`],
    /// [`Error::Moved`]: nothing is stored, somebody else writes. After any other error nobody knows what is stored, and the
    /// back end must not be used again.
    fn commit(&mut self, group: &Group<'_>) -> Result<(), Error>;
}
