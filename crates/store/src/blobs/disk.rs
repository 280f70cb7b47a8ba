//! Blobs as files.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::digest::of_hex;
use super::{ALGORITHMS, Algorithm, Digest, Error, PARTS, Reader};

pub(super) struct Disk {
    dir: PathBuf,
}

impl Disk {
    /// All shelves are made, and their names reach the disk: those too that another process made and could not sync.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let dir = dir.join("blobs");
        for algorithm in ALGORITHMS {
            let shelves = dir.join(algorithm.name());
            make(&shelves)?;
            for part in 0..=PARTS {
                let shelf = shelves.join(format!("{part:02x}"));
                create_dir(&shelf).map_err(|error| Error::at(&shelf, error))?;
            }
            sync_dir(&shelves)?;
        }
        sync_dir(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.shelf(digest.algorithm(), &digest.hex()[..2]).join(digest.hex())
    }

    fn shelf(&self, algorithm: Algorithm, part: &str) -> PathBuf {
        self.dir.join(algorithm.name()).join(part)
    }

    pub fn size(&self, digest: &Digest) -> Result<u64, Error> {
        let path = self.path(digest);
        Ok(fs::metadata(&path).map_err(|error| Error::at(&path, error))?.len())
    }

    pub fn reader(&self, digest: &Digest) -> Result<Reader, Error> {
        let path = self.path(digest);
        let in_path = |error| Error::at(&path, error);
        let file = File::open(&path).map_err(in_path)?;
        let size = file.metadata().map_err(in_path)?.len();
        Ok(Reader::of_file(path, file, size))
    }

    /// Small bytes by way of a file aside.
    pub fn put(&self, digest: &Digest, aside: &Path, bytes: &[u8]) -> Result<(), Error> {
        if self.size(digest).is_ok_and(|found| found == bytes.len() as u64) {
            // Who gave it its name may not have come so far yet.
            return sync_dir(&self.shelf(digest.algorithm(), &digest.hex()[..2]));
        }
        let in_aside = |error| Error::at(aside, error);
        let write = || {
            let mut file = create(aside).map_err(in_aside)?;
            file.write_all(bytes).map_err(in_aside)?;
            self.keep(digest, aside, &file, bytes.len() as u64)
        };
        write().inspect_err(|_| drop(fs::remove_file(aside)))
    }

    /// Gives verified bytes their name, once they have reached the disk.
    pub fn keep(&self, digest: &Digest, staged: &Path, file: &File, size: u64) -> Result<(), Error> {
        let path = self.path(digest);
        let shelf = self.shelf(digest.algorithm(), &digest.hex()[..2]);
        let known = fs::metadata(&path).is_ok_and(|found| found.len() == size);
        if known {
            fs::remove_file(staged).map_err(|error| Error::at(staged, error))?;
        } else {
            file.sync_data().map_err(|error| Error::at(staged, error))?;
            fs::rename(staged, &path).map_err(|error| Error::at(&path, error))?;
        }
        // As above, also of what is known.
        sync_dir(&shelf)
    }

    pub fn remove(&self, digest: &Digest) -> Result<(), Error> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at(&path, error)),
            _ => Ok(()),
        }
    }

    pub fn part(&self, algorithm: Algorithm, part: u8) -> Result<Vec<Digest>, Error> {
        let shelf = self.shelf(algorithm, &format!("{part:02x}"));
        let entries = match fs::read_dir(&shelf) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| Error::at(&shelf, error))?,
        };
        let mut digests = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| Error::at(&shelf, error))?.file_name();
            digests.extend(name.to_str().and_then(|hex| of_hex(algorithm, hex)));
        }
        Ok(digests)
    }
}

/// A directory and those above it, durably.
pub(super) fn make(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    let Some(above) = dir.parent() else { return Ok(()) };
    make(above)?;
    create_dir(dir).map_err(|error| Error::at(dir, error))?;
    sync_dir(above)
}

/// A directory, unless something is there.
fn create_dir(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// A file that was not there.
pub(super) fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    let sync = || File::open(dir)?.sync_all();
    sync().map_err(|error| Error::at(dir, error))
}
