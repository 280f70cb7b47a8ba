//! Objects that are sent to a bucket in parts: what a process that ended has sent of one lies there, paid for and listed
//! nowhere, until it is aborted. So each is noted before its first part.
//!
//! ```text
//!     DATA/registry/parts/NUMBER      the upload's id in the bucket, and the object's path
//! ```
//! Left out: a bucket in which nothing can be aborted (Azure forgets parts by itself, after a week).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{Error, disk};

#[derive(Debug)]
pub(super) struct Parts {
    dir: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    next: u64,
    /// Of those that broke off.
    left: BTreeSet<u64>,
}

/// An object that broke off.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    number: u64,
    pub id: String,
    pub path: String,
}

/// An object whose parts are being sent. When it is let go without being [`over`](Self::over), it broke off.
pub(super) struct Note<'a> {
    of: &'a Parts,
    number: u64,
    is_over: bool,
}

impl Parts {
    /// Those that are noted broke off with their process.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        disk::make(dir)?;
        let mut known = Known::default();
        for entry in fs::read_dir(dir).map_err(|error| Error::at(dir, error))? {
            let name = entry.map_err(|error| Error::at(dir, error))?.file_name();
            known.left.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        known.next = known.left.last().map_or(0, |last| last + 1);
        Ok(Self { dir: dir.to_owned(), known: Mutex::new(known) })
    }

    pub fn note(&self, id: &str, path: &str) -> Result<Note<'_>, Error> {
        let number = {
            let mut known = self.known.lock();
            known.next += 1;
            known.next - 1
        };
        let file = self.file(number);
        let write = || {
            let mut open = disk::create(&file)?;
            open.write_all(format!("{id}\n{path}").as_bytes())?;
            open.sync_all()
        };
        write().map_err(|error| Error::at(&file, error)).inspect_err(|_| drop(fs::remove_file(&file)))?;
        disk::sync_dir(&self.dir)?;
        Ok(Note { of: self, number, is_over: false })
    }

    /// Those whose notes can be read; others are left for the next time.
    pub fn left(&self) -> Vec<Left> {
        let numbers: Vec<u64> = self.known.lock().left.iter().copied().collect();
        let read = |number| {
            let unread = |error: &io::Error| tracing::warn!(%error, number, "what broke off on its way to the bucket is not known");
            self.read(number).inspect_err(unread).ok()
        };
        numbers.into_iter().filter_map(read).collect()
    }

    fn read(&self, number: u64) -> io::Result<Left> {
        let text = match fs::read_to_string(self.file(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        // One without both was never begun: its note did not come to its end.
        let (id, path) = text.split_once('\n').unwrap_or_default();
        Ok(Left { number, id: id.to_owned(), path: path.to_owned() })
    }

    /// Nothing is left of it in the bucket.
    pub fn forget(&self, left: &Left) -> Result<(), Error> {
        self.remove(left.number)?;
        self.known.lock().left.remove(&left.number);
        Ok(())
    }

    fn remove(&self, number: u64) -> Result<(), Error> {
        let file = self.file(number);
        match fs::remove_file(&file).map_err(|error| Error::at(&file, error)) {
            Err(Error::Missing) => Ok(()),
            removed => removed,
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }
}

impl Note<'_> {
    /// The object is whole, or aborted.
    pub fn over(mut self) -> Result<(), Error> {
        self.of.remove(self.number)?;
        self.is_over = true;
        Ok(())
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.of.known.lock().left.insert(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Room;
    use super::*;

    #[test]
    fn what_broke_off_is_known_after_a_restart_too() {
        let room = Room::new("parts");
        let dir = &room.0;
        let parts = Parts::open(dir).unwrap();
        let left = |number, id: &str| Left { number, id: id.to_owned(), path: format!("images/{id}") };
        parts.note("whole", "images/whole").unwrap().over().unwrap();
        let going = parts.note("going", "images/going").unwrap();
        drop(parts.note("broken", "images/broken").unwrap());
        assert_eq!(parts.left(), [left(2, "broken")]);
        let again = Parts::open(dir).unwrap();
        assert_eq!(again.left(), [left(1, "going"), left(2, "broken")]);
        drop(going);
        drop(again.note("new", "images/new").unwrap());
        again.forget(&left(1, "going")).unwrap();
        again.forget(&left(1, "going")).unwrap();
        assert_eq!(again.left(), [left(2, "broken"), left(3, "new")]);
        assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
    }

    #[test]
    fn a_note_that_cannot_be_read_stays() {
        let room = Room::new("notes");
        let parts = Parts::open(&room.0).unwrap();
        let [unread, gone, begun] = ["unread", "gone", "begun"].map(|id| {
            let note = parts.note(id, "images/x").unwrap();
            parts.file(note.number)
        });
        let text = fs::read(&unread).unwrap();
        fs::remove_file(&unread).unwrap();
        fs::create_dir(&unread).unwrap();
        fs::remove_file(gone).unwrap();
        fs::write(begun, "beg").unwrap();
        let none = |number| Left { number, id: String::new(), path: String::new() };
        assert_eq!(parts.left(), [none(1), none(2)]);
        parts.left().iter().for_each(|left| parts.forget(left).unwrap());
        assert_eq!(parts.left(), []);
        fs::remove_dir(&unread).unwrap();
        fs::write(&unread, text).unwrap();
        assert_eq!(parts.left(), [Left { number: 0, id: "unread".to_owned(), path: "images/x".to_owned() }]);
    }
}
