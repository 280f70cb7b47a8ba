//! Making a task: the record of one run of a task definition, placed on a node at once.
//!
//! A task that needs what this version cannot do is made all the same and stops at once, with the reason in
//! `stoppedReason`: the caller's call was right, its task is what fails.

use longshore_api::ecs;
use longshore_model::Mint;
use longshore_model::definition::TaskDefinition;
use longshore_model::service::Pin;
use longshore_model::task::{Container, Task, TaskStatus};
use longshore_wire::Timestamp;

use crate::place::{Draft, Peers, Refusal, Spot, Want};

/// What `LATEST` and an absent platform version mean.
pub const PLATFORM_VERSION: &str = "1.4.0";

/// The tags that `enableECSManagedTags` asks for.
pub fn managed_tags(cluster: &str, service: Option<&str>) -> Vec<ecs::Tag> {
    let tag = |key: &str, value: &str| ecs::Tag { key: Some(key.into()), value: Some(value.into()) };
    let mut tags = vec![tag("aws:ecs:clusterName", cluster)];
    tags.extend(service.map(|service| tag("aws:ecs:serviceName", service)));
    tags
}

/// What a task is made from.
#[derive(Clone, Copy)]
pub struct Launch<'a> {
    pub account: &'a str,
    pub cluster: &'a str,
    pub definition: &'a TaskDefinition,
    pub service: Option<&'a str>,
    pub group: &'a str,
    pub started_by: Option<&'a str>,
    pub overrides: Option<&'a ecs::TaskOverride>,
    pub capacity_provider: Option<&'a str>,
    pub platform_version: &'a str,
    pub network: &'a ecs::AwsVpcConfiguration,
    pub enable_execute_command: bool,
    pub tags: &'a [ecs::Tag],
    /// What its containers are to run instead of their tags.
    pub pins: &'a [Pin],
    /// The cluster's key for Fargate's scratch space.
    pub storage_key: Option<&'a str>,
}

/// Make a task and find its place.
///
/// # Errors
/// [`Refusal`] if no node takes it; nothing is taken then.
pub fn task(
    launch: &Launch<'_>,
    draft: &mut Draft<'_>,
    peers: &mut Peers,
    now: Timestamp,
    mint: &mut Mint,
) -> Result<Task, Refusal> {
    if let Some(reason) = unsupported(launch.definition, launch.overrides) {
        return Ok(stillborn(launch, reason, now, mint));
    }
    let (cpu, memory_mib) = size(launch);
    let network = with_default_group(launch, draft);
    let want = Want {
        account: launch.account,
        cpu,
        memory_mib,
        architecture: architecture(launch.definition),
        network: &network,
    };
    let spot = draft.place(&want, peers, mint)?;
    Ok(record(launch, Some(spot), now, mint))
}

/// CPU units and MiB of the whole task: the override's, else the definition's.
fn size(launch: &Launch<'_>) -> (i32, i32) {
    let given = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i32>().ok());
    let overrides = launch.overrides;
    let api = &launch.definition.api;
    let cpu = overrides.and_then(|overrides| given(&overrides.cpu)).or(given(&api.cpu));
    let memory_mib = overrides.and_then(|overrides| given(&overrides.memory)).or(given(&api.memory));
    (cpu.unwrap_or(0), memory_mib.unwrap_or(0))
}

fn architecture(definition: &TaskDefinition) -> Option<&'static str> {
    let platform = definition.api.runtime_platform.as_ref()?;
    platform.cpu_architecture.map(ecs::CpuArchitecture::as_str)
}

/// Without security groups a task gets its VPC's default one.
fn with_default_group(launch: &Launch<'_>, draft: &Draft<'_>) -> ecs::AwsVpcConfiguration {
    let mut network = launch.network.clone();
    if network.security_groups.as_ref().is_none_or(Vec::is_empty) {
        let prefix = format!("{}/", launch.account);
        let first = network.subnets.iter().flatten().next().map(|subnet| format!("{prefix}{subnet}"));
        let vpc = first.and_then(|key| draft.state.subnets.get(&key)).map(|subnet| subnet.vpc.as_str());
        let groups = draft.state.security_groups.scan(&prefix).map(|(_, group)| group);
        let default = groups.into_iter().find(|group| Some(group.vpc.as_str()) == vpc && group.name == "default");
        network.security_groups = default.map(|group| vec![group.id.clone()]);
    }
    network
}

