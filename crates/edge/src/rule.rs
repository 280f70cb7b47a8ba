//! Which rule a request is for. Pure.
//!
//! The path and the query are compared as they came, before any decoding. `*` stands for any characters, `?` for one, `\`
//! takes the meaning from the next one.

use std::net::IpAddr;

use http::HeaderMap;
use longshore_link::edge::{Action, Condition, Listener, QueryPair};

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// Without the port.
    pub host: &'r str,
    pub path: &'r str,
    /// Without `?`.
    pub query: &'r str,
    pub method: &'r str,
    pub source: IpAddr,
    pub headers: &'r HeaderMap,
}

/// The action for a request: of the first rule, in order of priority, whose conditions all hold, else the default one.
pub fn choose<'l>(listener: &'l Listener, asked: &Asked<'_>) -> &'l Action {
    let rule = listener.rules.iter().find(|rule| rule.conditions.iter().all(|condition| holds(condition, asked)));
    rule.map_or(&listener.default_action, |rule| &rule.action)
}

/// Whether one of the condition's values is the request's.
pub fn holds(condition: &Condition, asked: &Asked<'_>) -> bool {
    let any = |values: &[String], text: &[u8], fold| values.iter().any(|value| is_like(value.as_bytes(), text, fold));
    match condition {
        Condition::HostHeader { values } => any(values, asked.host.as_bytes(), true),
        Condition::PathPattern { values } => any(values, asked.path.as_bytes(), false),
        Condition::HttpHeader { name, values } => {
            asked.headers.get_all(name.as_str()).iter().any(|header| any(values, header.as_bytes(), true))
        }
        Condition::HttpRequestMethod { values } => values.iter().any(|value| value == asked.method),
        Condition::QueryString { values } => values.iter().any(|pair| has_pair(pair, asked.query)),
        Condition::SourceIp { values } => {
            let source = asked.source.to_canonical();
            values.iter().any(|net| net.contains(&source))
        }
    }
}

fn has_pair(wanted: &QueryPair, query: &str) -> bool {
    query.split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key_fits = wanted.key.as_ref().is_none_or(|wanted| is_like(wanted.as_bytes(), key.as_bytes(), true));
        !pair.is_empty() && key_fits && is_like(wanted.value.as_bytes(), value.as_bytes(), true)
    })
}

/// One element of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Star,
    Any,
    Byte(u8),
}

/// The piece at the pattern's beginning, and its length.
fn piece(pattern: &[u8]) -> Option<(Piece, usize)> {
    match *pattern {
        [] => None,
        [b'*', ..] => Some((Piece::Star, 1)),
        [b'?', ..] => Some((Piece::Any, 1)),
        [b'\\', byte, ..] => Some((Piece::Byte(byte), 2)),
        [byte, ..] => Some((Piece::Byte(byte), 1)),
    }
}

/// Whether the pattern stands for the whole text; `fold` is that case does not count. Takes at most as many steps as the two
/// lengths multiplied.
pub fn is_like(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    let same = |one: u8, other: u8| if fold { one.eq_ignore_ascii_case(&other) } else { one == other };
    let (mut at, mut read) = (0, 0);
    // After the last star: the rest of the pattern, and how much of the text the star stands for so far ends where.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match piece(&pattern[at..]) {
            Some((Piece::Star, length)) => {
                at += length;
                star = Some((at, read));
                continue;
            }
            Some((Piece::Any, length)) => {
                (at, read) = (at + length, read + 1);
                continue;
            }
            Some((Piece::Byte(byte), length)) if same(byte, text[read]) => {
                (at, read) = (at + length, read + 1);
                continue;
            }
            _ => {}
        }
        let Some((after, taken)) = star else { return false };
        star = Some((after, taken + 1));
        (at, read) = (after, taken + 1);
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests;
