//! Repositories of Amazon ECR and what is in them: images, tags, layers. Bytes are not here: a record names them by digest.
//!
//! ```text
//!     ImageTag ──► Image ──► Layer        all of one repository, by the repository's id
//!                    │ └───► Image        an index, and what it lists
//!                    └ ─ ─ ► Image        a subject, there or not
//! ```
//! A repository that is deleted goes alone, in one change; what was in it has its id, which no repository has again, and goes
//! bit by bit.

pub mod account;
pub mod cache;
mod digest;
pub mod pattern;
pub mod replication;
pub mod scan;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_api::ecr as api;
use longshore_wire::{Blob, Timestamp, record};

use crate::State;
use crate::arn::{Arn, Place};
use crate::ids::AccountId;

pub use account::{CreationTemplate, LifecyclePreview, RegistrySettings};
pub use cache::CacheRule;
pub use digest::{Algorithm, BadDigest, Digest};
pub use replication::{Destination, ImageReplication, RegistryReplication, Replica};
pub use scan::{ImageScan, RegistryScanning};

/// Repositories of an account: ECR's quota.
pub const MOST_REPOSITORIES: usize = 100_000;

/// Images of a repository: ECR's quota.
pub const MOST_IMAGES: usize = 100_000;

/// Tags of an image: ECR's quota.
pub const MOST_TAGS: usize = 1000;

/// What an image may name: configuration, layers, other images.
pub const MOST_REFERENCES: usize = 4096;

/// What all images of a repository may name: twenty layers each where there are as many as there may be.
pub const MOST_REFERENCES_IN_ALL: usize = 20 * MOST_IMAGES;

/// Layers of a repository that no image names, or not yet.
pub const MOST_LOOSE: usize = 100_000;

record! {
    /// A repository of an account's private registry.
    pub struct Repository {
        pub account: String = "account",
        /// May have slashes within: `team/web`.
        pub name: String = "name",
        /// What is in it lies under this. 32 hex digits; before them a letter where its bytes are sealed ([`sealed_id`]).
        pub id: String = "id",
        pub created_at: Timestamp = "createdAt",
        pub mutability: api::ImageTagMutability = "mutability",
        /// Which tags are excluded from the rule above.
        pub exclusions: Vec<api::ImageTagMutabilityExclusionFilter> = "exclusions",
        pub scan_on_push: bool = "scanOnPush",
        pub encryption: api::EncryptionType = "encryption",
        /// ARN of the key, of one that is encrypted by KMS.
        pub kms_key: Option<String> = "kmsKey",
        /// What its bytes are sealed under, as that key encrypted it.
        pub data_key: Option<Blob> = "dataKey",
        /// The resource policy: a document.
        pub policy: Option<String> = "policy",
        pub lifecycle: Option<Lifecycle> = "lifecycle",
        pub tags: BTreeMap<String, String> = "tags",
    }

    /// The lifecycle policy of a repository.
    pub struct Lifecycle {
        /// The document, as it was given.
        pub text: String = "text",
        pub set_at: Timestamp = "setAt",
        /// When it was last acted on.
        pub evaluated_at: Option<Timestamp> = "evaluatedAt",
    }

    /// A manifest or an index of a repository. Its bytes are those of its digest.
    pub struct Image {
        /// The repository's id.
        pub repository: String = "repository",
        pub digest: String = "digest",
        pub media_type: String = "mediaType",
        /// What kind of artifact it says it is; of an image the media type of its configuration.
        pub artifact_type: Option<String> = "artifactType",
        /// Bytes of the manifest itself.
        pub manifest_size: i64 = "manifestSize",
        /// Bytes of its configuration and layers, compressed; of an index, of what it lists.
        pub size: i64 = "size",
        pub pushed_at: Timestamp = "pushedAt",
        /// When it was last pulled, to a day.
        pub pulled_at: Option<Timestamp> = "pulledAt",
        /// Digest of the image that it is about.
        pub subject: Option<String> = "subject",
        /// Digests of its configuration and its layers, each once.
        pub layers: Vec<String> = "layers",
        /// Digests of the images that it lists, each once.
        pub images: Vec<String> = "images",
        /// Of an index that came from an upstream: what it lists that is not here, and comes when it is asked for.
        pub absent: Vec<String> = "absent",
    }

