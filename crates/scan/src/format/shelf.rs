//! Where the packages of one file go.

use std::sync::Arc;

use crate::layer::Budget;
use crate::package::{Kind, Package, Source};

/// Of a name or a version. No registry takes longer ones.
const LONGEST: usize = 512;

pub(crate) struct Shelf<'a> {
    path: Arc<str>,
    packages: Vec<Package>,
    refused: usize,
    is_full: bool,
    budget: &'a mut Budget,
}

impl<'a> Shelf<'a> {
    pub(crate) fn new(path: &str, budget: &'a mut Budget) -> Self {
        Self { path: Arc::from(path), packages: Vec::new(), refused: 0, is_full: false, budget }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Pays for bytes that a file unpacks to; whether the image may unpack to them, and there is time.
    pub(super) fn pay_unpacked(&mut self, bytes: u64) -> bool {
        let is_paid = self.budget.unpacked_left() >= bytes && !self.budget.is_late();
        self.budget.pay_unpacked(bytes);
        is_paid
    }

    /// Counts a package of which something is not known.
    pub(super) fn refuse(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    pub(crate) fn add(&mut self, kind: Kind, name: &str, version: &str) {
        self.add_whole(kind, name, version, None, None);
    }

    /// Adds a package unless what it is called is no name: then it is counted as refused.
    pub(crate) fn add_whole(
        &mut self,
        kind: Kind,
        name: &str,
        version: &str,
        source: Option<(&str, &str)>,
        architecture: Option<&str>,
    ) {
        let words = [Some(name), Some(version), source.map(|of| of.0), source.map(|of| of.1), architecture];
        let mut words = words.into_iter().flatten();
        if self.is_full {
            return;
        }
        if !words.clone().all(is_word) {
            self.refuse();
            return;
        }
        let bytes = words.by_ref().map(str::len).sum::<usize>() + size_of::<Package>();
        if !self.budget.pay(bytes) {
            self.is_full = true;
            return;
        }
        self.packages.push(Package {
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            source: source.map(|(name, version)| Source { name: name.to_owned(), version: version.to_owned() }),
            architecture: architecture.map(str::to_owned),
            path: self.path.clone(),
        });
    }

    /// Adds a package that another file names as well.
    pub(super) fn add_again(&mut self, package: &Package) {
        let Package { kind, name, version, source, architecture, .. } = package;
        let source = source.as_ref().map(|of| (of.name.as_str(), of.version.as_str()));
        self.add_whole(*kind, name, version, source, architecture.as_deref());
    }

    /// The packages, and how many were refused.
    pub(super) fn take(&mut self) -> (Vec<Package>, usize) {
        (std::mem::take(&mut self.packages), self.refused)
    }
}

/// Whether it can be a name or a version: some bytes, not too many, none of them space or control.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}
