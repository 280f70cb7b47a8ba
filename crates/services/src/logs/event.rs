//! Events of one stream: put and got.

use longshore_api::logs::{
    GetLogEventsRequest, GetLogEventsResponse, InputLogEvent, OutputLogEvent, PutLogEventsRequest,
    PutLogEventsResponse, RejectedLogEventsInfo,
};
use longshore_model::setting::LogGroup;
use longshore_store::logs::{Batch, Cursor, EVENT_OVERHEAD, Event, NewEvent, Pump, Span};
use longshore_wire::Fault;

use super::{fault, resolve, retention, token};
use crate::Context;

/// Bytes of a batch, and of an event in it, each with [`EVENT_OVERHEAD`].
const BATCH_BYTES: usize = 1_048_576;

const HOUR_MILLIS: i64 = 60 * 60 * 1000;

/// The longest time between the first and the last event of a batch.
const BATCH_SPAN: i64 = 24 * HOUR_MILLIS;

/// How far ahead of the clock, and how far behind it, an event may be.
const FUTURE: i64 = 2 * HOUR_MILLIS;
const PAST: i64 = 14 * 24 * HOUR_MILLIS;

/// Events on a page, unless the request asks for fewer.
const PAGE: usize = 10_000;

/// Longest name of a pump.
const PUMP_LENGTH: usize = 64;

/// Put a batch of events into a stream.
///
/// Events that are too new, too old or past the group's retention are left out and reported; the others are stored.
/// With an `x-longshore-batch` header, `PUMP/SEQUENCE`, a batch that comes again is acknowledged and not stored again;
/// sequences of one pump must rise. Sequence tokens are ignored, as AWS does.
///
/// # Errors
/// `ResourceNotFoundException` for group or stream; `InvalidParameterException` for a batch that is too large, out of
/// order or spans more than 24 hours.
pub fn put(context: &mut Context<'_>, request: PutLogEventsRequest) -> Result<PutLogEventsResponse, Fault> {
    let pump = context.batch.as_deref().map(read_pump).transpose()?;
    let group = resolve::by_name(context, &request.log_group_name.unwrap_or_default())?;
    let events = read_events(request.log_events.unwrap_or_default())?;
    let now = context.now.millis();
    let sifted = Sifted::of(&events, &group, now);
    let accepted = &events[sifted.accepted.clone()];
    check_span(accepted)?;
    let batch = Batch {
        group: &group.uid,
        stream: request.log_stream_name.as_deref().unwrap_or_default(),
        events: accepted,
        pump: pump.as_ref(),
        now,
    };
    let ticket = context.logs.put(batch).map_err(fault::of_store)?;
    context.await_logs(ticket);
    Ok(PutLogEventsResponse {
        next_sequence_token: Some(sequence_token(now)),
        rejected_log_events_info: sifted.rejected,
        rejected_entity_info: None,
    })
}

/// What AWS calls a sequence token: 56 digits that mean nothing any more.
pub fn sequence_token(seed: i64) -> String {
    format!("49{seed:054}")
}

fn read_pump(header: &str) -> Result<Pump, Fault> {
    let read = || {
        let (id, sequence) = header.rsplit_once('/')?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let sound = (1..=PUMP_LENGTH).contains(&id.len()) && id.bytes().all(plain);
        let sequence = sequence.parse().ok()?;
        sound.then(|| Pump { id: id.to_owned(), sequence })
    };
    read().ok_or_else(|| fault::invalid_parameter("The x-longshore-batch header must be PUMP/SEQUENCE."))
}

/// The events of a request, if they are a batch: not too large, and in order.
fn read_events(events: Vec<InputLogEvent>) -> Result<Vec<NewEvent>, Fault> {
    let mut total = 0;
    for event in &events {
        let size = event.message.as_ref().map_or(0, String::len) + EVENT_OVERHEAD;
        if size > BATCH_BYTES {
            return Err(fault::invalid_parameter(format!(
                "Log event too large: {size} bytes exceeds limit of {BATCH_BYTES}"
            )));
        }
        total += size;
    }
    if total > BATCH_BYTES {
        return Err(fault::invalid_parameter(format!(
            "Upload too large: {total} bytes exceeds limit of {BATCH_BYTES}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp) {
        return Err(fault::invalid_parameter(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    let events = events.into_iter().map(|event| NewEvent {
        timestamp: event.timestamp.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
    });
    Ok(events.collect())
}

fn check_span(events: &[NewEvent]) -> Result<(), Fault> {
    let span = match events {
        [first, .., last] => last.timestamp - first.timestamp,
        _ => 0,
    };
    match span <= BATCH_SPAN {
        true => Ok(()),
        false => Err(fault::invalid_parameter(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        )),
    }
}

/// Which events of a batch are taken, and what is said of the others.
struct Sifted {
    accepted: std::ops::Range<usize>,
    rejected: Option<RejectedLogEventsInfo>,
}

impl Sifted {
    fn of(events: &[NewEvent], group: &LogGroup, now: i64) -> Self {
        let before = |time: i64| events.partition_point(|event| event.timestamp < time);
        let too_old = before(now - PAST);
        let expired = retention::begins(group, now).map_or(0, before);
        let too_new = before(now + FUTURE + 1);
        let start = too_old.max(expired);
        let rejected = start > 0 || too_new < events.len();
        let index = |index: usize, reported: bool| reported.then_some(index as i32);
        let info = RejectedLogEventsInfo {
            too_new_log_event_start_index: index(too_new, too_new < events.len()),
            too_old_log_event_end_index: index(too_old, too_old > 0),
            expired_log_event_end_index: index(expired, expired > 0),
        };
        Self { accepted: start..too_new.max(start), rejected: rejected.then_some(info) }
    }
}

/// Read a page of a stream's events, the latest unless told otherwise.
///
/// At either end the token that was sent comes back: that is how a reader sees that there is nothing more.
///
/// # Errors
/// `ResourceNotFoundException` for group or stream; `InvalidParameterException` for a token that is not one.
pub fn get(context: &mut Context<'_>, request: GetLogEventsRequest) -> Result<GetLogEventsResponse, Fault> {
    let (name, identifier) = (request.log_group_name.as_deref(), request.log_group_identifier.as_deref());
    let group = resolve::by_either(context, name, identifier)?;
    let stream = request.log_stream_name.unwrap_or_default();
    let about = format!("{} {stream}", group.uid);
    let scope = token::Scope { operation: "GetLogEvents", about: &about };
    let cursor = match &request.next_token {
        Some(token) => token::open_cursor(context, scope, token)?,
        None if request.start_from_head == Some(true) => Cursor::Head,
        None => Cursor::Tail,
    };
    let oldest = retention::begins(&group, context.now.millis());
    let span = Span { start: request.start_time.max(oldest), end: request.end_time };
    let limit = request.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE as i32) as usize);
    let page = context.logs.get(&group.uid, &stream, span, cursor, limit).map_err(fault::of_store)?;
    Ok(GetLogEventsResponse {
        next_forward_token: Some(token::forward(context, scope, page.forward)),
        next_backward_token: Some(token::backward(context, scope, page.backward)),
        events: Some(page.events.into_iter().map(shape).collect()),
    })
}

fn shape(event: Event) -> OutputLogEvent {
    OutputLogEvent {
        timestamp: Some(event.timestamp),
        message: Some(event.message),
        ingestion_time: Some(event.ingested_at),
    }
}
