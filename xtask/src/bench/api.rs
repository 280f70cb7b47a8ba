//! DescribeTasks a second, over kept-alive connections, while a thousand simulated tasks run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::Row;
use super::instance::Instance;
use super::stats::cpu_time;

const TASKS: usize = 1000;
const CONNECTIONS: usize = 4;
const FOR: Duration = Duration::from_secs(4);

pub fn run() -> Result<Vec<Row>> {
    let mut instance = Instance::new("api")?;
    let pid = instance.start(&["up", "--engine", "simulated", "--cpu", "1000000", "--memory", "1000000"])?;
    instance.wait_ready()?;
    let task = fill(&instance, TASKS)?;
    let before = cpu_time(pid)?;
    let began = Instant::now();
    let count: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| describe(&instance, &task))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).sum::<Result<u64>>()
    })?;
    let took = began.elapsed();
    let cpu = (cpu_time(pid)? - before).as_secs_f64() * 1e6 / count as f64;
    let rate = count as f64 / took.as_secs_f64();
    let value = format!("{rate:.0}, {cpu:.0} CPU-µs each");
    Ok(vec![Row::new("DescribeTasks a second (1,000 tasks, simulated)", value, "≥ 10,000")])
}

/// Start `count` simulated tasks and return one ARN.
pub fn fill(instance: &Instance, count: usize) -> Result<String> {
    let input = instance.sleeper(10)?;
    let mut client = instance.client()?;
    let mut last = None;
    for _ in 0..count / 10 {
        let answer = client.ecs("RunTask", &input)?;
        last = answer["tasks"][0]["taskArn"].as_str().map(str::to_owned);
    }
    last.context("no task was placed")
}

fn describe(instance: &Instance, task: &str) -> Result<u64> {
    let mut client = instance.client()?;
    let input = json!({ "cluster": "bench", "tasks": [task] });
    let deadline = Instant::now() + FOR;
    let mut count = 0;
    while Instant::now() < deadline {
        client.ecs("DescribeTasks", &input)?;
        count += 1;
    }
    Ok(count)
}
