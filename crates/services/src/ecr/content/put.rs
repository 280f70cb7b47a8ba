//! Putting an image: its bytes, its record, its tags.

use std::collections::HashMap;

use bytes::Bytes;
use longshore_api::ecr::ImageTagMutability as Mutability;
use longshore_model::registry::{
    Algorithm, Digest, Image, ImageTag, MOST_IMAGES, MOST_REFERENCES_IN_ALL, MOST_TAGS, Repository, content_key,
    pattern,
};
use longshore_model::{AccountId, Change, State};

use longshore_store::blobs::digest_of;
use longshore_wire::{Fault, Timestamp};

use super::manifest::{Manifest, Part};
use super::{bytes, check_place, fault, is_tag, repository};
use crate::Context;
use crate::ecr::scan;

/// How deep indexes may list indexes.
const DEEPEST: usize = 4;

/// What is looked at to find out.
const MOST_LISTED: usize = 4 * longshore_model::registry::MOST_REFERENCES;

/// Indexes that one image completes.
const MOST_COMPLETED: usize = 16;

/// Tags that one push sets.
const MOST_SET: usize = 100;

/// What is pushed, and to where.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    pub registry: &'a AccountId,
    pub repository: &'a str,
    pub bytes: &'a Bytes,
    /// As the request says.
    pub media_type: Option<&'a str>,
    /// What its digest must be.
    pub digest: Option<&'a Digest>,
    pub tags: &'a [&'a str],
    /// Of what comes from an upstream: when that was asked. An index may then list what is not here.
    pub looked_at: Option<Timestamp>,
}

/// What a push led to.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub image: Image,
    /// The image was not there.
    pub is_new: bool,
    /// Tags that did not lead to it, or were not the pusher's.
    pub moved: Vec<String>,
}

impl Pushed {
    /// Whether there is anything that was not before.
    pub fn is_change(&self) -> bool {
        self.is_new || !self.moved.is_empty()
    }
}

/// Puts an image into a repository. Its bytes are written before its record. What is there already stays as it is.
///
/// # Errors
/// `RepositoryNotFoundException`, `InvalidParameterException`, `ImageDigestDoesNotMatchException`,
/// `LayersNotFoundException`, `ReferencedImagesNotFoundException`, `ImageTagAlreadyExistsException`,
/// `LimitExceededException`, `KmsException`; `ServerException` if the bytes cannot be kept.
pub fn put_image(context: &mut Context<'_>, push: &Push<'_>) -> Result<Pushed, Fault> {
    if push.tags.len() > MOST_SET || !push.tags.iter().all(|tag| is_tag(tag)) {
        return Err(fault::parameter(
            "imageTag",
            "must satisfy regular expression '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'",
        ));
    }
    let manifest = Manifest::read(push.bytes, push.media_type)?;
    let algorithm = push.digest.map_or(Algorithm::Sha256, Digest::algorithm);
    let digest = digest_of(algorithm, push.bytes);
    if let Some(wanted) = push.digest.filter(|wanted| **wanted != digest) {
        return Err(fault::other_digest(&wanted.to_string(), &digest.to_string()));
    }
    let now = context.now;
    let digest_text = digest.to_string();
    // What came from elsewhere goes no further.
    let goes_on = !context.is_replica && push.looked_at.is_none();
    let decide = |state: &State, changes: &mut Vec<Change>| {
        let pushed = decide(state, changes, push, &manifest, &digest_text, now)?;
        if goes_on {
            replicate(state, changes, push, &pushed, now)?;
        }
        Ok::<_, Fault>(pushed)
    };
    // What will be refused leaves no bytes.
    decide(&context.read(), &mut Vec::new())?;
    let blobs = bytes(context, push.registry, push.repository)?;
    let kept = blobs.put(algorithm, push.bytes.clone()).map_err(|error| fault::bytes(&error))?;
    let pushed = context.transact(|state, changes, _| {
        let which = (push.registry, push.repository);
        check_place(repository(state, push.registry, push.repository)?, which, &kept)?;
        decide(state, changes)
    });
    drop(kept);
    pushed
}

