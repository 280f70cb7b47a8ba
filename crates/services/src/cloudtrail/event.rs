//! One call as CloudTrail records it, written while the call goes on.
//!
//! ```text
//!     Record::begin ─► caller ─► parameters ─► (handler) ─► finish: what came of it
//! ```
//! A record may be finished at any stage: what is not known by then is not in it. Read-only calls have no
//! `responseElements`, as in AWS.

use longshore_model::iam::Caller;
use longshore_store::audit::{Happening, Weight};
use longshore_wire::json::JsonWriter;
use longshore_wire::protocol::{Call, Output};
use longshore_wire::{Fault, Timestamp, TimestampFormat, Value, Writer as _};

use super::identity::{self, pair};
use super::redact::Redacted;
use super::resource;

/// The version of CloudTrail's format.
const VERSION: &str = "1.11";

/// Bytes of an error's words and of what a client calls itself.
pub(super) const WORDS: usize = 1024;
const AGENT: usize = 256;

/// Read-only operations whose names do not say so.
const READS: &[(&str, &str)] = &[
    ("ecr", "BatchCheckLayerAvailability"),
    ("ecs", "DiscoverPollEndpoint"),
    ("kms", "Decrypt"),
    ("kms", "Encrypt"),
    ("kms", "GenerateDataKey"),
    ("kms", "GenerateDataKeyWithoutPlaintext"),
    ("kms", "ReEncrypt"),
    ("sts", "AssumeRole"),
];

const READ_VERBS: &[&str] =
    &["BatchGet", "Describe", "Filter", "Get", "List", "Lookup", "Search", "Simulate", "Test", "Verify"];

/// What gives somebody a credential or the value of a secret is read-only to CloudTrail, and must be recorded all the same.
const REVEALING: &[(&str, &str)] = &[
    ("ecr", "GetAuthorizationToken"),
    ("kms", "Decrypt"),
    ("kms", "GenerateDataKey"),
    ("kms", "GenerateDataKeyWithoutPlaintext"),
    ("kms", "ReEncrypt"),
    ("secretsmanager", "BatchGetSecretValue"),
    ("secretsmanager", "GetSecretValue"),
    ("ssm", "GetParameter"),
    ("ssm", "GetParameterHistory"),
    ("ssm", "GetParameters"),
    ("ssm", "GetParametersByPath"),
    ("sts", "AssumeRole"),
    ("sts", "GetSessionToken"),
];

/// What moves data and manages nothing. It is recorded, but no trail and no look-up shows it.
const DATA: &[(&str, &str)] = &[("logs", "PutLogEvents")];

/// Whether a call changes nothing, as CloudTrail sees it.
pub fn is_read(call: &Call) -> bool {
    let name = call.operation.name;
    let verb = READ_VERBS.iter().any(|verb| name.starts_with(verb));
    call.operation.read_only || verb || READS.contains(&(call.service.name, name))
}

/// Whether a record tells of the resources of its call: as in AWS not of one that only describes or lists.
pub fn tells_of_resources(call: &Call) -> bool {
    !["Describe", "List"].iter().any(|verb| call.operation.name.starts_with(verb))
}

fn is_data(call: &Call) -> bool {
    DATA.contains(&(call.service.name, call.operation.name))
}

/// Whether the call's record must be written before the call is answered.
pub fn weight(call: &Call) -> Weight {
    let revealing = REVEALING.contains(&(call.service.name, call.operation.name));
    match !revealing && (is_read(call) || is_data(call)) {
        true => Weight::Light,
        false => Weight::Must,
    }
}

/// What is known of a request before it is looked into.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub id: &'a str,
    /// Unique to the record.
    pub event_id: &'a str,
    pub region: &'a str,
    /// Address of the peer.
    pub source: &'a str,
    pub user_agent: &'a str,
}

/// A record in the making.
pub struct Record {
    json: JsonWriter,
    read_only: bool,
    identified: bool,
    has_parameters: bool,
    cut: bool,
    account: Option<String>,
    resources: Vec<String>,
}

impl Record {
    /// The record of a call of an operation.
    pub fn begin(call: &Call, request: &Request<'_>) -> Self {
        let source = format!("{}.amazonaws.com", call.service.name);
        let mut record = Self::named(&source, call.operation.name, request, is_read(call));
        record.category(!is_data(call));
        record
    }

    /// The record of a node that opens one of its channels, or would: `ecs:Poll`, `ecs:StartTelemetrySession` or
    /// `longshore:StartEdgeSession`.
    pub fn channel(action: &str, request: &Request<'_>) -> Self {
        let (service, name) = action.split_once(':').unwrap_or(("longshore", action));
        let mut record = Self::named(&format!("{service}.amazonaws.com"), name, request, true);
        record.category(true);
        record
    }

    /// The record of a request that is for no operation.
    pub fn nameless(service: Option<&str>, request: &Request<'_>) -> Self {
        let source =
            service.map_or_else(|| "longshore.amazonaws.com".to_owned(), |name| format!("{name}.amazonaws.com"));
        let mut record = Self::named(&source, "UnknownOperation", request, true);
        record.category(true);
        record
    }

    fn named(source: &str, name: &str, request: &Request<'_>, read_only: bool) -> Self {
        let mut json = JsonWriter::with_room(if read_only { 1536 } else { 4096 });
        json.map(0);
        pair(&mut json, "eventVersion", VERSION);
        pair(&mut json, "eventSource", source);
        pair(&mut json, "eventName", name);
        pair(&mut json, "awsRegion", request.region);
        pair(&mut json, "sourceIPAddress", request.source);
        pair(&mut json, "userAgent", cut(request.user_agent, AGENT));
        pair(&mut json, "requestID", request.id);
        pair(&mut json, "eventID", request.event_id);
        json.key("readOnly");
        json.boolean(read_only);
        pair(&mut json, "eventType", "AwsApiCall");
        let (account, resources) = (None, Vec::new());
        Self { json, read_only, identified: false, has_parameters: false, cut: false, account, resources }
    }

