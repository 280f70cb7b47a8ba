//! RunTask to RUNNING and to the first HTTP answer with the image present, and launches a second; beside the bare OCI
//! runtime and, where a Docker engine answers, `docker run -d`.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Row;
use super::client::Client;
use super::instance::Instance;
use super::stats::{Side, interleaved, millis, ratios};
use super::table::Unit;

const ROUNDS: usize = 60;
const SUSTAINED: usize = 240;
const IN_FLIGHT: usize = 4;

/// A node with the two images of the launch benchmarks.
pub struct Launches {
    pub instance: Instance,
    pub sleeper: Value,
    pub web: Value,
}

impl Launches {
    pub fn new(name: &str) -> Result<Self> {
        let mut instance = Instance::new(name)?;
        instance.start(&["up", "--cpu", "1000000", "--memory", "1000000"])?;
        instance.wait_ready()?;
        instance.import(Path::new("build/images/busybox.tar"), "busybox:latest")?;
        instance.import(Path::new("build/images/my-web-app.tar"), "my-web-app:latest")?;
        let mut client = instance.client()?;
        let (sleeper, web) = (client.sleeper(1)?, client.web()?);
        for _ in 0..5 {
            running(&mut client, &sleeper)?;
            answering(&mut client, &web)?;
        }
        Ok(Self { instance, sleeper, web })
    }
}

pub fn run() -> Result<Vec<Row>> {
    let launches = Launches::new("launch")?;
    let client = RefCell::new(launches.instance.client()?);
    let bundle = Bundle::new()?;
    let mut sides: Vec<Side<'_>> = vec![
        Box::new(|| running(&mut client.borrow_mut(), &launches.sleeper).map(millis)),
        Box::new(|| answering(&mut client.borrow_mut(), &launches.web).map(millis)),
        Box::new(|| bundle.run().map(millis)),
    ];
    let docker = docker_answers();
    if docker {
        sides.push(Box::new(|| docker_run().map(millis)));
    }
    let found = interleaved(ROUNDS, &mut sides)?;
    drop(sides);
    let rate = sustained(&launches)?;
    Ok(rows(&found, rate))
}

fn rows(found: &[Vec<f64>], rate: f64) -> Vec<Row> {
    let to_bare = ratios(&found[0], &found[2]);
    let beside = match found.get(3) {
        Some(docker) => format!("{:.2} × docker run -d (want ≤ 0.20)", ratios(&found[0], docker).median()),
        None => "no Docker engine here".to_owned(),
    };
    let mut rows = vec![
        Row::new("RunTask to RUNNING, image present", Unit::Millis, found[0].clone())
            .at_most(40.0)
            .beside(format!("{:.1} × crun run --detach", to_bare.median()))
            .beside(beside),
        Row::new("RunTask to RUNNING, image present", Unit::Millis, found[0].clone()).percentile(99).at_most(120.0),
        Row::new("RunTask to the container's first HTTP answer", Unit::Millis, found[1].clone()).at_most(60.0),
        Row::new("crun run --detach, until it returns", Unit::Millis, found[2].clone()),
        Row::new("launches a second, four in flight", Unit::PerSecond, rate).at_least(60.0),
    ];
    rows.extend(found.get(3).map(|docker| Row::new("docker run -d", Unit::Millis, docker.clone())));
    rows
}

/// From RunTask until DescribeTasks says RUNNING. The task is stopped afterwards.
pub fn running(client: &mut Client, input: &Value) -> Result<Duration> {
    let began = Instant::now();
    let task = start(client, input)?;
    wait_for(client, arn(&task)?, "RUNNING")?;
    let took = began.elapsed();
    stop(client, arn(&task)?)?;
    Ok(took)
}

/// From RunTask until the container answers a request. The task is stopped afterwards.
fn answering(client: &mut Client, input: &Value) -> Result<Duration> {
    let began = Instant::now();
    let task = start(client, input)?;
    let details = task["attachments"][0]["details"].as_array().context("the interface's details")?;
    let interface = details.iter().find(|detail| detail["name"] == "networkInterfaceId").context("an interface")?;
    let address = client.public_address(interface["value"].as_str().context("the interface's id")?)?;
    let address: SocketAddr = format!("{address}:80").parse()?;
    while ask(address).is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            bail!("the container at {address} does not answer");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let took = began.elapsed();
    stop(client, arn(&task)?)?;
    Ok(took)
}

