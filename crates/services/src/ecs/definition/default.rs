//! What ECS fills in: a definition is answered with its defaults written out.

use longshore_api::ecs::{self, NetworkMode, TransportProtocol};

use super::rule::Draft;

/// Writes the defaults into the definition.
pub fn fill(draft: &mut Draft) {
    let network = draft.network;
    for container in draft.api.container_definitions.iter_mut().flatten() {
        fill_container(container, network);
    }
    for volume in draft.api.volumes.iter_mut().flatten() {
        let configured = volume.docker_volume_configuration.is_some()
            || volume.efs_volume_configuration.is_some()
            || volume.s3files_volume_configuration.is_some()
            || volume.fsx_windows_file_server_volume_configuration.is_some()
            || volume.configured_at_launch == Some(true);
        if !configured {
            volume.host.get_or_insert_default();
        }
    }
}

fn fill_container(container: &mut ecs::ContainerDefinition, network: NetworkMode) {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    for mapping in container.port_mappings.get_or_insert_default() {
        fill_port(mapping, network);
    }
    if let Some(check) = &mut container.health_check {
        check.interval.get_or_insert(30);
        check.timeout.get_or_insert(5);
        check.retries.get_or_insert(3);
    }
    if let Some(policy) = container.restart_policy.as_mut().filter(|policy| policy.enabled == Some(true)) {
        policy.ignored_exit_codes.get_or_insert_default();
        policy.restart_attempt_period.get_or_insert(300);
    }
}

/// Where the task has a network of its own, or the host's, a container's port is the host's.
fn fill_port(mapping: &mut ecs::PortMapping, network: NetworkMode) {
    mapping.protocol.get_or_insert(TransportProtocol::Tcp);
    if mapping.container_port_range.is_some() {
        return;
    }
    match network {
        NetworkMode::Awsvpc | NetworkMode::Host => mapping.host_port = mapping.container_port,
        _ => {
            mapping.host_port.get_or_insert(0);
        }
    }
}
