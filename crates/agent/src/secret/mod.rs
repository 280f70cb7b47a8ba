//! What a task needs that is secret, read when it starts, in the name of its execution role: values of its containers'
//! `secrets`, of options of their log drivers, and credentials for their images' registries ([`registry`], [`ecr`]).
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
//! Left out: secrets of other regions.

pub(crate) mod ecr;
mod manager;
mod parameter;
pub(crate) mod registry;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use longshore_link::acs;
use longshore_supervisor::spec::Secrets;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;
use tokio::time::sleep;

use crate::api::{Api, CallError, ControlPlane};
use crate::config::AccessKey;
use crate::executor::Executor;
use crate::translate::Failure;

/// How often a call is made that fails for no fault of its own, and the pause after the first; each later one is twice as
/// long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Values by `valueFrom`.
type Values = BTreeMap<String, String>;

/// Names to values, by container.
type ByContainer = BTreeMap<String, BTreeMap<String, String>>;

/// What was read for a task.
#[derive(Default)]
pub(crate) struct Given {
    /// Variables.
    pub(crate) environments: ByContainer,
    /// Options of log drivers.
    pub(crate) log_options: ByContainer,
}

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

/// The values that a task's containers name.
///
/// # Errors
/// `ResourceInitializationError: unable to pull secrets or registry auth: …`
pub(crate) async fn read(plane: &ControlPlane, executor: &Executor, task: &acs::Task) -> Result<Given, Failure> {
    if task.containers.iter().all(|container| container.secrets.is_empty()) {
        return Ok(Given::default());
    }
    let values = Reader::of(plane, executor).await.map_err(failure)?.read(task).await.map_err(failure)?;
    let of = |option| by_container(task, &values, option);
    Ok(Given { environments: of(false), log_options: of(true) })
}

fn failure(why: String) -> Failure {
    Failure::resource(format!("unable to pull secrets or registry auth: execution resource retrieval failed: {why}"))
}

/// Who reads, and where.
struct Reader<'a> {
    plane: &'a ControlPlane,
    role: AccessKey,
}

impl<'a> Reader<'a> {
    async fn of(plane: &'a ControlPlane, executor: &Executor) -> Result<Self, String> {
        Ok(Self { plane, role: executor.key().await? })
    }

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
            let answer = self.plane.call_to(api, &self.role, operation, input).await;
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

/// The values of variables, or of options, by container; containers without any are left out.
fn by_container(task: &acs::Task, values: &Values, option: bool) -> ByContainer {
    let of = |container: &acs::Container| {
        let named = container.secrets.iter().filter(|secret| secret.is_log_option() == option);
        named.filter_map(|secret| Some((secret.name.clone(), values.get(&secret.value_from)?.clone()))).collect()
    };
    let all = task.containers.iter().map(|container| (container.name.clone(), of(container)));
    all.filter(|(_, pairs): &(_, BTreeMap<_, _>)| !pairs.is_empty()).collect()
}

/// A file without a name, in memory, for the supervisor to read.
///
/// # Errors
/// When there is no memory for it.
pub(crate) fn keep(secrets: &Secrets) -> std::io::Result<File> {
    let mut file = File::from(memfd_create(c"longshore-secrets", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(secrets)?)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
