//! The loop that scans images: one after the other, the one first that was asked for first.
//!
//! A scan reads its image's layers from the bytes of the registry, lays the packages beside the database that was imported
//! last, and writes what came of it. One that was cut short is carried out again. That there is no database, or nothing in it
//! for the image's distribution, is a failure, never "no findings".

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_api::ecr as api;
use longshore_model::Change;
use longshore_model::registry::{Algorithm, Digest, Image, ImageScan};
use longshore_scan::{Database, Findings, Limits, System, find_until, read_layers};
use longshore_services::ecr::content;
use longshore_services::ecr::scan::line;
use longshore_services::ecr::seal;
use longshore_store::blobs::{Blobs, Kept, READ, Reader};
use longshore_wire::{Fault, Timestamp};
use tokio::sync::oneshot;

use crate::{Server, clock};

/// How soon a scan begins.
const PERIOD: Duration = Duration::from_secs(1);

/// Before another try when what came of a scan could not be written.
const PAUSE: Duration = Duration::from_secs(60);

/// How long a scan may take; the others wait meanwhile.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// How often a scan is begun: one may take more memory than there is, and end the process each time.
const MOST_TRIES: i64 = 2;

/// Bytes of a manifest.
const MANIFEST: u64 = 4 * 1024 * 1024;

/// Bytes of what is said of a scan.
const LONGEST_DESCRIPTION: usize = 1000;

/// What ECR says of an image that it cannot scan.
const UNSUPPORTED: &str = "UnsupportedImageError: The operating system and/or package manager are not supported.";
const COMPLETE: &str = "The scan was completed successfully.";

pub(crate) async fn run(server: Arc<Server>) {
    loop {
        let Some((image, scan)) = next(&server) else {
            tokio::time::sleep(PERIOD).await;
            continue;
        };
        let turn = {
            let (server, scan) = (server.clone(), scan.clone());
            alone(move || turn(&server, &image, &scan)).await
        };
        match turn {
            Ok(Turn::Scanned) => {}
            Ok(Turn::Over) => tokio::time::sleep(PERIOD).await,
            Ok(Turn::Unwritten) => tokio::time::sleep(PAUSE).await,
            // The others go on.
            Err(error) => {
                tracing::error!(%error, "a scan broke off");
                give_up(&server, &scan);
                tokio::time::sleep(PERIOD).await;
            }
        }
    }
}

/// Does something on a thread of its own: it takes minutes, and threads that may wait are few.
///
/// # Errors
/// If it panics.
async fn alone<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("scan".to_owned()).spawn(move || drop(tell.send(work())))?;
    told.await.map_err(io::Error::other)
}

enum Turn {
    Scanned,
    /// The process ends.
    Over,
    /// What came of it is lost.
    Unwritten,
}

/// The image and the scan whose turn it is.
fn next(server: &Server) -> Option<(Arc<Image>, Arc<ImageScan>)> {
    let state = server.store.read();
    let key = state.index.scans.unfinished().next()?;
    Some((state.images.get(key)?.clone(), state.image_scans.get(key)?.clone()))
}

fn give_up(server: &Server, scan: &ImageScan) {
    let outcome = Outcome::failed("the scan broke off because of a failure of the registry");
    write(server, scan, ImageScan { completed_at: Some(clock::now()), ..outcome.of(scan) });
}

fn turn(server: &Server, image: &Image, scan: &ImageScan) -> Turn {
    let Some(begun) = begun(scan) else {
        let outcome = Outcome::failed("the registry ended each time that the image was scanned");
        let ended = ImageScan { completed_at: Some(clock::now()), ..outcome.of(scan) };
        return if write(server, scan, ended) { Turn::Scanned } else { Turn::Unwritten };
    };
    if !write(server, scan, begun) {
        return Turn::Unwritten;
    }
    let is_over = || *server.stop.borrow();
    let outcome = match bytes(server, image) {
        Ok(blobs) => Scanner { blobs: &blobs, database: &server.scan_database, is_over: &is_over }.scan(image),
        Err(fault) => Outcome::failed(fault.message),
    };
    if is_over() {
        // The next process carries it out, as if it had not been begun.
        write(server, scan, scan.clone());
        return Turn::Over;
    }
    let ended = ImageScan { completed_at: Some(clock::now()), ..outcome.of(scan) };
    // The findings are pinned until the record that holds them is written.
    match write(server, scan, ended) {
        true => Turn::Scanned,
        false => Turn::Unwritten,
    }
}

/// A scan that is begun; `None` if it was often enough.
fn begun(scan: &ImageScan) -> Option<ImageScan> {
    let tries = scan.tries.unwrap_or(0);
    let begun = || ImageScan { status: api::ScanStatus::InProgress, tries: Some(tries + 1), ..scan.clone() };
    (tries < MOST_TRIES).then(begun)
}

/// Where the bytes of an image are.
///
/// # Errors
/// `KmsException` while its repository's key cannot be used.
fn bytes(server: &Server, image: &Image) -> Result<Blobs, Fault> {
    let state = server.store.read();
    let repository = state.repository_of(&image.repository).ok_or_else(Fault::internal)?;
    Ok(server.blobs.under(seal::of(&state, &server.settings, repository, clock::now())?))
}

/// Writes how a scan goes, unless it is none any more: another was asked for, or the image is gone.
fn write(server: &Server, scan: &ImageScan, now: ImageScan) -> bool {
    let written = server.store.transact(|state, changes: &mut Vec<Change>| {
        let known = state.image_scan(&scan.repository, &scan.digest);
        let is_same = known.is_some_and(|known| known.is_unfinished() && known.requested_at == scan.requested_at);
        if is_same && state.image(&scan.repository, &scan.digest).is_some() {
            changes.push(now.into());
        }
        Ok::<_, longshore_store::Full>(())
    });
    written.is_ok()
}

