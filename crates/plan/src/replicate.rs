//! Copies of images in other registries: which are made now, what becomes of one that was tried, and which are forgotten.
//!
//! One at a time goes to each registry: a tag that was moved in between leads there, at last, where it leads here. One that
//! fails is tried again after a pause that grows, and given up in the end; one that is refused is given up at once. The next
//! push of the image has it tried again.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_api::ecr::ReplicationStatus as Status;
use longshore_model::registry::{Destination, ImageReplication, Replica};
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

/// Copies that are made at one time.
pub const AT_ONCE: usize = 16;

/// How often one is tried that fails: for half a day.
pub const TRIES: i32 = 80;

/// Before one that failed is tried again; twice as long each time, but no longer than [`LONGEST_PAUSE_MILLIS`].
const PAUSE_MILLIS: i64 = 1000;
const LONGEST_PAUSE_MILLIS: i64 = 10 * 60 * 1000;

/// Forget records whose image is gone.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut lost = state.index.replications.lost();
    let gone = lost.by_ref().take(MAX_CHANGES);
    plan.changes.extend(gone.map(|key| Change::Delete(TableName::ImageReplication, key.to_string())));
    if lost.next().is_some() {
        plan.wake(now);
    }
    plan
}

/// A copy that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// Of the image, and of its record.
    pub key: Arc<str>,
    pub to: Destination,
}

