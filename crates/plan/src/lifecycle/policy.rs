//! Lifecycle policies: what images of a repository a policy lets go.
//!
//! As ECR documents it: all rules are looked at at once, and each image is the first rule's, in the order of priorities, whose
//! tags it has. That rule alone may expire it; a rule that counts images counts also those that are another's. An image
//! that an index lists stays as long as the index does, and one that is about another stays with that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use longshore_model::State;
use longshore_model::registry::{Image, content_key, pattern};
use longshore_wire::Timestamp;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// A policy that was read: its rules, in the order of their priorities.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub priority: i32,
    pub tags: Tags,
    pub count: Count,
}

/// Which images a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Tags {
    Any,
    Untagged,
    /// For each of these some tag begins with it.
    Prefixes(Vec<String>),
    /// For each of these some tag is of it.
    Patterns(Vec<String>),
}

/// Which of these it lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All but the newest so many.
    MoreThan(u32),
    /// Those that were pushed so many days ago, or before.
    DaysSincePushed(u32),
    /// Those that were pulled last, or pushed if never pulled, so many days ago, or before.
    DaysSincePulled(u32),
}

/// What a policy is applied to.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    pub image: &'a Image,
    pub tags: Vec<&'a str>,
}

/// The images of a repository with their tags, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub images: Vec<(Arc<Image>, Vec<String>)>,
}

impl Picture {
    /// Of the repository with this id.
    pub fn of(state: &State, repository: &str) -> Self {
        let tags = |key: &str| state.index.registry.tags(key).cloned().collect();
        let prefix = content_key(repository, "");
        let images = state.images.scan(&prefix).map(|(key, image)| (image.clone(), tags(key)));
        Self { images: images.collect() }
    }

    pub fn subjects(&self) -> Vec<Subject<'_>> {
        let subjects = self.images.iter();
        subjects.map(|(image, tags)| Subject { image, tags: tags.iter().map(String::as_str).collect() }).collect()
    }
}

/// The digests of the images that go, each with the priority of the rule that it goes by, at `now`.
pub fn expired<'a>(policy: &Policy, subjects: &[Subject<'a>], now: Timestamp) -> BTreeMap<&'a str, i32> {
    let here: HashSet<&str> = subjects.iter().map(|subject| subject.image.digest.as_str()).collect();
    let is_about = |image: &Image| image.subject.as_deref().is_some_and(|about| here.contains(about));
    let mut free: Vec<&Subject<'a>> = subjects.iter().filter(|subject| !is_about(subject.image)).collect();
    // The newest first; those of one moment in an order that is the same each time.
    free.sort_by_key(|subject| (std::cmp::Reverse(subject.image.pushed_at), subject.image.digest.as_str()));
    let mut owned: HashSet<&str> = HashSet::new();
    let mut going: BTreeMap<&str, i32> = BTreeMap::new();
    for rule in &policy.rules {
        let meant: Vec<&&Subject<'a>> = free.iter().filter(|subject| rule.tags.takes(&subject.tags)).collect();
        for (at, subject) in meant.iter().enumerate() {
            let digest = subject.image.digest.as_str();
            if owned.insert(digest) && rule.count.lets_go(at, subject.image, now) {
                going.insert(digest, rule.priority);
            }
        }
    }
    spare_listed(subjects, &mut going);
    join_referrers(subjects, &mut going);
    going
}

/// What an index that stays lists stays, and what that lists.
fn spare_listed<'a>(subjects: &[Subject<'a>], going: &mut BTreeMap<&'a str, i32>) {
    let images: HashMap<&str, &Image> =
        subjects.iter().map(|subject| (subject.image.digest.as_str(), subject.image)).collect();
    let mut staying: Vec<&Image> = subjects
        .iter()
        .map(|subject| subject.image)
        .filter(|image| !going.contains_key(image.digest.as_str()))
        .collect();
    while let Some(image) = staying.pop() {
        for listed in &image.images {
            if going.remove(listed.as_str()).is_some() {
                staying.extend(images.get(listed.as_str()));
            }
        }
    }
}

/// What is about an image that goes, and has no tag of its own, goes with it.
fn join_referrers<'a>(subjects: &[Subject<'a>], going: &mut BTreeMap<&'a str, i32>) {
    let listed: BTreeSet<&str> =
        subjects.iter().flat_map(|subject| subject.image.images.iter().map(String::as_str)).collect();
    let mut referrers: HashMap<&str, Vec<&'a str>> = HashMap::new();
    for subject in subjects.iter().filter(|subject| subject.tags.is_empty()) {
        let digest = subject.image.digest.as_str();
        if let Some(about) = subject.image.subject.as_deref().filter(|_| !listed.contains(digest)) {
            referrers.entry(about).or_default().push(digest);
        }
    }
    let mut next: Vec<(&str, i32)> = going.iter().map(|(digest, priority)| (*digest, *priority)).collect();
    while let Some((digest, priority)) = next.pop() {
        for referrer in referrers.get(digest).into_iter().flatten() {
            if !going.contains_key(referrer) {
                going.insert(referrer, priority);
                next.push((referrer, priority));
            }
        }
    }
}

impl Tags {
    pub(super) fn takes(&self, tags: &[&str]) -> bool {
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Prefixes(all) => all.iter().all(|prefix| tags.iter().any(|tag| tag.starts_with(prefix.as_str()))),
            Self::Patterns(all) => all.iter().all(|one| tags.iter().any(|tag| pattern::matches(one, tag))),
        }
    }
}

impl Count {
    /// Whether the image at a place, from the newest on, goes.
    fn lets_go(self, at: usize, image: &Image, now: Timestamp) -> bool {
        let is_older =
            |since: Timestamp, days: u32| now.millis().saturating_sub(since.millis()) >= i64::from(days) * DAY_MILLIS;
        match self {
            Self::MoreThan(most) => at >= usize::try_from(most).unwrap_or(usize::MAX),
            Self::DaysSincePushed(days) => is_older(image.pushed_at, days),
            Self::DaysSincePulled(days) => is_older(image.pulled_at.unwrap_or(image.pushed_at), days),
        }
    }
}
