//! A task's execution role: in its name the node makes the task's log streams, reads its secrets and signs in to its images'
//! registries, before the task starts.
//!
//! Its credentials are asked for once, if there is something to do with them, and forgotten when the task has started. Logs
//! are then written in its name without them (`docs/decisions/0028`).

use std::time::Duration;

use longshore_link::acs;
use longshore_link::credentials::TASK_EXECUTION;
use tokio::time::timeout;

use crate::config::AccessKey;
use crate::wallet::{self, Held, Wallet};

/// How long credentials are waited for: a control plane that was just here may have to come back.
const WITHIN: Duration = Duration::from_secs(300);

/// The execution role of one task that is about to start.
pub(crate) struct Executor(Option<Held>);

impl Executor {
    /// That of a task, which may have none.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub(crate) fn of(wallet: &Wallet, task: &acs::Task) -> std::io::Result<Self> {
        if task.execution_role_arn.is_none() {
            return Ok(Self(None));
        }
        let id = wallet::fresh_id()?;
        Ok(Self(Some(wallet.open(&task.arn, TASK_EXECUTION, &id))))
    }

    /// For a task that needs none.
    pub(crate) fn nobody() -> Self {
        Self(None)
    }

    /// A key of the role.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn key(&self) -> Result<AccessKey, String> {
        let held = self.0.as_ref().ok_or("the execution role does not exist")?;
        let mut purse = held.purse();
        let settled = timeout(WITHIN, purse.settle()).await;
        let kept = settled.map_err(|_| "the control plane does not answer".to_owned())??;
        Ok(AccessKey {
            id: kept.credentials.access_key_id.clone(),
            secret: kept.credentials.secret_access_key.clone(),
            token: Some(kept.credentials.session_token.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use longshore_link::credentials::{IAMRoleCredentialsMessage, RoleCredentials};

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn a_key_is_waited_for_and_forgotten_with_the_start() {
        let wallet = Wallet::default();
        let mut task = acs::Task { arn: "arn:task".to_owned(), ..acs::Task::default() };
        let none = Executor::of(&wallet, &task).unwrap();
        assert_eq!(none.key().await.err().as_deref(), Some("the execution role does not exist"));
        task.execution_role_arn = Some("arn:role".to_owned());
        let executor = Executor::of(&wallet, &task).unwrap();
        let asked = wallet.next().await;
        assert_eq!((asked.task_arn.as_str(), asked.role_type.as_str()), ("arn:task", TASK_EXECUTION));
        let issued = || IAMRoleCredentialsMessage {
            message_id: "m".to_owned(),
            task_arn: "arn:task".to_owned(),
            role_type: TASK_EXECUTION.to_owned(),
            role_credentials: RoleCredentials {
                credentials_id: asked.credentials_id.clone(),
                access_key_id: "ASIAEXAMPLE".to_owned(),
                session_token: "token".to_owned(),
                expiration: clock::rfc3339(clock::now() + 3_600_000),
                ..RoleCredentials::default()
            },
        };
        assert!(wallet.put(issued()).is_some());
        let key = executor.key().await.unwrap();
        assert_eq!((key.id.as_str(), key.token.as_deref()), ("ASIAEXAMPLE", Some("token")));
        drop(executor);
        assert!(wallet.put(issued()).is_none(), "nobody waits for them any more");
    }
}
