//! JSON, strict: what the JSON protocols carry and records are kept as.
//!
//! Reading is one pass over the bytes, led by the shape table. Refused: a byte order mark, anything after the value,
//! invalid UTF-8, raw control characters, NUL even when escaped, lone surrogates, duplicate keys, nesting deeper than
//! [`MAX_DEPTH`], numbers beyond their kind. Unknown members are checked for syntax and dropped; `null` members are absent.

mod decode;
mod parse;
mod write;

pub use decode::{decode, decode_within};
pub use write::JsonWriter;
pub(crate) use write::special_name;

use crate::{Result, Shape};

/// How deep lists and structures may nest.
pub const MAX_DEPTH: usize = 128;

/// The JSON of a value.
pub fn to_vec<T: Shape>(value: &T) -> Vec<u8> {
    let mut writer = JsonWriter::with_room(512);
    value.write(&mut writer);
    writer.into_bytes()
}

/// The value in a JSON text.
///
/// # Errors
/// If the text is no JSON, or not of the shape of `T`.
pub fn from_slice<T: Shape>(bytes: &[u8]) -> Result<T> {
    T::from_value(decode(bytes, T::def())?)
}

/// How many bytes at the beginning stand for themselves. Sixteen are looked at together, which the compiler makes one step.
fn plain(bytes: &[u8]) -> usize {
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let none = |chunk: &&[u8]| !chunk.iter().fold(false, |found, byte| found | special(byte));
    let skipped = bytes.chunks_exact(16).take_while(none).count() * 16;
    bytes[skipped..].iter().position(special).map_or(bytes.len(), |found| skipped + found)
}
