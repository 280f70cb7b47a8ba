use longshore_link::docker;
use longshore_supervisor::spec::{Condition, ContainerSpec, LogConfig};

use super::*;
use crate::image::{Digest, ImageConfig};

const ARN: &str = "arn:aws:ecs:us-east-1:123456789012:task/production/0123456789abcdef0123456789abcdef";

fn around() -> Surroundings {
    Surroundings {
        region: "us-east-1".to_owned(),
        instance: "ab12cd34".to_owned(),
        resolver: Ipv4Addr::new(172, 31, 0, 2),
        runtime: RuntimeSpec::default(),
        log_endpoint: None,
        credentials_id: None,
        protected: vec!["/var/lib/longshore".into()],
    }
}

fn image() -> ImageConfig {
    ImageConfig {
        env: vec!["PATH=/bin".to_owned(), "A=image".to_owned()],
        entrypoint: vec!["/entry".to_owned()],
        cmd: vec!["default".to_owned()],
        user: "1000".to_owned(),
        working_dir: "/app".to_owned(),
        stop_signal: Some("SIGQUIT".to_owned()),
        ..ImageConfig::default()
    }
}

fn task() -> acs::Task {
    let interface = acs::ElasticNetworkInterface {
        ipv4_addresses: vec![acs::Ipv4Address { primary: true, private_address: "172.31.0.4".to_owned() }],
        subnet_gateway_ipv4_address: "172.31.0.1/20".to_owned(),
        ..acs::ElasticNetworkInterface::default()
    };
    acs::Task {
        arn: ARN.to_owned(),
        family: "web".to_owned(),
        version: "3".to_owned(),
        network_mode: "awsvpc".to_owned(),
        launch_type: "FARGATE".to_owned(),
        cpu: 0.25,
        memory: 512,
        containers: vec![acs::Container { name: "web".to_owned(), essential: true, ..acs::Container::default() }],
        elastic_network_interfaces: vec![interface],
        ..acs::Task::default()
    }
}

fn translate(task: &acs::Task) -> Result<TaskSpec, Failure> {
    translate_in(task, &around())
}

fn translate_in(task: &acs::Task, around: &Surroundings) -> Result<TaskSpec, Failure> {
    let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
    let image = Image {
        reference: "docker.io/library/web:latest".to_owned(),
        manifest: digest.clone(),
        digest,
        config: image(),
        lowers: vec!["/lower".into()],
    };
    let images = task.containers.iter().map(|container| (container.name.clone(), image.clone())).collect();
    task_spec(task, &images, around)
}

/// The container that comes of the usual task with a change.
fn container(change: impl FnOnce(&mut acs::Task)) -> Result<ContainerSpec, Failure> {
    let mut task = task();
    change(&mut task);
    translate(&task).map(|spec| spec.containers[0].clone())
}

fn with_host(change: impl FnOnce(&mut docker::HostConfig)) -> Result<ContainerSpec, Failure> {
    let mut host = docker::HostConfig::default();
    change(&mut host);
    container(|task| task.containers[0].docker_config.host_config = Some(serde_json::to_string(&host).unwrap()))
}

