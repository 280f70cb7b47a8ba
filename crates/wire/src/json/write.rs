//! The JSON writer.

use super::plain;
use crate::{MemberDef, ShapeDef, Timestamp, TimestampFormat, Writer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::Write;

/// Writes compact JSON. Timestamps are seconds since the epoch unless the member or shape says otherwise; NaN and the
/// infinities are the strings that AWS's JSON protocols use.
#[derive(Default)]
pub struct JsonWriter {
    out: Vec<u8>,
    /// The closing brackets of what is open.
    open: Vec<u8>,
    /// The format of the member being written, if its table sets one.
    timestamps: Option<TimestampFormat>,
}

impl JsonWriter {
    /// A writer with room for so many bytes to begin with.
    pub fn with_room(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// How many bytes were written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The bytes written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// A comma, unless the value is the first of its list or belongs to a name.
    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }

    fn begin(&mut self, open: u8, close: u8) {
        self.separate();
        self.out.push(open);
        self.open.push(close);
    }

    fn name(&mut self, name: &str) {
        self.separate();
        quote(&mut self.out, name);
        self.out.push(b':');
    }

    /// The name of a member: tables have no names that must be escaped, nor has who calls this.
    pub fn plain_name(&mut self, name: &str) {
        debug_assert_eq!(plain(name.as_bytes()), name.len(), "{name}");
        self.separate();
        self.out.reserve(name.len() + 3);
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn word(&mut self, word: &str) {
        self.separate();
        self.out.extend_from_slice(word.as_bytes());
    }

    fn display(&mut self, value: std::fmt::Arguments<'_>) {
        self.separate();
        // Writing to a vector cannot fail.
        let _ = self.out.write_fmt(value);
    }

    fn special(&mut self, value: f64) {
        self.string(special_name(value));
    }
}

/// The spelling of a number that JSON and XML have no digits for.
pub(crate) fn special_name(value: f64) -> &'static str {
    match value {
        value if value.is_nan() => "NaN",
        value if value > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

impl Writer for JsonWriter {
    fn structure(&mut self, _: &'static ShapeDef) {
        self.begin(b'{', b'}');
    }

    fn member(&mut self, def: &'static MemberDef) {
        self.plain_name(def.wire_name());
        self.timestamps = def.timestamp_format.or_else(|| def.shape.get().timestamp_format);
    }

    fn list(&mut self, _: usize) {
        self.begin(b'[', b']');
    }

    fn map(&mut self, _: usize) {
        self.begin(b'{', b'}');
    }

    fn key(&mut self, key: &str) {
        self.name(key);
    }

    fn end(&mut self) {
        if let Some(close) = self.open.pop() {
            self.out.push(close);
        }
    }

    fn boolean(&mut self, value: bool) {
        self.word(if value { "true" } else { "false" });
    }

    fn integer(&mut self, value: i64) {
        self.separate();
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn float(&mut self, value: f32) {
        match value.is_finite() {
            true => self.display(format_args!("{value:?}")),
            false => self.special(f64::from(value)),
        }
    }

    fn double(&mut self, value: f64) {
        match value.is_finite() {
            true => self.display(format_args!("{value:?}")),
            false => self.special(value),
        }
    }

    fn string(&mut self, value: &str) {
        self.separate();
        quote(&mut self.out, value);
    }

    fn blob(&mut self, value: &[u8]) {
        self.string(&STANDARD.encode(value));
    }

    fn timestamp(&mut self, value: Timestamp) {
        match self.timestamps {
            None | Some(TimestampFormat::EpochSeconds) => self.word(&value.decimal_seconds()),
            Some(format) => self.string(&value.format(format)),
        }
    }

    fn null(&mut self) {
        self.word("null");
    }
}

/// Appends `text` in quotes, escaping what JSON must.
fn quote(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    loop {
        let (clean, special) = rest.split_at(plain(rest));
        out.extend_from_slice(clean);
        let Some((&byte, after)) = special.split_first() else { break };
        escape(out, byte);
        rest = after;
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "\\u{other:04x}");
        }
    }
}
