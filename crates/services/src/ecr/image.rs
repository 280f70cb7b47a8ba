//! Images through the API.

use std::sync::Arc;

use bytes::Bytes;
use longshore_api::ecr as api;
use longshore_api::ecr::ImageFailureCode as Code;
use longshore_api::ecr::fault as def;
use longshore_model::State;
use longshore_model::registry::{Digest, Image, content_key};
use longshore_store::blobs::{Blobs, Error};
use longshore_wire::Fault;

use super::content::{self, Deleted, MANIFEST, Named, Push};
use super::find::{List, Which};
use super::{fault, scan};
use crate::Context;

/// What is refused because the repository's key cannot be used is told of each image.
const KMS: &str = def::KMS_EXCEPTION.name;

/// Bytes of the manifests of one answer.
const MOST_BYTES: usize = 32 * 1024 * 1024;

pub fn put(context: &mut Context<'_>, request: api::PutImageRequest) -> Result<api::PutImageResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let bytes = Bytes::from(request.image_manifest.unwrap_or_default());
    let tag = request.image_tag.filter(|tag| !tag.is_empty());
    let wanted = request.image_digest.as_deref().map(digest).transpose()?;
    let tags: Vec<&str> = tag.as_deref().into_iter().collect();
    let pushed = content::put_image(
        context,
        &Push {
            registry: &which.registry,
            repository: &which.name,
            bytes: &bytes,
            media_type: request.image_manifest_media_type.as_deref(),
            digest: wanted.as_ref(),
            tags: &tags,
            looked_at: None,
        },
    )?;
    let digest = pushed.image.digest.clone();
    if !pushed.is_change() {
        return Err(fault::same_image(&which.registry, &which.name, &digest, tag.as_deref()));
    }
    let text = String::from_utf8(bytes.into()).map_err(|_| Fault::internal())?;
    let image = shown(&which, identifier(digest, tag), text, pushed.image.media_type);
    Ok(api::PutImageResponse { image: Some(image) })
}

/// # Errors
/// `InvalidParameterException`
pub fn digest(text: &str) -> Result<Digest, Fault> {
    Digest::parse(text).map_err(|why| fault::parameter("imageDigest", why.to_string()))
}

pub fn identifier(digest: String, tag: Option<String>) -> api::ImageIdentifier {
    api::ImageIdentifier { image_digest: Some(digest), image_tag: tag }
}

fn shown(which: &Which, id: api::ImageIdentifier, manifest: String, media_type: String) -> api::Image {
    api::Image {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        image_id: Some(id),
        image_manifest: Some(manifest),
        image_manifest_media_type: Some(media_type),
    }
}

fn failure(id: &api::ImageIdentifier, code: Code, reason: impl Into<String>) -> api::ImageFailure {
    api::ImageFailure { image_id: Some(id.clone()), failure_code: Some(code), failure_reason: Some(reason.into()) }
}

pub fn get(context: &mut Context<'_>, request: api::BatchGetImageRequest) -> Result<api::BatchGetImageResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let accepted = request.accepted_media_types.unwrap_or_default();
    let (mut images, mut failures, mut pulled) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = MOST_BYTES;
    let blobs = match content::bytes(context, &which.registry, &which.name) {
        Err(fault) if fault.name != KMS => return Err(fault),
        blobs => blobs,
    };
    for id in request.image_ids.unwrap_or_default() {
        let found = match find(context, &which, &id)? {
            Ok(found) if accepted.is_empty() || accepted.contains(&found.media_type) => found,
            Ok(found) => {
                let reason = format!("The image is {}, which is not accepted", found.media_type);
                failures.push(failure(&id, Code::ImageNotFound, reason));
                continue;
            }
            Err(refused) => {
                failures.push(refused);
                continue;
            }
        };
        let text = match &blobs {
            Ok(blobs) => manifest(blobs, &found)?,
            Err(fault) => {
                failures.push(failure(&id, Code::KmsError, fault.message.clone()));
                continue;
            }
        };
        left =
            left.checked_sub(text.len()).ok_or_else(|| fault::limit("The manifests are too large for one answer."))?;
        images.push(shown(&which, identifier(found.digest.clone(), id.image_tag), text, found.media_type.clone()));
        pulled.push(found);
    }
    content::note_pull(context, &pulled);
    Ok(api::BatchGetImageResponse { images: Some(images), failures: Some(failures) })
}

