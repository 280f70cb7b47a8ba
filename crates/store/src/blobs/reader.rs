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

use super::Error;
use super::bucket::Object;

/// Bytes that are read at a time.
pub const READ: usize = 256 * 1024;

/// Buffers that wait for the next reader.
const SPARE: usize = 64;

static BUFFERS: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// The first bytes of a buffer, which goes back to the others when it was sent.
struct Filled {
    buffer: Box<[u8]>,
    length: usize,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
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
    Filled { buffer: spare.unwrap_or_else(|| vec![0; READ].into()), length: 0 }
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
}

impl Reader {
    pub(super) fn of_file(path: PathBuf, file: File, size: u64) -> Self {
        Self { source: Arc::new(Source::File { path, file }), size }
    }

    pub(super) fn of_object(object: Object, size: u64) -> Self {
        Self { source: Arc::new(Source::Object(object)), size }
    }

    /// Bytes of the whole blob.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether so many bytes from `at` on seem to be in the kernel's memory: the first and the last are.
    pub fn is_at_hand(&self, at: u64, length: usize) -> bool {
        let Source::File { file, .. } = &*self.source else { return false };
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
    /// Those of `sendfile`, so that a socket that takes no more would block; the end of the blob, and a blob in a bucket.
    pub fn send(&self, to: impl AsFd, at: u64, most: usize) -> io::Result<usize> {
        let Source::File { file, .. } = &*self.source else { return Err(io::ErrorKind::Unsupported.into()) };
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
        let wanted = usize::try_from(most).unwrap_or(READ).min(READ);
        let read = preadv2(file, &mut [IoSliceMut::new(&mut filled.buffer[..wanted])], at, ReadWriteFlags::NOWAIT);
        filled.length = read.ok().filter(|read| *read > 0)?;
        Some(Bytes::from_owner(filled))
    }

    /// At most `most` bytes from `at` on, and at least one.
    ///
    /// # Errors
    /// [`Error::Missing`] at the end; [`Error::File`] and [`Error::Bucket`].
    pub fn read(&self, at: u64, most: u64) -> Result<Bytes, Error> {
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
            Source::Object(object) => object.read_later(at, most.min(self.size.saturating_sub(at))),
            Source::File { .. } => None,
        };
        later.unwrap_or_else(|| {
            let reader = self.clone();
            tokio::task::spawn_blocking(move || reader.read(at, most))
        })
    }

    pub(super) fn read_all(&self) -> Result<Bytes, Error> {
        let mut all = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
        while (all.len() as u64) < self.size {
            all.extend_from_slice(&self.read(all.len() as u64, self.size - all.len() as u64)?);
        }
        Ok(all.into())
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} bytes)", self.size)
    }
}
