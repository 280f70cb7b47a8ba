//! From a tag or a digest to an image.

use std::sync::Arc;

use longshore_api::ecr as api;
use longshore_model::registry::{Image, content_key};
use longshore_model::{AccountId, State};
use longshore_wire::{Fault, Timestamp};

use super::{fault, repository};
use crate::Context;

/// Bytes of a manifest, at most.
pub const MANIFEST: usize = 4 * 1024 * 1024;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What an image is called by: a tag, a digest, or both.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub digest: Option<&'a str>,
    pub tag: Option<&'a str>,
}

impl<'a> Named<'a> {
    pub fn of(id: &'a api::ImageIdentifier) -> Self {
        let given = |text: &'a Option<String>| text.as_deref().filter(|text| !text.is_empty());
        Self { digest: given(&id.image_digest), tag: given(&id.image_tag) }
    }

    /// By a tag, or by a digest where there is a colon.
    pub fn by(reference: &'a str) -> Self {
        match reference.contains(':') {
            true => Self { digest: Some(reference), tag: None },
            false => Self { digest: None, tag: Some(reference) },
        }
    }
}

/// Letters, digits and `_.-`, 128 at most, the first no dot nor dash.
pub fn is_tag(text: &str) -> bool {
    let within = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins && text.len() <= 128 && text.bytes().all(within)
}

/// The image of a repository that is meant. One that is called by both must be both.
pub fn find_image<'a>(state: &'a State, repository: &str, named: Named<'_>) -> Option<&'a Arc<Image>> {
    match (named.tag, named.digest) {
        (Some(tag), digest) => {
            let found = state.tagged_image(repository, tag)?;
            digest.is_none_or(|digest| digest == found.digest).then_some(found)
        }
        (None, Some(digest)) => state.image(repository, digest),
        (None, None) => None,
    }
}

/// The image that is meant.
///
/// # Errors
/// `RepositoryNotFoundException`, `ImageNotFoundException`.
pub fn image<'a>(
    state: &'a State,
    registry: &AccountId,
    name: &str,
    named: Named<'_>,
) -> Result<&'a Arc<Image>, Fault> {
    let repository = repository(state, registry, name)?;
    let missing = || fault::no_image(registry, name, named.digest, named.tag);
    find_image(state, &repository.id, named).ok_or_else(missing)
}

/// Images that are about another, which need not be there; by their digests, from behind `after` on.
pub fn referrers<'a>(
    state: &'a State,
    repository: &'a str,
    subject: &str,
    after: &str,
) -> impl Iterator<Item = &'a Arc<Image>> + use<'a> {
    let digests = state.index.registry.referrers(&content_key(repository, subject), after);
    digests.filter_map(move |digest| state.image(repository, digest))
}

/// Notes that images were pulled, once a day each. They may be pulled whether that can be written or not.
pub fn note_pull(context: &mut Context<'_>, images: &[Arc<Image>]) {
    let now = context.now;
    let is_due = |pulled: Option<Timestamp>| {
        pulled.is_none_or(|pulled| now.millis().saturating_sub(pulled.millis()) >= DAY_MILLIS)
    };
    if !images.iter().any(|image| is_due(image.pulled_at)) {
        return;
    }
    context.note(|state, changes| {
        let found = images.iter().filter_map(|image| state.images.get(&image.key()));
        for image in found.filter(|image| is_due(image.pulled_at)) {
            changes.push(Image { pulled_at: Some(now), ..Image::clone(image) }.into());
        }
    });
}