fn record(launch: &Launch<'_>, spot: Option<Spot>, now: Timestamp, mint: &mut Mint) -> Task {
    let id = mint.hex32();
    let (cpu, memory_mib) = size(launch);
    let (node, zone, eni) = match spot {
        Some(Spot { node, zone, eni }) => (Some(node), Some(zone), Some(eni)),
        None => (None, None, None),
    };
    let storage = launch.overrides.and_then(|overrides| overrides.ephemeral_storage.as_ref());
    let storage = storage.or(launch.definition.api.ephemeral_storage.as_ref());
    Task {
        account: launch.account.to_owned(),
        cluster: launch.cluster.to_owned(),
        id,
        family: launch.definition.family.clone(),
        revision: launch.definition.revision,
        service: launch.service.map(str::to_owned),
        node,
        zone,
        desired: TaskStatus::Running,
        last: TaskStatus::Provisioning,
        version: 1,
        launch_type: ecs::LaunchType::Fargate,
        capacity_provider: launch.capacity_provider.map(str::to_owned),
        platform_version: Some(launch.platform_version.to_owned()),
        cpu,
        memory_mib,
        group: Some(launch.group.to_owned()),
        started_by: launch.started_by.map(str::to_owned),
        overrides: launch.overrides.cloned().map(Box::new),
        ephemeral_storage_gib: storage.and_then(|storage| storage.size_in_gi_b),
        storage_key: launch.storage_key.map(str::to_owned),
        enable_execute_command: launch.enable_execute_command,
        eni,
        balanced: None,
        containers: launch
            .definition
            .containers()
            .iter()
            .map(|definition| container(definition, launch.pins, mint))
            .collect(),
        health: Some(ecs::HealthStatus::Unknown),
        tags: launch.tags.to_vec(),
        stop_code: None,
        stopped_reason: None,
        created_at: now,
        connectivity_at: None,
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: None,
    }
}

fn container(definition: &ecs::ContainerDefinition, pins: &[Pin], mint: &mut Mint) -> Container {
    let pin = pins.iter().find(|pin| Some(&pin.container) == definition.name.as_ref());
    Container {
        id: mint.uuid(),
        name: definition.name.clone().unwrap_or_default(),
        image: definition.image.clone(),
        image_digest: None,
        pinned: pin.map(|pin| pin.digest.clone()),
        runtime_id: None,
        last: TaskStatus::Pending,
        exit_code: None,
        reason: None,
        health: Some(ecs::HealthStatus::Unknown),
        network_bindings: Vec::new(),
    }
}

/// A task that no node is ever given.
fn stillborn(launch: &Launch<'_>, reason: String, now: Timestamp, mint: &mut Mint) -> Task {
    let mut task = record(launch, None, now, mint);
    task.request_stop(ecs::TaskStopCode::TaskFailedToStart, &reason, now);
    task
}

/// Why this version cannot run such a task, in the words of `stoppedReason`.
pub fn unsupported(definition: &TaskDefinition, overrides: Option<&ecs::TaskOverride>) -> Option<String> {
    let in_containers = definition.containers().iter().find_map(|container| {
        let name = container.name.as_deref().unwrap_or_default();
        unsupported_in_container(container).map(|what| format!("{what} of container {name}"))
    });
    let in_overrides = || {
        let containers = overrides.and_then(|overrides| overrides.container_overrides.as_deref()).unwrap_or_default();
        let given = containers.iter().find(|container| some(&container.environment_files));
        given
            .map(|container| format!("environmentFiles of container {}", container.name.as_deref().unwrap_or_default()))
    };
    let what = in_containers.or_else(in_overrides).or_else(|| unsupported_in_task(definition))?;
    Some(format!("ResourceInitializationError: {what} are not supported by this version of Longshore"))
}

fn some<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn unsupported_in_container(container: &ecs::ContainerDefinition) -> Option<&'static str> {
    let driver = container.log_configuration.as_ref().and_then(|log| log.log_driver);
    let checks = [
        (some(&container.environment_files), "environmentFiles"),
        (container.firelens_configuration.is_some(), "firelens log routers"),
        (driver == Some(ecs::LogDriver::Awsfirelens), "awsfirelens logs"),
        (driver.is_some_and(|driver| driver != ecs::LogDriver::Awslogs), "log drivers other than awslogs"),
        (some(&container.credential_specs), "credentialSpecs"),
        (some(&container.resource_requirements), "resourceRequirements (GPUs, inference accelerators)"),
    ];
    checks.into_iter().find_map(|(used, what)| used.then_some(what))
}

fn unsupported_in_task(definition: &TaskDefinition) -> Option<String> {
    let api = &definition.api;
    let windows = api.runtime_platform.as_ref().and_then(|platform| platform.operating_system_family);
    if windows.is_some_and(|family| family != ecs::OsFamily::Linux) {
        return Some("operating systems other than LINUX".into());
    }
    if api.proxy_configuration.is_some() {
        return Some("proxyConfigurations".into());
    }
    let volumes = api.volumes.as_deref().unwrap_or_default();
    volumes.iter().find_map(|volume| {
        let name = volume.name.as_deref().unwrap_or_default();
        unsupported_volume(volume).map(|kind| format!("{kind} (volume {name})"))
    })
}

fn unsupported_volume(volume: &ecs::Volume) -> Option<&'static str> {
    let checks = [
        (volume.efs_volume_configuration.is_some(), "EFS volumes"),
        (volume.s3files_volume_configuration.is_some(), "S3 Files volumes"),
        (volume.fsx_windows_file_server_volume_configuration.is_some(), "FSx volumes"),
        (volume.docker_volume_configuration.is_some(), "Docker volumes"),
        (volume.configured_at_launch == Some(true), "volumes configured at launch"),
    ];
    checks.into_iter().find_map(|(used, what)| used.then_some(what))
}
