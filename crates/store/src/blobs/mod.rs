//! Bytes by their digest: the layers and manifests of images.
//!
//! ```text
//!     DATA/registry/
//!       uploads/ACCOUNT/REPOSITORY.ID what still comes, hashed on the way; under the repository's id
//!       blobs/ALGORITHM/aa/HEX        what is whole: verified, synced and then renamed
//!       parts/NUMBER                  what is being sent to a bucket
//! ```
//! A blob is there whole or not at all: its bytes have reached the disk before it gets its name, and its name before it is
//! told of. Where a bucket is configured ([`Options::url`]) what is whole goes there, and uploads stay here. What bytes
//! belong to, and who may read them, is the records' to say; no record points to bytes that are not there, because a record
//! is written under a [`Pin`] and bytes are removed under the opposite of one ([`Blobs::remove_unless`]).
//!
//! Every function may wait for the disk or the bucket, and is for threads that may: `block_in_place`, `spawn_blocking`. Only
//! [`Reader::read_now`] never waits.

mod bucket;
mod cache;
mod digest;
mod disk;
mod owner;
mod parts;
mod pins;
mod reader;
mod upload;
mod uploads;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;

use bucket::Bucket;
use cache::Cache;
use disk::Disk;
use pins::Pins;
use uploads::Uploads;

pub use digest::digest_of;
pub use longshore_model::registry::{Algorithm, Digest};
pub use pins::Pin;
pub use reader::{READ, Reader};
pub use upload::Writer;
pub use uploads::Key;

/// Bytes of one upload: the most that ECR takes as a layer, 52,000 MiB.
pub const LARGEST_UPLOAD: u64 = 52_000 * 1024 * 1024;

/// Bytes of the disk that what is pushed leaves free: twice what the log store does, which is refused first then.
pub const RESERVE: u64 = 2 * crate::logs::RESERVE;

/// Uploads that an account may have open.
pub const OPEN_UPLOADS: usize = 10_000;

/// Long uploads that may be read again at one time, each by a thread that others wait for: those that were open when the
/// process began anew, and those whose digest turns out to be of another algorithm.
const REREADING: usize = 4;

/// Bytes of small blobs (manifests) that are kept in memory.
const CACHE: u64 = 32 * 1024 * 1024;

/// Parts that the blobs of an algorithm are in, by the first two digits.
pub const PARTS: u8 = u8::MAX;

/// Those that bytes are kept by.
pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such upload")]
    UnknownUpload,
    #[error("an upload of that id is open")]
    Twice,
    #[error("somebody else writes to the upload")]
    Busy,
    #[error("the upload goes on at {at}")]
    OutOfOrder { at: u64 },
    #[error("an upload has at most {most} bytes")]
    TooLarge { most: u64 },
    #[error("an account has at most {most} open uploads")]
    TooMany { most: usize },
    #[error("too many uploads are being read again; try again in a while")]
    Crowded,
    #[error("the bytes are those of {found}")]
    Mismatch { found: Digest },
    #[error("there are no such bytes")]
    Missing,
    #[error("the disk is full")]
    Full,
    #[error("{path} cannot be used")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the bucket does not answer")]
    Bucket(#[source] object_store::Error),
    #[error("the bucket is kept by the installation {mark}, and this one is {owner}: give it a prefix of its own")]
    Foreign { mark: String, owner: String },
    #[error("the bucket holds bytes of which it does not say whose they are: use a prefix where there is nothing")]
    Unmarked,
}

impl Error {
    /// Whether the bucket refused, or did not answer: it may do so later.
    pub fn is_of_bucket(&self) -> bool {
        matches!(self, Self::Bucket(_) | Self::Foreign { .. } | Self::Unmarked)
    }

    /// Whether what failed for some bytes would fail for all others too.
    pub fn is_of_all(&self) -> bool {
        match self {
            Self::Bucket(error) => matches!(error, object_store::Error::Generic { .. }),
            error => error.is_of_bucket(),
        }
    }

    fn at(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::File { path: path.to_owned(), source },
        }
    }
}

/// Where bytes are kept, and how much is taken.
#[derive(Clone, Debug)]
pub struct Options {
    /// `DATA/registry`.
    pub dir: PathBuf,
    /// `s3://BUCKET/PREFIX`, `gs://…`, `az://…`; none for the directory. Credentials are in the environment, as the cloud's
    /// own tools have them.
    pub url: Option<String>,
    /// Who owns what is in the bucket: the installation, by its id.
    pub owner: String,
    /// Open uploads of an account.
    pub uploads: usize,
    /// Bytes of an upload.
    pub largest: u64,
    /// Bytes of the disk that are left to others: records and log lines must still be taken.
    pub reserve: u64,
}

