//! Rules for health checks, restart policies and timeouts.

use longshore_api::ecs::{self, Compatibility};
use longshore_wire::Fault;

use super::{Draft, invalid, within};

/// Exit codes that a restart policy may ignore.
const IGNORED: usize = 50;

pub fn check(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    check_health(container)?;
    check_restart(container)?;
    // EC2 has no upper bound of its own; a day is beyond any use.
    let bounds = match draft.requires(Compatibility::Fargate) {
        true => (2, 120),
        false => (1, 86_400),
    };
    within(container, "startTimeout", container.start_timeout, bounds)?;
    within(container, "stopTimeout", container.stop_timeout, bounds)
}

fn check_health(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let Some(check) = &container.health_check else {
        return Ok(());
    };
    let command = check.command.as_deref().unwrap_or_default();
    let form = match command.first().map(String::as_str) {
        Some("CMD") => command.len() >= 2,
        Some("CMD-SHELL") => command.len() == 2,
        _ => false,
    };
    if !form || command.iter().any(|text| text.contains('\0')) {
        return Err(invalid(container, "healthCheck", "The command must start with CMD or CMD-SHELL."));
    }
    within(container, "healthCheck.interval", check.interval, (5, 300))?;
    within(container, "healthCheck.timeout", check.timeout, (2, 60))?;
    within(container, "healthCheck.retries", check.retries, (1, 10))?;
    within(container, "healthCheck.startPeriod", check.start_period, (0, 300))
}

fn check_restart(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let Some(policy) = &container.restart_policy else {
        return Ok(());
    };
    let codes = policy.ignored_exit_codes.as_deref().unwrap_or_default();
    if policy.enabled != Some(true) && (!codes.is_empty() || policy.restart_attempt_period.is_some()) {
        return Err(invalid(container, "restartPolicy", "Its other members require that it be enabled."));
    }
    if codes.len() > IGNORED {
        return Err(invalid(container, "restartPolicy.ignoredExitCodes", "It can have at most 50 items."));
    }
    for code in codes {
        within(container, "restartPolicy.ignoredExitCodes", Some(*code), (0, 255))?;
    }
    within(container, "restartPolicy.restartAttemptPeriod", policy.restart_attempt_period, (60, 1800))
}
