//! Lifecycle policies of repositories: what they let go ([`expired`]), and the planner that acts on them.
//!
//! A policy is acted on as soon as it is put, and then every ten minutes. An image that an index lists goes in a later turn than
//! that; the layers that only an image had named go when it is gone ([`crate::prune`]).

mod document;
mod policy;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turn_tests;

use longshore_model::registry::{Image, Lifecycle, Repository, tag_key};
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

pub use document::{Invalid, parse};
pub use policy::{Count, Policy, Rule, Subject, Tags, expired, subjects};

/// How long it takes until a policy is acted on again that was acted on, in milliseconds.
pub const AGAIN_MILLIS: i64 = 10 * 60 * 1000;

/// Plan one turn: what the policies that are due let go, as much as one transaction takes.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for (_, repository) in state.repositories.iter() {
        let Some(policy) = &repository.lifecycle else { continue };
        let due = due(policy);
        if due > now {
            plan.wake(due);
            continue;
        }
        if room(&plan) < 2 {
            plan.wake(now);
            break;
        }
        act(state, now, repository, policy, &mut plan);
    }
    plan
}

fn room(plan: &Plan) -> usize {
    MAX_CHANGES.saturating_sub(plan.changes.len())
}

fn due(policy: &Lifecycle) -> Timestamp {
    match policy.evaluated_at {
        Some(at) if at >= policy.set_at => after(at, AGAIN_MILLIS),
        _ => policy.set_at,
    }
}

/// Lets images go by a repository's policy. When all have gone that can go in one turn, that is noted.
fn act(state: &State, now: Timestamp, repository: &Repository, policy: &Lifecycle, plan: &mut Plan) {
    let before = plan.changes.len();
    let is_done = match parse(&policy.text) {
        Ok(rules) => expire(state, now, repository, &rules, plan),
        Err(_) => true,
    };
    let gone = plan.changes.len() - before;
    if gone > 0 {
        let name = &repository.name;
        plan.reasons
            .push(format!("the lifecycle policy of {}/{name} lets images go: {gone} records", repository.account));
    }
    if is_done {
        let lifecycle = Some(Lifecycle { evaluated_at: Some(now), ..policy.clone() });
        plan.changes.push(Repository { lifecycle, ..repository.clone() }.into());
    } else {
        plan.wake(now);
    }
}

/// Returns whether there is nothing left to do.
fn expire(state: &State, now: Timestamp, repository: &Repository, rules: &Policy, plan: &mut Plan) -> bool {
    let images = subjects(state, &repository.id);
    let going = expired(rules, &images, now);
    let mut is_done = true;
    for digest in going.keys() {
        let Some(image) = state.image(&repository.id, digest) else { continue };
        // An index that lists it goes first, and it in a later turn.
        let is_listed = state.index.registry.listings(&image.key()) > 0;
        is_done &= !is_listed;
        if is_listed {
            continue;
        }
        // One change is kept for the note.
        if room(plan) < 2 {
            return false;
        }
        is_done &= take(state, image, plan);
    }
    is_done
}

/// An image with its tags; as many of these as there is room for, if that is not enough.
fn take(state: &State, image: &Image, plan: &mut Plan) -> bool {
    let room = room(plan) - 1;
    let tags = state.index.registry.tags(&image.key());
    let is_whole = tags.len() < room;
    let tags = tags.take(room).map(|tag| Change::Delete(TableName::ImageTag, tag_key(&image.repository, tag)));
    plan.changes.extend(tags);
    if is_whole {
        plan.changes.push(Change::Delete(TableName::Image, image.key()));
    }
    is_whole
}
