//! The documents of an image, read strictly: index, manifest and configuration.
//!
//! A document that can be read in two ways is refused (a manifest that is also an index, CVE-2021-41190; a media type
//! other than the one it was served as), as are digests but lower-case sha256, sizes below zero or beyond reason, more
//! layers than an overlay holds, and layers kept elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use super::error::Error;

/// Largest index or manifest, as registries have it.
pub(super) const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;
/// Largest image configuration.
pub(super) const LARGEST_CONFIG: u64 = 4 * 1024 * 1024;
/// Largest compressed layer.
const LARGEST_LAYER: u64 = 64 * 1024 * 1024 * 1024;
/// Most layers of an image, as Docker has it.
const MOST_LAYERS: usize = 127;
/// Most entries of an index.
const MOST_MANIFESTS: usize = 1000;

/// Media types of an image manifest.
pub(super) const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
/// Media types of an index.
pub(super) const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
const LAYERS: [&str; 6] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
];

/// A sha256 digest: `sha256:` and 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Digest(String);

impl Digest {
    /// Reads a digest.
    ///
    /// # Errors
    /// `Malformed` for any other algorithm, length or alphabet.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let good = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(Self(text.to_owned())) } else { Err(Error::malformed("digest", "not a sha256 digest")) }
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hash(sha2::Sha256::digest(bytes).as_slice())
    }

    pub(super) fn from_hash(hash: &[u8]) -> Self {
        Self(format!("sha256:{}", hex::encode(hash)))
    }

    /// `sha256:…`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A pointer to content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    /// Bytes.
    pub(super) size: u64,
}

/// What a name in a registry or an archive leads to.
#[derive(Debug)]
pub(super) enum Document {
    Manifest(Manifest),
    Index(Index),
}