/// Copies that are to be made now, besides those on their way to the registries that are `busy`: those first that have
/// waited longest.
pub fn due(state: &State, busy: &BTreeSet<Destination>, now: Timestamp) -> Vec<Errand> {
    let heads = state.index.replications.heads();
    let mut due: Vec<_> = heads.filter(|(to, at, _)| *at <= now && !busy.contains(to)).collect();
    due.sort_by_key(|(_, at, _)| *at);
    let room = AT_ONCE.saturating_sub(busy.len());
    due.into_iter().take(room).map(|(to, _, key)| Errand { key: key.clone(), to: to.clone() }).collect()
}

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is there, with its tags.
    Complete,
    /// Not yet: a word, and a sentence.
    Failed { code: &'static str, why: String },
    /// It will not be taken.
    Refused { code: &'static str, why: String },
}

/// The record after a try that began when it was at `version`; `None` if the copy is none of its any more.
pub fn tried(
    known: &ImageReplication,
    to: &Destination,
    version: i64,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<ImageReplication> {
    let mut row = known.clone();
    let pushed_since = known.version != version;
    let replica = row.replicas.iter_mut().find(|one| one.is_at(to) && one.status == Status::InProgress)?;
    match outcome {
        // It is not all there.
        _ if pushed_since => replica.next_at = now,
        Outcome::Complete => complete(replica),
        Outcome::Failed { code, why } => fail(replica, (code, why), now),
        Outcome::Refused { code, why } => give_up(replica, (code, why)),
    }
    Some(row)
}

/// What becomes of a record when there is nothing to be copied to a registry: the image is gone, or no rule asks for the copy.
/// `None` if there is again.
pub fn gone(state: &State, known: &ImageReplication, to: &Destination) -> Option<Change> {
    let key = known.key();
    let repository = state.repository_of(&known.repository).filter(|_| state.images.contains(&key));
    if repository.is_some_and(|repository| state.replicates(repository, to)) {
        return None;
    }
    let mut row = known.clone();
    row.replicas.retain(|replica| repository.is_some() && !replica.is_at(to));
    match row.replicas.is_empty() {
        true => Some(Change::Delete(TableName::ImageReplication, key)),
        false => Some(row.into()),
    }
}

fn complete(replica: &mut Replica) {
    (replica.status, replica.tries) = (Status::Complete, 0);
    (replica.failure_code, replica.failure) = (None, None);
}

fn fail(replica: &mut Replica, why: (&str, &str), now: Timestamp) {
    replica.tries = replica.tries.saturating_add(1);
    if replica.tries >= TRIES {
        return give_up(replica, why);
    }
    note(replica, why);
    let doublings = u32::try_from(replica.tries - 1).unwrap_or_default().min(20);
    replica.next_at = after(now, (PAUSE_MILLIS << doublings).min(LONGEST_PAUSE_MILLIS));
}

fn give_up(replica: &mut Replica, why: (&str, &str)) {
    replica.status = Status::Failed;
    note(replica, why);
}

fn note(replica: &mut Replica, (code, why): (&str, &str)) {
    (replica.failure_code, replica.failure) = (Some(code.to_owned()), Some(why.to_owned()));
}

#[cfg(test)]
mod tests {
    use longshore_api::ecr as api;
    use longshore_model::registry::{Image, RegistryReplication, Repository};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn to(region: &str) -> Destination {
        Destination { region: region.to_owned(), registry: "222222222222".to_owned() }
    }

    fn replica(region: &str, next_at: i64) -> Replica {
        Replica {
            region: region.to_owned(),
            registry: to(region).registry,
            status: Status::InProgress,
            since: at(0),
            tries: 0,
            next_at: at(next_at),
            failure_code: None,
            failure: None,
        }
    }

    fn row(digest: &str, replicas: Vec<Replica>) -> ImageReplication {
        ImageReplication { repository: "r".to_owned(), digest: digest.to_owned(), version: 1, replicas }
    }

    fn image(digest: &str) -> Image {
        Image::new("r", digest, at(0))
    }

    fn state(rows: Vec<ImageReplication>) -> State {
        let mut state = State::default();
        for row in rows {
            state.apply(&image(&row.digest).into());
            state.apply(&row.into());
        }
        state
    }

    fn failed() -> Outcome {
        Outcome::Failed { code: "C", why: "why".to_owned() }
    }

    #[test]
    fn one_goes_to_each_registry_at_a_time_the_oldest_first() {
        let state = state(vec![
            row("x", vec![replica("a", 5), replica("b", 9), replica("c", 99)]),
            row("y", vec![replica("a", 3), replica("b", 4)]),
        ]);
        let found = |busy: &[&str], now: i64| {
            let busy = busy.iter().map(|region| to(region)).collect();
            let due = due(&state, &busy, at(now)).into_iter();
            due.map(|errand| format!("{}>{}", errand.key, errand.to.region)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found(&[], 2), "");
        assert_eq!(found(&[], 10), "r@y>a r@y>b");
        assert_eq!(found(&["a"], 10), "r@y>b");
        assert_eq!(found(&["a"], 100), "r@y>b r@x>c");
    }

    #[test]
    fn what_no_rule_asks_for_any_more_is_let_go() {
        let known = row("x", vec![replica("a", 1), replica("b", 1)]);
        let follow = |regions: &[&str]| {
            let destination = |region: &&str| api::ReplicationDestination {
                region: Some((*region).to_owned()),
                registry_id: Some(to(region).registry),
            };
            let destinations = Some(regions.iter().map(destination).collect());
            let rule = api::ReplicationRule { destinations, ..Default::default() };
            Change::from(RegistryReplication { account: "111111111111".to_owned(), rules: vec![rule] })
        };
        let mut state = state(vec![known.clone()]);
        state.apply(&Repository::new("111111111111", "name", "r", at(0)).into());
        let mut check = |regions: &[&str], gone_to: &str, left: &[&str]| {
            state.apply(&follow(regions));
            let row = state.image_replications.get(&known.key()).unwrap().clone();
            gone(&state, &row, &to(gone_to)).iter().for_each(|change| state.apply(change));
            let rows = state.image_replications.iter().flat_map(|(_, row)| &row.replicas);
            assert_eq!(rows.map(|replica| replica.region.as_str()).collect::<Vec<_>>(), left, "{regions:?} {gone_to}");
        };
        check(&["a", "b"], "a", &["a", "b"]);
        check(&["b"], "a", &["b"]);
        check(&[], "b", &[]);
        assert!(state.image_replications.iter().next().is_none());
        let lost = gone(&State::default(), &known, &to("a"));
        assert!(matches!(lost, Some(Change::Delete(TableName::ImageReplication, key)) if key == known.key()));
    }

    #[test]
    fn no_more_go_at_once_than_there_is_room() {
        let regions: Vec<String> = (0..AT_ONCE + 5).map(|number| format!("r{number:02}")).collect();
        let state = state(vec![row("x", regions.iter().map(|region| replica(region, 0)).collect())]);
        assert_eq!(due(&state, &BTreeSet::new(), at(0)).len(), AT_ONCE);
        let busy = regions.iter().take(AT_ONCE - 1).map(|region| to(region)).collect();
        assert_eq!(due(&state, &busy, at(0)).len(), 1);
    }

    #[test]
    fn a_copy_that_fails_is_tried_after_growing_pauses_and_given_up_in_the_end() {
        let mut known = row("x", vec![replica("a", 0)]);
        let (mut now, mut pauses) = (0, Vec::new());
        while known.replicas[0].status == Status::InProgress {
            known = tried(&known, &to("a"), 1, &failed(), at(now)).unwrap();
            let next = known.replicas[0].next_at.millis() / 1000;
            pauses.push(next - now);
            now = next;
        }
        assert_eq!(pauses[..12], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(pauses.len(), TRIES as usize);
        let last = &known.replicas[0];
        assert_eq!((last.status, last.failure_code.as_deref()), (Status::Failed, Some("C")));
        assert!((10..14).contains(&(now / 3600)), "{now}");
        assert_eq!(tried(&known, &to("a"), 1, &Outcome::Complete, at(now)), None, "it is none any more");
    }

    #[test]
    fn what_came_of_a_try_counts_unless_something_was_pushed_since() {
        let known = row("x", vec![replica("a", 0), replica("b", 0)]);
        let complete = tried(&known, &to("a"), 1, &Outcome::Complete, at(9)).unwrap();
        assert_eq!((complete.replicas[0].status, &complete.replicas[1]), (Status::Complete, &known.replicas[1]));
        let refused = Outcome::Refused { code: "NO", why: "no".to_owned() };
        let refused = tried(&known, &to("a"), 1, &refused, at(9)).unwrap();
        assert_eq!(refused.replicas[0].status, Status::Failed);
        let newer = ImageReplication { version: 2, ..known.clone() };
        for outcome in [Outcome::Complete, failed()] {
            let row = tried(&newer, &to("a"), 1, &outcome, at(9)).unwrap();
            let replica = &row.replicas[0];
            assert_eq!((replica.status, replica.next_at, replica.tries), (Status::InProgress, at(9), 0));
        }
        assert_eq!(tried(&known, &to("c"), 1, &Outcome::Complete, at(9)), None);
    }

    #[test]
    fn records_of_images_that_are_gone_go_in_turns() {
        let mut state = State::default();
        (0..MAX_CHANGES + 5).for_each(|number| state.apply(&row(&number.to_string(), Vec::new()).into()));
        let first = turn(&state, at(1));
        assert_eq!((first.changes.len(), first.not_before), (MAX_CHANGES, Some(at(1))));
        first.changes.iter().for_each(|change| state.apply(change));
        let second = turn(&state, at(1));
        assert_eq!((second.changes.len(), second.not_before), (5, None));
        second.changes.iter().for_each(|change| state.apply(change));
        assert!(turn(&state, at(1)).changes.is_empty() && state.image_replications.is_empty());
    }
}
