//! Searching a group's events.

use std::sync::Arc;

use longshore_api::logs::{FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent};
use longshore_model::setting::LogGroup;
use longshore_store::logs::{Event, Search, Span, Streams};
use longshore_wire::Fault;

use super::pattern::Pattern;
use super::{fault, resolve, retention, token};
use crate::Context;

/// Events on a page, unless the request asks for fewer.
const PAGE: usize = 10_000;

/// 1 January 2024, in milliseconds: searches from the latest event back reach no further.
const DESCENDING_SINCE: i64 = 1_704_067_200_000;

/// Find events of all or some streams of a group, in order of time.
///
/// A page may be short or empty and still not be the last: the last has no token.
///
/// # Errors
/// `ResourceNotFoundException` for the group or a named stream; `InvalidParameterException` for names with a prefix, a
/// filter pattern that is none, or a token that is not one.
pub fn filter(context: &mut Context<'_>, request: FilterLogEventsRequest) -> Result<FilterLogEventsResponse, Fault> {
    let (name, identifier) = (request.log_group_name.as_deref(), request.log_group_identifier.as_deref());
    let group = resolve::by_either(context, name, identifier)?;
    let pattern = Pattern::parse(request.filter_pattern.as_deref().unwrap_or_default())
        .map_err(|_| fault::invalid_parameter("Invalid filter pattern"))?;
    let streams = streams(&request)?;
    let about = about(&group, &request);
    let scope = |descending| token::Scope {
        operation: if descending { "FilterLogEvents descending" } else { "FilterLogEvents" },
        about: &about,
    };
    let (from, descending) = match &request.next_token {
        None => (None, request.start_from_head == Some(false)),
        Some(given) => match token::open_position(context, scope(false), given) {
            Ok(position) => (Some(position), false),
            Err(_) => (Some(token::open_position(context, scope(true), given)?), true),
        },
    };
    check_start(&request, descending)?;
    let search = Search {
        group: &group.uid,
        streams,
        span: span(&request, &group, context.now.millis()),
        descending,
        from,
        limit: request.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE as i32) as usize),
    };
    let found = context.logs.filter(search, |message| pattern.matches(message)).map_err(fault::of_store)?;
    Ok(FilterLogEventsResponse {
        events: Some(found.events.into_iter().map(shape).collect()),
        searched_log_streams: Some(Vec::new()),
        next_token: found.next.map(|next| token::position(context, scope(descending), next)),
    })
}

fn streams(request: &FilterLogEventsRequest) -> Result<Streams<'_>, Fault> {
    match (request.log_stream_names.as_deref(), request.log_stream_name_prefix.as_deref()) {
        (None, None) => Ok(Streams::All),
        (Some(names), None) => Ok(Streams::Named(names)),
        (None, Some(prefix)) => Ok(Streams::Prefix(prefix)),
        (Some(_), Some(_)) => {
            Err(fault::invalid_parameter("logStreamNames and logStreamNamePrefix are mutually exclusive parameters."))
        }
    }
}

/// What a page token is good for.
fn about(group: &LogGroup, request: &FilterLogEventsRequest) -> String {
    format!(
        "{} {:?} {:?} {:?}",
        group.uid, request.log_stream_names, request.log_stream_name_prefix, request.filter_pattern
    )
}

fn check_start(request: &FilterLogEventsRequest, descending: bool) -> Result<(), Fault> {
    let early = request.start_time.is_some_and(|start| start < DESCENDING_SINCE);
    match descending && early {
        true => Err(fault::invalid_parameter(
            "startFromHead can be false only when startTime is on or after Jan 1, 2024 00:00:00 UTC.",
        )),
        false => Ok(()),
    }
}

/// The request's end is included, the store's is not.
fn span(request: &FilterLogEventsRequest, group: &LogGroup, now: i64) -> Span {
    Span {
        start: request.start_time.max(retention::begins(group, now)),
        end: request.end_time.map(|end| end.saturating_add(1)),
    }
}

fn shape((stream, event): (Arc<str>, Event)) -> FilteredLogEvent {
    FilteredLogEvent {
        log_stream_name: Some(stream.to_string()),
        timestamp: Some(event.timestamp),
        event_id: Some(event.id.to_string()),
        message: Some(event.message),
        ingestion_time: Some(event.ingested_at),
    }
}
