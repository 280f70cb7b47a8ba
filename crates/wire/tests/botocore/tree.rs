//! Reply bodies as trees that can be compared.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value as Json;

/// An element: its name without prefix, its text if it has no children. Attributes are namespaces only and left out.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Drops what differs from reply to reply, and orders children by name; those of one name keep their order.
    pub fn normal(mut self) -> Self {
        self.children.retain(|child| !["requestid", "responsemetadata"].contains(&child.name.to_lowercase().as_str()));
        self.children = self.children.into_iter().map(Element::normal).collect();
        self.children.sort_by(|a, b| a.name.cmp(&b.name));
        if self.children.is_empty() && !self.text.trim().is_empty() {
            self.text = number(&self.text);
        } else {
            self.text.clear();
        }
        self
    }
}

/// `1` and `1.0` are the same number.
fn number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => number.to_string(),
        _ => text.to_owned(),
    }
}

/// The tree of a document.
pub fn xml(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(tag) => stack.push(named(tag.local_name().as_ref())),
            Event::Empty(tag) => {
                let element = named(tag.local_name().as_ref());
                add(&mut stack, element)?;
            }
            Event::End(_) => {
                let element = stack.pop().ok_or("an element ends too often")?;
                add(&mut stack, element)?;
            }
            Event::Text(bytes) => push(&mut stack, &bytes),
            Event::CData(bytes) => push(&mut stack, &bytes),
            Event::GeneralRef(reference) => {
                let name = &*reference;
                let resolved =
                    quick_xml::escape::unescape(&format!("&{name};")).map_err(|error| error.to_string())?.into_owned();
                push(&mut stack, &resolved);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    let root = stack.pop().filter(|_| stack.is_empty()).ok_or("an element does not end")?;
    root.children.into_iter().next().ok_or("there is no element".to_owned())
}

fn named(name: impl AsRef<[u8]>) -> Element {
    Element { name: String::from_utf8_lossy(name.as_ref()).into_owned(), ..Element::default() }
}

fn add(stack: &mut [Element], element: Element) -> Result<(), String> {
    stack.last_mut().ok_or("an element ends too often")?.children.push(element);
    Ok(())
}

fn push(stack: &mut [Element], text: &str) {
    if let Some(element) = stack.last_mut() {
        element.text.push_str(text);
    }
}

/// JSON in which `1` and `1.0` are equal, null members are absent, and error types are without their namespace.
pub fn json(text: &str) -> Result<Json, String> {
    if text.is_empty() {
        return Ok(Json::Object(serde_json::Map::new()));
    }
    serde_json::from_str(text).map(normal_json).map_err(|error| error.to_string())
}

fn normal_json(json: Json) -> Json {
    match json {
        Json::Number(number) => number.as_f64().map_or(Json::Number(number), Json::from),
        Json::Array(values) => Json::Array(values.into_iter().map(normal_json).collect()),
        Json::Object(members) => {
            let present = members.into_iter().filter(|(_, value)| !value.is_null());
            Json::Object(present.map(|(name, value)| normal_member(name, value)).collect())
        }
        other => other,
    }
}

fn normal_member(name: String, value: Json) -> (String, Json) {
    let value = match value {
        Json::String(code) if name == "__type" => Json::from(code.rsplit('#').next()),
        other => normal_json(other),
    };
    (name, value)
}
