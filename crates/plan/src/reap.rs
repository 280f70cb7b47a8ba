//! Forgetting what ended long ago: stopped tasks, used client tokens, inactive services, deregistered nodes, deleted task
//! definitions.

use longshore_model::service::ServiceStatus;
use longshore_model::setting::Token;
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after};

const HOUR_MILLIS: i64 = 60 * 60 * 1000;
const DAY_MILLIS: i64 = 24 * HOUR_MILLIS;

/// How long an inactive service can still be described.
const SERVICE_TTL_MILLIS: i64 = DAY_MILLIS;

/// How long a deleted task definition can be described at least, so that whoever deleted it can see that.
const DEFINITION_TTL_MILLIS: i64 = 60 * 1000;

/// Of a cluster's stopped tasks, the newest so many of services and the newest so many others are kept; older ones go even
/// before their time. At about 2 KiB for a small task a flood takes 40 MiB a cluster. AWS names no such limit.
pub const STOPPED_KEPT: usize = 10_000;

/// Plan one turn. Stopped tasks go `stopped_task_ttl_seconds` (at least an hour) after their end, or when there are
/// [`STOPPED_KEPT`] newer ones; a token after a day, or an hour after the last task it made ended; an inactive service after
/// a day; a node without tasks an hour after it was deregistered, or registered without ever connecting; a task definition
/// in DELETE_IN_PROGRESS when no task that can still be described and no service's deployment refers to it.
pub fn turn(state: &State, now: Timestamp, stopped_task_ttl_seconds: i64) -> Plan {
    let mut plan = Plan::default();
    let ttl = stopped_task_ttl_seconds.saturating_mul(1000).max(HOUR_MILLIS);
    tasks(state, now, ttl, &mut plan);
    services(state, now, &mut plan);
    tokens(state, now, &mut plan);
    nodes(state, now, &mut plan);
    definitions(state, now, &mut plan);
    plan.changes.truncate(MAX_CHANGES);
    if plan.changes.len() == MAX_CHANGES {
        plan.wake(now);
    }
    plan
}

fn tasks(state: &State, now: Timestamp, ttl: i64, plan: &mut Plan) {
    for (stopped_at, key) in state.index.stopped().take(MAX_CHANGES) {
        let until = after(stopped_at, ttl);
        if until > now {
            plan.wake(until);
            break;
        }
        plan.changes.push(Change::Delete(TableName::Task, key.to_string()));
    }
    let too_many = state.index.stopped_beyond(STOPPED_KEPT).filter(|(stopped_at, _)| after(*stopped_at, ttl) > now);
    let too_many = too_many.map(|(_, key)| Change::Delete(TableName::Task, key.to_string()));
    plan.changes.extend(too_many.take(MAX_CHANGES));
}

fn services(state: &State, now: Timestamp, plan: &mut Plan) {
    for (key, service) in state.services.iter().filter(|(_, row)| row.status == ServiceStatus::Inactive) {
        let until = after(service.inactive_at.unwrap_or(service.created_at), SERVICE_TTL_MILLIS);
        match until <= now {
            true => plan.changes.push(Change::Delete(TableName::Service, key.to_string())),
            false => plan.wake(until),
        }
    }
}

fn tokens(state: &State, now: Timestamp, plan: &mut Plan) {
    for (key, token) in state.tokens.iter() {
        match expired(state, token, now) {
            true => plan.changes.push(Change::Delete(TableName::Token, key.to_string())),
            false => plan.wake(after(now, HOUR_MILLIS / 4)),
        }
    }
}

fn nodes(state: &State, now: Timestamp, plan: &mut Plan) {
    for (key, node) in state.nodes.iter() {
        let useless = node.status == "INACTIVE" || (node.epoch == 0 && !node.connected);
        let empty = state.index.node(key).is_none_or(|used| used.tasks.is_empty());
        let since = node.disconnected_at.unwrap_or(node.registered_at);
        let until = after(since, HOUR_MILLIS);
        match useless && empty && !node.connected {
            true if until <= now => plan.changes.push(Change::Delete(TableName::Node, key.to_string())),
            true => plan.wake(until),
            false => {}
        }
    }
}

fn definitions(state: &State, now: Timestamp, plan: &mut Plan) {
    let rows = state.index.deletable_definitions().filter_map(|key| Some((key, state.definitions.get(key)?)));
    for (key, definition) in rows {
        let until = after(definition.api.delete_requested_at.unwrap_or_default(), DEFINITION_TTL_MILLIS);
        match until <= now {
            true => plan.changes.push(Change::Delete(TableName::TaskDefinition, key.to_string())),
            false => plan.wake(until),
        }
        if plan.changes.len() >= MAX_CHANGES {
            return;
        }
    }
}

/// A token lasts a day, or until an hour after the last task it made has stopped, whichever is sooner.
pub fn expired(state: &State, token: &Token, now: Timestamp) -> bool {
    if after(token.created_at, DAY_MILLIS) <= now {
        return true;
    }
    let prefix = format!("{}/{}/", token.account, token.cluster);
    let made = token.made.iter().filter(|arn| arn.contains(":task/"));
    let mut ends = made.map(|arn| {
        let id = arn.rsplit('/').next().unwrap_or_default();
        let task = state.tasks.get(&format!("{prefix}{id}"));
        // A task that was forgotten stopped more than an hour ago, or was one of very many.
        task.map_or(Some(token.created_at), |task| task.stopped_at)
    });
    let any = token.made.iter().any(|arn| arn.contains(":task/"));
    any && ends.all(|end| end.is_some_and(|end| after(end, HOUR_MILLIS) <= now))
}
