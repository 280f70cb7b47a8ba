//! What CreateService and UpdateService are checked for before anything is written.

use longshore_api::ecs;
use longshore_plan::rollout::{MAXIMUM_PERCENT, MINIMUM_HEALTHY_PERCENT};
use longshore_wire::Fault;

use crate::ecs::fault;
use crate::ecs::task::launch::unsupported;

/// Tasks of one service, and target groups of one.
const TASKS: i32 = 5000;
const TARGET_GROUPS: usize = 5;

/// A desired count that a service may have.
pub fn desired_count(count: i32) -> Result<i32, Fault> {
    match count {
        count if count < 0 => Err(fault::invalid_parameter("Desired count cannot be negative.")),
        count if count > TASKS => Err(fault::invalid_parameter(format!("Desired count cannot be more than {TASKS}."))),
        count => Ok(count),
    }
}

pub fn grace_period(seconds: Option<i32>) -> Result<(), Fault> {
    match seconds.is_some_and(|seconds| seconds < 0) {
        true => Err(fault::invalid_parameter("healthCheckGracePeriodSeconds cannot be negative.")),
        false => Ok(()),
    }
}

/// DAEMON is known and contradictions with it are refused in AWS's words; it is not built.
pub fn scheduling(strategy: Option<ecs::SchedulingStrategy>, desired: Option<i32>) -> Result<(), Fault> {
    match strategy {
        Some(ecs::SchedulingStrategy::Daemon) if desired.is_some() => Err(fault::invalid_parameter(
            "The daemon scheduling strategy does not support a desired count for services. Remove a desired count \
             value and try again.",
        )),
        Some(ecs::SchedulingStrategy::Daemon) => Err(unsupported("the DAEMON scheduling strategy")),
        _ => Ok(()),
    }
}

pub fn controller(given: Option<&ecs::DeploymentController>) -> Result<(), Fault> {
    match given.and_then(|given| given.r#type) {
        None | Some(ecs::DeploymentControllerType::Ecs) => Ok(()),
        Some(other) => Err(unsupported(format!("the deployment controller {other}"))),
    }
}

/// Everything about traffic and storage that waits for a later version.
pub struct Extras<'a> {
    pub load_balancers: Option<&'a [ecs::LoadBalancer]>,
    pub service_registries: Option<&'a [ecs::ServiceRegistry]>,
    pub service_connect: Option<&'a ecs::ServiceConnectConfiguration>,
    pub volumes: Option<&'a [ecs::ServiceVolumeConfiguration]>,
    pub lattice: Option<&'a [ecs::VpcLatticeConfiguration]>,
    pub gateways: Option<&'a [ecs::GatewayConnector]>,
}

impl Extras<'_> {
    pub fn check(&self) -> Result<(), Fault> {
        let any = |count: Option<usize>| count.unwrap_or(0) > 0;
        if self.load_balancers.is_some_and(|list| list.len() > TARGET_GROUPS) {
            return Err(fault::too_many("loadBalancers", TARGET_GROUPS));
        }
        let used = [
            (any(self.load_balancers.map(<[_]>::len)), "load balancers of services"),
            (any(self.service_registries.map(<[_]>::len)), "service registries"),
            (self.service_connect.is_some_and(|connect| connect.enabled == Some(true)), "Service Connect"),
            (any(self.volumes.map(<[_]>::len)), "volumeConfigurations"),
            (any(self.lattice.map(<[_]>::len)), "VPC Lattice"),
            (any(self.gateways.map(<[_]>::len)), "gateway connectors"),
        ];
        match used.into_iter().find(|(used, _)| *used) {
            Some((_, what)) => Err(unsupported(what)),
            None => Ok(()),
        }
    }
}

/// The deployment configuration with defaults filled in, over what the service had.
///
/// # Errors
/// `InvalidParameterException` for percentages that make no sense or would block every deployment;
/// `UnsupportedFeatureException` for strategies and guards that are not built.
pub fn deployment_configuration(
    given: Option<&ecs::DeploymentConfiguration>,
    old: Option<&ecs::DeploymentConfiguration>,
) -> Result<ecs::DeploymentConfiguration, Fault> {
    let given = given.cloned().unwrap_or_default();
    unbuilt(&given)?;
    let old = old.cloned().unwrap_or_default();
    let minimum = given.minimum_healthy_percent.or(old.minimum_healthy_percent).unwrap_or(MINIMUM_HEALTHY_PERCENT);
    let maximum = given.maximum_percent.or(old.maximum_percent).unwrap_or(MAXIMUM_PERCENT);
    percentages(minimum, maximum)?;
    Ok(ecs::DeploymentConfiguration {
        deployment_circuit_breaker: given.deployment_circuit_breaker.or(old.deployment_circuit_breaker).or(Some(
            ecs::DeploymentCircuitBreaker {
                enable: Some(false),
                rollback: Some(false),
                ..ecs::DeploymentCircuitBreaker::default()
            },
        )),
        maximum_percent: Some(maximum),
        minimum_healthy_percent: Some(minimum),
        strategy: Some(ecs::DeploymentStrategy::Rolling),
        bake_time_in_minutes: Some(0),
        alarms: given.alarms.or(old.alarms),
        ..ecs::DeploymentConfiguration::default()
    })
}

fn unbuilt(given: &ecs::DeploymentConfiguration) -> Result<(), Fault> {
    let breaker = given.deployment_circuit_breaker.as_ref();
    let strategy = given.strategy.filter(|strategy| *strategy != ecs::DeploymentStrategy::Rolling);
    let used = [
        (strategy.is_some(), "deployment strategies other than ROLLING"),
        (breaker.is_some_and(|breaker| breaker.enable == Some(true)), "the deployment circuit breaker"),
        (given.alarms.as_ref().is_some_and(|alarms| alarms.enable == Some(true)), "deployment alarms"),
        (given.lifecycle_hooks.as_ref().is_some_and(|hooks| !hooks.is_empty()), "deployment lifecycle hooks"),
        (given.bake_time_in_minutes.is_some_and(|minutes| minutes > 0), "bake times"),
        (given.linear_configuration.is_some() || given.canary_configuration.is_some(), "linear and canary deployments"),
        (given.early_success_criteria.is_some(), "early success criteria"),
    ];
    match used.into_iter().find(|(used, _)| *used) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
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
