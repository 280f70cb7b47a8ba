//! Tasks whose node is gone for good.
//!
//! A node that is merely away keeps its tasks: they may well run on, and [`reconcile`](crate::reconcile) starts service
//! tasks elsewhere after a while. A node that was deregistered will never report again: its tasks end here.

use longshore_api::ecs::TaskStopCode;
use longshore_model::task::Task;
use longshore_model::{Change, State};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan};

/// End the tasks of deregistered nodes, a bounded number a turn.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let gone = state.nodes.iter().filter(|(_, node)| node.status == "INACTIVE").map(|(_, node)| node.id.as_str());
    let tasks = gone.filter_map(|node| state.index.node(node)).flat_map(|used| &used.tasks);
    let tasks = tasks.filter_map(|key| state.tasks.get(key)).take(MAX_CHANGES);
    let changes: Vec<Change> = tasks.map(|task| ended(task, now).into()).collect();
    Plan { changes, ..Plan::default() }
}

/// The task as it is once its node is gone.
pub fn ended(task: &Task, now: Timestamp) -> Task {
    let mut task = task.clone();
    task.stop_code.get_or_insert(TaskStopCode::InfrastructureHealth);
    task.stopped_reason.get_or_insert_with(|| "The container instance was deregistered".to_owned());
    task.finish(now);
    task.version += 1;
    task
}
