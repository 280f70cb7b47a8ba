//! What a layer would unpack to, looked at while it arrives and before containerd unpacks it.
//!
//! ```text
//!   source ──► blob ──┬──► containerd's content            verdict? ──► unpacked
//!                     └──► gzip │ zstd │ plain ──► tar ──────┘
//! ```
//!
//! containerd keeps what it unpacks inside its directory, but unpacks whatever there is of it. Here a layer is refused that
//! swells beyond all reason, has too many or too deep entries, has devices of the machine, or that readers of archives
//! might not agree about ([`tar`]). What is compressed is found out as containerd does: by the first bytes.
//!
//! Left out: what lies on the disk in the end (names that are there twice are counted twice).

mod tar;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use futures_util::stream::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::document::Descriptor;
use super::error::Error;
use super::writer::Blob;

/// The layers of an image may unpack to so many times their packed size, once that is more than `FREE`.
const SWELLS: u64 = 200;
const FREE: u64 = 1024 * 1024 * 1024;
/// And to no more than this in any case: the largest ephemeral storage of a Fargate task.
const MOST_BYTES: u64 = 200 * 1024 * 1024 * 1024;
/// Most entries of all layers together.
const MOST_ENTRIES: u64 = 1_000_000;
/// A layer of this type is never looked into for compression.
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
/// Parts of a layer that wait to be looked at.
const WAITING: usize = 16;

/// What the layers of one image may unpack to, together.
pub(super) struct Allowance {
    bytes: AtomicU64,
    entries: AtomicU64,
}

impl Allowance {
    /// That of layers that are so many bytes when packed.
    pub(super) fn of(packed: u64) -> Self {
        let bytes = packed.saturating_mul(SWELLS).clamp(FREE, MOST_BYTES);
        Self { bytes: AtomicU64::new(bytes), entries: AtomicU64::new(MOST_ENTRIES) }
    }

    fn take_bytes(&self, bytes: u64) -> io::Result<()> {
        take(&self.bytes, bytes).ok_or_else(|| refused("the layers swell to more than an image may unpack to"))
    }

    fn take_entries(&self, entries: u64) -> io::Result<()> {
        take(&self.entries, entries).ok_or_else(|| refused(format!("the layers have more than {MOST_ENTRIES} entries")))
    }
}

fn take(from: &AtomicU64, amount: u64) -> Option<()> {
    from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount)).ok().map(drop)
}

/// What a layer may take, which is unpacked so many times.
#[derive(Clone)]
struct Share {
    allowance: Arc<Allowance>,
    times: u64,
}

impl Share {
    fn take_bytes(&self, bytes: u64) -> io::Result<()> {
        self.allowance.take_bytes(bytes.saturating_mul(self.times))
    }

    fn take_entry(&self) -> io::Result<()> {
        self.allowance.take_entries(self.times)
    }
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// What was found, once the last byte was seen.
pub(super) struct Verdict(JoinHandle<io::Result<()>>);

impl Verdict {
    /// # Errors
    /// `Malformed` when the layer is not to be unpacked.
    pub(super) async fn reached(self) -> Result<(), Error> {
        let found = self.0.await.map_err(|error| Error::malformed("layer", error))?;
        found.map_err(|error| Error::malformed("layer", error))
    }
}

/// The same bytes, which are looked at as they go by. They are those of a whole layer, which the image has `times` times.
pub(super) fn watch(blob: Blob, layer: &Descriptor, allowance: &Arc<Allowance>, times: u64) -> (Blob, Verdict) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let share = Share { allowance: Arc::clone(allowance), times };
    let plain = layer.media_type == PLAIN;
    let looking = tokio::task::spawn_blocking(move || inspect(Parts { receiver, part: Bytes::new() }, plain, &share));
    let bytes = blob.bytes.then(move |part| {
        let sender = sender.clone();
        async move {
            if let Ok(bytes) = &part {
                // Nobody looks any more when something was found, which is told in the end.
                let _ = sender.send(bytes.clone()).await;
            }
            part
        }
    });
    (Blob { offset: blob.offset, bytes: bytes.boxed() }, Verdict(looking))
}

/// The parts of a layer as they arrive.
struct Parts {
    receiver: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.receiver.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.part.len());
        self.part.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

/// Reads a packed layer to its end.
fn inspect(packed: impl Read, plain: bool, share: &Share) -> io::Result<()> {
    let mut tar = Metered { inner: unpack(packed, plain)?, share };
    tar::check(&mut tar, share)?;
    io::copy(&mut tar, &mut io::sink()).map(drop)
}

fn unpack<'a>(mut packed: impl Read + 'a, plain: bool) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(4);
    packed.by_ref().take(4).read_to_end(&mut head)?;
    let kind = Compression::of(&head);
    let whole = BufReader::with_capacity(64 * 1024, Read::chain(Cursor::new(head), packed));
    Ok(match kind {
        _ if plain => Box::new(whole),
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(whole)),
        // Windows above 128 MiB are refused by default.
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes; a frame of zstd may be one that is to be skipped.
    fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Takes what is read from the allowance.
struct Metered<'a, R> {
    inner: R,
    share: &'a Share,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.share.take_bytes(length as u64)?;
        Ok(length)
    }
}
