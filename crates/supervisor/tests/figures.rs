//! What a supervisor takes: resident memory with an idle container.
//!
//! `cargo test -p longshore-supervisor --test figures -- --nocapture` prints it. How soon a container starts is measured by
//! `cargo xtask bench --breakdown`.

mod common;

use std::fs;
use std::time::Duration;

use common::{Task, shell, task};
use longshore_supervisor::spec::{AwsLogs, ContainerSpec, LogConfig, LogEndpoint, TaskSpec};

/// The promise of the specification.
const MOST_RESIDENT_KIB: u64 = 5_000;

fn logged(container: ContainerSpec) -> TaskSpec {
    let log = LogConfig::Awslogs(AwsLogs { group: "/g".into(), stream: "s".into(), ..AwsLogs::default() });
    // Nobody listens there: the pump of a task keeps trying.
    let log_endpoint = Some(LogEndpoint { address: "127.0.0.1:9".into(), ..LogEndpoint::default() });
    TaskSpec { log_endpoint, ..task(vec![ContainerSpec { log, ..container }]) }
}

#[test]
fn an_idle_supervisor_is_small() {
    let mut task = Task::start(logged(shell("exec sleep 1000")));
    task.until_running();
    std::thread::sleep(Duration::from_millis(1500));
    let status = fs::read_to_string(format!("/proc/{}/status", task.supervisor_pid())).unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (all, private) = (field("VmRSS:"), field("RssAnon:"));
    println!("supervisor with one idle awslogs container: {all} KiB resident, {private} KiB of it private");
    assert!(all < MOST_RESIDENT_KIB, "{all} KiB");
}
