//! From JSON text to [`Value`], led by the shape table.

use super::parse::{Next, Parser};
use crate::{Blob, Document, Error, Kind, Result, ShapeDef, Structure, Timestamp, TimestampFormat, Value};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// What a map of documents costs: a tree's first leaf has room for eleven entries.
const TREE: usize = 16;

/// Reads `bytes` as one value of shape `def`.
///
/// # Errors
/// [`Error::Syntax`] if they are no strict JSON; [`Error::Kind`] (within members) if they are not of the shape.
pub fn decode(bytes: &[u8], def: &'static ShapeDef) -> Result<Value> {
    decode_within(bytes, def, usize::MAX)
}

/// As [`decode`], of texts by strangers: what is made of one is bounded, however short `{}` is and however wide the
/// structure it stands for. Each entry and each member a structure has room for costs one of `budget`, each list, map and
/// structure some more.
///
/// # Errors
/// As [`decode`]; and [`Error::Syntax`] when the budget is spent.
pub fn decode_within(bytes: &[u8], def: &'static ShapeDef, budget: usize) -> Result<Value> {
    let mut parser = Parser::new(bytes, budget)?;
    let value = value(&mut parser, def, def.timestamp_format)?;
    parser.finish()?;
    Ok(value)
}

fn value(parser: &mut Parser<'_>, def: &'static ShapeDef, format: Option<TimestampFormat>) -> Result<Value> {
    let next = parser.peek()?;
    match (def.kind, next) {
        (Kind::Document, _) => document(parser).map(Value::Document),
        (Kind::Boolean, Next::Boolean) => parser.boolean().map(Value::Boolean),
        (Kind::Integer, Next::Number) => integer(parser.number()?, i64::from(i32::MIN), i64::from(i32::MAX), "Integer"),
        (Kind::Long, Next::Number) => integer(parser.number()?, i64::MIN, i64::MAX, "Long"),
        (Kind::Float | Kind::Double, Next::Number) => double(parser.number()?).map(Value::Double),
        (Kind::Float | Kind::Double, Next::String) => special(&parser.string()?, def.kind),
        (Kind::String, Next::String) => Ok(Value::String(parser.string()?.into_owned())),
        (Kind::Blob, Next::String) => blob(&parser.string()?),
        (Kind::Timestamp, Next::Number) => seconds(parser.number()?),
        (Kind::Timestamp, Next::String) => spelt(&parser.string()?, format),
        (Kind::List, Next::Array) => list(parser, def),
        (Kind::Map, Next::Object) => map(parser, def),
        (Kind::Structure, Next::Object) => structure(parser, def),
        (kind, next) => Err(mismatch(next, kind)),
    }
}

fn mismatch(next: Next, kind: Kind) -> Error {
    match next {
        Next::Object => Error::Kind("Start of structure or map found where not expected.".to_owned()),
        Next::Array => Error::Kind("Start of list found where not expected".to_owned()),
        Next::String | Next::Number | Next::Boolean | Next::Null => Error::mismatch(next.label(), kind.label()),
    }
}

/// Nulls in a list are dropped, as AWS does for lists that are not sparse.
fn list(parser: &mut Parser<'_>, def: &'static ShapeDef) -> Result<Value> {
    let element = def.element();
    let mut values = Vec::new();
    parser.array(|parser| {
        if parser.peek()? == Next::Null {
            return parser.null();
        }
        values.push(value(parser, element, element.timestamp_format)?);
        Ok(())
    })?;
    Ok(Value::List(values))
}

fn map(parser: &mut Parser<'_>, def: &'static ShapeDef) -> Result<Value> {
    let element = def.element();
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    parser.object(|parser, key| {
        if !seen.insert(key.clone()) {
            return parser.error("Duplicate key");
        }
        if parser.peek()? == Next::Null {
            return parser.null();
        }
        entries.push((key.into_owned(), value(parser, element, element.timestamp_format)?));
        Ok(())
    })?;
    Ok(Value::Map(entries))
}

fn structure(parser: &mut Parser<'_>, def: &'static ShapeDef) -> Result<Value> {
    parser.spend(def.members.len())?;
    let mut members = vec![None; def.members.len()];
    let mut unset = HashSet::new();
    let mut hint = 0;
    parser.object(|parser, key| {
        let known = position(def, &key, hint);
        hint = known.map_or(hint, |index| index + 1);
        if known.is_some_and(|index| members[index].is_some()) {
            return parser.error("Duplicate key");
        }
        let null = parser.peek()? == Next::Null;
        match known {
            Some(index) if !null => {
                members[index] = Some(member(parser, def, index)?);
                if unset.is_empty() || !unset.contains(&key) { Ok(()) } else { parser.error("Duplicate key") }
            }
            _ => {
                skip(parser)?;
                if unset.insert(key) { Ok(()) } else { parser.error("Duplicate key") }
            }
        }
    })?;
    Ok(Value::Structure(Structure { def, members }))
}

