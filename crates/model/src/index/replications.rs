//! Copies of images that are to be made, by where they go, and records of those whose image is gone.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use longshore_wire::Timestamp;

use crate::registry::{Destination, ImageReplication};

/// A copy: where it goes, when, and the image's key.
type Entry = (Destination, Timestamp, Arc<str>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replications {
    /// Those whose image is there.
    waiting: BTreeSet<Entry>,
    lost: BTreeSet<Arc<str>>,
}

impl Replications {
    /// For each registry that copies go to, the one that is to be made first.
    pub fn heads(&self) -> impl Iterator<Item = &Entry> {
        let mut last: Option<&Destination> = None;
        std::iter::from_fn(move || {
            let next = match last {
                None => self.waiting.first(),
                Some(last) => self.behind(last),
            }?;
            last = Some(&next.0);
            Some(next)
        })
    }

    /// The first one that goes to a registry behind this one.
    fn behind(&self, destination: &Destination) -> Option<&Entry> {
        // The least registry that is greater.
        let next = Destination { registry: format!("{}\0", destination.registry), ..destination.clone() };
        let start: Entry = (next, Timestamp::from_millis(i64::MIN), "".into());
        self.waiting.range((Bound::Included(start), Bound::Unbounded)).next()
    }

    /// Every copy that is to be made.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.waiting.iter()
    }

    /// Keys of records whose image is gone.
    pub fn lost(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lost.iter()
    }

    pub(crate) fn replace(
        &mut self,
        key: &Arc<str>,
        old: Option<&ImageReplication>,
        new: Option<&ImageReplication>,
        has_image: bool,
    ) {
        self.note_image(key, false, old);
        self.note_image(key, has_image, new);
    }

    /// An image came or went.
    pub(crate) fn note_image(&mut self, key: &Arc<str>, has_image: bool, row: Option<&ImageReplication>) {
        match row.is_some() && !has_image {
            true => self.lost.insert(key.clone()),
            false => self.lost.remove(key),
        };
        for (destination, at) in row.iter().flat_map(|row| row.waiting()) {
            let entry = (destination, at, key.clone());
            match has_image {
                true => self.waiting.insert(entry),
                false => self.waiting.remove(&entry),
            };
        }
    }
}
