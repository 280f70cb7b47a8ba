//! The execution role writes a task's logs: what it may not write to, no task logs to.
//!
//! Before a task starts its log streams are made in the name of that role, as Fargate's log router does; what is denied
//! stops the task with ECS's reason. Anything else that is wrong with them (a group that is missing) is the log sender's to
//! say. Lines are then sent by the node's own leave (`docs/decisions/0021`): a `PutLogEvents` that the role may not do is not
//! noticed.

use std::time::Duration;

use longshore_link::acs;
use longshore_link::credentials::{RoleCredentials, TASK_EXECUTION};
use longshore_supervisor::spec::AwsLogs;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::real::Parts;
use crate::api::{CallError, LOGS};
use crate::config::AccessKey;
use crate::translate::{Failure, log_streams};
use crate::wallet;

/// How long credentials are waited for: a control plane that was just here may have to come back.
const CREDENTIALS_WITHIN: Duration = Duration::from_secs(300);

impl Parts {
    /// Makes the log streams of a task that has an execution role.
    ///
    /// # Errors
    /// `ResourceInitializationError` for what the role may not do.
    pub(super) async fn check_logs(&self, task: &acs::Task) -> Result<(), Failure> {
        let streams = log_streams(task, &self.surroundings().region);
        if task.execution_role_arn.is_none() || streams.is_empty() {
            return Ok(());
        }
        let fail = |why: String| Failure::resource(format!("failed to validate logger args: {why}"));
        let id = wallet::fresh_id().map_err(|error| fail(error.to_string()))?;
        let held = self.metadata.wallet().open(&task.arn, TASK_EXECUTION, &id);
        let mut purse = held.purse();
        let settled = timeout(CREDENTIALS_WITHIN, purse.settle()).await;
        let kept = settled.map_err(|_| fail("the control plane does not answer".to_owned()))?.map_err(fail)?;
        let key = key_of(&kept.credentials);
        for stream in streams {
            self.make_stream(&key, &stream).await.map_err(|why| {
                fail(format!(
                    "create stream has been retried 1 times: failed to create Cloudwatch log {why}: exit status 1"
                ))
            })?;
        }
        Ok(())
    }

    /// # Errors
    /// What was denied, and in which words.
    async fn make_stream(&self, key: &AccessKey, logs: &AwsLogs) -> Result<(), String> {
        let stream = json!({ "logGroupName": logs.group, "logStreamName": logs.stream });
        let made = self.ask_logs(key, "CreateLogStream", &stream).await;
        let missing = matches!(&made, Err(CallError::Refused { code, .. }) if code == "ResourceNotFoundException");
        if !missing || !logs.create_group {
            return denied("stream", made);
        }
        denied("group", self.ask_logs(key, "CreateLogGroup", &json!({ "logGroupName": logs.group })).await)?;
        denied("stream", self.ask_logs(key, "CreateLogStream", &stream).await)
    }

    async fn ask_logs(&self, key: &AccessKey, operation: &'static str, input: &Value) -> Result<(), CallError> {
        self.metadata.plane().call_to::<Value>(LOGS, key, operation, input).await.map(drop)
    }
}

fn key_of(credentials: &RoleCredentials) -> AccessKey {
    AccessKey {
        id: credentials.access_key_id.clone(),
        secret: credentials.secret_access_key.clone(),
        token: Some(credentials.session_token.clone()),
    }
}

/// What the role may not do is an error; whatever else became of a call is not.
fn denied(what: &str, outcome: Result<(), CallError>) -> Result<(), String> {
    match outcome {
        Err(CallError::Refused { code, message, .. }) if code.starts_with("AccessDenied") => {
            Err(format!("{what}: {code}: {message}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn only_what_is_denied_is_an_error() {
        let refused = |code: &str| {
            let (operation, status) = ("CreateLogStream", StatusCode::BAD_REQUEST);
            Err(CallError::Refused { operation, status, code: code.to_owned(), message: "User: x".to_owned() })
        };
        let words = "stream: AccessDeniedException: User: x".to_owned();
        assert_eq!(denied("stream", refused("AccessDeniedException")), Err(words));
        for code in ["ResourceAlreadyExistsException", "ResourceNotFoundException", "ThrottlingException", ""] {
            assert_eq!(denied("stream", refused(code)), Ok(()), "{code}");
        }
    }
}
