//! Values of a task's `secrets`, read when it starts, in the name of its execution role.
//!
//! ```text
//!   order: name, valueFrom ──► source, by service ──► GetParameters │ GetSecretValue, signed by the execution role
//!                                                        └──► memfd ──► supervisor (see its `task::secret`)
//! ```
//!
//! The control plane judges these calls as it does any caller's; the node adds nothing to what the role may do. Values are in
//! memory alone, here and at the supervisor: the order, `order.json` and `task.json` have references. A task of an agent that
//! died before it was started has them read again. Whatever cannot be read keeps the task from starting, in ECS's words.
//!
//! Left out: `secretOptions` of log drivers and `repositoryCredentials`, which no order has; secrets of other regions.

mod manager;
mod parameter;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use longshore_link::acs;
use longshore_link::credentials::TASK_EXECUTION;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::api::{Api, CallError, ControlPlane};
use crate::config::AccessKey;
use crate::translate::Failure;
use crate::wallet::{self, Wallet};

/// How long credentials of the role are waited for: a control plane that was just here may have to come back.
const ROLE_WITHIN: Duration = Duration::from_secs(300);

/// How often a call is made that fails for no fault of its own, and the pause after the first; each later one is twice as
/// long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Values by `valueFrom`.
type Values = BTreeMap<String, String>;

/// Names to values, by container: what the supervisor reads.
type Environments<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>;

/// A service that has secrets.
struct Provider {
    /// Whether a `valueFrom` is of it; the first that says so has it.
    has: fn(&str) -> bool,
    /// ECS's words before why it gave none.
    failed: &'static str,
    read: for<'a> fn(&'a Reader<'a>, Vec<&'a str>) -> Reading<'a>,
}

type Reading<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Values, String>> + Send + 'a>>;

static PROVIDERS: [Provider; 2] = [
    Provider {
        has: |from| from.split(':').nth(2) == Some("secretsmanager"),
        failed: "unable to retrieve secret from asm",
        read: |reader, from| Box::pin(manager::read(reader, from)),
    },
    Provider {
        has: |_| true,
        failed: "unable to retrieve secrets from ssm",
        read: |reader, from| Box::pin(parameter::read(reader, from)),
    },
];

/// The secrets of a task, in a file that is nowhere but in memory; `None` if it has none.
///
/// # Errors
/// `ResourceInitializationError: unable to pull secrets or registry auth: …`
pub(crate) async fn read(plane: &ControlPlane, wallet: &Wallet, task: &acs::Task) -> Result<Option<File>, Failure> {
    if task.containers.iter().all(|container| container.secrets.is_empty()) {
        return Ok(None);
    }
    let failed = |why: String| {
        Failure::resource(format!(
            "unable to pull secrets or registry auth: execution resource retrieval failed: {why}"
        ))
    };
    let role = role(wallet, task).await.map_err(failed)?;
    let values = Reader { plane, role: &role }.read(task).await.map_err(failed)?;
    keep(&environments(task, &values)).map(Some).map_err(|error| failed(format!("no memory for them: {error}")))
}

/// A key of the execution role.
async fn role(wallet: &Wallet, task: &acs::Task) -> Result<AccessKey, String> {
    if task.execution_role_arn.is_none() {
        return Err("the execution role does not exist".to_owned());
    }
    let id = wallet::fresh_id().map_err(|error| format!("no id for credentials: {error}"))?;
    let held = wallet.open(&task.arn, TASK_EXECUTION, &id);
    let mut purse = held.purse();
    let settled = timeout(ROLE_WITHIN, purse.settle()).await;
    let kept = settled.map_err(|_| "the control plane does not answer".to_owned())??;
    Ok(AccessKey {
        id: kept.credentials.access_key_id.clone(),
        secret: kept.credentials.secret_access_key.clone(),
        token: Some(kept.credentials.session_token.clone()),
    })
}

/// Who reads, and where.
struct Reader<'a> {
    plane: &'a ControlPlane,
    role: &'a AccessKey,
}

impl Reader<'_> {
    /// Every value that a task's containers name.
    async fn read(&self, task: &acs::Task) -> Result<Values, String> {
        let mut wanted: Vec<&str> = task
            .containers
            .iter()
            .flat_map(|container| &container.secrets)
            .map(|secret| secret.value_from.as_str())
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut values = Values::new();
        for provider in &PROVIDERS {
            let (own, others) = wanted.into_iter().partition(|from| (provider.has)(from));
            wanted = others;
            let found = (provider.read)(self, own).await;
            values.extend(found.map_err(|why| format!("{}: {why}", provider.failed))?);
        }
        Ok(values)
    }

    /// Calls an operation as the role, and again where that may help.
    async fn call(&self, api: Api, operation: &'static str, input: &Value) -> Result<Value, Refused> {
        let mut tried = 1;
        loop {
            let answer = self.plane.call_to(api, self.role, operation, input).await;
            match answer {
                Ok(value) => return Ok(value),
                Err(error) if error.is_transient() && tried < TRIES => {
                    sleep(PAUSE * 2_u32.pow(tried - 1)).await;
                    tried += 1;
                }
                Err(error) => return Err(Refused { tried, error }),
            }
        }
    }
}

/// A call that gave nothing.
struct Refused {
    tried: u32,
    error: CallError,
}

impl Refused {
    /// In the words of ECS; `what` stands before the service's own.
    fn words(&self, what: &str) -> String {
        let why = match &self.error {
            CallError::Refused { code, message, status, .. } => {
                format!("{code}: {message} status code: {}", status.as_u16())
            }
            other => other.to_string(),
        };
        format!("service call has been retried {} time(s): {what}{why}", self.tried)
    }
}

fn environments<'a>(task: &'a acs::Task, values: &'a Values) -> Environments<'a> {
    let of = |container: &'a acs::Container| {
        let pairs = container.secrets.iter();
        pairs.filter_map(|secret| Some((secret.name.as_str(), values.get(&secret.value_from)?.as_str()))).collect()
    };
    task.containers.iter().map(|container| (container.name.as_str(), of(container))).collect()
}

/// A file without a name that holds them.
fn keep(environments: &Environments<'_>) -> std::io::Result<File> {
    let mut file = File::from(memfd_create(c"longshore-secrets", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(environments)?)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
