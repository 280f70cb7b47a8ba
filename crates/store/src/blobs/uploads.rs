//! Uploads that are open: which there are, how far they have come, and who writes to them.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_model::registry::is_sealed;
use parking_lot::Mutex;

use super::digest::Running;
use super::{Error, disk, seal};

/// Digits of a repository's id; before them a letter where its bytes are sealed.
const OWNER: usize = 32;

/// Which upload: an account's, for one of its repositories. Of another repository nobody finds it, nor of one that is made
/// again under the name. It is sealed if the repository's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    account: String,
    /// `REPOSITORY.ID`.
    name: String,
}

impl Key {
    /// `None` unless the id is a UUID and the repository's id one of a repository, both in lower case, and the account one of
    /// twelve digits.
    pub fn new(account: &str, repository: &str, id: &str) -> Option<Self> {
        let named = is_account(account) && is_owner(repository) && is_uuid(id);
        named.then(|| Self { account: account.to_owned(), name: format!("{repository}.{id}") })
    }

    fn of_file(account: &str, name: &str) -> Option<Self> {
        let (repository, id) = name.split_once('.')?;
        Self::new(account, repository, id)
    }

    /// The repository's id.
    pub fn repository(&self) -> &str {
        self.name.split_once('.').map_or("", |(repository, _)| repository)
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_owner(text: &str) -> bool {
    let digits = if is_sealed(text) { &text[1..] } else { text };
    digits.len() == OWNER && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_uuid(text: &str) -> bool {
    let well = |(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(well)
}

/// How far an upload has come.
pub(super) struct Progress {
    pub bytes: u64,
    /// The digest of these bytes; none after a restart, until they were read again.
    pub hash: Option<Running>,
}

impl Progress {
    /// Whether this is what the length of a sealed file lets hope for.
    fn is_guess(&self, key: &Key) -> bool {
        self.hash.is_none() && is_sealed(key.repository())
    }
}

enum Slot {
    Idle(Progress, Instant),
    /// Somebody writes.
    Busy,
    /// Somebody writes, and it is over with that.
    Forgotten,
}

pub(super) struct Uploads(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    most: usize,
    open: Mutex<Open>,
    aside: AtomicU64,
}

#[derive(Default)]
struct Open {
    slots: HashMap<Key, Slot>,
    /// How many each account has.
    counts: HashMap<String, usize>,
}

impl Open {
    fn insert(&mut self, key: Key, slot: Slot) {
        *self.counts.entry(key.account.clone()).or_default() += 1;
        self.slots.insert(key, slot);
    }

    fn remove(&mut self, key: &Key) {
        if self.slots.remove(key).is_none() {
            return;
        }
        if let Some(count) = self.counts.get_mut(&key.account) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key.account);
            }
        }
    }
}

impl Uploads {
    /// Finds again what was open when the process ended, and removes what was put aside.
    pub fn open(dir: &Path, most: usize) -> Result<Self, Error> {
        disk::make(dir)?;
        let mut open = Open::default();
        let in_dir = |error| Error::at(dir, error);
        for entry in fs::read_dir(dir).map_err(in_dir)? {
            let entry = entry.map_err(in_dir)?;
            match entry.file_name().to_str().filter(|_| entry.path().is_dir()) {
                Some(account) => find(&entry.path(), account, &mut open)?,
                None => fs::remove_file(entry.path()).map_err(in_dir)?,
            }
        }
        Ok(Self(Arc::new(Inner { dir: dir.to_owned(), most, open: Mutex::new(open), aside: AtomicU64::new(0) })))
    }

    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    pub fn path(&self, key: &Key) -> PathBuf {
        self.0.dir.join(&key.account).join(&key.name)
    }

