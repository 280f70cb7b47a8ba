//! Decoded but untyped: what protocols read and [`crate::Shape`] turns into structs.

use crate::{Blob, Document, Error, Result, Shape, ShapeDef, Timestamp, Writer};

/// A decoded value of some shape. Unknown members were dropped by the decoder.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Within sparse lists and maps only.
    Null,
    Boolean(bool),
    /// Integers and longs.
    Integer(i64),
    /// Floats and doubles.
    Double(f64),
    String(String),
    Blob(Blob),
    Timestamp(Timestamp),
    List(Vec<Value>),
    /// In the order of the wire, without duplicate keys.
    Map(Vec<(String, Value)>),
    Structure(Structure),
    Document(Document),
}

/// A decoded structure, positional: `members[i]` belongs to `def.members[i]`.
#[derive(Clone)]
pub struct Structure {
    pub def: &'static ShapeDef,
    pub members: Vec<Option<Value>>,
}

impl std::fmt::Debug for Structure {
    /// The name and what is set.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = f.debug_struct(self.def.name);
        for (member, value) in self.def.members.iter().zip(&self.members) {
            if let Some(value) = value {
                text.field(member.name, value);
            }
        }
        text.finish()
    }
}

impl PartialEq for Structure {
    fn eq(&self, other: &Self) -> bool {
        self.def.name == other.def.name && self.members == other.members
    }
}

impl Structure {
    /// A structure of which no member is set.
    pub fn empty(def: &'static ShapeDef) -> Self {
        Structure { def, members: vec![None; def.members.len()] }
    }

    /// The value of a member by its model name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let index = self.def.members.iter().position(|member| member.name == name)?;
        self.members[index].as_ref()
    }
}

impl Value {
    /// The name of the value's kind in error messages.
    pub fn label(&self) -> &'static str {
        match self {
            Value::Null => "NULL_VALUE",
            Value::Boolean(_) => "BOOLEAN_VALUE",
            Value::Integer(_) | Value::Double(_) => "NUMBER_VALUE",
            Value::String(_) => "STRING_VALUE",
            Value::Blob(_) => "BLOB_VALUE",
            Value::Timestamp(_) => "TIMESTAMP_VALUE",
            Value::List(_) => "LIST_VALUE",
            Value::Map(_) | Value::Structure(_) => "STRUCTURE_VALUE",
            Value::Document(_) => "DOCUMENT_VALUE",
        }
    }

    /// The values of a structure of shape `def`, to be taken in the order of its members.
    pub fn into_fields(self, def: &'static ShapeDef) -> Result<Fields> {
        match self {
            Value::Structure(structure) if structure.members.len() == def.members.len() => {
                Ok(Fields { def, next: 0, values: structure.members.into_iter() })
            }
            other => Err(Error::mismatch(other.label(), def.name)),
        }
    }

    /// Writes the value as a typed one of the same content would.
    pub fn write(&self, writer: &mut dyn Writer) {
        match self {
            Value::Null => writer.null(),
            Value::Boolean(value) => writer.boolean(*value),
            Value::Integer(value) => writer.integer(*value),
            Value::Double(value) => writer.double(*value),
            Value::String(value) => writer.string(value),
            Value::Blob(value) => writer.blob(&value.0),
            Value::Timestamp(value) => writer.timestamp(*value),
            Value::List(values) => write_list(values, writer),
            Value::Map(entries) => write_map(entries, writer),
            Value::Structure(structure) => write_structure(structure, writer),
            Value::Document(document) => document.write(writer),
        }
    }
}

fn write_list(values: &[Value], writer: &mut dyn Writer) {
    writer.list(values.len());
    values.iter().for_each(|value| value.write(writer));
    writer.end();
}

fn write_map(entries: &[(String, Value)], writer: &mut dyn Writer) {
    writer.map(entries.len());
    for (key, value) in entries {
        writer.key(key);
        value.write(writer);
    }
    writer.end();
}

fn write_structure(structure: &Structure, writer: &mut dyn Writer) {
    writer.structure(structure.def);
    for (member, value) in structure.def.members.iter().zip(&structure.members) {
        if let Some(value) = value {
            writer.member(member);
            value.write(writer);
        }
    }
    writer.end();
}

/// A structure's values, handed out in the order of its members.
pub struct Fields {
    def: &'static ShapeDef,
    next: usize,
    values: std::vec::IntoIter<Option<Value>>,
}

impl Fields {
    /// The next member as a `T`; if absent, what `T` makes of that.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is absent and `T` has no default; [`Error::Member`] if it is no `T`.
    pub fn take<T: Shape>(&mut self) -> Result<T> {
        let def = self.def;
        let member = def.members.get(self.next).map_or("", |member| member.name);
        self.next += 1;
        match self.values.next().flatten() {
            Some(value) => T::from_value(value).map_err(|error| error.within(member)),
            None => T::absent().ok_or(Error::Missing { shape: def.name, member }),
        }
    }
}
