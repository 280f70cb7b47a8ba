//! From a task record to the order a node gets: overrides merged in, container parameters in Docker's terms.

use std::collections::BTreeMap;

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::network::{Block, private_dns_name, private_domain};
use longshore_model::setting::setting_key;
use longshore_model::task::{Container, Eni, Task, TaskStatus};
use longshore_model::task_role::RoleKind;
use longshore_model::{AccountId, Place, State};

use crate::{acs, docker};

/// The order for `task`, or `None` when its task definition is gone.
pub fn order(state: &State, region: &str, task: &Task) -> Option<acs::Task> {
    let definition = state.definition_of(task)?;
    let place = Place::new(region, &AccountId::parse(&task.account)?);
    let overrides = task.overrides.as_deref();
    let vcpus = overrides.and_then(|o| o.cpu.as_deref()).or(definition.api.cpu.as_deref());
    let memory = overrides.and_then(|o| o.memory.as_deref()).or(definition.api.memory.as_deref());
    Some(acs::Task {
        arn: place.task(&task.cluster, &task.id),
        family: task.family.clone(),
        version: task.revision.to_string(),
        desired_status: desired(task).to_owned(),
        network_mode: definition.api.network_mode.map_or("bridge", |mode| mode.as_str()).to_owned(),
        launch_type: task.launch_type.as_str().to_owned(),
        cpu: number(vcpus) / 1024.0,
        memory: number(memory) as i64,
        service_name: task.service.clone(),
        pid_mode: definition.api.pid_mode.map(|mode| mode.as_str().to_owned()),
        ipc_mode: definition.api.ipc_mode.map(|mode| mode.as_str().to_owned()),
        containers: containers(definition, task, &place, log_mode(state, &task.account)),
        volumes: definition.api.volumes.iter().flatten().map(volume).collect(),
        elastic_network_interfaces: task.eni.iter().filter_map(|eni| interface(state, &place, task, eni)).collect(),
        overrides: "{}".to_owned(),
        availability_zone: task.zone.clone(),
        ephemeral_storage_gib: task.ephemeral_storage_gib,
        vpc_id: task.eni.as_ref().and_then(|eni| vpc_of(state, &task.account, &eni.subnet)),
        task_role_arn: role(state, task, RoleKind::Task),
        execution_role_arn: role(state, task, RoleKind::Execution),
        known: task.last > TaskStatus::Provisioning,
    })
}

/// A role of the task's, if it exists.
fn role(state: &State, task: &Task, kind: RoleKind) -> Option<String> {
    state.role_arn_of(task, kind).filter(|arn| state.role(arn).is_some())
}

/// What the node is to be told of the task.
pub(crate) fn wanted(task: &Task) -> TaskStatus {
    #[cfg(feature = "planted")]
    if longshore_model::planted::is(longshore_model::planted::Bug::StoppedWhileDraining) {
        return task.desired;
    }
    task.ordered()
}

fn desired(task: &Task) -> &'static str {
    match wanted(task) {
        TaskStatus::Stopped => "STOPPED",
        _ => "RUNNING",
    }
}

fn number(text: Option<&str>) -> f64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn vpc_of(state: &State, account: &str, subnet: &str) -> Option<String> {
    state.subnets.get(&format!("{account}/{subnet}")).map(|subnet| subnet.vpc.clone())
}

/// How logs are sent unless their configuration says it, where the account has chosen (`defaultLogDriverMode`).
fn log_mode<'s>(state: &'s State, account: &str) -> Option<&'s str> {
    let name = ecs::SettingName::DefaultLogDriverMode.as_str();
    let setting = state.settings.get(&setting_key(&AccountId::parse(account)?, name, ""))?;
    Some(&setting.value)
}

