//! Tasks whose node is gone for good.
//!
//! ```text
//! ACTIVE, DRAINING ── away for too long ──► INACTIVE, its key void        (deregistering does the same)
//! INACTIVE, connected     its tasks are told to stop, and end when the node says so
//! INACTIVE, away          its tasks end once it has been away for ten minutes
//! ```
//! A node that is merely away keeps its tasks: they may well run on, and [`reconcile`](crate::reconcile) starts service
//! tasks elsewhere after a while. What a task holds, its addresses above all, is free again only when the node has said that
//! the task is no more or the node is given up.

use std::sync::Arc;

use longshore_api::ecs::TaskStopCode;
use longshore_model::node::Node;
use longshore_model::task::Task;
use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan, after, behind};

/// A deregistered node that has been away for so long, in milliseconds, says nothing any more of what it ran.
pub const SILENT_MILLIS: i64 = 10 * 60 * 1000;

/// Why a task ends with its node.
pub const DEREGISTERED: &str = "The container instance was deregistered";

/// Deregister nodes that have been away for `lost_seconds`, and end the tasks of deregistered ones: a bounded number a turn.
pub fn turn(state: &State, now: Timestamp, lost_seconds: i64) -> Plan {
    let mut plan = Plan::default();
    give_up(state, now, lost_seconds.saturating_mul(1000), &mut plan);
    for id in state.index.ages.inactive_nodes() {
        let Some(node) = state.nodes.get(id) else { continue };
        for changes in leavers(state, node, now, &mut plan) {
            if plan.changes.len() + changes.len() > MAX_CHANGES {
                plan.wake(now);
                return plan;
            }
            plan.changes.extend(changes);
        }
    }
    plan
}

/// Nodes that have been away too long are deregistered.
fn give_up(state: &State, now: Timestamp, lost_millis: i64, plan: &mut Plan) {
    for (since, id) in state.index.ages.away_nodes() {
        if after(since, lost_millis) > now {
            return plan.wake(after(since, lost_millis));
        }
        if plan.changes.len() + 2 > MAX_CHANGES {
            return plan.wake(now);
        }
        let Some(node) = state.nodes.get(id) else { continue };
        plan.reasons.push(format!("node {id} is deregistered: it has been away since {} ms", since.millis()));
        plan.changes.push(Node { status: "INACTIVE".to_owned(), ..Node::clone(node) }.into());
        plan.changes.extend(state.node_keys.get(id).map(|key| Change::Delete(TableName::NodeKey, key.node.clone())));
    }
}

/// What becomes of the tasks of an INACTIVE node, each with its targets.
fn leavers<'a>(
    state: &'a State,
    node: &Node,
    now: Timestamp,
    plan: &mut Plan,
) -> impl Iterator<Item = Vec<Change>> + use<'a> {
    let silent_at = after(node.disconnected_at.unwrap_or(node.registered_at), SILENT_MILLIS);
    let used = state.index.node(&node.id).filter(|used| !used.tasks.is_empty());
    let silent = !node.connected && silent_at <= now;
    if used.is_some() && !node.connected && !silent {
        plan.wake(silent_at);
    }
    let connected = node.connected;
    let tasks = used.into_iter().flat_map(|used| &used.tasks).filter_map(|key| state.tasks.get(key));
    tasks.filter_map(move |task: &Arc<Task>| match connected {
        true => told_to_stop(state, task, now),
        false => silent.then(|| ended(state, task, now)),
    })
}

/// What is to be written when a task's node, which is still there, is to leave. `None` if the task knows already.
pub fn told_to_stop(state: &State, task: &Task, now: Timestamp) -> Option<Vec<Change>> {
    let stop = behind::stop(state, task, TaskStopCode::InfrastructureHealth, DEREGISTERED, now)?;
    Some(stop.changes().collect())
}

/// What is to be written once a task's node is gone.
pub fn ended(state: &State, task: &Task, now: Timestamp) -> Vec<Change> {
    let mut changes = behind::end(state, task).changes;
    let mut task = task.clone();
    task.stop_code.get_or_insert(TaskStopCode::InfrastructureHealth);
    task.stopped_reason.get_or_insert_with(|| DEREGISTERED.to_owned());
    task.finish(now);
    task.version += 1;
    changes.push(task.into());
    changes
}
