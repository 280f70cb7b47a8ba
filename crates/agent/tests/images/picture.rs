//! Images made for tests: documents and blobs under their digests, written as an OCI archive or served by a registry.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use longshore_agent::image::Digest;
use serde_json::{Value, json};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The blobs of an image, and the document its name leads to.
#[derive(Clone, Default)]
pub struct Picture {
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub top: Value,
}

/// The files of one layer: path and content.
pub type Files<'a> = &'a [(&'a str, &'a [u8])];

impl Picture {
    /// An image of these layers, lowest first.
    pub fn new(layers: &[Files]) -> Self {
        Self::of_tars(&layers.iter().map(|files| tar(files)).collect::<Vec<_>>())
    }

    /// An image of layers that are archives already.
    pub fn of_tars(tars: &[Vec<u8>]) -> Self {
        let packed = tars.iter().map(|tar| (LAYER, gzip(tar), Digest::of(tar).to_string())).collect();
        Self::packed(packed)
    }

    /// An image of layers that are packed already: media type, bytes, digest of what is in them.
    pub fn packed(layers: Vec<(&str, Vec<u8>, String)>) -> Self {
        let mut picture = Self::default();
        let diff_ids: Vec<String> = layers.iter().map(|(_, _, diff_id)| diff_id.clone()).collect();
        let layers: Vec<Value> = layers.into_iter().map(|(kind, bytes, _)| picture.add(kind, bytes)).collect();
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {"Cmd": ["/run"], "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = picture.add(CONFIG, config.to_string().into_bytes());
        picture
            .lead_to(MANIFEST, json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}));
        picture
    }

    /// The same image behind an index that also lists another platform.
    pub fn indexed(layers: &[Files]) -> Self {
        let mut picture = Self::new(layers);
        let mut own = picture.top.clone();
        own["platform"] = json!({"os": "linux", "architecture": architecture()});
        let mut other = picture.add(MANIFEST, b"{}".to_vec());
        other["platform"] = json!({"os": "windows", "architecture": "amd64"});
        picture.lead_to(INDEX, json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, own]}));
        picture
    }

    pub fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.blobs.insert(digest, bytes);
        descriptor
    }

    pub fn lead_to(&mut self, media_type: &str, document: Value) {
        self.top = self.add(media_type, document.to_string().into_bytes());
    }

    /// Changes the document that the name leads to.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let media_type = self.top["mediaType"].as_str().unwrap().to_owned();
        let mut document: Value = serde_json::from_slice(&self.blobs[self.digest()]).unwrap();
        change(&mut document);
        self.lead_to(&media_type, document);
        self
    }

    /// Replaces the bytes of the first layer, but not its digest.
    pub fn corrupt(mut self) -> Self {
        let layer = self.layer();
        let bytes = self.blobs.get_mut(&layer).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        self
    }

    pub fn digest(&self) -> &str {
        self.top["digest"].as_str().unwrap()
    }

    /// The digest of the first layer.
    pub fn layer(&self) -> String {
        let document: Value = serde_json::from_slice(&self.blobs[self.digest()]).unwrap();
        document["layers"][0]["digest"].as_str().unwrap().to_owned()
    }

    /// Writes an OCI archive.
    pub fn write(&self, path: &Path, packed: bool) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [self.top]}).to_string();
        let blobs =
            self.blobs.iter().map(|(digest, bytes)| (format!("blobs/{}", digest.replace(':', "/")), bytes.as_slice()));
        let layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
        let files = [("oci-layout".to_owned(), layout), ("index.json".to_owned(), index.as_bytes())];
        let files: Vec<(String, &[u8])> = files.into_iter().chain(blobs).collect();
        let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let bytes = tar(&borrowed);
        std::fs::write(path, if packed { gzip(&bytes) } else { bytes }).unwrap();
    }
}

pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Bytes that do not compress.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn tar(files: Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o755);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
