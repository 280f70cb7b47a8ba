//! Manifests and indexes.

use std::sync::Arc;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use hyper::body::{Bytes, Incoming};
use longshore_api::ecr as api;
use longshore_model::registry::Image;
use longshore_services::ecr;
use longshore_services::ecr::content::{self, Deleted, Named, Push};
use longshore_store::blobs::{Algorithm, Blobs, Digest, digest_of};
use longshore_wire::Fault;

use super::cache;
use super::error::{Code, Refusal};
use super::route::Reference;
use super::visit::{Visit, aside};
use super::{Answer, DIGEST, SUBJECT, set};
use crate::body::Body;
use crate::gateway::read_limited;

/// Bytes of a manifest: ECR's and the specification's bound.
pub(super) const LARGEST: usize = 4 * 1024 * 1024;

/// Bytes of a manifest that its audit record has; policies ask for none. It is not to be in memory many times over.
const RECORDED: usize = 8 * 1024;

fn request(visit: &Visit<'_>, name: &str, reference: &Reference) -> api::BatchGetImageRequest {
    api::BatchGetImageRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        image_ids: Some(vec![identifier(reference)]),
        accepted_media_types: None,
    }
}

/// The image that a reference leads to, if the caller may pull it; and where its bytes are. Who has the bytes already asks for
/// no more than that there is such an image, and is refused where others are.
async fn find(visit: &Visit<'_>, name: &str, reference: &Reference) -> Result<(Arc<Image>, Blobs), Refusal> {
    visit
        .call("BatchGetImage", &request(visit, name, reference), |context, _| {
            let image = content::image(&context.read(), &visit.registry, name, named(reference))?.clone();
            let blobs = content::bytes(context, &visit.registry, name)?;
            content::note_pull(context, std::slice::from_ref(&image));
            Ok(((image, blobs), Box::new(api::BatchGetImageResponse::default()) as Box<_>))
        })
        .await
}

/// What comes from an upstream, and may not have a record yet.
async fn fetched(
    visit: &Visit<'_>,
    name: &str,
    reference: &Reference,
) -> Result<Option<Arc<cache::Manifest>>, Refusal> {
    let request = request(visit, name, reference);
    let Some(found) = cache::manifest(visit, name, reference, &request).await? else { return Ok(None) };
    let pulled = visit.call("BatchGetImage", &request, |context, _| {
        content::bytes(context, &visit.registry, name)?;
        Ok(((), Box::new(api::BatchGetImageResponse::default()) as Box<_>))
    });
    pulled.await.map(|()| Some(found))
}

fn named(reference: &Reference) -> Named<'_> {
    match reference {
        Reference::Digest(digest) => Named { digest: Some(digest.as_str()), tag: None },
        Reference::Tag(tag) | Reference::NoTag(tag) => Named { digest: None, tag: Some(tag) },
    }
}

fn identifier(reference: &Reference) -> api::ImageIdentifier {
    match reference {
        Reference::Digest(digest) => api::ImageIdentifier { image_digest: Some(digest.to_string()), image_tag: None },
        Reference::Tag(tag) | Reference::NoTag(tag) => {
            api::ImageIdentifier { image_digest: None, image_tag: Some(tag.clone()) }
        }
    }
}

/// `GET`, and `HEAD`, which reads no bytes.
pub(super) async fn get(
    visit: &Visit<'_>,
    name: &str,
    reference: &Reference,
    with_bytes: bool,
) -> Result<Answer, Refusal> {
    if let Reference::NoTag(tag) = reference {
        return Err(Refusal::new(Code::ManifestUnknown, format!("no image can have the tag {}", tag.escape_debug())));
    }
    if let Some(fetched) = fetched(visit, name, reference).await? {
        let (served, size) = (&fetched.served, fetched.served.bytes.len());
        let mut answer = described(visit, &fetched.read.media_type, served.digest.as_str(), size as u64)?;
        if with_bytes {
            *answer.body_mut() = Body::from(served.bytes.clone());
        }
        return Ok(answer);
    }
    let (image, blobs) = find(visit, name, reference).await?;
    let size = u64::try_from(image.manifest_size).map_err(|_| Fault::internal())?;
    let mut answer = described(visit, &image.media_type, &image.digest, size)?;
    if with_bytes {
        *answer.body_mut() = Body::from(bytes(&blobs, &image).await?);
    }
    Ok(answer)
}

/// An answer without its bytes, for a client that takes the type.
fn described(visit: &Visit<'_>, media_type: &str, digest: &str, size: u64) -> Result<Answer, Refusal> {
    if !accepts(visit, media_type) {
        let message = format!("the manifest is a {media_type}, which the client does not accept");
        return Err(Refusal::new(Code::ManifestUnknown, message));
    }
    let mut answer = Answer::default();
    set(&mut answer, CONTENT_TYPE, media_type);
    set(&mut answer, DIGEST, digest);
    set(&mut answer, CONTENT_LENGTH, &size.to_string());
    Ok(answer)
}

/// The bytes of an image's manifest.
pub(super) async fn bytes(blobs: &Blobs, image: &Image) -> Result<Bytes, Refusal> {
    let digest = Digest::parse(&image.digest).map_err(|_| Fault::internal())?;
    if let Some(bytes) = blobs.cached(&digest) {
        return Ok(bytes);
    }
    let blobs = blobs.clone();
    aside(move || blobs.read(&digest, LARGEST as u64)).await
}

