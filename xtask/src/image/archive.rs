//! An OCI layout of one image with one layer, in a tar file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The files of a layer, by path without a leading slash. A directory sorts before what is in it.
#[derive(Default)]
pub struct Layer(BTreeMap<String, Entry>);

enum Entry {
    Directory { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
}

/// What the containers of an image run.
pub struct Config {
    pub cmd: Vec<&'static str>,
    pub env: Vec<&'static str>,
    pub exposed: Vec<&'static str>,
}

impl Layer {
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.0.insert(path.to_owned(), Entry::Directory { mode });
    }

    pub fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), Entry::File { mode, bytes });
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.0.insert(path.to_owned(), Entry::Link { target: target.to_owned() });
    }

    fn tar(self) -> Result<Vec<u8>> {
        let mut builder = Builder::new(Vec::new());
        for (path, entry) in self.0 {
            match entry {
                Entry::Directory { mode } => {
                    builder.append_data(&mut header(EntryType::Directory, mode, 0), format!("{path}/"), &[][..])?;
                }
                Entry::File { mode, bytes } => {
                    let mut header = header(EntryType::Regular, mode, bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link { target } => {
                    builder.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)?;
                }
            }
        }
        Ok(builder.into_inner()?)
    }
}

/// A header without time and owner.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// The files of a layout under their digests.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = digest(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.0.insert(format!("blobs/sha256/{}", &digest["sha256:".len()..]), bytes);
        descriptor
    }
}

/// Writes the archive; the digest of its manifest.
pub fn write(path: &Path, layer: Layer, config: &Config) -> Result<String> {
    let tar = layer.tar()?;
    let mut blobs = Blobs::default();
    let document = document(config, &digest(&tar)).to_string();
    let config = blobs.add("application/vnd.oci.image.config.v1+json", document.into_bytes());
    let layer = blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", gzip(&tar)?);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let manifest = blobs.add(media_type, manifest.to_string().into_bytes());
    let index =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]});
    let mut files = blobs.0;
    files.insert("index.json".to_owned(), index.to_string().into_bytes());
    files.insert("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes());
    let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
    let mut builder = Builder::new(file);
    for (name, bytes) in files {
        builder.append_data(&mut header(EntryType::Regular, 0o644, bytes.len() as u64), name, bytes.as_slice())?;
    }
    builder.into_inner()?.flush()?;
    Ok(manifest["digest"].as_str().unwrap_or_default().to_owned())
}

fn document(config: &Config, diff_id: &str) -> Value {
    let exposed: serde_json::Map<String, Value> =
        config.exposed.iter().map(|port| (port.to_string(), json!({}))).collect();
    json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Cmd": config.cmd, "Env": config.env, "ExposedPorts": exposed},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image"}],
    })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
