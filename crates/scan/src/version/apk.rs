//! Alpine's rules: `number{.number}[letter]{_suffix[number]}[~hash][-rN]`.

use std::cmp::Ordering;

use super::{compare_digits, run};

/// Suffixes in their order; no suffix stands between `rc` and `cvs`.
const BEFORE: &[&str] = &["alpha", "beta", "pre", "rc"];
const AFTER: &[&str] = &["cvs", "svn", "git", "hg", "p"];

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (Version::parse(one)?, Version::parse(other)?);
    let order = one.compare_numbers(&other).then_with(|| one.letter.cmp(&other.letter));
    let order = order.then_with(|| one.compare_suffixes(&other));
    Some(order.then_with(|| one.hash.cmp(&other.hash)).then_with(|| compare_digits(one.revision, other.revision)))
}

struct Version<'a> {
    numbers: Vec<&'a str>,
    letter: Option<u8>,
    /// Rank and number. No suffix ranks 0, those that come before a release less.
    suffixes: Vec<(i32, &'a str)>,
    hash: Option<&'a str>,
    revision: &'a str,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (text, revision) = match text.rsplit_once("-r") {
            Some((text, revision)) if is_number(revision) => (text, revision),
            Some(_) => return None,
            None => (text, ""),
        };
        let (text, hash) = match text.split_once('~') {
            Some((text, hash)) if hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => (text, Some(hash)),
            Some(_) => return None,
            None => (text, None),
        };
        let mut parts = text.split('_');
        let release = parts.next()?;
        let letter = release.bytes().last().filter(u8::is_ascii_lowercase);
        let numbers: Vec<&str> = release[..release.len() - usize::from(letter.is_some())].split('.').collect();
        let suffixes = parts.map(suffix).collect::<Option<Vec<_>>>()?;
        numbers.iter().all(|number| is_number(number)).then_some(Self { numbers, letter, suffixes, hash, revision })
    }

    /// The first number is a number. Those after it are compared as fractions if either begins with a zero.
    fn compare_numbers(&self, other: &Self) -> Ordering {
        for (place, (one, other)) in self.numbers.iter().zip(&other.numbers).enumerate() {
            let is_fraction = place > 0 && (one.starts_with('0') || other.starts_with('0'));
            let order = if is_fraction { one.cmp(other) } else { compare_digits(one, other) };
            if order.is_ne() {
                return order;
            }
        }
        self.numbers.len().cmp(&other.numbers.len())
    }

    fn compare_suffixes(&self, other: &Self) -> Ordering {
        let most = self.suffixes.len().max(other.suffixes.len());
        let at = |version: &Self, place| version.suffixes.get(place).copied().unwrap_or((0, ""));
        let orders = (0..most).map(|place| {
            let ((rank, number), (other_rank, other_number)) = (at(self, place), at(other, place));
            rank.cmp(&other_rank).then_with(|| compare_digits(number, other_number))
        });
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

fn suffix(text: &str) -> Option<(i32, &str)> {
    let (name, number) = text.split_at(run(text, false));
    let place = |list: &[&str]| list.iter().position(|known| *known == name).and_then(|at| i32::try_from(at).ok());
    let rank = place(BEFORE).map(|at| at - 4).or_else(|| place(AFTER).map(|at| at + 1))?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some((rank, number))
}
