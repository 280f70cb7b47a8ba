//! Reading one stream's events, and the lists of streams and groups.

use std::collections::BTreeMap;
use std::ops::Range;

use fjall::{Guard, Keyspace};

use super::key::{EventId, EventKey, Position, record as keys};
use super::record::{self, EventValue};
use super::{Logs, PAGE_BYTES};
use crate::Error;

/// A span of time: from `start`, before `end`; milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: Option<i64>,
    pub end: Option<i64>,
}

impl Span {
    pub(super) fn positions(self) -> Range<Position> {
        let start = self.start.map_or(Position::default(), Position::at);
        start..self.end.map_or(Position::END, Position::at)
    }
}

/// Where a page begins and which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The earliest events of the span.
    Head,
    /// The latest events of the span.
    Tail,
    /// Events from here on.
    Forward(Position),
    /// Events before here, the latest of them.
    Backward(Position),
}

/// A stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub timestamp: i64,
    pub ingested_at: i64,
    pub message: String,
}

/// A page of one stream's events, in order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub events: Vec<Event>,
    /// Where the events before this page end. Of an empty page: where it was asked for.
    pub backward: Position,
    /// Where the events behind this page begin. Of an empty page: where it was asked for.
    pub forward: Position,
}

/// What is known of a stream. Times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub name: String,
    pub created_at: i64,
    pub first_event: Option<i64>,
    pub last_event: Option<i64>,
    pub last_ingestion: Option<i64>,
}

impl Logs {
    /// A page of at most `limit` events and [`PAGE_BYTES`] of messages (but always one event, if there is one).
    ///
    /// # Errors
    /// [`Error::NoStream`].
    pub fn get(&self, group: &str, name: &str, span: Span, cursor: Cursor, limit: usize) -> Result<Page, Error> {
        let (group, stream) = self.find_stream(group, name)?.ok_or(Error::NoStream)?;
        let Range { mut start, mut end } = span.positions();
        match cursor {
            Cursor::Forward(from) => start = start.max(from),
            Cursor::Backward(to) => end = end.min(to),
            Cursor::Head | Cursor::Tail => {}
        }
        let backwards = matches!(cursor, Cursor::Tail | Cursor::Backward(_));
        let keys = self.keys(stream.number(), start..end, backwards);
        let mut events = self.take_page(group.number(), keys, limit)?;
        if backwards {
            events.reverse();
        }
        let asked = match cursor {
            Cursor::Head | Cursor::Tail => start,
            Cursor::Forward(position) | Cursor::Backward(position) => position,
        };
        let backward = events.first().map_or(asked, |event| event.id.position);
        let forward = events.last().map_or(asked, |event| event.id.position.after());
        Ok(Page { events, backward, forward })
    }

    /// A stream by name.
    pub fn stream(&self, group: &str, name: &str) -> Result<Option<Stream>, Error> {
        let found = self.find_stream(group, name)?;
        found.map(|(_, stream)| self.describe(name.to_owned(), stream)).transpose()
    }

