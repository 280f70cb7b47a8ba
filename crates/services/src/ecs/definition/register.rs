//! RegisterTaskDefinition: check, fill in, work out what it runs on, keep.
//!
//! Nothing is kept unless every rule of [`super::rule`] holds. The rules see the definition after normalisation: sizes
//! are plain numbers, the network mode is set, roles are ARNs.

use longshore_api::ecs::{self, Compatibility, NetworkMode, TaskDefinitionStatus as Status};
use longshore_model::definition::{Family, TaskDefinition, family_key};
use longshore_model::{Arn, Place};
use longshore_wire::{Fault, json};

use super::rule::{self, Draft, size};
use super::{attribute, default};
use crate::Context;
use crate::ecs::{fault, resolve, tag};

/// Longest definition in bytes, as the JSON that is kept.
pub const LONGEST: usize = 64 * 1024;

/// RegisterTaskDefinition: a new revision of the family, ACTIVE at once.
///
/// # Errors
/// `ClientException` or `InvalidParameterException` in ECS's words, for the first rule that does not hold.
pub fn register(
    context: &mut Context<'_>,
    request: ecs::RegisterTaskDefinitionRequest,
) -> Result<ecs::RegisterTaskDefinitionResponse, Fault> {
    let place = context.place.clone();
    let tags = tag::check_given(request.tags.as_deref())?;
    let mut api = prepare(&place, request)?;
    api.registered_at = Some(context.now);
    api.registered_by = Some(context.principal.clone());
    let api = context.transact(|state, changes, _| {
        let family = api.family.clone().unwrap_or_default();
        let last = state.families.get(&family_key(&place.account, &family)).map_or(0, |row| row.last_revision);
        let revision = last + 1;
        api.revision = Some(revision);
        api.task_definition_arn = Some(place.task_definition(&family, revision));
        let account = place.account.to_string();
        changes.push(Family { account: account.clone(), family: family.clone(), last_revision: revision }.into());
        let row = TaskDefinition { account, family, revision, api: api.clone(), tags: tags.clone() };
        changes.push(row.into());
        Ok::<_, Fault>(api)
    })?;
    let tags = (!tags.is_empty()).then_some(tags);
    Ok(ecs::RegisterTaskDefinitionResponse { task_definition: Some(api), tags })
}

/// Everything about a definition that needs neither the time nor what is already there.
pub fn prepare(place: &Place, request: ecs::RegisterTaskDefinitionRequest) -> Result<ecs::TaskDefinition, Fault> {
    let requires = request.requires_compatibilities.clone().unwrap_or_default();
    let mut draft = draft(place, request)?;
    rule::check(&draft)?;
    let runs_on = compatibilities(&draft, &requires)?;
    default::fill(&mut draft);
    let mut api = draft.api;
    check_length(&api)?;
    api.compatibilities = Some(runs_on);
    api.requires_attributes = Some(attribute::required(&api));
    Ok(api)
}

/// The request as a definition, sizes and roles normalised.
fn draft(place: &Place, request: ecs::RegisterTaskDefinitionRequest) -> Result<Draft, Fault> {
    let cpu = request.cpu.as_deref().map(size::cpu).transpose()?;
    let memory = request.memory.as_deref().map(size::memory).transpose()?;
    let network = request.network_mode.unwrap_or(NetworkMode::Bridge);
    let api = ecs::TaskDefinition {
        container_definitions: Some(request.container_definitions.unwrap_or_default()),
        family: request.family,
        task_role_arn: role(place, request.task_role_arn)?,
        execution_role_arn: role(place, request.execution_role_arn)?,
        network_mode: Some(network),
        volumes: Some(request.volumes.unwrap_or_default()),
        status: Some(Status::Active),
        placement_constraints: Some(request.placement_constraints.unwrap_or_default()),
        runtime_platform: request.runtime_platform,
        requires_compatibilities: request.requires_compatibilities.filter(|list| !list.is_empty()),
        cpu: cpu.map(|units| units.to_string()),
        memory: memory.map(|mib| mib.to_string()),
        inference_accelerators: request.inference_accelerators,
        pid_mode: request.pid_mode,
        ipc_mode: request.ipc_mode,
        proxy_configuration: request.proxy_configuration,
        ephemeral_storage: request.ephemeral_storage,
        enable_fault_injection: request.enable_fault_injection,
        trusted_execution_configuration: request.trusted_execution_configuration,
        ..ecs::TaskDefinition::default()
    };
    Ok(Draft { api, network, cpu, memory })
}

/// A role by name or ARN, as an ARN. Empty is none.
fn role(place: &Place, given: Option<String>) -> Result<Option<String>, Fault> {
    let invalid = || fault::client("Role is not valid");
    let Some(text) = given.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if !text.starts_with("arn:") {
        return match is_role(&text) {
            true => Ok(Some(format!("arn:aws:iam::{}:role/{text}", place.account))),
            false => Err(invalid()),
        };
    }
    let arn = Arn::parse(&text).ok_or_else(invalid)?;
    let account = arn.account.len() == 12 && arn.account.bytes().all(|byte| byte.is_ascii_digit());
    let here = arn.service == "iam" && arn.region.is_empty() && account;
    match arn.resource.strip_prefix("role/").is_some_and(is_role) && here {
        true => Ok(Some(text)),
        false => Err(invalid()),
    }
}

/// A role's path and name: graphic ASCII in parts of at least one character, the name of IAM's alphabet.
fn is_role(text: &str) -> bool {
    let name = text.rsplit('/').next().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    let path = text.split('/').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()));
    path && text.len() <= 576 && name.len() <= 64 && name.bytes().all(plain)
}

/// What the definition runs on, in ECS's order. What was required must be among it.
fn compatibilities(draft: &Draft, requires: &[Compatibility]) -> Result<Vec<Compatibility>, Fault> {
    use rule::{external, fargate, managed};
    let mut runs_on = Vec::new();
    for (kind, refusal) in [
        (Compatibility::External, external::refusal(draft)),
        (Compatibility::Ec2, None),
        (Compatibility::ManagedInstances, managed::refusal(draft)),
        (Compatibility::Fargate, fargate::refusal(draft)),
    ] {
        let required = requires.contains(&kind);
        match refusal {
            Some(refusal) if required => return Err(fault::client(refusal)),
            // Managed Instances are listed for those who asked for them only.
            None if required || kind != Compatibility::ManagedInstances => runs_on.push(kind),
            _ => {}
        }
    }
    Ok(runs_on)
}

fn check_length(api: &ecs::TaskDefinition) -> Result<(), Fault> {
    let length = json::to_vec(api).len();
    match length > LONGEST {
        true => Err(fault::client(format!("Actual length: '{length}'. Max allowed length is '{LONGEST}' bytes."))),
        false => Ok(()),
    }
}

/// A family's name.
pub fn check_family(family: Option<&str>) -> Result<(), Fault> {
    let family = family.unwrap_or_default();
    match () {
        () if family.is_empty() => Err(fault::client("Family should not be null or empty.")),
        () if family.len() > resolve::NAME_LENGTH => {
            Err(fault::client("Family should not be longer than 255 characters."))
        }
        () if !resolve::is_name(family) => Err(fault::client("Family contains invalid characters.")),
        () => Ok(()),
    }
}
