//! What carries out a task, behind one pair of traits: real containers, or the lifecycle alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use longshore_link::acs;
use longshore_link::phase::{LAUNCHES, Phase};
use longshore_supervisor::protocol::TaskStatus;

use super::link::LinkError;
use crate::translate::Failure;

/// What was learnt while the images of a task were brought. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Pulled {
    pub(crate) started_at: Option<u64>,
    pub(crate) stopped_at: Option<u64>,
    /// Image digest by container name.
    pub(crate) digests: BTreeMap<String, String>,
}

/// Waits for `work` and notes how long a launch spent in it; work that fails is no part of a launch.
pub(crate) async fn timed<T, E>(phase: Phase, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let began = std::time::Instant::now();
    let done = work.await;
    if done.is_ok() {
        LAUNCHES.note(phase, began.elapsed());
    }
    done
}

/// Brings tasks to life. A task is put on `record` before its order is acknowledged. It then goes `prepare` (may take
/// long, may be dropped at any point) → `start` (short, always awaited) → [`Running`]; whatever of it failed or was dropped
/// is followed by `abandon`.
pub(crate) trait Runner: Send + Sync + 'static {
    type Prepared: Send;
    type Running: Running;

    /// Whether a task that was acknowledged and of which there is no trace may begin again: only where nothing runs.
    const REPEATABLE: bool;

    /// Makes sure that a task is found again by the next agent, should this one die the moment after.
    fn record(&self, task: &acs::Task) -> std::io::Result<()>;

    fn prepare(&self, task: Arc<acs::Task>) -> impl Future<Output = Result<(Self::Prepared, Pulled), Failure>> + Send;

    fn start(
        &self,
        task: Arc<acs::Task>,
        prepared: Self::Prepared,
    ) -> impl Future<Output = Result<Self::Running, Failure>> + Send;

    /// Ends what there is of a task that led to nothing, and gives back everything that it has taken.
    fn abandon(&self, task: &acs::Task) -> impl Future<Output = ()> + Send;
}

/// A task that has been started. Its last state is kept until `release`.
pub(crate) trait Running: Send {
    /// The state of now.
    fn status(&self) -> TaskStatus;

    /// Waits until the state differs from the one last returned here or by `status`. May be dropped at any point.
    fn changed(&mut self) -> impl Future<Output = ()> + Send;

    /// Follows `changed` and is always awaited: finds the task again, or its end, if contact with it was lost.
    fn recover(&mut self) -> impl Future<Output = ()> + Send;

    /// Asks the task to stop; once that has gone well it comes to its last state in time. Always awaited.
    fn stop(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// The task has stopped: gives back its address.
    fn vacate(&mut self) -> impl Future<Output = ()> + Send;

    /// The last state is safe with the control plane: forgets the task.
    fn release(self) -> impl Future<Output = ()> + Send;
}
