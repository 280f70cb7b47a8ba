//! What runs on this machine for an instance: asked of the supervisors themselves, so it needs no control plane.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use longshore_supervisor::protocol::{ContainerStatus, Message, TaskStatus};

use crate::config::Instance;
use crate::error::Error;

/// A container, as its supervisor sees it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Id of the task: the last part of its ARN.
    pub task: String,
    pub container: String,
    /// On the host, while it runs.
    pub pid: Option<u32>,
    pub status: String,
    pub exit_code: Option<i32>,
}

/// For a supervisor to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest snapshot read.
const LIMIT: u64 = 1024 * 1024;

/// The containers of every task that has a supervisor, by task.
///
/// # Errors
/// When the data directory cannot be used.
pub fn ps(data_dir: &Path) -> Result<Vec<Row>, Error> {
    if !data_dir.exists() {
        return Ok(Vec::new());
    }
    let instance = Instance::of(data_dir)?;
    let links = std::fs::read_dir(instance.run_dir.join("t")).into_iter().flatten().flatten();
    let tasks = links.filter_map(|link| snapshot(&link.path().join("sock")));
    let mut rows: Vec<Row> = tasks.flat_map(|task| rows(&task)).collect();
    rows.sort_by(|one, other| (&one.task, &one.container).cmp(&(&other.task, &other.container)));
    Ok(rows)
}

fn rows(task: &TaskStatus) -> Vec<Row> {
    let id = task.task_arn.rsplit('/').next().unwrap_or_default();
    task.containers.iter().map(|container| row(id, container)).collect()
}

fn row(task: &str, container: &ContainerStatus) -> Row {
    Row {
        task: task.to_owned(),
        container: container.name.clone(),
        pid: container.pid,
        status: format!("{:?}", container.status).to_uppercase(),
        exit_code: container.exit_code,
    }
}

fn snapshot(socket: &Path) -> Option<TaskStatus> {
    let stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(LIMIT)).read_line(&mut line).ok()?;
    match serde_json::from_str(&line).ok()? {
        Message::Snapshot { task, .. } => Some(task),
        _ => None,
    }
}