/// What came of a scan.
struct Outcome {
    status: api::ScanStatus,
    description: String,
    counts: BTreeMap<String, i32>,
    source_updated_at: Option<Timestamp>,
    findings: Option<Kept>,
}

impl Outcome {
    fn without_findings(status: api::ScanStatus, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { status, description, counts: BTreeMap::new(), source_updated_at: None, findings: None }
    }

    fn failed(description: impl std::fmt::Display) -> Self {
        Self::without_findings(api::ScanStatus::Failed, description.to_string())
    }

    fn of(&self, scan: &ImageScan) -> ImageScan {
        ImageScan {
            status: self.status,
            description: Some(cut(&self.description)),
            counts: self.counts.clone(),
            source_updated_at: self.source_updated_at,
            findings: self.findings.as_ref().map(|kept| kept.digest.to_string()),
            ..scan.clone()
        }
    }
}

/// Where scans read from.
struct Scanner<'a> {
    blobs: &'a Blobs,
    database: &'a Path,
    /// Whether to give up, because the process ends.
    is_over: &'a dyn Fn() -> bool,
}

impl Scanner<'_> {
    fn scan(&self, image: &Image) -> Outcome {
        let database = match Database::open(self.database) {
            Ok(database) => database,
            Err(error) => return Outcome::failed(error),
        };
        let layers = match self.layers(image) {
            Ok(layers) => layers,
            Err(reason) => return Outcome::failed(reason),
        };
        let until = Some(Instant::now() + LONGEST);
        let read = read_layers(layers, &Limits { until, ..Limits::default() });
        let found = read.and_then(|contents| find_until(&contents, &database, until));
        match found {
            Ok(found) => self.keep(found),
            Err(error) => Outcome::failed(error),
        }
    }

    /// The layers with their media types, lowest first, which are opened when they are read.
    fn layers(&self, image: &Image) -> Result<Vec<(String, Layer<'_>)>, String> {
        let unreadable = |reason: String| format!("the image's manifest cannot be read: {reason}");
        let digest = Digest::parse(&image.digest).map_err(|error| unreadable(error.to_string()))?;
        let bytes = self.blobs.read(&digest, MANIFEST).map_err(|error| unreadable(error.to_string()))?;
        let layer = |(media_type, digest): (String, String)| {
            let digest = Digest::parse(&digest).map_err(|error| unreadable(error.to_string()))?;
            Ok((media_type, Layer { of: self, digest, reader: None, at: 0, rest: Bytes::new() }))
        };
        content::layers(&bytes).map_err(unreadable)?.into_iter().map(layer).collect()
    }

    fn keep(&self, found: Findings) -> Outcome {
        let unsupported = |why: &str| {
            Outcome::without_findings(api::ScanStatus::UnsupportedImage, format!("{UNSUPPORTED} {why}").trim_end())
        };
        match &found.system {
            System::Nothing => return unsupported("No packages were found."),
            System::Unsupported(reason) => return unsupported(reason),
            System::NotInDatabase(reason) => {
                return Outcome::failed(format!(
                    "{reason}: import files of OSV that do with `longshore scan-db import FILE`"
                ));
            }
            System::Bare | System::Judged => {}
        }
        let bytes: Vec<u8> = found.findings.iter().flat_map(|finding| line(&shown(finding))).collect();
        let kept = match bytes.is_empty() {
            true => None,
            false => match self.blobs.put(Algorithm::Sha256, bytes.into()) {
                Ok(kept) => Some(kept),
                Err(error) => return Outcome::failed(format!("the findings cannot be kept: {error}")),
            },
        };
        let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        Outcome {
            status: api::ScanStatus::Complete,
            description: [&[COMPLETE.to_owned()], found.unjudged.as_slice()].concat().join("; "),
            counts: found.counts.iter().map(|(of, number)| (of.as_str().to_owned(), count(*number))).collect(),
            source_updated_at: Some(Timestamp::from_millis(found.source_updated_at.saturating_mul(1000))),
            findings: kept,
        }
    }
}

/// A finding as it is told.
fn shown(finding: &longshore_scan::Finding) -> api::ImageScanFinding {
    let attribute =
        |of: &longshore_scan::Attribute| api::Attribute { key: Some(of.key.clone()), value: Some(of.value.clone()) };
    api::ImageScanFinding {
        name: Some(finding.name.clone()),
        description: Some(finding.description.clone()).filter(|text| !text.is_empty()),
        uri: Some(finding.uri.clone()),
        severity: finding.severity.as_str().parse().ok(),
        attributes: Some(finding.attributes.iter().map(attribute).collect()),
    }
}

/// A layer's bytes, one piece in memory at a time.
struct Layer<'a> {
    of: &'a Scanner<'a>,
    digest: Digest,
    reader: Option<Reader>,
    at: u64,
    rest: Bytes,
}

impl Read for Layer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            if (self.of.is_over)() {
                return Err(io::Error::other("the control plane stops"));
            }
            let reader = match &self.reader {
                Some(reader) => reader,
                None => self.reader.insert(self.of.blobs.reader(&self.digest).map_err(io::Error::other)?),
            };
            if self.at == reader.size() {
                return Ok(0);
            }
            self.rest = reader.read(self.at, READ as u64).map_err(io::Error::other)?;
            self.at += self.rest.len() as u64;
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

fn cut(text: &str) -> String {
    let end = (0..=LONGEST_DESCRIPTION.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].to_owned()
}

/// Where the database of a data directory lies.
pub(crate) fn database(data_dir: &Path) -> PathBuf {
    data_dir.join(longshore_scan::DATABASE_FILE)
}

#[cfg(test)]
mod tests;