fn containers(definition: &TaskDefinition, task: &Task, place: &Place, log_mode: Option<&str>) -> Vec<acs::Container> {
    let all = task.overrides.as_deref().and_then(|overrides| overrides.container_overrides.as_deref());
    let overridden = |name: &str| all.into_iter().flatten().find(|o| o.name.as_deref() == Some(name));
    let built = definition.containers().iter().map(|container| {
        let name = container.name.as_deref().unwrap_or_default();
        let known = task.containers.iter().find(|known| known.name == name);
        let arn = known.map(|known| place.container(&task.cluster, &task.id, &known.id));
        let image = image(container, known);
        let registry_authentication = registry_authentication(container, &place.region);
        let built = self::container(container, overridden(name), arn, log_mode);
        acs::Container { image, registry_authentication, ..built }
    });
    built.collect()
}

/// The image by its name, and by the digest that its deployment keeps to.
fn image(from: &ecs::ContainerDefinition, known: Option<&Container>) -> String {
    let name = from.image.clone().unwrap_or_default();
    match known.and_then(|known| known.pinned.as_deref()) {
        Some(digest) => format!("{name}@{digest}"),
        None => name,
    }
}

fn container(
    from: &ecs::ContainerDefinition,
    overrides: Option<&ecs::ContainerOverride>,
    arn: Option<String>,
    log_mode: Option<&str>,
) -> acs::Container {
    let command = overrides.and_then(|o| o.command.clone()).or_else(|| from.command.clone());
    let cpu = overrides.and_then(|o| o.cpu).or(from.cpu).unwrap_or_default();
    let memory = overrides.and_then(|o| o.memory).or(from.memory).unwrap_or_default();
    acs::Container {
        name: from.name.clone().unwrap_or_default(),
        image: from.image.clone().unwrap_or_default(),
        cpu: cpu.into(),
        memory: memory.into(),
        essential: from.essential.unwrap_or(true),
        command: command.filter(|command| !command.is_empty()),
        entry_point: from.entry_point.clone().filter(|entry| !entry.is_empty()),
        environment: environment(from, overrides),
        secrets: secrets(from),
        registry_authentication: None,
        port_mappings: from.port_mappings.iter().flatten().map(port).collect(),
        mount_points: from.mount_points.iter().flatten().map(mount).collect(),
        volumes_from: from.volumes_from.iter().flatten().map(volume_from).collect(),
        depends_on: from.depends_on.iter().flatten().map(dependency).collect(),
        start_timeout: from.start_timeout.map(i64::from),
        stop_timeout: from.stop_timeout.map(i64::from),
        restart_policy: from.restart_policy.as_ref().map(restart_policy),
        docker_config: acs::DockerConfig {
            config: serde_json::to_string(&config(from)).ok(),
            host_config: serde_json::to_string(&host_config(from, overrides, log_mode)).ok(),
            version: Some("1.21".to_owned()),
        },
        overrides: "{}".to_owned(),
        container_arn: arn,
        health_check_type: from.health_check.as_ref().map(|_| "DOCKER".to_owned()),
    }
}

fn environment(
    from: &ecs::ContainerDefinition,
    overrides: Option<&ecs::ContainerOverride>,
) -> BTreeMap<String, String> {
    let added = overrides.and_then(|o| o.environment.as_ref());
    let all = from.environment.iter().flatten().chain(added.into_iter().flatten());
    all.filter_map(|pair| Some((pair.name.clone()?, pair.value.clone().unwrap_or_default()))).collect()
}

fn secrets(from: &ecs::ContainerDefinition) -> Vec<acs::Secret> {
    let options = from.log_configuration.as_ref().and_then(|log| log.secret_options.as_ref());
    let variables = from.secrets.iter().flatten().map(|from| secret(from, acs::CONTAINER));
    variables.chain(options.into_iter().flatten().map(|from| secret(from, acs::LOG_DRIVER))).collect()
}

fn secret(from: &ecs::Secret, target: &str) -> acs::Secret {
    acs::Secret {
        name: from.name.clone().unwrap_or_default(),
        value_from: from.value_from.clone().unwrap_or_default(),
        target: target.to_owned(),
    }
}

