//! Tags of a repository, and what refers to an image.

use std::collections::BTreeMap;

use http::header::{CONTENT_TYPE, LINK};
use http::{HeaderName, HeaderValue};
use longshore_api::ecr as api;
use longshore_model::registry::{Image, tag_key};
use longshore_services::ecr::content;
use longshore_store::blobs::{Blobs, Digest};

use super::error::{Code, Refusal};
use super::range::number;
use super::visit::Visit;
use super::{Answer, manifest, set};
use crate::body::Body;

/// Tags of an answer: as many as ListImages gives at most.
const TAGS: usize = 1000;

/// Images of an answer that refer to one: each is read for its annotations.
const REFERRERS: usize = 50;

/// Bytes of annotations in one answer, of which each image has its share.
const ANNOTATIONS: usize = 2 * 1024 * 1024;

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

#[derive(serde::Serialize)]
struct Tags<'a> {
    name: &'a str,
    tags: &'a [String],
}

/// `GET …/tags/list`, by the letters' order.
pub(super) async fn tags(visit: &Visit<'_>, name: &str) -> Result<Answer, Refusal> {
    let wanted = match visit.parameter("n") {
        None => TAGS,
        Some(text) => {
            let wanted = number(&text).ok_or_else(|| Refusal::new(Code::Unsupported, "n is a number"));
            usize::try_from(wanted.map_err(|refusal| refusal.at(http::StatusCode::BAD_REQUEST))?)
                .unwrap_or(TAGS)
                .min(TAGS)
        }
    };
    let last = visit.parameter("last").unwrap_or_default();
    let request = api::ListImagesRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        ..Default::default()
    };
    let found = visit.call("ListImages", &request, |context, _| {
        let state = context.read();
        let repository = content::repository(&state, &visit.registry, name)?;
        let prefix = tag_key(&repository.id, "");
        let after = tag_key(&repository.id, &last);
        let rows = state.image_tags.scan_after(&prefix, Some(after.as_str()));
        let tags: Vec<String> = rows.take(wanted + 1).map(|(_, row)| row.tag.clone()).collect();
        Ok((tags, Box::new(api::ListImagesResponse::default()) as Box<_>))
    });
    let mut tags = found.await?;
    let more = tags.len() > wanted;
    tags.truncate(wanted);
    let mut answer = json(&Tags { name, tags: &tags }, "application/json");
    if let Some(last) = tags.last().filter(|_| more) {
        next(&mut answer, &format!("/v2/{name}/tags/list"), &[("n", &wanted.to_string()), ("last", last)]);
    }
    Ok(answer)
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    size: i64,
    digest: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `GET …/referrers/DIGEST`: whether there is such an image or not.
pub(super) async fn referrers(visit: &Visit<'_>, name: &str, subject: &Digest) -> Result<Answer, Refusal> {
    let types = visit.parameters("artifactType");
    let last = visit.parameter("last").unwrap_or_default();
    let request = api::ListImageReferrersRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        subject_id: Some(api::SubjectIdentifier { image_digest: Some(subject.to_string()) }),
        ..Default::default()
    };
    let found = visit.call("ListImageReferrers", &request, |context, _| {
        let state = context.read();
        let repository = content::repository(&state, &visit.registry, name)?;
        let blobs = content::bytes_of(context, &state, repository)?;
        let wanted =
            |image: &Image| types.is_empty() || image.artifact_type.as_ref().is_some_and(|of| types.contains(of));
        let images = content::referrers(&state, &repository.id, subject.as_str(), &last);
        let images: Vec<_> = images.filter(|image| wanted(image)).take(REFERRERS + 1).cloned().collect();
        Ok(((images, blobs), Box::new(api::ListImageReferrersResponse::default()) as Box<_>))
    });
    let (mut images, blobs) = found.await?;
    let more = images.len() > REFERRERS;
    images.truncate(REFERRERS);
    let mut manifests = Vec::with_capacity(images.len());
    for image in &images {
        match descriptor(&blobs, image).await {
            Ok(descriptor) => manifests.push(descriptor),
            // It has gone meanwhile.
            Err(refusal) if refusal.code == Code::BlobUnknown => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let mut answer = json(&Index { schema_version: 2, media_type: INDEX, manifests }, INDEX);
    if !types.is_empty() {
        answer.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = images.last().filter(|_| more) {
        let mut query: Vec<(&str, &str)> = types.iter().map(|of| ("artifactType", of.as_str())).collect();
        query.push(("last", &last.digest));
        next(&mut answer, &format!("/v2/{name}/referrers/{subject}"), &query);
    }
    Ok(answer)
}

async fn descriptor(blobs: &Blobs, image: &Image) -> Result<Descriptor, Refusal> {
    let bytes = manifest::bytes(blobs, image).await?;
    let annotations = content::annotations(&bytes);
    let length: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    Ok(Descriptor {
        media_type: image.media_type.clone(),
        size: image.manifest_size,
        digest: image.digest.clone(),
        annotations: if length > ANNOTATIONS / REFERRERS { BTreeMap::new() } else { annotations },
        artifact_type: image.artifact_type.clone(),
    })
}

fn json(value: &impl serde::Serialize, media_type: &str) -> Answer {
    let mut answer = Answer::new(Body::from(serde_json::to_vec(value).unwrap_or_default()));
    set(&mut answer, CONTENT_TYPE, media_type);
    answer
}

/// Where the list goes on.
fn next(answer: &mut Answer, path: &str, query: &[(&str, &str)]) {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    set(answer, LINK, &format!("<{path}?{query}>; rel=\"next\""));
}
