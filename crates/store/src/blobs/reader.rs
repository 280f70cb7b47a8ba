//! Reading a blob piece by piece.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::sendfile;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use super::bucket::Object;
use super::digest::Running;
use super::doubts::Witness;
use super::seal::{FileKey, HEAD, Head, RAW, Span};
use super::{Algorithm, Digest, Error, Seal};

/// Bytes that are read at a time.
pub const READ: usize = 256 * 1024;

/// Buffers that wait for the next reader.
const SPARE: usize = 64;

static BUFFERS: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Some bytes of a buffer, which goes back to the others when they were sent.
struct Filled {
    buffer: Box<[u8]>,
    begin: usize,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.begin..self.begin + self.length]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut buffers = BUFFERS.lock();
        if buffers.len() < SPARE {
            buffers.push(std::mem::take(&mut self.buffer));
        }
    }
}

fn buffer() -> Filled {
    let spare = BUFFERS.lock().pop();
    Filled { buffer: spare.unwrap_or_else(|| vec![0; READ].into()), begin: 0, length: 0 }
}

enum Source {
    File { path: PathBuf, file: File },
    Object(Object),
}

/// A blob that was opened. Clones share it.
#[derive(Clone)]
pub struct Reader {
    source: Arc<Source>,
    size: u64,
    /// Of a blob that is sealed.
    opening: Option<Opening>,
}

/// What a sealed blob opens with, and who hears of it when it does not.
#[derive(Clone)]
struct Opening {
    key: FileKey,
    witness: Witness,
}

/// Segments of a sealed blob that are read at a time: from a file as many as a buffer has room for.
const SEGMENTS: usize = READ / RAW;
/// From a bucket, as many as an answer brings.
const OF_OBJECT: usize = (super::bucket::READ / RAW as u64) as usize;

impl Reader {
    pub(super) fn of_file(path: PathBuf, file: File, size: u64) -> Self {
        Self { source: Arc::new(Source::File { path, file }), size, opening: None }
    }

    pub(super) fn of_object(object: Object, size: u64) -> Self {
        Self { source: Arc::new(Source::Object(object)), size, opening: None }
    }

    /// What is sealed in it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not what the data key once sealed under this digest; [`Error::File`], [`Error::Bucket`].
    pub(super) fn opened(self, seal: &Seal, digest: &Digest, witness: Witness) -> Result<Self, Error> {
        let mut head = [0; HEAD];
        let read = match self.size < HEAD as u64 {
            true => Err(Error::Damaged),
            false => self.source.fill(&mut head, 0),
        };
        let verified = read.and_then(|()| Head::verify(&head, seal, digest, self.size));
        let (key, size) = witness.tell(verified)?;
        Ok(Self { source: self.source, size, opening: Some(Opening { key, witness }) })
    }

    /// Bytes of the whole blob.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file whose bytes are those of the blob: none of what is sealed, nor in a bucket.
    fn plain_file(&self) -> Option<&File> {
        match &*self.source {
            Source::File { file, .. } if self.opening.is_none() => Some(file),
            _ => None,
        }
    }

