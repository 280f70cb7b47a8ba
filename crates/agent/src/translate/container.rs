//! One container of an order.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use longshore_link::{acs, docker, private_dns_name};
use longshore_supervisor::spec::{
    Condition, ContainerSpec, Dependency, Device, HealthCheck, MountPoint, RestartPolicy, Tmpfs, Ulimit, VolumesFrom,
};

use super::{Failure, Surroundings, interface, logs, primary_address, runtime_id, task_id};
use crate::image::{Image, ImageConfig};
use crate::network::{API_PORT, TASK_METADATA};

/// The longest single argument or variable that Linux hands to a program.
const LONGEST_TEXT: usize = 128 * 1024 - 1;

/// All arguments and variables together; Linux gives a quarter of the stack's limit (8 MiB).
const LONGEST_TEXTS: usize = 1024 * 1024;

pub(crate) fn is_fargate(task: &acs::Task) -> bool {
    task.launch_type != "EC2" && task.launch_type != "EXTERNAL"
}

pub(super) fn spec(
    task: &acs::Task,
    container: &acs::Container,
    image: &Image,
    around: &Surroundings,
) -> Result<ContainerSpec, Failure> {
    let name = &container.name;
    let config: docker::Config = read(name, "config", container.docker_config.config.as_deref())?;
    let host: docker::HostConfig = read(name, "host config", container.docker_config.host_config.as_deref())?;
    check_privilege(task, name, &host)?;
    let id = runtime_id(task, name);
    let network = Addressing::of(task, &config, around);
    let spec = ContainerSpec {
        name: name.clone(),
        essential: container.essential,
        image: container.image.clone(),
        lowers: image.lowers.clone(),
        args: args(container, &image.config),
        env: env(task, container, &image.config, &network.hostname, around),
        cwd: first(&config.working_dir, &image.config.working_dir),
        user: first(&config.user, &image.config.user),
        hosts: network.hosts(&host.extra_hosts),
        resolv_conf: resolv_conf(&host, &network, around.resolver),
        hostname: network.hostname,
        labels: labels(task, name, config.labels),
        cpu_shares: positive(container.cpu).and_then(|shares| u32::try_from(shares).ok()),
        memory_mib: positive(container.memory),
        memory_reservation_mib: positive(host.memory_reservation / (1 << 20)),
        readonly_rootfs: host.readonly_rootfs,
        privileged: host.privileged,
        mounts: container.mount_points.iter().map(mount).collect(),
        volumes_from: container.volumes_from.iter().map(volumes_from).collect(),
        tmpfs: host.tmpfs.iter().map(|(path, options)| tmpfs(name, path, options)).collect::<Result<_, _>>()?,
        shm_mib: positive(host.shm_size).map(|bytes| bytes.div_ceil(1 << 20)),
        devices: host.devices.iter().map(device).collect(),
        cap_add: host.cap_add.clone(),
        cap_drop: host.cap_drop.clone(),
        ulimits: host.ulimits.iter().map(ulimit).collect(),
        sysctls: host.sysctls.clone(),
        init: host.init,
        tty: config.tty,
        stdin_open: config.open_stdin,
        stop_signal: image.config.stop_signal.clone().unwrap_or_default(),
        stop_timeout_seconds: seconds(container.stop_timeout),
        start_timeout_seconds: seconds(container.start_timeout),
        depends_on: container.depends_on.iter().map(|on| dependency(name, on)).collect::<Result<_, _>>()?,
        health_check: config.healthcheck.as_ref().and_then(health_check),
        restart_policy: container.restart_policy.as_ref().map(restart_policy),
        log: logs::config(&host.log_config, name, task_id(&task.arn), &id, &around.region)?,
        id,
    };
    check_texts(&spec)?;
    Ok(spec)
}

fn read<T: serde::de::DeserializeOwned + Default>(name: &str, what: &str, text: Option<&str>) -> Result<T, Failure> {
    match text.filter(|text| !text.trim().is_empty()) {
        None => Ok(T::default()),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::container(name, format!("the order's Docker {what} does not read: {error}"))),
    }
}

/// What a task may never have on Fargate, whoever asks for it.
fn check_privilege(task: &acs::Task, name: &str, host: &docker::HostConfig) -> Result<(), Failure> {
    if !is_fargate(task) {
        return Ok(());
    }
    let bare = |name: &String| name.to_ascii_uppercase().trim_start_matches("CAP_").to_owned();
    let asked = if host.privileged {
        Some("a privileged container".to_owned())
    } else if !host.devices.is_empty() {
        Some("devices of the host".to_owned())
    } else {
        host.cap_add.iter().map(bare).find(|name| name != "SYS_PTRACE").map(|name| format!("the capability {name}"))
    };
    match asked {
        None => Ok(()),
        Some(asked) => Err(Failure::container(name, format!("{asked} is not available on Fargate"))),
    }
}

