//! `POST /_longshore/reset` after a test has used the account: a hundred simulated tasks and their task definition.

use std::time::Instant;

use anyhow::Result;

use super::Row;
use super::api::fill;
use super::instance::Instance;
use super::stats::millis;
use super::table::Unit;

const TASKS: usize = 100;
const ROUNDS: usize = 10;

pub fn run() -> Result<Vec<Row>> {
    let mut instance = Instance::new("reset")?;
    let size = ["--cpu", "1000000", "--memory", "1000000"];
    instance.start(&[&["up", "--engine", "simulated", "--auth", "permissive"], &size[..]].concat())?;
    instance.wait_ready()?;
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        fill(&instance, TASKS)?;
        let mut client = instance.client()?;
        let began = Instant::now();
        client.post("/_longshore/reset")?;
        found.push(millis(began.elapsed()));
    }
    Ok(vec![Row::new("reset of an account with 100 tasks", Unit::Millis, found).at_most(50.0).simulated()])
}
