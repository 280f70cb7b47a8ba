//! One small process a task: drives the OCI runtime, pumps logs, keeps exit codes.
//!
//! The agent prepares a directory (`/run/longshore/<instance>/<task>`, short, as a socket lives in it), writes
//! [`spec::TaskSpec`] to `task.json`, takes the directory's lock ([`reserve`]) and starts `longshore supervise DIR` with it
//! as standard input. A directory without `state.json` is one where nothing was ever started. From then on the supervisor stands by itself:
//! it starts the containers in order, restarts and checks them, sends their output to CloudWatch Logs, and tells
//! whoever connects to `DIR/sock` ([`protocol`]). It survives the agent's death and upgrade; the next agent connects and
//! gets a snapshot. It ends when an agent has safely stored the final state and says `release`. If a supervisor itself
//! dies, [`reap`] ends what is left.
//!
//! Threads: one for everything, and two small ones a container for its log. No async runtime: a supervisor is to stay
//! under 5 MB.
//!
//! Left out: images, addresses, roles, credentials, metadata endpoints: the agent's.

pub mod cgroup;
pub mod error;
mod host;
mod lock;
mod log;
pub mod machine;
mod mount;
mod oci;
pub mod protocol;
mod reap;
mod rootfs;
pub mod runtime;
pub mod spec;
pub mod stats;
mod task;
mod time;
mod user;

use std::path::Path;

pub use error::{Error, Result};
pub use lock::{is_held, reserve};
pub use mount::points_below;
pub use oci::is_tmpfs_option;
pub use reap::{Remains, is_alive, reap};
pub use task::{SOCKET_FILE, SPEC_FILE, STATE_FILE};

/// `longshore supervise DIR`: runs until the task is released. Returns the exit code of the process.
///
/// To be called first in the process, while it has one thread and no descriptors of its own.
pub fn main(dir: &Path) -> i32 {
    match task::run(dir) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("longshore supervise {}: {e}", dir.display());
            1
        }
    }
}