/// A program that gets texts with a zero byte, or too long ones, could not be started at all.
fn check_texts(spec: &ContainerSpec) -> Result<(), Failure> {
    let fail = |what: String| Err(Failure::container(&spec.name, what));
    if spec.args.is_empty() || spec.args[0].is_empty() {
        return fail("no command specified: neither the image nor the task definition names a program".to_owned());
    }
    let mut total = 0;
    for text in spec.args.iter().chain(&spec.env) {
        total += text.len() + 1;
        if text.contains('\0') {
            return fail("an argument or environment variable holds a zero byte".to_owned());
        }
        if text.len() > LONGEST_TEXT || total > LONGEST_TEXTS {
            return fail("argument list too long: arguments and environment exceed what Linux takes".to_owned());
        }
    }
    let nameless = |text: &String| text.starts_with('=') || !text.contains('=');
    match spec.env.iter().find(|text| nameless(text)) {
        Some(text) => fail(format!("{:?} is not an environment variable", text.chars().take(64).collect::<String>())),
        None => Ok(()),
    }
}

/// Docker's rule: a command replaces the image's; an entry point replaces the image's and drops its command.
fn args(container: &acs::Container, image: &ImageConfig) -> Vec<String> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let (entry_point, command) = (given(&container.entry_point), given(&container.command));
    let command = match (&entry_point, command) {
        (_, Some(command)) => command,
        (Some(_), None) => Vec::new(),
        (None, None) => image.cmd.clone(),
    };
    let mut args = entry_point.unwrap_or_else(|| image.entrypoint.clone());
    args.extend(command);
    args
}

/// The image's variables, then the node's defaults (with the address of the API, if the task has a role), then the task
/// definition's, then the addresses of the metadata endpoint and of the credentials; a later one of a name replaces the
/// earlier.
fn env(
    task: &acs::Task,
    container: &acs::Container,
    image: &ImageConfig,
    hostname: &str,
    around: &Surroundings,
) -> Vec<String> {
    let region = around.region.as_str();
    let id = runtime_id(task, &container.name);
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for text in &image.env {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        all.insert(name.to_owned(), value.to_owned());
    }
    let defaults = [
        ("HOSTNAME", hostname),
        ("AWS_EXECUTION_ENV", if is_fargate(task) { "AWS_ECS_FARGATE" } else { "AWS_ECS_EC2" }),
        ("AWS_REGION", region),
        ("AWS_DEFAULT_REGION", region),
    ];
    all.extend(defaults.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if around.credentials_id.is_some() {
        // What its role's credentials are good for.
        all.insert("AWS_ENDPOINT_URL".to_owned(), format!("http://{TASK_METADATA}:{API_PORT}"));
    }
    all.extend(container.environment.clone());
    let metadata =
        [("ECS_CONTAINER_METADATA_URI", "v3"), ("ECS_CONTAINER_METADATA_URI_V4", "v4"), ("ECS_AGENT_URI", "api")];
    all.extend(metadata.map(|(name, kind)| (name.to_owned(), format!("http://{TASK_METADATA}/{kind}/{id}"))));
    if let Some(id) = &around.credentials_id {
        all.insert("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI".to_owned(), format!("/v2/credentials/{id}"));
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// The labels of the task definition and those by which every ECS container can be found.
fn labels(task: &acs::Task, name: &str, own: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = own;
    let ecs = [
        ("cluster", super::cluster_arn(&task.arn)),
        ("container-name", name.to_owned()),
        ("task-arn", task.arn.clone()),
        ("task-definition-family", task.family.clone()),
        ("task-definition-version", task.version.clone()),
    ];
    labels.extend(ecs.map(|(key, value)| (format!("com.amazonaws.ecs.{key}"), value)));
    labels
}

/// How the container calls itself.
struct Addressing {
    address: Option<Ipv4Addr>,
    hostname: String,
    resolvers: Vec<String>,
    domains: Vec<String>,
}

impl Addressing {
    fn of(task: &acs::Task, config: &docker::Config, around: &Surroundings) -> Self {
        let interface = interface(task);
        let address = interface.and_then(primary_address);
        let given = interface.and_then(|interface| interface.private_dns_name.clone()).filter(|name| !name.is_empty());
        let derived =
            || address.map_or("localhost".to_owned(), |address| private_dns_name(&around.region, &address.to_string()));
        let hostname = match config.hostname.as_str() {
            "" => given.unwrap_or_else(derived),
            hostname => hostname.to_owned(),
        };
        let list =
            |pick: fn(&acs::ElasticNetworkInterface) -> &Vec<String>| interface.map(pick).cloned().unwrap_or_default();
        let (resolvers, domains) = (list(|eni| &eni.domain_name_servers), list(|eni| &eni.domain_name));
        Self { address, hostname, resolvers, domains }
    }

    fn hosts(&self, extra: &[String]) -> String {
        let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
        if let Some(address) = self.address {
            let _ = writeln!(text, "{address} {}", self.hostname);
        }
        for entry in extra {
            if let Some((host, address)) = entry.split_once(':') {
                let _ = writeln!(text, "{} {}", word(address), word(host));
            }
        }
        text
    }
}

fn resolv_conf(host: &docker::HostConfig, network: &Addressing, resolver: Ipv4Addr) -> String {
    let of_vpc = [resolver.to_string()];
    let servers = [&host.dns[..], &network.resolvers[..], &of_vpc[..]].into_iter().find(|list| !list.is_empty());
    let domains = [&host.dns_search[..], &network.domains[..]].into_iter().find(|list| !list.is_empty());
    let mut text = String::new();
    if let Some(domains) = domains {
        let words: Vec<String> = domains.iter().map(|domain| word(domain)).collect();
        let _ = writeln!(text, "search {}", words.join(" "));
    }
    for server in servers.unwrap_or_default() {
        let _ = writeln!(text, "nameserver {}", word(server));
    }
    text
}

/// A text that can add neither a field nor a line to a file of words.
fn word(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace() && !letter.is_control()).collect()
}

fn first(own: &str, of_image: &str) -> String {
    if own.is_empty() { of_image.to_owned() } else { own.to_owned() }
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|number| *number > 0)
}

fn seconds(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

fn mount(point: &acs::MountPoint) -> MountPoint {
    MountPoint {
        volume: point.source_volume.clone(),
        container_path: point.container_path.clone(),
        read_only: point.read_only,
    }
}

fn volumes_from(from: &acs::VolumeFrom) -> VolumesFrom {
    VolumesFrom { source_container: from.source_container.clone(), read_only: from.read_only }
}

fn device(device: &docker::Device) -> Device {
    Device {
        host_path: device.path_on_host.clone().into(),
        container_path: device.path_in_container.clone(),
        permissions: device.cgroup_permissions.clone(),
    }
}

fn ulimit(limit: &docker::Ulimit) -> Ulimit {
    Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard }
}

/// Reads `size=64m,noexec`; the size is the one option that ECS always gives.
fn tmpfs(container: &str, path: &str, options: &str) -> Result<Tmpfs, Failure> {
    let fail = || Failure::container(container, format!("the tmpfs options {options:?} of {path} do not read"));
    let mut tmpfs = Tmpfs { container_path: path.to_owned(), size_mib: 0, mount_options: Vec::new() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.strip_prefix("size=") {
            Some(size) => tmpfs.size_mib = mebibytes(size).ok_or_else(fail)?,
            None => tmpfs.mount_options.push(option.to_owned()),
        }
    }
    Ok(tmpfs)
}

fn mebibytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => Some(number.div_ceil(1 << 20)),
        "k" => Some(number.div_ceil(1 << 10)),
        "m" => Some(number),
        "g" => number.checked_mul(1 << 10),
        _ => None,
    }
}

