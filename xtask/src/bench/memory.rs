//! Resident memory: the control plane with a thousand simulated tasks, the agent without tasks, a supervisor.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::instance::Instance;
use super::stats::{processes_with, resident_mb};
use super::table::Unit;
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
    let found = resident_mb(pid)?;
    Ok(Row::new("control plane with 1,000 tasks, resident", Unit::Megabytes, found).at_most(60.0).simulated())
}

fn agent() -> Result<Row> {
    let mut instance = Instance::new("agent")?;
    instance.start(&["server"])?;
    instance.wait("/healthz")?;
    let pid = instance.start(&["agent"])?;
    instance.wait_ready()?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(Row::new("node agent without tasks, resident", Unit::Megabytes, resident_mb(pid)?).at_most(30.0))
}

fn supervisor() -> Result<Row> {
    let mut instance = Instance::new("supervisor")?;
    instance.start(&["up"])?;
    instance.wait_ready()?;
    instance.import(Path::new("build/images/busybox.tar"), "busybox:latest")?;
    let before = processes_with("supervise");
    let mut client = instance.client()?;
    let input = client.sleeper(1)?;
    client.ecs("RunTask", &input)?;
    std::thread::sleep(Duration::from_secs(2));
    let all = processes_with("supervise");
    let pid = all.iter().find(|pid| !before.contains(pid)).context("no supervisor was started")?;
    Ok(Row::new("supervisor of one task, resident", Unit::Megabytes, resident_mb(*pid)?).at_most(5.0))
}
