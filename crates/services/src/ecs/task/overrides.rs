//! What RunTask may override.

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_wire::{Fault, json};

use crate::ecs::definition::rule::size;
use crate::ecs::{fault, resolve};

/// Longest overrides, in characters of JSON.
const LENGTH: usize = 8192;

const EPHEMERAL_STORAGE_GIB: std::ops::RangeInclusive<i32> = 21..=200;

/// The overrides, checked against the definition; sizes are normalised.
///
/// # Errors
/// `InvalidParameterException` and `ClientException`, in ECS's words.
pub fn check(given: &ecs::TaskOverride, definition: &TaskDefinition) -> Result<ecs::TaskOverride, Fault> {
    if json::to_vec(given).len() > LENGTH {
        return Err(fault::invalid_parameter(format!("Container Overrides length must be at most {LENGTH}")));
    }
    if given.inference_accelerator_overrides.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(super::launch::unsupported("inferenceAcceleratorOverrides"));
    }
    let containers = given.container_overrides.as_deref().unwrap_or_default();
    for (index, container) in containers.iter().enumerate() {
        check_container(container, &containers[..index], definition)?;
    }
    let storage = given.ephemeral_storage.as_ref().and_then(|storage| storage.size_in_gi_b);
    if storage.is_some_and(|gib| !EPHEMERAL_STORAGE_GIB.contains(&gib)) {
        return Err(fault::invalid_parameter("Ephemeral storage size must be between 21 and 200 GiB."));
    }
    let mut checked = given.clone();
    check_size(&mut checked, definition)?;
    Ok(checked)
}

fn check_container(
    container: &ecs::ContainerOverride,
    before: &[ecs::ContainerOverride],
    definition: &TaskDefinition,
) -> Result<(), Fault> {
    let name = container.name.as_deref().unwrap_or_default();
    if !definition.containers().iter().any(|known| known.name.as_deref() == Some(name)) {
        let name = resolve::shown(name);
        return Err(fault::invalid_parameter(format!(
            "Override for container named {name} is not a container in the TaskDefinition."
        )));
    }
    if before.iter().any(|other| other.name.as_deref() == Some(name)) {
        return Err(fault::invalid_parameter(format!("Container named {name} is overridden twice.")));
    }
    for variable in container.environment.iter().flatten() {
        check_variable(variable)?;
    }
    if container.command.iter().flatten().any(|word| word.contains('\0')) {
        return Err(fault::client("Container command must not contain NUL."));
    }
    if container.resource_requirements.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(super::launch::unsupported("resourceRequirements"));
    }
    Ok(())
}

fn check_variable(variable: &ecs::KeyValuePair) -> Result<(), Fault> {
    let name = variable.name.as_deref().unwrap_or_default();
    let value = variable.value.as_deref().unwrap_or_default();
    let bad_name = name.is_empty() || name.contains(['=', '\0', '\n', '\r']);
    match bad_name || value.contains('\0') {
        true => Err(fault::client("Environment variable names must be non-empty and without '=', and hold no NUL.")),
        false => Ok(()),
    }
}

/// A size given anew must be one of Fargate's together with what the definition keeps.
fn check_size(given: &mut ecs::TaskOverride, definition: &TaskDefinition) -> Result<(), Fault> {
    if given.cpu.is_none() && given.memory.is_none() {
        return Ok(());
    }
    let cpu = size::cpu(given.cpu.as_deref().or(definition.api.cpu.as_deref()).unwrap_or_default())?;
    let memory_mib = size::memory(given.memory.as_deref().or(definition.api.memory.as_deref()).unwrap_or_default())?;
    if !size::is_fargate(cpu, memory_mib) {
        return Err(fault::client("No Fargate configuration exists for given values."));
    }
    given.cpu = given.cpu.as_ref().map(|_| cpu.to_string());
    given.memory = given.memory.as_ref().map(|_| memory_mib.to_string());
    Ok(())
}
