//! `cargo xtask sim`: the simulation, built for speed and run. What it is stands in `crates/sim`.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Runs `longshore-sim` with these arguments; without any, 200 seeds.
///
/// # Errors
/// When it cannot be built or a seed breaks a law.
pub fn run(arguments: &[String]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--release", "--quiet", "--locked", "--package", "longshore-sim", "--"]).args(arguments);
    let status = command.current_dir(crate::root()).status().context("cargo")?;
    ensure!(status.success(), "the simulation failed");
    Ok(())
}
