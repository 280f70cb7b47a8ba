//! Semantic versioning (<https://semver.org>), with what registries let through: a `v` before it, fewer than three numbers or
//! more, zeros before them. What is built has no weight.

use std::cmp::Ordering;

use super::compare_digits;

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Version::parse(one)?, Version::parse(other)?);
    let most = one.numbers.len().max(other.numbers.len());
    let orders = (0..most).map(|place| compare_digits(one.number(place), other.number(place)));
    let order = orders.fold(Ordering::Equal, Ordering::then);
    Some(order.then_with(|| compare_pre(one.pre, other.pre)))
}

struct Version<'a> {
    numbers: Vec<&'a str>,
    pre: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', '=']).unwrap_or(text);
        let text = text.split('+').next().unwrap_or(text);
        let (release, pre) = match text.split_once('-') {
            Some((release, pre)) => (release, Some(pre)),
            None => (text, None),
        };
        let numbers: Vec<&str> = release.split('.').collect();
        let is_number = |number: &&str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_whole = numbers.iter().all(is_number) && pre.is_none_or(|pre| pre.split('.').all(is_name));
        is_whole.then_some(Self { numbers, pre })
    }

    fn number(&self, place: usize) -> &'a str {
        self.numbers.get(place).copied().unwrap_or("0")
    }
}

fn compare_pre(one: Option<&str>, other: Option<&str>) -> Ordering {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        // A release is later than what was published before it.
        (one, other) => return other.is_some().cmp(&one.is_some()),
    };
    let (mut names, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (names.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(name), Some(other)) => compare_name(name, other),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn compare_name(one: &str, other: &str) -> Ordering {
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    match (is_number(one), is_number(other)) {
        (true, true) => compare_digits(one, other),
        (false, false) => one.cmp(other),
        (is_number, _) => (!is_number).cmp(&is_number),
    }
}