fn with_config(change: impl FnOnce(&mut docker::Config)) -> ContainerSpec {
    let mut config = docker::Config::default();
    change(&mut config);
    container(|task| task.containers[0].docker_config.config = Some(serde_json::to_string(&config).unwrap())).unwrap()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn reason(outcome: Result<impl std::fmt::Debug, Failure>) -> String {
    outcome.unwrap_err().reason
}

#[test]
fn a_task_has_twenty_gib_on_disk_or_what_it_asks_for() {
    for (gib, expected) in [(None, 20), (Some(0), 20), (Some(200), 200)] {
        let mut task = task();
        task.ephemeral_storage_gib = gib;
        assert_eq!(translate(&task).unwrap().storage_mib, Some(expected * 1024), "{gib:?}");
    }
}

#[test]
fn a_task_may_share_its_processes() {
    for (mode, expected) in [(None, false), (Some("none"), false), (Some("task"), true)] {
        let mut task = task();
        task.pid_mode = mode.map(str::to_owned);
        assert_eq!(translate(&task).unwrap().share_processes, expected, "{mode:?}");
    }
}

#[test]
fn command_and_entry_point_merge_with_the_image_as_in_docker() {
    type Words<'a> = &'a [&'a str];
    let rows: [(Option<Words<'_>>, Option<Words<'_>>, Words<'_>); 6] = [
        (None, None, &["/entry", "default"]),
        (None, Some(&["own", "x"]), &["/entry", "own", "x"]),
        (Some(&["/mine"]), None, &["/mine"]),
        (Some(&["/mine"]), Some(&["own"]), &["/mine", "own"]),
        (Some(&[]), Some(&[]), &["/entry", "default"]),
        (Some(&[]), Some(&["own"]), &["/entry", "own"]),
    ];
    for (entry_point, command, expected) in rows {
        let spec = container(|task| {
            task.containers[0].entry_point = entry_point.map(words);
            task.containers[0].command = command.map(words);
        });
        assert_eq!(spec.unwrap().args, words(expected), "{entry_point:?} {command:?}");
    }
}

#[test]
fn the_environment_is_merged_and_the_metadata_addresses_win() {
    let spec = container(|task| {
        let own = [("A", "own"), ("AWS_REGION", "eu-west-1"), ("ECS_AGENT_URI", "http://evil/")];
        task.containers[0].environment = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    });
    let spec = spec.unwrap();
    let id = &spec.id;
    for expected in [
        "A=own".to_owned(),
        "PATH=/bin".to_owned(),
        "AWS_REGION=eu-west-1".to_owned(),
        "AWS_DEFAULT_REGION=us-east-1".to_owned(),
        "AWS_EXECUTION_ENV=AWS_ECS_FARGATE".to_owned(),
        "HOSTNAME=ip-172-31-0-4.ec2.internal".to_owned(),
        format!("ECS_AGENT_URI=http://169.254.170.2/api/{id}"),
        format!("ECS_CONTAINER_METADATA_URI=http://169.254.170.2/v3/{id}"),
        format!("ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/{id}"),
    ] {
        assert!(spec.env.contains(&expected), "{expected} in {:?}", spec.env);
    }
    assert_eq!(spec.env.len(), 9);
}

#[test]
fn a_task_with_a_role_is_told_where_the_api_is_unless_it_says_otherwise() {
    let around = Surroundings { credentials_id: Some("c".to_owned()), ..around() };
    for (own, expected) in [(None, "http://169.254.170.2:4566"), (Some("http://elsewhere"), "http://elsewhere")] {
        let mut task = task();
        let own = own.map(|url| ("AWS_ENDPOINT_URL".to_owned(), url.to_owned()));
        task.containers[0].environment.extend(own);
        let spec = translate_in(&task, &around).unwrap();
        let env = &spec.containers[0].env;
        assert!(env.contains(&format!("AWS_ENDPOINT_URL={expected}")), "{env:?}");
        assert!(env.contains(&"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/c".to_owned()), "{env:?}");
    }
}

#[test]
fn runtime_ids_are_the_tasks_id_and_ten_digits_and_stay_the_same() {
    let id = runtime_id(&task(), "web");
    let (head, tail) = id.split_once('-').unwrap();
    assert_eq!(head, "0123456789abcdef0123456789abcdef");
    assert!(tail.len() == 10 && tail.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    assert_eq!(id, runtime_id(&task(), "web"));
    assert_ne!(id, runtime_id(&task(), "side"));
}

#[test]
fn the_image_gives_user_directory_and_stop_signal_unless_overridden() {
    let spec = container(|_| {}).unwrap();
    assert_eq!((spec.user.as_str(), spec.cwd.as_str(), spec.stop_signal.as_str()), ("1000", "/app", "SIGQUIT"));
    let spec = with_config(|config| {
        config.user = "0:0".to_owned();
        config.working_dir = "/own".to_owned();
    });
    assert_eq!((spec.user.as_str(), spec.cwd.as_str()), ("0:0", "/own"));
}

#[test]
fn sizes_come_out_in_the_supervisors_units() {
    let spec = translate(&task()).unwrap();
    assert_eq!((spec.cpu.units, spec.memory_mib), (Some(256), Some(512)));
    assert_eq!(spec.cgroup, "longshore/ab12cd34/0123456789abcdef0123456789abcdef");
    let spec = container(|task| {
        task.containers[0].cpu = 128;
        task.containers[0].memory = 64;
    });
    let spec = spec.unwrap();
    assert_eq!((spec.cpu_shares, spec.memory_mib, spec.memory_reservation_mib), (Some(128), Some(64), None));
    let spec = with_host(|host| {
        host.memory_reservation = 32 << 20;
        host.shm_size = (2 << 20) + 1;
    });
    let spec = spec.unwrap();
    assert_eq!((spec.memory_reservation_mib, spec.shm_mib, spec.cpu_shares), (Some(32), Some(3), None));
}

#[test]
fn names_resolve_through_hosts_and_resolv_conf() {
    let spec =
        with_host(|host| host.extra_hosts = words(&["db:10.0.0.9", "v6:fd00::1", "broken", "x\n1.2.3.4 y:1.1.1.1"]))
            .unwrap();
    let expected = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n\
                    172.31.0.4 ip-172-31-0-4.ec2.internal\n10.0.0.9 db\nfd00::1 v6\n1.1.1.1 x1.2.3.4y\n";
    assert_eq!(spec.hosts, expected);
    assert_eq!(spec.resolv_conf, "nameserver 172.31.0.2\n");
    let spec = with_host(|host| {
        host.dns = words(&["10.0.0.53"]);
        host.dns_search = words(&["corp.example", "a b"]);
    });
    assert_eq!(spec.unwrap().resolv_conf, "search corp.example ab\nnameserver 10.0.0.53\n");
    let spec = container(|task| task.elastic_network_interfaces[0].domain_name_servers = words(&["172.31.0.9"]));
    assert_eq!(spec.unwrap().resolv_conf, "nameserver 172.31.0.9\n");
}

#[test]
fn a_hostname_of_its_own_is_in_hosts_too() {
    let spec = with_config(|config| config.hostname = "box".to_owned());
    assert_eq!(spec.hostname, "box");
    assert!(spec.hosts.contains("172.31.0.4 box\n"));
    let spec =
        container(|task| task.elastic_network_interfaces[0].private_dns_name = Some("given.internal".to_owned()));
    assert_eq!(spec.unwrap().hostname, "given.internal");
}

#[test]
fn labels_tell_the_task_and_cannot_be_forged() {
    let spec = with_config(|config| {
        config.labels.insert("own".to_owned(), "1".to_owned());
        config.labels.insert("com.amazonaws.ecs.task-arn".to_owned(), "forged".to_owned());
    });
    let label = |name: &str| spec.labels.get(name).map(String::as_str);
    assert_eq!(label("own"), Some("1"));
    assert_eq!(label("com.amazonaws.ecs.task-arn"), Some(ARN));
    assert_eq!(label("com.amazonaws.ecs.cluster"), Some("arn:aws:ecs:us-east-1:123456789012:cluster/production"));
    assert_eq!(label("com.amazonaws.ecs.container-name"), Some("web"));
    assert_eq!(label("com.amazonaws.ecs.task-definition-family"), Some("web"));
    assert_eq!(label("com.amazonaws.ecs.task-definition-version"), Some("3"));
}

#[test]
fn health_checks_have_seconds_and_defaults() {
    let check = |check: docker::Healthcheck| with_config(|config| config.healthcheck = Some(check)).health_check;
    let test = words(&["CMD-SHELL", "true"]);
    let usual = check(docker::Healthcheck { test: test.clone(), ..Default::default() }).unwrap();
    assert_eq!(
        (usual.interval_seconds, usual.timeout_seconds, usual.retries, usual.start_period_seconds),
        (30, 5, 3, 0)
    );
    let own = docker::Healthcheck {
        test,
        interval: 7_000_000_000,
        timeout: 2_000_000_000,
        start_period: 9_000_000_000,
        retries: 4,
    };
    let own = check(own).unwrap();
    assert_eq!((own.interval_seconds, own.timeout_seconds, own.retries, own.start_period_seconds), (7, 2, 4, 9));
    assert_eq!(check(docker::Healthcheck { test: words(&["NONE"]), ..Default::default() }), None);
    assert_eq!(check(docker::Healthcheck::default()), None);
}

#[test]
fn the_rest_of_a_container_is_carried_over() {
    let spec = container(|task| {
        let container = &mut task.containers[0];
        container.stop_timeout = Some(5);
        container.start_timeout = Some(9);
        container.depends_on =
            vec![acs::Dependency { container_name: "db".to_owned(), condition: "HEALTHY".to_owned() }];
        container.restart_policy =
            Some(acs::RestartPolicy { enabled: true, ignored_exit_codes: vec![3], restart_attempt_period: 0 });
        container.mount_points =
            vec![acs::MountPoint { source_volume: "v".to_owned(), container_path: "/v".to_owned(), read_only: true }];
        container.volumes_from = vec![acs::VolumeFrom { source_container: "db".to_owned(), read_only: false }];
        task.volumes = vec![acs::Volume { name: "v".to_owned(), ..acs::Volume::default() }];
    });
    let spec = spec.unwrap();
    assert_eq!((spec.stop_timeout_seconds, spec.start_timeout_seconds), (Some(5), Some(9)));
    assert_eq!((spec.depends_on[0].container.as_str(), spec.depends_on[0].condition), ("db", Condition::Healthy));
    assert_eq!(spec.restart_policy.unwrap().restart_attempt_period_seconds, 300);
    assert!(spec.mounts[0].read_only && spec.volumes_from[0].source_container == "db");
    assert_eq!(spec.log, LogConfig::None);
}

#[test]
fn tmpfs_options_split_into_size_and_mount_options() {
    let spec = with_host(|host| {
        host.tmpfs.insert("/t".to_owned(), "size=64m,noexec,mode=1777".to_owned());
    });
    let tmpfs = spec.unwrap().tmpfs.remove(0);
    assert_eq!((tmpfs.container_path.as_str(), tmpfs.size_mib), ("/t", 64));
    assert_eq!(tmpfs.mount_options, words(&["noexec", "mode=1777"]));
    for bad in ["size=", "size=x", "size=1p", "size=-1"] {
        let outcome = with_host(|host| {
            host.tmpfs.insert("/t".to_owned(), bad.to_owned());
        });
        assert!(reason(outcome).contains("do not read"), "{bad}");
    }
}

#[test]
fn a_fargate_task_gets_no_privilege() {
    assert!(
        reason(with_host(|host| host.privileged = true)).contains("a privileged container is not available on Fargate")
    );
    assert!(reason(with_host(|host| host.devices = vec![docker::Device::default()])).contains("devices of the host"));
    for bad in ["SYS_ADMIN", "ALL", "cap_net_admin", "CAP_SYS_ADMIN"] {
        assert!(reason(with_host(|host| host.cap_add = words(&[bad]))).contains("not available on Fargate"), "{bad}");
    }
    assert!(with_host(|host| host.cap_add = words(&["SYS_PTRACE"])).is_ok());
    assert!(with_host(|host| host.cap_drop = words(&["ALL"])).is_ok());
}

#[test]
fn texts_that_no_program_can_get_fail_the_start() {
    let long = "x".repeat(200_000);
    let rows: [(&str, &str, &str); 5] = [
        ("A", "a\0b", "zero byte"),
        ("A\0", "b", "zero byte"),
        ("", "b", "is not an environment variable"),
        ("A", &long, "argument list too long"),
        ("A", "line\nbreak", ""),
    ];
    for (name, value, expected) in rows {
        let outcome = container(|task| {
            task.containers[0].environment.insert(name.to_owned(), value.to_owned());
        });
        match expected {
            "" => assert!(outcome.is_ok()),
            _ => assert!(reason(outcome).contains(expected), "{name:?}"),
        }
    }
    let many = container(|task| {
        task.containers[0].environment = (0..20).map(|number| (format!("V{number}"), "x".repeat(100_000))).collect();
    });
    assert!(reason(many).contains("argument list too long"));
}

#[test]
fn orders_that_name_what_is_not_here_fail_with_a_reason() {
    type Change = fn(&mut acs::Task);
    let rows: [(Change, &str); 9] = [
        (|task| task.containers.clear(), "no containers"),
        (|task| task.containers[0].name = "../x".to_owned(), "cannot be the name"),
        (|task| task.containers.push(task.containers[0].clone()), "two containers are named web"),
        (|task| task.pid_mode = Some("host".to_owned()), "pid mode host"),
        (|task| task.ipc_mode = Some("task".to_owned()), "ipc mode task"),
        (|task| task.network_mode = "bridge".to_owned(), "network mode \"bridge\""),
        (|task| task.elastic_network_interfaces.clear(), "without the address"),
        (|task| task.containers[0].docker_config.host_config = Some("{".to_owned()), "does not read"),
        (
            |task| {
                let host = Some(acs::HostVolume { source_path: Some("/srv".to_owned()) });
                task.volumes = vec![acs::Volume { name: "v".to_owned(), kind: String::new(), host }];
            },
            "a task on Fargate has no host",
        ),
    ];
    for (change, expected) in rows {
        let mut task = task();
        change(&mut task);
        let reason = reason(translate(&task));
        assert!(reason.contains(expected), "{expected}: {reason}");
        let prefixes = ["ResourceInitializationError: ", "CannotCreateContainerError: "];
        assert!(prefixes.iter().any(|prefix| reason.starts_with(prefix)), "{reason}");
    }
}

#[test]
fn parts_of_an_arn_are_found() {
    assert_eq!(task_id(ARN), "0123456789abcdef0123456789abcdef");
    assert_eq!(cluster_arn(ARN), "arn:aws:ecs:us-east-1:123456789012:cluster/production");
    assert_eq!(account(ARN), "123456789012");
    assert_eq!((cluster_arn("nonsense").as_str(), account("nonsense")), ("", ""));
}
