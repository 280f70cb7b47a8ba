//! What Fargate does not take. The first refusal is the answer when FARGATE is required, and keeps it out of
//! `compatibilities` when it is not.

use longshore_api::ecs::{self, IpcMode, LogDriver, NetworkMode, PidMode};

use super::Draft;
use super::size::{is_fargate, is_fargate_cpu};

/// Why Fargate cannot run the definition, in ECS's words.
pub fn refusal(draft: &Draft) -> Option<String> {
    size(draft)
        .or_else(|| task(draft))
        .or_else(|| draft.containers().iter().find_map(container))
        .or_else(|| draft.volumes().iter().find_map(volume))
        .or_else(|| execution_role(draft))
}

/// Why Fargate has no machine for the task's size and network.
pub fn size(draft: &Draft) -> Option<String> {
    let text = match (draft.cpu, draft.memory) {
        _ if draft.network != NetworkMode::Awsvpc => "Fargate only supports network mode \u{2018}awsvpc\u{2019}.",
        (None, _) => "Fargate requires that 'cpu' be defined at the task level.",
        (_, None) => "Fargate requires that 'memory' be defined at the task level.",
        (Some(cpu), _) if !is_fargate_cpu(cpu) => "Invalid 'cpu' setting for task.",
        (Some(cpu), Some(memory)) if !is_fargate(cpu, memory) => "No Fargate configuration exists for given values.",
        _ => return None,
    };
    Some(text.to_owned())
}

fn task(draft: &Draft) -> Option<String> {
    let constraints = draft.api.placement_constraints.as_ref().is_some_and(|list| !list.is_empty());
    let accelerators = draft.api.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty());
    first(&[
        (draft.api.ipc_mode.is_some_and(|mode| mode != IpcMode::None), "ipcMode"),
        (draft.api.pid_mode == Some(PidMode::Host), "pidMode host"),
        (constraints, "placementConstraints"),
        (accelerators, "inferenceAccelerators"),
        (draft.api.trusted_execution_configuration.is_some(), "trustedExecutionConfiguration"),
    ])
}

fn container(container: &ecs::ContainerDefinition) -> Option<String> {
    let linux = container.linux_parameters.as_ref();
    let added = linux.and_then(|linux| linux.capabilities.as_ref()).and_then(|it| it.add.as_deref());
    let capability = added.unwrap_or_default().iter().any(|name| name != "SYS_PTRACE");
    let driver = container.log_configuration.as_ref().and_then(|log| log.log_driver);
    let supported = [LogDriver::Awslogs, LogDriver::Splunk, LogDriver::Awsfirelens];
    if let Some(driver) = driver.filter(|driver| !supported.contains(driver)) {
        return first(&[(true, &format!("log driver {driver}"))]);
    }
    let specs = container.credential_specs.iter().flatten();
    first(&[
        (container.privileged == Some(true), "privileged containers"),
        (linux.is_some_and(|linux| some(&linux.devices)), "devices"),
        (linux.is_some_and(|linux| linux.shared_memory_size.is_some()), "sharedMemorySize"),
        (linux.is_some_and(|linux| linux.max_swap.is_some()), "maxSwap"),
        (linux.is_some_and(|linux| linux.swappiness.is_some()), "swappiness"),
        (capability, "adding capabilities other than SYS_PTRACE"),
        (some(&container.links), "links"),
        (container.disable_networking == Some(true), "disableNetworking"),
        (some(&container.dns_servers), "dnsServers"),
        (some(&container.dns_search_domains), "dnsSearchDomains"),
        (some(&container.extra_hosts), "extraHosts"),
        (some(&container.docker_security_options), "dockerSecurityOptions"),
        (some(&container.resource_requirements), "resourceRequirements"),
        (specs.into_iter().any(|spec| !spec.starts_with("credentialspecdomainless:")), "credentialSpecs of a domain"),
    ])
}

fn volume(volume: &ecs::Volume) -> Option<String> {
    let host = volume.host.as_ref().is_some_and(|host| host.source_path.is_some());
    first(&[
        (host, "volumes with a host sourcePath"),
        (volume.docker_volume_configuration.is_some(), "dockerVolumeConfiguration"),
        (volume.fsx_windows_file_server_volume_configuration.is_some(), "fsxWindowsFileServerVolumeConfiguration"),
    ])
}

/// What Fargate fetches or writes for the task it does with the execution role.
fn execution_role(draft: &Draft) -> Option<String> {
    if draft.api.execution_role_arn.is_some() {
        return None;
    }
    let need = draft.containers().iter().find_map(|container| {
        let log = container.log_configuration.as_ref();
        let secrets = log.is_some_and(|log| some(&log.secret_options));
        let needs = [
            (log.is_some_and(|log| log.log_driver == Some(LogDriver::Awslogs)), "log driver awslogs"),
            (container.image.as_deref().is_some_and(is_ecr), "ECR images"),
            (container.repository_credentials.is_some(), "repositoryCredentials"),
            (secrets, "secrets"),
            (some(&container.environment_files), "environmentFiles"),
        ];
        needs.iter().find(|(given, _)| *given).map(|(_, what)| *what)
    });
    need.map(|what| format!("Fargate requires task definition to have execution role ARN to support {what}."))
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com/…`, or of `localhost`, where a port may follow.
pub fn is_ecr(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    host.contains(".dkr.ecr.")
        && [".amazonaws.com", ".amazonaws.com.cn", ".localhost"].iter().any(|end| host.ends_with(end))
}

fn some<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}

fn first(refused: &[(bool, &str)]) -> Option<String> {
    let found = refused.iter().find(|(given, _)| *given);
    found.map(|(_, what)| format!("Tasks using the Fargate launch type do not support {what}."))
}