fn decide(
    state: &State,
    changes: &mut Vec<Change>,
    push: &Push<'_>,
    manifest: &Manifest,
    digest: &str,
    now: Timestamp,
) -> Result<Pushed, Fault> {
    let place = Place { state, push, repository: repository(state, push.registry, push.repository)? };
    let known = state.image(&place.repository.id, digest);
    let image = match known {
        Some(known) => Image::clone(known),
        None => place.made(manifest, digest, now)?,
    };
    if known.is_none() {
        changes.push(image.clone().into());
        changes.extend(scan::on_push(state, place.repository, &image, now));
        place.complete(changes, &image);
    }
    let moved = place.tag(changes, digest, now)?;
    Ok(Pushed { image, is_new: known.is_none(), moved })
}

/// Has copies made of what was pushed.
fn replicate(
    state: &State,
    changes: &mut Vec<Change>,
    push: &Push<'_>,
    pushed: &Pushed,
    now: Timestamp,
) -> Result<(), Fault> {
    let repository = repository(state, push.registry, push.repository)?;
    let row = state.replication_of_push(repository, &pushed.image.digest, pushed.is_change(), now);
    changes.extend(row.map(Change::from));
    Ok(())
}

struct Place<'a> {
    state: &'a State,
    push: &'a Push<'a>,
    repository: &'a Repository,
}

