//! The messages between control plane and agents: the forms of Amazon's ECS agent protocol (ACS and TCS websockets), and
//! what Longshore adds to them; and those between control plane and edges. Pure: building and reading messages, no sockets.
//!
//! A frame is text: `{"type": "PayloadMessage", "message": {…}}`. Members that a side does not know are ignored, so that
//! Amazon's agent reads our payloads and we read its reports. What our own node needs beyond Amazon's forms rides in
//! further members (marked *addition*) of the same messages.

pub mod acs;
pub mod balancing;
pub mod credentials;
pub mod desk;
pub mod docker;
pub mod edge;
pub mod ledger;
pub mod order;
pub mod phase;
pub mod tcs;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Words that nodes share with the control plane.
pub use longshore_model::{network::private_dns_name, node::FARGATE_CLUSTER};

/// Paths of the control plane below which nodes and operators call, and nobody's web page or task.
pub const INNER_PATHS: [&str; 4] = ["/acs", "/tcs", "/edge", "/_longshore"];

/// Bytes of a request's head that the control plane reads.
pub const LONGEST_HEAD: usize = 64 * 1024;

/// Largest frame that either side takes.
pub const MAX_FRAME: usize = 4 * 1024 * 1024;

/// Largest frame that an edge takes: a configuration comes whole.
pub const MAX_CONFIGURATION: usize = 256 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a frame is not of the form {{\"type\", \"message\"}}: {0}")]
    Frame(serde_json::Error),
    #[error("a {kind} does not read: {cause}")]
    Message { kind: String, cause: serde_json::Error },
    #[error("a {kind} does not read: {cause}")]
    Reports { kind: &'static str, cause: longshore_wire::Error },
    #[error("{count} reports came in one message, which takes {most}")]
    TooMany { count: usize, most: usize },
}

/// A message that may travel in a frame.
pub trait Message: Serialize + DeserializeOwned {
    /// The frame's `type`.
    const TYPE: &'static str;
}

/// A frame whose message has not been read yet.
#[derive(Debug, serde::Deserialize)]
pub struct Frame {
    #[serde(rename = "type")]
    pub kind: String,
    /// The message's text.
    #[serde(default = "nothing")]
    pub message: Box<RawValue>,
}

fn nothing() -> Box<RawValue> {
    RawValue::NULL.to_owned()
}

impl Frame {
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(Error::Frame)
    }

    pub fn read<M: Message>(self) -> Result<M, Error> {
        serde_json::from_str(self.message.get()).map_err(|cause| Error::Message { kind: self.kind, cause })
    }
}

/// The text of a frame.
pub fn frame<M: Message>(message: &M) -> String {
    #[derive(Serialize)]
    struct Raw<'m, M> {
        #[serde(rename = "type")]
        kind: &'static str,
        message: &'m M,
    }
    // Messages are plain structures with text keys, which always have a JSON form.
    serde_json::to_string(&Raw { kind: M::TYPE, message }).unwrap_or_default()
}

macro_rules! messages {
    ($($kind:ident,)*) => {
        $(impl $crate::Message for $kind {
            const TYPE: &'static str = stringify!($kind);
        })*
    };
}
pub(crate) use messages;
