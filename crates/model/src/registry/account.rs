//! What an account says of its registry as a whole, templates of repositories, previews of lifecycle policies.

use std::collections::BTreeMap;

use longshore_api::ecr as api;
use longshore_wire::{Timestamp, record};

/// Templates that an account may have: ECR's quota.
pub const MOST_TEMPLATES: usize = 50;

/// The prefix of a template that is for every name for which no other is.
pub const ROOT: &str = "ROOT";

record! {
    /// An account's registry.
    pub struct RegistrySettings {
        pub account: String = "account",
        /// The registry's policy: a document.
        pub policy: Option<String> = "policy",
        /// Settings by name, those that were put.
        pub settings: BTreeMap<String, String> = "settings",
    }

    /// What a repository below a prefix is like that is made because somebody pulls or pushes.
    pub struct CreationTemplate {
        pub account: String = "account",
        pub prefix: String = "prefix",
        /// As it is shown.
        pub template: api::RepositoryCreationTemplate = "template",
    }

    /// A lifecycle policy that was tried out on a repository.
    pub struct LifecyclePreview {
        /// The repository's id.
        pub repository: String = "repository",
        pub text: String = "text",
        pub started_at: Timestamp = "startedAt",
    }
}

impl CreationTemplate {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.prefix)
    }
}

/// Prefixes that are for a repository's name, the longest first, [`ROOT`] last.
pub fn prefixes(name: &str) -> impl Iterator<Item = String> {
    let parts: Vec<&str> = name.split('/').collect();
    let all = (1..=parts.len()).rev().map(move |length| parts[..length].join("/"));
    all.chain([ROOT.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_comes_first() {
        assert_eq!(prefixes("a/b/c").collect::<Vec<_>>(), ["a/b/c", "a/b", "a", "ROOT"]);
        assert_eq!(prefixes("a").collect::<Vec<_>>(), ["a", "ROOT"]);
    }
}
