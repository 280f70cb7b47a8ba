//! Forms: `a.b.1.c=x&…` to a tree, and the tree to a value, led by the shape table.
//!
//! Strict where a hostile form could cost memory or mean two things: percent-encoding and UTF-8 must be right, no name may
//! come twice, names have at most [`MAX_PARTS`] parts, forms at most [`MAX_FIELDS`] fields and [`MAX_NODES`] different parts of
//! names. List indices count from one; gaps
//! only order, and nothing is allocated by an index. Unknown names are ignored.

use crate::{Blob, Fault, Kind, MemberDef, ShapeDef, Structure, Timestamp, TimestampFormat, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

const MAX_PARTS: usize = 32;
const MAX_FIELDS: usize = 20_000;
/// A node takes most of a kilobyte when it has a child.
const MAX_NODES: usize = 20_000;

/// How a protocol names things.
pub(super) trait Dialect {
    /// A member's name below its structure.
    fn member(&self, member: &'static MemberDef) -> String;
    /// The part between a list's name and its indices.
    fn list(&self, shape: &'static ShapeDef, flattened: bool) -> Option<&'static str>;
    /// The part between a map's name and its indices.
    fn map(&self, flattened: bool) -> Option<&'static str>;
}

type Decoded<T> = Result<T, Fault>;

/// The fields of a request: of its body, or of its query if it has no body.
pub(super) fn fields(head: &Parts, body: &[u8]) -> Decoded<Vec<(String, String)>> {
    match body {
        [] => parse(head.uri.query().unwrap_or_default().as_bytes()),
        body => parse(body),
    }
}

/// The value of shape `input` in a request's fields.
pub(super) fn decode(head: &Parts, body: &[u8], input: &'static ShapeDef, dialect: &dyn Dialect) -> Decoded<Value> {
    let mut root = Node::default();
    let mut room = MAX_NODES;
    for (name, value) in fields(head, body)? {
        root.insert(&name, value, &mut room)?;
    }
    Decoder { dialect }.structure(root, input)
}

/// The fields of a form, in order.
pub(super) fn parse(bytes: &[u8]) -> Decoded<Vec<(String, String)>> {
    let mut fields = Vec::new();
    for field in bytes.split(|&byte| byte == b'&').filter(|field| !field.is_empty()) {
        if fields.len() == MAX_FIELDS {
            return Err(malformed("Too many parameters"));
        }
        let split = field.iter().position(|&byte| byte == b'=').unwrap_or(field.len());
        let value = field.get(split + 1..).unwrap_or_default();
        fields.push((unescape(&field[..split])?, unescape(value)?));
    }
    Ok(fields)
}

fn malformed(message: &str) -> Fault {
    Fault::malformed_input(message)
}

fn unescape(bytes: &[u8]) -> Decoded<String> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next(), rest.next())?,
            other => other,
        });
    }
    match String::from_utf8(out) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(malformed("Parameters must be UTF-8 without NUL")),
    }
}

fn hex(high: Option<&u8>, low: Option<&u8>) -> Decoded<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ => Err(malformed("Invalid percent-encoding")),
    }
}

/// Fields by the parts of their names.
#[derive(Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    /// Makes the nodes on the way to `name`, for which there is `room`.
    fn insert(&mut self, name: &str, value: String, room: &mut usize) -> Decoded<()> {
        if name.split('.').nth(MAX_PARTS).is_some() {
            return Err(malformed("A parameter's name has too many parts"));
        }
        let mut node = self;
        for part in name.split('.') {
            node = match node.children.entry(part.to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    *room = room.checked_sub(1).ok_or_else(|| malformed("Too many parameters"))?;
                    place.insert(Node::default())
                }
            };
        }
        match node.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(malformed("A parameter is given twice")),
        }
    }

    /// The numbered children, in the order of their numbers.
    fn numbered(self) -> Decoded<Vec<Node>> {
        if self.value.is_some_and(|value| !value.is_empty()) {
            return Err(malformed("Unexpected value where a list was expected"));
        }
        let mut nodes = Vec::new();
        for (index, node) in self.children {
            nodes.push((position(&index)?, node));
        }
        nodes.sort_by_key(|(index, _)| *index);
        Ok(nodes.into_iter().map(|(_, node)| node).collect())
    }
}

/// A list index: decimal, from one, without leading zeros.
fn position(index: &str) -> Decoded<u32> {
    let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()) && !index.starts_with('0');
    match index.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(malformed("Start of list found where not expected")),
    }
}