    /// Where a tag leads. To move it is one change.
    pub struct ImageTag {
        /// The repository's id.
        pub repository: String = "repository",
        pub tag: String = "tag",
        pub digest: String = "digest",
        pub moved_at: Timestamp = "movedAt",
        /// When the upstream that it came from was last asked where it leads; none for one that was pushed.
        pub looked_at: Option<Timestamp> = "lookedAt",
    }

    /// A blob that was pushed to, or mounted into, a repository. Only there it may be pulled, or named by an image.
    pub struct Layer {
        /// The repository's id.
        pub repository: String = "repository",
        pub digest: String = "digest",
        /// Bytes.
        pub size: i64 = "size",
        pub pushed_at: Timestamp = "pushedAt",
    }
}

/// `ACCOUNT/NAME`; without the name, what the keys of an account's repositories begin with.
pub fn key(account: &str, name: &str) -> String {
    format!("{account}/{name}")
}

/// Of an image or a layer: `REPOSITORY@DIGEST`; without the digest, what the keys of all those of a repository begin with.
pub fn content_key(repository: &str, digest: &str) -> String {
    format!("{repository}@{digest}")
}

/// Of a tag: `REPOSITORY:TAG`; without the tag, what the keys of all those of a repository begin with.
pub fn tag_key(repository: &str, tag: &str) -> String {
    format!("{repository}:{tag}")
}

/// What the ids of repositories begin with whose bytes are sealed. So the key of a record alone says where its bytes lie, also
/// when the repository is gone.
const SEALED: char = 'k';

/// The id of a repository whose bytes are sealed.
pub fn sealed_id(hex: &str) -> String {
    format!("{SEALED}{hex}")
}

/// Whether the bytes of the repository with this id are sealed, under a key of its own.
pub fn is_sealed(repository: &str) -> bool {
    repository.starts_with(SEALED)
}

/// What the bytes of a content are called: those that lie as they came by their digest, wherever they are named; those that
/// are sealed by their repository too.
pub fn bytes_key<'a>(repository: &str, digest: &'a str) -> Cow<'a, str> {
    match is_sealed(repository) {
        true => content_key(repository, digest).into(),
        false => digest.into(),
    }
}

/// The key of the repository with this ARN, whatever region it names.
pub fn key_of(arn: &str) -> Option<String> {
    let parsed = Arn::parse(arn).filter(|arn| arn.service == "ecr")?;
    AccountId::parse(parsed.account)?;
    Some(key(parsed.account, parsed.resource.strip_prefix("repository/")?))
}

impl Repository {
    /// A repository as ECR makes one of which nothing more is said.
    pub fn new(account: &str, name: &str, id: &str, created_at: Timestamp) -> Self {
        Self {
            account: account.to_owned(),
            name: name.to_owned(),
            id: id.to_owned(),
            created_at,
            mutability: api::ImageTagMutability::Mutable,
            exclusions: Vec::new(),
            scan_on_push: false,
            encryption: api::EncryptionType::Aes256,
            kms_key: None,
            data_key: None,
            policy: None,
            lifecycle: None,
            tags: BTreeMap::new(),
        }
    }

    pub fn key(&self) -> String {
        key(&self.account, &self.name)
    }

    /// `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`
    pub fn arn(&self, place: &Place) -> String {
        place.arn("ecr", &format!("repository/{}", self.name))
    }
}

impl Image {
    /// An image that names nothing.
    pub fn new(repository: &str, digest: &str, pushed_at: Timestamp) -> Self {
        Self {
            repository: repository.to_owned(),
            digest: digest.to_owned(),
            media_type: String::new(),
            artifact_type: None,
            manifest_size: 0,
            size: 0,
            pushed_at,
            pulled_at: None,
            subject: None,
            layers: Vec::new(),
            images: Vec::new(),
            absent: Vec::new(),
        }
    }

