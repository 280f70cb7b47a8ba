//! From an order to what the supervisor is told. Pure: everything that had to be looked up comes in as data.
//!
//! ```text
//!   acs::Task (payload) ─┐
//!   Docker Config/HostConfig texts ─┼─► task_spec ──► TaskSpec (DIR/task.json)
//!   image configurations ─┤                    └──► Failure, in the words of the stopped reason
//!   address, region, endpoints ─┘
//! ```
//!
//! The control plane has validated the task definition; what is refused here a second time (privilege, host paths,
//! devices, capabilities on Fargate; names that end up in paths) is refused because a node must not take it from
//! anybody. Left out: what the supervisor looks up in the root file system (users, working directory).

mod container;
mod host;
mod logs;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

pub(crate) use longshore_link::ledger::cluster_arn;
use longshore_link::{acs, docker};
use longshore_supervisor::spec::{
    AwsLogs, LogConfig, LogEndpoint, Network, RuntimeSpec, TaskCpu, TaskSpec, Volume, VolumeSource,
};
use sha2::{Digest, Sha256};

pub(crate) use self::container::is_fargate;
use crate::image::Image;

/// The control group of every instance's tasks.
pub(crate) const CGROUP: &str = "longshore";

/// Why a task does not start, in the words that become its stopped reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    pub reason: String,
    /// The container whose reason it is too, when it is one container's fault.
    pub container: Option<String>,
}

impl Failure {
    /// `ResourceInitializationError: …`: the task's surroundings could not be made.
    pub(crate) fn resource(what: impl std::fmt::Display) -> Self {
        Self { reason: format!("ResourceInitializationError: {what}"), container: None }
    }

    /// `CannotCreateContainerError: …`: one container asks for what cannot be.
    pub(crate) fn container(name: &str, what: impl std::fmt::Display) -> Self {
        Self { reason: format!("CannotCreateContainerError: {what}"), container: Some(name.to_owned()) }
    }

    /// The task was given to this node before and is not here any more: `longshore down`, or a lost disk.
    pub(crate) fn lost() -> Self {
        Self { reason: "Task stopped: the node no longer has it".to_owned(), container: None }
    }

    /// The agent has a fault, and the task is its victim.
    pub(crate) fn broken() -> Self {
        Self { reason: "Task stopped: the agent met an internal error".to_owned(), container: None }
    }

    /// `CannotPullContainerError: …`, given whole.
    pub(crate) fn pull(name: &str, reason: String) -> Self {
        Self { reason, container: Some(name.to_owned()) }
    }
}

/// What an order does not carry.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) region: String,
    pub(crate) instance: String,
    pub(crate) resolver: Ipv4Addr,
    pub(crate) runtime: RuntimeSpec,
    pub(crate) log_endpoint: Option<LogEndpoint>,
    /// Of a task that has a role.
    pub(crate) credentials_id: Option<String>,
    /// Host directories that no task may mount, beyond the system's own.
    pub(crate) protected: Vec<PathBuf>,
}

/// The last part of a task's ARN.
pub(crate) fn task_id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The account in a task's ARN.
pub(crate) fn account(task_arn: &str) -> &str {
    task_arn.split(':').nth(4).unwrap_or_default()
}

/// Id of a container at the runtime, in the form Fargate gives: the task's id and ten digits. The same order gives the
/// same ids, so a repeated start meets what is left of the first.
pub(crate) fn runtime_id(task: &acs::Task, container: &str) -> String {
    let hash = Sha256::digest(container.as_bytes());
    let number = hash.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{}-{:010}", task_id(&task.arn), number % 10_000_000_000)
}

/// The interface of the task, if it has one of its own.
pub(crate) fn interface(task: &acs::Task) -> Option<&acs::ElasticNetworkInterface> {
    task.elastic_network_interfaces.first()
}

/// The primary private address of an interface.
pub(crate) fn primary_address(interface: &acs::ElasticNetworkInterface) -> Option<Ipv4Addr> {
    let addresses = &interface.ipv4_addresses;
    let primary = addresses.iter().find(|address| address.primary).or(addresses.first())?;
    primary.private_address.parse().ok()
}

