//! The one thread that writes.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::line::Line;
use super::recover::Found;
use super::segment::{self, Head, Mark, Segment};
use super::{Batch, FLUSH, GATHER, Happening, Options, PLENTY, SYNC, Shared};

/// Room behind a segment's end, for what must be recorded while there is none for the next segment.
const SLACK: u64 = 2 * 1024 * 1024;

/// Before a full disk is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    shared: Arc<Shared>,
    options: Options,
    head: Head,
    /// The segment that is written to, if one is begun.
    file: Option<File>,
    /// Its bytes.
    length: u64,
    tip: Mark,
    synced: u64,
    synced_at: Instant,
    /// Room of earlier batches and lines, for the next ones.
    spare: Batch,
    lines: Vec<u8>,
}

/// What the writer is woken with.
struct Work {
    batch: Batch,
    lost: u64,
    closing: bool,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, found: Found, options: Options) -> io::Result<Self> {
        let head = Head::open(&shared.dir)?;
        let last = found.segments.last().filter(|_| found.goes_on);
        let file = last.map(|last| File::options().append(true).open(&last.path)).transpose()?;
        let length = last.map_or(0, |last| last.bytes);
        let (tip, synced) = (found.tip, if file.is_some() { 0 } else { found.tip.sequence });
        let (spare, lines) = (Batch::default(), Vec::new());
        let mut writer =
            Self { shared, options, head, file, length, tip, synced, synced_at: Instant::now(), spare, lines };
        if let Some(file) = &writer.file {
            let set_aside = segment::set_aside(file, writer.options.segment_bytes + SLACK);
            writer.note_room(set_aside)?;
        }
        writer.begin_segment_if_due()?;
        if found.cut > 0 {
            writer.tell(Happening::Cut { bytes: found.cut });
        }
        Ok(writer)
    }

    pub fn run(mut self) {
        loop {
            let work = self.wait();
            let closing = work.closing;
            if let Err(error) = self.turn(work) {
                tracing::error!(%error, "the audit log failed");
                self.shared.pending.lock().failed = true;
                self.shared.progress.send_modify(|progress| progress.failed = true);
                self.shared.failed.send_replace(true);
                return;
            }
            if closing && self.shared.pending.lock().batch.each.is_empty() {
                return;
            }
        }
    }

    /// Waits until there is something to do, and long enough for more to come if nobody waits for it.
    fn wait(&mut self) -> Work {
        let mut pending = self.shared.pending.lock();
        let idle = |pending: &super::Pending| pending.batch.each.is_empty() && !pending.wanted && !pending.closing;
        let unsynced = self.synced < self.tip.sequence;
        while idle(&pending) {
            let patience = if pending.full || pending.lost > 0 {
                FULL_PAUSE
            } else if unsynced {
                SYNC.saturating_sub(self.synced_at.elapsed())
            } else {
                Duration::MAX
            };
            let waited = match patience {
                Duration::MAX => {
                    self.shared.work.wait(&mut pending);
                    continue;
                }
                patience => self.shared.work.wait_for(&mut pending, patience),
            };
            if waited.timed_out() {
                break;
            }
        }
        let began = Instant::now();
        while !pending.wanted && !pending.closing && pending.batch.events.len() < PLENTY {
            let until = began + if pending.must { GATHER } else { FLUSH };
            if pending.batch.each.is_empty() || self.shared.work.wait_until(&mut pending, until).timed_out() {
                break;
            }
        }
        (pending.must, pending.wanted) = (false, false);
        Work {
            batch: std::mem::replace(&mut pending.batch, std::mem::take(&mut self.spare)),
            lost: std::mem::take(&mut pending.lost),
            closing: pending.closing,
        }
    }

    fn turn(&mut self, work: Work) -> io::Result<()> {
        self.begin_segment_if_due()?;
        self.tell_of_lost(work.lost);
        self.write(&work.batch, work.closing)?;
        self.spare = work.batch.emptied();
        let written = self.tip.sequence;
        self.shared.progress.send_modify(|progress| progress.written = written);
        let due = self.synced < written && self.synced_at.elapsed() >= SYNC;
        if work.closing || due {
            self.sync()?;
        }
        let synced = self.synced;
        let told = |progress: &mut super::Progress| std::mem::replace(&mut progress.synced, synced) != synced;
        self.shared.progress.send_if_modified(told);
        Ok(())
    }

    fn tell_of_lost(&mut self, lost: u64) {
        let mut pending = self.shared.pending.lock();
        if lost > 0 && pending.full {
            pending.lost += lost;
            return;
        }
        drop(pending);
        if lost > 0 {
            tracing::warn!(records = lost, "calls were not recorded in the audit log");
            self.tell(Happening::Lost { records: lost });
        }
    }

    /// Pushes a record of the log's own. It is written with what is pushed next, or soon.
    fn tell(&self, happening: Happening) {
        let (time, event) = (self.options.tell)(happening);
        let mut pending = self.shared.pending.lock();
        pending.batch.push(time, &event);
        pending.next += 1;
    }

    /// Writes a batch, a good part at a time, so that segments end in time.
    fn write(&mut self, batch: &Batch, closing: bool) -> io::Result<()> {
        let mut events = &batch.events[..];
        let mut lines = std::mem::take(&mut self.lines);
        let mut tip = self.tip;
        let mut first_time = None;
        for (at, (time, length)) in batch.each.iter().enumerate() {
            let (event, rest) = events.split_at(*length);
            events = rest;
            first_time.get_or_insert(*time);
            let line = Line { sequence: tip.sequence + 1, time: *time, previous: tip.hash, event };
            tip = Mark { sequence: line.sequence, hash: line.write(&mut lines) };
            if lines.len() >= PLENTY || at + 1 == batch.each.len() {
                self.append(&lines, first_time.take(), closing)?;
                self.tip = tip;
                lines.clear();
                self.begin_segment_if_due()?;
            }
        }
        self.lines = lines;
        Ok(())
    }

    /// Adds whole lines to the segment. While there is no room for them this waits, unless the log is being closed.
    fn append(&mut self, lines: &[u8], time: Option<i64>, closing: bool) -> io::Result<()> {
        loop {
            self.begin_segment_if_due()?;
            match self.try_append(lines) {
                Ok(()) => break,
                Err(error) if segment::is_full(&error) && !closing => self.stuck(true),
                Err(error) => return Err(error),
            }
            std::thread::sleep(FULL_PAUSE);
        }
        self.stuck(false);
        if let Some(last) = self.shared.segments.lock().last_mut() {
            last.bytes += lines.len() as u64;
            last.time = last.time.or(time);
        }
        Ok(())
    }

    fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::StorageFull.into()) };
        let written = file.write_all(lines);
        match written {
            Ok(()) => self.length += lines.len() as u64,
            Err(_) => file.set_len(self.length)?,
        }
        written
    }

    fn stuck(&self, stuck: bool) {
        self.shared.progress.send_if_modified(|progress| std::mem::replace(&mut progress.stuck, stuck) != stuck);
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.synced = self.tip.sequence;
        self.synced_at = Instant::now();
        match self.head.set(self.tip) {
            // The mark is older than it might be.
            Err(error) if segment::is_full(&error) => Ok(()),
            done => done,
        }
    }

    /// Begins a segment if there is none or the last one is long enough, and there is room for one.
    fn begin_segment_if_due(&mut self) -> io::Result<()> {
        if self.file.is_some() && self.length < self.options.segment_bytes {
            let again = self.file.as_ref().filter(|_| self.shared.pending.lock().full);
            let set_aside = again.map_or(Ok(()), |file| segment::set_aside(file, self.options.segment_bytes + SLACK));
            return self.note_room(set_aside);
        }
        let first = self.tip.sequence + 1;
        let path = Segment::path(&self.shared.dir, first);
        let begun = segment::begin(&path, self.options.segment_bytes + SLACK);
        let (file, room) = match begun {
            Ok(file) => (Some(file), Ok(())),
            Err(error) => (None, Err(error)),
        };
        if let Some(file) = file {
            self.end_segment()?;
            segment::sync_dir(&self.shared.dir)?;
            (self.file, self.length) = (Some(file), 0);
            self.shared.segments.lock().push(Segment { first, time: None, bytes: 0, path });
            self.let_go()?;
        }
        self.note_room(room)
    }

    /// Makes a segment durable and gives back the room behind its end.
    fn end_segment(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            self.sync()?;
        }
        let Some(file) = self.file.take() else { return Ok(()) };
        file.set_len(self.length)
    }

    /// Whether there is room: no room is told, anything else that failed is an error.
    fn note_room(&self, room: io::Result<()>) -> io::Result<()> {
        let full = match room {
            Ok(()) => false,
            Err(error) if segment::is_full(&error) => true,
            Err(error) => return Err(error),
        };
        let was = std::mem::replace(&mut self.shared.pending.lock().full, full);
        if full && !was {
            tracing::warn!("there is no room for the audit log; nothing is changed until there is");
        }
        Ok(())
    }

    /// Lets the oldest segments go until the others are within bounds.
    fn let_go(&self) -> io::Result<()> {
        loop {
            let segments = self.shared.segments.lock().clone();
            let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
            let [oldest, next, ..] = &segments[..] else { return Ok(()) };
            if bytes <= self.options.total_bytes {
                return Ok(());
            }
            let Some(anchor) = before(next, self.tip)? else { return Ok(()) };
            self.shared.segments.lock().remove(0);
            segment::let_go(&self.shared.dir, oldest, anchor)?;
        }
    }
}

/// The record before a segment's first: what that record says of it, or the tip if there is none yet.
fn before(segment: &Segment, tip: Mark) -> io::Result<Option<Mark>> {
    let mut lines = super::walk::Lines::open(&segment.path)?;
    let Some(raw) = lines.next()? else { return Ok(Some(tip)) };
    let line = Line::parse(raw.bytes);
    Ok(line.map(|line| Mark { sequence: line.sequence.saturating_sub(1), hash: line.previous }))
}
