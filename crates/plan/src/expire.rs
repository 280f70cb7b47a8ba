//! Parameters whose policy ends them: they are gone for every reader from that moment on, and here their records go too, so
//! that a secret does not outlive its time on disk. So go join tokens, keys of nodes that never came, and targets whose
//! deregistration delay is over. The other way, zones of load balancers that were made before each had an address get one.

use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after, balancer};

/// How long a machine that has joined may take to register.
const REGISTERED_WITHIN_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Plan one turn: a parameter goes with all its versions, or waits for the next turn.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    joins(state, now, &mut plan);
    targets(state, now, &mut plan);
    settle(state, now, &mut plan);
    for (end, key) in state.index.ages.expiring_parameters() {
        if end > now {
            plan.wake(end);
            break;
        }
        let changes = whole(state, key);
        if plan.changes.len() + changes.len() > MAX_CHANGES {
            plan.wake(now);
            break;
        }
        plan.changes.extend(changes);
    }
    plan
}

/// Join tokens whose time has passed, and keys that no node registered with. Of both there are few.
fn joins(state: &State, now: Timestamp, plan: &mut Plan) {
    let tokens = state.join_tokens.iter().map(|(key, row)| (row.expires_at, TableName::JoinToken, key));
    let keys = state.node_keys.iter().filter(|(node, _)| state.nodes.get(node).is_none());
    let keys = keys.map(|(key, row)| (after(row.created_at, REGISTERED_WITHIN_MILLIS), TableName::NodeKey, key));
    for (end, table, key) in tokens.chain(keys) {
        if end > now {
            plan.wake(end);
        } else if plan.changes.len() < MAX_CHANGES {
            plan.changes.push(Change::Delete(table, key.to_string()));
        } else {
            return plan.wake(now);
        }
    }
}

/// Targets that have drained.
fn targets(state: &State, now: Timestamp, plan: &mut Plan) {
    for (end, key) in state.index.ages.draining_targets() {
        if end > now {
            return plan.wake(end);
        }
        if plan.changes.len() >= MAX_CHANGES {
            return plan.wake(now);
        }
        plan.changes.push(Change::Delete(TableName::Target, key.to_string()));
    }
}

/// One after the other: each is given addresses that the next one must see.
fn settle(state: &State, now: Timestamp, plan: &mut Plan) {
    let Some(row) = balancer::settled(state).next().filter(|_| plan.changes.len() < MAX_CHANGES) else { return };
    plan.changes.push(row.into());
    plan.wake(now);
}

/// What deletes the parameter with this key.
fn whole(state: &State, key: &str) -> Vec<Change> {
    let prefix = format!("{key}:");
    let versions = state.parameter_versions.scan(&prefix).map(|(key, _)| key.to_string());
    let versions = versions.map(|key| Change::Delete(TableName::ParameterVersion, key));
    versions.chain([Change::Delete(TableName::Parameter, key.to_owned())]).collect()
}
