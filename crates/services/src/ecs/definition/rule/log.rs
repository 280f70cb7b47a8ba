//! Rules for log configurations.

use std::collections::BTreeMap;

use longshore_api::ecs::{self, Compatibility, LogDriver};
use longshore_wire::Fault;

use super::{Draft, invalid};
use crate::ecs::fault;
use crate::ecs::resolve::shown;

/// Options of the awslogs driver.
const AWSLOGS: &[&str] = &[
    "awslogs-create-group",
    "awslogs-credentials-endpoint",
    "awslogs-datetime-format",
    "awslogs-endpoint",
    "awslogs-force-flush-interval-seconds",
    "awslogs-format",
    "awslogs-group",
    "awslogs-multiline-pattern",
    "awslogs-region",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
    "tag",
];

pub fn check(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let Some(log) = &container.log_configuration else {
        return Ok(());
    };
    let empty = BTreeMap::new();
    let options = log.options.as_ref().unwrap_or(&empty);
    if options.iter().any(|(key, value)| key.is_empty() || key.contains('\0') || value.contains('\0')) {
        return Err(invalid(container, "logConfiguration", "An option is not valid."));
    }
    match log.log_driver {
        None => Err(invalid(container, "logConfiguration", "logDriver should not be null.")),
        Some(LogDriver::Awslogs) => check_awslogs(draft, container, options),
        Some(LogDriver::Splunk) => check_splunk(log, options),
        Some(LogDriver::Awsfirelens) => check_router(draft),
        Some(_) => Ok(()),
    }
}

fn check_awslogs(
    draft: &Draft,
    container: &ecs::ContainerDefinition,
    options: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    let mut required = vec!["awslogs-region", "awslogs-group"];
    if draft.requires(Compatibility::Fargate) {
        required.push("awslogs-stream-prefix");
    }
    check_required("awslogs", &required, |name| options.get(name).is_some_and(|value| !value.is_empty()))?;
    let unknown: Vec<String> =
        options.keys().filter(|key| !AWSLOGS.contains(&key.as_str())).map(|key| shown(key)).collect();
    if !unknown.is_empty() {
        return Err(fault::client(format!("Log driver awslogs disallows options: {}", unknown.join(", "))));
    }
    let given = |name: &str| options.get(name).map(String::as_str);
    let both = given("awslogs-datetime-format").is_some() && given("awslogs-multiline-pattern").is_some();
    let create = given("awslogs-create-group").is_none_or(|value| matches!(value, "true" | "false"));
    let mode = given("mode").is_none_or(|value| matches!(value, "blocking" | "non-blocking"));
    let buffer = given("max-buffer-size").is_none_or(is_size);
    match () {
        () if both => Err(invalid(
            container,
            "logConfiguration",
            "awslogs-datetime-format and awslogs-multiline-pattern exclude each other.",
        )),
        () if !create => Err(invalid(container, "logConfiguration", "awslogs-create-group must be true or false.")),
        () if !mode => Err(invalid(container, "logConfiguration", "mode must be blocking or non-blocking.")),
        () if !buffer => Err(invalid(container, "logConfiguration", "max-buffer-size must be a size such as 25m.")),
        () => Ok(()),
    }
}

fn check_splunk(log: &ecs::LogConfiguration, options: &BTreeMap<String, String>) -> Result<(), Fault> {
    let secret = |name: &str| log.secret_options.iter().flatten().any(|secret| secret.name.as_deref() == Some(name));
    check_required("splunk", &["splunk-token", "splunk-url"], |name| options.contains_key(name) || secret(name))
}

/// Logs for FireLens need the one container that routes them.
fn check_router(draft: &Draft) -> Result<(), Fault> {
    match draft.containers().iter().filter(|container| container.firelens_configuration.is_some()).count() {
        1 => Ok(()),
        _ => Err(fault::client(
            "When the awsfirelens log driver is used, exactly one container must have a firelensConfiguration.",
        )),
    }
}

fn check_required(driver: &str, names: &[&str], given: impl Fn(&str) -> bool) -> Result<(), Fault> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !given(name)).collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(fault::client(format!("Log driver {driver} requires options: {}", missing.join(", ")))),
    }
}

/// Digits and at most one of the units that Docker takes: `b`, `k`, `m`, `g`.
fn is_size(text: &str) -> bool {
    let digits = text.trim_end_matches(['b', 'k', 'm', 'g', 'B', 'K', 'M', 'G']);
    let unit = text.len() - digits.len();
    (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) && unit <= 1
}
