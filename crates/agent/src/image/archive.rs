//! An archive as a source of images: an OCI layout in a tar file, or what `docker save` wrote before it wrote those too.
//!
//! The archive is read once to learn where each blob lies; blobs are then read in place. A gzipped archive is unpacked
//! into a nameless temporary file first, with a bound on how far it may swell. Nothing is ever extracted by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures_util::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::document::{Digest, INDEXES, LARGEST_CONFIG, LARGEST_MANIFEST, MANIFESTS};
use super::error::Error;
use super::writer::Blob;

/// Most entries that are looked at.
const MOST_ENTRIES: usize = 100_000;
/// A gzipped archive may swell this many times once it is larger than `FREE`; gzip's own limit is a thousand.
const SWELLS: u64 = 200;
const FREE: u64 = 64 * 1024 * 1024;
/// Bytes read at once.
const CHUNK: u64 = 1024 * 1024;

/// An archive whose blobs are known.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    blobs: HashMap<Digest, Place>,
    /// The index document.
    pub(super) index: Bytes,
    /// The name the archive itself gives its image.
    pub(super) name: Option<String>,
}

#[derive(Debug, Clone)]
enum Place {
    File { offset: u64, size: u64 },
    Memory(Bytes),
}

/// Where the files of a tar lie: name to offset and size.
type Files = HashMap<String, (u64, u64)>;

/// One image of an old `docker save`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Archive {
    /// Opens an archive; blocks for as long as reading it takes.
    ///
    /// # Errors
    /// `Archive` when it is no archive of an image, swells too far, or names a file twice.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |error: std::io::Error| Error::Archive(format!("{}: {error}", path.display()));
        let file = File::open(path).map_err(refuse)?;
        let file = if is_gzip(&file).map_err(refuse)? { unzip(file, path).map_err(refuse)? } else { file };
        let files = find_files(&file).map_err(refuse)?;
        if files.contains_key("index.json") {
            return Self::layout(file, &files);
        }
        if files.contains_key("manifest.json") {
            return Self::saved(file, &files);
        }
        Err(Error::Archive("it holds neither an OCI layout (index.json) nor a docker save (manifest.json)".to_owned()))
    }

    fn layout(file: File, files: &Files) -> Result<Self, Error> {
        let version: serde_json::Value = json_file(&file, files, "oci-layout")?;
        if !version["imageLayoutVersion"].as_str().is_some_and(|version| version.starts_with("1.")) {
            return Err(Error::malformed("oci-layout", "imageLayoutVersion is not 1"));
        }
        let index = read_file(&file, files, "index.json")?;
        let blob = |(name, place): (&String, &(u64, u64))| {
            let digest = Digest::parse(&format!("sha256:{}", name.strip_prefix("blobs/sha256/")?)).ok()?;
            Some((digest, Place::File { offset: place.0, size: place.1 }))
        };
        Ok(Self { blobs: files.iter().filter_map(blob).collect(), file: Arc::new(file), index, name: None })
    }

    /// Makes the manifest and the index that an old `docker save` lacks.
    fn saved(file: File, files: &Files) -> Result<Self, Error> {
        let images: Vec<Saved> = json_file(&file, files, "manifest.json")?;
        let [image] = images.as_slice() else {
            return Err(Error::Archive(format!("it holds {} images where one was expected", images.len())));
        };
        let mut blobs = HashMap::new();
        let mut descriptor = |media_type: &str, name: &str| -> Result<serde_json::Value, Error> {
            let &(offset, size) = files.get(name).ok_or_else(|| Error::Archive(format!("{name} is missing")))?;
            let digest = hash(&file, offset, size)?;
            blobs.insert(digest.clone(), Place::File { offset, size });
            Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
        };
        let config = descriptor("application/vnd.oci.image.config.v1+json", &image.config)?;
        let layer = |name: &String| descriptor("application/vnd.oci.image.layer.v1.tar", name);
        let layers = image.layers.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFESTS[0], "config": config, "layers": layers});
        let manifest = Bytes::from(manifest.to_string());
        let digest = Digest::of(&manifest);
        let entry = json!({"mediaType": MANIFESTS[0], "digest": digest, "size": manifest.len()});
        let index = json!({"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [entry]});
        blobs.insert(digest, Place::Memory(manifest));
        let name = image.repo_tags.as_ref().and_then(|tags| tags.first().cloned());
        Ok(Self { file: Arc::new(file), blobs, index: Bytes::from(index.to_string()), name })
    }

    /// A small blob, checked against its digest.
    pub(super) fn document(&self, digest: &Digest) -> Result<Bytes, Error> {
        let bytes = match self.place(digest)? {
            Place::Memory(bytes) => bytes.clone(),
            Place::File { offset, size } => read_at(&self.file, *offset, *size, LARGEST_MANIFEST.max(LARGEST_CONFIG))?,
        };
        if Digest::of(&bytes) == *digest { Ok(bytes) } else { Err(Error::Mismatch(digest.to_string())) }
    }

    /// The bytes of a blob from `offset`.
    pub(super) fn blob(&self, digest: &Digest, offset: u64) -> Result<Blob, Error> {
        let (start, size) = match self.place(digest)? {
            Place::Memory(bytes) => {
                let bytes = bytes.clone();
                return Ok(Blob { offset: 0, bytes: stream::once(async { Ok(bytes) }).boxed() });
            }
            Place::File { offset, size } => (*offset, *size),
        };
        let (file, end) = (Arc::clone(&self.file), start + size);
        let bytes = stream::try_unfold(start + offset.min(size), move |at| {
            let file = Arc::clone(&file);
            async move {
                let length = CHUNK.min(end - at);
                if length == 0 {
                    return Ok(None);
                }
                let part = tokio::task::spawn_blocking(move || read_at(&file, at, length, CHUNK)).await;
                let part = part.map_err(|error| Error::Archive(error.to_string()))??;
                Ok(Some((part, at + length)))
            }
        });
        Ok(Blob { offset: offset.min(size), bytes: bytes.boxed() })
    }

    fn place(&self, digest: &Digest) -> Result<&Place, Error> {
        self.blobs.get(digest).ok_or_else(|| Error::Archive(format!("blob {digest} is missing")))
    }
}

