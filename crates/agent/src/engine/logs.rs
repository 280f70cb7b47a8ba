//! The execution role writes a task's logs: what it may not write to, no task logs to.
//!
//! Before a task starts its log streams are made in the name of that role, as Fargate's log router does; what is denied
//! stops the task with ECS's reason. Anything else that is wrong with them (a group that is missing) is the log sender's to
//! say. Lines are then sent by the node's leave for this one task, and judged as the role's (`docs/decisions/0028`): those that
//! the role may not write are dropped.

use longshore_link::acs;
use longshore_supervisor::spec::AwsLogs;
use serde_json::{Value, json};

use super::real::Parts;
use crate::api::{CallError, LOGS};
use crate::config::AccessKey;
use crate::executor::Executor;
use crate::translate::{Failure, log_streams};

impl Parts {
    /// Makes the log streams of a task that has an execution role.
    ///
    /// # Errors
    /// `ResourceInitializationError` for what the role may not do.
    pub(super) async fn check_logs(&self, executor: &Executor, task: &acs::Task) -> Result<(), Failure> {
        let streams = log_streams(task, &self.surroundings().region);
        if task.execution_role_arn.is_none() || streams.is_empty() {
            return Ok(());
        }
        let fail = |why: String| Failure::resource(format!("failed to validate logger args: {why}"));
        let key = executor.key().await.map_err(fail)?;
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