fn registry_authentication(from: &ecs::ContainerDefinition, region: &str) -> Option<acs::RegistryAuthentication> {
    let credentials_parameter = from.repository_credentials.as_ref()?.credentials_parameter.clone()?;
    let asm_auth_data = acs::AsmAuthData { credentials_parameter, region: region.to_owned() };
    Some(acs::RegistryAuthentication { kind: "asm".to_owned(), asm_auth_data })
}

fn port(from: &ecs::PortMapping) -> acs::PortMapping {
    acs::PortMapping {
        container_port: from.container_port.unwrap_or_default(),
        host_port: from.host_port.unwrap_or_default(),
        protocol: from.protocol.map_or("tcp", |protocol| protocol.as_str()).to_owned(),
        name: from.name.clone(),
    }
}

fn mount(from: &ecs::MountPoint) -> acs::MountPoint {
    acs::MountPoint {
        source_volume: from.source_volume.clone().unwrap_or_default(),
        container_path: from.container_path.clone().unwrap_or_default(),
        read_only: from.read_only.unwrap_or_default(),
    }
}

fn volume_from(from: &ecs::VolumeFrom) -> acs::VolumeFrom {
    acs::VolumeFrom {
        source_container: from.source_container.clone().unwrap_or_default(),
        read_only: from.read_only.unwrap_or_default(),
    }
}

fn dependency(from: &ecs::ContainerDependency) -> acs::Dependency {
    acs::Dependency {
        container_name: from.container_name.clone().unwrap_or_default(),
        condition: from.condition.map_or("START", |condition| condition.as_str()).to_owned(),
    }
}

/// Seconds a container must have run before it is started again, when the policy does not say.
const RESTART_ATTEMPT_PERIOD_SECONDS: i32 = 300;

fn restart_policy(from: &ecs::ContainerRestartPolicy) -> acs::RestartPolicy {
    acs::RestartPolicy {
        enabled: from.enabled.unwrap_or_default(),
        ignored_exit_codes: from.ignored_exit_codes.clone().unwrap_or_default(),
        restart_attempt_period: from.restart_attempt_period.unwrap_or(RESTART_ATTEMPT_PERIOD_SECONDS).into(),
    }
}

fn config(from: &ecs::ContainerDefinition) -> docker::Config {
    docker::Config {
        user: from.user.clone().unwrap_or_default(),
        working_dir: from.working_directory.clone().unwrap_or_default(),
        hostname: from.hostname.clone().unwrap_or_default(),
        tty: from.pseudo_terminal.unwrap_or_default(),
        open_stdin: from.interactive.unwrap_or_default(),
        labels: from.docker_labels.clone().unwrap_or_default(),
        healthcheck: from.health_check.as_ref().map(health_check),
    }
}

const NANOSECONDS: i64 = 1_000_000_000;

fn health_check(from: &ecs::HealthCheck) -> docker::Healthcheck {
    let seconds = |value: Option<i32>, default: i32| i64::from(value.unwrap_or(default)) * NANOSECONDS;
    docker::Healthcheck {
        test: from.command.clone().unwrap_or_default(),
        interval: seconds(from.interval, 30),
        timeout: seconds(from.timeout, 5),
        start_period: seconds(from.start_period, 0),
        retries: from.retries.unwrap_or(3),
    }
}

const MIB: i64 = 1024 * 1024;

