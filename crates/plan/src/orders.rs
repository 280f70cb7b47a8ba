//! What sessions write: a node came, a node went, an order arrived or was refused. Each function answers with the changes
//! to commit; none where nothing is new.

use longshore_model::node::Node;
use longshore_model::task::TaskStatus;
use longshore_model::{Change, Mint, State};
use longshore_wire::Timestamp;

use crate::report::{self, TaskReport};

/// A node opened its session: older sessions are void from now on.
pub fn connected(state: &State, node: &str) -> Vec<Change> {
    changed(state, node, |node| {
        node.connect();
        true
    })
}

/// The session `epoch` of a node ended. Nothing changes if it was not the newest.
pub fn disconnected(state: &State, node: &str, epoch: i64, now: Timestamp) -> Vec<Change> {
    changed(state, node, |node| node.disconnect(epoch, now))
}

/// The control plane starts: sessions do not outlive it, so whoever was connected must connect again.
pub fn forgotten(state: &State, node: &str, now: Timestamp) -> Vec<Change> {
    changed(state, node, |node| node.disconnect(node.epoch, now))
}

fn changed(state: &State, id: &str, change: impl FnOnce(&mut Node) -> bool) -> Vec<Change> {
    let Some(known) = state.nodes.get(id) else { return Vec::new() };
    let mut node = Node::clone(known);
    match change(&mut node) {
        true => vec![node.into()],
        false => Vec::new(),
    }
}

/// The node has taken the orders for these tasks (key, and what the order wanted): they are on their way up, or down.
pub fn taken(
    state: &State,
    node: &str,
    orders: &[(String, TaskStatus)],
    now: Timestamp,
    mint: &mut Mint,
) -> Vec<Change> {
    let changes = orders.iter().flat_map(|(key, wanted)| {
        let status = if *wanted == TaskStatus::Stopped { TaskStatus::Stopping } else { TaskStatus::Pending };
        let taken = TaskReport { status: Some(status), ..TaskReport::default() };
        report::task(state, key, Some(node), &taken, now, mint).unwrap_or_default()
    });
    changes.collect()
}

/// The node cannot take the order for this task. A task that it never took ends with the reason; of any other it may
/// still run something, so that one goes on.
pub fn refused(
    state: &State,
    node: &str,
    (key, _): &(String, TaskStatus),
    reason: &str,
    now: Timestamp,
    mint: &mut Mint,
) -> Vec<Change> {
    let begun = state.tasks.get(key).is_none_or(|task| task.last > TaskStatus::Provisioning);
    if begun {
        return Vec::new();
    }
    let reason = format!("The container agent refused the task: {reason}");
    let ended = TaskReport { status: Some(TaskStatus::Stopped), reason: Some(reason), ..TaskReport::default() };
    report::task(state, key, Some(node), &ended, now, mint).unwrap_or_default()
}
