//! What external instances (ECS Anywhere) do not take.

use longshore_api::ecs::NetworkMode;

use super::Draft;

/// Why external instances cannot run the definition.
pub fn refusal(draft: &Draft) -> Option<String> {
    let efs = draft.volumes().iter().any(|volume| volume.efs_volume_configuration.is_some());
    let what = match () {
        () if draft.network == NetworkMode::Awsvpc => "networkMode awsvpc",
        () if draft.api.proxy_configuration.is_some() => "proxyConfiguration",
        () if efs => "efsVolumeConfiguration",
        () if draft.api.ephemeral_storage.is_some() => "ephemeralStorage",
        () => return None,
    };
    Some(format!("Tasks using the External launch type do not support {what}."))
}
