//! `requiresAttributes`: what a container instance must be able to do, worked out from the definition.

use longshore_api::ecs::{self, FirelensConfigurationType, LogDriver, NetworkMode};

use super::rule::fargate::is_ecr;

const DOCKER: &str = "com.amazonaws.ecs.capability.docker-remote-api.";

/// The attributes, each once, in the order of first need.
pub fn required(api: &ecs::TaskDefinition) -> Vec<ecs::Attribute> {
    let mut names = Vec::new();
    for container in api.container_definitions.iter().flatten() {
        of_logs(api, container, &mut names);
        of_image(api, container, &mut names);
        of_secrets(container, &mut names);
        of_lifecycle(container, &mut names);
        of_kernel(container, &mut names);
    }
    of_task(api, &mut names);
    let mut seen: Vec<String> = Vec::new();
    names.retain(|name: &String| {
        let new = !seen.contains(name);
        seen.push(name.clone());
        new
    });
    names.into_iter().map(|name| ecs::Attribute { name: Some(name), ..ecs::Attribute::default() }).collect()
}

/// Adds what is needed of a list of conditions and names.
fn add(names: &mut Vec<String>, needs: &[(bool, &str)]) {
    names.extend(needs.iter().filter(|(needed, _)| *needed).map(|(_, name)| (*name).to_owned()));
}

fn docker(names: &mut Vec<String>, needs: &[(bool, &str)]) {
    names.extend(needs.iter().filter(|(needed, _)| *needed).map(|(_, version)| format!("{DOCKER}{version}")));
}

fn of_logs(api: &ecs::TaskDefinition, container: &ecs::ContainerDefinition, names: &mut Vec<String>) {
    let Some(driver) = container.log_configuration.as_ref().and_then(|log| log.log_driver) else {
        return;
    };
    names.push(format!("com.amazonaws.ecs.capability.logging-driver.{driver}"));
    let awslogs = driver == LogDriver::Awslogs;
    add(names, &[(awslogs && api.execution_role_arn.is_some(), "ecs.capability.execution-role-awslogs")]);
    docker(names, &[(awslogs, "1.19"), (!awslogs, "1.18")]);
}

fn of_image(api: &ecs::TaskDefinition, container: &ecs::ContainerDefinition, names: &mut Vec<String>) {
    let ecr = container.image.as_deref().is_some_and(is_ecr);
    let private = "ecs.capability.private-registry-authentication.secretsmanager";
    add(
        names,
        &[
            (ecr, "com.amazonaws.ecs.capability.ecr-auth"),
            (ecr && api.execution_role_arn.is_some(), "ecs.capability.execution-role-ecr-pull"),
            (container.repository_credentials.is_some(), private),
        ],
    );
}

fn of_secrets(container: &ecs::ContainerDefinition, names: &mut Vec<String>) {
    let secret = |manager: bool| {
        let from = container.secrets.iter().flatten().filter_map(|secret| secret.value_from.as_deref());
        from.into_iter().any(|from| from.contains(":secretsmanager:") == manager)
    };
    let log = container.log_configuration.as_ref().and_then(|log| log.secret_options.as_deref()).unwrap_or_default();
    let log_secret = |manager: bool| {
        log.iter()
            .filter_map(|secret| secret.value_from.as_deref())
            .any(|it| it.contains(":secretsmanager:") == manager)
    };
    let files = container.environment_files.as_ref().is_some_and(|files| !files.is_empty());
    add(
        names,
        &[
            (secret(true), "ecs.capability.secrets.asm.environment-variables"),
            (secret(false), "ecs.capability.secrets.ssm.environment-variables"),
            (log_secret(true), "ecs.capability.secrets.asm.bootstrap.log-driver"),
            (log_secret(false), "ecs.capability.secrets.ssm.bootstrap.log-driver"),
            (files, "ecs.capability.env-files.s3"),
        ],
    );
}

