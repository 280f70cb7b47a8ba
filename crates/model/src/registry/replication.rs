//! Copies of images in other registries: which repositories have them, and how far each copy is.
//!
//! ```text
//!     a push ──► IN_PROGRESS ──► COMPLETE        what was pushed since is there
//!                  │   ▲  └────► FAILED          refused, or tried too often
//!                  └───┘ after a pause              │
//!                      ▲────── the next push ───────┘
//! ```
//! One record is of one image and all registries that it goes to. Only what is pushed while a rule takes its repository has one;
//! a copy that came from another registry has none, so that copies do not go round.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_api::ecr as api;
use longshore_api::ecr::ReplicationStatus as Status;
use longshore_wire::{Timestamp, record};

use super::{Repository, content_key};
use crate::State;

record! {
    /// Where an account's images go.
    pub struct RegistryReplication {
        pub account: String = "account",
        pub rules: Vec<api::ReplicationRule> = "rules",
    }

    /// How far the copies of an image are.
    pub struct ImageReplication {
        /// The repository's id.
        pub repository: String = "repository",
        /// The image's.
        pub digest: String = "digest",
        /// Grows with each push: a copy that was made of what was pushed before is not complete.
        pub version: i64 = "version",
        /// By region and registry, each once.
        pub replicas: Vec<Replica> = "replicas",
    }

    /// How far one copy is.
    pub struct Replica {
        pub region: String = "region",
        /// An account.
        pub registry: String = "registry",
        pub status: Status = "status",
        /// Tags that were set since then are still to be set there.
        pub since: Timestamp = "since",
        /// How often it failed since the last push.
        pub tries: i32 = "tries",
        /// When it is tried, or tried again.
        pub next_at: Timestamp = "nextAt",
        /// Why it failed last: a word that callers are told, and a sentence.
        pub failure_code: Option<String> = "failureCode",
        pub failure: Option<String> = "failure",
    }
}

/// A registry: its region and its account. In order of the region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    pub region: String,
    pub registry: String,
}

impl std::fmt::Display for Destination {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}/{}", self.registry, self.region)
    }
}

impl Replica {
    fn new(to: &Destination, now: Timestamp) -> Self {
        Self {
            region: to.region.clone(),
            registry: to.registry.clone(),
            status: Status::InProgress,
            since: now,
            tries: 0,
            next_at: now,
            failure_code: None,
            failure: None,
        }
    }

    pub fn destination(&self) -> Destination {
        Destination { region: self.region.clone(), registry: self.registry.clone() }
    }

    pub fn is_at(&self, destination: &Destination) -> bool {
        self.region == destination.region && self.registry == destination.registry
    }

    /// What it is after another push. What was to be sent and was not is still to be sent.
    fn again(&self, now: Timestamp) -> Self {
        let since = if self.status == Status::Complete { now } else { self.since };
        Self { since, ..Self::new(&self.destination(), now) }
    }
}

impl ImageReplication {
    /// That of the image that it is of.
    pub fn key(&self) -> String {
        content_key(&self.repository, &self.digest)
    }

    pub fn replica(&self, at: &Destination) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.is_at(at))
    }

    /// Copies that are to be made, and when.
    pub fn waiting(&self) -> impl Iterator<Item = (Destination, Timestamp)> {
        let waiting = self.replicas.iter().filter(|replica| replica.status == Status::InProgress);
        waiting.map(|replica| (replica.destination(), replica.next_at))
    }
}

impl RegistryReplication {
    /// Where images of a repository of this name go.
    pub fn destinations(&self, name: &str) -> BTreeSet<Destination> {
        let rules = self.rules.iter().filter(|rule| takes(rule, name));
        rules.flat_map(|rule| rule.destinations.iter().flatten()).filter_map(named).collect()
    }

    /// Every registry that a rule names.
    pub fn all(rules: &[api::ReplicationRule]) -> BTreeSet<Destination> {
        rules.iter().flat_map(|rule| rule.destinations.iter().flatten()).filter_map(named).collect()
    }
}

fn named(given: &api::ReplicationDestination) -> Option<Destination> {
    Some(Destination { region: given.region.clone()?, registry: given.registry_id.clone()? })
}

/// Whether a rule takes a name: one without filters takes all.
fn takes(rule: &api::ReplicationRule, name: &str) -> bool {
    let filters = rule.repository_filters.as_deref().unwrap_or_default();
    let begins = |filter: &api::RepositoryFilter| filter.filter.as_deref().is_some_and(|text| name.starts_with(text));
    filters.is_empty() || filters.iter().any(begins)
}

impl State {
    /// How far the copies of an image of a repository are.
    pub fn image_replication(&self, repository: &str, digest: &str) -> Option<&Arc<ImageReplication>> {
        self.image_replications.get(&content_key(repository, digest))
    }

    /// Whether a rule has images of a repository copied to a registry.
    pub fn replicates(&self, repository: &Repository, to: &Destination) -> bool {
        let rules = self.registry_replications.get(&repository.account);
        rules.is_some_and(|rules| rules.destinations(&repository.name).contains(to))
    }

