//! Credentials of a task's role, on their way to the one node that runs the task.
//!
//! ```text
//! agent                                       control plane
//!   TaskCredentialsRequest (one task)   ──►
//!                                       ◄──   IAMRoleCredentialsMessage, or TaskCredentialsRefusal
//!   IAMRoleCredentialsAckRequest        ──►
//! ```
//! The request and the refusal are an *addition*: Amazon's control plane pushes the credentials of every task at its node
//! whenever it likes. Here a node asks for those of one task at a time, when it starts the task, when half of their life
//! has passed and when it has lost them; it gets none but its own tasks'. What is secret is not shown by `Debug`.

use std::fmt;

use longshore_model::task_role::RoleKind;
use serde::{Deserialize, Serialize};

/// The word for a task's own role, and that for the role by which its node pulls images and writes logs.
pub const TASK_APPLICATION: &str = "TaskApplication";
pub const TASK_EXECUTION: &str = "TaskExecution";

/// *Addition.* Asks for the credentials of one of the node's own tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskCredentialsRequest {
    pub message_id: String,
    pub task_arn: String,
    /// [`TASK_APPLICATION`] or [`TASK_EXECUTION`].
    pub role_type: String,
    /// The id under which the node keeps them; the answer repeats it.
    pub credentials_id: String,
}

impl TaskCredentialsRequest {
    /// Of which role; `None` for a word that is not known.
    pub fn kind(&self) -> Option<RoleKind> {
        match self.role_type.as_str() {
            TASK_APPLICATION => Some(RoleKind::Task),
            TASK_EXECUTION => Some(RoleKind::Execution),
            _ => None,
        }
    }
}

/// *Addition.* There are no such credentials, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskCredentialsRefusal {
    pub message_id: String,
    pub task_arn: String,
    pub role_type: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IAMRoleCredentialsMessage {
    pub message_id: String,
    pub task_arn: String,
    pub role_type: String,
    pub role_credentials: RoleCredentials,
}

/// Temporary credentials of a role.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoleCredentials {
    pub credentials_id: String,
    pub role_arn: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    /// `2026-11-21T08:11:54Z`
    pub expiration: String,
}

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = (&self.role_arn, &self.access_key_id, &self.expiration);
        to.debug_tuple("RoleCredentials").field(&shown).finish()
    }
}

/// The node has the credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IAMRoleCredentialsAckRequest {
    pub message_id: String,
    pub credentials_id: String,
    pub expiration: String,
}

crate::messages! {
    TaskCredentialsRequest,
    TaskCredentialsRefusal,
    IAMRoleCredentialsMessage,
    IAMRoleCredentialsAckRequest,
}
