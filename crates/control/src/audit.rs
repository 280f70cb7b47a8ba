//! What the gateway writes into the audit log: a record of every call, whatever came of it.
//!
//! The record grows while the call is carried out and is handed over before the answer is waited for, so that its way to
//! the disk and the commit's are gone together; the answer of a call that changes something, shows a secret or is refused
//! waits for both (docs/decisions/0026). If the commit then fails, a second record of the same request says so. Requests of
//! strangers, who could not say who they are, are recorded as long as they are few, and counted beyond that.
//!
//! Recorded too is what no call does: that a node got credentials of a task's role, that messages of a node were dropped.

use http::HeaderMap;
use http::header::USER_AGENT;
use http::request::Parts;
use longshore_model::iam::Caller;
use longshore_model::{Arn, Place, State};
use longshore_plan::rate::{Bucket, Limit};
use longshore_services::Answer;
use longshore_services::access::{self, Asked};
use longshore_services::cloudtrail::event::{self, Notice, Record, Request};
use longshore_services::cloudtrail::node_event::{self, Dropped, Lending};
use longshore_store::Full;
use longshore_store::audit::{Audit, Happening, Options, Ticket, Weight};
use longshore_wire::protocol::{Call, Output, Refusal};
use longshore_wire::sigv4::Scope;
use longshore_wire::{Fault, Value};
use parking_lot::Mutex;

use crate::config::Config;
use crate::signin::Peer;
use crate::{Error, Server, clock};

/// Bytes of a segment.
const SEGMENT: u64 = 8 * 1024 * 1024;

/// Requests of strangers that are recorded one by one.
const STRANGERS: Limit = Limit { burst: 200, refill: 20 };

/// Opens the log of a data directory.
pub(crate) fn open(config: &Config) -> Result<Audit, Error> {
    let (region, account) = (config.region.clone(), config.account.to_string());
    let tell = Box::new(move |happening: Happening| {
        let now = clock::now();
        (now.millis(), event::happening(happening, now, &region, &account, &clock::mint().uuid()))
    });
    let total_bytes = u64::from(config.audit_mib) * 1024 * 1024;
    let options = Options { segment_bytes: SEGMENT.min(total_bytes / 4), total_bytes, tell };
    Ok(Audit::open(&config.audit_log(), options)?)
}

/// How many requests of strangers came lately.
pub(crate) struct Strangers(Mutex<(Bucket, u64)>);

impl Strangers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Bucket::full(STRANGERS, clock::now()), 0)))
    }

    /// Whether one more is recorded; then also how many were not before.
    fn admit(&self) -> Option<u64> {
        let mut held = self.0.lock();
        let (bucket, omitted) = &mut *held;
        if bucket.take(STRANGERS, clock::now(), 1) {
            return Some(std::mem::take(omitted));
        }
        *omitted += 1;
        None
    }
}

/// The record of one call.
pub(crate) struct Note<'a> {
    server: &'a Server,
    call: &'a Call,
    head: &'a Parts,
    request_id: &'a str,
    /// Until it is handed over.
    record: Option<Record>,
    /// Who changes something, until it is known whether it did.
    caller: Option<Caller>,
}

impl<'a> Note<'a> {
    pub(crate) fn begin(server: &'a Server, call: &'a Call, head: &'a Parts, request_id: &'a str) -> Self {
        let mut note = Self { server, call, head, request_id, record: None, caller: None };
        note.record = Some(note.start());
        note
    }

    fn start(&self) -> Record {
        with_request(self.server, self.head, self.request_id, |request| Record::begin(self.call, request))
    }

    /// Who calls.
    ///
    /// # Errors
    /// `ServiceUnavailable` if what is called must be recorded and there is no room for that.
    pub(crate) fn caller(&mut self, caller: &Caller) -> Result<(), Fault> {
        let must = event::weight(self.call) == Weight::Must;
        if let Some(record) = &mut self.record {
            record.caller(caller);
        }
        self.caller = must.then(|| caller.clone());
        match must && self.server.audit.is_full() {
            true => Err(Full.into()),
            false => Ok(()),
        }
    }

    /// What is asked for.
    pub(crate) fn input(&mut self, caller: &Caller, input: &Value) {
        let Some(record) = &mut self.record else { return };
        let place = Place::new(&self.server.settings.region, &caller.account);
        let asked = |state: &State| {
            let asked = Asked { place: &place, state, input, user: access::user(caller) };
            access::resources(self.call.service.name, self.call.operation.name, &asked)
        };
        // What is only described or listed is in the parameters, and often called.
        let named = event::tells_of_resources(self.call);
        let resources = if named { asked(&self.server.store.read()) } else { Vec::new() };
        record.parameters(input, resources);
    }

    /// What the handler decided. What must be written before the answer is sent is returned.
    pub(crate) fn carried_out(&mut self, answer: &Answer) -> Option<Ticket> {
        let has_output = self.call.operation.output.is_some();
        let outcome = answer.as_ref().map(|answer| Some(&**answer as &dyn Output).filter(|_| has_output));
        let weight = if answer.is_ok() { event::weight(self.call) } else { of_refusal(self.server) };
        self.hand_over(outcome, weight)
    }

