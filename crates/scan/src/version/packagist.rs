//! Composer's rules: numbers, then how stable it is, with a number of its own: `1.2.3-beta4`.

use std::cmp::Ordering;

use super::{compare_digits, run};

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Version::parse(one)?, Version::parse(other)?);
    let order = compare_lists(&one.numbers, &other.numbers);
    let order = order.then(one.stability.cmp(&other.stability));
    Some(order.then_with(|| compare_lists(&one.build, &other.build)).then(other.is_dev.cmp(&one.is_dev)))
}

struct Version {
    numbers: Vec<String>,
    stability: i8,
    build: Vec<String>,
    is_dev: bool,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let text = text.split('+').next().unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (release, rest) = text.split_at(end);
        let numbers = numbers(release.trim_end_matches('.'))?;
        let rest = rest.trim_start_matches(['-', '_', '.']);
        let (rest, is_dev) = match rest.strip_suffix("dev") {
            Some(rest) => (rest.trim_end_matches(['-', '.']), true),
            None => (rest, false),
        };
        let (word, build) = rest.split_at(run(rest, false));
        let word = word.trim_end_matches(['-', '.', '_']);
        let stability = stability(word, is_dev && rest.is_empty())?;
        let build = if build.is_empty() { Vec::new() } else { self::numbers(&build.replace('-', "."))? };
        Some(Self { numbers, stability, build, is_dev })
    }
}

/// `None` for a word that is none of Composer's.
fn stability(word: &str, is_dev_alone: bool) -> Option<i8> {
    match word {
        "" if is_dev_alone => Some(-4),
        "a" | "alpha" => Some(-3),
        "b" | "beta" => Some(-2),
        "rc" => Some(-1),
        "" | "stable" => Some(0),
        "p" | "pl" | "patch" => Some(1),
        _ => None,
    }
}

fn numbers(text: &str) -> Option<Vec<String>> {
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let numbers: Vec<String> = text.split('.').map(str::to_owned).collect();
    numbers.iter().all(|number| is_number(number)).then_some(numbers)
}

fn compare_lists(one: &[String], other: &[String]) -> Ordering {
    let at = |list: &[String], place: usize| list.get(place).cloned().unwrap_or_default();
    let orders = (0..one.len().max(other.len())).map(|place| compare_digits(&at(one, place), &at(other, place)));
    orders.fold(Ordering::Equal, Ordering::then)
}