/// The image that an identifier of a batch names, or why there is none.
fn find(
    context: &mut Context<'_>,
    which: &Which,
    id: &api::ImageIdentifier,
) -> Result<Result<Arc<Image>, api::ImageFailure>, Fault> {
    let named = Named::of(id);
    let repository = which.read(context)?;
    if named.digest.is_none() && named.tag.is_none() {
        let reason = "Invalid request parameters: both tag and digest cannot be null";
        return Ok(Err(failure(id, Code::MissingDigestAndTag, reason)));
    }
    if named.digest.is_some_and(|digest| Digest::parse(digest).is_err()) {
        let reason =
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
        return Ok(Err(failure(id, Code::InvalidImageDigest, reason)));
    }
    let found = content::find_image(&context.read(), &repository.id, named).cloned();
    Ok(found.ok_or_else(|| failure(id, Code::ImageNotFound, "Requested image not found")))
}

/// A manifest's bytes, as they were pushed.
fn manifest(blobs: &Blobs, image: &Image) -> Result<String, Fault> {
    let digest = digest(&image.digest)?;
    let bytes = blobs.read(&digest, MANIFEST as u64).map_err(|error| fault::bytes(&error))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Fault::internal())
}

pub fn delete(
    context: &mut Context<'_>,
    request: api::BatchDeleteImageRequest,
) -> Result<api::BatchDeleteImageResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let (mut image_ids, mut failures) = (Vec::new(), Vec::new());
    for id in request.image_ids.unwrap_or_default() {
        match content::delete_image(context, &which.registry, &which.name, Named::of(&id))? {
            Deleted::Done { digest, tags } if tags.is_empty() => image_ids.push(identifier(digest, None)),
            Deleted::Done { digest, tags } => {
                image_ids.extend(tags.into_iter().map(|tag| identifier(digest.clone(), Some(tag))));
            }
            Deleted::Refused { code, reason } => failures.push(failure(&id, code, reason)),
        }
    }
    Ok(api::BatchDeleteImageResponse { image_ids: Some(image_ids), failures: Some(failures) })
}

/// Whether an image is one of those that a filter is for. None here is archived.
fn is_meant(tags: usize, status: Option<api::TagStatus>, image: Option<api::ImageStatusFilter>) -> bool {
    let tagged = match status {
        Some(api::TagStatus::Tagged) => tags > 0,
        Some(api::TagStatus::Untagged) => tags == 0,
        _ => true,
    };
    tagged && matches!(image, None | Some(api::ImageStatusFilter::Active | api::ImageStatusFilter::Any))
}

pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeImagesRequest,
) -> Result<api::DescribeImagesResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let filter = request.filter.unwrap_or_default();
    let repository = which.read(context)?;
    let ids = request.image_ids.unwrap_or_default();
    let meant = |state: &State, image: &Image| {
        is_meant(state.index.registry.tags(&image.key()).len(), filter.tag_status, filter.image_status)
    };
    if !ids.is_empty() {
        let state = context.read();
        let found = ids.iter().map(|id| content::image(&state, &which.registry, &which.name, Named::of(id)));
        let found = found.collect::<Result<Vec<_>, Fault>>()?;
        let found = found.into_iter().filter(|image| meant(&state, image));
        let details = found.map(|image| detail(&state, &which, image)).collect();
        return Ok(api::DescribeImagesResponse { image_details: Some(details), next_token: None });
    }
    let parameters = format!("{} {filter:?}", repository.id);
    let list = List { operation: "DescribeImages", filter: &parameters };
    let page = list.page(context, request.next_token.as_deref(), request.max_results)?;
    let state = context.read();
    let prefix = content_key(&repository.id, "");
    let rows = state.images.scan_after(&prefix, page.after());
    let rows = rows.filter(|(_, image)| meant(&state, image));
    let rows = rows.map(|(key, image)| (key.to_string(), detail(&state, &which, image)));
    let (details, next_token) = list.take(context, &page, rows);
    Ok(api::DescribeImagesResponse { image_details: Some(details), next_token })
}

fn detail(state: &State, which: &Which, image: &Image) -> api::ImageDetail {
    let tags: Vec<String> = state.index.registry.tags(&image.key()).cloned().collect();
    let scan = state.image_scan(&image.repository, &image.digest);
    api::ImageDetail {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        image_digest: Some(image.digest.clone()),
        image_tags: (!tags.is_empty()).then_some(tags),
        image_size_in_bytes: Some(image.size),
        image_pushed_at: Some(image.pushed_at),
        image_scan_status: scan.map(|scan| scan::status(scan)),
        image_scan_findings_summary: scan.and_then(|scan| scan::summary(scan)),
        image_manifest_media_type: Some(image.media_type.clone()),
        artifact_media_type: image.artifact_type.clone(),
        last_recorded_pull_time: image.pulled_at,
        subject_manifest_digest: image.subject.clone(),
        image_status: Some(api::ImageStatus::Active),
        ..Default::default()
    }
}

