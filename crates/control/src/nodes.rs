//! What sessions write: a node came, a node went, an order arrived, a health report came in.

use longshore_api::ecs::HealthStatus;
use longshore_link::desk::{Desk, Sent};
use longshore_link::tcs;
use longshore_model::{Arn, Change, Record, State};
use longshore_plan::{orders, report};
use longshore_store::Revision;

use crate::{Server, clock};

impl Server {
    /// Sessions do not outlive the process: whoever was connected must connect again.
    pub(crate) fn forget_sessions(&self) {
        let now = clock::now();
        let nodes: Vec<String> = self.store.read().nodes.iter().map(|(id, _)| id.to_string()).collect();
        for id in nodes {
            self.write(|state| orders::forgotten(state, &id, now));
        }
    }

    /// A node opened its ACS channel. Returns its session's desk, once the session is durable.
    pub(crate) async fn node_connected(&self, id: &str) -> Option<Desk> {
        let mut desk = None;
        let revision = self.write(|state| {
            let changes = orders::connected(state, id);
            if let Some(Change::Put(Record::Node(node))) = changes.first() {
                desk = Desk::open(&self.settings.region, node);
            }
            changes
        });
        self.store.durable(revision).await.ok()?;
        desk
    }

    pub(crate) fn node_disconnected(&self, id: &str, epoch: i64) {
        self.write(|state| orders::disconnected(state, id, epoch, clock::now()));
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

    /// The node has taken these orders.
    pub(crate) fn orders_taken(&self, node: &str, sent: &[Sent]) {
        self.write(|state| orders::taken(state, node, sent, clock::now(), &mut clock::mint()));
    }

    /// The node cannot take these orders.
    pub(crate) fn orders_refused(&self, node: &str, sent: &[Sent], reason: &str) {
        for order in sent {
            self.write(|state| orders::refused(state, node, order, reason, clock::now(), &mut clock::mint()));
        }
    }

    pub(crate) fn health_reported(&self, node: &str, sent: &tcs::PublishHealthRequest) {
        for task in &sent.tasks {
            let Some(key) = task_key(&task.task_arn) else { continue };
            let containers = task.containers.iter().filter_map(|container| {
                Some((container.container_name.clone(), container.health_status.parse().ok()?))
            });
            let containers: Vec<(String, HealthStatus)> = containers.collect();
            self.write(|state| {
                report::health(state, &key, Some(node), &containers).unwrap_or_else(|refused| {
                    tracing::warn!(node, task = task.task_arn, ?refused, "a health report was dropped");
                    Vec::new()
                })
            });
        }
    }

    /// A transaction that cannot be refused. Returns the revision that holds its outcome.
    fn write(&self, decide: impl FnOnce(&State) -> Vec<Change>) -> Revision {
        let outcome = self.store.transact(|state, changes| {
            changes.extend(decide(state));
            Ok::<(), std::convert::Infallible>(())
        });
        match outcome {
            Ok(((), revision)) => revision,
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
