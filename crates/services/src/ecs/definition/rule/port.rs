//! Rules for port mappings.

use longshore_api::ecs::{self, NetworkMode, TransportProtocol};
use longshore_wire::Fault;

use super::{Draft, invalid, repeated};
use crate::ecs::fault;

/// Ports of a container instance that are taken: SSH, Docker, the ECS agent.
const RESERVED: [i32; 6] = [22, 2375, 2376, 51_678, 51_679, 51_680];

const MAPPINGS: usize = 100;

pub fn check(draft: &Draft, container: &ecs::ContainerDefinition) -> Result<(), Fault> {
    let mappings = container.port_mappings.as_deref().unwrap_or_default();
    if draft.network == NetworkMode::None && !mappings.is_empty() {
        return Err(fault::client("Port mappings are not supported when networkMode=none."));
    }
    if mappings.len() > MAPPINGS {
        return Err(invalid(container, "portMappings", "A container can have at most 100."));
    }
    mappings.iter().try_for_each(|mapping| check_one(draft, container, mapping))
}

fn check_one(draft: &Draft, container: &ecs::ContainerDefinition, mapping: &ecs::PortMapping) -> Result<(), Fault> {
    check_name(container, mapping)?;
    if let Some(range) = &mapping.container_port_range {
        let whole = mapping.container_port.is_none() && mapping.host_port.is_none();
        let shared = draft.network == NetworkMode::Host;
        return match span(range) {
            Some(_) if whole && !shared => Ok(()),
            _ => Err(invalid(container, "containerPortRange", "")),
        };
    }
    let Some(port) = mapping.container_port.filter(|port| (1..=65_535).contains(port)) else {
        return Err(invalid(container, "containerPort", ""));
    };
    check_host(draft, container, port, mapping.host_port)
}

/// Where the container has no network of its own on an instance, its port is the host's.
fn check_host(draft: &Draft, container: &ecs::ContainerDefinition, port: i32, host: Option<i32>) -> Result<(), Fault> {
    if host.is_some_and(|host| !(0..=65_535).contains(&host)) {
        return Err(invalid(container, "hostPort", ""));
    }
    let same = matches!(draft.network, NetworkMode::Awsvpc | NetworkMode::Host);
    if same && host.is_some_and(|host| host != 0 && host != port) {
        return Err(fault::client(format!(
            "When networkMode={}, the host ports and container ports in port mappings must match.",
            draft.network
        )));
    }
    let taken = match draft.network {
        NetworkMode::Bridge => host,
        NetworkMode::Host => Some(port),
        _ => None,
    };
    match taken.is_some_and(|host| RESERVED.contains(&host)) {
        true => Err(invalid(container, "hostPort", "The port is reserved.")),
        false => Ok(()),
    }
}

fn check_name(container: &ecs::ContainerDefinition, mapping: &ecs::PortMapping) -> Result<(), Fault> {
    let Some(name) = mapping.name.as_deref() else {
        return match mapping.app_protocol {
            Some(_) => Err(invalid(container, "appProtocol", "It requires a port mapping with a name.")),
            None => Ok(()),
        };
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let good = (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-');
    match good {
        true => Ok(()),
        false => Err(invalid(
            container,
            "portMappings.name",
            "It can have up to 64 lowercase letters, digits, hyphens and underscores, and no hyphen first.",
        )),
    }
}

/// First and last port of `FIRST-LAST`.
fn span(range: &str) -> Option<(i32, i32)> {
    let (first, last) = range.split_once('-')?;
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).map(i32::from);
    let (first, last) = (port(first)?, port(last)?);
    (first < last).then_some((first, last))
}

/// Over the whole task: names are unique, and so is whatever is shared, the task's ports or the host's.
pub fn check_task(draft: &Draft) -> Result<(), Fault> {
    let mappings = || draft.containers().iter().flat_map(|container| container.port_mappings.iter().flatten());
    if let Some(name) = repeated(mappings().filter_map(|mapping| mapping.name.as_deref())) {
        return Err(fault::client(format!("Port mapping names must be unique. '{name}' is used more than once.")));
    }
    let mut taken: Vec<(TransportProtocol, i32, i32)> = Vec::new();
    for container in draft.containers() {
        if draft.network == NetworkMode::Bridge {
            check_overlap(&mut Vec::new(), container, container_ports)?;
            check_overlap(&mut taken, container, host_ports)?;
        } else {
            check_overlap(&mut taken, container, container_ports)?;
        }
    }
    Ok(())
}

type Span = (TransportProtocol, i32, i32);

fn check_overlap(
    taken: &mut Vec<Span>,
    container: &ecs::ContainerDefinition,
    ports: fn(&ecs::PortMapping) -> Option<(i32, i32)>,
) -> Result<(), Fault> {
    for mapping in container.port_mappings.iter().flatten() {
        let Some((first, last)) = ports(mapping) else {
            continue;
        };
        let protocol = mapping.protocol.unwrap_or(TransportProtocol::Tcp);
        if taken.iter().any(|(other, from, to)| *other == protocol && first <= *to && *from <= last) {
            return Err(invalid(
                container,
                "portMappings",
                &format!("Port {first}/{protocol} is mapped more than once."),
            ));
        }
        taken.push((protocol, first, last));
    }
    Ok(())
}

fn container_ports(mapping: &ecs::PortMapping) -> Option<(i32, i32)> {
    let range = mapping.container_port_range.as_deref().and_then(span);
    range.or(mapping.container_port.map(|port| (port, port)))
}

fn host_ports(mapping: &ecs::PortMapping) -> Option<(i32, i32)> {
    mapping.host_port.filter(|port| *port != 0).map(|port| (port, port))
}
