//! Requests changed in one place: every byte of every part, each once, and parts added, doubled and taken away.

use crate::request::Raw;

/// Every mutant, with the words that name it.
pub fn mutants(raw: &Raw) -> Vec<(String, Raw)> {
    let mut all = Vec::new();
    for (at, changed) in changes(&raw.method) {
        all.push((format!("method, byte {at}"), Raw { method: changed, ..raw.clone() }));
    }
    for (at, changed) in changes(&raw.target) {
        all.push((format!("target, byte {at}: {changed}"), Raw { target: changed, ..raw.clone() }));
    }
    for (at, changed) in changes(&raw.body) {
        all.push((format!("body, byte {at}"), Raw { body: changed, ..raw.clone() }));
    }
    all.push(("a longer body".to_owned(), Raw { body: format!("{} ", raw.body), ..raw.clone() }));
    for index in 0..raw.headers.len() {
        all.extend(header_mutants(raw, index));
    }
    for added in [("x-amz-target", "Other.Operation"), ("x-amz-security-token", "t"), ("x-amz-content-sha256", "0")] {
        let mut mutant = raw.clone();
        mutant.headers.push((added.0.to_owned(), added.1.to_owned()));
        all.push((format!("{} added", added.0), mutant));
    }
    all
}

fn header_mutants(raw: &Raw, index: usize) -> Vec<(String, Raw)> {
    let (name, value) = &raw.headers[index];
    let with = |header: Option<(String, String)>| {
        let mut mutant = raw.clone();
        mutant.headers.splice(index..=index, header);
        mutant
    };
    let values = changes(value)
        .into_iter()
        .map(|(at, changed)| (format!("value of {name}, byte {at}: {changed}"), with(Some((name.clone(), changed)))));
    let names = changes(name)
        .into_iter()
        .map(|(at, changed)| (format!("name of {name}, byte {at}: {changed}"), with(Some((changed, value.clone())))));
    let mut doubled = raw.clone();
    doubled.headers.push((name.clone(), value.clone()));
    let parts = [(format!("{name} taken away"), with(None)), (format!("{name} doubled"), doubled)];
    values.chain(names).chain(parts).collect()
}

/// The text with one byte changed to another of its class, for each byte; what is no text then is left out.
fn changes(text: &str) -> Vec<(usize, String)> {
    let change = |at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = other(bytes[at]);
        Some((at, String::from_utf8(bytes).ok()?))
    };
    (0..text.len()).filter_map(change).collect()
}

fn other(byte: u8) -> u8 {
    match byte {
        b'z' => b'a',
        b'Z' => b'A',
        b'9' => b'0',
        byte if byte.is_ascii_alphanumeric() => byte + 1,
        b' ' => b'_',
        b'/' => b'.',
        _ => b'x',
    }
}

/// Whether what was changed is not part of what a request says: segments that dots stand for or take away again.
pub fn means_the_same(raw: &Raw, mutant: &Raw) -> bool {
    let rest = |raw: &Raw| (raw.method.clone(), raw.headers.clone(), raw.body.clone());
    rest(raw) == rest(mutant) && resolve(&raw.target) == resolve(&mutant.target)
}

fn resolve(target: &str) -> (Vec<&str>, Option<&str>) {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut kept = Vec::new();
    for segment in path.split('/').filter(|segment| !["", "."].contains(segment)) {
        match segment {
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    (kept, query)
}
