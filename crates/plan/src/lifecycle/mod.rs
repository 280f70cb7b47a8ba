//! Lifecycle policies of repositories: what they let go ([`expired`]), and the planner that acts on them.
//!
//! ```text
//!     due ──► Picture ──► Errand::new ──► turn, turn, … ──► noted in the repository
//!          the state held   nothing held     a transaction each
//! ```
//! A policy is acted on as soon as it is put, and then every ten minutes. It is evaluated once, on a picture of its repository, and
//! nobody waits for that. What it lets go goes a transaction at a time, an index before what it lists; an image that is not as
//! it was in the picture stays until the next time. The layers that only an image had named go later ([`crate::prune`]).

mod document;
mod policy;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turn_tests;

use std::collections::HashMap;
use std::sync::Arc;

use longshore_model::registry::{Image, Lifecycle, Repository, tag_key};
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

pub use document::{Invalid, parse};
pub use policy::{Count, Picture, Policy, Rule, Subject, Tags, expired};

/// How long it takes until a policy is acted on again that was acted on, in milliseconds.
pub const AGAIN_MILLIS: i64 = 10 * 60 * 1000;

/// A repository whose policy is due; if there is none, when one will be.
///
/// # Errors
/// That time; `None` where no repository has a policy.
pub fn due(state: &State, now: Timestamp) -> Result<Arc<Repository>, Option<Timestamp>> {
    let mut next: Option<Timestamp> = None;
    for (_, repository) in state.repositories.iter() {
        let Some(at) = repository.lifecycle.as_ref().map(due_at) else { continue };
        if at <= now {
            return Ok(repository.clone());
        }
        next = Some(next.map_or(at, |known| known.min(at)));
    }
    Err(next)
}

fn due_at(policy: &Lifecycle) -> Timestamp {
    match policy.evaluated_at {
        Some(at) if at >= policy.set_at => after(at, AGAIN_MILLIS),
        _ => policy.set_at,
    }
}

/// What a policy lets go, until all of it has gone.
pub struct Errand {
    repository: Arc<Repository>,
    /// Images with the tags they had, the one last that goes first.
    going: Vec<(Arc<Image>, Vec<String>)>,
    is_over: bool,
}

impl Errand {
    /// Evaluates the policy of a repository, at `now`. Of a hundred thousand images it takes a good part of a second.
    pub fn new(repository: Arc<Repository>, picture: Picture, now: Timestamp) -> Self {
        let rules = repository.lifecycle.as_ref().and_then(|policy| parse(&policy.text).ok());
        let going = rules.map(|rules| chosen(picture, &rules, now)).unwrap_or_default();
        Self { repository, going, is_over: false }
    }

    /// Whether there is no turn left: all has gone that could, or the policy is another.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Plan one turn: as much as one transaction takes. With the last it is noted that the policy was acted on. A plan that is not
    /// committed is lost: the errand must be begun anew then.
    pub fn turn(&mut self, state: &State, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let Some((repository, policy)) = self.policy(state) else {
            self.is_over = true;
            return plan;
        };
        // How many of the indexes that list an image go in this turn.
        let mut unlisted: HashMap<String, usize> = HashMap::new();
        // One change is kept for the note.
        while room(&plan) > 1
            && let Some((image, tags)) = self.going.pop()
        {
            let listings = unlisted.get(&image.digest).copied().unwrap_or(0);
            if is_as_it_was(state, &image, &tags, listings) && self.take(&image, tags, &mut plan) {
                image.images.iter().for_each(|listed| *unlisted.entry(listed.clone()).or_default() += 1);
            }
        }
        if !plan.changes.is_empty() {
            let (account, name, gone) = (&repository.account, &repository.name, plan.changes.len());
            plan.reasons.push(format!("the lifecycle policy of {account}/{name} lets images go: {gone} records"));
        }
        if self.going.is_empty() {
            let lifecycle = Some(Lifecycle { evaluated_at: Some(now), ..policy.clone() });
            plan.changes.push(Repository { lifecycle, ..Repository::clone(repository) }.into());
            self.is_over = true;
        }
        plan
    }

    /// The repository as it is now, if it has the policy that was evaluated.
    fn policy<'a>(&self, state: &'a State) -> Option<(&'a Repository, &'a Lifecycle)> {
        let repository = state.repository_of(&self.repository.id)?;
        let policy =
            repository.lifecycle.as_ref().filter(|policy| Some(*policy) == self.repository.lifecycle.as_ref())?;
        Some((repository, policy))
    }

    /// Lets an image go with its tags; where there is not room for all of these, some first. Returns whether it goes.
    fn take(&mut self, image: &Arc<Image>, mut tags: Vec<String>, plan: &mut Plan) -> bool {
        let room = room(plan) - 1;
        let is_whole = tags.len() < room;
        let gone = tags.split_off(tags.len().saturating_sub(room));
        let delete = |tag: &String| Change::Delete(TableName::ImageTag, tag_key(&image.repository, tag));
        plan.changes.extend(gone.iter().map(delete));
        match is_whole {
            true => plan.changes.push(Change::Delete(TableName::Image, image.key())),
            false => self.going.push((image.clone(), tags)),
        }
        is_whole
    }
}

fn room(plan: &Plan) -> usize {
    MAX_CHANGES.saturating_sub(plan.changes.len())
}

/// Whether an image is as it was when it was to go, not pulled nor tagged since, and no index lists it but those that go.
fn is_as_it_was(state: &State, image: &Image, tags: &[String], listings: usize) -> bool {
    let key = image.key();
    let index = &state.index.registry;
    let is_same = state.images.get(&key).is_some_and(|now| **now == *image);
    is_same && index.listings(&key) == listings && index.tags(&key).eq(tags)
}

/// Those images of a picture that a policy lets go, with their tags: the one last that goes first. An index was pushed after
/// what it lists, so it goes before that.
fn chosen(picture: Picture, policy: &Policy, now: Timestamp) -> Vec<(Arc<Image>, Vec<String>)> {
    let goes: Vec<bool> = {
        let subjects = picture.subjects();
        let going = expired(policy, &subjects, now);
        subjects.iter().map(|subject| going.contains_key(subject.image.digest.as_str())).collect()
    };
    let chosen = picture.images.into_iter().zip(goes).filter(|(_, goes)| *goes);
    let mut chosen: Vec<(Arc<Image>, Vec<String>)> = chosen.map(|(image, _)| image).collect();
    chosen.sort_by_key(|(image, _)| (image.pushed_at, !image.images.is_empty()));
    chosen
}
