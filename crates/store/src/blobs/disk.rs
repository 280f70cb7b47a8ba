//! Blobs as files.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::address::{PLAIN, SEALED};
use super::{ALGORITHMS, Address, Error, Reader, SealId, Shelf};

/// Shelves of sealed bytes of which it is remembered that they are durable.
const REMEMBERED: usize = 16 * 1024;

pub(super) struct Disk {
    dir: PathBuf,
    /// Shelves of sealed bytes whose names have reached the disk, as far as this process knows.
    durable: Mutex<HashSet<PathBuf>>,
}

impl Disk {
    /// All shelves of what lies as it came are made, and their names reach the disk: those too that another process made and could not sync.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        for algorithm in ALGORITHMS {
            let shelves = dir.join(PLAIN).join(algorithm.name());
            make(&shelves)?;
            for part in 0..=u8::MAX {
                let shelf = shelves.join(format!("{part:02x}"));
                create_dir(&shelf).map_err(|error| Error::at(&shelf, error))?;
            }
            sync_dir(&shelves)?;
        }
        sync_dir(&dir.join(PLAIN))?;
        sync_dir(dir)?;
        Ok(Self { dir: dir.to_owned(), durable: Mutex::default() })
    }

    fn path(&self, address: &Address) -> PathBuf {
        self.shelf(address).join(address.digest.hex())
    }

    fn shelf(&self, address: &Address) -> PathBuf {
        self.dir.join(address.shelf())
    }

    /// Bytes of the file.
    pub fn size(&self, address: &Address) -> Result<u64, Error> {
        let path = self.path(address);
        Ok(fs::metadata(&path).map_err(|error| Error::at(&path, error))?.len())
    }

    pub fn reader(&self, address: &Address) -> Result<Reader, Error> {
        let path = self.path(address);
        let in_path = |error| Error::at(&path, error);
        let file = File::open(&path).map_err(in_path)?;
        let size = file.metadata().map_err(in_path)?.len();
        Ok(Reader::of_file(path, file, size))
    }

    /// Small bytes by way of a file aside.
    pub fn put(&self, address: &Address, aside: &Path, bytes: &[u8]) -> Result<(), Error> {
        let in_aside = |error| Error::at(aside, error);
        let write = || {
            let mut file = create(aside).map_err(in_aside)?;
            file.write_all(bytes).map_err(in_aside)?;
            self.keep(address, aside, &file)
        };
        write().inspect_err(|_| drop(fs::remove_file(aside)))
    }

    /// Gives verified bytes their name, once they have reached the disk. What had it before may have rotted; who reads that reads
    /// on.
    pub fn keep(&self, address: &Address, staged: &Path, file: &File) -> Result<(), Error> {
        let shelf = self.shelf(address);
        file.sync_data().map_err(|error| Error::at(staged, error))?;
        self.provide(address, &shelf)?;
        name(staged, &self.path(address), || sync_dir(&shelf))
    }

    /// The name of bytes that are there reaches the disk.
    pub fn settle(&self, address: &Address) -> Result<(), Error> {
        sync_dir(&self.shelf(address))
    }

    /// Makes the shelf of what is sealed, which is not there from the beginning: its name is durable before anything lies on it.
    fn provide(&self, address: &Address, shelf: &Path) -> Result<(), Error> {
        if address.seal.is_none() {
            return Ok(());
        }
        // Another that comes meanwhile waits.
        let mut durable = self.durable.lock();
        if durable.contains(shelf) && shelf.is_dir() {
            return Ok(());
        }
        for dir in shelf.ancestors().take_while(|dir| *dir != self.dir).collect::<Vec<_>>().into_iter().rev() {
            create_dir(dir).map_err(|error| Error::at(dir, error))?;
            dir.parent().map_or(Ok(()), sync_dir)?;
        }
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(shelf.to_owned());
        Ok(())
    }

    pub fn remove(&self, address: &Address) -> Result<(), Error> {
        let path = self.path(address);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at(&path, error)),
            _ => Ok(()),
        }
    }

    pub fn on(&self, shelf: &Shelf) -> Result<Vec<Address>, Error> {
        let names = names(&self.dir.join(shelf.path()))?;
        Ok(names.iter().filter_map(|name| Address::at(&format!("{}/{name}", shelf.path()))).collect())
    }

    /// Data keys under which anything was sealed.
    pub fn seals(&self) -> Result<Vec<SealId>, Error> {
        Ok(names(&self.dir.join(SEALED))?.iter().filter_map(|name| SealId::parse(name)).collect())
    }

    /// Removes the directories of a data key, as far as nothing lies in them.
    pub fn clear(&self, seal: &SealId) -> Result<(), Error> {
        let room = self.dir.join(SEALED).join(seal.as_str());
        let mut durable = self.durable.lock();
        durable.retain(|shelf| !shelf.starts_with(&room));
        for algorithm in names(&room)? {
            let algorithm = room.join(algorithm);
            names(&algorithm)?.iter().for_each(|part| drop(fs::remove_dir(algorithm.join(part))));
            let _ = fs::remove_dir(algorithm);
        }
        let _ = fs::remove_dir(room);
        Ok(())
    }
}

/// Gives a file its name, durably. A name that is new and may not last is taken back: what failed to reach the disk once may
/// seem to be there the next time.
fn name(staged: &Path, path: &Path, sync: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
    let is_new = matches!(path.try_exists(), Ok(false));
    fs::rename(staged, path).map_err(|error| Error::at(path, error))?;
    sync().inspect_err(|_| {
        if is_new {
            let _ = fs::remove_file(path);
        }
    })
}

/// What is in a directory; nothing in one that is not there.
fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Error::at(dir, error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(|error| Error::at(dir, error))?.file_name().into_string());
    }
    Ok(names)
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

#[cfg(test)]
mod tests {
    use super::super::tests::Room;
    use super::*;

    #[test]
    fn a_new_name_that_may_not_last_is_taken_back_and_a_known_one_stays() {
        let room = Room::new("disk");
        let dir = &room.0;
        make(dir).unwrap();
        let (staged, path) = (dir.join("staged"), dir.join("name"));
        let check = |bytes: &str, synced: Result<(), Error>, found: Option<&str>| {
            fs::write(&staged, bytes).unwrap();
            let is_synced = synced.is_ok();
            assert_eq!(name(&staged, &path, || synced).is_ok(), is_synced);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), found, "{bytes}");
            assert!(!staged.exists());
        };
        check("first", Err(Error::Full), None);
        check("second", Ok(()), Some("second"));
        check("third", Err(Error::Full), Some("third"));
        check("fourth", Ok(()), Some("fourth"));
    }
}
