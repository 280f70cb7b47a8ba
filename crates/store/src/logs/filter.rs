//! Searching a group's events across streams, in order of time.
//!
//! Without a choice of streams, or with a prefix that many share, the group's own range is read; with few streams, their
//! indexes are merged. One call reads a bounded number of events and may so find nothing and still not be at the end.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use super::key::{EventKey, Position, record as keys};
use super::read::{Event, event_range, ordered, read_event};
use super::{Logs, PAGE_BYTES, Span};
use crate::Error;

/// Events and bytes that one call reads at most.
const SCANNED_EVENTS: usize = 50_000;
const SCANNED_BYTES: usize = 16 * 1024 * 1024;

/// Streams whose indexes are merged at most.
const MERGED_STREAMS: usize = 100;

/// Which streams to search.
#[derive(Clone, Copy, Debug)]
pub enum Streams<'a> {
    All,
    /// These; each must exist.
    Named(&'a [String]),
    /// Those whose name begins so.
    Prefix(&'a str),
}

#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// Uid of the group.
    pub group: &'a str,
    pub streams: Streams<'a>,
    pub span: Span,
    /// The latest first.
    pub descending: bool,
    /// Where an earlier call in the same direction ended.
    pub from: Option<Position>,
    pub limit: usize,
}

/// What one call found: stream name and event, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub events: Vec<(Arc<str>, Event)>,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
}

/// What part of a group to go through, and which way.
#[derive(Clone)]
struct Range {
    group: u64,
    span: std::ops::Range<Position>,
    descending: bool,
}

impl Range {
    fn head(&self, position: Position, from: usize) -> Head {
        Head { position, from, descending: self.descending }
    }
}

/// Where one of several merged indexes stands; the greatest is the next.
#[derive(PartialEq, Eq)]
struct Head {
    position: Position,
    from: usize,
    descending: bool,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = (self.position, self.from).cmp(&(other.position, other.from));
        if self.descending { order } else { order.reverse() }
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

type Events<'a> = Box<dyn Iterator<Item = Result<Event, Error>> + 'a>;

impl Logs {
    /// Find events whose message `matches`.
    ///
    /// # Errors
    /// [`Error::NoStream`] if a named stream does not exist.
    pub fn filter(&self, search: Search<'_>, matches: impl Fn(&str) -> bool) -> Result<Found, Error> {
        let Some(group) = self.find_group(search.group)? else {
            return match search.streams {
                Streams::Named(_) => Err(Error::NoStream),
                _ => Ok(Found::default()),
            };
        };
        let mut names = Names::new(self);
        let mut span = search.span.positions();
        match (search.from, search.descending) {
            (None, _) => {}
            (Some(from), false) => span.start = span.start.max(from),
            (Some(from), true) => span.end = span.end.min(from),
        }
        let range = Range { group: group.number(), span, descending: search.descending };
        let events = self.source(range, search.streams, &mut names)?;
        collect(events, &mut names, &search, matches)
    }

