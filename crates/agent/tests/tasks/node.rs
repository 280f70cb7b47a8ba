//! The node that the tests share, with its control plane.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::{Duration, Instant};

use longshore_agent::containerd::Options;
use longshore_agent::image::local;
use longshore_agent::{Config, EngineKind, Instance, Joins, down, run};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use crate::plane::{self, Plane, REGION, SOON, Session, until};

type Running = JoinHandle<Result<(), longshore_agent::Error>>;

pub struct Node {
    pub plane: Arc<Plane>,
    session: Mutex<Session>,
    running: StdMutex<Option<Running>>,
    data_dir: PathBuf,
    seq: AtomicI64,
    number: AtomicU32,
}

impl Node {
    pub async fn start() -> Self {
        let data_dir = std::env::temp_dir().join(format!("longshore-tasks-{}", std::process::id()));
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/images/busybox.tar");
        assert!(archive.exists(), "`cargo xtask image busybox` makes {}", archive.display());
        std::fs::create_dir_all(&data_dir).unwrap();
        let imported = local::import(&Options::private(&data_dir), &archive, Some("busybox:latest")).await;
        imported.expect("busybox is imported");
        let plane = Plane::start().await;
        let begun = std::time::Instant::now();
        let running = begin(&plane, &data_dir);
        let session = plane.acs().await;
        println!("the node was in session after {:.0?}", begun.elapsed());
        Self {
            plane,
            session: Mutex::new(session),
            running: StdMutex::new(Some(running)),
            data_dir,
            seq: AtomicI64::new(1),
            number: AtomicU32::new(1),
        }
    }

    /// The agent dies, without a word to anybody.
    pub async fn die(&self) {
        let Some(running) = self.running.lock().unwrap().take() else { return };
        running.abort();
        until("the agent's death", || running.is_finished()).await;
        // Its tasks let go a moment later.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    /// A new agent takes the place of the one that died.
    pub async fn come_back(&self) {
        *self.running.lock().unwrap() = Some(begin(&self.plane, &self.data_dir));
        *self.session.lock().await = self.plane.acs().await;
    }

    pub async fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().await
    }

    /// Orders the usual task of a shell script, with changes, and gives its ARN.
    pub async fn begin(&self, script: &str, change: impl FnOnce(&mut Value)) -> String {
        let task = self.usual(script, change);
        self.order(&task).await;
        task["arn"].as_str().unwrap().to_owned()
    }

    /// The order for the usual task of a shell script, with changes.
    pub fn usual(&self, script: &str, change: impl FnOnce(&mut Value)) -> Value {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut task = plane::task(number, "RUNNING");
        let container = &mut task["containers"][0];
        container["image"] = "busybox:latest".into();
        container["command"] = json!(["/bin/sh", "-c", script]);
        container["stopTimeout"] = 2.into();
        container["dockerConfig"]["hostConfig"] = json!({"LogConfig": {"Type": "json-file"}}).to_string().into();
        change(&mut task);
        task
    }

    /// As `begin`, until it runs.
    pub async fn run(&self, script: &str, change: impl FnOnce(&mut Value)) -> String {
        let task = self.begin(script, change).await;
        // A slow start is told of as ACTIVATING before.
        let is_next = |input: &Value| input["task"] == *task && input["status"] != "ACTIVATING";
        let next = self.plane.call_where("SubmitTaskStateChange", is_next).await;
        assert_eq!(next["status"], "RUNNING", "{next}");
        task
    }

    pub async fn order(&self, task: &Value) {
        let seq = self.seq.fetch_add(1, Ordering::Relaxed);
        self.session.lock().await.order(seq, std::slice::from_ref(task)).await;
    }

    /// Orders a stop and gives the last report.
    pub async fn stop(&self, task: &str) -> Value {
        let mut order = plane::task(0, "STOPPED");
        order["arn"] = task.into();
        self.order(&order).await;
        self.plane.report(task, "STOPPED").await
    }

