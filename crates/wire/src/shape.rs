//! The static tables that describe shapes: facts from a service model, or from [`record!`](crate::record).
//!
//! Tables are `const`-built statics and may be recursive: a reference to another shape is a [`ShapeRef`].

use crate::Shape;
use std::sync::OnceLock;

/// What a shape is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    /// 32 bits, signed.
    Integer,
    /// 64 bits, signed.
    Long,
    Float,
    Double,
    String,
    Blob,
    Timestamp,
    List,
    Map,
    Structure,
    /// Any JSON value.
    Document,
}

impl Kind {
    /// The name of the kind in the wording of AWS's errors.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Boolean => "Boolean",
            Kind::Integer => "Integer",
            Kind::Long => "Long",
            Kind::Float => "Float",
            Kind::Double => "Double",
            Kind::String => "String",
            Kind::Blob => "ByteBuffer",
            Kind::Timestamp => "Timestamp",
            Kind::List => "List",
            Kind::Map => "Map",
            Kind::Structure => "Structure",
            Kind::Document => "Document",
        }
    }
}

/// How a timestamp is spelt. Each protocol has a default that a member or shape may override.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since the epoch, with up to three decimals.
    EpochSeconds,
    /// `2015-01-25T08:00:00Z`
    Iso8601,
    /// `Sun, 25 Jan 2015 08:00:00 GMT`
    Rfc822,
}

/// What a value must satisfy. Lengths count characters of a string, bytes of a blob, entries of a list or map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constraints {
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// A regular expression that the whole string must match.
    pub pattern: Option<&'static str>,
    /// The values of an enumeration; empty when the string is free.
    pub values: &'static [&'static str],
}

impl Constraints {
    /// No constraint.
    pub const NONE: Constraints = Constraints { min: None, max: None, pattern: None, values: &[] };
}

/// An error shape: its code and HTTP status.
#[derive(Clone, Copy, Debug)]
pub struct FaultDef {
    /// The shape's name, which is the code in JSON protocols.
    pub name: &'static str,
    /// The code in query protocols, where it may differ from the name (`InvalidParameterValue`).
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is to blame (4xx) rather than the service (5xx).
    pub sender: bool,
    /// The message's member, which models spell `message` or `Message`.
    pub message: &'static str,
    /// What the error carries besides its message.
    pub members: &'static [MemberDef],
}

