//! Bytes by their digest: the layers and manifests of images.
//!
//! ```text
//!     DATA/registry/
//!       uploads/ACCOUNT/REPOSITORY.ID what still comes, hashed on the way; under the repository's id
//!       blobs/ALGORITHM/aa/HEX        what is whole: verified, synced and then renamed
//!       parts/NUMBER                  what is being sent to a bucket
//!       sealed/ID/ALGORITHM/aa/HEX    the same, sealed under a data key ([`seal`]); ID is that of the repository it is of
//! ```
//! What lies as it came is there once for the whole installation, what is sealed once for each data key. [`Blobs::under`] a
//! [`Seal`] are those of its key: all that is written and read, uploads too, is sealed on the way, and digests are of the plain
//! bytes.
//!
//! A blob is there whole or not at all: its bytes have reached the disk before it gets its name, and its name before it is
//! told of. Where a bucket is configured ([`Options::url`]) what is whole goes there, and uploads stay here. What bytes
//! belong to, and who may read them, is the records' to say; no record points to bytes that are not there, because a record
//! is written under a [`Pin`] and bytes are removed under the opposite of one ([`Blobs::remove_unless`]).
//!
//! Every function may wait for the disk or the bucket, and is for threads that may: `block_in_place`, `spawn_blocking`. Only
//! [`Reader::read_now`] never waits.

mod address;
mod bucket;
mod cache;
mod digest;
mod disk;
mod doubts;
mod follow;
mod owner;
mod parts;
mod pins;
mod place;
mod reader;
mod seal;
mod staged;
mod turns;
mod upload;
mod uploads;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;

use bucket::Bucket;
use cache::Cache;
use disk::Disk;
use doubts::Doubts;
use pins::Pins;
use place::Place;
use turns::Turns;
use uploads::Uploads;

pub use address::{Address, SealId, Shelf};
pub use digest::digest_of;
pub use follow::Follower;
pub use longshore_model::registry::{Algorithm, Digest};
pub use pins::Pin;
pub use reader::{READ, Reader};
pub use seal::Seal;
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