impl Options {
    /// In a directory, within ECR's bounds.
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            url: None,
            owner: String::new(),
            uploads: OPEN_UPLOADS,
            largest: LARGEST_UPLOAD,
            reserve: RESERVE,
        }
    }
}

/// Where what is whole lies.
enum Place {
    Disk(Disk),
    Bucket(Bucket),
}

struct Open {
    place: Place,
    pins: Pins,
    cache: Cache,
    uploads: Uploads,
    largest: u64,
    rereading: AtomicUsize,
    reserve: u64,
}

/// The bytes. Clones share them.
#[derive(Clone)]
pub struct Blobs(Arc<Open>);

/// Bytes that are in their place, and stay there while this is there. The record of them comes next.
#[derive(Debug)]
pub struct Kept {
    pub digest: Digest,
    pub size: u64,
    pub pin: Pin,
}

impl Blobs {
    /// Makes the directories, and forgets what was half written without an upload.
    ///
    /// # Errors
    /// If the directory cannot be used, or the URL is not one of a bucket; [`Error::Foreign`] and [`Error::Unmarked`].
    pub fn open(options: &Options) -> Result<Self, Error> {
        let place = match &options.url {
            None => Place::Disk(Disk::open(&options.dir)?),
            Some(url) => Place::Bucket(Bucket::open(url, &options.owner, &options.dir.join("parts"))?),
        };
        let uploads = Uploads::open(&options.dir.join("uploads"), options.uploads)?;
        let (pins, cache, rereading) = (Pins::default(), Cache::new(CACHE), AtomicUsize::new(0));
        let (largest, reserve) = (options.largest, options.reserve);
        let open = Open { place, pins, cache, uploads, largest, reserve, rereading };
        Ok(Self(Arc::new(open)))
    }

    /// Whether there is room on the disk for so many bytes more. What cannot be found out is not held against it.
    ///
    /// # Errors
    /// [`Error::Full`]
    fn check_space(&self, bytes: usize) -> Result<(), Error> {
        let space = nix::sys::statvfs::statvfs(self.0.uploads.dir());
        let free = space.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        match free {
            Ok(free) if free < self.0.reserve.saturating_add(bytes as u64) => Err(Error::Full),
            _ => Ok(()),
        }
    }

    /// Keeps the bytes of a digest where they are, or waits until they are removed.
    pub fn pin(&self, digest: &Digest) -> Pin {
        self.0.pins.pin(digest)
    }

    /// Keeps small bytes.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::File`] and [`Error::Bucket`].
    pub fn put(&self, algorithm: Algorithm, bytes: Bytes) -> Result<Kept, Error> {
        self.check_space(bytes.len())?;
        let (digest, size) = (digest_of(algorithm, &bytes), bytes.len() as u64);
        let pin = self.pin(&digest);
        match &self.0.place {
            Place::Disk(disk) => disk.put(&digest, &self.0.uploads.aside(), &bytes)?,
            Place::Bucket(bucket) => bucket.put(&digest, bytes.clone())?,
        }
        self.0.cache.put(&digest, bytes);
        Ok(Kept { digest, size, pin })
    }

