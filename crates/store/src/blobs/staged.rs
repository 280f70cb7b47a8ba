//! The file of an upload: what has come, as it came or sealed.
//!
//! Of what is sealed, whole segments are written; the last, which is not whole yet, waits in memory until more comes, or the
//! writer lets go ([`Staged::park`]) and it is written as far as it is there.
//!
//! ```text
//!     parked       … │ 17 │ 18, 900 bytes │
//!     spared       … │ 17 │ 18, 900 bytes …       │ 18, 900 bytes │      first the length, then the bytes
//!     written on   … │ 17 │ 18 ─────────────────► │ 19 ──────────► …
//! ```
//! What was parked is written over when more has come. A process that ends meanwhile may leave that half, so what was told of is
//! spared where the next segment will be; the file's length says how much it is.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::digest::Running;
use super::seal::{FileKey, HEAD, Head, PLAIN, RAW, Seal, place, raw_length};
use super::{Algorithm, Digest, Error, Follower};

/// Bytes that are read at a time to hash them again.
const REREAD: usize = 256 * 1024;

pub(super) struct Staged {
    path: PathBuf,
    pub file: File,
    sealing: Option<Sealing>,
}

struct Sealing {
    seal: Seal,
    head: Head,
    key: FileKey,
    /// Whole segments in the file.
    segments: u64,
    /// What comes after them, and whether it is written too.
    rest: Vec<u8>,
    is_parked: bool,
}

impl Staged {
    /// A file that may have been begun: a sealed one gets its head, if it has none.
    pub fn open(path: &Path, seal: Option<&Seal>) -> Result<Self, Error> {
        let in_path = |error| Error::at(path, error);
        let file = File::options().read(true).write(true).open(path).map_err(in_path)?;
        let sealing = match seal {
            None => None,
            Some(seal) => {
                let head = head(&file).map_err(in_path)?;
                let head = match head {
                    Some(bytes) => Head::read(&bytes)?,
                    None => begun(&file, path)?,
                };
                let key = head.key(seal)?;
                Some(Sealing { seal: seal.clone(), head, key, segments: 0, rest: Vec::new(), is_parked: true })
            }
        };
        Ok(Self { path: path.to_owned(), file, sealing })
    }

    /// To read what has come while more comes.
    pub fn follow(&self) -> Result<Follower, Error> {
        let file = self.file.try_clone().map_err(|error| self.at(error))?;
        let key = self.sealing.as_ref().map(|sealing| sealing.key.clone());
        Ok(Follower { path: self.path.clone(), file, key })
    }

    fn at(&self, error: io::Error) -> Error {
        Error::at(&self.path, error)
    }

    /// Goes to where the next bytes belong, after so many.
    pub fn seek(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(sealing) = &mut self.sealing else {
            return self.file.seek(SeekFrom::Start(bytes)).map(drop).map_err(|error| Error::at(&self.path, error));
        };
        sealing.segments = bytes / PLAIN as u64;
        sealing.rest.clear();
        sealing.is_parked = true;
        self.file.set_len(raw_length(bytes)).map_err(|error| Error::at(&self.path, error))?;
        let length = usize::try_from(bytes % PLAIN as u64).map_err(|_| Error::Damaged)?;
        if length > 0 {
            let mut raw = vec![0; length + RAW - PLAIN];
            self.file.read_exact_at(&mut raw, place(sealing.segments)).map_err(|_| Error::Damaged)?;
            sealing.rest.extend_from_slice(sealing.key.open(sealing.segments, &mut raw)?);
        }
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(sealing) = &mut self.sealing else {
            return self.file.write_all(bytes).map_err(|error| Error::at(&self.path, error));
        };
        if sealing.is_parked && !sealing.rest.is_empty() {
            sealing.spare(&self.file, &self.path)?;
        }
        sealing.is_parked = false;
        let at = place(sealing.segments);
        let full = sealing.take(bytes)?;
        // What is spared goes when the first is whole.
        let (first, others) = full.split_at(full.len().min(RAW));
        let written = self.file.write_all_at(first, at);
        let written = written.and_then(|()| self.file.write_all_at(others, at + RAW as u64));
        written.map_err(|error| Error::at(&self.path, error))
    }