    /// What was decided is durable.
    pub(crate) fn settled(&mut self) {
        self.caller = None;
    }

    /// The call failed: before its handler was asked, or because what it decided could not be kept. What must be written
    /// before the answer is sent is returned.
    pub(crate) fn failed(&mut self, fault: &Fault) -> Option<Ticket> {
        if let Some(caller) = self.caller.take().filter(|_| self.record.is_none()) {
            let mut record = self.start();
            record.caller(&caller);
            self.record = Some(record);
        }
        if self.record.as_ref()?.is_identified() {
            return self.hand_over(Err(fault), of_refusal(self.server));
        }
        let omitted = self.server.strangers.admit()?;
        tell_of_omitted(self.server, omitted);
        self.hand_over(Err(fault), Weight::Light)
    }

    fn hand_over(&mut self, outcome: Result<Option<&dyn Output>, &Fault>, weight: Weight) -> Option<Ticket> {
        let record = self.record.take()?;
        push(self.server, self.head, record, outcome, weight)
    }
}

/// What is refused to somebody known must be recorded, unless there is no room: nobody looks for that before he refuses.
fn of_refusal(server: &Server) -> Weight {
    if server.audit.is_full() { Weight::Light } else { Weight::Must }
}

/// Records a request that is for no operation.
pub(crate) fn turned_away(server: &Server, head: &Parts, refusal: &Refusal, request_id: &str) {
    let Some(omitted) = server.strangers.admit() else { return };
    tell_of_omitted(server, omitted);
    let service = refusal.service.map(|service| service.name);
    let record = with_request(server, head, request_id, |request| Record::nameless(service, request));
    push(server, head, record, Err(&refusal.fault), Weight::Light);
}

/// Records that somebody opened a node's channel, or why he did not. `action` is `ecs:Poll` or `ecs:StartTelemetrySession`.
/// What must be written before he is refused is returned.
pub(crate) fn knocked(
    server: &Server,
    head: &Parts,
    action: &str,
    caller: Option<&Caller>,
    refused: Option<&Fault>,
) -> Option<Ticket> {
    let mut record = with_request(server, head, &clock::mint().uuid(), |request| Record::channel(action, request));
    match caller {
        Some(caller) => record.caller(caller),
        None => tell_of_omitted(server, server.strangers.admit()?),
    }
    let weight = if refused.is_some() && caller.is_some() { of_refusal(server) } else { Weight::Light };
    push(server, head, record, refused.map_or(Ok(None), Err), weight)
}

/// Records that a task's role was assumed for it, or why not. To be written before the node hears of it.
pub(crate) fn lent(server: &Server, lending: &Lending<'_>) -> Option<Ticket> {
    let account = Arn::parse(lending.task).map_or(server.settings.account.as_str(), |arn| arn.account);
    tell(server, account, Weight::Must, |of| node_event::lent(lending, of))
}

/// Records that messages of a node were dropped on one of its channels (`ACS` or `TCS`), if some were, and logs it.
pub(crate) fn dropped(server: &Server, node: &str, channel: &str, dropped: Option<Dropped>) {
    let Some(dropped) = dropped else { return };
    tracing::warn!(node, channel, ?dropped, "messages of a node were dropped");
    let arn = server.store.read().nodes.get(node).map(|node| node.arn.clone());
    let (arn, account) = (arn.unwrap_or_default(), server.settings.account.as_str());
    tell(server, account, of_refusal(server), |of| node_event::dropped(&dropped, &arn, channel, of));
}

/// Records what no call did.
fn tell(server: &Server, account: &str, weight: Weight, event: impl FnOnce(&Notice<'_>) -> Vec<u8>) -> Option<Ticket> {
    let (now, event_id) = (clock::now(), clock::mint().uuid());
    let event = event(&Notice { now, region: &server.settings.region, account, event_id: &event_id });
    server.audit.push(now.millis(), &event, weight)
}

fn push(
    server: &Server,
    head: &Parts,
    record: Record,
    outcome: Result<Option<&dyn Output>, &Fault>,
    weight: Weight,
) -> Option<Ticket> {
    let now = clock::now();
    let claimed = if record.is_identified() { None } else { Scope::of_request(head) };
    let claimed = claimed.as_ref().map(|scope| &*scope.access_key);
    let event = record.finish(now, outcome, claimed, server.settings.account.as_str());
    server.audit.push(now.millis(), &event, weight)
}

fn tell_of_omitted(server: &Server, omitted: u64) {
    if omitted == 0 {
        return;
    }
    let (now, event_id) = (clock::now(), clock::mint().uuid());
    let (region, account) = (&*server.settings.region, server.settings.account.as_str());
    let event = event::refusals(omitted, &Notice { now, region, account, event_id: &event_id });
    server.audit.push(now.millis(), &event, Weight::Light);
}

fn with_request<T>(server: &Server, head: &Parts, id: &str, make: impl FnOnce(&Request<'_>) -> T) -> T {
    let event_id = clock::mint().uuid();
    let source = head.extensions.get().map_or_else(String::new, |peer: &Peer| peer.to_string());
    let user_agent = text(&head.headers);
    make(&Request { id, event_id: &event_id, region: &server.settings.region, source: &source, user_agent })
}

fn text(headers: &HeaderMap) -> &str {
    headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
