//! Layers through the API: are they there, from where, and uploads in parts.

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_model::registry::{Digest, Repository};
use longshore_store::blobs::{Blobs, Error, Key};
use longshore_wire::{Fault, Value};

use super::content;
use super::find::Which;
use super::{download, fault, for_push, host};
use crate::Context;

/// Bytes of a part, as a client is told; a larger one is taken as well, up to the request's bound.
const PART: i64 = 5 * 1024 * 1024;

/// Layers have no other media type here than this one, as ECR's.
const MEDIA_TYPE: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

pub fn check(
    context: &mut Context<'_>,
    request: api::BatchCheckLayerAvailabilityRequest,
) -> Result<api::BatchCheckLayerAvailabilityResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let repository = which.read(context)?;
    let (mut layers, mut failures, mut found) = (Vec::new(), Vec::new(), Vec::new());
    {
        let state = context.read();
        for digest in request.layer_digests.unwrap_or_default() {
            if Digest::parse(&digest).is_err() {
                failures.push(failure(digest));
                continue;
            }
            let known = state.layer(&repository.id, &digest);
            layers.push(api::Layer {
                layer_digest: Some(digest),
                layer_availability: Some(match known {
                    Some(_) => api::LayerAvailability::Available,
                    None => api::LayerAvailability::Unavailable,
                }),
                layer_size: known.map(|layer| layer.size),
                media_type: known.map(|_| MEDIA_TYPE.to_owned()),
            });
            found.extend(known.cloned());
        }
    }
    content::freshen(context, &found);
    Ok(api::BatchCheckLayerAvailabilityResponse { layers: Some(layers), failures: Some(failures) })
}

fn failure(digest: String) -> api::LayerFailure {
    let (code, reason) = match digest.is_empty() {
        true => (api::LayerFailureCode::MissingLayerDigest, "The layer digest is missing"),
        false => (api::LayerFailureCode::InvalidLayerDigest, "The layer digest is invalid"),
    };
    api::LayerFailure { layer_digest: Some(digest), failure_code: Some(code), failure_reason: Some(reason.to_owned()) }
}

pub fn url(
    context: &mut Context<'_>,
    request: api::GetDownloadUrlForLayerRequest,
) -> Result<api::GetDownloadUrlForLayerResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let digest = request.layer_digest.unwrap_or_default();
    content::layer(&context.read(), &which.registry, &which.name, &digest)?;
    content::bytes(context, &which.registry, &which.name)?;
    let path = download::path(&context.settings.vault, &which.registry, &which.name, &digest, context.now);
    Ok(api::GetDownloadUrlForLayerResponse {
        download_url: Some(format!("http://{}{path}", host::called(context))),
        layer_digest: Some(digest),
    })
}

/// Of an upload, as the bytes know it.
fn key(which: &Which, repository: &Repository, id: &str) -> Result<Key, Fault> {
    let key = Key::new(which.registry.as_str(), &repository.id, &id.to_ascii_lowercase());
    key.ok_or_else(|| fault::no_upload(&which.registry, &which.name, id))
}

/// Where the bytes of the repository that an upload is for lie.
fn bytes(context: &mut Context<'_>, repository: &Repository) -> Result<Blobs, Fault> {
    let state = context.read();
    content::bytes_of(context, &state, repository)
}

pub fn initiate(
    context: &mut Context<'_>,
    request: api::InitiateLayerUploadRequest,
) -> Result<api::InitiateLayerUploadResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    for_push(context, &which.registry, &which.name)?;
    let (repository, id) = (which.read(context)?, context.mint.uuid());
    let (blobs, key) = (bytes(context, &repository)?, key(&which, &repository, &id)?);
    blobs.begin(&key).map_err(|error| fault::bytes(&error))?;
    Ok(api::InitiateLayerUploadResponse { upload_id: Some(id), part_size: Some(PART) })
}

