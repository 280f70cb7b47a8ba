//! RunTask to RUNNING with the image present, one at a time and four in flight; beside the bare OCI runtime and, where a
//! Docker engine answers, `docker run -d`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::Row;
use super::client::Client;
use super::instance::Instance;
use super::stats::{millis, percentile, spread};

const RUNS: usize = 50;
const SUSTAINED: usize = 120;
const IN_FLIGHT: usize = 4;

pub fn run() -> Result<Vec<Row>> {
    let mut instance = Instance::new("launch")?;
    instance.start(&["up", "--cpu", "1000000", "--memory", "1000000"])?;
    instance.wait_ready()?;
    instance.import(Path::new("build/images/busybox.tar"), "busybox:latest")?;
    let input = instance.sleeper(1)?;
    let mut client = instance.client()?;
    for _ in 0..5 {
        launch_and_stop(&mut client, &input)?;
    }
    let (mut ours, mut bare, mut docker) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(launch_and_stop(&mut client, &input)?);
        bare.push(bare_runtime()?);
        docker.extend(docker_run());
    }
    let rate = sustained(&instance, &input)?;
    let ratio = percentile(&mut ours, 50).as_secs_f64() / percentile(&mut bare, 50).as_secs_f64();
    Ok(vec![
        Row::new("RunTask to RUNNING, image present", spread(&mut ours), "p50 ≤ 60 ms (goal 40)"),
        Row::new("bare OCI runtime, create to started", spread(&mut bare), format!("ours is {ratio:.1} × it")),
        Row::new("docker run -d", docker_words(&mut docker), "ours ≤ 1/5 of it"),
        Row::new("launches a second, 4 in flight", format!("{rate:.0}"), "≥ 30"),
    ])
}

fn docker_words(samples: &mut [Duration]) -> String {
    match samples.is_empty() {
        true => "no Docker engine here".to_owned(),
        false => spread(samples),
    }
}

fn launch_and_stop(client: &mut Client, input: &Value) -> Result<Duration> {
    let began = Instant::now();
    let task = start(client, input)?;
    wait_for(client, &task, "RUNNING")?;
    let took = began.elapsed();
    client.ecs("StopTask", &json!({ "cluster": "bench", "task": task }))?;
    wait_for(client, &task, "STOPPED")?;
    Ok(took)
}

fn start(client: &mut Client, input: &Value) -> Result<String> {
    let answer = client.ecs("RunTask", input)?;
    let arn = answer["tasks"][0]["taskArn"].as_str();
    Ok(arn.with_context(|| format!("RunTask placed nothing: {}", answer["failures"]))?.to_owned())
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
    bail!("{task} is not {wanted} after 30 s")
}

/// Launches a second with a few in flight, over their whole time; stops are left to happen meanwhile.
fn sustained(instance: &Instance, input: &Value) -> Result<f64> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = instance.client()?;
                    for _ in 0..SUSTAINED / IN_FLIGHT {
                        let task = start(&mut client, input)?;
                        wait_for(&mut client, &task, "RUNNING")?;
                        client.ecs("StopTask", &json!({ "cluster": "bench", "task": task }))?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(SUSTAINED as f64 / began.elapsed().as_secs_f64())
}

/// The OCI runtime alone, on a root file system of busybox: `run --detach`, timed until it returns.
fn bare_runtime() -> Result<Duration> {
    let bundle = std::env::temp_dir().join(format!("longshore-bench-bundle-{}", std::process::id()));
    let bin = bundle.join("rootfs/bin");
    for directory in ["bin", "dev", "proc", "sys"] {
        std::fs::create_dir_all(bundle.join("rootfs").join(directory))?;
    }
    std::fs::copy("/bin/busybox", bin.join("busybox"))?;
    if !bundle.join("config.json").exists() {
        std::fs::write(bundle.join("config.json"), bare_config().to_string())?;
    }
    let name = format!("longshore-bench-{}", std::process::id());
    let began = Instant::now();
    let done = Command::new("crun")
        .args(["run", "--detach", "--bundle"])
        .arg(&bundle)
        .arg(&name)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()?;
    let took = began.elapsed();
    Command::new("crun").args(["delete", "--force", &name]).status()?;
    std::fs::remove_dir_all(&bundle)?;
    if !done.success() {
        bail!("crun failed after {}", millis(took));
    }
    Ok(took)
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

/// One `docker run -d`, where a Docker engine answers and has the image.
fn docker_run() -> Option<Duration> {
    let began = Instant::now();
    let done = Command::new("docker").args(["run", "-d", "--rm", "busybox:latest", "sleep", "60"]).output().ok()?;
    let took = began.elapsed();
    let id = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    let _ = Command::new("docker").args(["rm", "-f", &id]).output();
    done.status.success().then_some(took)
}
