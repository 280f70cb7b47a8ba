//! What has been read and not yet been sent.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::event::Event;
use super::line::EVENT_OVERHEAD;
use super::lock;
use crate::spec::{AwsLogs, LogMode};

/// Limits of one PutLogEvents call.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_EVENTS: usize = 10_000;
const BATCH_SPAN_MS: u64 = 24 * 3600 * 1000;
/// How long the first event of a batch waits for company.
const GATHER: Duration = Duration::from_millis(200);
/// Default of `max-buffer-size`.
const DEFAULT_LIMIT: usize = 10 << 20;
/// A blocked container waits with this much unsent.
const BLOCKING_LIMIT: usize = 2 << 20;

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Taken,
    /// Refused for good.
    Refused,
    /// There was no place for it any more. Once there is one again, a note there says how many events are missing.
    Abandoned,
}

/// Events lost of which the destination has not been told.
#[derive(Clone, Copy, Debug, Default)]
struct Untold {
    full: u64,
    abandoned: u64,
}

/// The batch that is being sent.
#[derive(Clone, Copy, Debug, Default)]
struct Flight {
    events: u64,
    /// What its notes tell.
    told: Untold,
}

/// A bounded queue between the reader and the sender of one container.
pub struct Buffer {
    mode: LogMode,
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<Event>,
    bytes: usize,
    /// When the oldest event came in.
    since: Option<Instant>,
    untold: Untold,
    dropped: u64,
    in_flight: Option<Flight>,
    /// Since when every attempt was answered, and none with yes.
    refusing: Option<Instant>,
    draining: bool,
    ready: Option<Result<(), String>>,
}

