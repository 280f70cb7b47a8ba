//! What a back end must do.

use longshore_model::{Change, Record};

use crate::{Error, Revision};

/// The changes of one transaction: durable all together or not at all.
#[derive(Debug)]
pub struct Commit {
    pub revision: Revision,
    pub changes: Vec<Change>,
}

/// Where records lie. Used by one thread.
pub trait Backend: Send {
    /// Hand every record to `put` and return the last durable revision.
    fn load(&mut self, put: &mut dyn FnMut(Record)) -> Result<Revision, Error>;

    /// Make a group of commits durable, in order and all or none. When this returns `Ok`, a power cut loses nothing of it.
    fn commit(&mut self, group: &[std::sync::Arc<Commit>]) -> Result<(), Error>;
}
