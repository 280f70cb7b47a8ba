//! What CreateService and UpdateService are checked for before anything is written.

use longshore_api::ecs;
use longshore_wire::Fault;

use crate::ecs::fault;
use crate::ecs::task::launch::unsupported;

/// Tasks of one service.
const TASKS: i32 = 5000;

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