    /// At most `limit` streams whose name begins with `prefix`, by name, beginning behind the name `after`.
    pub fn streams_by_name(
        &self,
        group: &str,
        prefix: &str,
        after: Option<&str>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Stream>, Error> {
        let Some(group) = self.find_group(group)? else {
            return Ok(Vec::new());
        };
        let range = name_range(group.number(), prefix, after, descending);
        let found = ordered(&self.0.trees.records, range, descending);
        let streams = found.take(limit).map(|guard| self.read_stream(guard.into_inner()?));
        streams.map(|stream| stream.and_then(|(name, stream)| self.describe(name, stream))).collect()
    }

    /// At most `limit` streams by the time of their last event (those without any come first), then by name, beginning
    /// behind the pair `after`.
    pub fn streams_by_time(
        &self,
        group: &str,
        after: Option<(Option<i64>, &str)>,
        descending: bool,
        limit: usize,
    ) -> Result<Vec<Stream>, Error> {
        let Some(group) = self.find_group(group)? else {
            return Ok(Vec::new());
        };
        let mut best = BTreeMap::new();
        for guard in self.0.trees.records.prefix(keys::streams(group.number())) {
            let (name, stream) = self.read_stream(guard.into_inner()?)?;
            let behind = after.is_none_or(|(time, after)| {
                let order = (stream.last_event, name.as_str()).cmp(&(time, after));
                if descending { order.is_lt() } else { order.is_gt() }
            });
            if behind {
                best.insert((stream.last_event, name), stream);
            }
            if best.len() > limit {
                let _ = if descending { best.pop_first() } else { best.pop_last() };
            }
        }
        let described = best.into_iter().map(|((_, name), stream)| self.describe(name, stream));
        let mut streams = described.collect::<Result<Vec<_>, _>>()?;
        if descending {
            streams.reverse();
        }
        Ok(streams)
    }

    /// Bytes of a group's events, each with [`EVENT_OVERHEAD`](super::EVENT_OVERHEAD).
    pub fn stored_bytes(&self, group: &str) -> Result<i64, Error> {
        Ok(self.find_group(group)?.map_or(0, |group| group.stored_bytes))
    }

    /// Uids of every group that has or had streams and is not deleted.
    pub fn groups(&self) -> Result<Vec<String>, Error> {
        let uids = self.0.trees.records.prefix(keys::GROUPS).map(|guard| {
            let key = guard.key()?;
            Ok(String::from_utf8_lossy(&key[keys::GROUPS.len()..]).into_owned())
        });
        let mut uids = uids.collect::<Result<Vec<String>, Error>>()?;
        let dead = self.0.queue.dead();
        uids.retain(|uid| !dead.contains(uid));
        Ok(uids)
    }

    pub(super) fn find_group(&self, uid: &str) -> Result<Option<record::Group>, Error> {
        let bytes = self.0.trees.records.get(keys::group(uid))?;
        bytes.map(|bytes| record::decode(&bytes)).transpose()
    }

    pub(super) fn find_stream(&self, uid: &str, name: &str) -> Result<Option<(record::Group, record::Stream)>, Error> {
        let Some(group) = self.find_group(uid)? else {
            return Ok(None);
        };
        let bytes = self.0.trees.records.get(keys::stream(group.number(), name))?;
        let stream = bytes.map(|bytes| record::decode(&bytes)).transpose()?;
        Ok(stream.map(|stream| (group, stream)))
    }

    /// The index entries of a stream.
    pub(super) fn keys(
        &self,
        stream: u64,
        span: Range<Position>,
        backwards: bool,
    ) -> impl Iterator<Item = Result<EventKey, Error>> + use<> {
        let range = event_range(stream, span);
        ordered(&self.0.trees.index, range, backwards).filter_map(|guard| match guard.key() {
            Ok(key) => EventKey::parse(&key).map(Ok),
            Err(error) => Some(Err(error.into())),
        })
    }

    /// The event at a place; `None` if it was purged meanwhile.
    pub(super) fn event(&self, group: u64, position: Position) -> Result<Option<Event>, Error> {
        let bytes = self.0.trees.events.get(EventKey::new(group, position).bytes())?;
        Ok(bytes.and_then(|bytes| read_event(position, &bytes)))
    }

    fn take_page(
        &self,
        group: u64,
        keys: impl Iterator<Item = Result<EventKey, Error>>,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        for key in keys {
            if events.len() == limit {
                break;
            }
            let Some(event) = self.event(group, key?.position)? else {
                continue;
            };
            bytes += event.message.len();
            if bytes > PAGE_BYTES && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        Ok(events)
    }

    pub(super) fn read_stream(
        &self,
        (key, value): (fjall::UserKey, fjall::UserValue),
    ) -> Result<(String, record::Stream), Error> {
        let name = key.get(keys::streams(0).len()..).unwrap_or_default();
        Ok((String::from_utf8_lossy(name).into_owned(), record::decode(&value)?))
    }

    fn describe(&self, name: String, stream: record::Stream) -> Result<Stream, Error> {
        let span = Span::default().positions();
        let first = self.keys(stream.number(), span, false).next().transpose()?;
        Ok(Stream {
            name,
            created_at: stream.created_at,
            first_event: first.map(|key| key.position.timestamp as i64),
            last_event: stream.last_event,
            last_ingestion: stream.last_ingestion,
        })
    }
}

pub(super) fn read_event(position: Position, bytes: &[u8]) -> Option<Event> {
    let value = EventValue::parse(bytes)?;
    Some(Event {
        id: EventId { position, stream: value.stream },
        timestamp: position.timestamp as i64,
        ingested_at: value.ingested_at,
        message: String::from_utf8_lossy(value.message).into_owned(),
    })
}

/// The keys of an owner's events within a span.
pub(super) fn event_range(owner: u64, span: Range<Position>) -> Range<Vec<u8>> {
    let key = |position| EventKey::new(owner, position).bytes().to_vec();
    key(span.start)..key(span.end.max(span.start))
}

/// The keys of streams whose name begins with `prefix` and lies behind `after`.
fn name_range(group: u64, prefix: &str, after: Option<&str>, descending: bool) -> Range<Vec<u8>> {
    let first = keys::stream(group, prefix);
    // No name holds the byte 0xff.
    let last = [first.as_slice(), &[0xff]].concat();
    match after.map(|name| keys::stream(group, name)) {
        None => first..last,
        Some(after) if descending => first.clone()..after.min(last).max(first),
        Some(after) => {
            let behind = [after.as_slice(), &[0]].concat();
            behind.max(first).min(last.clone())..last
        }
    }
}

/// A range of a tree, either way. Unlike the tree itself it takes a range that ends before it begins.
pub(super) fn ordered(tree: &Keyspace, range: Range<Vec<u8>>, backwards: bool) -> Box<dyn Iterator<Item = Guard>> {
    if range.is_empty() {
        return Box::new(std::iter::empty());
    }
    match backwards {
        true => Box::new(tree.range(range).rev()),
        false => Box::new(tree.range(range)),
    }
}
