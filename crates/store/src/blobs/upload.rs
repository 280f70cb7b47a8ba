//! Writing to an upload.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::digest::Running;
use super::uploads::{Key, Progress};
use super::{Algorithm, Blobs, Digest, Error, Kept, REREADING};

/// Bytes that are read at a time to hash them again.
const REREAD: usize = 256 * 1024;

/// Bytes that are read again before anybody notices.
const SHORT: u64 = 64 * 1024 * 1024;

/// Who reads a long upload from its beginning, and keeps a thread for as long as its disk takes.
struct Rereading<'a>(Option<&'a AtomicUsize>);

impl<'a> Rereading<'a> {
    fn enter(blobs: &'a Blobs, bytes: u64) -> Result<Self, Error> {
        if bytes <= SHORT {
            return Ok(Self(None));
        }
        let one = Self(Some(&blobs.0.rereading));
        match blobs.0.rereading.fetch_add(1, Ordering::Relaxed) < REREADING {
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
    pub(super) file: File,
    bytes: u64,
    pub(super) hash: Running,
    is_over: bool,
}

impl Writer {
    pub(super) fn open(blobs: &Blobs, key: &Key, at: Option<u64>) -> Result<Self, Error> {
        let uploads = &blobs.0.uploads;
        let progress = uploads.take(key, at)?;
        let path = uploads.path(key);
        let rereads = if progress.hash.is_none() { progress.bytes } else { 0 };
        let opened = Rereading::enter(blobs, rereads)
            .and_then(|_one| open_at(&path, &progress).map_err(|error| Error::at(&path, error)));
        match opened {
            Ok((file, hash)) => {
                let (blobs, key) = (blobs.clone(), key.clone());
                Ok(Self { blobs, key, path, file, bytes: progress.bytes, hash, is_over: false })
            }
            Err(Error::Missing) => {
                uploads.end(key);
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
    pub fn follow(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(|error| Error::at(&self.path, error))
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
        let most = self.blobs.0.largest;
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
        self.file.write_all(bytes).map_err(|error| Error::at(&self.path, error))
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
                self.blobs.0.uploads.end(&self.key);
            }
            Err(error) if error.is_of_bucket() || matches!(error, Error::Crowded) => {}
            Err(_) => self.discard(),
        }
        kept
    }

    fn keep(&mut self, digest: &Digest) -> Result<Kept, Error> {
        let in_path = |error| Error::at(&self.path, error);
        let found = match self.hash.algorithm() == digest.algorithm() {
            true => self.hash.clone().digest(),
            false => {
                let _one = Rereading::enter(&self.blobs, self.bytes)?;
                hash_again(&mut self.file, digest.algorithm()).map_err(in_path)?.digest()
            }
        };
        if found != *digest {
            return Err(Error::Mismatch { found });
        }
        let pin = self.blobs.pin(digest);
        let file = self.file.try_clone().map_err(in_path)?;
        self.blobs.keep(digest, &self.path, file, self.bytes)?;
        Ok(Kept { digest: digest.clone(), size: self.bytes, pin })
    }

    /// Ends the upload.
    pub fn discard(&mut self) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        if let Err(error) = self.blobs.0.uploads.discard(&self.key) {
            tracing::warn!(%error, "an upload was not removed");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.is_over {
            let progress = Progress { bytes: self.bytes, hash: Some(self.hash.clone()) };
            self.blobs.0.uploads.give_back(&self.key, progress);
        }
    }
}

/// The file, at its end, and the digest of what is there.
fn open_at(path: &std::path::Path, progress: &Progress) -> std::io::Result<(File, Running)> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let hash = match &progress.hash {
        Some(hash) => hash.clone(),
        None if progress.bytes == 0 => Running::new(Algorithm::Sha256),
        None => hash_again(&mut file, Algorithm::Sha256)?,
    };
    file.seek(SeekFrom::Start(progress.bytes))?;
    Ok((file, hash))
}

fn hash_again(file: &mut File, algorithm: Algorithm) -> std::io::Result<Running> {
    let mut running = Running::new(algorithm);
    let mut buffer = vec![0; REREAD];
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(running),
            length => running.update(&buffer[..length]),
        }
    }
}
