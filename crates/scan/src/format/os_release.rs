//! `os-release`: assignments as a shell would read them.

use crate::package::Distribution;

/// Of a value that is kept.
const LONGEST: usize = 256;

/// `None` if it names no distribution.
pub(super) fn read(bytes: &[u8]) -> Option<Distribution> {
    let text = String::from_utf8_lossy(bytes);
    let mut release = Distribution::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        let Some(value) = unquoted(value).filter(|value| value.len() <= LONGEST) else { continue };
        match key {
            "ID" => release.id = value,
            "VERSION_ID" => release.version = Some(value).filter(|version| !version.is_empty()),
            "PRETTY_NAME" => release.pretty_name = Some(value),
            "VERSION" => release.is_long_term = value.contains("LTS"),
            _ => {}
        }
    }
    Some(release).filter(|release| !release.id.is_empty())
}

/// A value without its quotes and backslashes; `None` if quotes do not end.
fn unquoted(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
    let Some(quote) = quote else { return Some(value.to_owned()) };
    let inner = value[1..].strip_suffix(quote)?;
    let mut out = String::with_capacity(inner.len());
    let mut escaped = false;
    for c in inner.chars() {
        if c == '\\' && !escaped && quote == '"' {
            escaped = true;
        } else {
            escaped = false;
            out.extend(Some(c).filter(|c| !c.is_control()));
        }
    }
    Some(out)
}
