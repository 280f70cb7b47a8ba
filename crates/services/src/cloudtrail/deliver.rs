//! Delivery: what the trails of all accounts get of the audit log, as files and into log groups.
//!
//! ```text
//!     DATA/trails/BUCKET/[PREFIX/]AWSLogs/ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_TIME_ID.json.gz
//! ```
//! A bucket is a directory: there is no S3 here. How far a trail has come is in its record, and changes after its records
//! were written: a delivery that is cut short is done again, into the same file (its name is made of its first record) and
//! as the same batch of the log store's pump. So every record is delivered once, unless the audit log let it go before.
//! Nobody removes what was delivered but its owner; while the disk has less than [`RESERVE`] nothing is.

use std::fs;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use longshore_model::trail::{Delivery, Trail, key};
use longshore_model::{AccountId, Place, State};
use longshore_store::audit::{Audit, Line};
use longshore_store::logs::{Batch, Logs, NewEvent, Pump, RESERVE};
use longshore_store::{Error, Full, Store};
use longshore_wire::{Timestamp, TimestampFormat};
use serde_json::Value;

use super::{destination, selector};

/// Records, and bytes of them, of one delivery.
const MOST_RECORDS: usize = 5_000;
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Records that are looked at for one delivery.
const MOST_SEEN: u64 = 100_000;

/// Bytes of one batch of log events.
const BATCH: usize = 900 * 1024;

/// Who delivers, where to.
pub struct Deliverer<'a> {
    pub store: &'a Store,
    pub logs: &'a Logs,
    pub audit: &'a Audit,
    /// The directory that holds those of the buckets.
    pub directory: &'a Path,
    pub region: &'a str,
}

/// What a trail gets next.
#[derive(Debug, Default)]
struct Parcel {
    /// Of the record that was looked at last.
    position: u64,
    records: Vec<Taken>,
    bytes: usize,
    /// Records that were looked at.
    seen: u64,
    /// Records that would have been looked at and were let go.
    gap: bool,
    /// There is more to look at.
    more: bool,
}

impl Parcel {
    /// In words for the trail's status.
    fn lost(&self) -> Option<String> {
        self.gap.then(|| "Records were let go before they were delivered".to_owned())
    }
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Files,
    Logs,
}

impl Target {
    /// How far a trail has come with it.
    fn position(self, trail: &Trail) -> u64 {
        let position = match self {
            Self::Files => trail.position,
            Self::Logs => trail.log_position,
        };
        u64::try_from(position).unwrap_or_default()
    }
}

#[derive(Debug)]
struct Taken {
    sequence: u64,
    time: i64,
    event: Vec<u8>,
}

