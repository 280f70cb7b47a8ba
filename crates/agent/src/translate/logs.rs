//! The log configuration of a container.

use std::collections::BTreeMap;

use longshore_link::{acs, docker};
use longshore_supervisor::spec::{AwsLogs, LogConfig, LogMode};

use super::Failure;

/// Reads Docker's `LogConfig`. The stream of `awslogs` is `prefix/container/task id`, and without a prefix the
/// container's runtime id, as with Docker's own driver.
///
/// # Errors
/// For a driver that this node does not have, and for options it cannot read. Values are not quoted: they may be secret.
pub(super) fn config(
    log: &docker::LogConfig,
    container: &str,
    task_id: &str,
    runtime_id: &str,
    region: &str,
) -> Result<LogConfig, Failure> {
    match log.kind.as_str() {
        "" | "none" => Ok(LogConfig::None),
        "json-file" => Ok(LogConfig::JsonFile),
        "awslogs" => awslogs(&log.config, container, task_id, runtime_id, region).map(LogConfig::Awslogs),
        other => Err(Failure::container(container, format!("the log driver {other} is not supported by this node"))),
    }
}

fn awslogs(
    options: &BTreeMap<String, String>,
    container: &str,
    task_id: &str,
    runtime_id: &str,
    region: &str,
) -> Result<AwsLogs, Failure> {
    let get = |name: &str| options.get(name).filter(|value| !value.is_empty()).cloned();
    let fail = |what: String| Failure::container(container, format!("failed to initialize logging driver: {what}"));
    let stream = match (get("awslogs-stream"), get("awslogs-stream-prefix")) {
        (Some(stream), _) => stream,
        (None, Some(prefix)) => format!("{prefix}/{container}/{task_id}"),
        (None, None) => runtime_id.to_owned(),
    };
    let create_group = get("awslogs-create-group").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(AwsLogs {
        group: get("awslogs-group").ok_or_else(|| fail("must specify a value for awslogs-group".to_owned()))?,
        region: get("awslogs-region").unwrap_or_else(|| region.to_owned()),
        stream,
        create_group,
        datetime_format: get("awslogs-datetime-format"),
        multiline_pattern: get("awslogs-multiline-pattern"),
        mode: mode(get("mode").as_deref()).map_err(fail)?,
        max_buffer_bytes: get("max-buffer-size").map(|text| bytes(&text).map_err(fail)).transpose()?,
    })
}

/// Adds options to the driver's of a container.
///
/// # Errors
/// If its configuration does not read.
pub(super) fn add_options(container: &mut acs::Container, options: &BTreeMap<String, String>) -> Result<(), Failure> {
    let text = container.docker_config.host_config.as_deref().unwrap_or("{}");
    let read = serde_json::from_str::<docker::HostConfig>(text);
    let fail = |_| Failure::container(&container.name, "the order's Docker host config does not read");
    let mut host = read.map_err(fail)?;
    host.log_config.config.extend(options.clone());
    container.docker_config.host_config = Some(serde_json::to_string(&host).map_err(fail)?);
    Ok(())
}

fn mode(text: Option<&str>) -> Result<LogMode, String> {
    match text {
        None | Some("non-blocking") => Ok(LogMode::NonBlocking),
        Some("blocking") => Ok(LogMode::Blocking),
        Some(_) => Err("the logger mode is neither blocking nor non-blocking".to_owned()),
    }
}

/// A size as Docker writes it: digits, then an optional unit of 1024s (`25m`, `1 GiB`, `512kb`).
fn bytes(text: &str) -> Result<u64, String> {
    let invalid = || "invalid max-buffer-size".to_owned();
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(invalid()),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number.checked_mul(factor).filter(|size| *size > 0).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(kind: &str, options: &[(&str, &str)]) -> Result<LogConfig, Failure> {
        let config = options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        config_of(docker::LogConfig { kind: kind.to_owned(), config })
    }

    fn config_of(log: docker::LogConfig) -> Result<LogConfig, Failure> {
        config(&log, "web", "0123", "0123-1", "us-east-1")
    }

    fn stream(options: &[(&str, &str)]) -> AwsLogs {
        match log("awslogs", options).unwrap() {
            LogConfig::Awslogs(awslogs) => awslogs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn streams_are_named_by_prefix_container_and_task() {
        assert_eq!(stream(&[("awslogs-group", "/g"), ("awslogs-stream-prefix", "ecs")]).stream, "ecs/web/0123");
        let bare = stream(&[("awslogs-group", "/g")]);
        assert_eq!(
            (bare.stream.as_str(), bare.region.as_str(), bare.mode),
            ("0123-1", "us-east-1", LogMode::NonBlocking)
        );
    }

    #[test]
    fn options_are_added_to_those_of_the_order() {
        let config = BTreeMap::from([("awslogs-group".to_owned(), "/g".to_owned())]);
        let log_config = docker::LogConfig { kind: "awslogs".to_owned(), config };
        let host = docker::HostConfig { log_config, readonly_rootfs: true, ..docker::HostConfig::default() };
        let mut container = acs::Container::default();
        container.docker_config.host_config = serde_json::to_string(&host).ok();
        let options = BTreeMap::from([("mode".to_owned(), "blocking".to_owned())]);
        add_options(&mut container, &options).unwrap();
        let found: docker::HostConfig =
            serde_json::from_str(container.docker_config.host_config.as_deref().unwrap()).unwrap();
        assert!(found.readonly_rootfs);
        let LogConfig::Awslogs(logs) = config_of(found.log_config).unwrap() else { panic!("not awslogs") };
        assert_eq!((logs.group.as_str(), logs.mode), ("/g", LogMode::Blocking));
        let secret = BTreeMap::from([("mode".to_owned(), "planted".to_owned())]);
        add_options(&mut container, &secret).unwrap();
        let found: docker::HostConfig =
            serde_json::from_str(container.docker_config.host_config.as_deref().unwrap()).unwrap();
        assert!(!config_of(found.log_config).unwrap_err().reason.contains("planted"));
        container.docker_config.host_config = Some("planted".to_owned());
        assert!(!add_options(&mut container, &options).unwrap_err().reason.contains("planted"));
    }

    #[test]
    fn every_option_is_read() {
        let all = stream(&[
            ("awslogs-group", "/g"),
            ("awslogs-region", "eu-west-1"),
            ("awslogs-create-group", "True"),
            ("awslogs-datetime-format", "%Y"),
            ("awslogs-multiline-pattern", "^x"),
            ("mode", "blocking"),
            ("max-buffer-size", "25m"),
        ]);
        assert_eq!(all.max_buffer_bytes, Some(25 << 20));
        assert_eq!((all.mode, all.create_group, all.region.as_str()), (LogMode::Blocking, true, "eu-west-1"));
        assert_eq!((all.datetime_format.as_deref(), all.multiline_pattern.as_deref()), (Some("%Y"), Some("^x")));
    }

    #[test]
    fn what_cannot_be_honoured_fails_the_container() {
        assert!(log("awslogs", &[]).unwrap_err().reason.contains("awslogs-group"));
        assert!(log("splunk", &[]).unwrap_err().reason.contains("log driver splunk is not supported"));
        for bad in ["", "m", "0", "-1m", "99999999999999999999", "18446744073709551615g", "1x"] {
            let outcome = log("awslogs", &[("awslogs-group", "/g"), ("max-buffer-size", bad)]);
            assert_eq!(outcome.is_ok(), bad.is_empty(), "{bad}");
        }
        assert!(log("awslogs", &[("awslogs-group", "/g"), ("mode", "fast")]).is_err());
    }
}
