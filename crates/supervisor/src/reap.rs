//! What an agent does with a task whose supervisor has died: nothing of it may go on unseen.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::cgroup::Layout;
use crate::error::{Error, Result};
use crate::lock;
use crate::mount;
use crate::protocol::{ContainerPhase, StopCause, StopCode, TaskPhase, TaskStatus};
use crate::spec::TaskSpec;
use crate::task::{SOCKET_FILE, SPEC_FILE, STATE_FILE};
use crate::time;

/// What was found in a task directory without a supervisor.
#[derive(Clone, Debug, PartialEq)]
pub struct Remains {
    pub spec: TaskSpec,
    /// As last written by the supervisor, ended: containers that still ran are stopped with an unknown exit code.
    /// `None` if it never wrote any.
    pub status: Option<TaskStatus>,
}

/// How long a supervisor may take to greet who connects. An agent has waited longer before it comes to this.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Whether a supervisor answers in this directory: it greets whoever connects. The kernel takes a connection also for one
/// that hangs.
pub fn is_alive(dir: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(dir.join(SOCKET_FILE)) else {
        return false;
    };
    let limited = stream.set_read_timeout(Some(ANSWER_WITHIN)).is_ok();
    limited && stream.read(&mut [0]).is_ok_and(|length| length > 0)
}

/// Ends what is left of a task whose supervisor is gone: kills its processes, removes its cgroups and its directory,
/// and says what is known of it. Refused while a supervisor answers; one that is there and does not answer is killed. The
/// supervisor's mounts went with its namespace.
pub fn reap(dir: &Path) -> Result<Remains> {
    if is_alive(dir) {
        return Err(Error::Parameter(format!("a supervisor runs in {}", dir.display())));
    }
    lock::end_holder(dir)?;
    let remains = look(dir)?;
    if !remains.spec.cgroup.is_empty() {
        let layout = Layout::detect()?;
        layout.kill_all(&remains.spec.cgroup, Duration::from_secs(10))?;
        layout.remove(&remains.spec.cgroup)?;
    }
    mount::unmount_below(dir)?;
    mount::remove_tree(dir)?;
    Ok(remains)
}

fn look(dir: &Path) -> Result<Remains> {
    let file = dir.join(SPEC_FILE);
    let text = std::fs::read(&file).map_err(Error::file("read", &file))?;
    let spec = serde_json::from_slice(&text).map_err(|source| Error::Json { what: SPEC_FILE, source })?;
    let status = std::fs::read(dir.join(STATE_FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    Ok(Remains { spec, status: status.map(ended) })
}

fn ended(mut status: TaskStatus) -> TaskStatus {
    let now = time::now().wall;
    for container in &mut status.containers {
        if container.status != ContainerPhase::Stopped {
            container.status = ContainerPhase::Stopped;
            container.pid = None;
            container.exit_code = None;
            container.reason = Some("the supervisor of the task ended unexpectedly; the exit code is unknown".into());
            container.finished_at = Some(now);
        }
    }
    let code = match status.started_at {
        Some(_) => StopCode::EssentialContainerExited,
        None => StopCode::TaskFailedToStart,
    };
    let reason = "Task supervisor ended unexpectedly".to_string();
    status.stop.get_or_insert(StopCause { code, reason });
    status.stopping_at.get_or_insert(now);
    status.execution_stopped_at.get_or_insert(now);
    status.phase = TaskPhase::Stopped;
    status
}