impl Deliverer<'_> {
    /// Delivers once to each trail that logs. Blocks on the disk. Returns whether there is more to deliver now.
    ///
    /// # Errors
    /// If the audit log cannot be read. What goes wrong with one trail is in its status.
    pub fn turn(&self, now: Timestamp) -> Result<bool, Error> {
        let trails: Vec<_> = {
            let state = self.store.read();
            state.trails.iter().filter(|(_, trail)| trail.logging).map(|(_, trail)| trail.clone()).collect()
        };
        let mut more = false;
        if !trails.is_empty() {
            self.audit.sync()?;
        }
        for trail in trails {
            more |= self.deliver(&trail, Target::Files, now)?;
        }
        // Afresh: deliveries to files are noted by now.
        let state = self.store.read();
        let logging = state.trails.iter().filter(|(_, trail)| trail.logging && trail.log_group.is_some());
        let trails: Vec<_> = logging.map(|(_, trail)| trail.clone()).collect();
        drop(state);
        for trail in trails {
            more |= self.deliver(&trail, Target::Logs, now)?;
        }
        Ok(more)
    }

    fn deliver(&self, trail: &Trail, target: Target, now: Timestamp) -> Result<bool, Error> {
        let Some(account) = AccountId::parse(&trail.account) else { return Ok(false) };
        let place = Place::new(self.region, &account);
        let parcel = self.parcel(trail, target)?;
        if parcel.position == target.position(trail) {
            return Ok(false);
        }
        let wrong = match target {
            _ if parcel.records.is_empty() => None,
            Target::Files => self.to_files(&place, trail, &parcel).err().map(|error| words(&error)),
            Target::Logs => self.to_logs(&place, trail, &parcel, now).err(),
        };
        let came = Came {
            target,
            position: parcel.position,
            now,
            failed: wrong.is_some(),
            empty: parcel.records.is_empty(),
            error: wrong.or(parcel.lost()),
        };
        let (done, more) = (!came.failed, parcel.more);
        // Where the disk is full nothing is noted, and the same is tried again.
        let noted: Result<_, Full> = self.store.transact(|state, changes| {
            changes.extend(came.noted(state, trail).map(Into::into));
            Ok(())
        });
        Ok(done && more && noted.is_ok())
    }

    /// The records behind the trail's position that its selectors take.
    fn parcel(&self, trail: &Trail, target: Target) -> Result<Parcel, Error> {
        let from = target.position(trail) + 1;
        let mut parcel = Parcel { position: from - 1, ..Parcel::default() };
        let newest = self.audit.synced();
        let mut visit = |line: Line<'_>| {
            let full = parcel.records.len() >= MOST_RECORDS || parcel.bytes >= MOST_BYTES;
            if full || line.sequence > newest || parcel.seen >= MOST_SEEN {
                parcel.more = line.sequence <= newest;
                return ControlFlow::Break(());
            }
            parcel.gap |= parcel.position + 1 < line.sequence;
            parcel.position = line.sequence;
            parcel.seen += 1;
            if takes(trail, line.event) {
                parcel.bytes += line.event.len();
                let event = line.event.to_vec();
                parcel.records.push(Taken { sequence: line.sequence, time: line.time, event });
            }
            ControlFlow::Continue(())
        };
        self.audit.forward(from, &mut visit)?;
        Ok(parcel)
    }

    fn to_files(&self, place: &Place, trail: &Trail, parcel: &Parcel) -> io::Result<()> {
        let Some(first) = parcel.records.first() else { return Ok(()) };
        let path = self.directory.join(path(place, trail, first));
        let dir = path.parent().unwrap_or(self.directory);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let disk = nix::sys::statvfs::statvfs(dir)?;
        if disk.blocks_available() * disk.fragment_size() < RESERVE {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let beside = path.with_extension("new");
        let file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        let mut packed = GzEncoder::new(io::BufWriter::new(file), Compression::default());
        packed.write_all(b"{\"Records\":[")?;
        for (at, record) in parcel.records.iter().enumerate() {
            packed.write_all(if at == 0 { b"" } else { b"," })?;
            packed.write_all(&record.event)?;
        }
        packed.write_all(b"]}")?;
        let file = packed.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        fs::File::open(dir)?.sync_all()
    }

    /// # Errors
    /// In words for the trail's status.
    fn to_logs(&self, place: &Place, trail: &Trail, parcel: &Parcel, now: Timestamp) -> Result<(), String> {
        let Some(group) = &trail.log_group else { return Ok(()) };
        let role = trail.log_role.as_deref().unwrap_or_default();
        let found = destination::check(&self.store.read(), place, group, role).map(Clone::clone);
        let group = found.map_err(|fault| fault.message)?;
        let stream = destination::stream(place);
        let failed = |error: Error| error.to_string();
        match self.logs.create_stream(&group.uid, &stream, now.millis()) {
            Ok(_) | Err(Error::StreamExists) => {}
            Err(error) => return Err(failed(error)),
        }
        for batch in batches(&parcel.records) {
            let events: Vec<NewEvent> = batch.iter().map(event).collect();
            let sequence = batch.last().map_or(0, |last| last.sequence);
            let pump = Pump { id: format!("cloudtrail-{}", trail.name), sequence };
            let batch =
                Batch { group: &group.uid, stream: &stream, events: &events, pump: Some(&pump), now: now.millis() };
            let ticket = self.logs.put(batch).map_err(failed)?;
            self.logs.wait(&ticket).map_err(|closed| closed.to_string())?;
        }
        Ok(())
    }
}