/// Those that bytes are kept by.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

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
    #[error("the bytes are not those that were sealed")]
    Damaged,
    #[error("there is no randomness")]
    NoRandomness,
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

    /// Whether the bucket does not let this be asked: of what is not there some do not, if it may not be listed.
    fn is_refused(&self) -> bool {
        matches!(self, Self::Bucket(object_store::Error::PermissionDenied { .. }))
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

struct Open {
    place: Place,
    pins: Pins,
    turns: Turns,
    doubts: Doubts,
    cache: Cache,
    uploads: Uploads,
    largest: u64,
    rereading: AtomicUsize,
    reserve: u64,
}

/// The bytes. Clones share them.
#[derive(Clone)]
pub struct Blobs {
    open: Arc<Open>,
    /// Of those that are sealed, under what.
    seal: Option<Seal>,
}

/// Bytes that are in their place, and stay there while this is there. The record of them comes next.
#[derive(Debug)]
pub struct Kept {
    pub digest: Digest,
    pub size: u64,
    pub pin: Pin,
}

impl Kept {
    /// Where they lie.
    pub fn address(&self) -> &Address {
        self.pin.address()
    }
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
        let (pins, turns, doubts) = (Pins::default(), Turns::default(), Doubts::default());
        let (cache, rereading) = (Cache::new(CACHE), AtomicUsize::new(0));
        let (largest, reserve) = (options.largest, options.reserve);
        let open = Open { place, pins, turns, doubts, cache, uploads, largest, reserve, rereading };
        Ok(Self { open: Arc::new(open), seal: None })
    }

    /// Those that are sealed under a data key; without one, those that lie as they came.
    pub fn under(&self, seal: Option<Seal>) -> Self {
        Self { open: self.open.clone(), seal }
    }

    /// Where the bytes of a digest lie.
    pub fn address(&self, digest: &Digest) -> Address {
        Address { seal: self.seal.as_ref().map(|seal| seal.id().clone()), digest: digest.clone() }
    }

    /// Whether there is room on the disk for so many bytes more. What cannot be found out is not held against it.
    ///
    /// # Errors
    /// [`Error::Full`]
    fn check_space(&self, bytes: usize) -> Result<(), Error> {
        let space = nix::sys::statvfs::statvfs(self.open.uploads.dir());
        let free = space.map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        match free {
            Ok(free) if free < self.open.reserve.saturating_add(bytes as u64) => Err(Error::Full),
            _ => Ok(()),
        }
    }

    /// Keeps the bytes of a digest where they are, or waits until they are removed.
    pub fn pin(&self, digest: &Digest) -> Pin {
        self.open.pins.pin(&self.address(digest))
    }

    /// Keeps small bytes.
    ///
    /// # Errors
    /// [`Error::Full`]; [`Error::File`] and [`Error::Bucket`].
    pub fn put(&self, algorithm: Algorithm, bytes: Bytes) -> Result<Kept, Error> {
        self.check_space(bytes.len())?;
        let (digest, size) = (digest_of(algorithm, &bytes), bytes.len() as u64);
        let address = self.address(&digest);
        let pin = self.open.pins.pin(&address);
        self.lay(&address, &bytes)?;
        self.open.cache.put(&address, bytes);
        Ok(Kept { digest, size, pin })
    }

    /// How many bytes there are; `None` if there are none of that digest.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::File`] and [`Error::Bucket`].
    pub fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let address = self.address(digest);
        let size = match &self.open.place {
            Place::Disk(disk) => disk.size(&address),
            Place::Bucket(bucket) => bucket.size(&address),
        };
        match size {
            Ok(size) if self.seal.is_some() => seal::plain_length(size).map(Some).ok_or(Error::Damaged),
            Ok(size) => Ok(Some(size)),
            Err(Error::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Small bytes that are in memory. Never waits.
    pub fn cached(&self, digest: &Digest) -> Option<Bytes> {
        self.open.cache.get(&self.address(digest))
    }

    /// All of a small blob, which then stays in memory for a while.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::TooLarge`] beyond `most` bytes; [`Error::Damaged`]; [`Error::File`] and
    /// [`Error::Bucket`].
    pub fn read(&self, digest: &Digest, most: u64) -> Result<Bytes, Error> {
        let address = self.address(digest);
        if let Some(bytes) = self.open.cache.get(&address) {
            return Ok(bytes);
        }
        let reader = self.reader(digest)?;
        if reader.size() > most {
            return Err(Error::TooLarge { most });
        }
        let bytes = reader.read_all()?;
        self.open.cache.put(&address, bytes.clone());
        Ok(bytes)
    }

    /// To read a blob piece by piece. What is removed meanwhile can still be read from a disk.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Damaged`]; [`Error::File`] and [`Error::Bucket`].
    pub fn reader(&self, digest: &Digest) -> Result<Reader, Error> {
        let address = self.address(digest);
        let reader = match &self.open.place {
            Place::Disk(disk) => disk.reader(&address)?,
            Place::Bucket(bucket) => bucket.reader(&address)?,
        };
        match &self.seal {
            Some(seal) => reader.opened(seal, digest, self.open.doubts.witness(&address)),
            None => Ok(reader),
        }
    }

    /// Makes sure that bytes may be removed for want of a record: that a bucket is this installation's, whose records are
    /// asked.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Unmarked`] and [`Error::Bucket`].
    pub fn confirm(&self) -> Result<(), Error> {
        match &self.open.place {
            Place::Disk(_) => Ok(()),
            Place::Bucket(bucket) => bucket.confirm(),
        }
    }

    /// Removes from a bucket what was sent of blobs that broke off. Returns of how many.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Bucket`], [`Error::Foreign`] and [`Error::Unmarked`].
    pub fn abort_left(&self) -> Result<usize, Error> {
        match &self.open.place {
            Place::Disk(_) => Ok(0),
            Place::Bucket(bucket) => bucket.abort_left(),
        }
    }

    /// Whether bytes that were never heard of may be removed: in a bucket, to which others may write, those that have been there
    /// for a day; in the directory, where nobody else writes, all.
    ///
    /// # Errors
    /// [`Error::Bucket`]
    pub fn is_settled(&self, address: &Address) -> Result<bool, Error> {
        match &self.open.place {
            Place::Disk(_) => Ok(true),
            Place::Bucket(bucket) => bucket.is_settled(address),
        }
    }

    /// Removes bytes that nobody has a pin on, unless they are needed. `needed` is asked while nobody can get a pin, and must
    /// rest on what is durable. It takes no key. Returns whether they are gone.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Bucket`].
    pub fn remove_unless(&self, address: &Address, needed: impl FnOnce() -> bool) -> Result<bool, Error> {
        let Some(_alone) = self.open.pins.exclude(address) else { return Ok(false) };
        if needed() {
            return Ok(false);
        }
        self.open.cache.remove(address);
        match &self.open.place {
            Place::Disk(disk) => disk.remove(address)?,
            Place::Bucket(bucket) => bucket.remove(address)?,
        }
        Ok(true)
    }

    /// The data keys under which anything was sealed, as far as it is known.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Bucket`].
    pub fn seals(&self) -> Result<Vec<SealId>, Error> {
        match &self.open.place {
            Place::Disk(disk) => disk.seals(),
            Place::Bucket(bucket) => bucket.seals(),
        }
    }

    /// All that there may be of a data key, or of what lies as it came. In a bucket each is asked for, so of a data key, which has
    /// few, all are one.
    pub fn shelves(&self, seal: Option<&SealId>) -> Vec<Shelf> {
        match (&self.open.place, seal) {
            (Place::Bucket(_), Some(_)) => vec![Shelf::whole(seal)],
            _ => Shelf::each(seal),
        }
    }

    /// What lies on a shelf, as it is found; the errors are [`Error::File`] and [`Error::Bucket`].
    pub fn on(&self, shelf: &Shelf) -> Box<dyn Iterator<Item = Result<Address, Error>> + '_> {
        match &self.open.place {
            Place::Disk(disk) => match disk.on(shelf) {
                Ok(addresses) => Box::new(addresses.into_iter().map(Ok)),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
            Place::Bucket(bucket) => Box::new(bucket.on(shelf)),
        }
    }

    /// Removes what is left of a data key that nothing will be sealed under again, as far as nothing lies there.
    ///
    /// # Errors
    /// [`Error::File`]
    pub fn clear(&self, seal: &SealId) -> Result<(), Error> {
        match &self.open.place {
            Place::Disk(disk) => disk.clear(seal),
            // Nothing is left there of what lay in a directory.
            Place::Bucket(_) => Ok(()),
        }
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`] if the repository's bytes do not lie here; [`Error::TooMany`], [`Error::Twice`], [`Error::Full`]
    /// and [`Error::File`].
    pub fn begin(&self, key: &Key) -> Result<(), Error> {
        self.open.uploads.begin(self.own(key)?)
    }

    /// How many bytes of an upload have come.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`]; [`Error::Busy`] while more come; [`Error::Crowded`] and [`Error::File`] of one that must be read to
    /// know.
    pub fn received(&self, key: &Key) -> Result<u64, Error> {
        match self.open.uploads.is_guessed(self.own(key)?) {
            true => self.append(key, None)?.pause(),
            false => self.open.uploads.received(key),
        }
    }

    /// To write the next bytes of an upload, which nobody else does meanwhile. `at` is where the caller thinks they belong.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`], [`Error::Busy`], [`Error::Crowded`], [`Error::OutOfOrder`]; [`Error::File`].
    pub fn append(&self, key: &Key, at: Option<u64>) -> Result<Writer, Error> {
        Writer::open(self, self.own(key)?, at)
    }

    /// Ends an upload that nobody wants.
    ///
    /// # Errors
    /// [`Error::UnknownUpload`], [`Error::Busy`]; [`Error::File`].
    pub fn cancel(&self, key: &Key) -> Result<(), Error> {
        self.open.uploads.cancel(self.own(key)?)
    }

    /// Ends an upload that nobody goes on with, if there is one: now, or when its writer lets go.
    pub fn abandon(&self, key: &Key) {
        self.open.uploads.abandon(key);
    }

    /// Ends uploads that nobody has touched for so long. Returns how many.
    pub fn sweep(&self, untouched: Duration) -> usize {
        self.open.uploads.sweep(untouched)
    }

    /// Ids of repositories that have open uploads.
    pub fn uploading(&self) -> BTreeSet<String> {
        self.open.uploads.owners()
    }

    /// Ends the uploads of repositories that are gone, by their ids; those that are written to, when the writer lets go. Returns
    /// how many are ended.
    pub fn forget(&self, repositories: &BTreeSet<String>) -> usize {
        self.open.uploads.forget(repositories)
    }

    /// Uploads that are open.
    pub fn open_uploads(&self) -> usize {
        self.open.uploads.count()
    }

    /// An upload for a repository whose bytes lie elsewhere is not one of these.
    fn own<'a>(&self, key: &'a Key) -> Result<&'a Key, Error> {
        match SealId::parse(key.repository()).as_ref() == self.seal.as_ref().map(Seal::id) {
            true => Ok(key),
            false => Err(Error::UnknownUpload),
        }
    }
}

#[cfg(test)]
mod tests;
