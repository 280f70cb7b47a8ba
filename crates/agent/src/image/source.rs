//! Where the content of an image comes from.

use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;

use super::archive::Archive;
use super::document::{self, Descriptor, Digest, Document, INDEXES, LARGEST_MANIFEST, MANIFESTS, Manifest};
use super::error::Error;
use super::reference::Name;
use super::registry::Registry;
use super::store::Store;
use super::writer::Blob;

/// A place that has documents and blobs.
pub(super) enum Source {
    /// A registry.
    Registry(Registry),
    /// An archive.
    Archive(Archive),
    /// The content store itself, for images that somebody else put there and nobody unpacked.
    Store(Store),
}

/// A document and what points to it.
pub(super) type Written = (Descriptor, Bytes);

/// What a name leads to on this machine's platform.
pub(super) struct Resolved {
    /// The index, where the name leads to one.
    pub(super) index: Option<Written>,
    pub(super) written: Written,
    pub(super) manifest: Manifest,
}

impl Resolved {
    /// What the name itself leads to.
    pub(super) fn target(&self) -> &Descriptor {
        self.index.as_ref().map_or(&self.written.0, |(descriptor, _)| descriptor)
    }
}

impl Source {
    /// Finds the image that `name` has in a registry, for this machine.
    pub(super) async fn resolve(&self, name: &Name) -> Result<Resolved, Error> {
        self.resolve_for(name, document::architecture()).await
    }

    /// Finds the image that `name` has in a registry, for Linux on an architecture.
    pub(super) async fn resolve_for(&self, name: &Name, architecture: &str) -> Result<Resolved, Error> {
        match self {
            Self::Registry(registry) => {
                let served = registry.document(&name.version()).await?;
                self.platform(served.bytes, served.media_type.as_deref(), architecture, true).await
            }
            Self::Archive(archive) => self.platform(archive.index.clone(), None, architecture, false).await,
            Self::Store(_) => Err(Error::NotFound(name.to_string())),
        }
    }

    /// Finds the image behind a document that is in the content store.
    pub(super) async fn resolve_digest(&self, digest: &Digest) -> Result<Resolved, Error> {
        let bytes = self.document(digest, None).await?;
        self.platform(bytes, None, document::architecture(), true).await
    }

    /// Goes from a document to the manifest of a platform. An index leads to manifests only; but the outermost index
    /// of an archive may lead to the index of the image, and is not itself `kept`.
    async fn platform(
        &self,
        bytes: Bytes,
        served_as: Option<&str>,
        architecture: &str,
        kept: bool,
    ) -> Result<Resolved, Error> {
        let index = match document::parse(&bytes, served_as)? {
            Document::Manifest(manifest) => {
                let descriptor = describe(&manifest.media_type, &bytes);
                return Ok(Resolved { index: None, written: (descriptor, bytes), manifest });
            }
            Document::Index(index) => index,
        };
        let chosen = index.choose(architecture)?;
        let inner = self.document(&chosen.digest, Some(chosen)).await?;
        match document::parse(&inner, Some(&chosen.media_type))? {
            Document::Manifest(manifest) => {
                let index = kept.then(|| (describe(&index.media_type, &bytes), bytes));
                Ok(Resolved { index, written: (chosen.clone(), inner), manifest })
            }
            Document::Index(_) if kept => Err(Error::malformed("index", "it leads to another index")),
            Document::Index(_) => Box::pin(self.platform(inner, Some(&chosen.media_type), architecture, true)).await,
        }
    }

    /// A manifest or an index by digest, with the size its descriptor says.
    async fn document(&self, digest: &Digest, descriptor: Option<&Descriptor>) -> Result<Bytes, Error> {
        let bytes = match self {
            Self::Registry(registry) => {
                let served = registry.document(digest.as_str()).await?;
                check_type(served.media_type.as_deref(), descriptor)?;
                served.bytes
            }
            Self::Archive(archive) => archive.document(digest)?,
            Self::Store(store) => {
                let bytes = store.read(digest, LARGEST_MANIFEST).await?;
                bytes.ok_or_else(|| Error::NotFound(digest.to_string()))?.into()
            }
        };
        match descriptor {
            Some(descriptor) if descriptor.size != bytes.len() as u64 => Err(Error::Mismatch(digest.to_string())),
            _ => Ok(bytes),
        }
    }

    /// A small blob, checked.
    pub(super) async fn small(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let mut parts = self.blob(descriptor, 0).await?.bytes;
        let mut bytes = BytesMut::new();
        while let Some(part) = parts.next().await {
            bytes.extend_from_slice(&part?);
            if bytes.len() as u64 > descriptor.size {
                return Err(Error::Mismatch(descriptor.digest.to_string()));
            }
        }
        let good = bytes.len() as u64 == descriptor.size && Digest::of(&bytes) == descriptor.digest;
        if good { Ok(bytes.freeze()) } else { Err(Error::Mismatch(descriptor.digest.to_string())) }
    }

    /// A blob from `offset`, or from its beginning.
    pub(super) async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Blob, Error> {
        match self {
            Self::Registry(registry) => registry.blob(&descriptor.digest, offset).await,
            Self::Archive(archive) => archive.blob(&descriptor.digest, offset),
            Self::Store(store) => {
                let bytes = store.read(&descriptor.digest, document::LARGEST_CONFIG).await?;
                let bytes = Bytes::from(bytes.ok_or_else(|| Error::NotFound(descriptor.digest.to_string()))?);
                Ok(Blob { offset: 0, bytes: futures_util::stream::once(async { Ok(bytes) }).boxed() })
            }
        }
    }
}

fn describe(media_type: &str, bytes: &Bytes) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

/// A manifest must be served as what the index says it is.
fn check_type(served_as: Option<&str>, descriptor: Option<&Descriptor>) -> Result<(), Error> {
    let known = |name: &&str| MANIFESTS.contains(name) || INDEXES.contains(name);
    match (served_as.filter(known), descriptor) {
        (Some(served), Some(descriptor)) if served != descriptor.media_type => {
            Err(Error::malformed("manifest", format!("{} was served as {served}", descriptor.media_type)))
        }
        _ => Ok(()),
    }
}
