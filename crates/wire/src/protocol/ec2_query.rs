//! ec2Query: awsQuery as EC2 speaks it. Lists are always flattened, names begin with a capital, replies have no result
//! element, and errors stand in a list.

use super::aws_query::{BODY_LIMIT, open_root, write_members};
use super::form::{self, Dialect};
use super::xml::XmlWriter;
use super::{Output, Protocol, Reply, Target, respond};
use crate::{Fault, MemberDef, ProtocolKind, ServiceDef, ShapeDef, Value};
use http::request::Parts;

pub(super) struct Ec2Query;

const MEDIA_TYPE: &str = "text/xml;charset=UTF-8";

/// EC2's replies begin with it, those of the other query services do not.
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn document(writer: XmlWriter) -> Vec<u8> {
    [DECLARATION, &writer.into_text()].concat().into_bytes()
}

impl Protocol for Ec2Query {
    fn kind(&self) -> ProtocolKind {
        ProtocolKind::Ec2Query
    }

    fn body_limit(&self) -> usize {
        BODY_LIMIT
    }

    fn decode(&self, head: &Parts, body: &[u8], input: &'static ShapeDef) -> Result<Value, Fault> {
        // EC2 has no error for a query that does not read.
        form::decode(head, body, input, &Ec2Names)
            .map_err(|fault| Fault::common("InvalidParameterValue", 400, fault.message))
    }

    fn encode(&self, target: Target<'_>, output: Option<&dyn Output>, request_id: &str) -> Reply {
        let response = format!("{}Response", target.operation.name);
        let mut writer = XmlWriter::after(open_root(&response, target.service.xml_namespace));
        writer.element("requestId", request_id);
        if let Some(output) = output {
            output.write_to(&mut writer);
        }
        writer.close(&response);
        respond(200, MEDIA_TYPE, request_id, document(writer))
    }

    fn encode_fault(&self, _: Option<&ServiceDef>, fault: &Fault, request_id: &str) -> Reply {
        let mut writer = XmlWriter::default();
        writer.open("Response");
        writer.open("Errors");
        writer.open("Error");
        writer.element("Code", fault.code);
        if !fault.message.is_empty() {
            writer.element("Message", &fault.message);
        }
        write_members(fault, &mut writer);
        writer.close("Error");
        writer.close("Errors");
        writer.element("RequestID", request_id);
        writer.close("Response");
        respond(fault.status, MEDIA_TYPE, request_id, document(writer))
    }
}

struct Ec2Names;

impl Dialect for Ec2Names {
    fn member(&self, member: &'static MemberDef) -> String {
        match (member.query_name, member.location_name) {
            (Some(name), _) => name.to_owned(),
            (None, Some(name)) => capitalise(name),
            (None, None) => capitalise(member.name),
        }
    }

    fn list(&self, _: &'static ShapeDef, _: bool) -> Option<&'static str> {
        None
    }

    fn map(&self, _: bool) -> Option<&'static str> {
        None
    }
}

/// EC2's names begin with a capital.
pub(crate) fn capitalise(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