fn of_lifecycle(container: &ecs::ContainerDefinition, names: &mut Vec<String>) {
    let ordered = container.depends_on.as_ref().is_some_and(|list| !list.is_empty());
    let timed = container.start_timeout.is_some() || container.stop_timeout.is_some();
    let restarted = container.restart_policy.as_ref().is_some_and(|policy| policy.enabled == Some(true));
    let router = container.firelens_configuration.as_ref();
    let kind = router.and_then(|router| router.r#type);
    let source = router.and_then(|router| router.options.as_ref()?.get("config-file-type").map(String::as_str));
    add(
        names,
        &[
            (ordered || timed, "ecs.capability.container-ordering"),
            (container.health_check.is_some(), "ecs.capability.container-health-check"),
            (restarted, "ecs.capability.container-restart-policy"),
            (kind == Some(FirelensConfigurationType::Fluentd), "ecs.capability.firelens.fluentd"),
            (kind == Some(FirelensConfigurationType::Fluentbit), "ecs.capability.firelens.fluentbit"),
            (source == Some("file"), "ecs.capability.firelens.options.config.file"),
            (source == Some("s3"), "ecs.capability.firelens.options.config.s3"),
        ],
    );
    docker(names, &[(container.health_check.is_some(), "1.24")]);
}

fn of_kernel(container: &ecs::ContainerDefinition, names: &mut Vec<String>) {
    let linux = container.linux_parameters.as_ref();
    let memory = linux.is_some_and(|linux| linux.shared_memory_size.is_some() || linux.tmpfs.is_some());
    let init = linux.is_some_and(|linux| linux.init_process_enabled == Some(true));
    let devices = linux.is_some_and(|linux| linux.devices.as_ref().is_some_and(|list| !list.is_empty()));
    let options = container.docker_security_options.iter().flatten();
    let option = |prefix: &str| options.clone().any(|option| option.starts_with(prefix));
    add(
        names,
        &[
            (container.privileged == Some(true), "com.amazonaws.ecs.capability.privileged-container"),
            (option("label:"), "com.amazonaws.ecs.capability.selinux"),
            (option("apparmor:"), "com.amazonaws.ecs.capability.apparmor"),
        ],
    );
    docker(
        names,
        &[
            (devices, "1.17"),
            (container.ulimits.as_ref().is_some_and(|list| !list.is_empty()), "1.18"),
            (container.memory_reservation.is_some(), "1.21"),
            (memory, "1.22"),
            (container.system_controls.as_ref().is_some_and(|list| !list.is_empty()), "1.24"),
            (init, "1.25"),
        ],
    );
}

fn of_task(api: &ecs::TaskDefinition, names: &mut Vec<String>) {
    let own = api.network_mode == Some(NetworkMode::Awsvpc);
    let host = api.network_mode == Some(NetworkMode::Host);
    let role = api.task_role_arn.is_some();
    let volumes = || api.volumes.iter().flatten();
    let efs = || volumes().filter_map(|volume| volume.efs_volume_configuration.as_ref());
    let plugins = volumes().filter_map(|volume| volume.docker_volume_configuration.as_ref());
    let fargate = api.requires_compatibilities.iter().flatten().any(|kind| *kind == ecs::Compatibility::Fargate);
    docker(names, &[(own || fargate, "1.18"), (role, "1.17")]);
    add(
        names,
        &[
            (own, "ecs.capability.task-eni"),
            (role && !host, "com.amazonaws.ecs.capability.task-iam-role"),
            (role && host, "com.amazonaws.ecs.capability.task-iam-role-network-host"),
            (!fargate && (api.cpu.is_some() || api.memory.is_some()), "ecs.capability.task-cpu-mem-limit"),
            (api.pid_mode.is_some() || api.ipc_mode.is_some(), "ecs.capability.pid-ipc-namespace-sharing"),
            (api.proxy_configuration.is_some(), "ecs.capability.aws-appmesh"),
            (efs().next().is_some(), "ecs.capability.efs"),
            (efs().any(|efs| efs.authorization_config.is_some()), "ecs.capability.efsAuth"),
            (api.ephemeral_storage.is_some(), "ecs.capability.extensible-ephemeral-storage"),
            (api.enable_fault_injection == Some(true), "ecs.capability.fault-injection"),
        ],
    );
    names.extend(plugins.map(|it| format!("ecs.capability.docker-plugin.{}", it.driver.as_deref().unwrap_or("local"))));
}
