//! Making and deleting streams, and putting events into them.

use super::key::{EventKey, Position, record as keys};
use super::queue::{Added, Pending};
use super::record::{self, EventValue};
use super::{EVENT_OVERHEAD, Logs, Ticket};
use crate::Error;

/// An event to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Milliseconds since the epoch, not before it.
    pub timestamp: i64,
    pub message: String,
}

/// Who sends a batch, and which of its batches it is. Sequences of one pump and stream rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pump {
    pub id: String,
    pub sequence: u64,
}

/// Events for one stream, stored all together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Uid of the group.
    pub group: &'a str,
    pub stream: &'a str,
    pub events: &'a [NewEvent],
    /// With this, a batch that is not newer than the pump's last is a repeat: acknowledged and dropped.
    pub pump: Option<&'a Pump>,
    /// When it came in: milliseconds since the epoch.
    pub now: i64,
}

impl Logs {
    /// Make a stream, and the group's own record with its first.
    ///
    /// # Errors
    /// [`Error::StreamExists`]; [`Error::NoStream`] when the group is being purged; [`Error::Full`].
    pub fn create_stream(&self, group: &str, name: &str, now: i64) -> Result<Ticket, Error> {
        let mut pending = self.enter_to_add()?;
        if pending.dead.contains(group) {
            return Err(Error::NoStream);
        }
        let number = match self.pending_group(&pending, group)? {
            Some(found) => found.number(),
            None => make_group(&mut pending, group),
        };
        let key = keys::stream(number, name);
        if self.pending_record(&pending, &key)?.is_some() {
            return Err(Error::StreamExists);
        }
        let stream = record::Stream {
            number: pending.next_number() as i64,
            created_at: now,
            last_event: None,
            last_ingestion: None,
        };
        pending.put(keys::name(stream.number()), Some(name.as_bytes().to_vec()));
        pending.put(key, Some(record::encode(&stream)));
        Ok(self.0.queue.leave(pending))
    }

    /// Delete a stream. Its events are out of reach at once and are purged later.
    ///
    /// # Errors
    /// [`Error::NoStream`].
    pub fn delete_stream(&self, group: &str, name: &str) -> Result<Ticket, Error> {
        let mut pending = self.0.queue.enter()?;
        let (owner, stream) = self.pending_stream(&pending, group, name)?;
        let number = stream.number();
        pending.put(keys::stream(owner.number(), name), None);
        pending.put(keys::name(number), None);
        let owner = [owner.number().to_be_bytes().as_slice(), group.as_bytes()].concat();
        pending.put(keys::dead_stream(number), Some(owner));
        Ok(self.0.queue.leave(pending))
    }

    /// Store a batch.
    ///
    /// # Errors
    /// [`Error::NoStream`]; [`Error::Full`].
    pub fn put(&self, batch: Batch<'_>) -> Result<Ticket, Error> {
        let mut pending = self.enter_to_add()?;
        let (group, stream) = self.pending_stream(&pending, batch.group, batch.stream)?;
        if let Some(pump) = batch.pump {
            let key = keys::pump(stream.number(), &pump.id);
            let last = self.pending_record(&pending, &key)?;
            if last.and_then(|bytes| super::key::number(&bytes)) >= Some(pump.sequence) {
                return Ok(self.0.queue.leave(pending));
            }
            pending.put(key, Some(pump.sequence.to_be_bytes().to_vec()));
        }
        add_events(&mut pending, &batch, group, stream);
        Ok(self.0.queue.leave(pending))
    }

    /// Delete groups, by uid. What they held is purged later, turn by turn; uids without streams are passed over.
    pub fn delete_groups(&self, uids: &[String]) -> Result<Ticket, Error> {
        let mut pending = self.0.queue.enter()?;
        for uid in uids {
            if self.pending_group(&pending, uid)?.is_some() {
                pending.put(keys::dead_group(uid), Some(Vec::new()));
                pending.dead.insert(uid.clone());
            }
        }
        Ok(self.0.queue.leave(pending))
    }

    /// A record as decided, durable or not.
    pub(super) fn pending_record(&self, pending: &Pending, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(decided) = pending.record(key) {
            return Ok(decided.map(<[u8]>::to_vec));
        }
        Ok(self.0.trees.records.get(key)?.map(|bytes| bytes.to_vec()))
    }

    pub(super) fn pending_group(&self, pending: &Pending, uid: &str) -> Result<Option<record::Group>, Error> {
        let bytes = self.pending_record(pending, &keys::group(uid))?;
        bytes.map(|bytes| record::decode(&bytes)).transpose()
    }

    fn pending_stream(
        &self,
        pending: &Pending,
        uid: &str,
        name: &str,
    ) -> Result<(record::Group, record::Stream), Error> {
        let alive = !pending.dead.contains(uid);
        let group = self.pending_group(pending, uid)?.filter(|_| alive);
        let group = group.ok_or(Error::NoStream)?;
        let bytes = self.pending_record(pending, &keys::stream(group.number(), name))?;
        let stream = record::decode(&bytes.ok_or(Error::NoStream)?)?;
        Ok((group, stream))
    }
}

/// Write the record of a group that has none yet.
fn make_group(pending: &mut Pending, uid: &str) -> u64 {
    let number = pending.next_number();
    let group = record::Group { number: number as i64, stored_bytes: 0 };
    pending.put(keys::group(uid), Some(record::encode(&group)));
    number
}

fn add_events(pending: &mut Pending, batch: &Batch<'_>, mut group: record::Group, mut stream: record::Stream) {
    if batch.events.is_empty() {
        return;
    }
    let numbers = pending.next_numbers(batch.events.len());
    for (event, sequence) in batch.events.iter().zip(numbers) {
        let position = Position { sequence, ..Position::at(event.timestamp) };
        let value = EventValue { stream: stream.number(), ingested_at: batch.now, message: event.message.as_bytes() };
        pending.add(Added {
            key: EventKey::new(group.number(), position),
            stream: stream.number(),
            value: value.bytes(),
        });
        group.stored_bytes += (event.message.len() + EVENT_OVERHEAD) as i64;
        stream.last_event = stream.last_event.max(Some(event.timestamp));
    }
    stream.last_ingestion = Some(batch.now);
    let key = keys::stream(group.number(), batch.stream);
    pending.put(key, Some(record::encode(&stream)));
    pending.put(keys::group(batch.group), Some(record::encode(&group)));
}