fn is_gzip(mut file: &File) -> std::io::Result<bool> {
    let mut magic = [0; 2];
    let length = file.read_at(&mut magic, 0)?;
    file.rewind()?;
    Ok(length == 2 && magic == [0x1f, 0x8b])
}

/// Unpacks a gzipped file into a nameless one beside it.
fn unzip(file: File, path: &Path) -> std::io::Result<File> {
    let packed = file.metadata()?.len();
    let most = FREE.max(packed.saturating_mul(SWELLS));
    let mut unpacked = nameless(path)?;
    let written = std::io::copy(&mut MultiGzDecoder::new(BufReader::new(file)).take(most + 1), &mut unpacked)?;
    if written > most {
        return Err(std::io::Error::other(format!("it swells to more than {most} bytes")));
    }
    unpacked.flush()?;
    Ok(unpacked)
}

/// A file without a name, beside `path` or in the temporary directory.
fn nameless(path: &Path) -> std::io::Result<File> {
    let open = |place: &Path| {
        File::options().read(true).write(true).mode(0o600).custom_flags(nix::libc::O_TMPFILE).open(place)
    };
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    open(beside).or_else(|_| open(&std::env::temp_dir()))
}

/// Learns where the regular files of a tar lie. Other entries are passed over: nothing in a layout needs them.
fn find_files(mut file: &File) -> std::io::Result<Files> {
    file.seek(SeekFrom::Start(0))?;
    let length = file.metadata()?.len();
    let mut archive = tar::Archive::new(file);
    let mut files = Files::new();
    for (number, entry) in archive.entries_with_seek()?.enumerate() {
        let entry = entry.map_err(|error| unreadable(error, number))?;
        if number >= MOST_ENTRIES {
            return Err(std::io::Error::other(format!("it has more than {MOST_ENTRIES} entries")));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(std::io::Error::other(format!("{name} is cut short")));
        }
        if files.insert(name.clone(), (offset, size)).is_some() {
            return Err(std::io::Error::other(format!("{name} is there twice")));
        }
    }
    Ok(files)
}

/// What is wrong with a file whose entry of this number cannot be read. The words of the reader quote the file's bytes,
/// whatever they are; those of the operating system do not.
fn unreadable(error: std::io::Error, number: usize) -> std::io::Error {
    match (error.raw_os_error(), number) {
        (Some(_), _) => error,
        (None, 0) => std::io::Error::other("it is no tar archive, plain or gzipped"),
        (None, _) => std::io::Error::other(format!("it is damaged after {number} entries")),
    }
}

fn read_file(file: &File, files: &Files, name: &str) -> Result<Bytes, Error> {
    let &(offset, size) = files.get(name).ok_or_else(|| Error::Archive(format!("{name} is missing")))?;
    read_at(file, offset, size, LARGEST_MANIFEST)
}

fn json_file<T: serde::de::DeserializeOwned>(file: &File, files: &Files, name: &'static str) -> Result<T, Error> {
    let bytes = read_file(file, files, name)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::malformed(name, error))
}

