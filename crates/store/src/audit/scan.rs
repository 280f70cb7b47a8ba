//! Reading what was recorded.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::line::Line;
use super::segment::Segment;
use super::walk::Lines;
use super::{Audit, Progress};
use crate::{Closed, Error};

/// How far records' times may be out of their order, in milliseconds.
const DISORDER: i64 = 60_000;

/// How long a reader waits for another.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to read backwards.
#[derive(Clone, Copy, Debug)]
pub struct Back {
    /// Records before this one.
    pub before: u64,
    /// Times that are of interest, in milliseconds since the epoch, both inclusive.
    pub from: i64,
    pub until: i64,
    /// Bytes to look at, at most a segment more.
    pub bytes: u64,
}

/// How far a reader came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// There is nothing more.
    End,
    /// To this record, which was looked at.
    Record(u64),
    /// Nowhere: too many read at once.
    Busy,
}

impl Audit {
    /// Waits, blocking this thread, until everything pushed so far is written (not necessarily synced).
    ///
    /// # Errors
    /// When the log failed.
    pub fn flush(&self) -> Result<(), Closed> {
        self.reach(|progress| progress.written)
    }

    /// Waits, blocking this thread, until everything pushed so far is synced: what is noted of it elsewhere stays true after
    /// a power cut.
    ///
    /// # Errors
    /// When the log failed.
    pub fn sync(&self) -> Result<(), Closed> {
        self.reach(|progress| progress.synced)
    }

    fn reach(&self, how_far: fn(&Progress) -> u64) -> Result<(), Closed> {
        let shared = &self.0.shared;
        let newest = shared.hurry();
        let mut progress = shared.progress.subscribe();
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let seen = *progress.borrow_and_update();
            match how_far(&seen) >= newest || seen.stuck {
                true => return Ok(()),
                false if seen.failed => return Err(Closed),
                false if std::time::Instant::now() > deadline => return Ok(()),
                false => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Shows records to `visit`, the newest first, until it breaks. Reads the disk.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub fn back(&self, what: Back, visit: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>) -> Result<Reached, Error> {
        let Some(_held) = self.0.scanning.try_lock_for(PATIENCE) else { return Ok(Reached::Busy) };
        let segments = self.0.shared.segments.lock().clone();
        let mut read = 0;
        let mut reached = None;
        for segment in segments.iter().rev().filter(|segment| segment.first < what.before) {
            // It and all that lie before it are too old once a newer one begins before the time of interest.
            let begins = segment.time.unwrap_or(i64::MAX);
            if begins <= what.until.saturating_add(DISORDER) {
                if read >= what.bytes {
                    return Ok(reached.map_or(Reached::End, Reached::Record));
                }
                let Some(content) = content(segment)? else { return Ok(Reached::End) };
                read += content.len() as u64;
                for line in content.split(|byte| *byte == b'\n').rev().filter_map(Line::parse) {
                    if line.sequence >= what.before {
                        continue;
                    }
                    reached = Some(line.sequence);
                    if visit(line).is_break() {
                        return Ok(Reached::Record(line.sequence));
                    }
                }
            }
            if begins < what.from.saturating_sub(DISORDER) {
                break;
            }
        }
        Ok(Reached::End)
    }

    /// Shows records to `visit` from number `from` on (or from the oldest there is), until it breaks. Reads the disk.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub fn forward(&self, from: u64, visit: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>) -> Result<(), Error> {
        let segments = self.0.shared.segments.lock().clone();
        let begin = segments.iter().rposition(|segment| segment.first <= from).unwrap_or(0);
        for segment in &segments[begin..] {
            let failed = |source| Error::Audit { path: segment.path.clone(), source };
            let mut lines = match Lines::open(&segment.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lines => lines.map_err(failed)?,
            };
            while let Some(raw) = lines.next().map_err(failed)? {
                let line = Line::parse(raw.bytes).filter(|line| raw.whole && line.sequence >= from);
                if line.is_some_and(|line| visit(line).is_break()) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// All of a segment; `None` if it was let go meanwhile.
fn content(segment: &Segment) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(&segment.path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Audit { path: segment.path.clone(), source }),
    }
}
