//! How bytes that are whole come into their place.
//!
//! ```text
//!     disk      the file takes the name of what lies there: that may have rotted, and who reads it reads on
//!     bucket    what lies there stays, unless it is not what it should be: who reads it asks for piece after piece, and what is
//!               sealed anew is another object
//! ```
//! Small bytes are compared with what lies there. Of large ones the length is, and the bytes where a reader found damage
//! ([`doubts`](super::doubts)). Nobody else writes at the address meanwhile ([`turns`](super::turns)).

use std::fs::{self, File};
use std::path::Path;

use bytes::Bytes;

use super::bucket::Bucket;
use super::disk::Disk;
use super::{Address, Blobs, Digest, Error, seal};

/// Where what is whole lies.
pub(super) enum Place {
    Disk(Disk),
    Bucket(Bucket),
}

impl Place {
    /// Before anything is written.
    fn own(&self) -> Result<(), Error> {
        match self {
            Self::Disk(_) => Ok(()),
            Self::Bucket(bucket) => bucket.own(),
        }
    }

    /// Makes sure that bytes that are there stay: who gave them their name may not have come so far yet.
    fn settle(&self, address: &Address) -> Result<(), Error> {
        match self {
            Self::Disk(disk) => disk.settle(address),
            Self::Bucket(_) => Ok(()),
        }
    }
}

impl Blobs {
    /// Puts small bytes into their place, unless they are there.
    pub(super) fn lay(&self, address: &Address, bytes: &Bytes) -> Result<(), Error> {
        let _turn = self.open.turns.take(address);
        self.open.place.own()?;
        if self.is_whole(&address.digest, bytes.len() as u64)? {
            self.open.doubts.remove(address);
            return self.open.place.settle(address);
        }
        let laid_out = match &self.seal {
            Some(seal) => seal::sealed(seal, &address.digest, bytes)?.into(),
            None => bytes.clone(),
        };
        match &self.open.place {
            Place::Disk(disk) => disk.put(address, &self.open.uploads.aside(), &laid_out)?,
            Place::Bucket(bucket) => bucket.put(address, laid_out)?,
        }
        self.open.doubts.remove(address);
        Ok(())
    }

    /// Whether so many bytes are there, and are those of the digest: all of them are read.
    ///
    /// # Errors
    /// Those of a bucket. What a disk does not give is not there.
    fn is_whole(&self, digest: &Digest, size: u64) -> Result<bool, Error> {
        let found = self.reader(digest).and_then(|reader| match reader.size() == size {
            true => reader.digest(digest.algorithm()).map(Some),
            false => Ok(None),
        });
        match found {
            Ok(found) => Ok(found.as_ref() == Some(digest)),
            Err(error) if error.is_of_bucket() && !error.is_refused() => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Puts what was verified into its place: a file of `length` bytes, in which `size` are laid out.
    pub(super) fn keep(
        &self,
        address: &Address,
        (staged, file): (&Path, &File),
        (length, size): (u64, u64),
    ) -> Result<(), Error> {
        let _turn = self.open.turns.take(address);
        match &self.open.place {
            Place::Disk(disk) => disk.keep(address, staged, file)?,
            Place::Bucket(bucket) => {
                bucket.own()?;
                if !self.may_stay(bucket, address, (length, size))? {
                    bucket.keep(address, file, length)?;
                }
                fs::remove_file(staged).map_err(|error| Error::at(staged, error))?;
            }
        }
        self.open.doubts.remove(address);
        Ok(())
    }

    /// Whether an object of `length` bytes, in which `size` are laid out, is there and may stay. Only one that is doubted is read.
    fn may_stay(&self, bucket: &Bucket, address: &Address, (length, size): (u64, u64)) -> Result<bool, Error> {
        match bucket.size(address) {
            Ok(found) if found != length => Ok(false),
            Ok(_) if self.open.doubts.has(address) => self.is_whole(&address.digest, size),
            Ok(_) => Ok(true),
            Err(error) if matches!(error, Error::Missing) || error.is_refused() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