    /// Whether so many bytes from `at` on seem to be in the kernel's memory, as they are to be sent: the first and the last are.
    pub fn is_at_hand(&self, at: u64, length: usize) -> bool {
        let Some(file) = self.plain_file() else { return false };
        let is_there = |at| {
            let mut byte = [0];
            preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) == Ok(1)
        };
        let last = at + (length as u64).saturating_sub(1);
        is_there(at) && is_there(last)
    }

    /// Sends at most `most` bytes from `at` on, without their coming by here, and says how many; for a reader whose bytes are at
    /// hand ([`Self::is_at_hand`]).
    ///
    /// # Errors
    /// Those of `sendfile`, so that a socket that takes no more would block; the end of the blob, and a blob that is sealed or in
    /// a bucket.
    pub fn send(&self, to: impl AsFd, at: u64, most: usize) -> io::Result<usize> {
        let file = self.plain_file().ok_or(io::ErrorKind::Unsupported)?;
        let mut at = at;
        match sendfile(to, file, Some(&mut at), most)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        }
    }

    /// At most `most` bytes from `at` on that are in the kernel's memory; `None` if that would take waiting.
    pub fn read_now(&self, at: u64, most: u64) -> Option<Bytes> {
        let Source::File { file, .. } = &*self.source else { return None };
        let mut filled = buffer();
        let mut read = |wanted: usize, at| {
            let read = preadv2(file, &mut [IoSliceMut::new(&mut filled.buffer[..wanted])], at, ReadWriteFlags::NOWAIT);
            read.ok().filter(|read| *read > 0)
        };
        let Some(Opening { key, .. }) = &self.opening else {
            filled.length = read(usize::try_from(most).unwrap_or(READ).min(READ), at)?;
            return Some(Bytes::from_owner(filled));
        };
        let span = Span::of(at, most, self.size, SEGMENTS)?;
        // What cannot be opened is told to who waits.
        read(span.length, span.at).filter(|read| *read == span.length)?;
        filled.open(key, &span).ok()?;
        Some(Bytes::from_owner(filled))
    }

    /// At most `most` bytes from `at` on, and at least one.
    ///
    /// # Errors
    /// [`Error::Missing`] at the end; [`Error::Damaged`]; [`Error::File`] and [`Error::Bucket`].
    pub fn read(&self, at: u64, most: u64) -> Result<Bytes, Error> {
        if let Some(Opening { key, witness }) = &self.opening {
            return witness.tell(self.read_sealed(key, at, most));
        }
        let (path, file) = match &*self.source {
            Source::Object(object) => return object.read(at, most.min(self.size.saturating_sub(at))),
            Source::File { path, file } => (path, file),
        };
        let mut filled = buffer();
        let wanted = usize::try_from(most).unwrap_or(READ).min(READ);
        filled.length = file.read_at(&mut filled.buffer[..wanted], at).map_err(|error| Error::at(path, error))?;
        match filled.length {
            0 => Err(Error::Missing),
            _ => Ok(Bytes::from_owner(filled)),
        }
    }

    /// As [`Self::read`], for those who cannot wait. No thread waits for a bucket.
    pub fn read_later(&self, at: u64, most: u64) -> JoinHandle<Result<Bytes, Error>> {
        let later = match &*self.source {
            Source::Object(object) => self.object_later(object, at, most),
            Source::File { .. } => None,
        };
        later.unwrap_or_else(|| {
            let reader = self.clone();
            tokio::task::spawn_blocking(move || reader.read(at, most))
        })
    }

    fn object_later(&self, object: &Object, at: u64, most: u64) -> Option<JoinHandle<Result<Bytes, Error>>> {
        let Some(Opening { key, witness }) = self.opening.clone() else {
            return object.read_later(at, most.min(self.size.saturating_sub(at)), Ok);
        };
        let span = Span::of(at, most, self.size, OF_OBJECT)?;
        object.read_later(span.at, span.length as u64, move |raw| witness.tell(open(&key, &span, raw.into())))
    }

    fn read_sealed(&self, key: &FileKey, at: u64, most: u64) -> Result<Bytes, Error> {
        let segments = if matches!(*self.source, Source::File { .. }) { SEGMENTS } else { OF_OBJECT };
        let span = Span::of(at, most, self.size, segments).ok_or(Error::Missing)?;
        if segments > SEGMENTS {
            let mut raw = vec![0; span.length];
            self.source.fill(&mut raw, span.at)?;
            return open(key, &span, raw);
        }
        let mut filled = buffer();
        self.source.fill(&mut filled.buffer[..span.length], span.at)?;
        filled.open(key, &span)?;
        Ok(Bytes::from_owner(filled))
    }

    pub(super) fn read_all(&self) -> Result<Bytes, Error> {
        let mut all = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        while (all.len() as u64) < self.size {
            all.extend_from_slice(&self.read(all.len() as u64, self.size - all.len() as u64)?);
        }
        Ok(all.into())
    }

    /// The digest of all of it, which is read.
    pub(super) fn digest(&self, algorithm: Algorithm) -> Result<Digest, Error> {
        let (mut running, mut at) = (Running::new(algorithm), 0);
        while at < self.size {
            let piece = self.read(at, self.size - at)?;
            running.update(&piece);
            at += piece.len() as u64;
        }
        Ok(running.digest())
    }
}

impl Filled {
    /// Opens the segments that were read, and keeps what is asked for.
    fn open(&mut self, key: &FileKey, span: &Span) -> Result<(), Error> {
        key.open_span(span, &mut self.buffer[..span.length])?;
        (self.begin, self.length) = (span.skip, span.wanted);
        Ok(())
    }
}

/// The same, of segments that need no buffer of their own.
fn open(key: &FileKey, span: &Span, mut raw: Vec<u8>) -> Result<Bytes, Error> {
    if raw.len() != span.length {
        return Err(Error::Damaged);
    }
    key.open_span(span, &mut raw)?;
    Ok(Bytes::from(raw).slice(span.skip..span.skip + span.wanted))
}

impl Source {
    /// All of a range; one that is not there was cut off.
    fn fill(&self, to: &mut [u8], at: u64) -> Result<(), Error> {
        match self {
            Self::File { path, file } => file.read_exact_at(to, at).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::Damaged,
                _ => Error::at(path, error),
            }),
            Self::Object(object) => {
                let mut done = 0;
                while done < to.len() {
                    let piece = object.read(at + done as u64, (to.len() - done) as u64)?;
                    let length = piece.len().min(to.len() - done);
                    to[done..done + length].copy_from_slice(&piece[..length]);
                    done += length;
                    if length == 0 {
                        return Err(Error::Damaged);
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} bytes)", self.size)
    }
}