pub fn upload(
    context: &mut Context<'_>,
    request: api::UploadLayerPartRequest,
) -> Result<api::UploadLayerPartResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let repository = which.read(context)?;
    let blobs = bytes(context, &repository)?;
    let id = request.upload_id.unwrap_or_default();
    let bytes = request.layer_part_blob.unwrap_or_default().0;
    let (first, last) = (request.part_first_byte.unwrap_or_default(), request.part_last_byte.unwrap_or_default());
    let announced = last.checked_sub(first).and_then(|length| length.checked_add(1));
    if bytes.is_empty() || announced != i64::try_from(bytes.len()).ok() {
        let words = "must be the first byte and as many as there are in the part, less one";
        return Err(fault::parameter("partLastByte", words));
    }
    let key = key(&which, &repository, &id)?;
    let failed = |error: Error| match error {
        Error::UnknownUpload => fault::no_upload(&which.registry, &which.name, &id),
        Error::OutOfOrder { at } => out_of_order(&which, &id, at),
        Error::Busy => fault::parameter("uploadId", "another part of it is being uploaded"),
        error => fault::bytes(&error),
    };
    let at = u64::try_from(first).map_err(|_| fault::parameter("partFirstByte", "must not be below zero"))?;
    let mut writer = blobs.append(&key, Some(at)).map_err(failed)?;
    writer.write(&bytes).map_err(failed)?;
    writer.pause().map_err(failed)?;
    Ok(api::UploadLayerPartResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        upload_id: Some(id.clone()),
        last_byte_received: Some(last),
    })
}

/// `InvalidLayerPartException`, which says where the upload goes on.
fn out_of_order(which: &Which, id: &str, at: u64) -> Fault {
    let last = i64::try_from(at).unwrap_or(i64::MAX) - 1;
    let part = &def::INVALID_LAYER_PART_EXCEPTION;
    fault::of(part, format!("The parts of an upload come in order: this one ends at byte {last} so far"))
        .with(part, "registryId", Value::String(which.registry.to_string()))
        .with(part, "repositoryName", Value::String(which.name.clone()))
        .with(part, "uploadId", Value::String(id.to_owned()))
        .with(part, "lastValidByteReceived", Value::Integer(last))
}

pub fn complete(
    context: &mut Context<'_>,
    request: api::CompleteLayerUploadRequest,
) -> Result<api::CompleteLayerUploadResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let repository = which.read(context)?;
    let id = request.upload_id.unwrap_or_default();
    let digests = request.layer_digests.unwrap_or_default();
    let [text] = digests.as_slice() else {
        return Err(fault::parameter("layerDigests", "must be one digest"));
    };
    let digest = Digest::parse(text).map_err(|why| fault::parameter("layerDigests", why.to_string()))?;
    let (blobs, key) = (bytes(context, &repository)?, key(&which, &repository, &id)?);
    let failed = |error: Error| match error {
        Error::UnknownUpload => fault::no_upload(&which.registry, &which.name, &id),
        Error::Busy => fault::parameter("uploadId", "a part of it is being uploaded"),
        Error::Mismatch { found } => {
            let message = format!("Layer digest does not match: the bytes are those of {found}, not {digest}");
            fault::of(&def::INVALID_LAYER_EXCEPTION, message)
        }
        error => fault::bytes(&error),
    };
    let writer = blobs.append(&key, None).map_err(failed)?;
    if writer.received() == 0 {
        return Err(fault::of(&def::EMPTY_UPLOAD_EXCEPTION, "The upload has no parts."));
    }
    let known = context.read().layer(&repository.id, text).is_some();
    let kept = writer.finish(&digest).map_err(failed)?;
    content::link(context, (&which.registry, &which.name), &repository.id, &kept)?;
    drop(kept);
    if known {
        let message = format!("The layer with digest '{digest}' exists in the repository with name '{}'", which.name);
        return Err(fault::of(&def::LAYER_ALREADY_EXISTS_EXCEPTION, message));
    }
    Ok(api::CompleteLayerUploadResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        upload_id: Some(id.clone()),
        layer_digest: Some(text.clone()),
    })
}
