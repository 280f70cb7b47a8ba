//! Resident memory: the control plane with a thousand simulated tasks, the agent without tasks, a supervisor.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::instance::Instance;
use super::stats::{processes_with, resident_mb};
use super::{Row, api};

pub fn run() -> Result<Vec<Row>> {
    Ok(vec![control_plane()?, agent()?, supervisor()?])
}

const SIZE: [&str; 4] = ["--cpu", "1000000", "--memory", "1000000"];

fn control_plane() -> Result<Row> {
    let mut instance = Instance::new("memory")?;
    let pid = instance.start(&["server"])?;
    instance.wait("/healthz")?;
    instance.start(&[&["agent", "--engine", "simulated"], &SIZE[..]].concat())?;
    instance.wait_ready()?;
    api::fill(&instance, 1000)?;
    std::thread::sleep(Duration::from_secs(3));
    let value = format!("{:.1} MB", resident_mb(pid)?);
    Ok(Row::new("control plane, 1,000 simulated tasks, resident", value, "< 60 MB"))
}

fn agent() -> Result<Row> {
    let mut instance = Instance::new("agent")?;
    instance.start(&["server"])?;
    instance.wait("/healthz")?;
    let pid = instance.start(&["agent"])?;
    instance.wait_ready()?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(Row::new("node agent without tasks, resident", format!("{:.1} MB", resident_mb(pid)?), "< 30 MB"))
}

fn supervisor() -> Result<Row> {
    let mut instance = Instance::new("supervisor")?;
    instance.start(&["up"])?;
    instance.wait_ready()?;
    instance.import(Path::new("build/images/busybox.tar"), "busybox:latest")?;
    let before = processes_with("supervise");
    let input = instance.sleeper(1)?;
    instance.client()?.ecs("RunTask", &input)?;
    std::thread::sleep(Duration::from_secs(2));
    let all = processes_with("supervise");
    let pid = all.iter().find(|pid| !before.contains(pid)).context("no supervisor was started")?;
    Ok(Row::new("supervisor of one task, resident", format!("{:.1} MB", resident_mb(*pid)?), "< 5 MB"))
}