fn read_at(file: &File, offset: u64, size: u64, largest: u64) -> Result<Bytes, Error> {
    let length = usize::try_from(size).ok().filter(|_| size <= largest);
    let length = length.ok_or_else(|| Error::malformed("document", format!("{size} bytes are more than {largest}")))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map_err(|error| Error::Archive(error.to_string()))?;
    Ok(bytes.into())
}

fn hash(file: &File, offset: u64, size: u64) -> Result<Digest, Error> {
    let mut hasher = Sha256::new();
    let mut done = 0;
    while done < size {
        let length = CHUNK.min(size - done);
        hasher.update(read_at(file, offset + done, length, CHUNK)?);
        done += length;
    }
    Ok(Digest::from_hash(hasher.finalize().as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a tar of the given files, gzipped if asked, and opens it.
    fn check(files: &[(&str, &[u8])], gzip: bool) -> Result<Archive, Error> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        let mut bytes = builder.into_inner().unwrap();
        if gzip {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&bytes).unwrap();
            bytes = encoder.finish().unwrap();
        }
        open_bytes(&bytes)
    }

    fn open_bytes(bytes: &[u8]) -> Result<Archive, Error> {
        let mut file = nameless(Path::new("/tmp/x")).unwrap();
        file.write_all(bytes).unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        Archive::open(Path::new(&path))
    }

    const LAYOUT: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    const INDEX: (&str, &[u8]) = ("index.json", b"{}");

    #[test]
    fn the_blobs_of_a_layout_are_found_packed_or_not() {
        let digest = Digest::of(b"hello");
        let name = format!("blobs/sha256/{}", digest.hex());
        for gzip in [false, true] {
            let archive = check(&[LAYOUT, INDEX, (&name, b"hello")], gzip).unwrap();
            assert_eq!(archive.document(&digest).unwrap(), "hello");
        }
    }

    #[test]
    fn archives_that_break_a_rule_are_refused() {
        type Files<'a> = &'a [(&'a str, &'a [u8])];
        let rows: &[(Files, &str)] = &[
            (&[], "neither"),
            (&[("etc/passwd", b"x")], "neither"),
            (&[INDEX], "oci-layout is missing"),
            (&[("oci-layout", b"{}"), INDEX], "imageLayoutVersion"),
            (&[LAYOUT, INDEX, INDEX], "there twice"),
            (&[("manifest.json", b"[]")], "0 images"),
            (&[("manifest.json", br#"[{"Config":"c","Layers":["../l"]}]"#)], "c is missing"),
        ];
        for (files, expected) in rows {
            let reason = check(files, false).unwrap_err().to_string();
            assert!(reason.contains(expected), "{files:?}: {reason}");
        }
    }

    #[test]
    fn content_that_is_not_what_its_name_says_is_refused() {
        let digest = Digest::of(b"hello");
        let name = format!("blobs/sha256/{}", digest.hex());
        let archive = check(&[LAYOUT, INDEX, (&name, b"hullo")], false).unwrap();
        assert!(matches!(archive.document(&digest), Err(Error::Mismatch(_))));
    }

    #[test]
    fn an_archive_that_swells_without_end_is_refused() {
        let zeros = vec![0; 80 * 1024 * 1024];
        let reason = check(&[LAYOUT, INDEX, ("blobs/x", &zeros)], true).unwrap_err().to_string();
        assert!(reason.contains("swells"), "{reason}");
    }

    #[test]
    fn noise_and_cut_archives_are_refused() {
        let mut cut = vec![0; 512];
        cut[..5].copy_from_slice(b"a.txt");
        for bytes in [&b""[..], &[7; 3000], &cut, b"\x1f\x8bnoise"] {
            assert!(matches!(open_bytes(bytes), Err(Error::Archive(_))), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn what_is_no_archive_is_not_quoted() {
        let noise = vec![0xfe; 3000];
        let mut damaged = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(5);
        damaged.append_data(&mut header, "a", &b"hello"[..]).unwrap();
        let mut damaged = damaged.into_inner().unwrap();
        damaged.truncate(1024);
        damaged.extend(&noise);
        for (bytes, expected) in [
            (&noise[..], "it is no tar archive, plain or gzipped"),
            (&b"PRETTY_NAME=secret\n".repeat(100), "it is no tar archive, plain or gzipped"),
            (b"short", "it is no tar archive, plain or gzipped"),
            (&damaged, "it is damaged after 1 entries"),
        ] {
            let reason = open_bytes(bytes).unwrap_err().to_string();
            assert!(reason.ends_with(expected), "{reason}");
        }
        let directory = Archive::open(Path::new("/")).unwrap_err().to_string();
        assert!(directory.contains("Is a directory"), "{directory}");
    }
}
