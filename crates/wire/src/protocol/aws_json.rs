//! awsJson 1.0 and 1.1: the operation in `X-Amz-Target`, the input as a JSON body, errors by `__type`.

use super::{Output, Protocol, Reply, Target, respond};
use crate::json::{JsonWriter, decode_within};
use crate::{Fault, MemberDef, ProtocolKind, ServiceDef, ShapeDef, ShapeRef, Value, Writer};
use http::request::Parts;

/// The codec; the two versions differ in their media type only.
pub(super) struct AwsJson {
    kind: ProtocolKind,
    media_type: &'static str,
}

impl AwsJson {
    pub(super) const V1_0: AwsJson =
        AwsJson { kind: ProtocolKind::AwsJson10, media_type: "application/x-amz-json-1.0" };
    pub(super) const V1_1: AwsJson =
        AwsJson { kind: ProtocolKind::AwsJson11, media_type: "application/x-amz-json-1.1" };
}

/// A batch of log events may be 1 MiB of text, several times that when escaped.
pub(super) const BODY_LIMIT: usize = 10 << 20;

/// The values made of one body. The largest input AWS takes, 10,000 log events, comes to 90,000.
const BUDGET: usize = 250_000;

static FAULT: ShapeDef = ShapeDef::structure("Fault");
static TYPE: MemberDef = MemberDef::new("__type", ShapeRef::of::<String>());
static MESSAGE: MemberDef = MemberDef::new("message", ShapeRef::of::<String>());
static CAPITAL_MESSAGE: MemberDef = MemberDef::new("Message", ShapeRef::of::<String>());

impl Protocol for AwsJson {
    fn kind(&self) -> ProtocolKind {
        self.kind
    }

    fn body_limit(&self) -> usize {
        BODY_LIMIT
    }

    fn decode(&self, _: &Parts, body: &[u8], input: &'static ShapeDef) -> Result<Value, Fault> {
        decode_within(body, input, BUDGET).map_err(|error| Fault::serialization(error.to_string()))
    }

    fn encode(&self, _: Target<'_>, output: Option<&dyn Output>, request_id: &str) -> Reply {
        let mut writer = JsonWriter::with_room(2048);
        if let Some(output) = output {
            output.write_to(&mut writer);
        }
        respond(200, self.media_type, request_id, writer.into_bytes())
    }

    fn encode_fault(&self, _: Option<&ServiceDef>, fault: &Fault, request_id: &str) -> Reply {
        let mut writer = JsonWriter::default();
        writer.structure(&FAULT);
        writer.member(&TYPE);
        writer.string(fault.name);
        if !fault.message.is_empty() {
            writer.member(if fault.capital_message { &CAPITAL_MESSAGE } else { &MESSAGE });
            writer.string(&fault.message);
        }
        for (member, value) in &fault.members {
            writer.member(member);
            value.write(&mut writer);
        }
        writer.end();
        let mut reply = respond(fault.status, self.media_type, request_id, writer.into_bytes());
        reply.headers_mut().insert("x-amzn-errortype", http::HeaderValue::from_static(fault.name));
        reply
    }
}
