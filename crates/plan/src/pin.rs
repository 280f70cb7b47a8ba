//! Version consistency: all tasks of a deployment run the same images.
//!
//! The first task of a deployment is ordered by tag; the digests its node reports are kept with the deployment, and every
//! task made later is ordered by them. A container whose definition says `versionConsistency: disabled`, or names its
//! image by digest, is left alone. Tasks made before the first report may run what the tag led to then.

use longshore_api::ecs::{ContainerDefinition, VersionConsistency};
use longshore_model::State;
use longshore_model::service::{Deployment, Pin};
use longshore_model::task::Task;

/// Keep what the containers of `task` run, where their deployment does not know it yet. Returns whether it learnt
/// anything.
pub fn learn(state: &State, deployment: &mut Deployment, task: &Task) -> bool {
    let known = deployment.pins.len();
    let definition = state.definition_of(task);
    for container in definition.iter().flat_map(|definition| definition.containers()).filter(|one| is_consistent(one)) {
        let name = container.name.as_deref().unwrap_or_default();
        let reported = task.containers.iter().find(|one| one.name == name);
        let digest = reported.and_then(|reported| reported.image_digest.clone());
        if let Some(digest) = digest.filter(|_| deployment.pin(name).is_none()) {
            deployment.pins.push(Pin { container: name.to_owned(), digest });
        }
    }
    deployment.pins.len() > known
}

/// Whether the container's image is to stay what it was for the first task.
fn is_consistent(container: &ContainerDefinition) -> bool {
    let by_digest = container.image.as_deref().is_some_and(|image| image.contains('@'));
    container.version_consistency != Some(VersionConsistency::Disabled) && !by_digest
}