/// What came of a delivery.
struct Came {
    target: Target,
    position: u64,
    now: Timestamp,
    /// It is to be tried again.
    failed: bool,
    /// There was nothing to deliver.
    empty: bool,
    error: Option<String>,
}

impl Came {
    /// The trail with it; `None` if somebody has changed what matters meanwhile: then the delivery does not count.
    fn noted(&self, state: &State, delivered: &Trail) -> Option<Trail> {
        let account = AccountId::parse(&delivered.account)?;
        let trail = state.trails.get(&key(&account, &delivered.name))?;
        let same = trail.created_at == delivered.created_at && trail.started_at == delivered.started_at;
        if !same || self.target.position(trail) != self.target.position(delivered) {
            return None;
        }
        let mut trail = trail.as_ref().clone();
        let (position, delivery) = match self.target {
            Target::Files => (&mut trail.position, &mut trail.files),
            Target::Logs => (&mut trail.log_position, &mut trail.logs),
        };
        if !self.failed {
            *position = i64::try_from(self.position).unwrap_or(i64::MAX);
        }
        if !self.empty || self.error.is_some() {
            let before = delivery.take().and_then(|before| before.succeeded_at);
            let succeeded_at = if self.failed { before } else { Some(self.now) };
            *delivery = Some(Delivery { attempted_at: Some(self.now), succeeded_at, error: self.error.clone() });
        }
        Some(trail)
    }
}

/// Whether a trail gets an event: one of its account, of management, that a selector takes.
fn takes(trail: &Trail, event: &[u8]) -> bool {
    let Ok(event) = serde_json::from_slice::<Value>(event) else { return false };
    let own = event["recipientAccountId"] == *trail.account && event["managementEvent"] == true;
    let source = event["eventSource"].as_str().unwrap_or_default();
    let global = trail.global_events || !["iam.amazonaws.com", "sts.amazonaws.com"].contains(&source);
    own && global && selector::takes(trail, event["readOnly"] == true, source)
}

/// Below the directory of all buckets.
fn path(place: &Place, trail: &Trail, first: &Taken) -> PathBuf {
    let time = Timestamp::from_millis(first.time.div_euclid(1000) * 1000).format(TimestampFormat::Iso8601);
    let day = time.get(..10).unwrap_or_default().replace('-', "/");
    let minute = time.get(..16).unwrap_or_default().replace(['-', ':'], "");
    let (account, region) = (&place.account, &place.region);
    let mut path = PathBuf::from(&trail.bucket);
    if let Some(prefix) = &trail.prefix {
        path.push(prefix);
    }
    path.push(format!("AWSLogs/{account}/CloudTrail/{region}/{day}"));
    // Two trails may share a bucket.
    let id = format!("{:08x}{:016x}", checksum(&trail.name), first.sequence);
    path.push(format!("{account}_CloudTrail_{region}_{minute}Z_{id}.json.gz"));
    path
}

/// Tells names apart.
fn checksum(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Batches that the log store takes, in order.
fn batches(records: &[Taken]) -> Vec<&[Taken]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, record) in records.iter().enumerate() {
        if bytes + record.event.len() > BATCH && at > start {
            batches.push(&records[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += record.event.len();
    }
    batches.push(&records[start..]);
    batches
}

fn event(record: &Taken) -> NewEvent {
    let message = String::from_utf8_lossy(&record.event).into_owned();
    NewEvent { timestamp: record.time.max(0), message }
}

/// An error without the path that it is about.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "The disk is full".to_owned(),
        kind => format!("The bucket's directory cannot be written to: {kind}"),
    }
}
