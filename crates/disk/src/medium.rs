//! Files in memory: what is synced, what was written since, and what a power cut makes of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// What reaches the disk whole or not at all, in bytes.
const SECTOR: usize = 512;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The power is off.
    Off,
    Full,
    /// A sync failed.
    Sync,
    NoFile,
}

#[derive(Clone, Debug)]
enum Edit {
    Data { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Not synced yet.
    Open,
    /// Its sync failed: it is in nobody's hands any more.
    Lost,
    /// Synced.
    Safe,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// Whether the file's existence is synced.
    exists: bool,
    base: Vec<u8>,
    /// What was done to `base`, in order.
    edits: Vec<(Edit, Fate)>,
    /// What readers see.
    now: Vec<u8>,
}

impl File {
    fn edit(&mut self, edit: Edit) {
        apply(&mut self.now, &edit);
        self.edits.push((edit, Fate::Open));
    }

    fn sync(&mut self, works: bool) {
        self.exists |= works;
        for (_, fate) in self.edits.iter_mut().filter(|(_, fate)| *fate == Fate::Open) {
            *fate = if works { Fate::Safe } else { Fate::Lost };
        }
        if self.edits.iter().all(|(_, fate)| *fate == Fate::Safe) {
            self.edits.clear();
            self.base.clone_from(&self.now);
        }
    }

    /// The file as a power cut leaves it, if it does.
    fn crash(&self, dice: &mut dyn FnMut(usize) -> usize) -> Option<File> {
        let mode = dice(4);
        if !self.exists && (mode == 0 || dice(2) == 0) {
            return None;
        }
        let mut image = self.base.clone();
        for (edit, fate) in &self.edits {
            match (fate, mode) {
                (Fate::Safe, _) | (_, 1) => apply(&mut image, edit),
                (_, 0) => {}
                _ => tear(&mut image, edit, dice),
            }
        }
        Some(File { exists: true, base: image.clone(), edits: Vec::new(), now: image })
    }
}

fn apply(image: &mut Vec<u8>, edit: &Edit) {
    match edit {
        Edit::Length(length) => image.resize(*length, 0),
        Edit::Data { at, bytes } => {
            let end = at + bytes.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*at..end].copy_from_slice(bytes);
        }
    }
}

/// Apply some sectors of an edit.
fn tear(image: &mut Vec<u8>, edit: &Edit, dice: &mut dyn FnMut(usize) -> usize) {
    let Edit::Data { at, bytes } = edit else {
        if dice(2) == 0 {
            apply(image, edit);
        }
        return;
    };
    let mut done = 0;
    while done < bytes.len() {
        let start = at + done;
        let length = (SECTOR - start % SECTOR).min(bytes.len() - done);
        if dice(2) == 0 {
            apply(image, &Edit::Data { at: start, bytes: bytes[done..done + length].to_vec() });
        }
        done += length;
    }
}

#[derive(Debug, Default)]
struct Medium {
    files: BTreeMap<String, File>,
    /// Deleted files that a power cut may bring back.
    ghosts: BTreeMap<String, File>,
    capacity: Option<usize>,
    /// Operations until the power goes off.
    power: Option<u64>,
    /// Syncs until one fails.
    bad_sync: Option<u64>,
    /// Operations and syncs so far.
    operations: u64,
    syncs: u64,
}

