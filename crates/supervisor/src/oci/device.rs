//! Devices of a container and who may open them.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::spec::{ContainerSpec, Device};

/// Nodes beside the runtime's own (`null`, `zero`, `full`, `random`, `urandom`, `tty`).
pub fn nodes(container: &ContainerSpec) -> Result<Value> {
    let list: Vec<Value> = container.devices.iter().map(node).collect::<Result<_>>()?;
    Ok(Value::Array(list))
}

/// Rules of the device controller: nothing but what Docker allows and what was asked for.
pub fn rules(container: &ContainerSpec) -> Result<Value> {
    if container.privileged {
        return Ok(json!([{"allow": true, "access": "rwm"}]));
    }
    let mut rules = vec![
        json!({"allow": false, "access": "rwm"}),
        json!({"allow": true, "type": "c", "access": "m"}),
        json!({"allow": true, "type": "b", "access": "m"}),
    ];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm"}));
    }
    rules.push(json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}));
    for device in &container.devices {
        let found = look(device)?;
        let access = if device.permissions.is_empty() { "rwm" } else { device.permissions.as_str() };
        rules.push(json!({
            "allow": true, "type": found.kind, "major": found.major, "minor": found.minor, "access": access,
        }));
    }
    Ok(Value::Array(rules))
}

struct Found {
    kind: &'static str,
    major: u64,
    minor: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

fn node(device: &Device) -> Result<Value> {
    let found = look(device)?;
    let host = device.host_path.to_string_lossy();
    let path = if device.container_path.is_empty() { host.as_ref() } else { device.container_path.as_str() };
    Ok(json!({
        "path": path, "type": found.kind, "major": found.major, "minor": found.minor,
        "fileMode": found.mode, "uid": found.uid, "gid": found.gid,
    }))
}

fn look(device: &Device) -> Result<Found> {
    if !device.permissions.chars().all(|c| "rwm".contains(c)) {
        return Err(Error::Parameter(format!("device permissions {:?} are not of r, w, m", device.permissions)));
    }
    let path = &device.host_path;
    let metadata = std::fs::symlink_metadata(path).map_err(Error::file("look at device", path))?;
    let kind = metadata.file_type();
    let kind = match (kind.is_char_device(), kind.is_block_device()) {
        (true, _) => "c",
        (_, true) => "b",
        _ => {
            return Err(Error::Parameter(format!("{} is not a device", path.display())));
        }
    };
    let (major, minor) = (libc::major(metadata.rdev()).into(), libc::minor(metadata.rdev()).into());
    Ok(Found { kind, major, minor, mode: metadata.mode() & 0o777, uid: metadata.uid(), gid: metadata.gid() })
}
