//! Variables that must not reach a disk: from the agent's memory into the containers' environments.
//!
//! ```text
//!   agent: memfd ──(/proc/AGENT/fd/N)──► here ──► DIR/m (ramfs, in this mount namespace alone)
//!                                                   c<N>-config.json c<N>-check.json   for the runtime
//!                                                   runtime/                           its own copies of them
//! ```
//!
//! A task without any has none of this: its files lie in its directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::mount;
use crate::spec::{ContainerSpec, TaskSpec};

/// Names to values, by container.
type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// Where such a task's files are that name its secrets.
fn memory(dir: &Path) -> PathBuf {
    dir.join("m")
}

/// Takes the secrets into the task's environments and mounts the memory that its files go to. Before anything is written, in
/// the namespace that is the supervisor's own.
pub fn take(dir: &Path, task: &mut TaskSpec) -> Result<()> {
    let Some(path) = &task.secrets else { return Ok(()) };
    let text = std::fs::read(path).map_err(Error::file("read", path))?;
    // What does not read is not quoted: it is secret.
    let secrets: Secrets = serde_json::from_slice(&text)
        .map_err(|_| Error::Parameter("the secrets of the task do not read".to_string()))?;
    for container in &mut task.containers {
        for (name, value) in secrets.get(&container.name).into_iter().flatten() {
            set(container, name, value);
        }
    }
    mount::memory(&memory(dir))
}

fn set(container: &mut ContainerSpec, name: &str, value: &str) {
    container.env.retain(|entry| entry.split('=').next() != Some(name));
    container.env.push(format!("{name}={value}"));
}

/// The runtime's state directory. It keeps a copy of each `config.json` there.
pub fn runtime_root(dir: &Path, task: &TaskSpec) -> PathBuf {
    match task.secrets {
        Some(_) => memory(dir).join("runtime"),
        None => dir.join("runtime"),
    }
}

/// Where a file of a container with its environment is to lie: `within` its own directory, or in memory.
pub fn file(dir: &Path, task: &TaskSpec, container: usize, within: &Path, name: &str) -> PathBuf {
    match task.secrets {
        Some(_) => memory(dir).join(format!("c{container}-{name}")),
        None => within.join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_takes_the_place_of_a_variable_of_its_name() {
        let mut container = ContainerSpec { env: vec!["A=1".into(), "AB=2".into()], ..ContainerSpec::default() };
        set(&mut container, "A", "x=y");
        assert_eq!(container.env, ["AB=2", "A=x=y"]);
    }

    #[test]
    fn files_lie_in_memory_where_there_are_secrets_alone() {
        let (dir, own) = (Path::new("/t"), Path::new("/t/c0"));
        let plain = TaskSpec::default();
        let secret = TaskSpec { secrets: Some("/proc/1/fd/3".into()), ..TaskSpec::default() };
        assert_eq!(file(dir, &plain, 0, own, "config.json"), Path::new("/t/c0/config.json"));
        assert_eq!(file(dir, &secret, 0, own, "config.json"), Path::new("/t/m/c0-config.json"));
        assert_eq!(runtime_root(dir, &plain), Path::new("/t/runtime"));
        assert_eq!(runtime_root(dir, &secret), Path::new("/t/m/runtime"));
    }

    #[test]
    fn secrets_that_do_not_read_are_not_quoted() {
        let file = std::env::temp_dir().join(format!("longshore-secret-{}", std::process::id()));
        std::fs::write(&file, r#"{"web":"planted"}"#).unwrap();
        let mut task = TaskSpec { secrets: Some(file.clone()), ..TaskSpec::default() };
        let told = take(Path::new("/nonexistent"), &mut task).unwrap_err().to_string();
        std::fs::remove_file(file).unwrap();
        assert!(told.contains("do not read") && !told.contains("planted"), "{told}");
    }
}
