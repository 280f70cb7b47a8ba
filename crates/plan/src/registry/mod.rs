//! The registry tidies up: images that lifecycle policies let go, layers that no image names, and what deleted repositories
//! left.
//!
//! Records go here; their bytes go after them, by the server, which asks the records. Nothing is let go that an image of its
//! repository names, nor a layer that was pushed, or asked for, within the hour: somebody may be about to push its image.

pub mod lifecycle;
#[cfg(test)]
mod tests;

use longshore_model::registry::{Image, Lifecycle, Repository, content_key, tag_key};
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

/// How long a layer waits for an image that names it, in milliseconds.
pub const LOOSE_MILLIS: i64 = 60 * 60 * 1000;

/// How long it takes until a policy is acted on again that was acted on, in milliseconds.
pub const AGAIN_MILLIS: i64 = 10 * 60 * 1000;

/// Plan one turn.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    ruins(state, &mut plan);
    loose(state, now, &mut plan);
    policies(state, now, &mut plan);
    if plan.changes.len() >= MAX_CHANGES {
        plan.wake(now);
    }
    plan
}

fn room(plan: &Plan) -> usize {
    MAX_CHANGES.saturating_sub(plan.changes.len())
}

/// What was in repositories that were deleted: tags first, so that none leads nowhere.
fn ruins(state: &State, plan: &mut Plan) {
    for id in state.index.registry.ruins() {
        let tags = state.tags_of(id).map(|tag| Change::Delete(TableName::ImageTag, tag.key()));
        let images = state.images_of(id).map(|image| Change::Delete(TableName::Image, image.key()));
        let layers = state.layers.under(content_key(id, "")).map(|row| Change::Delete(TableName::Layer, row.key()));
        let room = room(plan);
        plan.changes.extend(tags.chain(images).chain(layers).take(room));
        if plan.changes.len() >= MAX_CHANGES {
            return;
        }
    }
}

/// Layers that no image has named for an hour.
fn loose(state: &State, now: Timestamp, plan: &mut Plan) {
    for (pushed_at, key) in state.index.registry.loose() {
        let due = after(pushed_at, LOOSE_MILLIS);
        if due > now {
            return plan.wake(due);
        }
        if room(plan) == 0 {
            return;
        }
        // What is in a ruin may have gone above.
        let is_ruin = key.split_once('@').is_none_or(|(id, _)| state.repository_of(id).is_none());
        if !is_ruin {
            plan.changes.push(Change::Delete(TableName::Layer, key.to_string()));
        }
    }
}

/// Acts on the policies that are due.
fn policies(state: &State, now: Timestamp, plan: &mut Plan) {
    for (_, repository) in state.repositories.iter() {
        let Some(policy) = &repository.lifecycle else { continue };
        let due = due(policy);
        if due > now {
            plan.wake(due);
            continue;
        }
        if room(plan) < 2 {
            return plan.wake(now);
        }
        act(state, now, repository, policy, plan);
    }
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
    let is_done = match lifecycle::parse(&policy.text) {
        Ok(rules) => expire(state, now, repository, &rules, plan),
        Err(_) => true,
    };
    let gone = plan.changes.len() - before;
    if gone > 0 {
        let name = &repository.name;
        plan.reasons.push(format!("the lifecycle policy of {}/{name} lets images go: {gone} records", repository.account));
    }
    if is_done {
        let lifecycle = Some(Lifecycle { evaluated_at: Some(now), ..policy.clone() });
        plan.changes.push(Repository { lifecycle, ..repository.clone() }.into());
    } else {
        plan.wake(now);
    }
}

/// Returns whether there is nothing left to do.
fn expire(state: &State, now: Timestamp, repository: &Repository, rules: &lifecycle::Policy, plan: &mut Plan) -> bool {
    let subjects = lifecycle::subjects(state, &repository.id);
    let expired = lifecycle::expired(rules, &subjects, now);
    let mut is_done = true;
    for digest in expired.keys() {
        let Some(image) = state.image(&repository.id, digest) else { continue };
        // An index that lists it goes first, and it in a later turn.
        let is_listed = state.index.registry.uses(&image.key()) > 0;
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
