//! Messages of nodes that are dropped: they do not read, are of no known type, or are about tasks that are not the node's.
//!
//! A node can say such things as fast as it can send. So a session tells of the first at once, of more once a minute, and of
//! the rest when it ends: a record of the audit log, and a line of the log beside it.

use longshore_model::Arn;
use longshore_services::cloudtrail::node_event::Dropped;
use longshore_wire::Timestamp;

/// Between two records of one session.
const PERIOD_MILLIS: i64 = 60_000;

/// Bytes of a task's ARN, as a node wrote it, that is told.
const LONGEST_ARN: usize = 512;

/// What one session has dropped.
#[derive(Default)]
pub(crate) struct Drops {
    untold: Dropped,
    told_at: Option<Timestamp>,
}

impl Drops {
    pub(crate) fn unreadable(&mut self) {
        self.untold.unreadable += 1;
    }

    pub(crate) fn unknown(&mut self) {
        self.untold.unknown += 1;
    }

    /// `task` is the ARN of the task that it was about, or what stood in its place.
    pub(crate) fn foreign(&mut self, task: &str) {
        self.untold.foreign += 1;
        if task.len() <= LONGEST_ARN && Arn::parse(task).is_some() {
            self.untold.task = Some(task.to_owned());
        }
    }

    /// What is to be told now.
    pub(crate) fn due(&mut self, now: Timestamp) -> Option<Dropped> {
        let early = |at: Timestamp| now.millis() - at.millis() < PERIOD_MILLIS;
        if self.told_at.is_some_and(early) {
            return None;
        }
        let untold = self.rest()?;
        self.told_at = Some(now);
        Some(untold)
    }

    /// What is to be told when the session ends.
    pub(crate) fn rest(&mut self) -> Option<Dropped> {
        let untold = std::mem::take(&mut self.untold);
        (untold != Dropped::default()).then_some(untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "arn:aws:ecs:us-east-1:123456789012:task/prod/t1";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_first_is_told_at_once_more_once_a_minute_and_the_rest_at_the_end() {
        let mut drops = Drops::default();
        assert_eq!((drops.due(at(0)), drops.rest()), (None, None));
        drops.unreadable();
        assert_eq!(drops.due(at(10)), Some(Dropped { unreadable: 1, ..Dropped::default() }));
        for second in 11..70 {
            drops.unknown();
            drops.foreign(TASK);
            assert_eq!(drops.due(at(second)), None);
        }
        let task = Some(TASK.to_owned());
        assert_eq!(drops.due(at(70)), Some(Dropped { unknown: 59, foreign: 59, task, ..Dropped::default() }));
        drops.unknown();
        assert_eq!(drops.due(at(71)), None);
        assert_eq!(drops.rest(), Some(Dropped { unknown: 1, ..Dropped::default() }));
        assert_eq!(drops.rest(), None);
    }

    #[test]
    fn what_is_no_arn_is_counted_and_not_told() {
        let mut drops = Drops::default();
        for task in ["", "x", &format!("{TASK}{}", "x".repeat(LONGEST_ARN))] {
            drops.foreign(task);
        }
        assert_eq!(drops.rest(), Some(Dropped { foreign: 3, ..Dropped::default() }));
    }
}
