//! Rules for log configurations.
//!
//! An option may have its value from a secret (`secretOptions`): its name counts like any other's. What the value says is
//! known when a task starts.

use std::collections::BTreeMap;

use longshore_api::ecs::{self, Compatibility, LogDriver};
use longshore_wire::Fault;

use super::container::check_references;
use super::{Draft, invalid, repeated};
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
    let secret = check_secret_options(draft, container, log, options)?;
    let given = Given { options, secret };
    match log.log_driver {
        None => Err(invalid(container, "logConfiguration", "logDriver should not be null.")),
        Some(LogDriver::Awslogs) => check_awslogs(draft, container, &given),
        Some(LogDriver::Splunk) => check_required("splunk", &["splunk-token", "splunk-url"], |name| given.has(name)),
        Some(LogDriver::Awsfirelens) => check_router(draft),
        Some(_) => Ok(()),
    }
}

/// The options of a configuration.
struct Given<'a> {
    options: &'a BTreeMap<String, String>,
    /// Names of those that have their value from a secret.
    secret: Vec<&'a str>,
}

impl<'a> Given<'a> {
    fn names(&self) -> impl Iterator<Item = &'a str> {
        self.options.keys().map(String::as_str).chain(self.secret.iter().copied())
    }

    fn has(&self, name: &str) -> bool {
        self.names().any(|given| given == name)
    }
}

/// The names of the options that are read when a task starts.
fn check_secret_options<'a>(
    draft: &Draft,
    container: &ecs::ContainerDefinition,
    log: &'a ecs::LogConfiguration,
    options: &BTreeMap<String, String>,
) -> Result<Vec<&'a str>, Fault> {
    let secrets = log.secret_options.as_deref().unwrap_or_default();
    check_references(draft, container, "secretOptions", secrets)?;
    let names: Vec<&str> = secrets.iter().map(|secret| secret.name.as_deref().unwrap_or_default()).collect();
    let odd = names.iter().any(|name| name.is_empty() || name.contains('\0'));
    let twice = names.iter().any(|name| options.contains_key(*name)) || repeated(names.iter()).is_some();
    match () {
        () if odd => Err(invalid(container, "secretOptions", "An option is not valid.")),
        () if twice => Err(invalid(container, "secretOptions", "An option is given more than once.")),
        () => Ok(names),
    }
}

fn check_awslogs(draft: &Draft, container: &ecs::ContainerDefinition, all: &Given<'_>) -> Result<(), Fault> {
    let options = all.options;
    let mut required = vec!["awslogs-region", "awslogs-group"];
    if draft.requires(Compatibility::Fargate) {
        required.push("awslogs-stream-prefix");
    }
    check_required("awslogs", &required, |name| {
        all.has(name) && options.get(name).is_none_or(|value| !value.is_empty())
    })?;
    let unknown: Vec<String> = all.names().filter(|key| !AWSLOGS.contains(key)).map(shown).collect();
    if !unknown.is_empty() {
        return Err(fault::client(format!("Log driver awslogs disallows options: {}", unknown.join(", "))));
    }
    let given = |name: &str| options.get(name).map(String::as_str);
    let both = all.has("awslogs-datetime-format") && all.has("awslogs-multiline-pattern");
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
