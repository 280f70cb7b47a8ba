//! The whole system in one thread from one seed: control plane, nodes, clients of the API, disk, network and clock.
//!
//! ```text
//!   clients ──► calls, lost or answered late ──► handlers ──► store ──► disk: synced, or gone with the process
//!                                                   loops ──► store
//!   machines ◄── frames of a session, in order, cut off or late ◄── desks
//!            ──► reports, repeated until they arrive ──► handlers
//! ```
//! What decides is production code: the handlers of `longshore-services`, the planners of `longshore-plan`, the desk and
//! the ledger of `longshore-link`, `longshore-store` with a disk in memory. What is played is what carries it: sockets,
//! timers, the runtime that starts containers. Trouble comes for a while (crashes of the control plane, of agents and of
//! whole machines, failed syncs, lost, late and repeated messages), then it ends, the clients wind up, and the system
//! must come to rest. [`law`] says what must hold after each step.
//!
//! Some services are behind a load balancer, whose edge says of targets that they are well when their containers run.
//! Whoever calls also gets refusals, of a disk without space or of a service that is on its way out; nodes are emptied, images
//! never start, circuit breakers bring the older definition back, the wall clock jumps by a day.
//!
//! One seed gives one trace, so a failure is found again by its seed: `cargo xtask sim --seed N --trace`.
//!
//! Left out: the gateway's bytes (routing, signatures), log events, container instances of clusters, several accounts.
//! (docs/decisions/0018-simulation.md)

mod balancing;
mod client;
mod dice;
mod disk;
pub mod law;
mod machine;
mod network;
mod node;
mod operator;
mod plane;
mod rest;
mod site;
mod trace;
mod world;

use std::path::{Path, PathBuf};

use longshore_services::Settings;
use longshore_store::logs::Logs;

/// What became of one seed.
#[derive(Debug)]
pub struct Outcome {
    pub seed: u64,
    /// Of everything that happened.
    pub hash: u64,
    /// Events, and how many seconds they took on the system's own clock.
    pub events: u64,
    pub seconds: i64,
    /// The law that was broken, and the last lines of the trace.
    pub failure: Option<(String, Vec<String>)>,
}

/// Runs seeds one after the other.
pub struct Lab {
    logs: Option<Logs>,
    settings: Settings,
    directory: PathBuf,
}

impl Lab {
    /// `directory` is made, holds a log store that nothing is written to, and is removed in the end.
    ///
    /// # Errors
    /// If the directory cannot be used, in words.
    pub fn new(directory: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        let logs = Logs::open(directory).map_err(|error| error.to_string())?;
        let settings = site::settings().ok_or("the account is none")?;
        Ok(Self { logs: Some(logs), settings, directory: directory.to_owned() })
    }

    /// Run one seed to its end; `print` writes the trace to standard output.
    pub fn run(&self, seed: u64, print: bool) -> Outcome {
        let Some(logs) = &self.logs else {
            let failure = Some(("the lab is closed".to_owned(), Vec::new()));
            return Outcome { seed, hash: 0, events: 0, seconds: 0, failure };
        };
        world::World::new(&self.settings, logs, seed, print).run()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.logs = None;
        // What cannot be removed lies in a temporary directory and harms nobody.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