fn member(parser: &mut Parser<'_>, def: &'static ShapeDef, index: usize) -> Result<Value> {
    let member = &def.members[index];
    let shape = member.shape.get();
    let format = member.timestamp_format.or(shape.timestamp_format);
    value(parser, shape, format).map_err(|error| match error {
        Error::Syntax { .. } => error,
        other => other.within(member.name),
    })
}

/// The index of the member called `key`. Clients mostly send members in the model's order, so `hint` is tried first.
fn position(def: &'static ShapeDef, key: &str, hint: usize) -> Option<usize> {
    let named = |index: &usize| def.members[*index].wire_name() == key;
    (hint..def.members.len()).find(named).or_else(|| (0..hint.min(def.members.len())).find(named))
}

fn integer(digits: &str, min: i64, max: i64, label: &str) -> Result<Value> {
    let number = match digits.parse::<i64>() {
        Ok(number) => Some(number),
        Err(_) => whole(digits),
    };
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        _ => Err(Error::mismatch("NUMBER_VALUE", label)),
    }
}

/// The whole number in `1.0` or `1e3`; exact up to 2^53.
fn whole(digits: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !digits.contains(['.', 'e', 'E']) {
        return None;
    }
    let number = digits.parse::<f64>().ok()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

fn double(digits: &str) -> Result<f64> {
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Error::mismatch("NUMBER_VALUE", "Double")),
    }
}

fn special(text: &str, kind: Kind) -> Result<Value> {
    match text {
        "NaN" => Ok(Value::Double(f64::NAN)),
        "Infinity" => Ok(Value::Double(f64::INFINITY)),
        "-Infinity" => Ok(Value::Double(f64::NEG_INFINITY)),
        _ => Err(Error::mismatch("STRING_VALUE", kind.label())),
    }
}

fn blob(text: &str) -> Result<Value> {
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(Value::Blob(Blob(bytes))),
        Err(_) => Err(Error::mismatch("STRING_VALUE", "ByteBuffer")),
    }
}

fn seconds(digits: &str) -> Result<Value> {
    let timestamp = Timestamp::from_seconds(double(digits)?);
    timestamp.map(Value::Timestamp).ok_or_else(|| Error::mismatch("NUMBER_VALUE", "Timestamp"))
}

fn spelt(text: &str, format: Option<TimestampFormat>) -> Result<Value> {
    let timestamp = format.and_then(|format| Timestamp::parse(text, format));
    timestamp.map(Value::Timestamp).ok_or_else(|| Error::mismatch("STRING_VALUE", "Timestamp"))
}

fn document(parser: &mut Parser<'_>) -> Result<Document> {
    match parser.peek()? {
        Next::Null => parser.null().map(|()| Document::Null),
        Next::Boolean => parser.boolean().map(Document::Boolean),
        Next::String => Ok(Document::String(parser.string()?.into_owned())),
        Next::Number => document_number(parser.number()?),
        Next::Array => {
            let mut values = Vec::new();
            parser.array(|parser| {
                values.push(document(parser)?);
                Ok(())
            })?;
            Ok(Document::List(values))
        }
        Next::Object => document_map(parser),
    }
}

fn document_map(parser: &mut Parser<'_>) -> Result<Document> {
    parser.spend(TREE)?;
    let mut entries = BTreeMap::new();
    parser.object(|parser, key| {
        let value = document(parser)?;
        match entries.insert(key.into_owned(), value) {
            None => Ok(()),
            Some(_) => parser.error("Duplicate key"),
        }
    })?;
    Ok(Document::Map(entries))
}

fn document_number(digits: &str) -> Result<Document> {
    match digits.parse() {
        Ok(number) => Ok(Document::Integer(number)),
        Err(_) => double(digits).map(Document::Double),
    }
}

/// Reads past a value of no interest, as strictly as any other.
fn skip(parser: &mut Parser<'_>) -> Result<()> {
    match parser.peek()? {
        Next::Null => parser.null(),
        Next::Boolean => parser.boolean().map(drop),
        Next::String => parser.string().map(drop),
        Next::Number => double(parser.number()?).map(drop),
        Next::Array => parser.array(skip),
        Next::Object => {
            let mut seen: HashSet<Cow<'_, str>> = HashSet::new();
            parser.object(|parser, key| match seen.insert(key) {
                true => skip(parser),
                false => parser.error("Duplicate key"),
            })
        }
    }
}
