//! Log streams: made, deleted, described.

use longshore_api::logs::{
    CreateLogStreamRequest, DeleteLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse, LogStream,
    OrderBy,
};
use longshore_model::setting::LogGroup;
use longshore_store::logs::Stream;
use longshore_wire::Fault;

use super::{Done, event, fault, resolve, token};
use crate::Context;

/// Streams on a page, unless the request asks for fewer.
const PAGE: usize = 50;

/// # Errors
/// `ResourceNotFoundException` for the group; `ResourceAlreadyExistsException`.
pub fn create(context: &mut Context<'_>, request: CreateLogStreamRequest) -> Result<Done, Fault> {
    let group = resolve::by_name(context, &request.log_group_name.unwrap_or_default())?;
    let name = request.log_stream_name.unwrap_or_default();
    let made = context.logs.create_stream(&group.uid, &name, context.now.millis());
    context.await_logs(made.map_err(fault::of_store)?);
    Ok(Done)
}

/// # Errors
/// `ResourceNotFoundException` for group or stream; `ValidationException` for a group protected from deletion.
pub fn delete(context: &mut Context<'_>, request: DeleteLogStreamRequest) -> Result<Done, Fault> {
    let group = resolve::by_name(context, &request.log_group_name.unwrap_or_default())?;
    if group.deletion_protected {
        return Err(fault::validation("The log group is protected from deletion."));
    }
    let name = request.log_stream_name.unwrap_or_default();
    let deleted = context.logs.delete_stream(&group.uid, &name);
    context.await_logs(deleted.map_err(fault::of_store)?);
    Ok(Done)
}

/// # Errors
/// `ResourceNotFoundException`; `InvalidParameterException` for a prefix with an order by time, or a token that is not
/// one.
pub fn describe(
    context: &mut Context<'_>,
    request: DescribeLogStreamsRequest,
) -> Result<DescribeLogStreamsResponse, Fault> {
    let (name, identifier) = (request.log_group_name.as_deref(), request.log_group_identifier.as_deref());
    let group = resolve::by_either(context, name, identifier)?;
    let by_time = request.order_by == Some(OrderBy::LastEventTime);
    if by_time && request.log_stream_name_prefix.is_some() {
        return Err(fault::invalid_parameter("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let prefix = request.log_stream_name_prefix.as_deref().unwrap_or("");
    let descending = request.descending.unwrap_or_default();
    let about = format!("{} {by_time} {descending} {prefix}", group.uid);
    let scope = token::Scope { operation: "DescribeLogStreams", about: &about };
    let after = token::open_name(context, scope, request.next_token.as_deref())?;
    let after = after.as_deref().map(Place::parse).transpose()?;
    let limit = request.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE as i32) as usize);
    let found = match by_time {
        true => {
            let after = after.as_ref().map(|place| (place.last_event, place.name));
            context.logs.streams_by_time(&group.uid, after, descending, limit + 1)
        }
        false => {
            let after = after.as_ref().map(|place| place.name);
            context.logs.streams_by_name(&group.uid, prefix, after, descending, limit + 1)
        }
    };
    let mut streams = found.map_err(fault::of_store)?;
    let more = streams.len() > limit;
    streams.truncate(limit);
    let last = streams.last().filter(|_| more);
    let next_token = last.map(|last| token::name(context, scope, &Place::of(last).text()));
    let streams = streams.into_iter().map(|stream| shape(context, &group, stream));
    Ok(DescribeLogStreamsResponse { log_streams: Some(streams.collect()), next_token })
}

/// Where a page ended: the time of the last event (or nothing) and the name.
struct Place<'a> {
    last_event: Option<i64>,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn of(stream: &'a Stream) -> Self {
        Self { last_event: stream.last_event, name: &stream.name }
    }

    fn text(&self) -> String {
        match self.last_event {
            Some(time) => format!("{time} {}", self.name),
            None => format!(" {}", self.name),
        }
    }

    fn parse(text: &'a str) -> Result<Self, Fault> {
        let (time, name) = text.split_once(' ').ok_or_else(token::invalid)?;
        Ok(Self { last_event: time.parse().ok(), name })
    }
}

fn shape(context: &Context<'_>, group: &LogGroup, stream: Stream) -> LogStream {
    let arn = format!("{}:log-stream:{}", context.place.log_group(&group.name), stream.name);
    LogStream {
        log_stream_name: Some(stream.name),
        creation_time: Some(stream.created_at),
        first_event_timestamp: stream.first_event,
        last_event_timestamp: stream.last_event,
        last_ingestion_time: stream.last_ingestion,
        upload_sequence_token: stream.last_ingestion.map(event::sequence_token),
        arn: Some(arn),
        stored_bytes: Some(0),
    }
}
