//! Real tasks for tests: a root file system of busybox, a supervisor process, its socket.
//!
//! Needs root, an OCI runtime and `/bin/busybox`, and fails without them.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod address;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use longshore_supervisor::protocol::{Command as Ask, ContainerStatus, Message, Reply, Request, TaskPhase, TaskStatus};
use longshore_supervisor::spec::{ContainerSpec, LogConfig, Network, RuntimeKind, TaskSpec};
use longshore_supervisor::{SPEC_FILE, cgroup, reap, runtime};

/// Nothing takes as long; but a busy machine may take long.
pub const PATIENCE: Duration = Duration::from_secs(120);
const APPLETS: [&str; 37] = [
    "sh", "sleep", "echo", "cat", "true", "false", "id", "pwd", "ls", "mount", "hostname", "touch", "stat", "kill",
    "test", "[", "env", "ulimit", "chroot", "mknod", "ps", "head", "yes", "dd", "grep", "tr", "wc", "mkdir", "rm",
    "date", "seq", "od", "df", "nproc", "trap", "tty", "unshare",
];
static NEXT: AtomicU32 = AtomicU32::new(0);
static PREPARE: Once = Once::new();

/// A task with its supervisor. Dropping it ends both and checks that nothing is left.
pub struct Task {
    pub dir: PathBuf,
    pub layer: PathBuf,
    pub spec: TaskSpec,
    process: Child,
    client: Option<BufReader<UnixStream>>,
    pub status: TaskStatus,
    next: u64,
}

/// A container that runs a shell script, with its log in a file.
pub fn shell(script: &str) -> ContainerSpec {
    ContainerSpec {
        name: "main".into(),
        args: ["/bin/sh", "-c", script].map(str::to_string).to_vec(),
        log: LogConfig::JsonFile,
        hostname: "test-host".into(),
        // A shell that is the first process does not die of SIGTERM, unless it is told what to do then: that may take its
        // time on a busy machine.
        stop_timeout_seconds: Some(if script.contains("trap ") { 60 } else { 2 }),
        ..ContainerSpec::default()
    }
}

pub fn named(name: &str, container: ContainerSpec) -> ContainerSpec {
    ContainerSpec { name: name.into(), ..container }
}

pub fn side(container: ContainerSpec) -> ContainerSpec {
    ContainerSpec { essential: false, ..container }
}

/// A script that waits for [`Task::go`] before it goes on.
pub fn held(script: &str) -> String {
    format!("until [ -e /tmp/go ]; do sleep 0.02; done; {script}")
}

pub fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| text.to_string()).collect()
}

/// A task of these containers that has a name and a place, in the network of the host.
pub fn task(containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec { containers, network: Network::Host, ..TaskSpec::default() }
}

/// Runs one container to its end and returns its exit code and what it said.
pub fn run(container: ContainerSpec) -> (Option<i32>, String) {
    let mut task = Task::start(task(vec![container]));
    task.until_stopped();
    (task.container("main").exit_code, task.log("main"))
}

/// As [`run`], for scripts that are to succeed.
pub fn output(container: ContainerSpec) -> String {
    let (code, text) = run(container);
    assert_eq!(code, Some(0), "said: {text}");
    text
}

impl Task {
    /// Fills in what every task needs, and starts its supervisor.
    pub fn start(spec: TaskSpec) -> Task {
        Task::start_with(spec, |_| {})
    }

    /// As [`Task::start`], with changes to the layer of the root file system before.
    pub fn start_with(mut spec: TaskSpec, change: impl FnOnce(&Path)) -> Task {
        PREPARE.call_once(prepare_host);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{number}", std::process::id());
        let dir = PathBuf::from("/run/longshore-test").join(&name);
        let layer = std::env::temp_dir().join(format!("longshore-test-layer-{name}"));
        fs::create_dir_all(&dir).unwrap();
        make_layer(&layer);
        change(&layer);
        spec.task_id = name.clone();
        spec.task_arn = format!("arn:aws:ecs:us-east-1:000000000000:task/test/{name}");
        spec.cgroup = format!("longshore-test-{name}/task");
        if spec.runtime.path.as_os_str().is_empty() {
            spec.runtime = runtime::choose().expect("an OCI runtime that works");
        }
        for container in &mut spec.containers {
            container.id = format!("lst-{name}-{}", container.name);
            container.lowers = vec![layer.clone()];
        }
        fs::write(dir.join(SPEC_FILE), serde_json::to_vec(&spec).unwrap()).unwrap();
        let process = supervise(&dir);
        let status = empty_status();
        let mut task = Task { dir, layer, spec, process, client: None, status, next: 1 };
        task.connect();
        task
    }

    /// Connects (again) and takes the snapshot.
    pub fn connect(&mut self) {
        let until = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(self.dir.join("sock")) {
                Ok(stream) => break stream,
                Err(e) => assert!(Instant::now() < until, "the supervisor does not listen: {e}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.client = Some(BufReader::new(stream));
        assert!(matches!(self.next(), Message::Snapshot { .. }), "a snapshot comes first");
    }

    pub fn disconnect(&mut self) {
        self.client = None;
    }

    pub fn supervisor_pid(&self) -> u32 {
        self.process.id()
    }

    /// The next message, taken into account.
    pub fn next(&mut self) -> Message {
        let mut line = String::new();
        self.client.as_mut().unwrap().read_line(&mut line).expect("a message in time");
        let message: Message = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        match &message {
            Message::Snapshot { task, .. } | Message::Task { task, .. } => self.status = task.clone(),
            Message::Container { container, .. } => {
                let place = self.status.containers.iter().position(|c| c.name == container.name).unwrap();
                self.status.containers[place] = container.clone();
            }
            Message::Reply { .. } => {}
        }
        message
    }

    /// Takes messages until something holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&TaskStatus) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(&self.status) {
            assert!(Instant::now() < until, "waited for {what}: {:#?}", self.status);
            self.next();
        }
    }