    /// What a push of an image to a repository leads to. One that changed nothing has those copies tried again that failed.
    pub fn replication_of_push(
        &self,
        repository: &Repository,
        digest: &str,
        is_change: bool,
        now: Timestamp,
    ) -> Option<ImageReplication> {
        let known = self.image_replication(&repository.id, digest);
        let destinations = self.registry_replications.get(&repository.account)?.destinations(&repository.name);
        let has_failed = known.is_some_and(|known| known.replicas.iter().any(|one| one.status == Status::Failed));
        if destinations.is_empty() || !(is_change || has_failed) {
            return None;
        }
        let replica = |to: &Destination| match known.and_then(|known| known.replica(to)) {
            Some(replica) if is_change || replica.status == Status::Failed => Some(replica.again(now)),
            Some(replica) => Some(replica.clone()),
            None => is_change.then(|| Replica::new(to, now)),
        };
        Some(ImageReplication {
            repository: repository.id.clone(),
            digest: digest.to_owned(),
            version: known.map_or(1, |known| known.version.saturating_add(1)),
            replicas: destinations.iter().filter_map(replica).collect(),
        })
    }

    pub(crate) fn set_image_replication(&mut self, key: &Arc<str>, row: Option<&Arc<ImageReplication>>) {
        let old = self.image_replications.set(key, row);
        let has_image = self.images.contains(key);
        self.index.replications.replace(key, old.as_deref(), row.map(AsRef::as_ref), has_image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, TableName};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn to(region: &str) -> Destination {
        Destination { region: region.to_owned(), registry: "222222222222".to_owned() }
    }

    fn rule(filters: &[&str], regions: &[&str]) -> api::ReplicationRule {
        let filter = |text: &&str| api::RepositoryFilter {
            filter: Some((*text).to_owned()),
            filter_type: Some(api::RepositoryFilterType::PrefixMatch),
        };
        let destination = |region: &&str| api::ReplicationDestination {
            region: Some((*region).to_owned()),
            registry_id: Some(to(region).registry),
        };
        api::ReplicationRule {
            destinations: Some(regions.iter().map(destination).collect()),
            repository_filters: (!filters.is_empty()).then(|| filters.iter().map(filter).collect()),
            delete_replication: None,
        }
    }

    fn repository(name: &str) -> Repository {
        Repository::new("111111111111", name, "r", at(0))
    }

    fn state(rules: Vec<api::ReplicationRule>) -> State {
        let mut state = State::default();
        state.apply(&RegistryReplication { account: "111111111111".to_owned(), rules }.into());
        state
    }

    #[test]
    fn a_repository_goes_where_rules_for_the_beginning_of_its_name_say() {
        let rules = vec![rule(&["team/", "web"], &["b", "a"]), rule(&["team/w"], &["c", "a"])];
        let replication = RegistryReplication { account: String::new(), rules };
        for (name, wanted) in
            [("team/web", "a b c"), ("team/db", "a b"), ("website", "a b"), ("teams", ""), ("a/team/web", "")]
        {
            let found: Vec<String> = replication.destinations(name).into_iter().map(|one| one.region).collect();
            assert_eq!(found.join(" "), wanted, "{name}");
        }
        let all = RegistryReplication { account: String::new(), rules: vec![rule(&[], &["a"])] };
        assert_eq!(all.destinations("any").len(), 1);
    }

    #[test]
    fn a_push_has_copies_made_and_one_that_failed_made_again() {
        let mut state = state(vec![rule(&[], &["a", "b"])]);
        let row = state.replication_of_push(&repository("web"), "d", true, at(1)).unwrap();
        assert_eq!((row.version, row.waiting().collect::<Vec<_>>()), (1, vec![(to("a"), at(1)), (to("b"), at(1))]));
        let mut row = row;
        (row.replicas[0].status, row.replicas[1].status) = (Status::Complete, Status::Failed);
        row.replicas[1].tries = 7;
        state.apply(&row.clone().into());
        let again = state.replication_of_push(&repository("web"), "d", false, at(2)).unwrap();
        assert_eq!(again.replicas[0], row.replicas[0], "what is complete is, if nothing was pushed");
        assert_eq!(again.waiting().collect::<Vec<_>>(), [(to("b"), at(2))]);
        assert_eq!((again.replicas[1].since, again.replicas[1].tries), (at(1), 0), "what was not sent is to be sent");
        let moved = state.replication_of_push(&repository("web"), "d", true, at(3)).unwrap();
        let since: Vec<_> = moved.replicas.iter().map(|replica| replica.since).collect();
        assert_eq!((moved.version, since), (2, vec![at(3), at(1)]));
    }

    #[test]
    fn nothing_is_copied_that_no_rule_takes_or_that_was_there_before() {
        let state = state(vec![rule(&["team/"], &["a"])]);
        assert_eq!(state.replication_of_push(&repository("web"), "d", true, at(1)), None);
        assert_eq!(state.replication_of_push(&repository("team/web"), "d", false, at(1)), None);
        let other = Repository { account: "333333333333".to_owned(), ..repository("team/web") };
        assert_eq!(state.replication_of_push(&other, "d", true, at(1)), None);
    }

    #[test]
    fn copies_wait_as_long_as_their_image_is_there() {
        let mut state = state(vec![rule(&[], &["a", "b"])]);
        let row = state.replication_of_push(&repository("web"), "d", true, at(1)).unwrap();
        let image = super::super::Image::new("r", "d", at(1));
        let counts = |state: &State| {
            let index = &state.index.replications;
            (index.heads().count(), index.lost().count())
        };
        state.apply(&row.clone().into());
        assert_eq!(counts(&state), (0, 1));
        state.apply(&image.into());
        assert_eq!(counts(&state), (2, 0));
        let mut ended = row.clone();
        ended.replicas[0].status = Status::Complete;
        state.apply(&ended.into());
        assert_eq!(counts(&state), (1, 0));
        state.apply(&Change::Delete(TableName::Image, row.key()));
        assert_eq!(counts(&state), (0, 1));
        state.apply(&Change::Delete(TableName::ImageReplication, row.key()));
        assert_eq!(state.index.replications, Default::default());
    }
}