fn host_config(
    from: &ecs::ContainerDefinition,
    overrides: Option<&ecs::ContainerOverride>,
    log_mode: Option<&str>,
) -> docker::HostConfig {
    let reservation = overrides.and_then(|o| o.memory_reservation).or(from.memory_reservation);
    let linux = from.linux_parameters.clone().unwrap_or_default();
    let capabilities = linux.capabilities.unwrap_or_default();
    let hosts = from
        .extra_hosts
        .iter()
        .flatten()
        .filter_map(|host| Some(format!("{}:{}", host.hostname.as_deref()?, host.ip_address.as_deref()?)));
    let sysctls = from.system_controls.iter().flatten();
    docker::HostConfig {
        log_config: from.log_configuration.as_ref().map(|log| log_config(log, log_mode)).unwrap_or_default(),
        memory_reservation: i64::from(reservation.unwrap_or_default()) * MIB,
        privileged: from.privileged.unwrap_or_default(),
        readonly_rootfs: from.readonly_root_filesystem.unwrap_or_default(),
        cap_add: capabilities.add.unwrap_or_default(),
        cap_drop: capabilities.drop.unwrap_or_default(),
        dns: from.dns_servers.clone().unwrap_or_default(),
        dns_search: from.dns_search_domains.clone().unwrap_or_default(),
        extra_hosts: hosts.collect(),
        ulimits: from.ulimits.iter().flatten().map(ulimit).collect(),
        sysctls: sysctls.filter_map(|control| Some((control.namespace.clone()?, control.value.clone()?))).collect(),
        tmpfs: linux.tmpfs.iter().flatten().map(tmpfs).collect(),
        shm_size: i64::from(linux.shared_memory_size.unwrap_or_default()) * MIB,
        devices: linux.devices.iter().flatten().map(device).collect(),
        init: linux.init_process_enabled.unwrap_or_default(),
    }
}

fn log_config(from: &ecs::LogConfiguration, mode: Option<&str>) -> docker::LogConfig {
    let mut config = from.options.clone().unwrap_or_default();
    if let Some(mode) = mode.filter(|_| from.log_driver == Some(ecs::LogDriver::Awslogs)) {
        config.entry("mode".to_owned()).or_insert_with(|| mode.to_owned());
    }
    docker::LogConfig { kind: from.log_driver.map(|driver| driver.as_str().to_owned()).unwrap_or_default(), config }
}

fn ulimit(from: &ecs::Ulimit) -> docker::Ulimit {
    docker::Ulimit {
        name: from.name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        soft: from.soft_limit.unwrap_or_default().into(),
        hard: from.hard_limit.unwrap_or_default().into(),
    }
}

fn tmpfs(from: &ecs::Tmpfs) -> (String, String) {
    let mut options = vec![format!("size={}m", from.size.unwrap_or_default())];
    options.extend(from.mount_options.iter().flatten().cloned());
    (from.container_path.clone().unwrap_or_default(), options.join(","))
}

fn device(from: &ecs::Device) -> docker::Device {
    let host = from.host_path.clone().unwrap_or_default();
    let letters = from.permissions.iter().flatten().filter_map(|permission| match permission.as_str() {
        "read" => Some('r'),
        "write" => Some('w'),
        "mknod" => Some('m'),
        _ => None,
    });
    let letters: String = letters.collect();
    docker::Device {
        path_in_container: from.container_path.clone().unwrap_or_else(|| host.clone()),
        path_on_host: host,
        cgroup_permissions: if letters.is_empty() { "rwm".to_owned() } else { letters },
    }
}

fn volume(from: &ecs::Volume) -> acs::Volume {
    let source = from.host.as_ref().and_then(|host| host.source_path.clone());
    acs::Volume {
        name: from.name.clone().unwrap_or_default(),
        kind: "host".to_owned(),
        host: Some(acs::HostVolume { source_path: source }),
    }
}

fn interface(state: &State, place: &Place, task: &Task, eni: &Eni) -> Option<acs::ElasticNetworkInterface> {
    let subnet = state.subnets.get(&format!("{}/{}", task.account, eni.subnet))?;
    let vpc = state.vpcs.get(&format!("{}/{}", task.account, subnet.vpc))?;
    let block = Block::parse(&subnet.cidr)?;
    let resolver = Block::parse(&vpc.cidr)?.address(2)?;
    Some(acs::ElasticNetworkInterface {
        ec2_id: eni.id.clone(),
        attachment_arn: place.arn("ecs", &format!("attachment/{}/{}", task.cluster, eni.attachment)),
        mac_address: eni.mac.clone(),
        ipv4_addresses: vec![acs::Ipv4Address { primary: true, private_address: eni.private_ip.clone() }],
        subnet_gateway_ipv4_address: format!("{}/{}", block.address(1)?, block.prefix),
        domain_name_servers: vec![resolver.to_string()],
        domain_name: vec![private_domain(&place.region)],
        private_dns_name: Some(private_dns_name(&place.region, &eni.private_ip)),
        public_ipv4_address: eni.public_ip.clone(),
        subnet_id: Some(eni.subnet.clone()),
        security_groups: eni.security_groups.clone(),
    })
}

