//! A task as DescribeTasks shows it.

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::network::private_dns_name;
use longshore_model::task::{Container, Eni, Task, TaskStatus};
use longshore_model::{AccountId, Place, State};

/// Scratch space of a Fargate task that asks for none.
const EPHEMERAL_STORAGE_GIB: i32 = 20;

/// The task, with its tags when `with_tags` says so. `region` is the installation's.
pub fn task(state: &State, place: &Place, task: &Task, with_tags: bool) -> ecs::Task {
    let place = place_of(place, &task.account);
    let definition = state.definition_of(task).map(AsRef::as_ref);
    let storage = task.ephemeral_storage_gib.unwrap_or(EPHEMERAL_STORAGE_GIB);
    ecs::Task {
        attachments: Some(task.eni.as_ref().map(|eni| attachment(eni, task, &place)).into_iter().collect()),
        attributes: Some(vec![architecture(state, task, definition)]),
        availability_zone: task.zone.clone(),
        capacity_provider_name: task.capacity_provider.clone(),
        cluster_arn: Some(place.cluster(&task.cluster)),
        connectivity: connectivity(state, task),
        connectivity_at: task.connectivity_at,
        container_instance_arn: container_instance(state, task),
        containers: Some(task.containers.iter().map(|one| container(one, task, definition, &place)).collect()),
        cpu: Some(task.cpu.to_string()),
        created_at: Some(task.created_at),
        desired_status: Some(task.desired.to_string()),
        enable_execute_command: Some(task.enable_execute_command),
        execution_stopped_at: task.execution_stopped_at,
        group: task.group.clone(),
        health_status: Some(task.health.unwrap_or(ecs::HealthStatus::Unknown)),
        inference_accelerators: Some(Vec::new()),
        last_status: Some(task.last.to_string()),
        launch_type: Some(task.launch_type),
        memory: Some(task.memory_mib.to_string()),
        overrides: Some(overrides(task)),
        platform_version: task.platform_version.clone(),
        platform_family: Some("Linux".to_owned()),
        pull_started_at: task.pull_started_at,
        pull_stopped_at: task.pull_stopped_at,
        started_at: task.started_at,
        started_by: task.started_by.clone(),
        stop_code: task.stop_code,
        stopped_at: task.stopped_at,
        stopped_reason: task.stopped_reason.clone(),
        stopping_at: task.stopping_at,
        tags: Some(if with_tags { task.tags.clone() } else { Vec::new() }),
        task_arn: Some(place.task(&task.cluster, &task.id)),
        task_definition_arn: Some(place.task_definition(&task.family, task.revision)),
        version: Some(task.version),
        ephemeral_storage: Some(ecs::EphemeralStorage { size_in_gi_b: Some(storage) }),
        fargate_ephemeral_storage: Some(ecs::TaskEphemeralStorage {
            size_in_gi_b: Some(storage),
            kms_key_id: task.storage_key.clone(),
        }),
        trusted_execution_summary: None,
    }
}

/// The record's own account: a node reports on tasks of every account.
fn place_of(place: &Place, account: &str) -> Place {
    let account = AccountId::parse(account).unwrap_or_else(|| place.account.clone());
    Place::new(&place.region, &account)
}

fn architecture(state: &State, task: &Task, definition: Option<&TaskDefinition>) -> ecs::Attribute {
    let wanted = definition.and_then(|definition| definition.api.runtime_platform.as_ref()?.cpu_architecture);
    let node = task.node.as_deref().and_then(|node| state.nodes.get(node));
    let value = match wanted {
        Some(wanted) => wanted.as_str().to_ascii_lowercase(),
        None => node.and_then(|node| node.attribute("ecs.cpu-architecture")).unwrap_or("x86_64").to_owned(),
    };
    ecs::Attribute { name: Some("ecs.cpu-architecture".to_owned()), value: Some(value), ..ecs::Attribute::default() }
}