struct Decoder<'a> {
    dialect: &'a dyn Dialect,
}

impl Decoder<'_> {
    fn structure(&self, mut node: Node, def: &'static ShapeDef) -> Decoded<Value> {
        if node.value.is_some_and(|value| !value.is_empty()) {
            return Err(malformed("Unexpected value where a structure was expected"));
        }
        let mut structure = Structure::empty(def);
        for (member, slot) in def.members.iter().zip(&mut structure.members) {
            if let Some(child) = node.children.remove(&self.dialect.member(member)) {
                *slot = self.member(child, member)?;
            }
        }
        Ok(Value::Structure(structure))
    }

    fn member(&self, node: Node, member: &'static MemberDef) -> Decoded<Option<Value>> {
        let shape = member.shape.get();
        let flattened = member.flattened || shape.flattened;
        let format = member.timestamp_format.or(shape.timestamp_format);
        self.value(node, shape, flattened, format)
    }

    /// `None` if the node only holds names that the shape does not know.
    fn value(
        &self,
        node: Node,
        def: &'static ShapeDef,
        flattened: bool,
        format: Option<TimestampFormat>,
    ) -> Decoded<Option<Value>> {
        match def.kind {
            Kind::Structure => self.structure(node, def).map(Some),
            Kind::List => self.list(node, def, flattened).map(Some),
            Kind::Map => self.map(node, def, flattened).map(Some),
            _ => match node.value {
                Some(text) => scalar(text, def, format).map(Some),
                None => Err(malformed("Start of structure or map found where not expected.")),
            },
        }
    }

    fn list(&self, node: Node, def: &'static ShapeDef, flattened: bool) -> Decoded<Value> {
        let element = def.element();
        let mut values = Vec::new();
        for child in inner(node, self.dialect.list(def, flattened))?.numbered()? {
            values.extend(self.value(child, element, element.flattened, element.timestamp_format)?);
        }
        Ok(Value::List(values))
    }

    fn map(&self, node: Node, def: &'static ShapeDef, flattened: bool) -> Decoded<Value> {
        let element = def.element();
        let mut entries: BTreeMap<String, Value> = BTreeMap::new();
        for mut child in inner(node, self.dialect.map(flattened))?.numbered()? {
            let key = child.children.remove(def.key_name.unwrap_or("key")).and_then(|key| key.value);
            let value = child.children.remove(def.element_name.unwrap_or("value"));
            let (Some(key), Some(value)) = (key, value) else {
                return Err(malformed("A map entry lacks its key or value"));
            };
            let value = self.value(value, element, element.flattened, element.timestamp_format)?;
            if value.is_some_and(|value| entries.insert(key, value).is_some()) {
                return Err(malformed("A map has a key twice"));
            }
        }
        Ok(Value::Map(entries.into_iter().collect()))
    }
}

/// The node that holds a collection's numbers: `node` itself, or its child `part`.
fn inner(mut node: Node, part: Option<&'static str>) -> Decoded<Node> {
    let Some(part) = part else { return Ok(node) };
    match node.children.remove(part) {
        Some(child) => Ok(child),
        None if node.children.is_empty() => Ok(node),
        None => Err(malformed("Start of structure or map found where not expected.")),
    }
}

fn scalar(text: String, def: &'static ShapeDef, format: Option<TimestampFormat>) -> Decoded<Value> {
    let value = match def.kind {
        Kind::String => Some(Value::String(text.clone())),
        Kind::Boolean => boolean(&text),
        Kind::Integer => integer(&text).filter(|number| i32::try_from(*number).is_ok()).map(Value::Integer),
        Kind::Long => integer(&text).map(Value::Integer),
        Kind::Float | Kind::Double => double(&text).map(Value::Double),
        Kind::Blob => STANDARD.decode(&text).ok().map(|bytes| Value::Blob(Blob(bytes))),
        Kind::Timestamp => Timestamp::parse(&text, format.unwrap_or(TimestampFormat::Iso8601)).map(Value::Timestamp),
        Kind::List | Kind::Map | Kind::Structure | Kind::Document => None,
    };
    value
        .ok_or_else(|| Fault::malformed_input(format!("'{}' is no {}", crate::fault::excerpt(&text), def.kind.label())))
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "true" | "True" | "TRUE" => Some(Value::Boolean(true)),
        "false" | "False" | "FALSE" => Some(Value::Boolean(false)),
        _ => None,
    }
}

fn integer(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        digits if digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) => {
            digits.parse().ok().filter(|number: &f64| number.is_finite())
        }
        _ => None,
    }
}
