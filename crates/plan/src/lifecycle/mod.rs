//! Lifecycle policies of repositories: what they let go ([`expired`]), and the planner that acts on them.
//!
//! ```text
//!     due ──► Picture ──► Errand::new ──► turn, turn, … ──► noted in the repository
//!          the state held   nothing held     a transaction each
//! ```
//! A policy is due as soon as it is put, and then every ten minutes; the one that is due longest is acted on first. It is
//! evaluated once, on a picture of its repository, and nobody waits for that. What it lets go goes a transaction at a time, an
//! index before what it lists, an image before what is about it. An image that is not as it was in the picture stays until the
//! next time, and what is about it too. The layers that only an image had named go later ([`crate::prune`]).

mod document;
mod order;
mod policy;
#[cfg(test)]
mod tests;
mod turn;
#[cfg(test)]
mod turn_tests;

use std::sync::Arc;

use longshore_model::State;
use longshore_model::registry::{Image, Lifecycle, Repository};
use longshore_wire::Timestamp;

use crate::{Plan, after};
use order::order;
use turn::{Going, Turn};

pub use document::{Invalid, parse};
pub use policy::{Count, Picture, Policy, Rule, Subject, Tags, expired};

/// How long it takes until a policy is acted on again that was acted on, in milliseconds.
pub const AGAIN_MILLIS: i64 = 10 * 60 * 1000;

/// The repositories whose policies are due, the one first that is due longest.
pub fn due(state: &State, now: Timestamp) -> Vec<Arc<Repository>> {
    let all = state.repositories.iter().filter_map(|(_, repository)| {
        let at = repository.lifecycle.as_ref().map(due_at)?;
        (at <= now).then(|| (at, repository.clone()))
    });
    let mut due: Vec<(Timestamp, Arc<Repository>)> = all.collect();
    due.sort_by_key(|(at, _)| *at);
    due.into_iter().map(|(_, repository)| repository).collect()
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
    /// The one last that goes first.
    going: Vec<Going>,
    is_over: bool,
}

impl Errand {
    /// Evaluates the policy of a repository, at `now`. Each tag is laid beside each pattern of the policy, at worst: of a hundred
    /// thousand images with a tag each and fifty patterns it takes a good part of a second, and half a minute if the policy is as
    /// full as it may be of patterns that are made to take long. With more tags it takes as many times longer.
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
        let Some(repository) = state.repository_of(&self.repository.id) else {
            self.is_over = true;
            return Plan::default();
        };
        let policy = repository.lifecycle.as_ref().filter(|now| self.repository.lifecycle.as_ref() == Some(*now));
        if policy.is_none() {
            self.going.retain(|one| one.is_begun);
        }
        let mut plan = self.let_go(state);
        if !plan.changes.is_empty() {
            let (account, name, gone) = (&repository.account, &repository.name, plan.changes.len());
            plan.reasons.push(format!("the lifecycle policy of {account}/{name} lets images go: {gone} records"));
        }
        self.is_over = self.going.is_empty();
        if let Some(policy) = policy.filter(|_| self.is_over) {
            let lifecycle = Some(Lifecycle { evaluated_at: Some(now), ..policy.clone() });
            plan.changes.push(Repository { lifecycle, ..Repository::clone(repository) }.into());
        }
        plan
    }

    /// As much of what is to go as there is room for.
    fn let_go(&mut self, state: &State) -> Plan {
        let mut turn = Turn::default();
        while let Some(one) = self.going.pop() {
            if let Some(left) = turn.take(state, one) {
                self.going.push(left);
                break;
            }
        }
        turn.plan
    }
}

/// Those images of a picture that a policy lets go: the one last that goes first.
fn chosen(picture: Picture, policy: &Policy, now: Timestamp) -> Vec<Going> {
    let places = {
        let subjects = picture.subjects();
        let going = expired(policy, &subjects, now);
        let goes = |image: &Image| going.contains_key(image.digest.as_str());
        let chosen: Vec<usize> = (0..subjects.len()).filter(|at| goes(subjects[*at].image)).collect();
        let images: Vec<&Image> = chosen.iter().map(|at| subjects[*at].image).collect();
        order(&images).into_iter().rev().map(|at| chosen[at]).collect::<Vec<usize>>()
    };
    let mut images = picture.images;
    let mut take = |at: usize| {
        let (image, tags) = &mut images[at];
        Going { image: image.clone(), tags: std::mem::take(tags), is_begun: false }
    };
    places.into_iter().map(&mut take).collect()
}
