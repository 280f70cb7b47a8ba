//! Debian's rules (deb-version(7)): texts and numbers in turn; in texts a tilde sorts before the end, letters before all else.

use std::cmp::Ordering;

use super::{compare_digits, run};

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Parts::parse(one)?, Parts::parse(other)?);
    let epoch = compare_digits(one.epoch, other.epoch);
    let upstream = || compare_part(one.upstream, other.upstream);
    Some(epoch.then_with(upstream).then_with(|| compare_part(one.revision, other.revision)))
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn parse(version: &'a str) -> Option<Self> {
        let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte));
        let is_number = !epoch.is_empty() && epoch.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && !upstream.is_empty() && is_plain(rest)).then_some(Self { epoch, upstream, revision })
    }
}

fn compare_part(mut one: &str, mut other: &str) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let (text, other_text) = (take(&mut one, false), take(&mut other, false));
        let (number, other_number) = (take(&mut one, true), take(&mut other, true));
        let order = compare_text(text, other_text).then_with(|| compare_digits(number, other_number));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn take<'a>(text: &mut &'a str, is_digits: bool) -> &'a str {
    let (taken, rest) = text.split_at(run(text, is_digits));
    *text = rest;
    taken
}

fn compare_text(one: &str, other: &str) -> Ordering {
    // The end has a weight of its own, between the tilde and the letters.
    let weights = |text: &str| text.bytes().map(weight).chain([0]).collect::<Vec<i32>>();
    weights(one).cmp(&weights(other))
}

fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        byte if byte.is_ascii_alphabetic() => i32::from(byte),
        byte => i32::from(byte) + 256,
    }
}