/// A reference to a shape; cheap to copy, possibly recursive.
#[derive(Clone, Copy)]
pub enum ShapeRef {
    /// A table.
    Table(&'static ShapeDef),
    /// The table of a Rust type.
    Typed(fn() -> &'static ShapeDef),
    /// A table that is made at run time and set before it is first followed (models read by tests).
    Late(&'static OnceLock<ShapeDef>),
}

impl ShapeRef {
    /// The table of a Rust type.
    pub const fn of<T: Shape>() -> Self {
        ShapeRef::Typed(T::def)
    }

    /// The table referred to.
    ///
    /// # Panics
    /// If a [`ShapeRef::Late`] was never set, which is a mistake of the program that made it.
    pub fn get(self) -> &'static ShapeDef {
        match self {
            ShapeRef::Table(def) => def,
            ShapeRef::Typed(def) => def(),
            ShapeRef::Late(cell) => cell.get().expect("a late shape is set before it is followed"),
        }
    }
}

impl std::fmt::Debug for ShapeRef {
    /// The name only: shapes recurse.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.get().name)
    }
}

/// One member of a structure.
#[derive(Clone, Copy, Debug)]
pub struct MemberDef {
    /// The name in the model and in JSON, unless `location_name` says otherwise.
    pub name: &'static str,
    /// The name on the wire when the model sets one.
    pub location_name: Option<&'static str>,
    /// The name in EC2 query requests when the model sets one.
    pub query_name: Option<&'static str>,
    pub shape: ShapeRef,
    pub required: bool,
    /// List or map entries stand directly in the structure (XML, query).
    pub flattened: bool,
    /// Clients fill it with a fresh token when the caller does not.
    pub idempotency_token: bool,
    pub timestamp_format: Option<TimestampFormat>,
}

impl MemberDef {
    /// An optional member under its own name.
    pub const fn new(name: &'static str, shape: ShapeRef) -> Self {
        MemberDef {
            name,
            location_name: None,
            query_name: None,
            shape,
            required: false,
            flattened: false,
            idempotency_token: false,
            timestamp_format: None,
        }
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn located(mut self, name: &'static str) -> Self {
        self.location_name = Some(name);
        self
    }

    pub const fn queried(mut self, name: &'static str) -> Self {
        self.query_name = Some(name);
        self
    }

    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    pub const fn token(mut self) -> Self {
        self.idempotency_token = true;
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp_format = Some(format);
        self
    }

    /// The name on the wire of JSON and XML.
    pub fn wire_name(&self) -> &'static str {
        self.location_name.unwrap_or(self.name)
    }
}

/// A shape: its kind, what it holds, what it must satisfy.
#[derive(Clone, Copy, Debug)]
pub struct ShapeDef {
    pub name: &'static str,
    pub kind: Kind,
    /// Of a structure, in the model's order. [`crate::Structure`] holds its values in this order.
    pub members: &'static [MemberDef],
    /// Of a list the element, of a map the value.
    pub element: Option<ShapeRef>,
    /// The element's or value's name on the wire, when the model sets one.
    pub element_name: Option<&'static str>,
    /// Of a map the key.
    pub key: Option<ShapeRef>,
    /// The key's name on the wire, when the model sets one.
    pub key_name: Option<&'static str>,
    pub flattened: bool,
    pub constraints: Constraints,
    pub timestamp_format: Option<TimestampFormat>,
    /// A structure of which exactly one member is set.
    pub union: bool,
    /// Never to be logged.
    pub sensitive: bool,
}

impl ShapeDef {
    /// A shape without members or constraints.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        ShapeDef {
            name,
            kind,
            members: &[],
            element: None,
            element_name: None,
            key: None,
            key_name: None,
            flattened: false,
            constraints: Constraints::NONE,
            timestamp_format: None,
            union: false,
            sensitive: false,
        }
    }

    pub const fn structure(name: &'static str) -> Self {
        ShapeDef::new(name, Kind::Structure)
    }

    pub const fn list(name: &'static str, element: ShapeRef) -> Self {
        let mut def = ShapeDef::new(name, Kind::List);
        def.element = Some(element);
        def
    }

    pub const fn map(name: &'static str, key: ShapeRef, value: ShapeRef) -> Self {
        let mut def = ShapeDef::new(name, Kind::Map);
        def.key = Some(key);
        def.element = Some(value);
        def
    }

    pub const fn members(mut self, members: &'static [MemberDef]) -> Self {
        self.members = members;
        self
    }

    pub const fn element_named(mut self, name: &'static str) -> Self {
        self.element_name = Some(name);
        self
    }

    pub const fn key_named(mut self, name: &'static str) -> Self {
        self.key_name = Some(name);
        self
    }

    pub const fn flattened(mut self) -> Self {
        self.flattened = true;
        self
    }

    pub const fn min(mut self, min: i64) -> Self {
        self.constraints.min = Some(min);
        self
    }

    pub const fn max(mut self, max: i64) -> Self {
        self.constraints.max = Some(max);
        self
    }

    pub const fn pattern(mut self, pattern: &'static str) -> Self {
        self.constraints.pattern = Some(pattern);
        self
    }

    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        self.constraints.values = values;
        self
    }

    pub const fn timestamp(mut self, format: TimestampFormat) -> Self {
        self.timestamp_format = Some(format);
        self
    }

    pub const fn union(mut self) -> Self {
        self.union = true;
        self
    }

    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The shape of a list's elements or a map's values.
    pub fn element(&self) -> &'static ShapeDef {
        static ANY: ShapeDef = ShapeDef::new("Document", Kind::Document);
        self.element.map_or(&ANY, ShapeRef::get)
    }
}