#[cfg(test)]
mod tests {
    use longshore_model::Change;
    use longshore_model::setting::Setting;

    use super::*;

    #[test]
    fn the_accounts_mode_of_logs_holds_where_a_configuration_has_none() {
        let mut state = State::default();
        assert_eq!(log_mode(&state, "000000000000"), None);
        let setting = Setting {
            account: "000000000000".into(),
            principal: String::new(),
            name: "defaultLogDriverMode".into(),
            value: "blocking".into(),
        };
        state.apply(&Change::from(setting));
        assert_eq!(log_mode(&state, "111122223333"), None, "each account has its own");
        let mode = |driver, own: Option<&str>| {
            let options = own.map(|mode| [("mode".to_owned(), mode.to_owned())].into());
            let from = ecs::LogConfiguration { log_driver: Some(driver), options, ..ecs::LogConfiguration::default() };
            log_config(&from, log_mode(&state, "000000000000")).config.get("mode").cloned()
        };
        assert_eq!(mode(ecs::LogDriver::Awslogs, None).as_deref(), Some("blocking"));
        assert_eq!(mode(ecs::LogDriver::Awslogs, Some("non-blocking")).as_deref(), Some("non-blocking"));
        assert_eq!(mode(ecs::LogDriver::JsonFile, None), None);
    }

    #[test]
    fn what_is_secret_is_ordered_by_reference() {
        let secret = |name: &str, from: &str| ecs::Secret { name: Some(name.into()), value_from: Some(from.into()) };
        let log = ecs::LogConfiguration {
            secret_options: Some(vec![secret("awslogs-multiline-pattern", "/pattern")]),
            ..ecs::LogConfiguration::default()
        };
        let parameter = Some("arn:aws:secretsmanager:us-east-1:000000000000:secret:dock".to_owned());
        let from = ecs::ContainerDefinition {
            secrets: Some(vec![secret("A", "/a")]),
            log_configuration: Some(log),
            repository_credentials: Some(ecs::RepositoryCredentials { credentials_parameter: parameter.clone() }),
            ..ecs::ContainerDefinition::default()
        };
        let ordered: Vec<_> =
            secrets(&from).into_iter().map(|it| (it.is_log_option(), it.name, it.value_from)).collect();
        let option = (true, "awslogs-multiline-pattern".to_owned(), "/pattern".to_owned());
        assert_eq!(ordered, [(false, "A".to_owned(), "/a".to_owned()), option]);
        let signed_in = registry_authentication(&from, "us-east-1").unwrap();
        assert_eq!((signed_in.kind.as_str(), signed_in.asm_auth_data.region.as_str()), ("asm", "us-east-1"));
        assert_eq!(Some(signed_in.asm_auth_data.credentials_parameter), parameter);
        assert_eq!(registry_authentication(&ecs::ContainerDefinition::default(), "us-east-1"), None);
    }

    #[test]
    fn a_pinned_container_is_ordered_by_name_and_digest() {
        let from = ecs::ContainerDefinition { image: Some("web:1".into()), ..ecs::ContainerDefinition::default() };
        let known = |pinned: Option<&str>| Container {
            id: "1".into(),
            name: "web".into(),
            image: from.image.clone(),
            image_digest: Some("sha256:of-the-node".into()),
            pinned: pinned.map(str::to_owned),
            runtime_id: None,
            last: TaskStatus::Pending,
            exit_code: None,
            reason: None,
            health: None,
            network_bindings: Vec::new(),
        };
        assert_eq!(image(&from, Some(&known(Some("sha256:2")))), "web:1@sha256:2");
        assert_eq!(image(&from, Some(&known(None))), "web:1");
        assert_eq!(image(&from, None), "web:1");
    }
}
