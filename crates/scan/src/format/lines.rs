//! Lock files in the TOML that cargo, poetry, uv and pdm write: tables `[[package]]`, each key on a line of its own.

use super::shelf::Shelf;
use crate::package::Kind;

/// Read by lines: a picture of a large file's TOML would take many times its size.
pub(super) fn read_toml(text: &str, kind: Kind, shelf: &mut Shelf<'_>) {
    let (mut name, mut version, mut is_package) = (None, None, false);
    for line in text.lines().chain(["[]"]) {
        if line.starts_with('[') {
            if let (Some(name), Some(version)) = (name.take(), version.take()) {
                shelf.add(kind, name, version);
            }
            is_package = line.trim_end() == "[[package]]";
        } else if is_package {
            name = name.or(value(line, "name"));
            version = version.or(value(line, "version"));
        }
    }
}

/// The text that a line gives to a key.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let value = line.strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
    value.strip_prefix('"')?.strip_suffix('"')
}
