//! Where tasks live on this machine.
//!
//! ```text
//!   <data-dir>/tasks/<task id>/        order.json, task.json, lock, state.json, sock, supervisor.log, last.json, layers
//!   /run/longshore/<instance>/t/       the same directory once more, by a bind mount
//! ```
//!
//! Writable layers belong on the disk of the data directory; the path of a socket has to be short. A bind mount gives
//! both: supervisors get the short name. The mount does not outlive a boot and is made again by the next agent.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use longshore_link::acs;
use longshore_supervisor::protocol::TaskStatus;
use nix::mount::{MntFlags, MsFlags};
use serde::{Deserialize, Serialize};

use super::runner::Pulled;
use crate::config::Instance;
use crate::error::Error;

const ORDER_FILE: &str = "order.json";
const LAST_FILE: &str = "last.json";

/// What an agent has to know of a task that it did not start itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) task: acs::Task,
    pub(super) pulled: Pulled,
    /// Of a task that has a role: the id under which its containers ask for credentials.
    #[serde(default)]
    pub(super) credentials_id: Option<String>,
}

/// The directories of an instance's tasks.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    disk: PathBuf,
    short: PathBuf,
}

impl Home {
    pub(crate) fn of(instance: &Instance) -> Self {
        Self { disk: instance.data_dir.join("tasks"), short: instance.run_dir.join("t") }
    }

    /// Makes the directories and the mount, where they are missing.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(crate) fn open(instance: &Instance) -> Result<Self, Error> {
        let home = Self::of(instance);
        for directory in [&home.disk, &home.short] {
            make(directory).map_err(Error::file(directory))?;
        }
        if !is_mounted(&home.short)? {
            let (disk, short) = (home.disk.as_path(), home.short.as_path());
            nix::mount::mount(Some(disk), short, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(|errno| Error::file(short)(errno.into()))?;
        }
        Ok(home)
    }

    /// Removes the mount, and the directories if no task is left in them.
    pub(crate) fn close(&self) -> Result<(), Error> {
        if self.short.exists() && is_mounted(&self.short)? {
            nix::mount::umount2(&self.short, MntFlags::MNT_DETACH)
                .map_err(|errno| Error::file(&self.short)(errno.into()))?;
        }
        for directory in [&self.short, &self.disk] {
            match fs::remove_dir(directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::file(directory)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The directory of a task, by its short name.
    pub(crate) fn task(&self, id: &str) -> PathBuf {
        self.short.join(id)
    }

    /// The directories of all tasks that are here.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(crate) fn tasks(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = match fs::read_dir(&self.short) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file(&self.short)(error)),
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(Error::file(&self.short)));
        paths.collect()
    }

    /// Makes the directory of a task and writes its order there. It is whole whenever this process dies. A machine that
    /// dies may lose it, and with it everything that ran.
    pub(super) fn enter(&self, id: &str, order: &Order) -> std::io::Result<PathBuf> {
        let directory = self.task(id);
        make(&directory)?;
        let fresh = directory.join("order.new");
        fs::write(&fresh, serde_json::to_vec(order)?)?;
        fs::rename(fresh, directory.join(ORDER_FILE))?;
        Ok(directory)
    }

    /// Leaves word of a task whose supervisor is gone, until its last report has arrived: a next agent must not take it
    /// for a task that never was.
    pub(super) fn leave_word(&self, id: &str, order: &Order, last: &TaskStatus) -> std::io::Result<()> {
        let directory = self.enter(id, order)?;
        fs::write(directory.join(LAST_FILE), serde_json::to_vec(last)?)
    }
}

/// Whether something of the task may have been started: its supervisor got so far, or an agent wrote of its end.
pub(super) fn was_begun(directory: &Path) -> bool {
    [longshore_supervisor::STATE_FILE, LAST_FILE].iter().any(|file| directory.join(file).exists())
}

/// The last state of a task, if word of it was left.
pub(super) fn last(directory: &Path) -> Option<TaskStatus> {
    serde_json::from_slice(&fs::read(directory.join(LAST_FILE)).ok()?).ok()
}

/// Ends and removes all of a task's directory, whoever is in it. Blocks.
///
/// # Errors
/// When something of it cannot be ended.
pub(crate) fn remove(directory: &Path) -> std::io::Result<()> {
    if directory.join(longshore_supervisor::SPEC_FILE).exists() {
        longshore_supervisor::reap(directory).map_err(std::io::Error::other)?;
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The order that a task's directory was made for.
pub(super) fn order(directory: &Path) -> std::io::Result<Order> {
    Ok(serde_json::from_slice(&fs::read(directory.join(ORDER_FILE))?)?)
}

fn make(directory: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Whether something is mounted right at `path`.
fn is_mounted(path: &Path) -> Result<bool, Error> {
    let points = longshore_supervisor::points_below(path).map_err(Error::file("/proc/self/mountinfo"))?;
    Ok(points.iter().any(|point| point == path))
}