    /// A name that no other file has, for bytes that are no upload. It is void when the process begins anew.
    pub fn aside(&self) -> PathBuf {
        self.0.dir.join(format!("aside-{}", self.0.aside.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn begin(&self, key: &Key) -> Result<(), Error> {
        {
            let mut open = self.0.open.lock();
            if open.slots.contains_key(key) {
                return Err(Error::Twice);
            }
            if open.counts.get(&key.account).is_some_and(|count| *count >= self.0.most) {
                return Err(Error::TooMany { most: self.0.most });
            }
            open.insert(key.clone(), Slot::Busy);
        }
        let path = self.path(key);
        let made = disk::make(&self.0.dir.join(&key.account))
            .and_then(|()| disk::create(&path).map_err(|error| Error::at(&path, error)));
        match made {
            Ok(_) => self.give_back(key, Progress { bytes: 0, hash: None }),
            Err(_) => self.0.open.lock().remove(key),
        }
        made.map(drop)
    }

    pub fn received(&self, key: &Key) -> Result<u64, Error> {
        match self.0.open.lock().slots.get(key) {
            None => Err(Error::UnknownUpload),
            Some(Slot::Busy | Slot::Forgotten) => Err(Error::Busy),
            Some(Slot::Idle(progress, _)) => Ok(progress.bytes),
        }
    }

    /// Whether how far an upload has come is known when its file has been opened, and not before.
    pub fn is_guessed(&self, key: &Key) -> bool {
        matches!(self.0.open.lock().slots.get(key), Some(Slot::Idle(progress, _)) if progress.is_guess(key))
    }

    /// Takes an upload to write to it. It must be given back, or forgotten.
    pub fn take(&self, key: &Key, at: Option<u64>) -> Result<Progress, Error> {
        let mut open = self.0.open.lock();
        let slot = open.slots.get_mut(key).ok_or(Error::UnknownUpload)?;
        match slot {
            Slot::Busy | Slot::Forgotten => return Err(Error::Busy),
            Slot::Idle(progress, _) if !progress.is_guess(key) && at.is_some_and(|at| at != progress.bytes) => {
                return Err(Error::OutOfOrder { at: progress.bytes });
            }
            Slot::Idle(..) => {}
        }
        match std::mem::replace(slot, Slot::Busy) {
            Slot::Idle(progress, _) => Ok(progress),
            Slot::Busy | Slot::Forgotten => Err(Error::Busy),
        }
    }

    pub fn give_back(&self, key: &Key, progress: Progress) {
        match self.0.open.lock().slots.get_mut(key) {
            Some(Slot::Forgotten) => {}
            Some(slot) => return *slot = Slot::Idle(progress, Instant::now()),
            None => return,
        }
        if let Err(error) = self.discard(key) {
            tracing::warn!(%error, "an upload was not removed");
        }
    }

    /// Of an upload that was taken: it is over, and its file is where it belongs.
    pub fn end(&self, key: &Key) {
        self.0.open.lock().remove(key);
    }

    /// Of an upload that was taken: it is over, and its bytes go.
    pub fn discard(&self, key: &Key) -> Result<(), Error> {
        let path = self.path(key);
        let removed = fs::remove_file(&path).map_err(|error| Error::at(&path, error));
        self.end(key);
        match removed {
            Err(Error::Missing) => Ok(()),
            removed => removed,
        }
    }

    pub fn cancel(&self, key: &Key) -> Result<(), Error> {
        self.take(key, None)?;
        self.discard(key)
    }

    pub fn abandon(&self, key: &Key) {
        if let Some(slot @ Slot::Busy) = self.0.open.lock().slots.get_mut(key) {
            return *slot = Slot::Forgotten;
        }
        if let Err(error) = self.cancel(key)
            && !matches!(error, Error::UnknownUpload | Error::Busy)
        {
            tracing::warn!(%error, "an upload was not removed");
        }
    }

    pub fn count(&self) -> usize {
        self.0.open.lock().slots.len()
    }

    pub fn sweep(&self, untouched: Duration) -> usize {
        let is_old = |_: &Key, touched: &Instant| touched.elapsed() >= untouched;
        self.discard_where(is_old)
    }

    pub fn owners(&self) -> BTreeSet<String> {
        self.0.open.lock().slots.keys().map(|key| key.repository().to_owned()).collect()
    }

    pub fn forget(&self, repositories: &BTreeSet<String>) -> usize {
        for (key, slot) in &mut self.0.open.lock().slots {
            if matches!(slot, Slot::Busy) && repositories.contains(key.repository()) {
                *slot = Slot::Forgotten;
            }
        }
        self.discard_where(|key, _| repositories.contains(key.repository()))
    }

    /// Who chooses takes them at once, so that nobody goes on with one in between.
    fn discard_where(&self, is_over: impl Fn(&Key, &Instant) -> bool) -> usize {
        let over = self.take_where(is_over);
        over.iter().filter(|key| self.discard(key).is_ok()).count()
    }

    fn take_where(&self, is_over: impl Fn(&Key, &Instant) -> bool) -> Vec<Key> {
        let mut open = self.0.open.lock();
        let idle = |(key, slot): (&Key, &mut Slot)| {
            let is_over = matches!(slot, Slot::Idle(_, touched) if is_over(key, touched));
            is_over.then(|| {
                *slot = Slot::Busy;
                key.clone()
            })
        };
        open.slots.iter_mut().filter_map(idle).collect()
    }
}

/// The uploads of an account that have files.
fn find(dir: &Path, account: &str, open: &mut Open) -> Result<(), Error> {
    let in_dir = |error| Error::at(dir, error);
    for entry in fs::read_dir(dir).map_err(in_dir)? {
        let entry = entry.map_err(in_dir)?;
        let name = entry.file_name();
        let Some(key) = name.to_str().and_then(|name| Key::of_file(account, name)) else {
            tracing::warn!(path = %entry.path().display(), "this is no upload");
            continue;
        };
        let about = entry.metadata().map_err(in_dir)?;
        let age = about.modified().ok().and_then(|touched| touched.elapsed().ok()).unwrap_or_default();
        let touched = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        // What is torn is found when it is gone on with.
        let bytes = match is_sealed(key.repository()) {
            true => seal::plain_length(about.len()).unwrap_or(about.len()),
            false => about.len(),
        };
        open.insert(key, Slot::Idle(Progress { bytes, hash: None }, touched));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::Room;
    use super::*;

    #[test]
    fn an_upload_that_is_over_is_taken_when_it_is_chosen() {
        let room = Room::new("uploads");
        let uploads = Uploads::open(&room.0, 10).unwrap();
        let keys = [1, 2].map(|number| {
            Key::new("123456789012", &"0".repeat(OWNER), &format!("01234567-89ab-cdef-0123-{number:012x}")).unwrap()
        });
        keys.iter().for_each(|key| uploads.begin(key).unwrap());
        let [over, other] = &keys;
        assert_eq!(uploads.take_where(|key, _| key == over), std::slice::from_ref(over));
        assert!(matches!(uploads.take(over, None), Err(Error::Busy)), "it would be gone on with, and then removed");
        assert_eq!(uploads.discard_where(|_, _| true), 1);
        assert!(matches!(uploads.received(other), Err(Error::UnknownUpload)));
        uploads.discard(over).unwrap();
        assert_eq!(uploads.count(), 0);
    }
}
