//! What Managed Instances do not take.

use longshore_api::ecs::NetworkMode;

use super::Draft;

/// Why managed instances cannot run the definition.
pub fn refusal(draft: &Draft) -> Option<String> {
    let text = match () {
        () if !matches!(draft.network, NetworkMode::Awsvpc | NetworkMode::Host) => {
            "Managed Instances only support the network modes awsvpc and host."
        }
        () if draft.cpu.is_none() => "Managed Instances require that 'cpu' be defined at the task level.",
        () if draft.memory.is_none() => "Managed Instances require that 'memory' be defined at the task level.",
        () => return None,
    };
    Some(text.to_owned())
}
