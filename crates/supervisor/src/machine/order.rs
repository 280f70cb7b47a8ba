//! Who waits for whom: starting and stopping order.

use super::node::{Life, Node};
use super::{Health, Now};
use crate::spec::{Condition, ContainerSpec};

/// Whether a pending container may start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    Wait,
    /// A dependency took longer than its start timeout: the task is given up.
    TimedOut(String),
    /// A dependency can no longer become what was asked of it.
    Never(String),
}

/// Builds the nodes with their arrows both ways. Refuses unknown names and cycles.
pub(super) fn link(containers: &[ContainerSpec]) -> Result<Vec<Node>, String> {
    if containers.is_empty() {
        return Err("a task needs a container".to_string());
    }
    let index = |name: &str| containers.iter().position(|c| c.name == name);
    let mut nodes = Vec::with_capacity(containers.len());
    for container in containers {
        let mut depends_on = Vec::new();
        for dependency in &container.depends_on {
            let target = index(&dependency.container)
                .ok_or_else(|| format!("{} depends on unknown container {}", container.name, dependency.container))?;
            depends_on.push((target, dependency.condition));
        }
        for from in &container.volumes_from {
            let target = index(&from.source_container)
                .ok_or_else(|| format!("{} takes volumes from unknown {}", container.name, from.source_container))?;
            if !depends_on.iter().any(|(known, _)| *known == target) {
                depends_on.push((target, Condition::Start));
            }
        }
        nodes.push(Node::new(container, depends_on));
    }
    connect_back(&mut nodes);
    refuse_cycles(&nodes)?;
    Ok(nodes)
}

/// Whether a container may start now.
pub(super) fn readiness(nodes: &[Node], container: usize, now: Now) -> Readiness {
    let mut result = Readiness::Ready;
    for &(target, condition) in &nodes[container].depends_on {
        match met(&nodes[target], condition, now) {
            Readiness::Ready => {}
            Readiness::Wait => result = Readiness::Wait,
            refusal => return refusal,
        }
    }
    result
}

/// Whether all that depend on it are gone.
pub(super) fn may_stop(nodes: &[Node], container: usize) -> bool {
    nodes[container].dependents.iter().all(|&dependent| nodes[dependent].life == Life::Exited)
}

/// When the first of those who wait for a running container gives up.
pub(super) fn give_up_at(nodes: &[Node]) -> Option<u64> {
    let waiting = nodes.iter().filter(|node| node.life == Life::Pending);
    let arrows = waiting.flat_map(|node| node.depends_on.iter());
    arrows
        .filter(|(_, condition)| *condition != Condition::Start)
        .map(|(target, condition)| (&nodes[*target], *condition))
        .filter(|(node, condition)| {
            node.life == Life::Running && met(node, *condition, Now::default()) == Readiness::Wait
        })
        .filter_map(|(node, _)| node.start_deadline())
        .min()
}

/// `now` matters only for the start timeout.
fn met(node: &Node, condition: Condition, now: Now) -> Readiness {
    let reached = match condition {
        Condition::Start => node.started_once,
        Condition::Complete => node.life == Life::Exited && node.started_once,
        Condition::Success => node.life == Life::Exited && node.exit_code == Some(0),
        Condition::Healthy => node.life == Life::Running && node.health() == Health::Healthy,
    };
    if reached {
        return Readiness::Ready;
    }
    if node.life == Life::Exited {
        return Readiness::Never(impossible(node, condition));
    }
    let late = node.life == Life::Running && node.start_deadline().is_some_and(|at| now.monotonic >= at);
    if late && condition != Condition::Start {
        return Readiness::TimedOut(format!(
            "dependency container {} did not reach {condition:?} within its start timeout",
            node.name
        ));
    }
    Readiness::Wait
}

fn impossible(node: &Node, condition: Condition) -> String {
    let word = format!("{condition:?}").to_uppercase();
    match node.exit_code {
        Some(code) => format!("dependency container {} exited with code {code}, {word} was needed", node.name),
        None => format!("dependency container {} did not start, {word} was needed", node.name),
    }
}

fn connect_back(nodes: &mut [Node]) {
    for dependent in 0..nodes.len() {
        for (target, _) in nodes[dependent].depends_on.clone() {
            nodes[target].dependents.push(dependent);
        }
    }
}

/// Takes away, again and again, what waits for nothing left; a cycle is what stays.
fn refuse_cycles(nodes: &[Node]) -> Result<(), String> {
    let mut left: Vec<usize> = (0..nodes.len()).collect();
    loop {
        let before = left.len();
        let waits = |i: usize, left: &[usize]| nodes[i].depends_on.iter().any(|(target, _)| left.contains(target));
        left = left.iter().copied().filter(|&i| waits(i, &left)).collect();
        if left.is_empty() {
            return Ok(());
        }
        if left.len() == before {
            return Err(format!("containers wait for each other: {}", nodes[left[0]].name));
        }
    }
}