impl Place<'_> {
    fn made(&self, manifest: &Manifest, digest: &str, now: Timestamp) -> Result<Image, Fault> {
        if self.state.index.registry.images(&self.repository.id) >= MOST_IMAGES {
            return Err(fault::limit(format!("A repository may have {MOST_IMAGES} images.")));
        }
        let named = self.state.index.registry.references(&self.repository.id);
        if named + manifest.layers.len() + manifest.images.len() > MOST_REFERENCES_IN_ALL {
            let message = format!("The images of a repository may refer to {MOST_REFERENCES_IN_ALL} others in all.");
            return Err(fault::limit(message));
        }
        let size = self.layers(&manifest.layers)?.saturating_add(self.listed(&manifest.images)?);
        let there = |part: &&Part| !part.is_foreign || self.state.layer(&self.repository.id, &part.digest).is_some();
        Ok(Image {
            repository: self.repository.id.clone(),
            digest: digest.to_owned(),
            media_type: manifest.media_type.clone(),
            artifact_type: manifest.artifact_type.clone(),
            manifest_size: i64::try_from(self.push.bytes.len()).map_err(|_| Fault::internal())?,
            size,
            pushed_at: now,
            pulled_at: None,
            subject: manifest.subject.clone(),
            layers: manifest.layers.iter().filter(there).map(|part| part.digest.clone()).collect(),
            images: manifest.images.iter().filter(|part| self.is_here(part)).map(|part| part.digest.clone()).collect(),
            absent: manifest.images.iter().filter(|part| !self.is_here(part)).map(|part| part.digest.clone()).collect(),
        })
    }

    fn is_here(&self, part: &Part) -> bool {
        self.state.image(&self.repository.id, &part.digest).is_some()
    }

    /// Indexes that came from an upstream without this image have now what they lacked.
    fn complete(&self, changes: &mut Vec<Change>, image: &Image) {
        let waiting = self.state.index.registry.waiting(&image.key());
        let indexes = waiting.filter_map(|digest| self.state.image(&self.repository.id, digest));
        for index in indexes.take(MOST_COMPLETED) {
            let mut index = Image::clone(index);
            index.absent.retain(|digest| *digest != image.digest);
            index.images.push(image.digest.clone());
            index.size = index.size.saturating_add(image.size);
            changes.push(index.into());
        }
    }

    /// The sum of the layers' bytes, which must be there.
    fn layers(&self, parts: &[Part]) -> Result<i64, Fault> {
        let (mut sum, mut missing) = (0_i64, Vec::new());
        for part in parts {
            match self.state.layer(&self.repository.id, &part.digest) {
                Some(layer) if layer.size != part.size => return Err(wrong_size(part, layer.size)),
                Some(_) => sum = sum.saturating_add(part.size),
                None if part.is_foreign => {}
                None => missing.push(part.digest.as_str()),
            }
        }
        match missing.is_empty() {
            true => Ok(sum),
            false => Err(fault::no_layers(self.push.registry, self.push.repository, &missing)),
        }
    }

    /// As [`layers`](Self::layers), of what an index lists.
    fn listed(&self, parts: &[Part]) -> Result<i64, Fault> {
        let (mut sum, mut missing) = (0_i64, Vec::new());
        for part in parts {
            match self.state.image(&self.repository.id, &part.digest) {
                Some(image) if image.manifest_size != part.size => return Err(wrong_size(part, image.manifest_size)),
                Some(image) => sum = sum.saturating_add(image.size),
                None if self.push.looked_at.is_some() => {}
                None => missing.push(part.digest.as_str()),
            }
        }
        if !missing.is_empty() {
            return Err(fault::no_images(self.push.registry, self.push.repository, &missing));
        }
        self.check_depth(parts)?;
        Ok(sum)
    }

    /// No cycle can be made of digests, but a long way down can.
    fn check_depth(&self, parts: &[Part]) -> Result<(), Fault> {
        let mut looked = 0;
        let mut level: Vec<&str> = parts.iter().map(|part| part.digest.as_str()).collect();
        for _ in 0..DEEPEST {
            let mut below = HashMap::new();
            for image in level.iter().filter_map(|digest| self.state.image(&self.repository.id, digest)) {
                looked += image.images.len();
                if looked > MOST_LISTED {
                    return Err(fault::manifest("The indexes that it lists list too many"));
                }
                below.extend(image.images.iter().map(|digest| (digest.as_str(), ())));
            }
            level = below.into_keys().collect();
        }
        match level.is_empty() {
            true => Ok(()),
            false => Err(fault::manifest(format!("Indexes are more than {DEEPEST} deep"))),
        }
    }

    /// Has the tags lead to the image. Returns those that did not, or that an upstream had lead there.
    fn tag(&self, changes: &mut Vec<Change>, digest: &str, now: Timestamp) -> Result<Vec<String>, Fault> {
        let (mut moved, mut more): (Vec<String>, usize) = (Vec::new(), 0);
        for tag in self.push.tags {
            let row = ImageTag {
                repository: self.repository.id.clone(),
                tag: (*tag).to_owned(),
                digest: digest.to_owned(),
                moved_at: now,
                looked_at: self.push.looked_at,
            };
            let known = self.state.image_tags.get(&row.key());
            let is_import = row.looked_at.is_some();
            let is_own = known.is_some_and(|known| known.looked_at.is_none());
            let leads_there = known.is_some_and(|known| known.digest == digest);
            // What somebody pushed stays that one's, and what is pushed over an import is the pusher's.
            let stays = if is_import { is_own || leads_there } else { is_own && leads_there };
            if stays || moved.contains(&row.tag) {
                changes.extend(known.and_then(|known| known.looked_again(row.looked_at)).map(Change::from));
                continue;
            }
            if known.is_some() && !leads_there && is_immutable(self.repository, tag) {
                return Err(fault::immutable(self.push.repository, tag));
            }
            more += usize::from(!leads_there);
            moved.push(row.tag.clone());
            changes.push(row.into());
        }
        let there = self.state.index.registry.tags(&content_key(&self.repository.id, digest)).len();
        match there + more > MOST_TAGS && more > 0 {
            true => Err(fault::limit(format!("An image may have {MOST_TAGS} tags."))),
            false => Ok(moved),
        }
    }
}

fn wrong_size(part: &Part, size: i64) -> Fault {
    fault::manifest(format!("{} has {size} bytes, not {}", part.digest, part.size))
}

/// Whether a tag may not be moved.
pub fn is_immutable(repository: &Repository, tag: &str) -> bool {
    let takes = |filter: &Option<String>| filter.as_deref().is_some_and(|filter| pattern::matches(filter, tag));
    let is_excluded = || repository.exclusions.iter().any(|one| takes(&one.filter));
    match repository.mutability {
        Mutability::Immutable => true,
        Mutability::ImmutableWithExclusion => !is_excluded(),
        Mutability::MutableWithExclusion => is_excluded(),
        _ => false,
    }
}
