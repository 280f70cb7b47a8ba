//! Bytes to typed shapes and back: the AWS protocols, signatures and faults. Knows no service.
//!
//! A service model is a table of [`ShapeDef`]s. Decoding is driven by the table and yields a [`Value`] tree, whose
//! structures are positional; typed structs are read from it by [`Shape::from_value`]. Encoding is the other way round:
//! typed structs write themselves to a [`Writer`], and each protocol is one writer. So a protocol never multiplies by
//! shape, and a reply is written without an intermediate tree.
//!
//! ```text
//!     bytes ── protocol::decode(table) ──► Value ── validate ── Shape::from_value ──► struct
//!     struct ── Shape::write ──► Writer (JSON, XML) ──► bytes
//! ```
//!
//! The same machinery keeps hand-made records ([`record!`], [`string_enum!`], [`union!`]) as JSON ([`json`]).
//!
//! Left out: transport, clocks, randomness, files. All of those come in as arguments.

pub mod json;
pub mod protocol;
pub mod sigv4;
pub mod validate;

mod error;
mod fault;
mod macros;
mod operation;
mod scalar;
mod shape;
mod typed;
mod value;
mod writer;

pub use error::{Error, Result};
pub use fault::Fault;
#[doc(hidden)]
pub use macros::write_member;
pub use operation::{OperationDef, ProtocolKind, ServiceDef};
pub use scalar::{Blob, Document, Timestamp};
pub use shape::{Constraints, FaultDef, Kind, MemberDef, ShapeDef, ShapeRef, TimestampFormat};
pub use typed::Shape;
pub use value::{Fields, Structure, Value};
pub use writer::Writer;
