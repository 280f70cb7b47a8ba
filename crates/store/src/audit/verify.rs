//! Walking the chain offline: is every record that should be there as it was written?
//!
//! Found are a record that was changed, removed, moved or put in, also at either end: the anchor says where the chain
//! begins, the head how far it was durable. What a chain cannot find is a log that was written anew from some record on,
//! with its marks, by somebody who may write the data directory. Whoever kept a mark elsewhere finds that too: give it as
//! `known`.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::line::{Hash, Line};
use super::segment::{self, Mark, Segment};
use super::walk::Lines;
use crate::Error;

/// What a whole log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Where the chain begins: the last record that was let go.
    pub anchor: Mark,
    /// The last record.
    pub tip: Mark,
    /// Bytes at the end that are the beginning of a record that was never acknowledged.
    pub torn: u64,
}

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first record that is not as it was.
    pub sequence: u64,
    pub file: PathBuf,
    pub why: Why,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Changed,
    /// It and those before this one are not there.
    Missing {
        until: u64,
    },
    Unreadable,
    /// Another stands in its place.
    Displaced {
        by: u64,
    },
    /// Its hash is not the one that was kept elsewhere.
    NotAsKnown,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sequence, file) = (self.sequence, self.file.display());
        match self.why {
            Why::Changed => write!(f, "record {sequence} was changed, in {file}"),
            Why::Missing { until } if until == sequence + 1 => write!(f, "record {sequence} is missing, in {file}"),
            Why::Missing { until } => write!(f, "records {sequence} to {} are missing, in {file}", until - 1),
            Why::Unreadable => write!(f, "record {sequence} does not read, in {file}"),
            Why::Displaced { by } => write!(f, "record {by} stands where record {sequence} should be, in {file}"),
            Why::NotAsKnown => write!(f, "record {sequence} is not the one that was known, in {file}"),
        }
    }
}

/// Walks the log in `dir`; writes nothing. A log that is being written to may be walked too.
///
/// # Errors
/// If a file cannot be read or there is no log. What is wrong with the log is the inner error.
pub fn verify(dir: &Path, known: Option<Mark>) -> Result<Result<Verified, Broken>, Error> {
    let gone = |error: &Error| matches!(error, Error::Audit { source, .. } if source.kind() == ErrorKind::NotFound);
    // The oldest segment may have been let go while it was walked to.
    match walk(dir, known) {
        Err(error) if gone(&error) && dir.exists() => walk(dir, known),
        walked => walked,
    }
}

fn walk(dir: &Path, known: Option<Mark>) -> Result<Result<Verified, Broken>, Error> {
    let failed = |source| Error::Audit { path: dir.to_owned(), source };
    // The head first: what is added meanwhile is behind it.
    let head = segment::head(dir).map_err(failed)?;
    let segments = segment::list(dir).map_err(failed)?;
    let anchor = segment::anchor(dir).map_err(failed)?;
    let mut walk = Walk { anchor, head, known, before: None, suspect: None, torn: 0, file: dir.to_owned() };
    for segment in &segments {
        match walk.segment(segment) {
            Ok(()) => {}
            Err(Stop::Broken(broken)) => return Ok(Err(broken)),
            Err(Stop::Io(source)) => return Err(Error::Audit { path: segment.path.clone(), source }),
        }
    }
    Ok(walk.end())
}

enum Stop {
    Io(std::io::Error),
    Broken(Broken),
}

struct Walk {
    anchor: Mark,
    head: Option<Mark>,
    known: Option<Mark>,
    /// The record before the next one.
    before: Option<Mark>,
    /// The record before the last one did not fit to it: one of the two was changed, and the next one says which.
    suspect: Option<u64>,
    torn: u64,
    /// Of the last record.
    file: PathBuf,
}

impl Walk {
    fn segment(&mut self, segment: &Segment) -> Result<(), Stop> {
        let mut lines = Lines::open(&segment.path).map_err(Stop::Io)?;
        self.torn = 0;
        self.file.clone_from(&segment.path);
        while let Some(raw) = lines.next().map_err(Stop::Io)? {
            let (length, whole) = (raw.bytes.len() as u64, raw.whole);
            match Line::parse(raw.bytes).filter(|_| whole) {
                Some(line) => self.line(line, Hash::of(raw.bytes)).map_err(Stop::Broken)?,
                None if whole => return Err(Stop::Broken(self.broken(self.next(), Why::Unreadable))),
                // Nothing may follow: a later record would not fit to the one before.
                None => self.torn = length + lines.rest().map_err(Stop::Io)?,
            }
            if self.torn > 0 {
                break;
            }
        }
        Ok(())
    }

    fn next(&self) -> u64 {
        self.before.unwrap_or(self.anchor).sequence + 1
    }

    fn broken(&self, sequence: u64, why: Why) -> Broken {
        Broken { sequence, file: self.file.clone(), why }
    }

    fn line(&mut self, line: Line<'_>, hash: Hash) -> Result<(), Broken> {
        self.place(&line)?;
        let before = self.before.unwrap_or(self.anchor);
        // A segment that was to be let go may still be there; where its first record fits is not known any more.
        let unknown = self.before.is_none() && line.sequence <= self.anchor.sequence;
        let fits = unknown || line.previous == before.hash;
        if let Some(suspect) = self.suspect {
            return Err(self.broken(if fits { self.walked(suspect) } else { suspect + 1 }, Why::Changed));
        }
        if !fits {
            self.suspect = Some(before.sequence);
        }
        self.mark(Mark { sequence: line.sequence, hash })
    }

    /// The record, if it is one of those that are there; else the first of these.
    fn walked(&self, sequence: u64) -> u64 {
        sequence.max(self.anchor.sequence + 1)
    }

    /// Whether the record is the next one.
    fn place(&self, line: &Line<'_>) -> Result<(), Broken> {
        let next = match self.before {
            None if line.sequence <= self.anchor.sequence => line.sequence,
            _ => self.next(),
        };
        // A record behind a gap that later comes after all was swapped with another; either way this one is not there.
        match line.sequence {
            sequence if sequence == next => Ok(()),
            sequence if sequence > next => Err(self.broken(next, Why::Missing { until: sequence })),
            sequence => Err(self.broken(next, Why::Displaced { by: sequence })),
        }
    }

    /// Compares with what is known of a record by other means.
    fn mark(&mut self, mark: Mark) -> Result<(), Broken> {
        let differs = |other: Option<Mark>| other.is_some_and(|other| other.sequence == mark.sequence && other != mark);
        if differs(self.head) || differs(Some(self.anchor)) {
            return Err(self.broken(mark.sequence, Why::Changed));
        }
        if differs(self.known) {
            return Err(self.broken(mark.sequence, Why::NotAsKnown));
        }
        self.before = Some(mark);
        Ok(())
    }

    fn end(self) -> Result<Verified, Broken> {
        let tip = self.before.unwrap_or(self.anchor);
        // Nothing follows that could say which of the two it is; the older one is named.
        if let Some(suspect) = self.suspect {
            let settled = self.head.is_some_and(|head| head.sequence == tip.sequence);
            let changed = if settled { self.walked(suspect) } else { tip.sequence };
            return Err(self.broken(changed, Why::Changed));
        }
        let least = self.head.map_or(0, |head| head.sequence).max(self.known.map_or(0, |known| known.sequence));
        match tip.sequence < least {
            true => Err(self.broken(tip.sequence + 1, Why::Missing { until: least + 1 })),
            false => Ok(Verified { anchor: self.anchor, tip, torn: self.torn }),
        }
    }
}
