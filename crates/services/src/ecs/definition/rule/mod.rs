//! The rules of task definitions, a file a subject. Each rule answers with ECS's fault for the first thing that is wrong.

mod container;
mod depend;
pub mod external;
pub mod fargate;
mod health;
mod linux;
mod log;
pub mod managed;
mod port;
pub mod size;
mod task;
mod volume;

use longshore_api::ecs::{self, Compatibility, NetworkMode};
use longshore_wire::Fault;

use crate::ecs::{fault, resolve};

/// A definition under examination.
#[derive(Clone, Debug)]
pub struct Draft {
    pub api: ecs::TaskDefinition,
    pub network: NetworkMode,
    /// CPU units of the task, if given.
    pub cpu: Option<i64>,
    /// MiB of the task, if given.
    pub memory: Option<i64>,
}

impl Draft {
    pub fn containers(&self) -> &[ecs::ContainerDefinition] {
        self.api.container_definitions.as_deref().unwrap_or_default()
    }

    pub fn volumes(&self) -> &[ecs::Volume] {
        self.api.volumes.as_deref().unwrap_or_default()
    }

    pub fn requires(&self, kind: Compatibility) -> bool {
        self.api.requires_compatibilities.as_deref().unwrap_or_default().contains(&kind)
    }

    pub fn container(&self, name: &str) -> Option<&ecs::ContainerDefinition> {
        self.containers().iter().find(|container| container.name.as_deref() == Some(name))
    }
}

/// Every rule that holds wherever the task is to run.
pub fn check(draft: &Draft) -> Result<(), Fault> {
    task::check(draft)?;
    if draft.requires(Compatibility::Fargate)
        && let Some(refusal) = fargate::size(draft)
    {
        return Err(fault::client(refusal));
    }
    for container in draft.containers() {
        container::check(draft, container)?;
        port::check(draft, container)?;
        volume::check_container(draft, container)?;
        linux::check(draft, container)?;
        log::check(draft, container)?;
        health::check(draft, container)?;
    }
    volume::check(draft)?;
    port::check_task(draft)?;
    depend::check(draft)?;
    size::check_sums(draft)
}

/// The container's name, fit for a message.
fn name(container: &ecs::ContainerDefinition) -> String {
    resolve::shown(container.name.as_deref().unwrap_or_default())
}

/// `Invalid 'FIELD' setting for container 'NAME'.`, and then why.
fn invalid(container: &ecs::ContainerDefinition, field: &str, why: &str) -> Fault {
    let space = if why.is_empty() { "" } else { " " };
    fault::client(format!("Invalid '{field}' setting for container '{}'.{space}{why}", name(container)))
}

/// A number that may be left out, within bounds.
fn within(
    container: &ecs::ContainerDefinition,
    field: &str,
    value: Option<i32>,
    (least, most): (i32, i32),
) -> Result<(), Fault> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(invalid(container, field, &format!("It must be between {least} and {most}.")))
        }
        _ => Ok(()),
    }
}

/// An absolute path without `..` and NUL.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && path.split('/').all(|part| part != "..")
}

/// Whether the path is another spelling of `/`.
fn is_root(path: &str) -> bool {
    path.split('/').all(|part| part.is_empty() || part == ".")
}

/// Where something can be mounted: an absolute path other than the root.
fn is_mount(path: &str) -> bool {
    is_path(path) && !is_root(path)
}

/// The first of `items` that an earlier one equals.
fn repeated<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = Vec::new();
    for item in items {
        if seen.contains(&item) {
            return Some(item);
        }
        seen.push(item);
    }
    None
}
