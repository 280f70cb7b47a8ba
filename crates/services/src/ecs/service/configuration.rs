//! The deployment configuration of CreateService and UpdateService.
//!
//! Stored and returned as given; `maximumPercent`, `minimumHealthyPercent`, the circuit breaker and the early success
//! criteria act. Alarms must exist, and as there are none yet, none can be enabled.

use longshore_api::ecs::{self, ThresholdType};
use longshore_plan::rollout::{MAXIMUM_PERCENT, MINIMUM_HEALTHY_PERCENT};
use longshore_wire::Fault;

use crate::ecs::fault;
use crate::ecs::task::launch::unsupported;

/// Longest bake time: a day.
const BAKE_MINUTES: i32 = 1440;

/// The deployment configuration with defaults filled in, over what the service had.
///
/// # Errors
/// `InvalidParameterException` for percentages that make no sense or would block every deployment, for thresholds out of
/// range, for alarms that do not exist and for what goes only with other strategies; `UnsupportedFeatureException` for
/// those strategies.
pub fn read(
    given: Option<&ecs::DeploymentConfiguration>,
    old: Option<&ecs::DeploymentConfiguration>,
) -> Result<ecs::DeploymentConfiguration, Fault> {
    let (given, old) = (given.cloned().unwrap_or_default(), old.cloned().unwrap_or_default());
    of_rolling(&given)?;
    let minimum = given.minimum_healthy_percent.or(old.minimum_healthy_percent).unwrap_or(MINIMUM_HEALTHY_PERCENT);
    let maximum = given.maximum_percent.or(old.maximum_percent).unwrap_or(MAXIMUM_PERCENT);
    let read = ecs::DeploymentConfiguration {
        deployment_circuit_breaker: given
            .deployment_circuit_breaker
            .or(old.deployment_circuit_breaker)
            .or_else(|| Some(no_breaker())),
        maximum_percent: Some(maximum),
        minimum_healthy_percent: Some(minimum),
        strategy: Some(ecs::DeploymentStrategy::Rolling),
        bake_time_in_minutes: given.bake_time_in_minutes.or(old.bake_time_in_minutes).or(Some(0)),
        alarms: given.alarms.or(old.alarms),
        early_success_criteria: given.early_success_criteria.or(old.early_success_criteria),
        ..ecs::DeploymentConfiguration::default()
    };
    percentages(minimum, maximum)?;
    breaker(read.deployment_circuit_breaker.as_ref())?;
    early_success(read.early_success_criteria.as_ref(), minimum)?;
    bake_time(read.bake_time_in_minutes)?;
    Ok(read)
}

fn no_breaker() -> ecs::DeploymentCircuitBreaker {
    let (enable, rollback) = (Some(false), Some(false));
    ecs::DeploymentCircuitBreaker { enable, rollback, ..ecs::DeploymentCircuitBreaker::default() }
}

/// What a rolling deployment has no use for, and what it cannot have yet.
fn of_rolling(given: &ecs::DeploymentConfiguration) -> Result<(), Fault> {
    if given.strategy.is_some_and(|strategy| strategy != ecs::DeploymentStrategy::Rolling) {
        return Err(unsupported("deployment strategies other than ROLLING"));
    }
    let hooks = given.lifecycle_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty());
    let used = [
        (hooks, "lifecycleHooks are"),
        (given.linear_configuration.is_some(), "linearConfiguration is"),
        (given.canary_configuration.is_some(), "canaryConfiguration is"),
    ];
    match used.into_iter().find(|(used, _)| *used) {
        Some((_, what)) => {
            Err(fault::invalid_parameter(format!("{what} not supported with the ROLLING deployment strategy.")))
        }
        None => alarms(given.alarms.as_ref()),
    }
}

/// CloudWatch has no alarms yet, so those that are named do not exist.
fn alarms(given: Option<&ecs::DeploymentAlarms>) -> Result<(), Fault> {
    let Some(given) = given.filter(|given| given.enable == Some(true)) else { return Ok(()) };
    let names = given.alarm_names.as_deref().unwrap_or_default();
    match names.is_empty() {
        true => Err(fault::invalid_parameter("alarmNames cannot be empty when deployment alarms are enabled.")),
        false => {
            let shown: Vec<_> = names.iter().map(|name| crate::ecs::resolve::shown(name)).collect();
            Err(fault::invalid_parameter(format!("The specified alarms do not exist: {}.", shown.join(", "))))
        }
    }
}

fn breaker(given: Option<&ecs::DeploymentCircuitBreaker>) -> Result<(), Fault> {
    let Some(threshold) = given.and_then(|given| given.threshold_configuration.as_ref()) else { return Ok(()) };
    let value = threshold.value.unwrap_or(0);
    match threshold.r#type {
        Some(ThresholdType::Count) if value < 1 => {
            Err(fault::invalid_parameter("The circuit breaker threshold value of type COUNT must be 1 or more."))
        }
        Some(ThresholdType::BoundedPercent | ThresholdType::UnboundedPercent) if !(1..=100).contains(&value) => {
            Err(fault::invalid_parameter("The circuit breaker threshold value must be between 1 and 100 percent."))
        }
        _ => Ok(()),
    }
}

fn early_success(given: Option<&ecs::DeploymentEarlySuccessCriteria>, minimum: i32) -> Result<(), Fault> {
    let Some(given) = given else { return Ok(()) };
    let whole = given.healthy_percent.is_some() && given.source_service_revision_cleanup.is_some();
    if given.enable == Some(true) && !whole {
        return Err(fault::invalid_parameter(
            "healthyPercent and sourceServiceRevisionCleanup must be specified when early success criteria are enabled.",
        ));
    }
    match given.healthy_percent.is_some_and(|percent| percent < minimum) {
        true => Err(fault::invalid_parameter(
            "healthyPercent of the early success criteria cannot be less than minimumHealthyPercent.",
        )),
        false => Ok(()),
    }
}

fn bake_time(minutes: Option<i32>) -> Result<(), Fault> {
    match minutes.is_none_or(|minutes| (0..=BAKE_MINUTES).contains(&minutes)) {
        true => Ok(()),
        false => Err(fault::invalid_parameter(format!("bakeTimeInMinutes must be between 0 and {BAKE_MINUTES}."))),
    }
}

fn percentages(minimum: i32, maximum: i32) -> Result<(), Fault> {
    match () {
        () if !(0..=100).contains(&minimum) => {
            Err(fault::invalid_parameter("minimumHealthyPercent must be between 0 and 100."))
        }
        () if maximum < 100 => Err(fault::invalid_parameter("maximumPercent must be 100 or more.")),
        () if (minimum, maximum) == (100, 100) => Err(fault::invalid_parameter(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        )),
        () => Ok(()),
    }
}
