//! [`Shape`], and what Rust's own types are on the wire.

use crate::{Blob, Document, Error, Kind, Result, ShapeDef, ShapeRef, Timestamp, Value, Writer};
use std::collections::BTreeMap;

/// A Rust type with a place in the shape tables.
///
/// Made by [`record!`](crate::record), [`string_enum!`](crate::string_enum), [`union!`](crate::union),
/// [`string_newtype!`](crate::string_newtype) and the code generator.
pub trait Shape: Sized {
    /// The type's table.
    fn def() -> &'static ShapeDef;

    /// The typed form of a decoded value.
    fn from_value(value: Value) -> Result<Self>;

    /// Writes the value, not its name.
    fn write(&self, writer: &mut dyn Writer);

    /// What an absent member of this type means; `None` if it must be there.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether a member of this value is written at all.
    fn is_present(&self) -> bool {
        true
    }
}

macro_rules! scalar {
    ($type:ty, $kind:ident, $absent:expr, $present:expr, $read:expr, $write:expr) => {
        impl Shape for $type {
            fn def() -> &'static ShapeDef {
                static DEF: ShapeDef = ShapeDef::new(stringify!($type), Kind::$kind);
                &DEF
            }

            fn from_value(value: Value) -> Result<Self> {
                let read: fn(Value) -> std::result::Result<$type, Value> = $read;
                read(value).map_err(|other| Error::mismatch(other.label(), Kind::$kind.label()))
            }

            fn write(&self, writer: &mut dyn Writer) {
                let write: fn(&$type, &mut dyn Writer) = $write;
                write(self, writer);
            }

            fn absent() -> Option<Self> {
                $absent
            }

            fn is_present(&self) -> bool {
                let present: fn(&$type) -> bool = $present;
                present(self)
            }
        }
    };
}

macro_rules! integer {
    ($type:ty, $kind:ident) => {
        scalar!(
            $type,
            $kind,
            Some(0),
            |_| true,
            |value| match value {
                Value::Integer(number) => <$type>::try_from(number).map_err(|_| Value::Integer(number)),
                other => Err(other),
            },
            |number, writer| writer.integer(i64::from(*number))
        );
    };
}

integer!(i32, Integer);
integer!(i64, Long);
integer!(u16, Integer);
integer!(u32, Long);

scalar!(
    bool,
    Boolean,
    Some(false),
    |flag| *flag,
    |value| match value {
        Value::Boolean(flag) => Ok(flag),
        other => Err(other),
    },
    |flag, writer| writer.boolean(*flag)
);
scalar!(
    f32,
    Float,
    Some(0.0),
    |_| true,
    |value| match value {
        Value::Double(number) => Ok(number as f32),
        Value::Integer(number) => Ok(number as f32),
        other => Err(other),
    },
    |number, writer| writer.float(*number)
);
scalar!(
    f64,
    Double,
    Some(0.0),
    |_| true,
    |value| match value {
        Value::Double(number) => Ok(number),
        Value::Integer(number) => Ok(number as f64),
        other => Err(other),
    },
    |number, writer| writer.double(*number)
);
scalar!(
    String,
    String,
    Some(String::new()),
    |_| true,
    |value| match value {
        Value::String(text) => Ok(text),
        other => Err(other),
    },
    |text, writer| writer.string(text)
);
scalar!(
    Blob,
    Blob,
    None,
    |_| true,
    |value| match value {
        Value::Blob(blob) => Ok(blob),
        other => Err(other),
    },
    |blob, writer| writer.blob(&blob.0)
);
scalar!(
    Timestamp,
    Timestamp,
    None,
    |_| true,
    |value| match value {
        Value::Timestamp(timestamp) => Ok(timestamp),
        other => Err(other),
    },
    |timestamp, writer| writer.timestamp(*timestamp)
);
scalar!(
    Document,
    Document,
    Some(Document::Null),
    |document| *document != Document::Null,
    |value| match value {
        Value::Document(document) => Ok(document),
        other => Err(other),
    },
    |document, writer| document.write(writer)
);

impl Document {
    /// Writes the document as JSON would have it.
    pub fn write(&self, writer: &mut dyn Writer) {
        match self {
            Document::Null => writer.null(),
            Document::Boolean(value) => writer.boolean(*value),
            Document::Integer(value) => writer.integer(*value),
            Document::Double(value) => writer.double(*value),
            Document::String(value) => writer.string(value),
            Document::List(values) => {
                writer.list(values.len());
                values.iter().for_each(|value| value.write(writer));
                writer.end();
            }
            Document::Map(entries) => {
                writer.map(entries.len());
                for (key, value) in entries {
                    writer.key(key);
                    value.write(writer);
                }
                writer.end();
            }
        }
    }
}

/// The input or output of an operation that has none.
impl Shape for () {
    fn def() -> &'static ShapeDef {
        static DEF: ShapeDef = ShapeDef::structure("Unit");
        &DEF
    }

    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Structure(_) => Ok(()),
            other => Err(Error::mismatch(other.label(), "Unit")),
        }
    }

    fn write(&self, writer: &mut dyn Writer) {
        writer.structure(Self::def());
        writer.end();
    }

    fn absent() -> Option<Self> {
        Some(())
    }
}

/// An option inside a structure: absent when `None`.
impl<T: Shape> Shape for Option<T> {
    fn def() -> &'static ShapeDef {
        T::def()
    }

    fn from_value(value: Value) -> Result<Self> {
        T::from_value(value).map(Some)
    }

    fn write(&self, writer: &mut dyn Writer) {
        match self {
            Some(value) => value.write(writer),
            None => writer.null(),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    /// Presence is the option's, not the content's: an empty list that was given is given back.
    fn is_present(&self) -> bool {
        self.is_some()
    }
}

impl<T: Shape> Shape for Box<T> {
    fn def() -> &'static ShapeDef {
        T::def()
    }

    fn from_value(value: Value) -> Result<Self> {
        T::from_value(value).map(Box::new)
    }

    fn write(&self, writer: &mut dyn Writer) {
        (**self).write(writer);
    }

    fn absent() -> Option<Self> {
        T::absent().map(Box::new)
    }

    fn is_present(&self) -> bool {
        (**self).is_present()
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn def() -> &'static ShapeDef {
        const { &ShapeDef::list("List", ShapeRef::of::<T>()) }
    }

    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::List(values) => values.into_iter().map(T::from_value).collect(),
            other => Err(Error::mismatch(other.label(), "List")),
        }
    }

    fn write(&self, writer: &mut dyn Writer) {
        writer.list(self.len());
        self.iter().for_each(|value| value.write(writer));
        writer.end();
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn is_present(&self) -> bool {
        !self.is_empty()
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn def() -> &'static ShapeDef {
        const { &ShapeDef::map("Map", ShapeRef::of::<String>(), ShapeRef::of::<T>()) }
    }

    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Map(entries) => entries.into_iter().map(|(key, value)| Ok((key, T::from_value(value)?))).collect(),
            other => Err(Error::mismatch(other.label(), "Map")),
        }
    }

    fn write(&self, writer: &mut dyn Writer) {
        writer.map(self.len());
        for (key, value) in self {
            writer.key(key);
            value.write(writer);
        }
        writer.end();
    }

    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn is_present(&self) -> bool {
        !self.is_empty()
    }
}
