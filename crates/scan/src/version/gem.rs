//! RubyGems' rules: numbers and words in turn, with dots or without; a word makes it a version before the release.

use std::cmp::Ordering;

use super::{compare_digits, run};

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (segments(one)?, segments(other)?);
    let most = one.len().max(other.len());
    let orders = (0..most).map(|place| compare_segment(one.get(place), other.get(place)));
    Some(orders.fold(Ordering::Equal, Ordering::then))
}

/// The segments without zeros at the end of either part: the numbers up to the first word, and what follows.
fn segments(version: &str) -> Option<Vec<String>> {
    let version = version.trim();
    // `1-2` is `1.pre.2`.
    let version = version.replace('-', ".pre.");
    let mut segments = Vec::new();
    for part in version.split('.') {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let mut rest = part;
        while !rest.is_empty() {
            let is_digits = rest.starts_with(|first: char| first.is_ascii_digit());
            let (segment, left) = rest.split_at(run(rest, is_digits));
            segments.push(segment.to_owned());
            rest = left;
        }
    }
    let first_word = segments.iter().position(|segment| is_word(segment)).unwrap_or(segments.len());
    let words = trimmed(segments.split_off(first_word));
    let mut whole = trimmed(segments);
    whole.extend(words);
    Some(whole)
}

fn trimmed(mut segments: Vec<String>) -> Vec<String> {
    while segments.last().is_some_and(|last| last.bytes().all(|byte| byte == b'0')) {
        segments.pop();
    }
    segments
}

fn is_word(segment: &str) -> bool {
    segment.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// A segment that is not there is a zero, which is later than any word.
fn compare_segment(one: Option<&String>, other: Option<&String>) -> Ordering {
    let (one, other) = (one.map_or("0", String::as_str), other.map_or("0", String::as_str));
    match (is_word(one), is_word(other)) {
        (true, true) => one.cmp(other),
        (false, false) => compare_digits(one, other),
        (is_word, _) => (!is_word).cmp(&is_word),
    }
}
