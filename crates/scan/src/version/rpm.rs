//! Rpm's rules: segments of digits or letters; a tilde sorts before the end, a caret after it but before anything else.

use std::cmp::Ordering;

use super::compare_digits;

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Parts::parse(one)?, Parts::parse(other)?);
    let order = compare_digits(one.epoch, other.epoch).then_with(|| compare_part(one.version, other.version));
    // A version without a release comes before all of its releases.
    Some(match (one.release, other.release) {
        (Some(release), Some(other)) => order.then_with(|| compare_part(release, other)),
        (None, None) => order,
        (release, _) => order.then(if release.is_none() { Ordering::Less } else { Ordering::Greater }),
    })
}

struct Parts<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (epoch, rest) = text.split_once(':').unwrap_or(("0", text));
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
        (is_number && is_plain && !version.is_empty()).then_some(Self { epoch, version, release })
    }
}

fn compare_part(mut one: &str, mut other: &str) -> Ordering {
    loop {
        (one, other) = (past_separators(one), past_separators(other));
        if let Some(order) = compare_mark(&mut one, &mut other) {
            if order.is_ne() {
                return order;
            }
            continue;
        }
        if one.is_empty() || other.is_empty() {
            return one.len().cmp(&other.len());
        }
        let (segment, other_segment) = (take(&mut one), take(&mut other));
        let is_number = |segment: &str| segment.starts_with(|first: char| first.is_ascii_digit());
        let order = match (is_number(segment), is_number(other_segment)) {
            (true, true) => compare_digits(segment, other_segment),
            (false, false) => segment.cmp(other_segment),
            // Numbers are later than letters.
            (is_number, _) => is_number.cmp(&!is_number),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn past_separators(text: &str) -> &str {
    text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^')
}

/// Of a tilde or a caret at either's beginning, which are passed over where both have it; `None` if there is none.
fn compare_mark(one: &mut &str, other: &mut &str) -> Option<Ordering> {
    for (mark, at_end) in [('~', Ordering::Less), ('^', Ordering::Greater)] {
        match (one.strip_prefix(mark), other.strip_prefix(mark)) {
            (Some(rest), Some(other_rest)) => {
                (*one, *other) = (rest, other_rest);
                return Some(Ordering::Equal);
            }
            (Some(_), None) => return Some(if other.is_empty() { at_end } else { Ordering::Less }),
            (None, Some(_)) => return Some(if one.is_empty() { at_end.reverse() } else { Ordering::Greater }),
            (None, None) => {}
        }
    }
    None
}

fn take<'a>(text: &mut &'a str) -> &'a str {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit());
    let differs = |c: char| if is_number { !c.is_ascii_digit() } else { !c.is_ascii_alphabetic() };
    let (taken, rest) = text.split_at(text.find(differs).unwrap_or(text.len()));
    *text = rest;
    taken
}
