//! What must not reach a disk: from the agent's memory into this process's, and variables into the containers'
//! environments.
//!
//! ```text
//!   agent: memfd ──(/proc/AGENT/fd/N)──► here ──► DIR/m (ramfs, in this mount namespace alone)
//!                                          │        c<N>-config.json c<N>-check.json   for the runtime
//!                                          │        runtime/                           its own copies of them
//!                                          └────► log pumps: options, headers
//! ```
//!
//! A task without secret variables has no `m`: its files lie in its directory.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::mount;
use crate::spec::{ContainerSpec, Secrets, TaskSpec};

/// Where such a task's files are that name its secrets.
fn memory(dir: &Path) -> PathBuf {
    dir.join("m")
}

/// Takes the secrets into the task and, if there are variables among them, mounts the memory that its files go to; else
/// `task.secrets` is `None` from now on. Before anything is written, in the namespace that is the supervisor's own.
pub fn take(dir: &Path, task: &mut TaskSpec) -> Result<()> {
    let Some(path) = &task.secrets else { return Ok(()) };
    let text = std::fs::read(path).map_err(Error::file("read", path))?;
    // What does not read is not quoted: it is secret.
    let secrets: Secrets = serde_json::from_slice(&text)
        .map_err(|_| Error::Parameter("the secrets of the task do not read".to_string()))?;
    let variables = secrets.environments.values().any(|pairs| !pairs.is_empty());
    fill(task, secrets);
    match variables {
        true => mount::memory(&memory(dir)),
        false => {
            task.secrets = None;
            Ok(())
        }
    }
}

fn fill(task: &mut TaskSpec, mut secrets: Secrets) {
    for container in &mut task.containers {
        for (name, value) in secrets.environments.get(&container.name).into_iter().flatten() {
            set(container, name, value);
        }
        if let Some(log) = secrets.logs.remove(&container.name) {
            container.log = log;
        }
    }
    if let Some(endpoint) = &mut task.log_endpoint {
        endpoint.headers.extend(secrets.log_headers);
    }
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
    use crate::spec::{LogConfig, LogEndpoint};

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
    fn what_is_taken_is_in_the_task_and_without_variables_there_is_no_memory() {
        let file = std::env::temp_dir().join(format!("longshore-taken-{}", std::process::id()));
        let secrets = r#"{"logs":{"web":{"driver":"json-file"}},"log_headers":{"Authorization":"planted"}}"#;
        std::fs::write(&file, secrets).unwrap();
        let web = ContainerSpec { name: "web".into(), ..ContainerSpec::default() };
        let side = ContainerSpec { name: "side".into(), ..ContainerSpec::default() };
        let log_endpoint = Some(LogEndpoint { address: "127.0.0.1:9".into(), ..LogEndpoint::default() });
        let mut task =
            TaskSpec { secrets: Some(file.clone()), containers: vec![web, side], log_endpoint, ..TaskSpec::default() };
        take(Path::new("/nonexistent"), &mut task).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!((&task.containers[0].log, &task.containers[1].log), (&LogConfig::JsonFile, &LogConfig::None));
        let endpoint = task.log_endpoint.unwrap();
        assert_eq!(endpoint.headers["Authorization"], "planted");
        assert!(!format!("{endpoint:?}").contains("planted"), "it does not show");
        assert_eq!(task.secrets, None);
    }

    #[test]
    fn secrets_that_do_not_read_are_not_quoted() {
        let file = std::env::temp_dir().join(format!("longshore-secret-{}", std::process::id()));
        std::fs::write(&file, r#"{"environments":"planted"}"#).unwrap();
        let mut task = TaskSpec { secrets: Some(file.clone()), ..TaskSpec::default() };
        let told = take(Path::new("/nonexistent"), &mut task).unwrap_err().to_string();
        std::fs::remove_file(file).unwrap();
        assert!(told.contains("do not read") && !told.contains("planted"), "{told}");
    }
}
