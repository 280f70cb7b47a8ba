//! Rules for the task as a whole, and for containers among each other.

use longshore_api::ecs::{self, NetworkMode};
use longshore_wire::Fault;

use super::{Draft, repeated};
use crate::ecs::definition::register::check_family;
use crate::ecs::{fault, resolve};

/// Containers of one definition.
const CONTAINERS: usize = 10;

const CONSTRAINTS: usize = 10;
const EXPRESSION: usize = 2000;

pub fn check(draft: &Draft) -> Result<(), Fault> {
    check_family(draft.api.family.as_deref())?;
    check_containers(draft)?;
    check_platform(draft)?;
    check_constraints(draft.api.placement_constraints.as_deref().unwrap_or_default())
}

fn check_containers(draft: &Draft) -> Result<(), Fault> {
    let containers = draft.containers();
    let names = containers.iter().filter_map(|container| container.name.as_deref());
    match containers.len() {
        0 => return Err(fault::client("Container list cannot be empty.")),
        count if count > CONTAINERS => {
            return Err(fault::client(format!("Task definitions can have at most {CONTAINERS} containers.")));
        }
        _ => {}
    }
    if let Some(name) = repeated(names) {
        return Err(fault::client(format!(
            "Container names must be unique. '{}' is used more than once.",
            resolve::shown(name)
        )));
    }
    match containers.iter().all(|container| container.essential == Some(false)) {
        true => Err(fault::client("At least one container must be marked as essential.")),
        false => Ok(()),
    }
}

fn check_platform(draft: &Draft) -> Result<(), Fault> {
    let storage = draft.api.ephemeral_storage.as_ref().map(|storage| storage.size_in_gi_b.unwrap_or(0));
    if storage.is_some_and(|gib| !(21..=200).contains(&gib)) {
        return Err(fault::client("Invalid ephemeral storage size. It must be between 21 and 200 GiB."));
    }
    if let Some(proxy) = &draft.api.proxy_configuration {
        let name = proxy.container_name.as_deref().unwrap_or_default();
        if draft.container(name).is_none() {
            return Err(fault::client("The proxy container must be defined in the task definition."));
        }
        if draft.network != NetworkMode::Awsvpc {
            return Err(fault::client("A proxy configuration requires networkMode awsvpc."));
        }
    }
    let faults = draft.api.enable_fault_injection == Some(true);
    match faults && !matches!(draft.network, NetworkMode::Awsvpc | NetworkMode::Host) {
        true => Err(fault::client("Fault injection requires networkMode awsvpc or host.")),
        false => Ok(()),
    }
}

fn check_constraints(constraints: &[ecs::TaskDefinitionPlacementConstraint]) -> Result<(), Fault> {
    if constraints.len() > CONSTRAINTS {
        return Err(fault::client(format!("A task definition can have at most {CONSTRAINTS} placement constraints.")));
    }
    for constraint in constraints {
        let expression = constraint.expression.as_deref().unwrap_or_default();
        if constraint.r#type.is_none() || expression.is_empty() || expression.chars().count() > EXPRESSION {
            return Err(fault::client("Invalid placement constraint: memberOf requires an expression."));
        }
    }
    Ok(())
}