    /// How many bytes there are; `None` if there are none of that digest.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Bucket`].
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let size = match &self.0.place {
            Place::Disk(disk) => disk.size(digest),
            Place::Bucket(bucket) => bucket.size(digest),
        };
        match size {
            Ok(size) => Ok(Some(size)),
            Err(Error::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Small bytes that are in memory. Never waits.
    pub fn cached(&self, digest: &Digest) -> Option<Bytes> {
        self.0.cache.get(digest)
    }

    /// All of a small blob, which then stays in memory for a while.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::TooLarge`] beyond `most` bytes; [`Error::File`] and [`Error::Bucket`].
    pub fn read(&self, digest: &Digest, most: u64) -> Result<Bytes, Error> {
        if let Some(bytes) = self.0.cache.get(digest) {
            return Ok(bytes);
        }
        let reader = self.reader(digest)?;
        if reader.size() > most {
            return Err(Error::TooLarge { most });
        }
        let bytes = reader.read_all()?;
        self.0.cache.put(digest, bytes.clone());
        Ok(bytes)
    }

    /// To read a blob piece by piece. What is removed meanwhile can still be read from a disk.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::File`] and [`Error::Bucket`].
    pub fn reader(&self, digest: &Digest) -> Result<Reader, Error> {
        match &self.0.place {
            Place::Disk(disk) => disk.reader(digest),
            Place::Bucket(bucket) => bucket.reader(digest),
        }
    }

    /// Makes sure that bytes may be removed for want of a record: that a bucket is this installation's, whose records are
    /// asked.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Unmarked`] and [`Error::Bucket`].
    pub fn confirm(&self) -> Result<(), Error> {
        match &self.0.place {
            Place::Disk(_) => Ok(()),
            Place::Bucket(bucket) => bucket.confirm(),
        }
    }

    /// Removes from a bucket what was sent of blobs that broke off. Returns of how many.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Bucket`], [`Error::Foreign`] and [`Error::Unmarked`].
    pub fn abort_left(&self) -> Result<usize, Error> {
        match &self.0.place {
            Place::Disk(_) => Ok(0),
            Place::Bucket(bucket) => bucket.abort_left(),
        }
    }

    /// Whether bytes that were never heard of may be removed: in a bucket, to which others may write, those that have been there
    /// for a day; in the directory, where nobody else writes, all.
    ///
    /// # Errors
    /// [`Error::Bucket`]
    pub fn is_settled(&self, digest: &Digest) -> Result<bool, Error> {
        match &self.0.place {
            Place::Disk(_) => Ok(true),
            Place::Bucket(bucket) => bucket.is_settled(digest),
        }
    }

    /// Removes bytes that nobody has a pin on, unless they are needed. `needed` is asked while nobody can get a pin, and must
    /// rest on what is durable. Returns whether they are gone.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Bucket`].
    pub fn remove_unless(&self, digest: &Digest, needed: impl FnOnce() -> bool) -> Result<bool, Error> {
        let Some(_alone) = self.0.pins.exclude(digest) else { return Ok(false) };
        if needed() {
            return Ok(false);
        }
        self.0.cache.remove(digest);
        match &self.0.place {
            Place::Disk(disk) => disk.remove(digest)?,
            Place::Bucket(bucket) => bucket.remove(digest)?,
        }
        Ok(true)
    }

    /// What is there, of the digests that begin with `part` (0 to [`PARTS`]) in hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Bucket`].
    pub fn part(&self, algorithm: Algorithm, part: u8) -> Result<Vec<Digest>, Error> {
        match &self.0.place {
            Place::Disk(disk) => disk.part(algorithm, part),
            Place::Bucket(bucket) => bucket.part(algorithm, part),
        }
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::Twice`], [`Error::Full`] and [`Error::File`].
    pub fn begin(&self, key: &Key) -> Result<(), Error> {
        self.0.uploads.begin(key)
    }

    /// How many bytes of an upload have come.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`]; [`Error::Busy`] while more come.
    pub fn received(&self, key: &Key) -> Result<u64, Error> {
        self.0.uploads.received(key)
    }

    /// To write the next bytes of an upload, which nobody else does meanwhile. `at` is where the caller thinks they belong.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`], [`Error::Busy`], [`Error::Crowded`], [`Error::OutOfOrder`]; [`Error::File`].
    pub fn append(&self, key: &Key, at: Option<u64>) -> Result<Writer, Error> {
        Writer::open(self, key, at)
    }

    /// Ends an upload that nobody wants.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`], [`Error::Busy`]; [`Error::File`].
    pub fn cancel(&self, key: &Key) -> Result<(), Error> {
        self.0.uploads.cancel(key)
    }

    /// Ends uploads that nobody has touched for so long. Returns how many.
    pub fn sweep(&self, untouched: Duration) -> usize {
        self.0.uploads.sweep(untouched)
    }

    /// Ids of repositories that have open uploads.
    pub fn uploading(&self) -> BTreeSet<String> {
        self.0.uploads.owners()
    }

    /// Ends the uploads of repositories that are gone, by their ids; those that are written to, when the writer lets go. Returns
    /// how many are ended.
    pub fn forget(&self, repositories: &BTreeSet<String>) -> usize {
        self.0.uploads.forget(repositories)
    }

    /// Uploads that are open.
    pub fn open_uploads(&self) -> usize {
        self.0.uploads.count()
    }

    /// Puts what was verified into its place.
    fn keep(&self, digest: &Digest, staged: &Path, file: fs::File, size: u64) -> Result<(), Error> {
        match &self.0.place {
            Place::Disk(disk) => disk.keep(digest, staged, &file, size),
            Place::Bucket(bucket) => {
                bucket.keep(digest, &file, size)?;
                fs::remove_file(staged).map_err(|error| Error::at(staged, error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