impl Medium {
    /// One operation that changes the disk.
    fn operate(&mut self) -> Result<(), Trouble> {
        self.operations += 1;
        match &mut self.power {
            Some(0) => return Err(Trouble::Off),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> Result<&mut File, Trouble> {
        self.files.get_mut(name).ok_or(Trouble::NoFile)
    }

    /// The file, to look at.
    fn look(&self, name: &str) -> Result<&File, Trouble> {
        match self.power {
            Some(0) => Err(Trouble::Off),
            _ => self.files.get(name).ok_or(Trouble::NoFile),
        }
    }

    fn used(&self) -> usize {
        self.files.values().map(|file| file.now.len()).sum()
    }

    /// How many of `wanted` more bytes there is room for.
    fn room(&self, wanted: usize) -> usize {
        self.capacity.map_or(wanted, |capacity| capacity.saturating_sub(self.used()).min(wanted))
    }
}

/// A disk. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Medium>>);

/// A handle that does not keep the disk.
#[derive(Debug)]
pub(crate) struct Trace(Weak<Mutex<Medium>>);

impl Trace {
    pub fn disk(&self) -> Option<Disk> {
        self.0.upgrade().map(Disk)
    }
}

impl Disk {
    pub(crate) fn trace(&self) -> Trace {
        Trace(Arc::downgrade(&self.0))
    }

    /// So many bytes fit; `None` is no end.
    pub fn set_capacity(&self, capacity: Option<usize>) {
        self.0.lock().capacity = capacity;
    }

    /// Bytes in files.
    pub fn used(&self) -> usize {
        self.0.lock().used()
    }

    /// The power goes off after so many operations; all fail from then on.
    pub fn power_off_after(&self, operations: u64) {
        self.0.lock().power = Some(operations);
    }

    /// The sync after so many others fails. Only that one.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.0.lock().bad_sync = Some(syncs);
    }

    /// Operations that changed the disk, and syncs, so far.
    pub fn counts(&self) -> (u64, u64) {
        let medium = self.0.lock();
        (medium.operations, medium.syncs)
    }

    /// Whether the sync that was to fail has done so.
    pub fn sync_failed(&self) -> bool {
        self.0.lock().files.values().any(|file| file.edits.iter().any(|(_, fate)| *fate == Fate::Lost))
    }

    /// A disk as it may be found when the power comes back. `dice(n)` throws a number below `n`.
    pub fn crash(&self, dice: &mut dyn FnMut(usize) -> usize) -> Disk {
        let medium = self.0.lock();
        let mut files = BTreeMap::new();
        for (name, ghost) in &medium.ghosts {
            if dice(2) == 0 {
                files.extend(ghost.crash(dice).map(|file| (name.clone(), file)));
            }
        }
        for (name, file) in &medium.files {
            files.extend(file.crash(dice).map(|file| (name.clone(), file)));
        }
        Disk(Arc::new(Mutex::new(Medium { files, ..Medium::default() })))
    }

    pub(crate) fn open(&self, name: &str, create: bool) -> Result<(), Trouble> {
        let mut medium = self.0.lock();
        match medium.look(name) {
            Err(Trouble::NoFile) if create => {}
            found => return found.map(drop),
        }
        medium.operate()?;
        medium.ghosts.remove(name);
        medium.files.insert(name.to_owned(), File::default());
        Ok(())
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.0.lock().files.contains_key(name)
    }

    pub(crate) fn delete(&self, name: &str, synced: bool) -> Result<(), Trouble> {
        let mut medium = self.0.lock();
        medium.operate()?;
        let file = medium.files.remove(name).ok_or(Trouble::NoFile)?;
        if file.exists && !synced {
            medium.ghosts.insert(name.to_owned(), file);
        }
        Ok(())
    }

    pub(crate) fn size(&self, name: &str) -> Result<usize, Trouble> {
        Ok(self.0.lock().look(name)?.now.len())
    }

    /// Fill `into` from the file; the answer is how many bytes there were.
    pub(crate) fn read(&self, name: &str, at: usize, into: &mut [u8]) -> Result<usize, Trouble> {
        let medium = self.0.lock();
        let there = medium.look(name)?.now.get(at..).unwrap_or_default();
        let count = there.len().min(into.len());
        into[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    /// Write what there is room for.
    pub(crate) fn write(&self, name: &str, at: usize, bytes: &[u8]) -> Result<(), Trouble> {
        let mut medium = self.0.lock();
        medium.operate()?;
        let length = medium.file(name)?.now.len();
        let growth = (at + bytes.len()).saturating_sub(length);
        let fits = bytes.len() - (growth - medium.room(growth)).min(bytes.len());
        if fits > 0 {
            medium.file(name)?.edit(Edit::Data { at, bytes: bytes[..fits].to_vec() });
        }
        match fits == bytes.len() {
            true => Ok(()),
            false => Err(Trouble::Full),
        }
    }

    pub(crate) fn truncate(&self, name: &str, length: usize) -> Result<(), Trouble> {
        let mut medium = self.0.lock();
        medium.operate()?;
        medium.file(name)?.edit(Edit::Length(length));
        Ok(())
    }

    pub(crate) fn sync(&self, name: &str) -> Result<(), Trouble> {
        let mut medium = self.0.lock();
        medium.operate()?;
        medium.syncs += 1;
        let works = medium.bad_sync != Some(0);
        medium.bad_sync = medium.bad_sync.and_then(|left| left.checked_sub(1));
        let file = medium.file(name)?;
        let first = works && !file.exists;
        file.sync(works);
        if first {
            // The directory is synced with a new file, as SQLite has it on Linux.
            medium.ghosts.clear();
        }
        match works {
            true => Ok(()),
            false => Err(Trouble::Sync),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every image of the one file after a power cut, with a few hundred throws.
    fn images(disk: &Disk) -> Vec<Option<Vec<u8>>> {
        let mut seed = 1_u64;
        let mut dice = |sides: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % sides
        };
        let image = |disk: Disk| disk.0.lock().files.get("f").map(|file| file.now.clone());
        let mut images: Vec<_> = (0..400).map(|_| image(disk.crash(&mut dice))).collect();
        images.sort();
        images.dedup();
        images
    }

    #[test]
    fn what_is_synced_stays_and_the_rest_may_go_or_tear() {
        let disk = Disk::default();
        disk.open("f", true).unwrap();
        assert!(images(&disk).contains(&None), "never synced");
        disk.write("f", 0, &[1; 1024]).unwrap();
        disk.sync("f").unwrap();
        assert_eq!(images(&disk), [Some(vec![1; 1024])]);
        disk.write("f", 0, &[2; 1024]).unwrap();
        let half = |first, second| Some([vec![first; 512], vec![second; 512]].concat());
        assert_eq!(images(&disk), [half(1, 1), half(1, 2), half(2, 1), half(2, 2)]);
    }

    #[test]
    fn a_failed_sync_is_never_made_good() {
        let disk = Disk::default();
        disk.open("f", true).unwrap();
        disk.sync("f").unwrap();
        disk.fail_sync_after(0);
        disk.write("f", 0, &[1; 8]).unwrap();
        assert_eq!(disk.sync("f"), Err(Trouble::Sync));
        assert!(disk.sync_failed());
        disk.sync("f").unwrap();
        assert_eq!(images(&disk), [Some(vec![]), Some(vec![1; 8])]);
        disk.write("f", 0, &[2; 8]).unwrap();
        disk.sync("f").unwrap();
        assert_eq!(images(&disk), [Some(vec![2; 8])], "written again, it is there");
    }

    #[test]
    fn a_full_disk_takes_what_fits_and_no_power_takes_nothing() {
        let disk = Disk::default();
        disk.open("f", true).unwrap();
        disk.set_capacity(Some(10));
        disk.write("f", 0, &[1; 8]).unwrap();
        assert_eq!(disk.write("f", 8, &[1; 8]), Err(Trouble::Full));
        assert_eq!(disk.used(), 10);
        disk.write("f", 0, &[2; 8]).unwrap();
        disk.power_off_after(1);
        disk.truncate("f", 1).unwrap();
        assert_eq!(disk.write("f", 0, &[3]), Err(Trouble::Off));
        assert_eq!(disk.size("f"), Err(Trouble::Off));
    }
}