    /// Waits until nothing of a task is left.
    pub async fn gone(&self, task: &str) {
        let directory = self.directory(task);
        until("the removal of the task", || !directory.exists()).await;
    }

    /// The directory of a task.
    pub fn directory(&self, task: &str) -> PathBuf {
        self.data_dir.join("tasks").join(task.rsplit('/').next().unwrap())
    }

    /// Process of the node's own containerd.
    pub fn containerd(&self) -> i32 {
        let layout = longshore_agent::containerd::Layout::of(&self.data_dir).unwrap();
        std::fs::read_to_string(layout.pid_file()).unwrap().trim().parse().unwrap()
    }

    /// What the first container of a task has said.
    pub fn output(&self, task: &str) -> String {
        let text = std::fs::read_to_string(self.directory(task).join("c0/log.json")).unwrap_or_default();
        let line = |line: &str| serde_json::from_str::<Value>(line).ok()?["log"].as_str().map(str::to_owned);
        text.lines().filter_map(line).collect()
    }

    /// Waits until the first container of a task has said something, and gives all of it.
    pub async fn said(&self, task: &str, words: &str) -> String {
        until(&format!("{words:?} in the output of the task"), || self.output(task).contains(words)).await;
        self.output(task)
    }

    /// Process of the first container of a task.
    pub fn pid(&self, task: &str) -> u32 {
        let id = task.rsplit('/').next().unwrap();
        let rows = longshore_agent::ps::ps(&self.data_dir).unwrap();
        rows.iter().find(|row| row.task == id).and_then(|row| row.pid).expect("the task has a process")
    }

    /// The place of a file of a task's first container, seen from here.
    pub fn inside(&self, task: &str, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid(task))).join(file)
    }

    /// Process of the supervisor of a task.
    pub fn supervisor(&self, task: &str) -> u32 {
        let text = std::fs::read_to_string(self.directory(task).join("state.json")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        u32::try_from(state["supervisor_pid"].as_u64().unwrap()).unwrap()
    }

    /// Runs a shell command on the host, inside the network namespace of a task if one is given.
    pub async fn host(&self, inside: Option<&str>, command: &str) -> (bool, String) {
        let mut words = vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()];
        if let Some(task) = inside {
            let pid = self.pid(task).to_string();
            words.splice(0..0, ["nsenter", "--net", "--target", &pid].map(str::to_owned));
        }
        let output = tokio::process::Command::new(&words[0]).args(&words[1..]).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    /// Takes the node down and says what is left of it.
    pub async fn end(&self) -> Result<(), String> {
        self.die().await;
        let instance = Instance::of(&self.data_dir).map_err(|error| error.to_string())?;
        down(&self.data_dir).await.map_err(|error| error.to_string())?;
        std::fs::remove_dir_all(&self.data_dir).map_err(|error| error.to_string())?;
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let processes = processes_with(&instance.id);
        let left = [
            (instance.run_dir.exists(), "its run-time directory"),
            (mounts.contains(&instance.id), "a mount"),
            (!processes.is_empty(), "a process"),
            (Path::new("/run/netns").join(format!("longshore-{}", instance.id)).exists(), "a network namespace"),
        ];
        let left: Vec<&str> = left.iter().filter(|(left, _)| *left).map(|(_, what)| *what).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} {processes:?}")) }
    }
}

/// Starts an agent; again where it finds that the one before has not let go of everything yet.
fn begin(plane: &Plane, data_dir: &Path) -> Running {
    let address = plane.address.to_string();
    let mut config = Config::new(data_dir, &address, REGION, "000000000000", EngineKind::Containerd);
    config.joins_by = Some(Joins::Token("token".to_owned()));
    tokio::spawn(async move {
        let begun = Instant::now();
        loop {
            let outcome = run(config.clone(), std::future::pending()).await;
            if let Err(error) = &outcome {
                println!("the node ended: {error}");
            }
            if begun.elapsed() > SOON {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

/// Processes whose command line has these words.
fn processes_with(words: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(words) {
            found.push(line);
        }
    }
    found
}
