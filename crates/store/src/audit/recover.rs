//! Opening an audit log: where its chain ends, and what of its tail never became durable.
//!
//! A death leaves at most the beginning of a record at the end of the last segment. That tail is cut off. A record that
//! does not fit although it was durable is no torn tail: it is left as it is, as evidence, and the chain goes on from the
//! last mark in a new segment, so that `verify` names it.

use std::fs::File;
use std::io;
use std::path::Path;

use super::line::{Hash, Line};
use super::segment::{self, Mark, Segment};
use super::walk::Lines;

/// What was found.
pub(super) struct Found {
    pub segments: Vec<Segment>,
    /// The last record of the chain.
    pub tip: Mark,
    /// Whether the last segment may be written on.
    pub goes_on: bool,
    /// Bytes that were cut off.
    pub cut: u64,
}

pub(super) fn recover(dir: &Path) -> io::Result<Found> {
    let anchor = segment::anchor(dir)?;
    let head = segment::head(dir)?.unwrap_or(anchor);
    let mut segments = segment::list(dir)?;
    finish_letting_go(&mut segments, anchor)?;
    remove_empty(&mut segments)?;
    let Some(last) = segments.last_mut() else {
        return Ok(Found { segments, tip: newer(head, anchor), goes_on: false, cut: 0 });
    };
    let end = end(last, anchor)?;
    let lost = end.tip.sequence < head.sequence;
    if lost {
        let missing = end.tip.sequence + 1;
        tracing::error!(
            missing,
            durable = head.sequence,
            "the audit log is broken; `longshore audit verify` says more"
        );
        return Ok(Found { segments, tip: head, goes_on: false, cut: 0 });
    }
    let cut = last.bytes - end.offset;
    if cut > 0 {
        tracing::warn!(bytes = cut, file = %last.path.display(), "a torn record was cut off the audit log");
        let file = File::options().write(true).open(&last.path)?;
        file.set_len(end.offset)?;
        file.sync_all()?;
        last.bytes = end.offset;
    }
    remove_empty(&mut segments)?;
    Ok(Found { goes_on: !segments.is_empty(), segments, tip: end.tip, cut })
}

fn newer(one: Mark, other: Mark) -> Mark {
    if one.sequence > other.sequence { one } else { other }
}

/// Segments whose last record is not behind the anchor were to be removed.
fn finish_letting_go(segments: &mut Vec<Segment>, anchor: Mark) -> io::Result<()> {
    while segments.get(1).is_some_and(|second| second.first <= anchor.sequence + 1) {
        segment::remove(&segments.remove(0).path)?;
    }
    Ok(())
}

/// A segment that was begun and not written to.
fn remove_empty(segments: &mut Vec<Segment>) -> io::Result<()> {
    while let Some(empty) = segments.pop_if(|last| last.bytes == 0) {
        segment::remove(&empty.path)?;
    }
    Ok(())
}

/// How far a segment's chain goes.
struct End {
    tip: Mark,
    /// Behind the last good record.
    offset: u64,
}

fn end(segment: &Segment, anchor: Mark) -> io::Result<End> {
    let mut lines = Lines::open(&segment.path)?;
    let before = Mark { sequence: segment.first.saturating_sub(1), hash: anchor.hash };
    let mut end = End { tip: before, offset: 0 };
    while let Some(raw) = lines.next()? {
        let line = Line::parse(raw.bytes).filter(|_| raw.whole);
        let first = end.offset == 0;
        let next = line.filter(|line| line.sequence == end.tip.sequence + 1);
        let Some(line) = next.filter(|line| first || line.previous == end.tip.hash) else { break };
        end.tip = Mark { sequence: line.sequence, hash: Hash::of(raw.bytes) };
        end.offset = lines.offset;
    }
    if end.offset == 0 {
        end.tip.hash = previous_hash(segment)?.unwrap_or(anchor.hash);
    }
    Ok(end)
}

/// Of a segment without a good record: the hash at the end of the segment before.
fn previous_hash(segment: &Segment) -> io::Result<Option<Hash>> {
    let Some(dir) = segment.path.parent() else { return Ok(None) };
    let mut before: Vec<Segment> = segment::list(dir)?.into_iter().filter(|one| one.first < segment.first).collect();
    let Some(before) = before.pop() else { return Ok(None) };
    let mut lines = Lines::open(&before.path)?;
    let mut hash = None;
    while let Some(raw) = lines.next()? {
        hash = raw.whole.then(|| Hash::of(raw.bytes));
    }
    Ok(hash)
}