impl Buffer {
    pub fn new(options: &AwsLogs) -> Buffer {
        let limit = match options.mode {
            LogMode::Blocking => BLOCKING_LIMIT,
            LogMode::NonBlocking => options.max_buffer_bytes.map_or(DEFAULT_LIMIT, |bytes| bytes as usize),
        };
        Buffer { mode: options.mode, limit, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Adds an event. When full: waits (blocking) or drops the oldest (non-blocking).
    pub fn put(&self, event: Event) {
        let mut state = lock(&self.state);
        let size = size(&event);
        while self.mode == LogMode::Blocking && state.bytes > 0 && state.bytes + size > self.limit {
            state = self.wait(state, Duration::from_secs(3600));
        }
        while state.bytes > 0 && state.bytes + size > self.limit {
            state.drop_oldest();
        }
        state.bytes += size;
        state.events.push_back(event);
        // The sender sleeps without a limit only while there is nothing; then it has to know when to look again.
        let wake = state.events.len() == 1 || state.bytes >= BATCH_BYTES || state.events.len() >= BATCH_EVENTS;
        state.since.get_or_insert_with(Instant::now);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Waits for the next batch: full, or 200 ms after its first event, or at once while draining. Events are in order
    /// of time. The batch counts as in flight until [`Buffer::sent`].
    pub fn next_batch(&self) -> Vec<Event> {
        let mut state = lock(&self.state);
        loop {
            let full = state.bytes >= BATCH_BYTES || state.events.len() >= BATCH_EVENTS || state.draining;
            let wait = match state.since {
                None => Duration::from_secs(3600),
                Some(_) if full => Duration::ZERO,
                Some(since) => GATHER.saturating_sub(since.elapsed()),
            };
            if wait.is_zero() {
                break;
            }
            state = self.wait(state, wait);
        }
        let batch = state.take_batch();
        self.changed.notify_all();
        batch
    }

    /// The batch in flight is done with.
    pub fn sent(&self, fate: Fate) {
        let mut state = lock(&self.state);
        let flight = state.in_flight.take().unwrap_or_default();
        state.refusing = None;
        if fate != Fate::Taken {
            state.dropped += flight.events;
        }
        if fate == Fate::Abandoned {
            state.untold.full += flight.told.full;
            state.untold.abandoned += flight.told.abandoned + flight.events;
        }
        self.changed.notify_all();
    }

    /// The batch in flight was not taken this time: the destination said so, or did not answer.
    pub fn tried(&self, answered: bool) {
        let mut state = lock(&self.state);
        state.refusing = answered.then(|| state.refusing.unwrap_or_else(Instant::now));
    }

    /// How long the destination has been answering without taking what is in flight. `None`: it takes, is away, or
    /// has not been asked.
    pub fn refusing_for(&self) -> Option<Duration> {
        lock(&self.state).refusing.map(|since| since.elapsed())
    }

    pub fn drain(&self) {
        lock(&self.state).draining = true;
        self.changed.notify_all();
    }

    pub fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.events.is_empty() && state.in_flight.is_none()
    }

    pub fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }

    /// Tells how the destination answered first.
    pub fn set_ready(&self, outcome: Result<(), String>) {
        lock(&self.state).ready.get_or_insert(outcome);
        self.changed.notify_all();
    }

    pub fn wait_ready(&self, patience: Duration) -> Result<(), String> {
        let until = Instant::now() + patience;
        let mut state = lock(&self.state);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match &state.ready {
                Some(outcome) => return outcome.clone(),
                None if left.is_zero() => return Ok(()),
                None => state = self.wait(state, left),
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

impl State {
    fn drop_oldest(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= size(&event);
            self.dropped += 1;
            self.untold.full += 1;
        }
    }

    fn take_batch(&mut self) -> Vec<Event> {
        let (mut batch, told) = self.notes();
        let notes = batch.len();
        let mut bytes = batch.iter().map(size).sum::<usize>();
        let (mut oldest, mut newest) = (u64::MAX, 0);
        while let Some(event) = self.events.front() {
            oldest = oldest.min(event.time);
            newest = newest.max(event.time);
            let full = bytes + size(event) > BATCH_BYTES || batch.len() >= BATCH_EVENTS;
            if full || newest - oldest >= BATCH_SPAN_MS {
                break;
            }
            bytes += size(event);
            self.bytes -= size(event);
            batch.extend(self.events.pop_front());
        }
        self.since = (!self.events.is_empty()).then(Instant::now);
        if self.events.is_empty() {
            self.events.shrink_to(64);
        }
        batch.sort_by_key(|event| event.time);
        self.in_flight = Some(Flight { events: (batch.len() - notes) as u64, told });
        batch
    }

    /// Tells of what was lost, at the time of the first event after it.
    fn notes(&mut self) -> (Vec<Event>, Untold) {
        let Some(first) = self.events.front() else {
            return (Vec::new(), Untold::default());
        };
        let told = std::mem::take(&mut self.untold);
        let reasons =
            [(told.full, "the log buffer was full"), (told.abandoned, "their log stream could not be written to")];
        let lost = reasons.into_iter().filter(|(count, _)| *count > 0);
        let note = |(count, reason)| {
            let text = format!("[longshore: {count} earlier log events were dropped, {reason}]");
            Event { time: first.time, text }
        };
        (lost.map(note).collect(), told)
    }
}

fn size(event: &Event) -> usize {
    event.text.len() + EVENT_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn event(time: u64, length: usize) -> Event {
        Event { time, text: "x".repeat(length) }
    }

    fn buffer(mode: LogMode, limit: Option<u64>) -> Buffer {
        Buffer::new(&AwsLogs { mode, max_buffer_bytes: limit, ..AwsLogs::default() })
    }

    #[test]
    fn batches_keep_the_limits_of_the_api() {
        let full = buffer(LogMode::NonBlocking, Some(64 << 20));
        (0..25_000).for_each(|time| full.put(event(time, 10)));
        (0..10).for_each(|_| full.put(event(30_000, 200_000)));
        full.put(event(BATCH_SPAN_MS * 3, 1));
        full.drain();
        let mut sizes = Vec::new();
        while !lock(&full.state).events.is_empty() {
            let batch = full.next_batch();
            assert!(batch.iter().map(size).sum::<usize>() <= BATCH_BYTES);
            assert!(batch.last().unwrap().time - batch[0].time < BATCH_SPAN_MS);
            sizes.push(batch.len());
            full.sent(Fate::Taken);
        }
        assert_eq!(sizes.iter().sum::<usize>(), 25_011);
        assert_eq!(sizes[..2], [10_000, 10_000]);
        assert_eq!(*sizes.last().unwrap(), 1);
    }

    #[test]
    fn a_full_non_blocking_buffer_drops_the_oldest_and_says_so_once() {
        let small = buffer(LogMode::NonBlocking, Some(1000));
        (0..20).for_each(|time| small.put(event(time, 74)));
        assert_eq!(small.dropped(), 10);
        small.drain();
        let batch = small.next_batch();
        assert_eq!(batch.len(), 11);
        assert_eq!(batch[0].text, "[longshore: 10 earlier log events were dropped, the log buffer was full]");
        assert_eq!(batch[1].time, 10);
        small.sent(Fate::Taken);
        small.put(event(99, 1));
        assert_eq!(small.next_batch().len(), 1);
    }

    #[test]
    fn an_abandoned_batch_is_counted_and_told_of_with_what_it_told_itself() {
        let small = buffer(LogMode::NonBlocking, Some(1000));
        (0..12).for_each(|time| small.put(event(time, 74)));
        small.drain();
        assert_eq!(small.next_batch().len(), 11);
        small.sent(Fate::Abandoned);
        assert_eq!(small.dropped(), 12);
        small.put(event(99, 1));
        let batch = small.next_batch();
        assert_eq!(batch[0].text, "[longshore: 2 earlier log events were dropped, the log buffer was full]");
        let missing = "[longshore: 10 earlier log events were dropped, their log stream could not be written to]";
        assert_eq!((batch[1].text.as_str(), batch.len()), (missing, 3));
    }

    #[test]
    fn only_answers_in_a_row_are_a_refusal() {
        let one = buffer(LogMode::Blocking, None);
        assert_eq!(one.refusing_for(), None);
        one.tried(true);
        std::thread::sleep(Duration::from_millis(20));
        one.tried(true);
        assert!(one.refusing_for().unwrap() >= Duration::from_millis(20));
        one.tried(false);
        assert_eq!(one.refusing_for(), None);
        one.tried(true);
        one.sent(Fate::Taken);
        assert_eq!(one.refusing_for(), None);
    }

    #[test]
    fn a_full_blocking_buffer_waits_for_room() {
        let full = Arc::new(buffer(LogMode::Blocking, None));
        let writer = full.clone();
        let thread = std::thread::spawn(move || (0..40).for_each(|time| writer.put(event(time, 200_000))));
        full.drain();
        let mut got = Vec::new();
        while got.len() < 40 {
            assert!(lock(&full.state).bytes <= BLOCKING_LIMIT + 200_026);
            got.extend(full.next_batch().iter().map(|e| e.time));
            full.sent(Fate::Taken);
        }
        thread.join().unwrap();
        assert_eq!(got, (0..40).collect::<Vec<_>>());
        assert_eq!(full.dropped(), 0);
    }

    #[test]
    fn an_event_larger_than_the_buffer_still_goes_through() {
        for mode in [LogMode::Blocking, LogMode::NonBlocking] {
            let tiny = buffer(mode, Some(100));
            tiny.put(event(1, 3 << 20 >> 2));
            tiny.drain();
            assert_eq!(tiny.next_batch().len(), 1);
        }
    }
}