/// Whether a client takes a type; one that does not say takes all.
fn accepts(visit: &Visit<'_>, media_type: &str) -> bool {
    let mut headers = visit.head.headers.get_all(ACCEPT).iter().peekable();
    let mut texts = headers.by_ref().filter_map(|header| header.to_str().ok()).peekable();
    texts.peek().is_none() || texts.any(|text| is_accepted(text, media_type))
}

fn is_accepted(header: &str, media_type: &str) -> bool {
    let range = |part: &str| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    header.split(',').map(range).any(|range| matches!(&*range, "*/*" | "application/*") || range == media_type)
}

/// `PUT`: as PutImage, whatever the way.
pub(super) async fn put(
    visit: &Visit<'_>,
    name: &str,
    reference: &Reference,
    body: &mut Incoming,
) -> Result<Answer, Refusal> {
    if let Reference::NoTag(_) = reference {
        return Err(Refusal::new(
            Code::NameInvalid,
            "a tag has at most 128 letters, digits, dots, dashes and underscores",
        ));
    }
    let (bytes, _room) = read_limited(visit.head, body, LARGEST).await.map_err(too_large)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Refusal::new(Code::ManifestInvalid, "a manifest is JSON"))?;
    let algorithm = match reference {
        Reference::Digest(digest) => digest.algorithm(),
        _ => Algorithm::Sha256,
    };
    let found = digest_of(algorithm, &bytes);
    let tag = if let Reference::Tag(tag) = reference { Some(tag.clone()) } else { None };
    let request = api::PutImageRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        image_manifest: Some(text[..text.floor_char_boundary(RECORDED)].to_owned()),
        image_manifest_media_type: visit.header(CONTENT_TYPE).map(str::to_owned),
        image_tag: tag.clone(),
        image_digest: Some(match reference {
            Reference::Digest(digest) => digest.to_string(),
            _ => found.to_string(),
        }),
    };
    let push = Push {
        registry: &visit.registry,
        repository: name,
        bytes: &bytes,
        media_type: visit.header(CONTENT_TYPE),
        digest: if let Reference::Digest(digest) = reference { Some(digest) } else { None },
        tags: &tag.as_deref().into_iter().collect::<Vec<_>>(),
        looked_at: None,
    };
    let subject = visit.call("PutImage", &request, |context, _| {
        if visit.source.is_some() {
            ecr::for_push(context, &visit.registry, name)?;
        }
        let pushed = tokio::task::block_in_place(|| content::put_image(context, &push))?;
        let image = api::Image {
            registry_id: request.registry_id.clone(),
            repository_name: request.repository_name.clone(),
            image_id: Some(api::ImageIdentifier { image_digest: Some(pushed.image.digest), image_tag: tag.clone() }),
            image_manifest_media_type: Some(pushed.image.media_type),
            image_manifest: None,
        };
        Ok((pushed.image.subject, Box::new(api::PutImageResponse { image: Some(image) }) as Box<_>))
    });
    let subject = subject.await.map_err(Refusal::of_manifest)?;
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::CREATED;
    set(&mut answer, LOCATION, &format!("/v2/{name}/manifests/{found}"));
    set(&mut answer, DIGEST, &found.to_string());
    if let Some(subject) = subject {
        set(&mut answer, SUBJECT, &subject);
    }
    Ok(answer)
}

fn too_large(fault: Fault) -> Refusal {
    match fault.status {
        413 => Refusal::new(Code::ManifestInvalid, format!("a manifest has at most {LARGEST} bytes"))
            .at(StatusCode::PAYLOAD_TOO_LARGE),
        _ => Refusal::from(fault).of_manifest(),
    }
}

/// `DELETE`: of a tag, or of an image with all its tags, as BatchDeleteImage.
pub(super) async fn delete(visit: &Visit<'_>, name: &str, reference: &Reference) -> Result<Answer, Refusal> {
    if let Reference::NoTag(_) = reference {
        return Err(Refusal::new(Code::ManifestUnknown, "no image can have such a tag"));
    }
    let request = api::BatchDeleteImageRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        image_ids: Some(vec![identifier(reference)]),
    };
    let deleted = visit.call("BatchDeleteImage", &request, |context, _| {
        let deleted = content::delete_image(context, &visit.registry, name, named(reference))?;
        Ok((deleted, Box::new(api::BatchDeleteImageResponse::default()) as Box<_>))
    });
    match deleted.await? {
        Deleted::Done { .. } => {
            let mut answer = Answer::default();
            *answer.status_mut() = StatusCode::ACCEPTED;
            Ok(answer)
        }
        Deleted::Refused { code: api::ImageFailureCode::ImageReferencedByManifestList, reason } => {
            Err(Refusal::new(Code::Denied, reason))
        }
        Deleted::Refused { reason, .. } => Err(Refusal::new(Code::ManifestUnknown, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_accepted_by_its_name_or_by_a_star() {
        let index = "application/vnd.oci.image.index.v1+json";
        for header in [index, "*/*", "application/*;q=0.5", "text/html, application/vnd.oci.image.index.v1+json;q=1"] {
            assert!(is_accepted(header, index), "{header}");
        }
        for header in ["", "text/*", "application/vnd.oci.image.manifest.v1+json", "application/json"] {
            assert!(!is_accepted(header, index), "{header}");
        }
    }
}