    /// The events to look through.
    fn source<'a>(&'a self, range: Range, streams: Streams<'_>, names: &mut Names<'_>) -> Result<Events<'a>, Error> {
        let group = range.group;
        let chosen = match streams {
            Streams::All => return Ok(self.timeline(range)),
            Streams::Named(wanted) => self.named(group, wanted, names)?,
            Streams::Prefix(prefix) => self.prefixed(group, prefix, names)?,
        };
        if chosen.len() <= MERGED_STREAMS {
            return self.merged(range, &chosen);
        }
        let events = self.timeline(range);
        Ok(Box::new(events.filter(move |event| event.as_ref().map_or(true, |event| chosen.contains(&event.id.stream)))))
    }

    fn named(&self, group: u64, wanted: &[String], names: &mut Names<'_>) -> Result<HashSet<u64>, Error> {
        let mut chosen = HashSet::new();
        for name in wanted {
            let bytes = self.0.trees.records.get(keys::stream(group, name))?;
            let stream: super::record::Stream = super::record::decode(&bytes.ok_or(Error::NoStream)?)?;
            names.know(stream.number(), name);
            chosen.insert(stream.number());
        }
        Ok(chosen)
    }

    fn prefixed(&self, group: u64, prefix: &str, names: &mut Names<'_>) -> Result<HashSet<u64>, Error> {
        let mut chosen = HashSet::new();
        for guard in self.0.trees.records.prefix(keys::stream(group, prefix)) {
            let (name, stream) = self.read_stream(guard.into_inner()?)?;
            if chosen.len() < MERGED_STREAMS {
                names.know(stream.number(), &name);
            }
            chosen.insert(stream.number());
        }
        Ok(chosen)
    }

    /// Every event of a group.
    fn timeline(&self, range: Range) -> Events<'_> {
        let keys = event_range(range.group, range.span);
        let guards = ordered(&self.0.trees.events, keys, range.descending);
        Box::new(guards.filter_map(|guard| match guard.into_inner() {
            Ok((key, value)) => {
                let key = EventKey::parse(&key)?;
                read_event(key.position, &value).map(Ok)
            }
            Err(error) => Some(Err(error.into())),
        }))
    }

    /// The events of a few streams, merged.
    fn merged<'a>(&'a self, range: Range, streams: &HashSet<u64>) -> Result<Events<'a>, Error> {
        let mut heads = BinaryHeap::new();
        let mut indexes = Vec::new();
        for stream in streams {
            let mut keys = self.keys(*stream, range.span.clone(), range.descending);
            if let Some(key) = keys.next().transpose()? {
                heads.push(range.head(key.position, indexes.len()));
                indexes.push(keys);
            }
        }
        let mut next = move || -> Result<Option<Event>, Error> {
            while let Some(Head { position, from, .. }) = heads.pop() {
                if let Some(key) = indexes[from].next().transpose()? {
                    heads.push(range.head(key.position, from));
                }
                if let Some(event) = self.event(range.group, position)? {
                    return Ok(Some(event));
                }
            }
            Ok(None)
        };
        Ok(Box::new(std::iter::from_fn(move || next().transpose())))
    }
}

/// Go through `events` until the page is full, enough was read, or the end is reached.
fn collect(
    events: Events<'_>,
    names: &mut Names<'_>,
    search: &Search<'_>,
    matches: impl Fn(&str) -> bool,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let (mut scanned, mut scanned_bytes, mut page_bytes) = (0, 0, 0);
    for event in events {
        let event = event?;
        let here = match search.descending {
            true => event.id.position.after(),
            false => event.id.position,
        };
        let exhausted = scanned == SCANNED_EVENTS || scanned_bytes >= SCANNED_BYTES;
        if exhausted || found.events.len() == search.limit {
            found.next = Some(here);
            break;
        }
        scanned += 1;
        scanned_bytes += event.message.len();
        if !matches(&event.message) {
            continue;
        }
        let Some(name) = names.get(event.id.stream)? else {
            continue;
        };
        page_bytes += event.message.len();
        if page_bytes > PAGE_BYTES && !found.events.is_empty() {
            found.next = Some(here);
            break;
        }
        found.events.push((name, event));
    }
    Ok(found)
}

/// Names of streams by number, as far as this search has met them. Deleted streams have none.
struct Names<'a> {
    logs: &'a Logs,
    known: HashMap<u64, Option<Arc<str>>>,
}

impl<'a> Names<'a> {
    fn new(logs: &'a Logs) -> Self {
        Self { logs, known: HashMap::new() }
    }

    fn know(&mut self, stream: u64, name: &str) {
        self.known.insert(stream, Some(name.into()));
    }

    fn get(&mut self, stream: u64) -> Result<Option<Arc<str>>, Error> {
        if let Some(name) = self.known.get(&stream) {
            return Ok(name.clone());
        }
        let bytes = self.logs.0.trees.records.get(keys::name(stream))?;
        let name = bytes.map(|bytes| Arc::from(String::from_utf8_lossy(&bytes).as_ref()));
        self.known.insert(stream, name.clone());
        Ok(name)
    }
}
