//! What sessions write: a node came, a node went, an order arrived, a health report came in.
//!
//! A full disk takes none of it. What is said again by itself (an order that is open is sent again, health comes every few
//! seconds) is then dropped; that a node went is said until it is durable.

use std::time::Duration;

use longshore_api::ecs::HealthStatus;
use longshore_api::sts::Credentials;
use longshore_link::credentials::{RoleCredentials, TaskCredentialsRequest};
use longshore_link::desk::{Desk, Reports, Sent, credentials_issued, credentials_refused, reports_taken};
use longshore_link::{acs, tcs};
use longshore_model::task_role::RoleKind;
use longshore_model::{Arn, Change, Record, State};
use longshore_plan::{orders, report};
use longshore_services::Context;
use longshore_services::cloudtrail::node_event::Lending;
use longshore_services::ecs::{agent, role};
use longshore_store::{Full, Revision, Unsettled};
use longshore_wire::TimestampFormat;

use crate::drops::Drops;
use crate::session::Answer;
use crate::{Server, audit, clock};

/// Before something is written again that the disk had no space for.
const FULL_PAUSE: Duration = Duration::from_secs(1);

impl Server {
    /// Sessions do not outlive the process: whoever was connected must connect again.
    ///
    /// # Errors
    /// [`Full`]: the nodes would seem to be there.
    pub(crate) fn forget_sessions(&self) -> Result<(), Full> {
        let now = clock::now();
        let nodes: Vec<String> = self.store.read().nodes.iter().map(|(id, _)| id.to_string()).collect();
        nodes.iter().try_for_each(|id| self.write(|state| orders::forgotten(state, id, now)).map(drop))
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
        self.store.durable(revision.ok()?).await.ok()?;
        desk
    }

    pub(crate) async fn node_disconnected(&self, id: &str, epoch: i64) {
        loop {
            let written = match self.write(|state| orders::disconnected(state, id, epoch, clock::now())) {
                Ok(revision) => self.store.durable(revision).await,
                Err(full) => Err(full.into()),
            };
            match written {
                Err(Unsettled::Full(_)) => tokio::time::sleep(FULL_PAUSE).await,
                Ok(()) | Err(Unsettled::Closed(_)) => return,
            }
        }
    }

    /// A fresh account: everything goes but the nodes and their keys, which are told that nothing is wanted of them any more.
    pub(crate) fn reset(&self) -> Result<Revision, Full> {
        let mut accounts = self.accounts.lock();
        accounts.clear();
        let revision = self.store.reset(|state| {
            let nodes = state.nodes.iter().map(|(_, node)| Change::Put(Record::Node(node.clone())));
            let keys = state.node_keys.iter().map(|(_, key)| Change::Put(Record::NodeKey(key.clone())));
            nodes.chain(keys).chain(self.defaults(&self.settings.account)).collect()
        })?;
        self.sessions.resync_all();
        Ok(revision)
    }

    /// The node has taken these orders.
    pub(crate) fn orders_taken(&self, node: &str, sent: &[Sent]) {
        let _ = self.write(|state| orders::taken(state, node, sent, clock::now(), &mut clock::mint()));
    }

    /// The node cannot take these orders.
    pub(crate) fn orders_refused(&self, node: &str, sent: &[Sent], reason: &str) {
        for order in sent {
            let _ = self.write(|state| orders::refused(state, node, order, reason, clock::now(), &mut clock::mint()));
        }
    }

    /// What became of tasks. Returns the answer, and the revision that must be durable before it is sent; nothing if the
    /// disk is full: the node tells it again.
    pub(crate) fn tasks_reported(&self, node: &str, reports: Reports, drops: &mut Drops) -> Option<(String, Revision)> {
        let (account, now) = (self.settings.account.clone(), clock::now());
        let mut context = Context::new(&self.store, &self.logs, &self.settings, account, now, clock::seed());
        let refused = agent::submit_tasks(&mut context, node, reports.changes).ok()?;
        let refused = refused.into_iter().map(|(task, fault)| {
            tracing::debug!(node, task, %fault, "a report was refused");
            match agent::is_of_no_task(&fault) {
                true => drops.foreign(&task),
                false => drops.unreadable(),
            }
            acs::RefusedChange { task, reason: fault.to_string() }
        });
        let answer = reports_taken(reports.message_id, refused.collect());
        Some((answer, context.into_waits().0))
    }

    /// Credentials of a node's task, which is there under this key; `node` is the container instance's ARN. Nothing if there
    /// is no room to record it: the node asks again.
    pub(crate) fn credentials_wanted(
        &self,
        node: &str,
        key: &str,
        kind: RoleKind,
        asked: TaskCredentialsRequest,
    ) -> Option<Answer> {
        if self.audit.is_full() {
            return None;
        }
        let (issued, role, revision) = {
            let state = self.store.read();
            // They expire by the clock that signatures are dated by.
            let issued = role::credentials(&state, &self.settings, clock::wall(), key, kind);
            let role = state.tasks.get(key).and_then(|task| state.role_arn_of(task, kind));
            (issued, role, state.revision())
        };
        let refused = issued.as_ref().err().map(String::as_str);
        let (task, role_type) = (&*asked.task_arn, &*asked.role_type);
        let recorded = audit::lent(self, &Lending { node, task, role: role.as_deref(), role_type, refused });
        let frame = match issued {
            Ok((role_arn, issued)) => credentials_issued(asked, role_credentials(role_arn, issued)),
            Err(reason) => {
                tracing::warn!(task, reason, "a task has no credentials");
                credentials_refused(asked, reason)
            }
        };
        Some(Answer { frame, revision, recorded })
    }

    pub(crate) fn health_reported(&self, node: &str, sent: &tcs::PublishHealthRequest, drops: &mut Drops) {
        for task in &sent.tasks {
            let Some(key) = task_key(&task.task_arn) else {
                drops.foreign(&task.task_arn);
                continue;
            };
            let containers = task.containers.iter().filter_map(|container| {
                Some((container.container_name.clone(), container.health_status.parse().ok()?))
            });
            let containers: Vec<(String, HealthStatus)> = containers.collect();
            let _ = self.write(|state| {
                report::health(state, &key, Some(node), &containers).unwrap_or_else(|refused| {
                    tracing::debug!(node, task = task.task_arn, ?refused, "a health report was dropped");
                    drops.foreign(&task.task_arn);
                    Vec::new()
                })
            });
        }
    }

    /// A transaction that only a full disk refuses. Returns the revision that holds its outcome.
    pub(crate) fn write(&self, decide: impl FnOnce(&State) -> Vec<Change>) -> Result<Revision, Full> {
        let outcome = self.store.transact(|state, changes| {
            changes.extend(decide(state));
            Ok::<(), Full>(())
        });
        outcome.map(|((), revision)| revision)
    }
}

/// In the form of the agent protocol.
fn role_credentials(role_arn: String, issued: Credentials) -> RoleCredentials {
    RoleCredentials {
        credentials_id: String::new(),
        role_arn,
        access_key_id: issued.access_key_id.unwrap_or_default(),
        secret_access_key: issued.secret_access_key.unwrap_or_default(),
        session_token: issued.session_token.unwrap_or_default(),
        expiration: issued.expiration.map(|at| at.format(TimestampFormat::Iso8601)).unwrap_or_default(),
    }
}

/// `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID` to the task's key.
fn task_key(arn: &str) -> Option<String> {
    let arn = Arn::parse(arn)?;
    let path = arn.resource.strip_prefix("task/")?;
    Some(format!("{}/{path}", arn.account))
}
