//! LookupEvents: what was called, the newest first.
//!
//! There is no index: segments are read backwards, and lines that cannot match are passed over without being parsed. A
//! page looks at [`SCANNED`] bytes at most, so one that finds little comes with a token and fewer events than were asked
//! for, as AWS's may.

use std::ops::ControlFlow;

use longshore_api::cloudtrail::{
    Event, LookupAttribute, LookupAttributeKey, LookupEventsRequest, LookupEventsResponse, Resource,
};
use longshore_store::audit::{Back, Line, Reached};
use longshore_wire::{Fault, Timestamp, TimestampFormat};
use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::{fault, resource};
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};

/// Events on a page, and most that may be asked for.
const PAGE: usize = 50;

/// Bytes of records that a page looks at.
const SCANNED: u64 = 64 * 1024 * 1024;

/// Management events of the caller's account, in this region, the newest first.
///
/// # Errors
/// `InvalidLookupAttributesException` for more than one attribute, `InvalidTimeRangeException`, `InvalidNextTokenException`;
/// `ThrottlingException` while many look.
pub fn events(context: &mut Context<'_>, request: LookupEventsRequest) -> Result<LookupEventsResponse, Fault> {
    let (from, until) = times(&request)?;
    let attribute = attribute(request.lookup_attributes.as_deref().unwrap_or_default())?;
    let filter = format!("{from} {until} {attribute:?} {:?}", request.event_category);
    let account = context.account().to_string();
    let scope = Scope { account: &account, operation: "LookupEvents", filter: &filter };
    let key = &context.settings.page_key;
    let before = match &request.next_token {
        Some(token) => decode(key, scope, token).and_then(|text| text.parse().ok()).ok_or_else(fault::next_token)?,
        None => u64::MAX,
    };
    let Some(audit) = context.audit.filter(|_| request.event_category.is_none()) else {
        return Ok(LookupEventsResponse { events: Some(Vec::new()), next_token: None });
    };
    audit.flush().map_err(|_| Fault::internal())?;
    let most = request.max_results.and_then(|most| usize::try_from(most).ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let sieve = Sieve::new(&account, attribute)?;
    let mut events = Vec::new();
    let mut visit = |line: Line<'_>| {
        let within = (from..=until).contains(&line.time);
        events.extend(sieve.event(&line).filter(|_| within));
        if events.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let what = Back { before, from, until, bytes: SCANNED };
    let next_token = match audit.back(what, &mut visit).map_err(|error| fault::of_store(&error))? {
        Reached::End => None,
        Reached::Record(sequence) => Some(encode(key, scope, &sequence.to_string())),
        Reached::Busy => return Err(fault::busy()),
    };
    Ok(LookupEventsResponse { events: Some(events), next_token })
}

/// The time range, both ends inclusive. Events have whole seconds to those who ask.
fn times(request: &LookupEventsRequest) -> Result<(i64, i64), Fault> {
    let from = request.start_time.map_or(i64::MIN, Timestamp::millis);
    let until = request.end_time.map_or(i64::MAX, |end| end.millis().div_euclid(1000).saturating_mul(1000) + 999);
    if from > until { Err(fault::time_range()) } else { Ok((from, until)) }
}

/// AWS takes one attribute at a time.
fn attribute(given: &[LookupAttribute]) -> Result<Option<(LookupAttributeKey, String)>, Fault> {
    match given {
        [] => Ok(None),
        [one] => {
            let value = one.attribute_value.clone().unwrap_or_default();
            if value.is_empty() {
                return Err(fault::lookup_attributes("A lookup attribute must have a value."));
            }
            Ok(one.attribute_key.map(|key| (key, value)))
        }
        _ => Err(fault::lookup_attributes("Only one lookup attribute may be given.")),
    }
}

/// What is looked for.
struct Sieve {
    account: String,
    /// In the line of every event of the account, and in that of every event that has the attribute.
    own: Regex,
    needle: Option<Regex>,
    attribute: Option<(LookupAttributeKey, String)>,
}

impl Sieve {
    fn new(account: &str, attribute: Option<(LookupAttributeKey, String)>) -> Result<Self, Fault> {
        let needle = attribute.as_ref().map(|(key, value)| match key {
            LookupAttributeKey::ReadOnly => format!("\"readOnly\":{value}"),
            // What an ARN's type and name are, the line does not say in these words.
            _ => quoted(value),
        });
        Ok(Self {
            account: account.to_owned(),
            own: literal(&format!("\"recipientAccountId\":\"{account}\""))?,
            needle: needle.as_deref().map(literal).transpose()?,
            attribute,
        })
    }

    /// The event of a line, if it is one of these.
    fn event(&self, line: &Line<'_>) -> Option<Event> {
        let may = self.own.is_match(line.event) && self.needle.as_ref().is_none_or(|it| it.is_match(line.event));
        if !may {
            return None;
        }
        let value: Value = serde_json::from_slice(line.event).ok()?;
        let event = shape(&value, line);
        // The words may stand elsewhere in the line, as a tag of somebody else's.
        let own = value["recipientAccountId"] == *self.account;
        let management = value["managementEvent"] == true;
        let has = self.attribute.as_ref().is_none_or(|(key, wanted)| has(&event, *key, wanted));
        (own && management && has).then_some(event)
    }
}

/// A text as JSON has it, without the quotes.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

fn literal(text: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(&regex::escape(text)).unicode(false).build().map_err(|_| Fault::internal())
}

fn has(event: &Event, key: LookupAttributeKey, wanted: &str) -> bool {
    let is = |value: &Option<String>| value.as_deref() == Some(wanted);
    let mut resources = event.resources.iter().flatten();
    match key {
        LookupAttributeKey::EventId => is(&event.event_id),
        LookupAttributeKey::EventName => is(&event.event_name),
        LookupAttributeKey::ReadOnly => is(&event.read_only),
        LookupAttributeKey::Username => is(&event.username),
        LookupAttributeKey::EventSource => is(&event.event_source),
        LookupAttributeKey::AccessKeyId => is(&event.access_key_id),
        LookupAttributeKey::ResourceType => resources.any(|one| is(&one.resource_type)),
        LookupAttributeKey::ResourceName => {
            resources.any(|one| one.resource_name.as_deref().is_some_and(|name| resource::is_called(name, wanted)))
        }
    }
}

fn shape(value: &Value, line: &Line<'_>) -> Event {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let identity = &value["userIdentity"];
    let time = value["eventTime"].as_str().and_then(|time| Timestamp::parse(time, TimestampFormat::Iso8601));
    Event {
        event_id: text(&value["eventID"]),
        event_name: text(&value["eventName"]),
        read_only: value["readOnly"].as_bool().map(|read| read.to_string()),
        access_key_id: text(&identity["accessKeyId"]),
        event_time: time,
        event_source: text(&value["eventSource"]),
        username: user_name(identity),
        resources: Some(value["resources"].as_array().into_iter().flatten().map(resource_of).collect()),
        cloud_trail_event: String::from_utf8(line.event.to_vec()).ok(),
    }
}

/// The user's name, the session's, or `root`.
fn user_name(identity: &Value) -> Option<String> {
    match identity["type"].as_str()? {
        "Root" => Some("root".to_owned()),
        "AssumedRole" => identity["principalId"].as_str()?.split_once(':').map(|(_, session)| session.to_owned()),
        _ => identity["userName"].as_str().map(str::to_owned),
    }
}

fn resource_of(value: &Value) -> Resource {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Resource { resource_type: text(&value["type"]), resource_name: text(&value["ARN"]) }
}