/// What the supervisor of `task` is told. `images` holds an image for every container name.
///
/// # Errors
/// The first thing asked that this node does not give.
pub(crate) fn task_spec(
    task: &acs::Task,
    images: &BTreeMap<String, Image>,
    around: &Surroundings,
) -> Result<TaskSpec, Failure> {
    check_task(task)?;
    let id = task_id(&task.arn);
    let containers = task.containers.iter().map(|container| {
        let image = images
            .get(&container.name)
            .ok_or_else(|| Failure::container(&container.name, format!("image {} is not here", container.image)))?;
        container::spec(task, container, image, around)
    });
    Ok(TaskSpec {
        task_arn: task.arn.clone(),
        task_id: id.to_owned(),
        cgroup: format!("{CGROUP}/{}/{id}", around.instance),
        cpu: TaskCpu { units: cpu_units(task.cpu) },
        memory_mib: u64::try_from(task.memory).ok().filter(|mib| *mib > 0),
        storage_mib: Some(storage_mib(task.ephemeral_storage_gib)),
        network: Network::Host,
        share_processes: task.pid_mode.as_deref() == Some("task"),
        runtime: around.runtime.clone(),
        volumes: volumes(task, around)?,
        log_endpoint: around.log_endpoint.clone(),
        client_fd: None,
        secrets: None,
        containers: containers.collect::<Result<_, _>>()?,
    })
}

/// The task with options of its log drivers that were read for it, by container.
///
/// # Errors
/// For a container whose configuration does not read.
pub(crate) fn with_log_options<'t>(
    task: &'t acs::Task,
    options: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<Cow<'t, acs::Task>, Failure> {
    if options.is_empty() {
        return Ok(Cow::Borrowed(task));
    }
    let mut task = task.clone();
    for container in &mut task.containers {
        let Some(options) = options.get(&container.name) else { continue };
        logs::add_options(container, options)?;
    }
    Ok(Cow::Owned(task))
}

/// Where the containers of a task log to by awslogs. What does not read is left out: the task is refused for it elsewhere.
pub(crate) fn log_streams(task: &acs::Task, region: &str) -> Vec<AwsLogs> {
    let stream = |container: &acs::Container| {
        let host: docker::HostConfig = serde_json::from_str(container.docker_config.host_config.as_deref()?).ok()?;
        let id = runtime_id(task, &container.name);
        match logs::config(&host.log_config, &container.name, task_id(&task.arn), &id, region).ok()? {
            LogConfig::Awslogs(logs) => Some(logs),
            _ => None,
        }
    };
    task.containers.iter().filter_map(stream).collect()
}

/// What Fargate gives unless more is asked for.
const STORAGE_GIB: u64 = 20;

fn storage_mib(gib: Option<i32>) -> u64 {
    gib.and_then(|gib| u64::try_from(gib).ok()).filter(|gib| *gib > 0).unwrap_or(STORAGE_GIB) * 1024
}

/// vCPUs to CPU units.
fn cpu_units(vcpus: f64) -> Option<u32> {
    let units = (vcpus * 1024.0).round();
    (units >= 1.0 && units <= f64::from(u32::MAX)).then_some(units as u32)
}

/// Refuses an order whose names cannot be used on a host, or that asks for what this node does not have.
pub(crate) fn check_task(task: &acs::Task) -> Result<(), Failure> {
    if task.containers.is_empty() {
        return Err(Failure::resource("the task has no containers"));
    }
    let mut names = std::collections::BTreeSet::new();
    for container in &task.containers {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if container.name.is_empty() || container.name.len() > 255 || !container.name.chars().all(plain) {
            return Err(Failure::resource(format!("{:?} cannot be the name of a container", container.name)));
        }
        if !names.insert(&container.name) {
            return Err(Failure::resource(format!("two containers are named {}", container.name)));
        }
    }
    check_modes(task)
}

fn check_modes(task: &acs::Task) -> Result<(), Failure> {
    for (what, mode) in [("pid", &task.pid_mode), ("ipc", &task.ipc_mode)] {
        let here = |mode: &&str| mode.is_empty() || *mode == "none" || what == "pid" && *mode == "task";
        if let Some(mode) = mode.as_deref().filter(|mode| !here(mode)) {
            return Err(Failure::resource(format!("the {what} mode {mode} is not supported by this node")));
        }
    }
    match task.network_mode.as_str() {
        "awsvpc" if interface(task).and_then(primary_address).is_none() => {
            Err(Failure::resource("the task came without the address of its network interface"))
        }
        "awsvpc" => Ok(()),
        other => Err(Failure::resource(format!("the network mode {other:?} is not supported by this node"))),
    }
}

fn volumes(task: &acs::Task, around: &Surroundings) -> Result<Vec<Volume>, Failure> {
    task.volumes.iter().map(|volume| self::volume(task, volume, around)).collect()
}

fn volume(task: &acs::Task, volume: &acs::Volume, around: &Surroundings) -> Result<Volume, Failure> {
    let path = volume.host.as_ref().and_then(|host| host.source_path.as_deref()).filter(|path| !path.is_empty());
    let source = match path {
        None => VolumeSource::Scratch,
        Some(path) => VolumeSource::Host { path: host::path(path, is_fargate(task), &around.protected)? },
    };
    Ok(Volume { name: volume.name.clone(), source })
}

#[cfg(test)]
mod tests;
