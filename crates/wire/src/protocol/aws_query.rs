//! awsQuery: the operation and its input as a form, the output as XML inside `<OperationResult>`.
//!
//! Names are dotted (`PolicyArns.member.1.arn`); lists are numbered from one, maps are numbered entries of key and value.

use super::form::{self, Dialect};
use super::xml::{XmlWriter, escape};
use super::{Output, Protocol, Reply, Target, respond};
use crate::{Fault, MemberDef, ProtocolKind, ServiceDef, ShapeDef, Value};
use http::request::Parts;

pub(super) struct AwsQuery;

/// Inputs are short; the longest AWS takes are policies of some kilobytes.
pub(super) const BODY_LIMIT: usize = 1 << 20;

impl Protocol for AwsQuery {
    fn kind(&self) -> ProtocolKind {
        ProtocolKind::AwsQuery
    }

    fn body_limit(&self) -> usize {
        BODY_LIMIT
    }

    fn decode(&self, head: &Parts, body: &[u8], input: &'static ShapeDef) -> Result<Value, Fault> {
        form::decode(head, body, input, &QueryNames)
    }

    fn encode(&self, target: Target<'_>, output: Option<&dyn Output>, request_id: &str) -> Reply {
        let response = format!("{}Response", target.operation.name);
        let default = format!("{}Result", target.operation.name);
        let result = target.operation.result_wrapper.unwrap_or(&default);
        let mut writer = XmlWriter::after(open_root(&response, target.service.xml_namespace));
        if let Some(output) = output {
            writer.open(result);
            output.write_to(&mut writer);
            writer.close(result);
        }
        writer.open("ResponseMetadata");
        writer.element("RequestId", request_id);
        writer.close("ResponseMetadata");
        writer.close(&response);
        respond(200, "text/xml", request_id, writer.into_text().into_bytes())
    }

    fn encode_fault(&self, service: Option<&ServiceDef>, fault: &Fault, request_id: &str) -> Reply {
        let namespace = service.map_or("", |service| service.xml_namespace);
        let mut writer = XmlWriter::after(open_root("ErrorResponse", namespace));
        writer.open("Error");
        writer.element("Type", if fault.sender { "Sender" } else { "Receiver" });
        writer.element("Code", fault.code);
        if !fault.message.is_empty() {
            writer.element("Message", &fault.message);
        }
        write_members(fault, &mut writer);
        writer.close("Error");
        writer.element("RequestId", request_id);
        writer.close("ErrorResponse");
        respond(fault.status, "text/xml", request_id, writer.into_text().into_bytes())
    }
}

/// `<name xmlns="namespace">`, without the attribute when there is no namespace.
pub(super) fn open_root(name: &str, namespace: &str) -> String {
    if namespace.is_empty() {
        return format!("<{name}>");
    }
    let mut text = format!("<{name} xmlns=\"");
    escape(&mut text, namespace);
    text.push_str("\">");
    text
}

/// What a fault carries besides its message, as elements.
pub(super) fn write_members(fault: &Fault, writer: &mut XmlWriter) {
    for (member, value) in &fault.members {
        crate::Writer::member(writer, member);
        value.write(writer);
    }
}

struct QueryNames;

impl Dialect for QueryNames {
    fn member(&self, member: &'static MemberDef) -> String {
        let shape = member.shape.get();
        let flattened = member.flattened || shape.flattened;
        match shape.element_name {
            Some(name) if flattened && shape.kind == crate::Kind::List => name.to_owned(),
            _ => member.wire_name().to_owned(),
        }
    }

    fn list(&self, shape: &'static ShapeDef, flattened: bool) -> Option<&'static str> {
        (!flattened).then_some(shape.element_name.unwrap_or("member"))
    }

    fn map(&self, flattened: bool) -> Option<&'static str> {
        (!flattened).then_some("entry")
    }
}
