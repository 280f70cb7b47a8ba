//! What may be pushed: OCI's manifests and indexes, and Docker's of schema 2.
//!
//! Read strictly: one that is a manifest to one reader and an index to another is none here (CVE-2021-41190).

use longshore_model::registry::{Digest, MOST_REFERENCES};
use longshore_wire::Fault;

use super::document::{self, Descriptor, Document};
use super::{MANIFEST, fault};

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Layers that their vendor gives and no registry need have: those of Windows.
const FOREIGN: [&str; 4] = [
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
];

/// Characters of a media type.
const LONGEST_TYPE: usize = 255;

/// What a descriptor names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub digest: String,
    pub size: i64,
    /// The repository may lack it, if it can be had from elsewhere.
    pub is_foreign: bool,
}

/// What is in a manifest, or an index, that is of use to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    /// As [`Image`](longshore_model::registry::Image) has it.
    pub artifact_type: Option<String>,
    pub subject: Option<String>,
    /// The configuration and the layers, each once.
    pub layers: Vec<Part>,
    /// What an index lists, each once.
    pub images: Vec<Part>,
}

impl Manifest {
    /// Reads what was pushed as of a media type; where none is given, it says so itself.
    ///
    /// # Errors
    /// `InvalidParameterException`
    pub fn read(bytes: &[u8], declared: Option<&str>) -> Result<Self, Fault> {
        if bytes.len() > MANIFEST {
            return Err(fault::manifest(format!("Member must have length less than or equal to {MANIFEST}")));
        }
        let document = document::read(bytes).map_err(fault::manifest)?;
        if document.schema_version != Some(2) {
            return Err(fault::manifest("Unsupported schema version: it must be 2"));
        }
        let has = |name| document.members.contains(&name);
        if has("manifests") && (has("layers") || has("config")) || has("fsLayers") || has("history") {
            return Err(fault::manifest("It must be a manifest, or an index, and not both"));
        }
        let lists = has("manifests");
        let media_type = media_type(&document, lists, declared)?;
        let is_index = matches!(media_type.as_str(), OCI_INDEX | DOCKER_LIST);
        if is_index != lists {
            return Err(fault::manifest(format!("What it has is not what {media_type} has")));
        }
        if is_index { Self::of_list(media_type, document) } else { Self::of_image(media_type, document) }
    }

    fn of_image(media_type: String, document: Document) -> Result<Self, Fault> {
        let config = document.config.ok_or_else(|| fault::manifest("config is missing"))?;
        let layers = document.layers.ok_or_else(|| fault::manifest("layers is missing"))?;
        let config_type = checked_type(&config)?.to_owned();
        let artifact_type = document.artifact_type.unwrap_or(config_type);
        let parts = [part(&config, false)].into_iter().chain(layers.iter().map(|layer| part(layer, true)));
        Ok(Self {
            media_type,
            artifact_type: Some(artifact_type),
            subject: subject(document.subject)?,
            layers: once(parts)?,
            images: Vec::new(),
        })
    }

    fn of_list(media_type: String, document: Document) -> Result<Self, Fault> {
        let listed = document.manifests.unwrap_or_default();
        for descriptor in &listed {
            if ![OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&checked_type(descriptor)?) {
                return Err(fault::manifest("An index lists manifests and indexes"));
            }
        }
        Ok(Self {
            media_type,
            artifact_type: document.artifact_type,
            subject: subject(document.subject)?,
            layers: Vec::new(),
            images: once(listed.iter().map(|listed| part(listed, false)))?,
        })
    }
}

/// What it is, as the request and the document say; they must not say different things.
fn media_type(document: &Document, is_index: bool, declared: Option<&str>) -> Result<String, Fault> {
    // Parameters (`; charset=utf-8`) say nothing of a manifest.
    let declared = declared.map(|declared| declared.split(';').next().unwrap_or_default().trim());
    let own = document.media_type.as_deref();
    if let (Some(own), Some(declared)) = (own, declared)
        && own != declared
    {
        let words = "The media type of the request is not that of the manifest";
        return Err(fault::parameter("ImageManifestMediaType", words));
    }
    let inferred = if is_index { OCI_INDEX } else { OCI_MANIFEST };
    let media_type = declared.or(own).unwrap_or(inferred);
    if ![OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].contains(&media_type) {
        return Err(fault::parameter("ImageManifestMediaType", "Unsupported manifest media type"));
    }
    if let Some(artifact_type) = &document.artifact_type {
        check_type(artifact_type)?;
    }
    Ok(media_type.to_owned())
}

fn check_type(text: &str) -> Result<(), Fault> {
    let good = |byte: u8| byte.is_ascii_graphic();
    match !text.is_empty() && text.len() <= LONGEST_TYPE && text.bytes().all(good) {
        true => Ok(()),
        false => Err(fault::manifest("A media type is missing or none")),
    }
}

fn checked_type(descriptor: &Descriptor) -> Result<&str, Fault> {
    let media_type = descriptor.media_type.as_deref().unwrap_or_default();
    check_type(media_type).map(|()| media_type)
}

fn subject(given: Option<Descriptor>) -> Result<Option<String>, Fault> {
    given.map(|subject| part(&subject, false).map(|part| part.digest)).transpose()
}

fn part(descriptor: &Descriptor, may_be_foreign: bool) -> Result<Part, Fault> {
    let media_type = checked_type(descriptor)?;
    let digest = descriptor.digest.as_deref().ok_or_else(|| fault::manifest("digest is missing"))?;
    let digest = Digest::parse(digest).map_err(|why| fault::manifest(why.to_string()))?;
    let size = descriptor.size.filter(|size| *size >= 0);
    let size = size.ok_or_else(|| fault::manifest("A size is missing or below zero"))?;
    let urls = descriptor.urls.as_deref().unwrap_or_default();
    let is_web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    let is_foreign = may_be_foreign && FOREIGN.contains(&media_type);
    let may_have = urls.is_empty() || (is_foreign && urls.iter().all(is_web));
    if !may_have {
        return Err(fault::manifest("Only layers that are not for distribution have urls, of the web"));
    }
    Ok(Part { digest: digest.to_string(), size, is_foreign: is_foreign && !urls.is_empty() })
}

/// Each once; what is named twice is named alike.
fn once(parts: impl Iterator<Item = Result<Part, Fault>>) -> Result<Vec<Part>, Fault> {
    let mut sizes = std::collections::HashMap::new();
    let mut kept: Vec<Part> = Vec::new();
    for part in parts {
        let part = part?;
        match sizes.insert(part.digest.clone(), part.size) {
            None => kept.push(part),
            Some(size) if size == part.size => {}
            Some(_) => return Err(fault::manifest("One digest has two sizes")),
        }
        if kept.len() > MOST_REFERENCES {
            return Err(fault::manifest(format!("It refers to more than {MOST_REFERENCES} others")));
        }
    }
    Ok(kept)
}
