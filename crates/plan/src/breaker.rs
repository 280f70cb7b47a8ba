//! The deployment circuit breaker: a deployment whose tasks keep failing is given up, and the last one that was complete
//! comes back where that is asked for.
//!
//! ```text
//! count  a task that stops before it ran, while no task of its deployment runs        (report, start)
//!        a running task of the primary that is replaced because of its health         (stop)
//!        back to none when a task gets healthy, unless resetOnHealthyTask is false    (report, tend)
//! trip   the count reaches the threshold while the primary is IN_PROGRESS -> FAILED
//!        with rollback: the last COMPLETED deployment is primary again, IN_PROGRESS, and is not given up again;
//!        without, or without such a deployment: nothing more is started
//! ```
//! A task that ends after it ran, without failing a health check, counts nowhere. The threshold follows the desired count
//! as it is now. Health is that of containers and of target groups. Left out: service discovery and alarms.

use longshore_api::ecs::{self, DeploymentRolloutState, ThresholdType};
use longshore_model::service::{Deployment, Service};
use longshore_model::task::TaskStatus;
use longshore_model::{AccountId, Arn, Place, State};
use longshore_wire::Timestamp;

use crate::view::belongs;

/// Percent of the desired count when nothing is said.
const PERCENT: i32 = 50;

/// Least and most failures of a bounded percentage.
const BOUNDS: (i32, i32) = (3, 200);

/// The reason of a deployment that was given up.
const FAILED: &str = "ECS deployment circuit breaker: tasks failed to start.";

/// Failures at which a deployment of `desired` tasks is given up; at least one.
pub fn threshold(given: Option<&ecs::ThresholdConfiguration>, desired: i32) -> i32 {
    let kind = given.and_then(|given| given.r#type).unwrap_or(ThresholdType::BoundedPercent);
    let value = given.and_then(|given| given.value).unwrap_or(PERCENT);
    let share = (i64::from(value) * i64::from(desired) + 99) / 100;
    let share = i32::try_from(share).unwrap_or(i32::MAX);
    match kind {
        ThresholdType::BoundedPercent => share.clamp(BOUNDS.0, BOUNDS.1),
        ThresholdType::UnboundedPercent => share.max(1),
        ThresholdType::Count => value.max(1),
    }
}

/// Whether the primary deployment is to be given up now.
pub fn has_tripped(service: &Service) -> bool {
    let Some(breaker) = settings(service).filter(|breaker| breaker.enable == Some(true)) else { return false };
    let limit = threshold(breaker.threshold_configuration.as_ref(), service.desired_count);
    service.primary().is_some_and(|primary| is_watched(primary) && primary.failed_tasks >= limit)
}

/// Whether a failed deployment is to be followed by the last complete one.
pub fn rolls_back(service: &Service) -> bool {
    settings(service).is_some_and(|breaker| breaker.rollback == Some(true))
}

/// Count `failures` of a deployment.
pub fn count(deployment: &mut Deployment, failures: i32) {
    deployment.failed_tasks = deployment.failed_tasks.saturating_add(failures);
}

/// A task of the deployment got healthy. Returns whether the count changed.
pub fn forgive(service: &Service, deployment: &mut Deployment) -> bool {
    let kept = settings(service).is_some_and(|breaker| breaker.reset_on_healthy_task == Some(false));
    let forgiven = !kept && deployment.failed_tasks > 0;
    if forgiven {
        deployment.failed_tasks = 0;
    }
    forgiven
}

/// Whether no task of the deployment runs: only then does one that never starts count.
pub fn none_runs(state: &State, service: &Service, deployment: &Deployment) -> bool {
    let key = service.key();
    let mut tasks = state.index.service_tasks(&key).filter_map(|key| state.tasks.get(key));
    !tasks.any(|task| task.last == TaskStatus::Running && belongs(task, deployment))
}

/// Give the primary deployment up. Returns its id.
pub fn fail(service: &mut Service, now: Timestamp) -> Option<String> {
    let primary = service.primary_mut()?;
    primary.rollout = DeploymentRolloutState::Failed;
    primary.rollout_reason = FAILED.to_owned();
    primary.updated_at = now;
    Some(primary.id.clone())
}

/// Make the last complete deployment the primary again. Returns its id, or nothing when there is none, or when its task
/// definition was deleted.
pub fn roll_back(state: &State, service: &mut Service, now: Timestamp) -> Option<String> {
    let mut target = last_completed(service)?.clone();
    state.definitions.get(&service.definition_key(&target))?;
    service.deployments.retain(|deployment| deployment.id != target.id);
    for other in service.deployments.iter_mut().filter(|other| other.primary) {
        other.primary = false;
        other.updated_at = now;
    }
    let id = target.id.clone();
    service.last_completed = Some(Box::new(target.clone()));
    target.primary = true;
    target.rollback = true;
    target.rollout = DeploymentRolloutState::InProgress;
    target.rollout_reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {id}.");
    target.failed_tasks = 0;
    target.baking_since = None;
    target.throttle = Default::default();
    (target.created_at, target.updated_at) = (now, now);
    show(service, &target);
    service.deployments.insert(0, target);
    Some(id)
}

fn settings(service: &Service) -> Option<&ecs::DeploymentCircuitBreaker> {
    service.api.deployment_configuration.as_ref()?.deployment_circuit_breaker.as_ref()
}

/// A deployment is watched until it is complete or was given up; one that is a rollback is not.
fn is_watched(primary: &Deployment) -> bool {
    primary.rollout == DeploymentRolloutState::InProgress && !primary.rollback
}

fn last_completed(service: &Service) -> Option<&Deployment> {
    let is_complete = |deployment: &&Deployment| deployment.rollout == DeploymentRolloutState::Completed;
    service.deployments.iter().find(is_complete).or(service.last_completed.as_deref())
}

/// The service shows what its primary deployment runs.
fn show(service: &mut Service, primary: &Deployment) {
    let region = service.api.service_arn.as_deref().and_then(Arn::parse).map(|arn| arn.region.to_owned());
    let place = region.zip(AccountId::parse(&service.account)).map(|(region, account)| Place::new(&region, &account));
    let api = &mut service.api;
    api.task_definition = place.map(|place| place.task_definition(&primary.family, primary.revision));
    api.network_configuration.clone_from(&primary.network);
    api.load_balancers = Some(primary.load_balancers.clone());
    api.launch_type = primary.launch_type;
    let strategy = &primary.capacity_provider_strategy;
    api.capacity_provider_strategy = (!strategy.is_empty()).then(|| strategy.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_follow_type_and_desired_count() {
        use ThresholdType::{BoundedPercent, Count, UnboundedPercent};
        for (kind, value, desired, wanted) in [
            (None, 0, 1, 3),
            (None, 0, 25, 13),
            (None, 0, 400, 200),
            (None, 0, 800, 200),
            (Some(BoundedPercent), 100, 10, 10),
            (Some(BoundedPercent), 1, 5000, 50),
            (Some(UnboundedPercent), 50, 1, 1),
            (Some(UnboundedPercent), 50, 25, 13),
            (Some(UnboundedPercent), 50, 800, 400),
            (Some(UnboundedPercent), 10, 0, 1),
            (Some(Count), 7, 1, 7),
            (Some(Count), 1, 800, 1),
        ] {
            let given = kind.map(|kind| ecs::ThresholdConfiguration { r#type: Some(kind), value: Some(value) });
            assert_eq!(threshold(given.as_ref(), desired), wanted, "{kind:?} {value} of {desired}");
        }
    }
}
