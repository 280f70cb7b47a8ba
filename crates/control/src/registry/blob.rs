//! Layers and configurations: whether they are there, and their bytes.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use longshore_api::ecr as api;
use longshore_model::{AccountId, State};
use longshore_services::ecr::{content, download, seal};
use longshore_store::blobs::{Blobs, Digest};
use longshore_wire::Fault;

use super::cache;
use super::error::{Code, Refusal};
use super::range::{Asked, asked};
use super::visit::{Visit, aside};
use super::{Answer, DIGEST, set};
use crate::body::Body;
use crate::line::StandIns;
use crate::{Server, clock};

/// `HEAD`: a client that asks may count on it for the manifest that it puts next. Who pulls does not ask, so no upstream is.
pub(super) async fn head(visit: &Visit<'_>, name: &str, digest: &Digest) -> Result<Answer, Refusal> {
    let request = api::BatchCheckLayerAvailabilityRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        layer_digests: Some(vec![digest.to_string()]),
    };
    let size = visit.call("BatchCheckLayerAvailability", &request, |context, _| {
        let layer = content::layer(&context.read(), &visit.registry, name, digest.as_str())?.clone();
        let size = layer.size;
        content::freshen(context, &[layer]);
        Ok((size, Box::new(api::BatchCheckLayerAvailabilityResponse::default()) as Box<_>))
    });
    let size = size.await.map_err(Refusal::of_blob)?;
    let mut answer = described(digest);
    set(&mut answer, CONTENT_LENGTH, &size.to_string());
    Ok(answer)
}

/// `GET`, of all or of a range.
pub(super) async fn get(visit: &Visit<'_>, name: &str, digest: &Digest) -> Result<Answer, Refusal> {
    let request = api::GetDownloadUrlForLayerRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        layer_digest: Some(digest.to_string()),
    };
    if let Some((coming, size)) = cache::layer(visit, name, digest).await? {
        let pulled = visit.call("GetDownloadUrlForLayer", &request, |context, _| {
            content::bytes(context, &visit.registry, name)?;
            Ok(((), Box::new(api::GetDownloadUrlForLayerResponse::default()) as Box<_>))
        });
        pulled.await.map_err(Refusal::of_blob)?;
        let follow = |first, length| Body::coming(coming.follow(first, length), length);
        return part(visit.head, digest, size, follow);
    }
    let found = visit.call("GetDownloadUrlForLayer", &request, |context, _| {
        let size = content::layer(&context.read(), &visit.registry, name, digest.as_str())?.size;
        let blobs = content::bytes(context, &visit.registry, name)?;
        Ok(((size, blobs), Box::new(api::GetDownloadUrlForLayerResponse::default()) as Box<_>))
    });
    let (size, blobs) = found.await.map_err(Refusal::of_blob)?;
    sent(blobs, visit.head, digest, size).await
}

/// `GET` by the URL that GetDownloadUrlForLayer gave, without saying who one is; `None` for any other.
pub(super) async fn given(
    server: &Arc<Server>,
    head: &Parts,
    name: &str,
    digest: &Digest,
) -> Option<Result<Answer, Refusal>> {
    let pairs: HashMap<_, _> = form_urlencoded::parse(head.uri.query()?.as_bytes()).collect();
    let registry = AccountId::parse(pairs.get(download::REGISTRY)?)?;
    let (expires, signature) = (pairs.get(download::EXPIRES)?, pairs.get(download::SIGNATURE)?);
    let what = (&registry, name, digest.as_str());
    if !download::opens(&server.settings.vault, what, (expires, signature), clock::now()) {
        return Some(Err(Refusal::new(Code::Denied, "The URL has expired, or is not one that was given")));
    }
    let (found, revision) = {
        let state = server.store.read();
        (layer(server, &state, (&registry, name), digest), state.revision())
    };
    if server.store.durable(revision).await.is_err() {
        return Some(Err(Fault::internal().into()));
    }
    match found {
        Ok((size, blobs)) => Some(sent(blobs, head, digest, size).await),
        Err(fault) => Some(Err(Refusal::from(fault).of_blob())),
    }
}

/// How many bytes a layer has, and where they are.
fn layer(
    server: &Server,
    state: &State,
    (registry, name): (&AccountId, &str),
    digest: &Digest,
) -> Result<(i64, Blobs), Fault> {
    let size = content::layer(state, registry, name, digest.as_str())?.size;
    let repository = content::repository(state, registry, name)?;
    let seal = seal::of(state, &server.settings, repository, clock::now())?;
    Ok((size, server.blobs.under(seal)))
}

/// The bytes of a layer that has so many.
async fn sent(blobs: Blobs, head: &Parts, digest: &Digest, known: i64) -> Result<Answer, Refusal> {
    let wanted = digest.clone();
    let reader = aside(move || blobs.reader(&wanted)).await?;
    if i64::try_from(reader.size()) != Ok(known) {
        tracing::error!(%digest, "the bytes of a layer are not as many as its record says");
        return Err(Fault::internal().into());
    }
    let stand_ins = head.extensions.get::<StandIns>().cloned();
    part(head, digest, reader.size(), |first, length| Body::blob(reader, first, length, stand_ins))
}

/// What a client asks for of a layer that has so many bytes.
fn part(head: &Parts, digest: &Digest, size: u64, body: impl FnOnce(u64, u64) -> Body) -> Result<Answer, Refusal> {
    let range = head.headers.get(RANGE).and_then(|range| range.to_str().ok());
    let mut answer = described(digest);
    let (first, length) = match asked(range, size) {
        Asked::Whole => (0, size),
        Asked::Part { first, last } => {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            set(&mut answer, CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
            (first, last - first + 1)
        }
        Asked::Beyond => {
            let refusal = Refusal::new(Code::SizeInvalid, "the blob has no such range");
            let refusal = refusal.at(StatusCode::RANGE_NOT_SATISFIABLE);
            return Err(refusal.with(CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    set(&mut answer, CONTENT_LENGTH, &length.to_string());
    *answer.body_mut() = body(first, length);
    Ok(answer)
}

/// `DELETE`: of a blob that no image of the repository needs.
pub(super) async fn delete(visit: &Visit<'_>, name: &str, digest: &Digest) -> Result<Answer, Refusal> {
    let request = api::BatchDeleteImageRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        image_ids: Some(vec![api::ImageIdentifier { image_digest: Some(digest.to_string()), image_tag: None }]),
    };
    let deleted = visit.call("BatchDeleteImage", &request, |context, _| {
        content::unlink(context, &visit.registry, name, digest.as_str())?;
        Ok(((), Box::new(api::BatchDeleteImageResponse::default()) as Box<_>))
    });
    deleted.await.map_err(|refusal| match refusal.code {
        // It is there, and in use.
        Code::BlobUnknown => refusal.denied(),
        _ => refusal.of_blob(),
    })?;
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::ACCEPTED;
    Ok(answer)
}

fn described(digest: &Digest) -> Answer {
    let mut answer = Answer::default();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    set(&mut answer, DIGEST, &digest.to_string());
    answer
}
