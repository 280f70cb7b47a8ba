//! Taking images away, by their tags or whole.

use longshore_api::ecr::ImageFailureCode as Code;
use longshore_model::registry::{Digest, Image, tag_key};
use longshore_model::{AccountId, Change, MAX_CHANGES, State, TableName};
use longshore_wire::Fault;

use super::{Named, is_tag, repository};
use crate::Context;

/// What became of one image that was to be deleted.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// The image is gone, or it has lost a tag: its digest and the tags that led to it.
    Done {
        digest: String,
        tags: Vec<String>,
    },
    Refused {
        code: Code,
        reason: String,
    },
}

fn refused(code: Code, reason: impl Into<String>) -> Deleted {
    Deleted::Refused { code, reason: reason.into() }
}

/// Deletes an image by a tag or a digest. By a digest it goes with all its tags; by a tag it loses that, and goes with its
/// last one. An image that an index lists stays.
///
/// # Errors
/// `RepositoryNotFoundException`
pub fn delete_image(
    context: &mut Context<'_>,
    registry: &AccountId,
    name: &str,
    named: Named<'_>,
) -> Result<Deleted, Fault> {
    if let Some(refusal) = unreadable(named) {
        repository(&context.read(), registry, name)?;
        return Ok(refusal);
    }
    let mut gone: Vec<String> = Vec::new();
    loop {
        let (deleted, is_whole) =
            context.transact(|state, changes, _| decide(state, changes, (registry, name), named))?;
        match deleted {
            Deleted::Done { digest, tags } => {
                gone.extend(tags);
                if is_whole {
                    return Ok(Deleted::Done { digest, tags: gone });
                }
            }
            refusal => return Ok(refusal),
        }
    }
}

fn unreadable(named: Named<'_>) -> Option<Deleted> {
    match named {
        Named { digest: None, tag: None } => {
            let reason = "Invalid request parameters: both tag and digest cannot be null";
            Some(refused(Code::MissingDigestAndTag, reason))
        }
        Named { digest: Some(digest), .. } if Digest::parse(digest).is_err() => {
            let reason =
                "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
            Some(refused(Code::InvalidImageDigest, reason))
        }
        Named { tag: Some(tag), .. } if !is_tag(tag) => {
            let reason =
                "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'";
            Some(refused(Code::InvalidImageTag, reason))
        }
        _ => None,
    }
}

/// One transaction's part; whether that was all.
fn decide(
    state: &State,
    changes: &mut Vec<Change>,
    (registry, name): (&AccountId, &str),
    named: Named<'_>,
) -> Result<(Deleted, bool), Fault> {
    let repository = repository(state, registry, name)?;
    let missing = || Ok((refused(Code::ImageNotFound, "Requested image not found"), true));
    let found = match named.tag {
        Some(tag) => state.tagged_image(&repository.id, tag),
        None => named.digest.and_then(|digest| state.image(&repository.id, digest)),
    };
    let Some(image) = found else { return missing() };
    if named.digest.is_some_and(|digest| digest != image.digest) {
        let reason = "Invalid request parameters: the image tag does not match the image digest";
        return Ok((refused(Code::ImageTagDoesNotMatchDigest, reason), true));
    }
    let tags = state.index.registry.tags(&image.key());
    if let Some(tag) = named.tag.filter(|_| tags.len() > 1) {
        changes.push(Change::Delete(TableName::ImageTag, tag_key(&image.repository, tag)));
        return Ok((Deleted::Done { digest: image.digest.clone(), tags: vec![tag.to_owned()] }, true));
    }
    if state.index.registry.listings(&image.key()) > 0 {
        let reason = format!("Requested image referenced by manifest list: [{}]", listing(state, image));
        return Ok((refused(Code::ImageReferencedByManifestList, reason), true));
    }
    Ok(whole(state, changes, image))
}

/// The image and its tags; where these are many, some of them first.
fn whole(state: &State, changes: &mut Vec<Change>, image: &Image) -> (Deleted, bool) {
    let tags = state.index.registry.tags(&image.key());
    let is_whole = tags.len() < MAX_CHANGES;
    let gone: Vec<String> = tags.take(MAX_CHANGES - 1).cloned().collect();
    changes.extend(gone.iter().map(|tag| Change::Delete(TableName::ImageTag, tag_key(&image.repository, tag))));
    if is_whole {
        changes.push(Change::Delete(TableName::Image, image.key()));
    }
    (Deleted::Done { digest: image.digest.clone(), tags: gone }, is_whole)
}

/// Images of a repository that are looked at for the one which lists another.
const LOOKED: usize = 10_000;

/// Digest of an index that lists the image.
fn listing(state: &State, image: &Image) -> String {
    let mut images = state.images_of(&image.repository).take(LOOKED);
    let index = images.find(|index| index.images.contains(&image.digest));
    index.map(|index| index.digest.clone()).unwrap_or_default()
}
