//! How far a task is, in the words of ECS, and which of it the control plane is told.
//!
//! ```text
//!   Preparing ──► Activating ──► Running ──► Stopping ──► Deprovisioning ──► Stopped
//!    images,       containers     every       containers    last lines of
//!    interface     wait for       essential   end           the logs,
//!                  each other     one ran                   interface goes
//! ```
//!
//! RUNNING and STOPPED are always told. A stage between is told only when it lasts: most tasks are through it before
//! anybody could look, and each report is a transaction of the control plane. Left out: PROVISIONING, PENDING and
//! DEACTIVATING, which are the control plane's own.

use std::time::Duration;

use longshore_supervisor::protocol::{TaskPhase, TaskStatus};
use tokio::time::{Instant, sleep_until};

/// A stage that lasts this long is told.
pub(super) const LASTING: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The images and the network are being brought.
    Preparing,
    /// Containers start, or wait for each other.
    Activating,
    Running,
    /// Containers end.
    Stopping,
    /// No container is left; the last lines of the logs are on their way, and the interface goes.
    Deprovisioning,
}

impl Stage {
    /// The stage of a task that has been started. One that has stopped still has its interface.
    pub(super) fn of(status: &TaskStatus) -> Self {
        match status.phase {
            TaskPhase::Activating => Self::Activating,
            TaskPhase::Running => Self::Running,
            TaskPhase::Stopping if status.execution_stopped_at.is_none() => Self::Stopping,
            TaskPhase::Stopping | TaskPhase::Stopped => Self::Deprovisioning,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Preparing | Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
        }
    }
}

/// The stage of a task, and whether it was told. Goes forward only.
#[derive(Debug)]
pub(super) struct Progress {
    stage: Stage,
    since: Instant,
    told: bool,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self { stage: Stage::Preparing, since: now, told: false }
    }

    pub(super) fn enter(&mut self, stage: Stage, now: Instant) {
        if stage > self.stage {
            *self = Self { stage, since: now, told: false };
        }
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// The stage needs not be told (again).
    pub(super) fn settle(&mut self) {
        self.told = true;
    }

    /// When the stage is to be told, unless it is over by then.
    fn due(&self) -> Option<Instant> {
        (!self.told && self.stage != Stage::Running).then(|| self.since + LASTING)
    }

    /// Waits until the stage is to be told. May be dropped at any point.
    pub(super) async fn lasts(&self) {
        match self.due() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_told_once_when_it_lasts_and_never_after_the_next() {
        let begun = Instant::now();
        let at = |milliseconds: u64| begun + Duration::from_millis(milliseconds);
        let mut progress = Progress::new(begun);
        assert_eq!(progress.due(), Some(at(100)));
        progress.enter(Stage::Activating, at(50));
        assert_eq!(progress.due(), Some(at(150)), "each stage has its own time");
        progress.enter(Stage::Activating, at(120));
        assert_eq!(progress.due(), Some(at(150)), "to be in it still is no new stage");
        progress.settle();
        assert_eq!(progress.due(), None);
        progress.enter(Stage::Running, at(200));
        assert_eq!(progress.due(), None, "RUNNING does not wait");
        progress.enter(Stage::Deprovisioning, at(300));
        progress.enter(Stage::Stopping, at(310));
        assert_eq!((progress.stage(), progress.due()), (Stage::Deprovisioning, Some(at(400))), "forward only");
    }
}
