//! Scans of images that are gone go as well. What they found goes when no record holds it.

use longshore_model::{Change, State, TableName};
use longshore_wire::Timestamp;

use crate::{MAX_CHANGES, Plan};

/// Plan one turn.
pub fn turn(state: &State, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut lost = state.index.scans.lost();
    plan.changes
        .extend(lost.by_ref().take(MAX_CHANGES).map(|key| Change::Delete(TableName::ImageScan, key.to_string())));
    if lost.next().is_some() {
        plan.wake(now);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_model::registry::ImageScan;

    #[test]
    fn scans_of_images_that_are_gone_go_in_turns() {
        let now = Timestamp::from_millis(1000);
        let mut state = State::default();
        for number in 0..MAX_CHANGES + 5 {
            state.apply(&ImageScan::pending("r", &format!("sha256:{number}"), now).into());
        }
        let first = turn(&state, now);
        assert_eq!((first.changes.len(), first.not_before), (MAX_CHANGES, Some(now)));
        first.changes.iter().for_each(|change| state.apply(change));
        let second = turn(&state, now);
        assert_eq!((second.changes.len(), second.not_before), (5, None));
        second.changes.iter().for_each(|change| state.apply(change));
        assert!(turn(&state, now).changes.is_empty() && state.image_scans.is_empty());
    }
}
