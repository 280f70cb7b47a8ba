//! Scans of images, and which images are scanned when they are pushed.
//!
//! ```text
//!     PENDING ──► IN_PROGRESS ──► COMPLETE | FAILED | UNSUPPORTED_IMAGE
//! ```
//! An image has one scan, the last. What it found is bytes of their digest, as layers are; the record has the numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_api::ecr as api;
use longshore_wire::{Timestamp, record};

use super::{Repository, bytes_key, content_key, pattern};
use crate::State;

record! {
    /// The last scan of an image.
    pub struct ImageScan {
        /// The repository's id.
        pub repository: String = "repository",
        /// The image's.
        pub digest: String = "digest",
        pub status: api::ScanStatus = "status",
        /// Why it failed, or what was not judged.
        pub description: Option<String> = "description",
        pub requested_at: Timestamp = "requestedAt",
        pub completed_at: Option<Timestamp> = "completedAt",
        /// When the newest advisory was changed that it was laid beside.
        pub source_updated_at: Option<Timestamp> = "sourceUpdatedAt",
        /// How many findings there are of each severity.
        pub counts: BTreeMap<String, i32> = "counts",
        /// How often it was begun.
        pub tries: Option<i64> = "tries",
        /// Digest of the bytes that the findings are.
        pub findings: Option<String> = "findings",
    }

    /// Which repositories of an account are scanned on push, besides those that say so themselves.
    pub struct RegistryScanning {
        pub account: String = "account",
        pub rules: Vec<api::RegistryScanningRule> = "rules",
    }
}

impl ImageScan {
    /// One that waits for its turn.
    pub fn pending(repository: &str, digest: &str, now: Timestamp) -> Self {
        Self {
            repository: repository.to_owned(),
            digest: digest.to_owned(),
            status: api::ScanStatus::Pending,
            description: None,
            requested_at: now,
            completed_at: None,
            source_updated_at: None,
            counts: BTreeMap::new(),
            tries: None,
            findings: None,
        }
    }

    /// That of the image that it is of.
    pub fn key(&self) -> String {
        content_key(&self.repository, &self.digest)
    }

    /// Whether somebody works on it, or is to.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.status, api::ScanStatus::Pending | api::ScanStatus::InProgress)
    }
}

impl RegistryScanning {
    /// The filters that have a repository of this name scanned on push.
    pub fn filters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a api::ScanningRepositoryFilter> {
        let on_push = |rule: &&api::RegistryScanningRule| rule.scan_frequency == Some(api::ScanFrequency::ScanOnPush);
        let filters = self.rules.iter().filter(on_push).flat_map(|rule| rule.repository_filters.iter().flatten());
        filters.filter(move |one| one.filter.as_deref().is_some_and(|filter| takes(filter, name)))
    }
}

/// Whether a filter takes a name. One without a wildcard takes every name that it is a part of.
fn takes(filter: &str, name: &str) -> bool {
    if filter.contains('*') { pattern::matches(filter, name) } else { name.contains(filter) }
}

impl State {
    /// The last scan of an image of a repository.
    pub fn image_scan(&self, repository: &str, digest: &str) -> Option<&Arc<ImageScan>> {
        self.image_scans.get(&content_key(repository, digest))
    }

    /// Whether images are scanned when they are pushed to a repository.
    pub fn scans_on_push(&self, repository: &Repository) -> bool {
        let rules = self.registry_scannings.get(&repository.account);
        repository.scan_on_push || rules.is_some_and(|rules| rules.filters(&repository.name).next().is_some())
    }

    pub(crate) fn set_image_scan(&mut self, key: &Arc<str>, row: Option<&Arc<ImageScan>>) {
        let old = self.image_scans.set(key, row);
        let findings = |scan: Option<&Arc<ImageScan>>| {
            let scan = scan?;
            Some(bytes_key(&scan.repository, scan.findings.as_deref()?).into_owned())
        };
        // What comes first, so that bytes that stay are held throughout.
        findings(row).iter().for_each(|digest| self.index.registry.hold(digest, true));
        findings(old.as_ref()).iter().for_each(|digest| self.index.registry.hold(digest, false));
        let has_image = self.images.contains(key);
        self.index.scans.replace(key, row.map(AsRef::as_ref), has_image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Image;
    use crate::{Change, TableName};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn scan(digest: &str, status: api::ScanStatus, findings: Option<&str>) -> ImageScan {
        let findings = findings.map(str::to_owned);
        ImageScan { status, findings, ..ImageScan::pending("r", digest, at(5)) }
    }

    fn image(digest: &str) -> Change {
        let image = Image::new("r", digest, at(1));
        image.into()
    }

    fn unfinished(state: &State) -> Vec<&str> {
        state.index.scans.unfinished().map(AsRef::as_ref).collect()
    }

    fn lost(state: &State) -> Vec<&str> {
        state.index.scans.lost().map(AsRef::as_ref).collect()
    }

    #[test]
    fn a_scan_is_unfinished_until_it_ends_and_its_findings_are_held() {
        let mut state = State::default();
        state.apply(&image("a"));
        state.apply(&scan("a", api::ScanStatus::Pending, None).into());
        assert_eq!(unfinished(&state), ["r@a"]);
        state.apply(&scan("a", api::ScanStatus::InProgress, None).into());
        assert_eq!(unfinished(&state), ["r@a"]);
        state.apply(&scan("a", api::ScanStatus::Complete, Some("sha256:f")).into());
        assert!(unfinished(&state).is_empty() && state.index.registry.is_held("sha256:f"));
        state.apply(&scan("a", api::ScanStatus::Complete, Some("sha256:g")).into());
        assert!(!state.index.registry.is_held("sha256:f") && state.index.registry.is_held("sha256:g"));
    }

    #[test]
    fn a_scan_is_lost_with_its_image() {
        let mut state = State::default();
        state.apply(&image("a"));
        state.apply(&scan("a", api::ScanStatus::Pending, Some("sha256:f")).into());
        assert!(lost(&state).is_empty());
        state.apply(&Change::Delete(TableName::Image, "r@a".to_owned()));
        assert_eq!((lost(&state), unfinished(&state)), (vec!["r@a"], vec![]));
        state.apply(&image("a"));
        assert_eq!((lost(&state), unfinished(&state)), (vec![], vec!["r@a"]));
        state.apply(&Change::Delete(TableName::Image, "r@a".to_owned()));
        state.apply(&Change::Delete(TableName::ImageScan, "r@a".to_owned()));
        assert!(lost(&state).is_empty() && !state.index.registry.is_held("sha256:f"));
        // Rows may be read in any order.
        state.apply(&scan("b", api::ScanStatus::Complete, None).into());
        assert_eq!(lost(&state), ["r@b"]);
        state.apply(&image("b"));
        assert!(lost(&state).is_empty());
    }

    #[test]
    fn filters_take_names() {
        let rows = [
            ("web", "team/web-1", true),
            ("*", "a/b", true),
            ("prod-*", "prod-web", true),
            ("prod-*", "a/prod-web", false),
        ];
        for (filter, name, expected) in rows {
            assert_eq!(takes(filter, name), expected, "{filter} {name}");
        }
    }
}