/// An image for one platform.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) media_type: String,
    pub(super) config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A list of manifests.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) media_type: String,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    descriptor: Descriptor,
    platform: Option<Platform>,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDocument {
    schema_version: i64,
    media_type: Option<String>,
    config: Option<RawDescriptor>,
    layers: Option<Vec<RawDescriptor>>,
    manifests: Option<Vec<RawDescriptor>>,
    fs_layers: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDescriptor {
    media_type: Option<String>,
    digest: String,
    size: i64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl RawDescriptor {
    fn check(&self, what: &'static str, types: &[&str], largest: u64) -> Result<Descriptor, Error> {
        let media_type = self.media_type.clone().unwrap_or_default();
        if !types.contains(&media_type.as_str()) {
            return Err(Error::malformed(what, format!("media type {media_type:?} is not supported")));
        }
        let digest = Digest::parse(&self.digest)?;
        match u64::try_from(self.size) {
            Ok(size) if size <= largest => Ok(Descriptor { media_type, digest, size }),
            _ => Err(Error::malformed(what, format!("size {} is out of range", self.size))),
        }
    }
}

/// Reads an index or a manifest that was served as `served_as`, when that is known.
pub(super) fn parse(bytes: &[u8], served_as: Option<&str>) -> Result<Document, Error> {
    let raw: RawDocument = serde_json::from_slice(bytes).map_err(|error| Error::malformed("manifest", error))?;
    if raw.schema_version != 2 || raw.fs_layers.is_some() {
        return Err(Error::malformed("manifest", format!("schema version {} is not supported", raw.schema_version)));
    }
    let is_image = raw.config.is_some() || raw.layers.is_some();
    match (is_image, raw.manifests.is_some()) {
        (true, true) => Err(Error::malformed("manifest", "it is both a manifest and an index")),
        (false, false) => Err(Error::malformed("manifest", "it has neither layers nor manifests")),
        (true, false) => manifest(raw, served_as).map(Document::Manifest),
        (false, true) => index(raw, served_as).map(Document::Index),
    }
}

/// The one media type of a document, from the document and from how it was served, which must agree.
fn media_type(inside: Option<String>, served_as: Option<&str>, types: [&str; 2]) -> Result<String, Error> {
    let known = |name: &&str| MANIFESTS.contains(name) || INDEXES.contains(name);
    let outside = served_as.filter(known);
    let named = match (inside.as_deref(), outside) {
        (Some(inside), Some(outside)) if inside != outside => {
            return Err(Error::malformed("manifest", format!("{inside} was served as {outside}")));
        }
        (inside, outside) => inside.or(outside).unwrap_or(types[0]).to_owned(),
    };
    if types.contains(&named.as_str()) {
        Ok(named)
    } else {
        Err(Error::malformed("manifest", format!("its content does not fit its media type {named:?}")))
    }
}

fn manifest(raw: RawDocument, served_as: Option<&str>) -> Result<Manifest, Error> {
    let media_type = media_type(raw.media_type, served_as, MANIFESTS)?;
    let config = raw.config.ok_or_else(|| Error::malformed("manifest", "it has no config"))?;
    let layers = raw.layers.unwrap_or_default();
    if layers.len() > MOST_LAYERS {
        return Err(Error::malformed("manifest", format!("{} layers are more than {MOST_LAYERS}", layers.len())));
    }
    let layers: Result<_, _> = layers.iter().map(|layer| layer.check("layer", &LAYERS, LARGEST_LAYER)).collect();
    Ok(Manifest { media_type, config: config.check("config", &CONFIGS, LARGEST_CONFIG)?, layers: layers? })
}

fn index(raw: RawDocument, served_as: Option<&str>) -> Result<Index, Error> {
    let media_type = media_type(raw.media_type, served_as, INDEXES)?;
    let manifests = raw.manifests.unwrap_or_default();
    if manifests.len() > MOST_MANIFESTS {
        return Err(Error::malformed("index", format!("{} manifests are too many", manifests.len())));
    }
    let types: Vec<&str> = MANIFESTS.into_iter().chain(INDEXES).collect();
    let entries: Result<_, _> = manifests.into_iter().map(|raw| entry(raw, &types)).collect();
    Ok(Index { media_type, entries: entries? })
}

fn entry(raw: RawDescriptor, types: &[&str]) -> Result<Entry, Error> {
    let descriptor = raw.check("index", types, LARGEST_MANIFEST)?;
    Ok(Entry { descriptor, platform: raw.platform, annotations: raw.annotations.unwrap_or_default() })
}

impl Index {
    /// The entry for `linux/<architecture>`; an entry without platform is taken when nothing fits better.
    pub(super) fn choose(&self, architecture: &str) -> Result<&Descriptor, Error> {
        let rank = |entry: &&Entry| match &entry.platform {
            Some(platform) if platform.os != "linux" || platform.architecture != architecture => None,
            Some(Platform { variant: None, .. }) => Some(0),
            Some(Platform { variant: Some(variant), .. }) if matches!(variant.as_str(), "" | "v1" | "v8") => Some(1),
            None => Some(2),
            Some(_) => Some(3),
        };
        let ranked = self.entries.iter().filter_map(|entry| Some((rank(&entry)?, entry)));
        let best = ranked.min_by_key(|(rank, _)| *rank).map(|(_, entry)| &entry.descriptor);
        best.ok_or_else(|| Error::Platform(format!("linux/{architecture}")))
    }

    /// The annotation `name` of the first entry that has it.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.entries.iter().find_map(|entry| entry.annotations.get(name)).map(String::as_str)
    }
}

/// The architecture of this machine as images name it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn descriptor(media_type: &str, size: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"sha256:{HEX}","size":{size}}}"#)
    }

    fn image(size: &str, layers: usize, more: &str) -> String {
        let layer = descriptor(LAYERS[1], size);
        let layers = vec![layer; layers].join(",");
        let config = descriptor(CONFIGS[0], "10");
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]{more}}}"#)
    }

    fn refusal(text: &str, served_as: Option<&str>) -> String {
        match parse(text.as_bytes(), served_as) {
            Err(Error::Malformed { reason, .. }) => reason,
            other => panic!("{text:.200}: {other:?}"),
        }
    }

    #[test]
    fn a_plain_manifest_is_read() {
        let Document::Manifest(manifest) = parse(image("5", 2, "").as_bytes(), Some(MANIFESTS[1])).unwrap() else {
            panic!("not a manifest")
        };
        assert_eq!((manifest.layers.len(), manifest.layers[0].size), (2, 5));
        assert_eq!(manifest.media_type, MANIFESTS[1]);
    }

    #[test]
    fn documents_that_break_a_rule_are_refused() {
        let foreign = image("5", 1, "").replace(LAYERS[1], "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let rows = [
            (image("5", 1, r#","manifests":[]"#), None, "both a manifest and an index"),
            (image("-1", 1, ""), None, "out of range"),
            (image("9223372036854775807", 1, ""), None, "out of range"),
            (image("9223372036854775808", 1, ""), None, "invalid"),
            (image("1e400", 1, ""), None, "out of range"),
            (image("5", 128, ""), None, "more than 127"),
            (image("5", 10_000, ""), None, "more than 127"),
            (foreign, None, "is not supported"),
            (image("5", 1, "").replace(HEX, &HEX[1..]), None, "not a sha256 digest"),
            (image("5", 1, "").replace(HEX, &HEX.to_uppercase()), None, "not a sha256 digest"),
            (image("5", 1, "").replace("sha256:", "sha512:"), None, "not a sha256 digest"),
            (image("5", 1, "").replace("sha256:", "sha256:../../"), None, "not a sha256 digest"),
            (image("5", 1, &format!(r#","mediaType":"{}""#, INDEXES[0])), None, "does not fit"),
            (image("5", 1, ""), Some(INDEXES[0]), "does not fit"),
            (image("5", 1, &format!(r#","mediaType":"{}""#, MANIFESTS[0])), Some(MANIFESTS[1]), "was served as"),
            (image("5", 1, r#","layers":[]"#), None, "duplicate field"),
            (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), None, "schema version 1"),
            (r#"{"schemaVersion":2}"#.to_owned(), None, "neither layers nor manifests"),
            (r#"{"schemaVersion":2,"layers":[]}"#.to_owned(), None, "no config"),
            ("[".repeat(100_000), None, ""),
            (String::new(), None, "EOF"),
        ];
        for (text, served_as, expected) in rows {
            let reason = refusal(&text, served_as);
            assert!(reason.contains(expected), "{text:.300}: {reason}");
        }
    }

    fn entry(os: &str, architecture: &str, variant: &str, size: u64) -> String {
        format!(
            r#"{{"mediaType":"{}","digest":"sha256:{HEX}","size":{size},
               "platform":{{"os":"{os}","architecture":"{architecture}"{variant}}}}}"#,
            MANIFESTS[0]
        )
    }

    #[test]
    fn the_entry_of_the_platform_is_chosen() {
        let entries = [
            entry("unknown", "unknown", "", 1),
            entry("windows", "amd64", "", 2),
            entry("linux", "amd64", r#","variant":"v3""#, 3),
            entry("linux", "amd64", "", 4),
            entry("linux", "arm64", r#","variant":"v8""#, 5),
        ];
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
        let Document::Index(index) = parse(text.as_bytes(), None).unwrap() else { panic!("not an index") };
        assert_eq!(index.choose("amd64").unwrap().size, 4);
        assert_eq!(index.choose("arm64").unwrap().size, 5);
        assert!(matches!(index.choose("riscv64"), Err(Error::Platform(platform)) if platform == "linux/riscv64"));
    }
}