/// Unset while no node has spoken of the task; of a stopped task what was last heard.
fn connectivity(state: &State, task: &Task) -> Option<ecs::Connectivity> {
    task.connectivity_at?;
    let node = task.node.as_deref().and_then(|node| state.nodes.get(node));
    Some(match node.is_some_and(|node| node.connected) || task.is_stopped() {
        true => ecs::Connectivity::Connected,
        false => ecs::Connectivity::Disconnected,
    })
}

/// Fargate shows no container instance.
fn container_instance(state: &State, task: &Task) -> Option<String> {
    let node = state.nodes.get(task.node.as_deref()?)?;
    (!node.fargate).then(|| node.arn.clone())
}

fn attachment(eni: &Eni, task: &Task, place: &Place) -> ecs::Attachment {
    let status = match task.last {
        TaskStatus::Provisioning => "PRECREATED",
        TaskStatus::Deprovisioning => "DETACHING",
        TaskStatus::Stopped => "DELETED",
        _ => "ATTACHED",
    };
    let detail = |name: &str, value: &str| ecs::KeyValuePair { name: Some(name.into()), value: Some(value.into()) };
    ecs::Attachment {
        id: Some(eni.attachment.clone()),
        r#type: Some("ElasticNetworkInterface".to_owned()),
        status: Some(status.to_owned()),
        details: Some(vec![
            detail("subnetId", &eni.subnet),
            detail("networkInterfaceId", &eni.id),
            detail("macAddress", &eni.mac),
            detail("privateDnsName", &private_dns_name(&place.region, &eni.private_ip)),
            detail("privateIPv4Address", &eni.private_ip),
        ]),
    }
}

fn container(known: &Container, task: &Task, definition: Option<&TaskDefinition>, place: &Place) -> ecs::Container {
    let containers = definition.map(TaskDefinition::containers).unwrap_or_default();
    let definition = containers.iter().find(|one| one.name.as_deref() == Some(known.name.as_str()));
    let text = |number: Option<i32>| number.map(|number| number.to_string());
    let interface = |eni: &Eni| ecs::NetworkInterface {
        attachment_id: Some(eni.attachment.clone()),
        private_ipv4_address: Some(eni.private_ip.clone()),
        ipv6_address: None,
    };
    ecs::Container {
        container_arn: Some(place.container(&task.cluster, &task.id, &known.id)),
        task_arn: Some(place.task(&task.cluster, &task.id)),
        name: Some(known.name.clone()),
        image: known.image.clone(),
        image_digest: known.image_digest.clone(),
        runtime_id: known.runtime_id.clone(),
        last_status: Some(container_status(known.last).to_owned()),
        exit_code: known.exit_code,
        reason: known.reason.clone(),
        network_bindings: Some(known.network_bindings.clone()),
        network_interfaces: Some(task.eni.as_ref().map(interface).into_iter().collect()),
        health_status: Some(known.health.unwrap_or(ecs::HealthStatus::Unknown)),
        cpu: Some(text(definition.and_then(|one| one.cpu)).unwrap_or_else(|| "0".to_owned())),
        memory: text(definition.and_then(|one| one.memory)),
        memory_reservation: text(definition.and_then(|one| one.memory_reservation)),
        ..ecs::Container::default()
    }
}

/// Containers know three states.
fn container_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Stopped => "STOPPED",
        status if status >= TaskStatus::Running => "RUNNING",
        _ => "PENDING",
    }
}

/// What was overridden, with an entry for every container.
fn overrides(task: &Task) -> ecs::TaskOverride {
    let mut overrides = task.overrides.as_deref().cloned().unwrap_or_default();
    let given = overrides.container_overrides.take().unwrap_or_default();
    let entries = task.containers.iter().map(|container| {
        let found = given.iter().find(|one| one.name.as_deref() == Some(container.name.as_str()));
        found.cloned().unwrap_or_else(|| ecs::ContainerOverride {
            name: Some(container.name.clone()),
            ..ecs::ContainerOverride::default()
        })
    });
    overrides.container_overrides = Some(entries.collect());
    overrides.inference_accelerator_overrides.get_or_insert_with(Vec::new);
    overrides
}
