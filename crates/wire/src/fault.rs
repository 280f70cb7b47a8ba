//! Errors as a client sees them: code, status, message, and what else the error shape carries.

use crate::validate::Violation;
use crate::{FaultDef, MemberDef, OperationDef, ProtocolKind, ServiceDef, Value};

/// An error reply. Each protocol has its own spelling of it.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The error shape's name, the code of JSON protocols.
    pub name: &'static str,
    /// The code of query protocols; mostly the name.
    pub code: &'static str,
    /// Whether JSON protocols spell the message's member `Message` rather than `message`.
    pub capital_message: bool,
    /// Words for the caller; left out when empty. Must hold nothing the caller may not know.
    pub message: String,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is to blame.
    pub sender: bool,
    /// What the error shape carries besides its message.
    pub members: Vec<(&'static MemberDef, Value)>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// An error of a service's model.
    pub fn new(def: &'static FaultDef, message: impl Into<String>) -> Self {
        Fault {
            name: def.name,
            code: def.code,
            capital_message: def.message == "Message",
            message: message.into(),
            status: def.status,
            sender: def.sender,
            members: Vec::new(),
        }
    }

    /// An error that no model lists: those common to all services.
    pub fn common(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        Fault { name: code, code, capital_message: false, message, status, sender: status < 500, members: Vec::new() }
    }

    /// Adds a further member. One that `def` does not list is left out: it would have no place in the error's shape.
    pub fn with(mut self, def: &'static FaultDef, name: &str, value: Value) -> Self {
        if let Some(member) = def.members.iter().find(|member| member.name == name) {
            self.members.push((member, value));
        }
        self
    }

    /// A JSON body that is none, or not of the input's shape.
    pub fn serialization(message: impl Into<String>) -> Self {
        Fault::common("SerializationException", 400, message)
    }

    /// A query that is none, or not of the input's shape.
    pub fn malformed_input(message: impl Into<String>) -> Self {
        Fault::common("MalformedInput", 400, message)
    }

    /// A JSON request for no operation of any service.
    pub fn unknown_operation() -> Self {
        Fault::common("UnknownOperationException", 400, "The requested operation is not recognized by the service.")
    }

    /// A query request for no operation of the service, or without saying its version.
    pub fn invalid_action(action: &str, version: Option<&str>) -> Self {
        let version = version.unwrap_or("NO_VERSION_SPECIFIED");
        Fault::common(
            "InvalidAction",
            400,
            format!("Could not find operation {} for version {}", excerpt(action), excerpt(version)),
        )
    }

    /// A query request without an operation.
    pub fn missing_action() -> Self {
        Fault::common("MissingAction", 400, "The request must contain the parameter Action")
    }

    /// A body beyond the protocol's limit, in bytes.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("The request body is larger than {limit} bytes");
        Fault::common("RequestEntityTooLargeException", 413, message)
    }

    /// A body in an encoding that is not taken.
    pub fn unsupported_encoding() -> Self {
        Fault::common("UnsupportedMediaTypeException", 415, "The request's Content-Encoding is not supported")
    }

    /// An operation AWS has and Longshore does not, yet. AWS has no such error; this one says what is the matter.
    pub fn not_implemented(service: &ServiceDef, operation: &OperationDef) -> Self {
        Fault::common(
            "UnsupportedOperationException",
            400,
            format!("Longshore does not implement {}:{} yet", service.name, operation.name),
        )
    }

    /// A service AWS has and Longshore does not, yet.
    pub fn service_not_implemented(service: &str) -> Self {
        let message = format!("Longshore does not implement {} yet", excerpt(service));
        Fault::common("UnsupportedOperationException", 400, message)
    }

    /// Our own failure. The cause goes to the log, not to the caller.
    pub fn internal() -> Self {
        Fault::common("InternalFailure", 500, "The request processing has failed because of an unknown error")
    }

    /// Violations of the model, in the words and with the code of the service; `violations` must not be empty.
    pub fn validation(service: &ServiceDef, violations: &[Violation]) -> Self {
        if service.protocols.contains(&ProtocolKind::Ec2Query) {
            return ec2_validation(service, violations);
        }
        let missing = violations.iter().any(Violation::is_missing);
        let code = if missing { service.missing_code } else { service.validation_code };
        Fault::common(code, 400, crate::validate::summary(violations))
    }
}

/// EC2 reports the first violation only, in words of its own.
fn ec2_validation(service: &ServiceDef, violations: &[Violation]) -> Fault {
    let Some(first) = violations.iter().find(|one| one.is_missing()).or(violations.first()) else {
        return Fault::internal();
    };
    let path = crate::protocol::capitalise(&first.path);
    if first.is_missing() {
        let message = format!("The request must contain the parameter {path}");
        return Fault::common(service.missing_code, 400, message);
    }
    let message = format!("Value ({}) for parameter {path} is invalid. {}", first.value, first.constraint);
    Fault::common(service.validation_code, 400, message)
}

/// At most the first hundred characters: what callers send is echoed, but not without bound.
pub(crate) fn excerpt(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}
