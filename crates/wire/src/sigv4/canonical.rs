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
        let mut text = format!("{}\n{}\n{}\n", self.method, self.canonical_path(), canonical_query(self.query));
        for name in self.signed_headers {
            let _ = writeln!(text, "{name}:{}", self.header(name));
        }
        let _ = write!(text, "\n{}\n{}", self.signed_headers.join(";"), self.payload_hash);
        text
    }

    fn canonical_path(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { self.path };
        if !self.normalize_path {
            return path.to_owned();
        }
        encode(remove_dot_segments(path).as_bytes(), true)
    }

    /// The values of a header, trimmed, inner runs of spaces made one, joined by commas.
    fn header(&self, name: &str) -> String {
        let values = self.headers.iter().filter(|(other, _)| other == &name);
        let trimmed = values.map(|(_, value)| value.split([' ', '\t', '\n']).filter(|part| !part.is_empty()));
        trimmed.map(|parts| parts.collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(",")
    }
}

/// The hexadecimal SHA-256 of a body.
pub fn payload_hash(body: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, body).as_ref())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names and values decoded, encoded anew, and sorted.
fn canonical_query(query: &str) -> String {
    let mut fields: Vec<(String, String)> = query
        .split('&')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').unwrap_or((field, "")))
        .map(|(name, value)| (encode(&decode(name), false), encode(&decode(value), false)))
        .collect();
    fields.sort();
    let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    fields.join("&")
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

fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/');
        if plain {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
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
