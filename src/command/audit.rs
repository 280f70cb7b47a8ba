//! `longshore audit verify`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use longshore_control::{Mark, audit_log, verify as walk};

use crate::options::Instance;

/// Says what the log holds, or names the first record that is broken: then the exit code is 1.
pub fn verify(instance: &Instance, known: Option<&str>) -> Result<ExitCode> {
    let dir = audit_log(&instance.data_dir()?);
    if !dir.is_dir() {
        bail!("there is no audit log in {}", dir.display());
    }
    let parse = |text: &str| Mark::parse(&text.replacen(':', " ", 1)).context("a known record is SEQUENCE:HASH");
    let known = known.map(parse).transpose()?;
    let verified = match walk(&dir, known)? {
        Ok(verified) => verified,
        Err(broken) => bail!("the audit log is broken: {broken}"),
    };
    let first = verified.anchor.sequence + 1;
    println!("records {first} to {} are as they were written", verified.tip.sequence);
    if first > 1 {
        println!("records 1 to {} were let go to keep within the bound", verified.anchor.sequence);
    }
    if verified.torn > 0 {
        println!("{} bytes at the end are of a record that was never acknowledged", verified.torn);
    }
    println!("the last one is {}:{}", verified.tip.sequence, verified.tip.hash);
    Ok(ExitCode::SUCCESS)
}
