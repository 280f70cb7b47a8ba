//! The canonical form of a request: the bytes a signature covers.

use aws_lc_rs::digest;
use std::fmt::Write;

/// Stands for the body's hash when the body is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What of a request is signed.
pub struct CanonicalRequest<'a> {
    pub method: &'a str,
    /// As on the request line, percent-encoded, without the query.
    pub path: &'a str,
    /// As on the request line, without the question mark. `X-Amz-Signature` must be left out of it.
    pub query: &'a str,
    /// All headers, names in lower case. Those not in `signed_headers` are ignored.
    pub headers: &'a [(&'a str, &'a str)],
    /// Sorted, lower case.
    pub signed_headers: &'a [&'a str],
    /// [`payload_hash`] of the body, or [`UNSIGNED_PAYLOAD`].
    pub payload_hash: &'a str,
    /// Every service but S3 removes dot segments and encodes the path's percent signs once more.
    pub normalize_path: bool,
}

impl CanonicalRequest<'_> {
    /// The canonical text.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(1024);
        text.push_str(self.method);
        text.push('\n');
        self.path(&mut text);
        text.push('\n');
        canonical_query(self.query, &mut text);
        text.push('\n');
        for name in self.signed_headers {
            text.push_str(name);
            text.push(':');
            self.header(name, &mut text);
            text.push('\n');
        }
        text.push('\n');
        joined(self.signed_headers.iter().copied(), ";", &mut text);
        text.push('\n');
        text.push_str(self.payload_hash);
        text
    }

    fn path(&self, text: &mut String) {
        let path = if self.path.is_empty() { "/" } else { self.path };
        match self.normalize_path {
            true => encode(remove_dot_segments(path).as_bytes(), true, text),
            false => text.push_str(path),
        }
    }

    /// The values of a header, trimmed, inner runs of spaces made one, joined by commas.
    fn header(&self, name: &str, text: &mut String) {
        let values = self.headers.iter().filter(|(other, _)| *other == name);
        for (at, (_, value)) in values.enumerate() {
            if at > 0 {
                text.push(',');
            }
            joined(value.split([' ', '\t', '\n']).filter(|part| !part.is_empty()), " ", text);
        }
    }
}

/// Adds the parts with something between them.
fn joined<'a>(parts: impl Iterator<Item = &'a str>, between: &str, text: &mut String) {
    for (at, part) in parts.enumerate() {
        if at > 0 {
            text.push_str(between);
        }
        text.push_str(part);
    }
}

/// The hexadecimal SHA-256 of a body.
pub fn payload_hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

/// In small digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
    text
}

/// Names and values decoded, encoded anew, and sorted.
fn canonical_query(query: &str, text: &mut String) {
    let mut fields: Vec<(String, String)> = query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .map(|(name, value)| (encoded(&decode(name)), encoded(&decode(value))))
        .collect();
    fields.sort();
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
}

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    encode(bytes, false, &mut text);
    text
}

/// Percent-decodes; what is no escape stays as it is. A plus is a plus.
pub(super) fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = if bytes[at] == b'%' { bytes.get(at + 1..at + 3) } else { None };
        let digits = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|digits| !digits.starts_with('+')).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// Percent-encodes all but the unreserved characters, and slashes if they are to stay.
fn encode(bytes: &[u8], keep_slash: bool, text: &mut String) {
    for &byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
        if plain {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

/// `/a/./b/../c` is `/a/c`; empty segments go as well, a slash at the end stays.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let directory = path.ends_with('/') && !kept.is_empty();
    format!("/{}{}", kept.join("/"), if directory { "/" } else { "" })
}
