//! Writing to an upload.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::digest::Running;
use super::staged::Staged;
use super::uploads::{Key, Progress};
use super::{Algorithm, Blobs, Digest, Error, Follower, Kept, REREADING, Seal};

/// Bytes that are read again before anybody notices.
const SHORT: u64 = 64 * 1024 * 1024;

/// Who reads a long upload from its beginning, and keeps a thread for as long as its disk takes.
struct Rereading<'a>(Option<&'a AtomicUsize>);

impl<'a> Rereading<'a> {
    fn enter(blobs: &'a Blobs, bytes: u64) -> Result<Self, Error> {
        if bytes <= SHORT {
            return Ok(Self(None));
        }
        let one = Self(Some(&blobs.open.rereading));
        match blobs.open.rereading.fetch_add(1, Ordering::Relaxed) < REREADING {
            true => Ok(one),
            false => Err(Error::Crowded),
        }
    }
}

impl Drop for Rereading<'_> {
    fn drop(&mut self) {
        if let Some(reading) = self.0 {
            reading.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The one who writes to an upload. When it is let go, another may go on where it ended; what fails ends the upload.
pub struct Writer {
    blobs: Blobs,
    key: Key,
    path: PathBuf,
    pub(super) staged: Staged,
    bytes: u64,
    pub(super) hash: Running,
    is_over: bool,
}

impl Writer {
    pub(super) fn open(blobs: &Blobs, key: &Key, at: Option<u64>) -> Result<Self, Error> {
        let uploads = &blobs.open.uploads;
        let progress = uploads.take(key, at)?;
        let path = uploads.path(key);
        let rereads = if progress.hash.is_none() { progress.bytes } else { 0 };
        let opened = Rereading::enter(blobs, rereads).and_then(|_one| open_at(&path, blobs.seal.as_ref(), &progress));
        match opened {
            Ok((staged, bytes, hash)) if at.is_some_and(|at| at != bytes) => {
                drop(staged);
                uploads.give_back(key, Progress { bytes, hash: Some(hash) });
                Err(Error::OutOfOrder { at: bytes })
            }
            Ok((staged, bytes, hash)) => {
                let (blobs, key) = (blobs.clone(), key.clone());
                Ok(Self { blobs, key, path, staged, bytes, hash, is_over: false })
            }
            Err(Error::Missing) => {
                uploads.end(key);
                Err(Error::UnknownUpload)
            }
            Err(Error::Damaged) => {
                tracing::error!(path = %path.display(), "a sealed upload does not open, and is ended");
                uploads.discard(key)?;
                Err(Error::UnknownUpload)
            }
            Err(error) => {
                uploads.give_back(key, progress);
                Err(error)
            }
        }
    }

    /// How many bytes have come.
    pub fn received(&self) -> u64 {
        self.bytes
    }

    /// To read what has come while more comes.
    ///
    /// # Errors
    /// [`Error::File`]
    pub fn follow(&self) -> Result<Follower, Error> {
        self.staged.follow()
    }

    /// The algorithm that the bytes will be named by, where that is known before they come.
    pub fn expect(&mut self, algorithm: Algorithm) {
        if self.bytes == 0 {
            self.hash = Running::new(algorithm);
        }
    }

    /// # Errors
    /// [`Error::TooLarge`], [`Error::Full`] and [`Error::File`]; each ends the upload.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let most = self.blobs.open.largest;
        if self.is_over {
            return Err(Error::UnknownUpload);
        }
        let written = match self.bytes.checked_add(bytes.len() as u64) {
            Some(total) if total <= most => self.add(bytes).map(|()| total),
            _ => Err(Error::TooLarge { most }),
        };
        match written {
            Ok(total) => {
                self.bytes = total;
                self.hash.update(bytes);
                Ok(())
            }
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.blobs.check_space(bytes.len())?;
        self.staged.write(bytes)
    }

    /// Lets go, for another to go on. Returns how many bytes have come: they outlast the process.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::File`]; each ends the upload.
    pub fn pause(mut self) -> Result<u64, Error> {
        self.park()?;
        Ok(self.bytes)
    }

    fn park(&mut self) -> Result<(), Error> {
        match self.is_over {
            true => Err(Error::UnknownUpload),
            false => self.staged.park().inspect_err(|_| self.discard()),
        }
    }

    /// Verifies what has come and puts it into its place.
    ///
    /// # Errors
    /// [`Error::Mismatch`], [`Error::Full`] and [`Error::File`]; each ends the upload. [`Error::Bucket`] and [`Error::Crowded`] do
    /// not: who finishes it again need not send it again.
    pub fn finish(mut self, digest: &Digest) -> Result<Kept, Error> {
        if self.is_over {
            return Err(Error::UnknownUpload);
        }
        let kept = self.keep(digest);
        match &kept {
            Ok(_) => {
                self.is_over = true;
                self.blobs.open.uploads.end(&self.key);
            }
            Err(error) if error.is_of_bucket() || matches!(error, Error::Crowded) => {}
            Err(_) => self.discard(),
        }
        kept
    }

    fn keep(&mut self, digest: &Digest) -> Result<Kept, Error> {
        let found = match self.hash.algorithm() == digest.algorithm() {
            true => self.hash.clone().digest(),
            false => {
                let _one = Rereading::enter(&self.blobs, self.bytes)?;
                self.staged.park()?;
                self.staged.hash_again(digest.algorithm())?.0.digest()
            }
        };
        if found != *digest {
            return Err(Error::Mismatch { found });
        }
        let address = self.blobs.address(digest);
        let pin = self.blobs.open.pins.pin(&address);
        let length = self.staged.complete(digest, self.bytes)?;
        let file = self.staged.file.try_clone().map_err(|error| Error::at(&self.path, error))?;
        self.blobs.keep(&address, (&self.path, &file), (length, self.bytes))?;
        Ok(Kept { digest: digest.clone(), size: self.bytes, pin })
    }

    /// Ends the upload.
    pub fn discard(&mut self) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        if let Err(error) = self.blobs.open.uploads.discard(&self.key) {
            tracing::warn!(%error, "an upload was not removed");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.park().is_ok() {
            let progress = Progress { bytes: self.bytes, hash: Some(self.hash.clone()) };
            self.blobs.open.uploads.give_back(&self.key, progress);
        }
    }
}

/// The file, at its end, and what is there: it is read again where its digest is not known.
fn open_at(path: &Path, seal: Option<&Seal>, known: &Progress) -> Result<(Staged, u64, Running), Error> {
    let mut staged = Staged::open(path, seal)?;
    let (hash, bytes) = match &known.hash {
        Some(hash) => (hash.clone(), known.bytes),
        None if known.bytes == 0 => (Running::new(Algorithm::Sha256), 0),
        None => staged.hash_again(Algorithm::Sha256)?,
    };
    staged.seek(bytes)?;
    Ok((staged, bytes, hash))
}
