//! Rules for volumes and for where containers mount them.

use longshore_api::ecs::{self, EfsTransitEncryption, Scope};
use longshore_wire::Fault;

use super::{Draft, invalid, is_mount, is_path, is_root, name, repeated};
use crate::ecs::fault;
use crate::ecs::resolve::{is_name, shown};

pub fn check(draft: &Draft) -> Result<(), Fault> {
    let volumes = draft.volumes();
    volumes.iter().try_for_each(check_one)?;
    if let Some(name) = repeated(volumes.iter().filter_map(|volume| volume.name.as_deref())) {
        return Err(fault::client(format!("Volume names must be unique. '{}' is used more than once.", shown(name))));
    }
    match volumes.iter().filter(|volume| volume.configured_at_launch == Some(true)).count() {
        0 | 1 => Ok(()),
        _ => Err(fault::client("A task definition can have at most one volume that is configured at launch.")),
    }
}

fn check_one(volume: &ecs::Volume) -> Result<(), Fault> {
    let name = volume.name.as_deref().unwrap_or_default();
    match () {
        () if name.is_empty() => {
            return Err(fault::client("Volume.name should not be null or empty."));
        }
        () if !is_name(name) => {
            return Err(fault::client("Volume.name contains invalid characters."));
        }
        () => {}
    }
    let kinds = [
        volume.host.is_some(),
        volume.docker_volume_configuration.is_some(),
        volume.efs_volume_configuration.is_some(),
        volume.s3files_volume_configuration.is_some(),
        volume.fsx_windows_file_server_volume_configuration.is_some(),
        volume.configured_at_launch == Some(true),
    ];
    if kinds.iter().filter(|given| **given).count() > 1 {
        return Err(wrong(name, "Only one kind of configuration can be specified."));
    }
    if let Some(path) = volume.host.as_ref().and_then(|host| host.source_path.as_deref()) {
        check_host(name, path)?;
    }
    if let Some(docker) = &volume.docker_volume_configuration
        && docker.autoprovision.is_some()
        && docker.scope != Some(Scope::Shared)
    {
        return Err(wrong(name, "autoprovision is supported only for the scope shared."));
    }
    volume.efs_volume_configuration.as_ref().map_or(Ok(()), |efs| check_efs(name, efs))
}

/// A plain path. What of the host may be mounted is for its node to say.
fn check_host(name: &str, path: &str) -> Result<(), Fault> {
    match () {
        () if !is_path(path) || path.len() > 4096 => {
            Err(wrong(name, "sourcePath must be an absolute path without '..'."))
        }
        () if is_root(path) => Err(wrong(name, "sourcePath must not be the root of the host.")),
        () if path.contains("//") || path.contains("/./") => Err(wrong(name, "sourcePath must be a plain path.")),
        () => Ok(()),
    }
}

fn check_efs(name: &str, efs: &ecs::EfsVolumeConfiguration) -> Result<(), Fault> {
    let encrypted = efs.transit_encryption == Some(EfsTransitEncryption::Enabled);
    let access = efs.authorization_config.as_ref().and_then(|config| config.access_point_id.as_deref());
    let root = efs.root_directory.as_deref().unwrap_or("/");
    match () {
        () if efs.file_system_id.as_deref().unwrap_or_default().is_empty() => {
            Err(wrong(name, "fileSystemId should not be null or empty."))
        }
        () if efs.authorization_config.is_some() && !encrypted => {
            Err(wrong(name, "An EFS authorization configuration requires transit encryption."))
        }
        () if access.is_some() && root != "/" => {
            Err(wrong(name, "With an EFS access point the root directory must be omitted or '/'."))
        }
        () if efs.transit_encryption_port.is_some_and(|port| !(1..=65_535).contains(&port)) => {
            Err(wrong(name, "The transit encryption port must be between 1 and 65535."))
        }
        () => Ok(()),
    }
}

fn wrong(volume: &str, why: &str) -> Fault {
    fault::client(format!("Invalid setting for volume '{}'. {why}", shown(volume)))
}

/// A container's mount points name volumes of the task, each path once.
pub fn check_container(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let mounts = container.mount_points.as_deref().unwrap_or_default();
    for mount in mounts {
        let source = mount.source_volume.as_deref().unwrap_or_default();
        if !draft.volumes().iter().any(|volume| volume.name.as_deref() == Some(source)) {
            return Err(fault::client(format!("Unknown volume '{}'.", shown(source))));
        }
        if !mount.container_path.as_deref().is_some_and(is_mount) {
            return Err(invalid(
                container,
                "mountPoints",
                "containerPath must be an absolute path below the root, without '..'.",
            ));
        }
    }
    if repeated(mounts.iter().map(|mount| mount.container_path.as_deref())).is_some() {
        return Err(invalid(container, "mountPoints", "A containerPath is used more than once."));
    }
    let own = container.volumes_from.iter().flatten().any(|from| from.source_container == container.name);
    match own {
        true => Err(fault::client(format!("Container '{}' cannot mount volumes from itself.", name(container)))),
        false => Ok(()),
    }
}
