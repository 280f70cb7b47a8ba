//! Forgetting: deleted groups and streams, and events older than their group's retention. In turns, so that nobody
//! waits long behind it.

use super::Logs;
use super::key::{EventKey, Position, number, record as keys};
use super::queue::Removed;
use super::read::{Span, event_range};
use super::record::{self, EventValue};
use crate::Error;

/// Events that one turn forgets at most.
const TURN: usize = 2_000;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

impl Logs {
    /// One turn: what was deleted, then events older than `days` days at `now` (milliseconds since the epoch) of each
    /// group `(uid, days)`. Blocks until it is durable. Returns whether there may be more to do.
    pub fn purge(&self, now: i64, retention: &[(String, i64)]) -> Result<bool, Error> {
        let _alone = self.0.purging.lock();
        let mut left = TURN;
        self.purge_groups(&mut left)?;
        self.purge_streams(&mut left)?;
        for (uid, days) in retention {
            if left == 0 {
                break;
            }
            self.purge_expired(uid, now.saturating_sub(days * DAY_MILLIS), &mut left)?;
        }
        Ok(left == 0)
    }

    fn purge_groups(&self, left: &mut usize) -> Result<(), Error> {
        while *left > 0 {
            let Some(guard) = self.0.trees.records.prefix(keys::DEAD_GROUPS).next() else {
                break;
            };
            let key = guard.key()?;
            let uid = String::from_utf8_lossy(&key[keys::DEAD_GROUPS.len()..]).into_owned();
            self.0.queue.enter()?.dead.insert(uid.clone());
            let Some(group) = self.find_group(&uid)? else {
                self.forget(None, Vec::new(), vec![keys::dead_group(&uid)])?;
                continue;
            };
            self.purge_group(&uid, group.number(), left)?;
        }
        Ok(())
    }

    /// Events first, then streams, then the group itself.
    fn purge_group(&self, uid: &str, group: u64, left: &mut usize) -> Result<(), Error> {
        let removed = self.expired(group, Position::END, *left)?;
        if !removed.is_empty() {
            *left -= removed.len();
            return self.forget(None, removed, Vec::new());
        }
        let mut records = Vec::new();
        for guard in self.0.trees.records.prefix(keys::streams(group)).take(*left) {
            let (name, stream) = self.read_stream(guard.into_inner()?)?;
            records.push(keys::stream(group, &name));
            records.push(keys::name(stream.number()));
            records.extend(self.pump_keys(stream.number())?);
            *left -= 1;
        }
        if records.is_empty() {
            records = vec![keys::group(uid), keys::dead_group(uid)];
            self.forget(None, Vec::new(), records)?;
            self.0.queue.enter()?.dead.remove(uid);
            return Ok(());
        }
        self.forget(None, Vec::new(), records)
    }

    fn purge_streams(&self, left: &mut usize) -> Result<(), Error> {
        while *left > 0 {
            let Some(guard) = self.0.trees.records.prefix(keys::DEAD_STREAMS).next() else {
                break;
            };
            let (key, value) = guard.into_inner()?;
            let stream = number(&key[keys::DEAD_STREAMS.len()..]).unwrap_or(0);
            let group = number(&value).unwrap_or(0);
            let uid = String::from_utf8_lossy(value.get(8..).unwrap_or_default()).into_owned();
            let span = Span::default().positions();
            let found = self.keys(stream, span, false).take(*left);
            let removed = found.map(|key| {
                let key = EventKey::new(group, key?.position);
                Ok(Removed { key, stream })
            });
            let removed = removed.collect::<Result<Vec<_>, Error>>()?;
            let mut records = Vec::new();
            if removed.is_empty() {
                records = self.pump_keys(stream)?;
                records.push(key.to_vec());
            }
            *left -= removed.len().max(1);
            self.forget(Some(&uid), removed, records)?;
        }
        Ok(())
    }

    fn purge_expired(&self, uid: &str, before: i64, left: &mut usize) -> Result<(), Error> {
        let Some(group) = self.find_group(uid)? else {
            return Ok(());
        };
        let removed = self.expired(group.number(), Position::at(before), *left)?;
        if removed.is_empty() {
            return Ok(());
        }
        *left -= removed.len();
        self.forget(Some(uid), removed, Vec::new())
    }

    /// At most `limit` events of a group before a position.
    fn expired(&self, group: u64, before: Position, limit: usize) -> Result<Vec<Removed>, Error> {
        let range = event_range(group, Position::default()..before);
        let mut removed = Vec::new();
        for guard in self.0.trees.events.range(range).take(limit) {
            let (key, value) = guard.into_inner()?;
            let stream = EventValue::parse(&value).map_or(0, |value| value.stream);
            removed.extend(EventKey::parse(&key).map(|key| Removed { key, stream }));
        }
        Ok(removed)
    }

    fn pump_keys(&self, stream: u64) -> Result<Vec<Vec<u8>>, Error> {
        let found = self.0.trees.records.prefix(keys::pumps(stream));
        found.map(|guard| Ok(guard.key()?.to_vec())).collect()
    }

    /// Remove events and records, count the bytes of the group `uid` down, and wait until it is durable.
    fn forget(&self, uid: Option<&str>, removed: Vec<Removed>, records: Vec<Vec<u8>>) -> Result<(), Error> {
        let mut freed = 0;
        for event in removed.iter().filter(|_| uid.is_some()) {
            let size = self.0.trees.events.size_of(event.key.bytes())?;
            freed += size.map_or(0, |size| EventValue::counted(size as usize));
        }
        let mut pending = self.0.queue.enter()?;
        pending.remove(removed);
        records.into_iter().for_each(|key| pending.put(key, None));
        if let Some(uid) = uid
            && let Some(mut group) = self.pending_group(&pending, uid)?
        {
            group.stored_bytes = (group.stored_bytes - freed).max(0);
            pending.put(keys::group(uid), Some(record::encode(&group)));
        }
        let ticket = self.0.queue.leave(pending);
        Ok(self.0.queue.wait(&ticket)?)
    }
}
