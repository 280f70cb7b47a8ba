//! The XML writer of the query protocols.

use crate::json::special_name;
use crate::{MemberDef, Shape, ShapeDef, Timestamp, TimestampFormat, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Writes the members of an output as elements. The outermost structure gets no element: the protocol has opened it.
///
/// Everything is escaped; characters that XML 1.0 cannot hold at all are written as U+FFFD, so that what comes out is
/// always well-formed.
#[derive(Default)]
pub(super) struct XmlWriter {
    out: String,
    frames: Vec<Frame>,
    /// The element of the value to come, set by [`Writer::member`].
    slot: Option<Slot>,
}

/// The element a value goes into.
#[derive(Clone, Copy)]
struct Slot {
    name: &'static str,
    shape: &'static ShapeDef,
    flattened: bool,
    timestamps: Option<TimestampFormat>,
}

impl Slot {
    fn new(name: &'static str, shape: &'static ShapeDef) -> Self {
        Slot { name, shape, flattened: shape.flattened, timestamps: shape.timestamp_format }
    }
}

/// What is open.
struct Frame {
    /// The element to close at the end.
    element: Option<&'static str>,
    content: Content,
}

enum Content {
    Members,
    /// A list's elements all go into the same slot.
    Elements(Slot),
    /// A map's entries: their element, the key's, the value's slot, and whether an entry is open.
    Entries {
        entry: &'static str,
        key: &'static str,
        value: Slot,
        open: bool,
    },
}

impl XmlWriter {
    /// A document so far; what follows is appended.
    pub(super) fn after(head: String) -> Self {
        XmlWriter { out: head, ..XmlWriter::default() }
    }

    pub(super) fn into_text(self) -> String {
        self.out
    }

    /// An element that holds text.
    pub(super) fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        escape(&mut self.out, text);
        self.close(name);
    }

    pub(super) fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    pub(super) fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Where the value that comes now goes; `None` for the outermost.
    fn take_slot(&mut self) -> Option<Slot> {
        match self.frames.last().map(|frame| &frame.content) {
            Some(Content::Elements(slot)) => Some(*slot),
            Some(Content::Entries { value, .. }) => Some(*value),
            Some(Content::Members) | None => self.slot.take(),
        }
    }

    fn scalar(&mut self, text: &str) {
        match self.take_slot() {
            Some(slot) => self.element(slot.name, text),
            None => escape(&mut self.out, text),
        }
    }

    /// Opens a collection's element unless it is flattened.
    fn collect(&mut self, slot: Slot, content: Content) {
        let element = (!slot.flattened).then_some(slot.name);
        if let Some(name) = element {
            self.open(name);
        }
        self.frames.push(Frame { element, content });
    }

    /// Closes the open entry of a map.
    fn end_entry(&mut self) {
        if let Some(Frame { content: Content::Entries { entry, open, .. }, .. }) = self.frames.last_mut()
            && std::mem::take(open)
        {
            let entry = *entry;
            self.close(entry);
        }
    }
}

/// A slot for a collection that is the outermost value, which no AWS output is.
const NAMELESS: &str = "value";

impl Writer for XmlWriter {
    fn structure(&mut self, _: &'static ShapeDef) {
        let element = self.take_slot().map(|slot| slot.name);
        if let Some(name) = element {
            self.open(name);
        }
        self.frames.push(Frame { element, content: Content::Members });
    }

    fn member(&mut self, def: &'static MemberDef) {
        let shape = def.shape.get();
        let slot = Slot::new(def.wire_name(), shape);
        self.slot = Some(Slot {
            flattened: def.flattened || slot.flattened,
            timestamps: def.timestamp_format.or(slot.timestamps),
            ..slot
        });
    }

    fn list(&mut self, _: usize) {
        let slot = self.take_slot().unwrap_or(Slot::new(NAMELESS, <()>::def()));
        let name = match slot.flattened {
            true => slot.shape.element_name.unwrap_or(slot.name),
            false => slot.shape.element_name.unwrap_or("member"),
        };
        self.collect(slot, Content::Elements(Slot::new(name, slot.shape.element())));
    }

    fn map(&mut self, _: usize) {
        let slot = self.take_slot().unwrap_or(Slot::new(NAMELESS, <()>::def()));
        let content = Content::Entries {
            entry: if slot.flattened { slot.name } else { "entry" },
            key: slot.shape.key_name.unwrap_or("key"),
            value: Slot::new(slot.shape.element_name.unwrap_or("value"), slot.shape.element()),
            open: false,
        };
        self.collect(slot, content);
    }

    fn key(&mut self, text: &str) {
        self.end_entry();
        if let Some(Frame { content: Content::Entries { entry, key, open, .. }, .. }) = self.frames.last_mut() {
            *open = true;
            let (entry, key) = (*entry, *key);
            self.open(entry);
            self.element(key, text);
        }
    }

    fn end(&mut self) {
        self.end_entry();
        if let Some(Frame { element: Some(name), .. }) = self.frames.pop() {
            self.close(name);
        }
    }

    fn boolean(&mut self, value: bool) {
        self.scalar(if value { "true" } else { "false" });
    }

    fn integer(&mut self, value: i64) {
        self.scalar(&value.to_string());
    }

    fn float(&mut self, value: f32) {
        let text = if value.is_finite() { format!("{value:?}") } else { special_name(f64::from(value)).to_owned() };
        self.scalar(&text);
    }

    fn double(&mut self, value: f64) {
        let text = if value.is_finite() { format!("{value:?}") } else { special_name(value).to_owned() };
        self.scalar(&text);
    }

    fn string(&mut self, value: &str) {
        self.scalar(value);
    }

    fn blob(&mut self, value: &[u8]) {
        self.scalar(&STANDARD.encode(value));
    }

    fn timestamp(&mut self, value: Timestamp) {
        let format = match (self.frames.last().map(|frame| &frame.content), &self.slot) {
            (Some(Content::Elements(slot) | Content::Entries { value: slot, .. }), _) => slot.timestamps,
            (_, slot) => slot.and_then(|slot| slot.timestamps),
        };
        self.scalar(&value.format(format.unwrap_or(TimestampFormat::Iso8601)));
    }

    /// XML has no null; the element is left out.
    fn null(&mut self) {
        self.take_slot();
    }
}

/// Appends text that is safe inside an element or attribute.
pub(super) fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // A parser would turn a bare carriage return into a line feed.
            '\r' => out.push_str("&#xD;"),
            '\t' | '\n' => out.push(character),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(char::REPLACEMENT_CHARACTER),
            other => out.push(other),
        }
    }
}