    /// Writes what waits in memory: from here on it can be gone on with by another.
    pub fn park(&mut self) -> Result<(), Error> {
        let Some(sealing) = self.sealing.as_mut().filter(|sealing| !sealing.is_parked) else { return Ok(()) };
        if !sealing.rest.is_empty() {
            let mut raw = Vec::with_capacity(RAW);
            sealing.key.seal(sealing.segments, &sealing.rest, &mut raw)?;
            let written = self.file.write_all_at(&raw, place(sealing.segments));
            written.map_err(|error| Error::at(&self.path, error))?;
        }
        let length = raw_length(sealing.segments * PLAIN as u64 + sealing.rest.len() as u64);
        self.file.set_len(length).map_err(|error| Error::at(&self.path, error))?;
        sealing.is_parked = true;
        Ok(())
    }

    /// All of it is there: gives it the head of a whole file. Returns how many bytes that has.
    pub fn complete(&mut self, digest: &Digest, size: u64) -> Result<u64, Error> {
        self.park()?;
        let Some(sealing) = &self.sealing else { return Ok(size) };
        let head = sealing.head.whole(&sealing.seal, digest, size);
        let length = raw_length(size);
        let write = || {
            self.file.set_len(length)?;
            self.file.write_all_at(&head, 0)
        };
        write().map_err(|error| self.at(error))?;
        Ok(length)
    }

    /// Hashes what is in the file. Returns how many bytes they are: of what is sealed, as many as open.
    pub fn hash_again(&mut self, algorithm: Algorithm) -> Result<(Running, u64), Error> {
        let mut running = Running::new(algorithm);
        let hashed = match &self.sealing {
            None => self.hash_plain(&mut running),
            Some(sealing) => sealing.hash(&self.file, &mut running),
        };
        let bytes = hashed.map_err(|error| self.at(error))?;
        Ok((running, bytes))
    }

    fn hash_plain(&self, running: &mut Running) -> io::Result<u64> {
        let (mut file, mut buffer, mut bytes) = (&self.file, vec![0; REREAD], 0);
        file.seek(SeekFrom::Start(0))?;
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(bytes),
                length => {
                    running.update(&buffer[..length]);
                    bytes += length as u64;
                }
            }
        }
    }
}

impl Sealing {
    /// The segments that become whole.
    fn take(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut full = Vec::new();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PLAIN - self.rest.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() == PLAIN {
                self.key.seal(self.segments, &self.rest, &mut full)?;
                self.segments += 1;
                self.rest.clear();
            }
        }
        Ok(full)
    }

    /// Writes what is parked once more, where it stays while its segment is written.
    fn spare(&self, file: &File, path: &Path) -> Result<(), Error> {
        let (mut raw, at) = (Vec::with_capacity(RAW), place(self.segments + 1));
        self.key.seal(self.segments, &self.rest, &mut raw)?;
        let written = file.set_len(at + raw.len() as u64).and_then(|()| file.write_all_at(&raw, at));
        written.map_err(|error| Error::at(path, error))
    }

    /// What was parked of a segment that was then being written: it is in its place still, or spared. It goes back to its place.
    fn spared(&self, file: &File, number: u64) -> io::Result<Option<Vec<u8>>> {
        let behind = place(number + 1);
        let length = file.metadata()?.len().saturating_sub(behind).min(RAW as u64);
        for at in [place(number), behind] {
            let mut raw = vec![0; usize::try_from(length).unwrap_or_default()];
            file.read_exact_at(&mut raw, at)?;
            let as_written = raw.clone();
            if let Ok(plain) = self.key.open(number, &mut raw) {
                file.write_all_at(&as_written, place(number))?;
                return Ok(Some(plain.to_vec()));
            }
        }
        Ok(None)
    }

    /// A segment that was torn ends it.
    fn hash(&self, file: &File, running: &mut Running) -> io::Result<u64> {
        let (mut raw, mut bytes) = (vec![0; RAW], 0);
        for number in 0.. {
            let length = read_full(file, &mut raw, place(number))?;
            let Ok(plain) = self.key.open(number, &mut raw[..length]) else {
                let spared = self.spared(file, number)?.unwrap_or_default();
                running.update(&spared);
                return Ok(bytes + spared.len() as u64);
            };
            running.update(plain);
            bytes += plain.len() as u64;
            if plain.len() < PLAIN {
                return Ok(bytes);
            }
        }
        Ok(bytes)
    }
}

/// The head of a file; `None` if it has not come so far.
fn head(file: &File) -> io::Result<Option<[u8; HEAD]>> {
    let mut bytes = [0; HEAD];
    let length = read_full(file, &mut bytes, 0)?;
    Ok((length == HEAD).then_some(bytes))
}

fn begun(file: &File, path: &Path) -> Result<Head, Error> {
    let head = Head::new()?;
    file.write_all_at(&head.open_ended(), 0).map_err(|error| Error::at(path, error))?;
    Ok(head)
}

/// As many bytes as there are, and fit.
fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], at + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}
