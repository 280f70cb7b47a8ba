//! `StartImageScan`, and scans that a push starts.

use longshore_api::ecr as api;
use longshore_model::registry::{Image, ImageScan, Repository};
use longshore_model::{Change, State};
use longshore_wire::{Fault, Timestamp};

use super::{content, fault, findings, named, registry};
use crate::Context;

/// Configurations of images that have a file system.
const CONFIGURATIONS: &[&str] =
    &["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Asks for a scan. One that was asked for and is not finished goes on.
///
/// # Errors
/// `RepositoryNotFoundException`, `ImageNotFoundException`, `InvalidParameterException`; `UnsupportedImageTypeException` of an
/// index, and of what is no image of files.
pub fn start(
    context: &mut Context<'_>,
    request: api::StartImageScanRequest,
) -> Result<api::StartImageScanResponse, Fault> {
    let registry = registry(context, request.registry_id.as_deref());
    let name = request.repository_name.unwrap_or_default();
    let id = request.image_id.unwrap_or_default();
    let named = named(&id)?;
    let now = context.now;
    let scan = context.transact(|state, changes, _| {
        let image = content::image(state, &registry, &name, named)?;
        if !is_scannable(image) {
            return Err(fault::unscannable(image));
        }
        let known = state.image_scan(&image.repository, &image.digest);
        if let Some(known) = known.filter(|known| known.is_unfinished()) {
            return Ok(ImageScan::clone(known));
        }
        let scan = ImageScan::pending(&image.repository, &image.digest, now);
        changes.push(scan.clone().into());
        Ok(scan)
    })?;
    Ok(api::StartImageScanResponse {
        registry_id: Some(registry.to_string()),
        repository_name: Some(name),
        image_id: Some(api::ImageIdentifier { image_digest: Some(scan.digest.clone()), image_tag: id.image_tag }),
        image_scan_status: Some(findings::status(&scan)),
    })
}

/// The scan that a push of a new image starts, if the repository, or the registry, has it so.
pub fn on_push(state: &State, repository: &Repository, image: &Image, now: Timestamp) -> Option<Change> {
    let starts = is_scannable(image) && state.scans_on_push(repository);
    starts.then(|| ImageScan::pending(&image.repository, &image.digest, now).into())
}

/// Whether it has layers of files: no index, no artifact.
fn is_scannable(image: &Image) -> bool {
    image.images.is_empty() && image.artifact_type.as_deref().is_some_and(|kind| CONFIGURATIONS.contains(&kind))
}
