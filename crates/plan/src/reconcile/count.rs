//! The numbers that decide a turn.

use longshore_api::ecs::DeploymentRolloutState;
use longshore_model::service::Service;

use crate::rollout::{Bounds, bounds};
use crate::view::{Member, Standing};

/// How many tasks stand how.
pub struct Count {
    pub desired: i64,
    pub bounds: Bounds,
    /// Every live task.
    pub existing: i64,
    pub stopping: i64,
    /// Tasks that are meant to stay, and those of them that are proven.
    pub keeping: i64,
    pub keeping_serving: i64,
    pub leaving_serving: i64,
    /// Tasks beyond the desired ones that may run for a while.
    pub spare: i64,
    /// The primary deployment was given up: it starts nothing more.
    pub given_up: bool,
}

impl Count {
    pub fn of(service: &Service, members: &[Member<'_>]) -> Self {
        let count = |test: &dyn Fn(&Member<'_>) -> bool| members.iter().filter(|member| test(member)).count() as i64;
        Self {
            desired: i64::from(service.desired_count),
            bounds: bounds(service.desired_count, service.api.deployment_configuration.as_ref()),
            existing: members.len() as i64,
            stopping: count(&|member| member.standing == Standing::Stopping),
            keeping: count(&|member| member.keeps()),
            keeping_serving: count(&|member| member.keeps() && member.serving),
            leaving_serving: count(&|member| member.leaves_serving()),
            spare: i64::from(service.rebalancing),
            given_up: service.primary().is_some_and(|primary| primary.rollout == DeploymentRolloutState::Failed),
        }
    }

    /// Tasks that the primary deployment is yet to start.
    pub fn missing(&self) -> i64 {
        if self.given_up { 0 } else { (self.desired - self.keeping).max(0) }
    }

    /// Tasks that keep and are too many.
    pub fn surplus(&self) -> usize {
        (self.keeping - self.desired - self.spare).max(0) as usize
    }

    pub fn room(&self) -> i64 {
        self.bounds.may_start(self.existing)
    }

    pub fn serving(&self) -> i64 {
        self.keeping_serving + self.leaving_serving
    }

    /// Tasks of older deployments that the floor still needs.
    pub fn old_needed(&self) -> i64 {
        (self.bounds.lower - self.keeping_serving).max(0)
    }
}
