//! `longshore doctor`: what this machine has, what it lacks, and what to do.

use std::process::ExitCode;

use anyhow::Result;

use crate::options::Instance;

pub fn examine(instance: &Instance, fix: bool) -> Result<ExitCode> {
    let checks = longshore_agent::doctor::examine(&instance.data_dir()?, instance.endpoint()?, fix);
    let mut failed = false;
    for check in &checks {
        let mark = match check.level {
            longshore_agent::doctor::Level::Good => "ok  ",
            longshore_agent::doctor::Level::Mended => "done",
            longshore_agent::doctor::Level::Warning => "note",
            longshore_agent::doctor::Level::Bad => "FAIL",
        };
        failed |= check.level == longshore_agent::doctor::Level::Bad;
        println!("{mark}  {:<12} {}", check.subject, check.found);
        if let Some(advice) = &check.advice {
            println!("      {:<12} -> {advice}", "");
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