    fn category(&mut self, management: bool) {
        self.json.key("managementEvent");
        self.json.boolean(management);
        pair(&mut self.json, "eventCategory", if management { "Management" } else { "Data" });
    }

    /// Who calls.
    pub fn caller(&mut self, caller: &Caller) {
        self.json.key("userIdentity");
        identity::write(&mut self.json, caller);
        self.account = Some(caller.account.to_string());
        self.identified = true;
    }

    /// Whether it says who calls.
    pub fn is_identified(&self) -> bool {
        self.identified
    }

    /// What is asked for, and the ARNs it is about.
    pub fn parameters(&mut self, input: &Value, resources: Vec<String>) {
        self.json.key("requestParameters");
        let mut unused = Vec::new();
        let mut redacted = Redacted::new(&mut self.json, &mut unused);
        input.write(&mut redacted);
        self.cut |= redacted.cut;
        self.has_parameters = true;
        self.resources = resources;
    }

    /// The whole event. `claimed` is the access key that somebody unknown says he has; `account` whose record it is where
    /// nobody is known to have called.
    pub fn finish(
        mut self,
        now: Timestamp,
        outcome: Result<Option<&dyn Output>, &Fault>,
        claimed: Option<&str>,
        account: &str,
    ) -> Vec<u8> {
        if !self.identified {
            self.json.key("userIdentity");
            identity::write_unknown(&mut self.json, claimed);
        }
        if !self.has_parameters {
            self.json.key("requestParameters");
            self.json.null();
        }
        self.outcome(outcome);
        self.resources();
        pair(&mut self.json, "eventTime", &seconds(now));
        if self.cut {
            self.json.key("additionalEventData");
            self.json.map(0);
            self.json.key("omitted");
            self.json.boolean(true);
            self.json.end();
        }
        pair(&mut self.json, "recipientAccountId", self.account.as_deref().unwrap_or(account));
        self.json.end();
        self.json.into_bytes()
    }

    fn outcome(&mut self, outcome: Result<Option<&dyn Output>, &Fault>) {
        if let Err(fault) = outcome {
            pair(&mut self.json, "errorCode", fault.code);
            pair(&mut self.json, "errorMessage", cut(&fault.message, WORDS));
        }
        self.json.key("responseElements");
        match outcome {
            Ok(Some(answer)) if !self.read_only => {
                let mut redacted = Redacted::new(&mut self.json, &mut self.resources);
                answer.write_to(&mut redacted);
                self.cut |= redacted.cut;
            }
            _ => self.json.null(),
        }
    }

    fn resources(&mut self) {
        if self.resources.is_empty() {
            return;
        }
        self.json.key("resources");
        self.json.list(0);
        for arn in &self.resources {
            resource::write(&mut self.json, arn);
        }
        self.json.end();
    }
}

/// What happened to the log itself, as an event of the account that is configured.
pub fn happening(happening: Happening, now: Timestamp, region: &str, account: &str, event_id: &str) -> Vec<u8> {
    let (name, what, count) = match happening {
        Happening::Cut { bytes } => ("AuditLogTailCut", "bytes", bytes),
        Happening::Lost { records } => ("AuditRecordsLost", "records", records),
    };
    notice(name, what, count, &Notice { now, region, account, event_id })
}

/// So many requests of unknown callers were refused and not recorded one by one.
pub fn refusals(requests: u64, notice_of: &Notice<'_>) -> Vec<u8> {
    notice("RefusedRequestsOmitted", "requests", requests, notice_of)
}

/// What a record of Longshore's own says besides what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    pub now: Timestamp,
    pub region: &'a str,
    pub account: &'a str,
    pub event_id: &'a str,
}

fn notice(name: &str, what: &str, count: u64, of: &Notice<'_>) -> Vec<u8> {
    let mut json = begin("cloudtrail.amazonaws.com", name, of);
    kind(&mut json, "AwsServiceEvent", false);
    json.key("serviceEventDetails");
    json.map(0);
    json.key(what);
    json.integer(i64::try_from(count).unwrap_or(i64::MAX));
    json.end();
    end(json, of)
}

/// An event that is no record of a call.
pub(super) fn begin(source: &str, name: &str, of: &Notice<'_>) -> JsonWriter {
    let mut json = JsonWriter::with_room(1536);
    json.map(0);
    pair(&mut json, "eventVersion", VERSION);
    pair(&mut json, "eventSource", source);
    pair(&mut json, "eventName", name);
    pair(&mut json, "eventTime", &seconds(of.now));
    pair(&mut json, "awsRegion", of.region);
    pair(&mut json, "eventID", of.event_id);
    json
}

/// Which of CloudTrail's kinds it is.
pub(super) fn kind(json: &mut JsonWriter, kind: &str, read_only: bool) {
    pair(json, "eventType", kind);
    json.key("readOnly");
    json.boolean(read_only);
    json.key("managementEvent");
    json.boolean(true);
    pair(json, "eventCategory", "Management");
}

pub(super) fn end(mut json: JsonWriter, of: &Notice<'_>) -> Vec<u8> {
    pair(&mut json, "recipientAccountId", of.account);
    json.end();
    json.into_bytes()
}

/// `2024-05-01T00:00:00Z`: CloudTrail's times have no fractions.
fn seconds(now: Timestamp) -> String {
    Timestamp::from_millis(now.millis().div_euclid(1000) * 1000).format(TimestampFormat::Iso8601)
}

pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
