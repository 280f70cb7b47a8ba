//! What sessions write: a node came, a node went, an order arrived, a health report came in.

use longshore_api::ecs::HealthStatus;
use longshore_link::tcs;
use longshore_model::node::Node;
use longshore_model::task::TaskStatus;
use longshore_model::{Arn, Change, Record, State};
use longshore_plan::report::{self, TaskReport};

use crate::{Server, clock};

impl Server {
    /// Sessions do not outlive the process: whoever was connected must connect again.
    pub(crate) fn forget_sessions(&self) {
        let now = clock::now();
        let nodes: Vec<String> = self.store.read().nodes.iter().map(|(id, _)| id.to_string()).collect();
        for id in nodes {
            self.change_node(&id, |node| node.disconnect(node.epoch, now));
        }
    }

    /// A node opened its ACS channel. Returns the session's number, the node's ARN and its cluster's, once durable.
    pub(crate) async fn node_connected(&self, id: &str) -> Option<(i64, String, String)> {
        let revision = self.change_node(id, |node| {
            node.connect();
            true
        });
        self.store.durable(revision).await.ok()?;
        let state = self.store.read();
        let node = state.nodes.get(id)?;
        let cluster = node.cluster.as_deref().unwrap_or(longshore_model::node::FARGATE_CLUSTER);
        Some((node.epoch, node.arn.clone(), self.place(&node.account)?.cluster(cluster)))
    }

    pub(crate) async fn node_disconnected(&self, id: &str, epoch: i64) {
        let now = clock::now();
        self.change_node(id, |node| node.disconnect(epoch, now));
    }

    /// Write a node that `change` says it changed. Returns the revision that holds the outcome.
    fn change_node(&self, id: &str, change: impl FnOnce(&mut Node) -> bool) -> u64 {
        let decide = |state: &State, changes: &mut Vec<Change>| {
            let Some(node) = state.nodes.get(id) else { return Ok::<(), std::convert::Infallible>(()) };
            let mut node = node.as_ref().clone();
            if change(&mut node) {
                changes.push(node.into());
            }
            Ok(())
        };
        match self.store.transact(decide) {
            Ok(((), revision)) => revision,
            Err(never) => match never {},
        }
    }

    /// A fresh account: everything goes but the nodes, which are told that nothing is wanted of them any more.
    pub(crate) fn reset(&self) -> u64 {
        let mut accounts = self.accounts.lock();
        accounts.clear();
        let revision = self.store.reset(|state| {
            let nodes = state.nodes.iter().map(|(_, node)| Change::Put(Record::Node(node.clone())));
            nodes.chain(self.defaults(&self.settings.account)).collect()
        });
        accounts.insert(self.settings.account.clone());
        self.sessions.resync_all();
        revision
    }

    /// The node has taken the orders for these tasks: they are on their way up, or down.
    pub(crate) fn orders_acknowledged(&self, node: &str, tasks: &[String]) {
        self.write(|state, changes| {
            for key in tasks {
                let stops = state.tasks.get(key).is_some_and(|task| task.desired == TaskStatus::Stopped);
                let status = if stops { TaskStatus::Stopping } else { TaskStatus::Pending };
                let taken = TaskReport { status: Some(status), ..TaskReport::default() };
                let applied = report::task(state, key, Some(node), &taken, clock::now(), &mut clock::mint());
                changes.extend(applied.unwrap_or_default());
            }
        });
    }

    pub(crate) fn health_reported(&self, node: &str, sent: &tcs::PublishHealthRequest) {
        for task in &sent.tasks {
            let Some(key) = task_key(&task.task_arn) else { continue };
            let containers = task.containers.iter().filter_map(|container| {
                Some((container.container_name.clone(), container.health_status.parse().ok()?))
            });
            let containers: Vec<(String, HealthStatus)> = containers.collect();
            self.write(|state, changes| match report::health(state, &key, Some(node), &containers) {
                Ok(applied) => changes.extend(applied),
                Err(refused) => tracing::warn!(node, task = task.task_arn, ?refused, "a health report was dropped"),
            });
        }
    }

    /// A transaction that cannot be refused and whose outcome nobody waits for.
    fn write(&self, decide: impl FnOnce(&State, &mut Vec<Change>)) {
        let outcome = self.store.transact(|state, changes| {
            decide(state, changes);
            Ok::<(), std::convert::Infallible>(())
        });
        match outcome {
            Ok(_) => {}
            Err(never) => match never {},
        }
    }
}

/// `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID` to the task's key.
fn task_key(arn: &str) -> Option<String> {
    let arn = Arn::parse(arn)?;
    let path = arn.resource.strip_prefix("task/")?;
    Some(format!("{}/{path}", arn.account))
}
