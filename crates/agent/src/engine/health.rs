//! Health of the containers that have a check, as the telemetry channel tells it.

use std::collections::HashMap;

use longshore_link::acs;
use longshore_link::tcs::{ContainerHealth, TaskHealth};
use longshore_supervisor::protocol::{self, TaskPhase, TaskStatus};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;
use crate::translate::cluster_arn;

/// The latest known health, by task.
#[derive(Default)]
pub(crate) struct Health {
    tasks: Mutex<HashMap<String, TaskHealth>>,
    changed: Notify,
}

impl Health {
    /// Takes what a state of a task says about health. A stopped task has none.
    pub(super) fn note(&self, task: &acs::Task, status: &TaskStatus) {
        let checked =
            |name: &str| task.containers.iter().any(|container| container.name == name && has_check(container));
        let fresh: Vec<(&str, &str)> = status
            .containers
            .iter()
            .filter(|container| checked(&container.name))
            .map(|container| (container.name.as_str(), word(container.health)))
            .collect();
        if fresh.is_empty() {
            return;
        }
        let mut tasks = self.tasks.lock();
        if status.phase == TaskPhase::Stopped {
            tasks.remove(&task.arn);
            return;
        }
        let known = tasks.entry(task.arn.clone()).or_insert_with(|| TaskHealth {
            task_arn: task.arn.clone(),
            cluster_arn: Some(cluster_arn(&task.arn)),
            containers: Vec::new(),
        });
        if merge(&mut known.containers, &fresh) {
            self.changed.notify_one();
        }
    }

    /// Everything known.
    pub(crate) fn all(&self) -> Vec<TaskHealth> {
        self.tasks.lock().values().cloned().collect()
    }

    /// Waits for a change since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn has_check(container: &acs::Container) -> bool {
    container.health_check_type.as_deref() == Some("DOCKER")
}

fn word(health: protocol::Health) -> &'static str {
    match health {
        protocol::Health::Unknown => "UNKNOWN",
        protocol::Health::Healthy => "HEALTHY",
        protocol::Health::Unhealthy => "UNHEALTHY",
    }
}

/// Returns whether anything was new. The time is that of the change, not of the message.
fn merge(known: &mut Vec<ContainerHealth>, fresh: &[(&str, &str)]) -> bool {
    let mut changed = false;
    for (name, word) in fresh {
        let same = |container: &ContainerHealth| container.container_name == *name && container.health_status == *word;
        if known.iter().any(same) {
            continue;
        }
        known.retain(|container| container.container_name != *name);
        let status_since = i64::try_from(clock::now()).unwrap_or(i64::MAX);
        known.push(ContainerHealth {
            container_name: (*name).to_owned(),
            health_status: (*word).to_owned(),
            status_since,
        });
        changed = true;
    }
    changed
}
