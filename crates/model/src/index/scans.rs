//! Scans that are not finished, and those whose image is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_wire::Timestamp;

use crate::registry::ImageScan;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scans {
    /// When each that is not finished was asked for, whether its image is there or not.
    asked: BTreeMap<Arc<str>, Timestamp>,
    /// Those of them whose image is there, in their order.
    unfinished: BTreeSet<(Timestamp, Arc<str>)>,
    lost: BTreeSet<Arc<str>>,
}

impl Scans {
    /// Keys of scans that are to be carried out, those first that were asked for first.
    pub fn unfinished(&self) -> impl Iterator<Item = &Arc<str>> {
        self.unfinished.iter().map(|(_, key)| key)
    }

    /// Keys of scans whose image is gone.
    pub fn lost(&self) -> impl Iterator<Item = &Arc<str>> {
        self.lost.iter()
    }

    pub(crate) fn replace(&mut self, key: &Arc<str>, new: Option<&ImageScan>, has_image: bool) {
        if let Some(at) = self.asked.remove(key) {
            self.unfinished.remove(&(at, key.clone()));
        }
        if let Some(new) = new.filter(|new| new.is_unfinished()) {
            self.asked.insert(key.clone(), new.requested_at);
        }
        self.note_image(key, has_image, new.is_some());
    }

    /// An image came or went, or its scan did.
    pub(crate) fn note_image(&mut self, key: &Arc<str>, has_image: bool, has_scan: bool) {
        match has_scan && !has_image {
            true => self.lost.insert(key.clone()),
            false => self.lost.remove(key),
        };
        let Some(at) = self.asked.get(key) else { return };
        let entry = (*at, key.clone());
        match has_image {
            true => self.unfinished.insert(entry),
            false => self.unfinished.remove(&entry),
        };
    }
}
