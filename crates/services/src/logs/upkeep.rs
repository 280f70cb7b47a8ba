//! What makes the log store follow the state: groups that are gone are forgotten, retention acts.
//!
//! For a loop of the control plane. The uids come first and the state after them, so that a group which is made in
//! between is in the state and lives; and a deletion acts only once it is durable:
//!
//! ```text
//!     uids = logs.groups()    snapshot = store.read()    Upkeep::plan(&snapshot, &uids)
//!     store.durable(revision of the snapshot)            run(&logs, now), until it returns false
//! ```

use std::collections::HashSet;

use longshore_model::State;
use longshore_store::Error;
use longshore_store::logs::Logs;
use longshore_wire::Timestamp;

/// One turn's work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Uids of groups that no longer exist.
    pub dead: Vec<String>,
    /// Groups with a retention, in days.
    pub retention: Vec<(String, i64)>,
}

impl Upkeep {
    /// `uids` are those that the log store knew before `state` was read.
    pub fn plan(state: &State, uids: &[String]) -> Self {
        let groups = || state.log_groups.iter().map(|(_, group)| group);
        let alive: HashSet<&str> = groups().map(|group| group.uid.as_str()).collect();
        let dead = uids.iter().filter(|uid| !alive.contains(uid.as_str()));
        let retention = groups().filter_map(|group| Some((group.uid.clone(), i64::from(group.retention_days?))));
        Self { dead: dead.cloned().collect(), retention: retention.collect() }
    }

    /// Do one turn. Blocks on the disk: not for a thread that serves requests. Returns whether there is more to do.
    pub fn run(&self, logs: &Logs, now: Timestamp) -> Result<bool, Error> {
        if !self.dead.is_empty() {
            logs.delete_groups(&self.dead)?;
        }
        logs.purge(now.millis(), &self.retention)
    }
}
