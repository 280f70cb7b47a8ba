//! What a layer would unpack to, looked at while it arrives and before containerd unpacks it.
//!
//! ```text
//!   source ──► blob ──┬──► containerd's content            verdict? ──► unpacked
//!                     └──► gzip │ zstd │ plain ──► tar ──────┘
//! ```
//!
//! containerd keeps what it unpacks inside its directory, but unpacks whatever there is of it. Here a layer is refused that
//! swells beyond all reason, has too many or too deep entries, has devices of the machine, or that readers of archives
//! might not agree about ([`entries`]). What is compressed is found out as containerd does.
//!
//! Left out: what lies on the disk in the end (names that are there twice are counted twice).

mod entries;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, Bytes};
use flate2::bufread::MultiGzDecoder;
use futures_util::stream::StreamExt;
use longshore_layer::Packing;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::document::Descriptor;
use super::error::Error;
use super::writer::Blob;

/// The layers of an image may unpack to so many times what has come of them, once that is more than `FREE`.
const SWELLS: u64 = 200;
const FREE: u64 = 1024 * 1024 * 1024;
/// And to no more than this in any case: the largest ephemeral storage of a Fargate task.
const MOST_BYTES: u64 = 200 * 1024 * 1024 * 1024;
/// Most entries of all layers together.
const MOST_ENTRIES: u64 = 1_000_000;
/// Parts of a layer that wait to be looked at.
const WAITING: usize = 16;

/// What the layers of one image may unpack to, together.
pub(super) struct Allowance {
    /// Packed bytes that have come. What a manifest says of layers that are still to come counts for nothing.
    packed: AtomicU64,
    /// Bytes that they unpacked to.
    unpacked: AtomicU64,
    /// Entries that may be still.
    entries: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        let (packed, unpacked) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { packed, unpacked, entries: AtomicU64::new(MOST_ENTRIES) }
    }
}

impl Allowance {
    fn add_packed(&self, bytes: u64) {
        add(&self.packed, bytes);
    }

    fn take_bytes(&self, bytes: u64) -> io::Result<()> {
        let most = self.packed.load(Ordering::Relaxed).saturating_mul(SWELLS).clamp(FREE, MOST_BYTES);
        match add(&self.unpacked, bytes) > most {
            true => Err(refused("the layers swell to more than an image may unpack to")),
            false => Ok(()),
        }
    }

    fn take_entries(&self, entries: u64) -> io::Result<()> {
        let taken = self.entries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(entries));
        taken.map(drop).map_err(|_| refused(format!("the layers have more than {MOST_ENTRIES} entries")))
    }
}

/// The sum.
fn add(to: &AtomicU64, amount: u64) -> u64 {
    let sum = |before: u64| before.saturating_add(amount);
    to.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| Some(sum(before))).map_or_else(sum, sum)
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

    fn take_entries(&self, entries: u64) -> io::Result<()> {
        self.allowance.take_entries(entries.saturating_mul(self.times))
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
    let counted = Arc::clone(allowance);
    let share = Share { allowance: Arc::clone(allowance), times };
    let media_type = layer.media_type.clone();
    let parts = Parts { receiver, part: Bytes::new() };
    let looking = tokio::task::spawn_blocking(move || inspect(parts, &media_type, &share));
    let bytes = blob.bytes.then(move |part| {
        let (sender, counted) = (sender.clone(), Arc::clone(&counted));
        async move {
            if let Ok(bytes) = &part {
                counted.add_packed(bytes.len() as u64);
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
fn inspect(packed: impl Read, media_type: &str, share: &Share) -> io::Result<()> {
    let mut tar = Metered { inner: unpack(packed, media_type)?, share };
    entries::check(&mut tar, share)?;
    io::copy(&mut tar, &mut io::sink()).map(drop)
}

fn unpack<'a>(mut packed: impl Read + 'a, media_type: &str) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(4);
    packed.by_ref().take(4).read_to_end(&mut head)?;
    let packing = Packing::of(media_type, &head);
    let whole = BufReader::with_capacity(64 * 1024, Read::chain(Cursor::new(head), packed));
    Ok(match packing {
        Packing::None => Box::new(whole),
        Packing::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(Packing::LARGEST_WINDOW)?;
            Box::new(decoder)
        }
    })
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