/// One request; nothing unless it was answered with 200.
fn ask(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).ok()?;
    answer.ends_with(b" 200").then_some(())
}

fn stop(client: &mut Client, task: &str) -> Result<()> {
    client.ecs("StopTask", &json!({ "cluster": "bench", "task": task }))?;
    wait_for(client, task, "STOPPED")
}

fn start(client: &mut Client, input: &Value) -> Result<Value> {
    let mut answer = client.ecs("RunTask", input)?;
    let task = answer["tasks"][0].take();
    if task.is_null() {
        bail!("RunTask placed nothing: {}", answer["failures"]);
    }
    Ok(task)
}

fn arn(task: &Value) -> Result<&str> {
    task["taskArn"].as_str().context("a task ARN")
}

fn wait_for(client: &mut Client, task: &str, wanted: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        let answer = client.ecs("DescribeTasks", &json!({ "cluster": "bench", "tasks": [task] }))?;
        let found = &answer["tasks"][0];
        match found["lastStatus"].as_str() {
            Some(status) if status == wanted => return Ok(()),
            Some("STOPPED") => bail!("the task stopped: {}", found["stoppedReason"]),
            _ => std::thread::sleep(Duration::from_micros(500)),
        }
    }
    bail!("the task is not {wanted} after 30 seconds")
}

/// Launches a second with a few always under way; tasks are stopped beside.
fn sustained(launches: &Launches) -> Result<f64> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let one = || -> Result<()> {
            let mut client = launches.instance.client()?;
            for _ in 0..SUSTAINED / IN_FLIGHT {
                let task = start(&mut client, &launches.sleeper)?;
                wait_for(&mut client, arn(&task)?, "RUNNING")?;
                client.ecs("StopTask", &json!({ "cluster": "bench", "task": arn(&task)? }))?;
            }
            Ok(())
        };
        let workers: Vec<_> = (0..IN_FLIGHT).map(|_| scope.spawn(one)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(SUSTAINED as f64 / began.elapsed().as_secs_f64())
}

/// What the OCI runtime alone runs: busybox in a root file system of its own.
pub struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    pub fn new() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("longshore-bench-bundle-{}", std::process::id()));
        for name in ["bin", "dev", "proc", "sys"] {
            std::fs::create_dir_all(directory.join("rootfs").join(name))?;
        }
        std::fs::copy("/bin/busybox", directory.join("rootfs/bin/busybox"))?;
        std::fs::write(directory.join("config.json"), bare_config().to_string())?;
        Ok(Self { directory })
    }

    /// `run --detach`, timed until it returns.
    pub fn run(&self) -> Result<Duration> {
        let name = format!("longshore-bench-{}", std::process::id());
        let began = Instant::now();
        let done = Command::new("crun")
            .args(["run", "--detach", "--bundle"])
            .arg(&self.directory)
            .arg(&name)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        let took = began.elapsed();
        Command::new("crun").args(["delete", "--force", &name]).status()?;
        if !done.success() {
            bail!("crun run failed: {done}");
        }
        Ok(took)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn bare_config() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/bin/busybox", "sleep", "60"], "cwd": "/", "env": [] },
        "root": { "path": "rootfs" },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": { "namespaces": [
            { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" }
        ] },
    })
}

/// Whether a Docker engine is here and has the image.
fn docker_answers() -> bool {
    let done = Command::new("docker").args(["image", "inspect", "busybox:latest"]).output();
    done.is_ok_and(|done| done.status.success())
}

/// One `docker run -d`.
fn docker_run() -> Result<Duration> {
    let began = Instant::now();
    let done = Command::new("docker").args(["run", "-d", "--rm", "busybox:latest", "sleep", "60"]).output()?;
    let took = began.elapsed();
    if !done.status.success() {
        bail!("docker run failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    let id = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    Command::new("docker").args(["rm", "-f", &id]).output()?;
    Ok(took)
}
