//! The files of an audit log, and the two marks beside them.
//!
//! ```text
//!     00000000000000000001.log    records 1 to 9,204, a line each        named by their first record
//!     00000000000000009205.log    records 9,205 to …                     the one that is written to
//!     anchor                      the last record that was let go, and its hash
//!     head                        the last record that was made durable, and its hash
//! ```

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::line::{Hash, Line};

const ANCHOR: &str = "anchor";
pub(super) const HEAD: &str = "head";

/// A point of the chain: a record and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub sequence: u64,
    pub hash: Hash,
}

impl Mark {
    /// Before the first record.
    pub const GENESIS: Mark = Mark { sequence: 0, hash: Hash::GENESIS };

    /// As `SEQUENCE HASH`.
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, hash) = text.trim().split_once(' ')?;
        Some(Self { sequence: sequence.parse().ok()?, hash: Hash::parse(hash.as_bytes())? })
    }

    fn text(&self) -> String {
        format!("{:020} {}\n", self.sequence, self.hash)
    }
}

/// One file of records.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Number of its first record.
    pub first: u64,
    /// Time of its first record; unknown while it is empty.
    pub time: Option<i64>,
    pub bytes: u64,
    pub path: PathBuf,
}

impl Segment {
    pub fn path(dir: &Path, first: u64) -> PathBuf {
        dir.join(format!("{first:020}.log"))
    }

    /// Looks at the file's first line.
    fn look(path: PathBuf, first: u64) -> io::Result<Self> {
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let mut text = Vec::with_capacity(64);
        file.take(64).read_to_end(&mut text)?;
        Ok(Self { first, time: Line::time(&text), bytes, path })
    }
}

/// The segments of a directory, oldest first.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let digits = path.file_stem().and_then(OsStr::to_str).filter(|name| name.len() == 20);
        let log = path.extension() == Some(OsStr::new("log"));
        if let Some(first) = digits.filter(|_| log).and_then(|digits| digits.parse().ok()) {
            segments.push(Segment::look(path, first)?);
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// The last record that was let go; [`Mark::GENESIS`] if none was.
///
/// # Errors
/// `InvalidData` if the file says something else.
pub(super) fn anchor(dir: &Path) -> io::Result<Mark> {
    Ok(mark(&dir.join(ANCHOR))?.unwrap_or(Mark::GENESIS))
}

/// The last record that was known to be durable. A file without a mark in it is one that the power kept from the disk.
///
/// # Errors
/// `InvalidData` if the file says something that is no mark.
pub(super) fn head(dir: &Path) -> io::Result<Option<Mark>> {
    let path = dir.join(HEAD);
    match fs::read(&path) {
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => Ok(None),
        _ => mark(&path),
    }
}

fn mark(path: &Path) -> io::Result<Option<Mark>> {
    match fs::read_to_string(path) {
        Ok(text) => Mark::parse(text.trim_end_matches('\0')).map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets the oldest segment go: first the anchor says so, durably.
pub(super) fn let_go(dir: &Path, oldest: &Segment, anchor: Mark) -> io::Result<()> {
    let beside = dir.join("anchor.new");
    let mut file = create(&beside)?;
    file.write_all(anchor.text().as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, dir.join(ANCHOR))?;
    sync_dir(dir)?;
    remove(&oldest.path)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The file that says what is durable.
pub(super) struct Head(File);

impl Head {
    pub fn open(dir: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(dir.join(HEAD))?;
        Ok(Self(file))
    }

    /// Not synced: after a power cut it may be an older one, or none, which says less and nothing wrong.
    pub fn set(&self, mark: Mark) -> io::Result<()> {
        self.0.write_all_at(mark.text().as_bytes(), 0)
    }
}

pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// A new segment with room set aside for so many bytes.
///
/// # Errors
/// If the disk has no room for them, among others; then there is no such file.
pub(super) fn begin(path: &Path, bytes: u64) -> io::Result<File> {
    // To append: what could not be written is cut off, and the next try must begin there.
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    file.set_len(0)?;
    match set_aside(&file, bytes) {
        Ok(()) => Ok(file),
        Err(error) => {
            remove(path)?;
            Err(error)
        }
    }
}

/// Sets room aside beyond the end of a file. File systems that cannot do this are left alone.
pub(super) fn set_aside(file: &File, bytes: u64) -> io::Result<()> {
    let length = i64::try_from(bytes).unwrap_or(i64::MAX);
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, length) {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error is for want of space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
