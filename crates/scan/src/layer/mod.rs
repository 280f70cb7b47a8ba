//! The packages of an image, out of its layers as they stream by.
//!
//! Layers lie on each other, the lowest first. A file of a layer replaces the one below it, a whiteout (`.wh.name`) takes it
//! away, an opaque whiteout (`.wh..wh..opq`) takes away all that lower layers have in its directory. Files that say nothing of
//! packages are passed over without being kept; those that do are read into memory one at a time.

mod budget;
mod path;
mod stack;
mod unpack;

use std::io::{self, BufReader, Read};
use std::time::Instant;

pub(crate) use budget::{Budget, is_late};
use longshore_layer::{Archive, Entry, Kind};

use crate::Error;
use crate::format::{self, Found, Shelf};
use crate::package::Contents;
use stack::Stack;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// What an image may be at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Entries of all layers together.
    pub entries: u64,
    /// Bytes of all layers together, once unpacked.
    pub unpacked_bytes: u64,
    /// How many times its packed size a layer may be, once it is larger than `free_bytes`.
    pub ratio: u64,
    pub free_bytes: u64,
    /// Of one file that says something of packages. A larger one is a problem that is told, and not read.
    pub file_bytes: u64,
    /// Of one database of rpm's.
    pub rpm_bytes: u64,
    /// What all packages take together, about.
    pub package_bytes: usize,
    /// Of a path.
    pub path_bytes: usize,
    /// When to give up.
    pub until: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 1_000_000,
            unpacked_bytes: 64 << 30,
            ratio: 200,
            free_bytes: 64 << 20,
            file_bytes: 64 << 20,
            rpm_bytes: 64 << 20,
            package_bytes: 64 << 20,
            path_bytes: 4096,
            until: None,
        }
    }
}

/// Reads the packages of an image whose layers come lowest first, with their media types: tar archives, plain or packed by gzip
/// or zstd. The media type decides as it does where the image is unpacked; for one that says nothing the first bytes do.
///
/// # Errors
/// When a layer is damaged or cannot be read, and when the image exceeds a limit.
pub fn read_layers<R: Read>(layers: impl IntoIterator<Item = (String, R)>, limits: &Limits) -> Result<Contents, Error> {
    let mut budget = Budget::new(limits);
    let mut stack = Stack::default();
    for (number, (media_type, layer)) in layers.into_iter().enumerate() {
        let read = read_layer(layer, &media_type, &mut stack, &mut budget);
        read.map_err(|error| budget::told(number, error, limits))?;
    }
    Ok(format::gather(stack.into_files()))
}

fn read_layer(layer: impl Read, media_type: &str, stack: &mut Stack, budget: &mut Budget) -> io::Result<()> {
    let unpacked = unpack::open(layer, media_type, budget)?;
    let mut entries = Archive::new(BufReader::with_capacity(CHUNK, unpacked));
    while let Some(entry) = entries.next_entry()? {
        budget.take_entry()?;
        let path = path::clean(&entry.name, budget.limits().path_bytes)?;
        if !path.is_empty() {
            place(path, &entry, &mut entries, stack, budget)?;
        }
    }
    stack.finish_layer();
    Ok(())
}

fn place<R: Read>(
    path: Vec<u8>,
    entry: &Entry,
    entries: &mut Archive<R>,
    stack: &mut Stack,
    budget: &mut Budget,
) -> io::Result<()> {
    if let Some(whiteout) = path::whiteout(&path) {
        stack.take_away(&whiteout);
        return Ok(());
    }
    match entry.kind {
        Kind::Directory => stack.make_directory(&path),
        Kind::File | Kind::SparseFile => {
            let found = read_file(&path, entry, entries, budget)?;
            stack.put(path, found);
        }
        Kind::HardLink => {
            let found = read_hard_link(&path, &entry.link, stack, budget)?;
            stack.put(path, found);
        }
        Kind::SymbolicLink => {
            let found = format::linked(&path, Some(&path::target(&path, &entry.link)));
            if found.is_some() {
                budget.take_memory(path.len())?;
            }
            stack.put(path, found);
        }
        // containerd makes room for it, and then makes nothing.
        Kind::Global => stack.take_own(&path),
        _ => stack.put(path, None),
    }
    Ok(())
}

/// What a file says of packages; `None` if it is not one that does.
fn read_file<R: Read>(
    path: &[u8],
    entry: &Entry,
    entries: &mut Archive<R>,
    budget: &mut Budget,
) -> io::Result<Option<Found>> {
    let Some(format) = format::of_path(path) else { return read_program(path, entry, entries, budget) };
    budget.take_memory(path.len())?;
    if entry.kind == Kind::SparseFile {
        return Ok(Some(Found::Unread("it is stored as a sparse file".to_owned())));
    }
    let most = if format.is_rpm() { budget.limits().rpm_bytes } else { budget.limits().file_bytes };
    if entry.size > most {
        return Ok(Some(Found::Unread(format!("its {} bytes are more than the {most} that are read", entry.size))));
    }
    let mut bytes = Vec::new();
    entries.read_to_end(&mut bytes)?;
    let mut shelf = Shelf::new(&String::from_utf8_lossy(path), budget);
    let found = format::read(format, &bytes, &mut shelf);
    if shelf.is_full() {
        return Err(budget.full());
    }
    budget.check_time()?;
    Ok(found.or(Some(Found::Silent)))
}

/// What a file says that has a name already: what was read under that one, if its name asks for the same.
fn read_hard_link(path: &[u8], link: &[u8], stack: &Stack, budget: &mut Budget) -> io::Result<Option<Found>> {
    let first = path::cleaned(link);
    let is_same = format::of_path(path) == format::of_path(&first);
    let Some(known) = stack.find(&first).filter(|_| is_same) else {
        let found = format::linked(path, None);
        if found.is_some() {
            budget.take_memory(path.len())?;
        }
        return Ok(found);
    };
    budget.take_memory(path.len())?;
    let mut shelf = Shelf::new(&String::from_utf8_lossy(path), budget);
    let found = known.again(&mut shelf);
    if shelf.is_full() { Err(budget.full()) } else { Ok(Some(found)) }
}

/// What a program says that it was built of, if it is one that does.
fn read_program<R: Read>(
    path: &[u8],
    entry: &Entry,
    entries: &mut Archive<R>,
    budget: &mut Budget,
) -> io::Result<Option<Found>> {
    if entry.mode & 0o111 == 0 || entry.kind == Kind::SparseFile {
        return Ok(None);
    }
    let mut shelf = Shelf::new(&String::from_utf8_lossy(path), budget);
    let found = format::read_program(entries, &mut shelf)?;
    if shelf.is_full() {
        return Err(budget.full());
    }
    if found.is_some() {
        budget.take_memory(path.len())?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
