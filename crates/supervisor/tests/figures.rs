//! The supervisor's numbers: resident memory with an idle container, time from its start to the container's.
//!
//! `cargo test -p longshore-supervisor --test figures -- --nocapture` prints them.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::{Task, shell, task};
use longshore_supervisor::spec::{AwsLogs, ContainerSpec, LogConfig, LogEndpoint, TaskSpec};
use longshore_supervisor::{SPEC_FILE, runtime};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// The promise of the specification.
const MOST_RESIDENT_KIB: u64 = 5_000;
/// On top of the bare runtime. The goal is 5 ms for an optimised build; this one is not, and the machine is shared.
const MOST_OVERHEAD: Duration = Duration::from_millis(60);
const RUNS: usize = 20;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn logged(container: ContainerSpec) -> TaskSpec {
    let log = LogConfig::Awslogs(AwsLogs { group: "/g".into(), stream: "s".into(), ..AwsLogs::default() });
    // Nobody listens there: the pump of a task keeps trying.
    let log_endpoint = Some(LogEndpoint { address: "127.0.0.1:9".into(), ..LogEndpoint::default() });
    TaskSpec { log_endpoint, ..task(vec![ContainerSpec { log, ..container }]) }
}

#[test]
fn an_idle_supervisor_is_small() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
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

#[test]
fn a_container_starts_soon_after_its_supervisor() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut whole: Vec<Duration> = (0..RUNS).map(|_| supervised_start()).collect();
    let mut bare: Vec<Duration> = (0..RUNS).map(bare_start).collect();
    whole.sort();
    bare.sort();
    let (whole, bare) = (whole[RUNS / 2], bare[RUNS / 2]);
    println!("start of supervisor to container started, p50: {whole:?}; bare runtime: {bare:?}");
    assert!(whole < bare + MOST_OVERHEAD);
}

/// From before the supervisor's exec to its word that the container runs, by an inherited socket as an agent does it.
fn supervised_start() -> Duration {
    let (ours, theirs) = UnixStream::pair().unwrap();
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let spec = TaskSpec { client_fd: Some(theirs.as_raw_fd()), ..task(vec![shell("exec sleep 1000")]) };
    let since = Instant::now();
    let watch = std::thread::spawn(move || {
        let mut lines = BufReader::new(ours).lines().map_while(Result::ok);
        lines.find(|line| line.contains("\"status\":\"RUNNING\"")).unwrap();
        (Instant::now(), lines.count())
    });
    let mut started = since;
    let mut held = Task::start_noting(spec, &mut started);
    drop(theirs);
    held.until_running();
    drop(held);
    watch.join().unwrap().0 - started
}

/// `run --detach` of the same configuration by the runtime alone.
fn bare_start(number: usize) -> Duration {
    let mut sample = Task::start(task(vec![shell("exec sleep 1000")]));
    sample.until_running();
    let base = std::env::temp_dir().join(format!("longshore-test-bare-{}-{number}", std::process::id()));
    fs::create_dir_all(&base).unwrap();
    let config = fs::read_to_string(sample.dir.join("c0/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["root"]["path"] = serde_json::json!(sample.layer);
    config["linux"]["cgroupsPath"] = serde_json::json!(format!("/{}/bare", sample.spec.cgroup));
    config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "bind");
    fs::write(base.join("config.json"), config.to_string()).unwrap();
    let program = runtime::choose().unwrap().path;
    let id = format!("lst-bare-{}-{number}", std::process::id());
    let root = base.join("state");
    let command = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--root").arg(&root).args(args).current_dir(&base);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        assert!(command.status().unwrap().success());
    };
    let since = Instant::now();
    command(&["run", "--detach", &id]);
    let taken = since.elapsed();
    command(&["delete", "--force", &id]);
    fs::remove_dir_all(base).unwrap();
    assert!(sample.dir.join(SPEC_FILE).exists());
    taken
}
