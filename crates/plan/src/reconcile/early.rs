//! Early success: a deployment that counts as complete before its last task serves.
//!
//! With the criteria enabled it is complete once `healthyPercent` of the desired tasks are its own and serve, the older
//! tasks are gone (unless their cleanup is DEFERRED), and all this held for the bake time. Without them, once the service
//! is steady. The rest goes on as usual afterwards.

use longshore_api::ecs::{DeploymentEarlySuccessCriteria, DeploymentRolloutState, ServiceRevisionCleanup};
use longshore_model::service::Deployment;

use super::Turn;
use super::count::Count;
use crate::after;
use crate::view::Member;

impl Turn<'_> {
    /// Whether the primary deployment, if it is in progress, is complete now.
    pub(super) fn succeeds(&mut self, steady: bool, members: &[Member<'_>], count: &Count) -> bool {
        let in_progress = |primary: &Deployment| primary.rollout == DeploymentRolloutState::InProgress;
        if !self.service.primary().is_some_and(in_progress) {
            return false;
        }
        let configuration = self.service.api.deployment_configuration.as_ref();
        let criteria = configuration.and_then(|given| given.early_success_criteria.as_ref());
        match criteria.filter(|criteria| criteria.enable == Some(true)) {
            None => steady,
            Some(criteria) => {
                let minutes = configuration.and_then(|given| given.bake_time_in_minutes).unwrap_or(0);
                let holds = holds(criteria, members, count);
                self.bakes(holds, minutes)
            }
        }
    }

    /// Whether what `holds` now has held for so many minutes.
    fn bakes(&mut self, holds: bool, minutes: i32) -> bool {
        let now = self.now;
        let known = self.service.primary().and_then(|primary| primary.baking_since);
        let since = holds.then(|| known.unwrap_or(now));
        let over = since.map(|since| after(since, i64::from(minutes) * 60_000));
        let ready = over.is_some_and(|over| over <= now);
        let kept = since.filter(|_| !ready);
        if kept != known
            && let Some(primary) = self.service.to_mut().primary_mut()
        {
            primary.baking_since = kept;
        }
        if let Some(over) = over.filter(|_| !ready) {
            self.plan.wake(over);
        }
        ready
    }
}

/// Whether enough tasks of the primary deployment serve.
fn holds(criteria: &DeploymentEarlySuccessCriteria, members: &[Member<'_>], count: &Count) -> bool {
    let deferred = criteria.source_service_revision_cleanup == Some(ServiceRevisionCleanup::Deferred);
    let cleaned = members.iter().all(|member| member.primary);
    let percent = i64::from(criteria.healthy_percent.unwrap_or(100));
    count.keeping_serving >= (count.desired * percent + 99) / 100 && (deferred || cleaned)
}