    pub fn key(&self) -> String {
        content_key(&self.repository, &self.digest)
    }

    /// Digests of everything that it cannot be pulled without.
    pub fn parts(&self) -> impl Iterator<Item = &String> {
        self.layers.iter().chain(&self.images)
    }
}

impl ImageTag {
    pub fn key(&self) -> String {
        tag_key(&self.repository, &self.tag)
    }

    /// The tag, once the upstream that it came from has said that it still leads there; none for one that did not come so.
    pub fn looked_again(&self, at: Option<Timestamp>) -> Option<Self> {
        let looked_at = at.filter(|_| self.looked_at.is_some() && self.looked_at != at)?;
        Some(Self { looked_at: Some(looked_at), ..self.clone() })
    }
}

impl Layer {
    pub fn key(&self) -> String {
        content_key(&self.repository, &self.digest)
    }
}

impl State {
    /// The repository with this name.
    pub fn repository(&self, account: &str, name: &str) -> Option<&Arc<Repository>> {
        self.repositories.get(&key(account, name))
    }

    /// The repository that has this id, unless it was deleted.
    pub fn repository_of(&self, id: &str) -> Option<&Arc<Repository>> {
        self.repositories.get(self.index.registry.repository(id)?)
    }

    /// The image of a repository with this digest.
    pub fn image(&self, repository: &str, digest: &str) -> Option<&Arc<Image>> {
        self.images.get(&content_key(repository, digest))
    }

    /// The image that a tag of a repository leads to.
    pub fn tagged_image(&self, repository: &str, tag: &str) -> Option<&Arc<Image>> {
        let tag = self.image_tags.get(&tag_key(repository, tag))?;
        self.image(repository, &tag.digest)
    }

    /// The layer of a repository with this digest.
    pub fn layer(&self, repository: &str, digest: &str) -> Option<&Arc<Layer>> {
        self.layers.get(&content_key(repository, digest))
    }

    /// Images of a repository, by digest.
    pub fn images_of(&self, repository: &str) -> impl Iterator<Item = &Arc<Image>> {
        self.images.under(content_key(repository, ""))
    }

    /// Tags of a repository, by name.
    pub fn tags_of(&self, repository: &str) -> impl Iterator<Item = &Arc<ImageTag>> {
        self.image_tags.under(tag_key(repository, ""))
    }

    pub(crate) fn set_repository(&mut self, key: &Arc<str>, row: Option<&Arc<Repository>>) {
        let old = self.repositories.set(key, row);
        self.index.registry.replace_repository(key, old.as_deref(), row.map(AsRef::as_ref));
    }

    pub(crate) fn set_image(&mut self, key: &Arc<str>, row: Option<&Arc<Image>>) {
        let old = self.images.set(key, row);
        let layers = &self.layers;
        let pushed = |key: &str| layers.get(key).map(|layer| layer.pushed_at);
        self.index.registry.replace_image(key, old.as_deref(), row.map(AsRef::as_ref), pushed);
        self.index.scans.note_image(key, row.is_some(), self.image_scans.contains(key));
        let replication = self.image_replications.get(key).map(AsRef::as_ref);
        self.index.replications.note_image(key, row.is_some(), replication);
    }

    pub(crate) fn set_image_tag(&mut self, key: &Arc<str>, row: Option<&Arc<ImageTag>>) {
        let old = self.image_tags.set(key, row);
        self.index.registry.replace_tag(old.as_deref(), row.map(AsRef::as_ref));
    }

    pub(crate) fn set_layer(&mut self, key: &Arc<str>, row: Option<&Arc<Layer>>) {
        let old = self.layers.set(key, row);
        self.index.registry.replace_layer(key, old.as_deref(), row.map(AsRef::as_ref));
    }
}

#[cfg(test)]
mod tests;
