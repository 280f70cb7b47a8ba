//! `longshore scan-db …`: the database of known vulnerabilities.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use longshore_scan::{Database, Import, Refused};

use crate::options::Instance;

/// Makes the database anew. What could not be read goes to standard error; the rest counts.
pub fn import(instance: &Instance, source: &Path) -> Result<()> {
    let database = place(instance)?;
    let directory = instance.data_dir()?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.with_context(|| format!("making {}", directory.display()))?;
    let imported = Import { source, database: &database, now: Timestamp::now().as_second() }.run()?;
    tell_refused(imported.refused, &imported.first_refused);
    println!("{} advisories, the newest of {}", imported.advisories, time(imported.newest_at));
    println!("passed over: {} withdrawn, {} that name no package", imported.withdrawn, imported.bare);
    Ok(())
}

pub fn status(instance: &Instance) -> Result<()> {
    let status = Database::open(&place(instance)?)?.status()?;
    println!("imported {}", time(status.imported_at));
    println!("{} advisories, the newest of {}", status.advisories, time(status.newest_at));
    println!("passed over: {} withdrawn, {} that name no package", status.withdrawn, status.bare);
    println!("{:<40} {:>10}", "ECOSYSTEM", "PACKAGES");
    for (name, packages) in &status.ecosystems {
        println!("{name:<40} {packages:>10}");
    }
    tell_refused(status.refused, &status.first_refused);
    Ok(())
}

fn place(instance: &Instance) -> Result<PathBuf> {
    Ok(instance.data_dir()?.join(longshore_scan::DATABASE_FILE))
}

fn tell_refused(count: u64, first: &[Refused]) {
    if count == 0 {
        return;
    }
    eprintln!("{count} could not be read:");
    for refused in first {
        eprintln!("  {}: {}", refused.name, refused.reason);
    }
    if count > first.len() as u64 {
        eprintln!("  …");
    }
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
