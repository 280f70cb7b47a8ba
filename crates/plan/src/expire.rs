//! Parameters whose policy ends them: they are gone for every reader from that moment on, and here their records go too, so
//! that a secret does not outlive its time on disk.

use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan};

/// Plan one turn: a parameter goes with all its versions, or waits for the next turn.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for (end, key) in state.index.ages.expiring_parameters() {
        if end > now {
            plan.wake(end);
            break;
        }
        let changes = whole(state, key);
        if plan.changes.len() + changes.len() > MAX_CHANGES {
            plan.wake(now);
            break;
        }
        plan.changes.extend(changes);
    }
    plan
}

/// What deletes the parameter with this key.
fn whole(state: &State, key: &str) -> Vec<Change> {
    let prefix = format!("{key}:");
    let versions = state.parameter_versions.scan(&prefix).map(|(key, _)| key.to_string());
    let versions = versions.map(|key| Change::Delete(TableName::ParameterVersion, key));
    versions.chain([Change::Delete(TableName::Parameter, key.to_owned())]).collect()
}
