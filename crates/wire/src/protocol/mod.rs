//! The AWS protocols: each a file, each one codec for all shapes.
//!
//! A request is routed ([`route()`]) by its head and, for the query protocols, its form; then decoded to a
//! [`Value`](crate::Value), checked ([`mod@crate::validate`]), carried out, and the typed output encoded. All of it is in
//! [`Call`]:
//!
//! ```text
//!     limit = body_limit(&head)            read at most that, else Fault::too_large
//!     call  = route(services, &head, &body)?
//!     input = call.input(&head, &body)?    decoded and checked
//!     reply = call.reply(Some(&output), id)   or call.fault(&fault, id)
//! ```
//!
//! A further protocol implements [`Protocol`] in a file of its own and gets a line in [`codec`].

mod aws_json;
mod aws_query;
mod ec2_query;
mod form;
mod route;
mod xml;

pub(crate) use ec2_query::capitalise;
pub use route::{Refusal, body_limit, route, unserved};

use crate::validate::validate;
use crate::{Fault, OperationDef, ProtocolKind, ServiceDef, Shape, ShapeDef, Value, Writer};
use http::request::Parts;

/// A reply to be sent: status, headers and whole body.
pub type Reply = http::Response<Vec<u8>>;

/// Something that can be written by a protocol: every typed shape, and [`Value`].
pub trait Output {
    fn write_to(&self, writer: &mut dyn Writer);
}

impl<T: Shape> Output for T {
    fn write_to(&self, writer: &mut dyn Writer) {
        self.write(writer);
    }
}

impl Output for Value {
    fn write_to(&self, writer: &mut dyn Writer) {
        self.write(writer);
    }
}

/// One protocol's codec.
pub trait Protocol: Sync {
    fn kind(&self) -> ProtocolKind;

    /// The largest body taken, in bytes.
    fn body_limit(&self) -> usize;

    /// The value of shape `input` in a request.
    ///
    /// # Errors
    /// A 4xx fault in the protocol's words if the request is not well-formed or not of the shape.
    fn decode(&self, head: &Parts, body: &[u8], input: &'static ShapeDef) -> Result<Value, Fault>;

    /// A reply of status 200. `None` is the output of an operation that has none.
    fn encode(&self, target: Target<'_>, output: Option<&dyn Output>, request_id: &str) -> Reply;

    /// An error reply.
    fn encode_fault(&self, service: Option<&ServiceDef>, fault: &Fault, request_id: &str) -> Reply;
}

/// What a reply is for.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub service: &'a ServiceDef,
    pub operation: &'a OperationDef,
}

/// The codec of a protocol.
pub fn codec(kind: ProtocolKind) -> &'static dyn Protocol {
    match kind {
        ProtocolKind::AwsJson10 => &aws_json::AwsJson::V1_0,
        ProtocolKind::AwsJson11 => &aws_json::AwsJson::V1_1,
        ProtocolKind::AwsQuery => &aws_query::AwsQuery,
        ProtocolKind::Ec2Query => &ec2_query::Ec2Query,
    }
}

/// A routed request: what is called, and in which protocol.
#[derive(Clone, Copy)]
pub struct Call {
    pub service: &'static ServiceDef,
    pub operation: &'static OperationDef,
    pub protocol: &'static dyn Protocol,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} over {:?}", self.service.name, self.operation.name, self.protocol.kind())
    }
}

impl Call {
    /// The input, decoded and checked against the model.
    ///
    /// # Errors
    /// A 4xx fault with the service's code and AWS's words.
    pub fn input(&self, head: &Parts, body: &[u8]) -> Result<Value, Fault> {
        let def = self.operation.input.map_or(<()>::def(), crate::ShapeRef::get);
        let input = self.protocol.decode(head, body, def)?;
        let violations = validate(&input, def);
        if violations.is_empty() { Ok(input) } else { Err(Fault::validation(self.service, &violations)) }
    }

    /// The input as a struct.
    ///
    /// # Errors
    /// As [`Call::input`]; and if `T` is not the operation's input.
    pub fn typed_input<T: Shape>(&self, head: &Parts, body: &[u8]) -> Result<T, Fault> {
        T::from_value(self.input(head, body)?).map_err(|error| Fault::serialization(error.to_string()))
    }

    /// The reply that carries `output`. What is given for an operation without output is not written.
    pub fn reply(&self, output: Option<&dyn Output>, request_id: &str) -> Reply {
        let output = output.filter(|_| self.operation.output.is_some());
        let target = Target { service: self.service, operation: self.operation };
        self.protocol.encode(target, output, request_id)
    }

    /// The reply that carries a fault.
    pub fn fault(&self, fault: &Fault, request_id: &str) -> Reply {
        self.protocol.encode_fault(Some(self.service), fault, request_id)
    }
}

/// A reply with a body. Header values that are no valid header text are left out.
fn respond(status: u16, content_type: &'static str, request_id: &str, body: Vec<u8>) -> Reply {
    let mut reply = Reply::new(body);
    *reply.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Ok(id) = http::HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    reply
}
