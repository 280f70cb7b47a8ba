//! One service's shapes as Rust.

use super::names::{screaming, snake, upper_camel};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Rust names that shapes must not take.
const RESERVED: &[&str] =
    &["Blob", "Document", "Map", "Option", "Timestamp", "String", "Vec", "Box", "S", "M", "R", "K"];

/// The shapes of a model, looked up by name.
pub struct Shapes<'a>(pub &'a Map<String, Value>);

impl<'a> Shapes<'a> {
    fn get(&self, name: &str) -> Result<&'a Value> {
        self.0.get(name).with_context(|| format!("no shape {name}"))
    }

    /// All types and tables, in the model's order.
    pub fn render(&self) -> Result<String> {
        let mut text = String::new();
        let mut taken = BTreeSet::new();
        for (name, shape) in self.0 {
            let item = self.item(name, shape).with_context(|| format!("shape {name}"))?;
            let Some((rust_name, item)) = item else {
                continue;
            };
            if RESERVED.contains(&rust_name.as_str()) || !taken.insert(rust_name.clone()) {
                bail!("{name} would be a second {rust_name}");
            }
            text += &item;
        }
        Ok(text)
    }

    /// The Rust item of a shape that needs one, with its name.
    fn item(&self, name: &str, shape: &Value) -> Result<Option<(String, String)>> {
        if is_document(shape) || shape["exception"] == true {
            return Ok(None);
        }
        match shape["type"].as_str() {
            Some("structure") => Ok(Some((upper_camel(name), self.structure(name, shape)?))),
            Some("string") if shape.get("enum").is_some() => Ok(Some((upper_camel(name), enumeration(name, shape)?))),
            _ if self.is_plain(name)? => Ok(None),
            _ => Ok(Some((screaming(name), self.table(name, shape)?))),
        }
    }

    fn structure(&self, name: &str, shape: &Value) -> Result<String> {
        let rust_name = upper_camel(name);
        let union = if shape["union"] == true { ".union()" } else { "" };
        let mut text = format!("\nlongshore_wire::structure! {{ {rust_name}, S::structure({name:?}){union}, {{\n");
        for (member, facts) in shape["members"].as_object().context("no members")? {
            let required = shape["required"].as_array().is_some_and(|all| all.iter().any(|one| one == member.as_str()));
            let target = facts["shape"].as_str().context("no shape")?;
            let boxed = self.reaches(target, name, &mut BTreeSet::new())?;
            let rust_type = self.rust_type(target)?;
            let rust_type = if boxed { format!("Box<{rust_type}>") } else { rust_type };
            writeln!(text, "    {}: {rust_type} = {},", snake(member), self.member(member, facts, required)?)?;
        }
        Ok(text + "} }\n")
    }

    fn member(&self, name: &str, facts: &Value, required: bool) -> Result<String> {
        let target = facts["shape"].as_str().context("no shape")?;
        let mut text = format!("M::new({name:?}, {})", self.reference(target)?);
        text += if required { ".required()" } else { "" };
        for (fact, call) in [("locationName", "located"), ("queryName", "queried")] {
            if let Some(value) = facts[fact].as_str() {
                write!(text, ".{call}({value:?})")?;
            }
        }
        for (fact, call) in [("flattened", "flattened"), ("idempotencyToken", "token")] {
            if facts[fact] == true {
                write!(text, ".{call}()")?;
            }
        }
        Ok(text + &timestamp(facts)?)
    }

    /// Whether a structure contains another (or itself) without a list or map between, and so needs a box.
    fn reaches(&self, from: &str, to: &str, seen: &mut BTreeSet<String>) -> Result<bool> {
        let shape = self.get(from)?;
        if shape["type"] != "structure" || is_document(shape) {
            return Ok(false);
        }
        if from == to {
            return Ok(true);
        }
        if !seen.insert(from.to_owned()) {
            return Ok(false);
        }
        for member in shape["members"].as_object().into_iter().flat_map(Map::values) {
            if self.reaches(member["shape"].as_str().unwrap_or_default(), to, seen)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The Rust type of a value of the shape.
    fn rust_type(&self, name: &str) -> Result<String> {
        let shape = self.get(name)?;
        if is_document(shape) {
            return Ok("Document".to_owned());
        }
        Ok(match shape["type"].as_str().context("no type")? {
            "boolean" => "bool".to_owned(),
            "integer" => "i32".to_owned(),
            "long" => "i64".to_owned(),
            "float" => "f32".to_owned(),
            "double" => "f64".to_owned(),
            "blob" => "Blob".to_owned(),
            "timestamp" => "Timestamp".to_owned(),
            "string" if shape.get("enum").is_none() => "String".to_owned(),
            "string" | "structure" => upper_camel(name),
            "list" => format!("Vec<{}>", self.rust_type(part(shape, "member")?)?),
            "map" => format!("Map<String, {}>", self.rust_type(part(shape, "value")?)?),
            other => bail!("a {other} is not known here"),
        })
    }

    /// The expression of a `ShapeRef`.
    pub fn reference(&self, name: &str) -> Result<String> {
        if self.is_plain(name)? {
            Ok(format!("R::of::<{}>()", self.rust_type(name)?))
        } else {
            Ok(format!("R::Table(&{})", screaming(name)))
        }
    }

    /// Whether the table of the shape's Rust type says all there is to say.
    fn is_plain(&self, name: &str) -> Result<bool> {
        let shape = self.get(name)?;
        let named = ["member", "key", "value"].iter().any(|part| shape[part].get("locationName").is_some());
        let facts = ["min", "max", "pattern", "flattened", "timestampFormat", "sensitive"];
        Ok(match shape["type"].as_str().context("no type")? {
            "structure" => true,
            "string" if shape.get("enum").is_some() => true,
            _ if named || facts.iter().any(|fact| shape.get(fact).is_some()) => false,
            "list" => self.is_plain(part(shape, "member")?)?,
            "map" => {
                let key = part(shape, "key")?;
                self.get(key)?.get("enum").is_none() && self.is_plain(key)? && self.is_plain(part(shape, "value")?)?
            }
            _ => true,
        })
    }

    fn table(&self, name: &str, shape: &Value) -> Result<String> {
        let kind = shape["type"].as_str().context("no type")?;
        let mut text = match kind {
            "list" => format!("S::list({name:?}, {})", self.reference(part(shape, "member")?)?),
            "map" => {
                let (key, value) = (part(shape, "key")?, part(shape, "value")?);
                format!("S::map({name:?}, {}, {})", self.reference(key)?, self.reference(value)?)
            }
            scalar => format!("S::new({name:?}, K::{})", upper_camel(scalar)),
        };
        for (place, call) in [("member", "element_named"), ("value", "element_named"), ("key", "key_named")] {
            if let Some(location) = shape[place]["locationName"].as_str() {
                write!(text, ".{call}({location:?})")?;
            }
        }
        text += &constraints(shape)?;
        Ok(format!("\npub static {}: S = {text};\n", screaming(name)))
    }
}

fn constraints(shape: &Value) -> Result<String> {
    let mut text = String::new();
    for fact in ["min", "max"] {
        if let Some(number) = shape[fact].as_i64() {
            write!(text, ".{fact}({number})")?;
        }
    }
    if let Some(pattern) = shape["pattern"].as_str() {
        write!(text, ".pattern({pattern:?})")?;
    }
    for fact in ["flattened", "sensitive"] {
        if shape[fact] == true {
            write!(text, ".{fact}()")?;
        }
    }
    Ok(text + &timestamp(shape)?)
}

fn timestamp(facts: &Value) -> Result<String> {
    Ok(match facts["timestampFormat"].as_str() {
        None => String::new(),
        Some("unixTimestamp") => ".timestamp(TimestampFormat::EpochSeconds)".to_owned(),
        Some("iso8601") => ".timestamp(TimestampFormat::Iso8601)".to_owned(),
        Some("rfc822") => ".timestamp(TimestampFormat::Rfc822)".to_owned(),
        Some(other) => bail!("timestamp format {other}"),
    })
}

fn enumeration(name: &str, shape: &Value) -> Result<String> {
    let mut taken = BTreeSet::new();
    let mut text = format!("\nlongshore_wire::string_enum! {{ pub enum {} {{\n", upper_camel(name));
    for value in shape["enum"].as_array().context("no values")? {
        let value = value.as_str().context("a value is no string")?;
        let mut variant = upper_camel(value);
        while !taken.insert(variant.clone()) {
            variant.push('_');
        }
        writeln!(text, "    {variant} = {value:?},")?;
    }
    Ok(text + "} }\n")
}

fn part<'a>(shape: &'a Value, place: &str) -> Result<&'a str> {
    shape[place]["shape"].as_str().with_context(|| format!("no {place}"))
}

fn is_document(shape: &Value) -> bool {
    shape["document"] == true
}