/// Every pair of a digest and a tag; untagged images by their digest.
pub fn list(context: &mut Context<'_>, request: api::ListImagesRequest) -> Result<api::ListImagesResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let filter = request.filter.unwrap_or_default();
    let repository = which.read(context)?;
    let parameters = format!("{} {filter:?}", repository.id);
    let list = List { operation: "ListImages", filter: &parameters };
    let page = list.page(context, request.next_token.as_deref(), request.max_results)?;
    let prefix = content_key(&repository.id, "");
    let state = context.read();
    let after = page.after().and_then(|position| position.split_once(' '));
    let rest = after.and_then(|(digest, tag)| Some((state.image(&repository.id, digest)?, tag)));
    let rest = rest.into_iter().flat_map(|(image, last)| {
        pairs(&state, image).filter(move |(tag, _)| tag.as_deref().is_some_and(|tag| tag > last))
    });
    let after = after.map(|(digest, _)| content_key(&repository.id, digest));
    let images = state.images.scan_after(&prefix, after.as_deref()).map(|(_, image)| image);
    let pairs = rest.chain(images.flat_map(|image| pairs(&state, image)));
    let meant = |tag: &Option<String>| is_meant(usize::from(tag.is_some()), filter.tag_status, filter.image_status);
    let rows = pairs.filter(|(tag, _)| meant(tag)).map(|(tag, digest)| {
        let position = format!("{digest} {}", tag.as_deref().unwrap_or_default());
        (position, identifier(digest.to_owned(), tag))
    });
    let rows: Vec<_> = rows.take(page.limit() + 1).collect();
    let (image_ids, next_token) = list.take(context, &page, rows);
    Ok(api::ListImagesResponse { image_ids: Some(image_ids), next_token })
}

/// An image's tags with its digest; without tags, the digest once.
fn pairs<'a>(state: &'a State, image: &'a Arc<Image>) -> impl Iterator<Item = (Option<String>, &'a str)> {
    let tags = state.index.registry.tags(&image.key());
    let alone = (tags.len() == 0).then_some((None, image.digest.as_str()));
    tags.map(|tag| (Some(tag.clone()), image.digest.as_str())).chain(alone)
}

/// Entries of one page of referrers.
const REFERRERS: i32 = 50;

pub fn referrers(
    context: &mut Context<'_>,
    request: api::ListImageReferrersRequest,
) -> Result<api::ListImageReferrersResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let subject = request.subject_id.and_then(|subject| subject.image_digest).unwrap_or_default();
    let subject = digest(&subject)?.to_string();
    let filter = request.filter.unwrap_or_default();
    let repository = which.read(context)?;
    let parameters = format!("{} {subject} {filter:?}", repository.id);
    let list = List { operation: "ListImageReferrers", filter: &parameters };
    let page = list.page(context, request.next_token.as_deref(), request.max_results.or(Some(REFERRERS)))?;
    let state = context.read();
    let types = filter.artifact_types.unwrap_or_default();
    let is_meant = |image: &Image| {
        let typed = types.is_empty() || image.artifact_type.as_ref().is_some_and(|given| types.contains(given));
        let active = [api::ArtifactStatusFilter::Active, api::ArtifactStatusFilter::Any];
        typed && filter.artifact_status.is_none_or(|status| active.contains(&status))
    };
    let found = content::referrers(&state, &repository.id, &subject, page.after().unwrap_or_default());
    let found = found.filter(|image| is_meant(image)).take(page.limit() + 1);
    let rows: Vec<_> = found.map(|image| (image.digest.clone(), image.clone())).collect();
    // Their manifests are read while the records may change.
    drop(state);
    let (images, next_token) = list.take(context, &page, rows);
    let blobs = content::bytes(context, &which.registry, &which.name)?;
    let mut referrers = Vec::with_capacity(images.len());
    for image in &images {
        referrers.extend(referrer(&blobs, image)?);
    }
    Ok(api::ListImageReferrersResponse { referrers: Some(referrers), next_token })
}

/// `None` if it has gone meanwhile.
fn referrer(blobs: &Blobs, image: &Image) -> Result<Option<api::ImageReferrer>, Fault> {
    let bytes = match blobs.read(&digest(&image.digest)?, MANIFEST as u64) {
        Err(Error::Missing) => return Ok(None),
        bytes => bytes.map_err(|error| fault::bytes(&error))?,
    };
    let annotations = content::annotations(&bytes);
    Ok(Some(api::ImageReferrer {
        digest: Some(image.digest.clone()),
        media_type: Some(image.media_type.clone()),
        artifact_type: image.artifact_type.clone(),
        size: Some(image.manifest_size),
        annotations: (!annotations.is_empty()).then_some(annotations),
        artifact_status: Some(api::ArtifactStatus::Active),
    }))
}