    pub fn until_running(&mut self) {
        self.until("running", |task| task.phase >= TaskPhase::Running);
        assert_eq!(self.status.phase, TaskPhase::Running, "{:#?}", self.status);
    }

    pub fn until_stopped(&mut self) {
        self.until("stopped", |task| task.phase == TaskPhase::Stopped);
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, command: Ask) -> Reply {
        let id = self.next;
        self.next += 1;
        let request = serde_json::to_string(&Request { id, command }).unwrap();
        let stream = self.client.as_mut().unwrap().get_mut();
        writeln!(stream, "{request}").unwrap();
        loop {
            if let Message::Reply { id: answered, reply } = self.next()
                && answered == id
            {
                return reply;
            }
        }
    }

    pub fn stop(&mut self) {
        assert_eq!(self.ask(Ask::Stop { reason: None, timeout_seconds: None }), Reply::Done);
    }

    pub fn container(&self, name: &str) -> ContainerStatus {
        self.status.containers.iter().find(|c| c.name == name).unwrap().clone()
    }

    fn place(&self, name: &str) -> usize {
        self.spec.containers.iter().position(|c| c.name == name).unwrap()
    }

    /// Standard output and error of a container with a log file.
    pub fn log(&self, name: &str) -> String {
        let file = self.dir.join(format!("c{}/log.json", self.place(name)));
        let text = fs::read_to_string(file).unwrap_or_default();
        let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        text.lines().map(|line| record(line)["log"].as_str().unwrap().to_string()).collect()
    }

    /// Waits until a container has said something.
    pub fn until_said(&mut self, name: &str, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.log(name).contains(text) {
            assert!(Instant::now() < until, "{name} does not say {text:?} but {:?}", self.log(name));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The place of a file of a running container, seen from here.
    pub fn inside(&self, name: &str, file: &str) -> PathBuf {
        let pid = self.container(name).pid.expect("the container runs");
        PathBuf::from(format!("/proc/{pid}/root")).join(file)
    }

    /// Lets a container whose script is [`held`] go on.
    pub fn go(&self, name: &str) {
        fs::write(self.inside(name, "tmp/go"), "").unwrap();
    }

    /// Kills the supervisor as the kernel would, leaving its containers.
    pub fn kill_supervisor(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.client = None;
    }

    /// Waits until the supervisor of a released task has ended.
    pub fn wait_for_supervisor(&mut self) {
        assert!(self.process.wait().unwrap().success());
    }

    fn end(&mut self) {
        if self.client.is_none() {
            self.connect();
        }
        let stop = Ask::Stop { reason: None, timeout_seconds: Some(0) };
        assert_eq!(self.ask(stop), Reply::Done);
        self.until_stopped();
        assert_eq!(self.ask(Ask::Release), Reply::Done);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let gone = matches!(self.process.try_wait(), Ok(Some(_)));
        if std::thread::panicking() || gone {
            let _ = self.process.kill();
            let _ = self.process.wait();
            if self.dir.exists() {
                let _ = reap(&self.dir);
            }
        } else {
            self.end();
        }
        let _ = fs::remove_dir_all(&self.layer);
        if let Ok(layout) = cgroup::Layout::detect() {
            remove_parent(&layout, &self.spec.cgroup);
        }
        if !std::thread::panicking() {
            assert_nothing_left(&self.dir, &self.spec.cgroup);
        }
    }
}

/// The group above a task's is whoever's who named it: the test's own, then.
fn remove_parent(layout: &cgroup::Layout, group: &str) {
    let parent = group.split('/').next().unwrap();
    let mut trees = vec![PathBuf::from("/sys/fs/cgroup")];
    if let cgroup::Layout::V1(points) = layout {
        trees = points.values().cloned().collect();
    }
    for tree in trees {
        let _ = fs::remove_dir(tree.join(parent));
    }
}

pub fn assert_nothing_left(dir: &Path, group: &str) {
    assert!(!dir.exists(), "{} is left", dir.display());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.to_str().unwrap()), "a mount is left");
    let layout = cgroup::Layout::detect().unwrap();
    for controller in ["memory", "cpu", "pids", "devices", "systemd", "unified"] {
        let group = layout.directory(controller, group);
        assert!(!group.is_some_and(|directory| directory.exists()), "a {controller} cgroup is left");
    }
}

fn supervise(dir: &Path) -> Child {
    let log = fs::File::create(dir.join("supervisor.log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore-supervise"));
    command.arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

fn prepare_host() {
    assert!(nix::unistd::geteuid().is_root(), "these tests need root");
    if !runtime::choose().is_some_and(|chosen| chosen.kind == RuntimeKind::Crun) {
        runtime::fix().expect("a host that can be mended");
    }
}

/// Busybox with its applets and the usual directories.
fn make_layer(layer: &Path) {
    for directory in ["bin", "etc", "tmp", "root", "dev", "proc", "sys"] {
        fs::create_dir_all(layer.join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", layer.join("bin/busybox")).expect("/bin/busybox (package busybox-static)");
    for applet in APPLETS {
        let _ = symlink("busybox", layer.join("bin").join(applet));
    }
    fs::write(layer.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv:/bin/sh\n").unwrap();
    fs::write(layer.join("etc/group"), "root:x:0:\nweb:x:102:\nlogs:x:200:web\n").unwrap();
}

fn empty_status() -> TaskStatus {
    serde_json::from_value(serde_json::json!({
        "task_arn": "", "supervisor_pid": 0, "phase": "ACTIVATING", "health": "UNKNOWN", "containers": [],
    }))
    .unwrap()
}