fn dependency(container: &str, on: &acs::Dependency) -> Result<Dependency, Failure> {
    let condition = match on.condition.as_str() {
        "START" => Condition::Start,
        "COMPLETE" => Condition::Complete,
        "SUCCESS" => Condition::Success,
        "HEALTHY" => Condition::Healthy,
        other => return Err(Failure::container(container, format!("{other:?} is not a dependency condition"))),
    };
    Ok(Dependency { container: on.container_name.clone(), condition })
}

/// Docker counts nanoseconds; zero means ECS's default. `["NONE"]` and an empty test are no check.
fn health_check(check: &docker::Healthcheck) -> Option<HealthCheck> {
    let kind = check.test.first()?;
    if kind == "NONE" {
        return None;
    }
    let usual = HealthCheck::default();
    let seconds = |nanoseconds: i64, usual: u32| match u32::try_from(nanoseconds / 1_000_000_000) {
        Ok(seconds) if seconds > 0 => seconds,
        _ => usual,
    };
    Some(HealthCheck {
        command: check.test.clone(),
        interval_seconds: seconds(check.interval, usual.interval_seconds),
        timeout_seconds: seconds(check.timeout, usual.timeout_seconds),
        retries: u32::try_from(check.retries).ok().filter(|retries| *retries > 0).unwrap_or(usual.retries),
        start_period_seconds: seconds(check.start_period, usual.start_period_seconds),
    })
}

fn restart_policy(policy: &acs::RestartPolicy) -> RestartPolicy {
    RestartPolicy {
        enabled: policy.enabled,
        ignored_exit_codes: policy.ignored_exit_codes.clone(),
        restart_attempt_period_seconds: match u32::try_from(policy.restart_attempt_period) {
            Ok(seconds) if seconds > 0 => seconds,
            _ => 300,
        },
    }
}
