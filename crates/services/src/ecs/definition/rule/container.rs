//! Rules for one container: name, image, memory, environment, and the small parameters.

use std::net::IpAddr;

use longshore_api::ecs::{self, NetworkMode, ResourceType};
use longshore_wire::Fault;

use super::{Draft, invalid, name, repeated, within};
use crate::ecs::fault;
use crate::ecs::resolve::{NAME_LENGTH, is_name, shown};

/// MiB below which no container runtime starts a process.
const LEAST_MEMORY: i32 = 6;

const ENVIRONMENT_FILES: usize = 10;

pub fn check(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    check_name(container)?;
    check_image(container)?;
    check_memory(draft, container)?;
    check_environment(container)?;
    check_secrets(draft, container)?;
    check_network(draft, container)?;
    check_texts(container)?;
    check_requirements(container)
}

fn check_name(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let name = container.name.as_deref().unwrap_or_default();
    match () {
        () if name.is_empty() => Err(fault::client("Container.name should not be null or empty.")),
        () if name.len() > NAME_LENGTH => {
            Err(fault::client("Container.name should not be longer than 255 characters."))
        }
        () if !is_name(name) => Err(fault::client("Container.name contains invalid characters.")),
        () => Ok(()),
    }
}

fn check_image(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let image = container.image.as_deref().unwrap_or_default();
    let (repository, digest) = image.split_once('@').unwrap_or((image, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:./#".contains(&byte);
    let hex = |digits: &str| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match () {
        () if image.is_empty() => Err(fault::client("Container.image should not be null or empty.")),
        () if repository.len() > NAME_LENGTH => {
            Err(fault::client("Container.image repository should not be longer than 255 characters."))
        }
        () if !repository.bytes().all(plain)
            || !repository.starts_with(|first: char| first.is_ascii_alphanumeric()) =>
        {
            Err(fault::client("Container.image contains invalid characters."))
        }
        () if image.contains('@') && !digest.strip_prefix("sha256:").is_some_and(hex) => {
            Err(fault::client("Container.image digest must be sha256 with 64 hexadecimal digits."))
        }
        () => Ok(()),
    }
}

fn check_memory(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let (hard, soft) = (container.memory, container.memory_reservation);
    if hard.is_none() && soft.is_none() && draft.memory.is_none() {
        return Err(fault::client(format!(
            "Invalid setting for container '{}'. At least one of 'memory' or 'memoryReservation' must be specified.",
            name(container)
        )));
    }
    within(container, "cpu", container.cpu, (0, 196_608))?;
    for (field, value) in [("memory", hard), ("memoryReservation", soft)] {
        within(container, field, value, (LEAST_MEMORY, i32::MAX))?;
    }
    match soft > hard && hard.is_some() {
        true => Err(fault::client(format!(
            "Invalid setting for container '{}'. 'memory' must be greater than or equal to 'memoryReservation'.",
            name(container)
        ))),
        false => Ok(()),
    }
}

fn check_environment(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    for pair in container.environment.iter().flatten() {
        let (name, value) = (pair.name.as_deref().unwrap_or_default(), pair.value.as_deref().unwrap_or_default());
        check_variable(container, name)?;
        if value.contains('\0') {
            return Err(invalid(container, "environment", "A value contains a NUL character."));
        }
    }
    let files = container.environment_files.as_deref().unwrap_or_default();
    if files.len() > ENVIRONMENT_FILES {
        return Err(invalid(container, "environmentFiles", "A container can have at most 10 environment files."));
    }
    let is_file = |file: &ecs::EnvironmentFile| {
        let value = file.value.as_deref().unwrap_or_default();
        value.starts_with("arn:aws:s3:::") && value.ends_with(".env")
    };
    match files.iter().all(is_file) {
        true => Ok(()),
        false => Err(invalid(container, "environmentFiles", "It must be the ARN of an S3 object that ends in .env.")),
    }
}

/// A name that an environment can hold: not empty, no `=`, no control character.
fn check_variable(container: &ecs::ContainerDefinition, name: &str) -> Result<(), Fault> {
    match () {
        () if name.is_empty() => Err(invalid(container, "environment", "A variable name should not be null or empty.")),
        () if name.contains('=') || name.chars().any(char::is_control) => {
            Err(invalid(container, "environment", "A variable name contains invalid characters."))
        }
        () => Ok(()),
    }
}

fn check_secrets(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let secrets = container.secrets.as_deref().unwrap_or_default();
    check_references(draft, container, "secrets", secrets)?;
    for secret in secrets {
        check_variable(container, secret.name.as_deref().unwrap_or_default())?;
    }
    let secret_names = secrets.iter().filter_map(|secret| secret.name.as_deref());
    let variables = container.environment.iter().flatten().filter_map(|pair| pair.name.as_deref());
    let variables: Vec<&str> = variables.collect();
    let shared = secret_names.clone().find(|name| variables.contains(name)).or_else(|| repeated(secret_names));
    match shared {
        None => Ok(()),
        Some(name) => Err(fault::client(format!(
            "The secret name must be unique and not shared with any new or existing environment variables set on the \
             container, such as '{}'.",
            shown(name)
        ))),
    }
}

/// What is read with the execution role when a task starts, for `field`.
pub(super) fn check_references(
    draft: &Draft,
    container: &ecs::ContainerDefinition,
    field: &str,
    secrets: &[ecs::Secret],
) -> Result<(), Fault> {
    if !secrets.is_empty() && draft.api.execution_role_arn.is_none() {
        return Err(fault::client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    let from = secrets.iter().map(|secret| secret.value_from.as_deref().unwrap_or_default());
    match from.into_iter().any(|from| from.is_empty() || from.chars().any(char::is_control)) {
        true => Err(invalid(container, field, "valueFrom should not be null or empty.")),
        false => Ok(()),
    }
}

fn check_network(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let own = draft.network == NetworkMode::Awsvpc;
    let given = [
        ("links", container.links.as_ref().is_some_and(|list| !list.is_empty()), draft.network != NetworkMode::Bridge),
        ("hostname", container.hostname.is_some(), own || draft.network == NetworkMode::Host),
        ("extraHosts", container.extra_hosts.as_ref().is_some_and(|list| !list.is_empty()), own),
        ("disableNetworking", container.disable_networking == Some(true), own),
    ];
    if let Some((field, ..)) = given.iter().find(|(_, given, refused)| *given && *refused) {
        return Err(fault::client(format!(
            "{field} is not supported on container when networkMode={}.",
            draft.network
        )));
    }
    check_hosts(container)
}

/// Host names are of the DNS's alphabet, addresses are IP addresses.
fn check_hosts(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let address = |text: &String| text.parse::<IpAddr>().is_ok();
    if !container.dns_servers.iter().flatten().all(address) {
        return Err(invalid(container, "dnsServers", "It must be a list of IP addresses."));
    }
    let is_host = |text: &str| !text.is_empty() && text.len() <= 255 && text.bytes().all(is_host_byte);
    if !container.dns_search_domains.iter().flatten().all(|domain| is_host(domain)) {
        return Err(invalid(container, "dnsSearchDomains", "It must be a list of domain names."));
    }
    if container.hostname.as_deref().is_some_and(|host| !is_host(host)) {
        return Err(invalid(container, "hostname", ""));
    }
    let entry = |entry: &ecs::HostEntry| {
        is_host(entry.hostname.as_deref().unwrap_or_default()) && entry.ip_address.as_ref().is_some_and(address)
    };
    match container.extra_hosts.iter().flatten().all(entry) {
        true => Ok(()),
        false => Err(invalid(container, "extraHosts", "Each needs a host name and an IP address.")),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// Texts that end up as arguments, paths or labels hold no NUL.
fn check_texts(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let lists = [("command", &container.command), ("entryPoint", &container.entry_point)];
    for (field, list) in lists {
        if list.iter().flatten().any(|text| text.contains('\0')) {
            return Err(invalid(container, field, "It contains a NUL character."));
        }
    }
    for (field, text) in [("user", &container.user), ("workingDirectory", &container.working_directory)] {
        if text.iter().any(|text| text.chars().any(char::is_control)) {
            return Err(invalid(container, field, "It contains a control character."));
        }
    }
    let labels = container.docker_labels.iter().flatten();
    if labels.clone().any(|(key, value)| key.is_empty() || key.contains('\0') || value.contains('\0')) {
        return Err(invalid(container, "dockerLabels", ""));
    }
    let options = container.docker_security_options.iter().flatten();
    let known = |option: &String| {
        option == "no-new-privileges"
            || ["apparmor:", "label:", "credentialspec:"].iter().any(|prefix| option.starts_with(prefix))
    };
    match options.into_iter().all(known) {
        true => Ok(()),
        false => Err(invalid(container, "dockerSecurityOptions", "")),
    }
}

fn check_requirements(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    for requirement in container.resource_requirements.iter().flatten() {
        let value = requirement.value.as_deref().unwrap_or_default();
        let number = value.parse::<u16>().is_ok_and(|count| count > 0);
        if requirement.r#type == Some(ResourceType::Gpu) && !number {
            return Err(invalid(container, "resourceRequirements", "The value of GPU must be a positive number."));
        }
    }
    if container.credential_specs.as_ref().is_some_and(|specs| specs.len() > 1) {
        return Err(invalid(container, "credentialSpecs", "A container can have at most one."));
    }
    check_credentials(container)
}

/// Longest name or ARN of a secret with credentials for a registry.
const LONGEST_CREDENTIALS_PARAMETER: usize = 255;

fn check_credentials(container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let Some(credentials) = &container.repository_credentials else { return Ok(()) };
    let parameter = credentials.credentials_parameter.as_deref().unwrap_or_default();
    let plain = parameter.chars().all(|letter| letter.is_ascii_graphic());
    match plain && (1..=LONGEST_CREDENTIALS_PARAMETER).contains(&parameter.len()) {
        true => Ok(()),
        false => Err(fault::client(format!(
            "The repository credentials parameter specified for container '{}' is invalid. Parameter names can include \
             up to 255 (uppercase and lowercase), numbers, hyphens, and underscores are allowed. Spaces are not allowed.",
            name(container)
        ))),
    }
}
