//! Maven's rules (the version order specification of its POM reference): tokens between dots, hyphens and changes from digits to
//! letters, with known words in an order of their own.

use std::cmp::Ordering;

use super::{compare_digits, run};

/// Words before a release, in their order.
const BEFORE: &[&str] = &["alpha", "beta", "milestone", "rc", "snapshot"];
/// Words that say nothing.
const NOTHING: &[&str] = &["", "final", "ga", "release"];

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (one, other) = (tokens(one)?, tokens(other)?);
    let most = one.len().max(other.len());
    let orders = (0..most).map(|place| match (one.get(place), other.get(place)) {
        (Some(token), Some(other)) => token.compare(other),
        (Some(token), None) => token.compare_to_nothing(),
        (None, Some(other)) => other.compare_to_nothing().reverse(),
        (None, None) => Ordering::Equal,
    });
    Some(orders.fold(Ordering::Equal, Ordering::then))
}

#[derive(Debug)]
struct Token {
    after_hyphen: bool,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Number(String),
    Word(String),
}

impl Token {
    fn new(text: &str, after_hyphen: bool, before_digit: bool) -> Self {
        let is_number = text.is_empty() || text.starts_with(|first: char| first.is_ascii_digit());
        let value = match text {
            "" => Value::Number("0".to_owned()),
            number if is_number => Value::Number(number.to_owned()),
            "a" if before_digit => Value::Word("alpha".to_owned()),
            "b" if before_digit => Value::Word("beta".to_owned()),
            "m" if before_digit => Value::Word("milestone".to_owned()),
            "cr" => Value::Word("rc".to_owned()),
            word => Value::Word(word.to_owned()),
        };
        // A word after a dot is as good as one after a hyphen.
        Self { after_hyphen: after_hyphen || matches!(value, Value::Word(_)), value }
    }

    fn is_nothing(&self) -> bool {
        self.compare_to_nothing().is_eq()
    }

    fn compare_to_nothing(&self) -> Ordering {
        match &self.value {
            Value::Number(number) => compare_digits(number, "0"),
            Value::Word(word) => rank(word).cmp(&rank("")),
        }
    }

    fn compare(&self, other: &Self) -> Ordering {
        let place = |token: &Self| match (&token.value, token.after_hyphen) {
            (Value::Word(_), _) => 0,
            (Value::Number(_), true) => 1,
            (Value::Number(_), false) => 2,
        };
        place(self).cmp(&place(other)).then_with(|| match (&self.value, &other.value) {
            (Value::Number(one), Value::Number(other)) => compare_digits(one, other),
            (Value::Word(one), Value::Word(other)) => rank(one).cmp(&rank(other)),
            _ => Ordering::Equal,
        })
    }
}

/// Where a word stands: known ones before a release, the release, `sp`, all others by their letters.
fn rank(word: &str) -> (usize, &str) {
    let after = BEFORE.len();
    match BEFORE.iter().position(|known| *known == word) {
        Some(at) => (at, ""),
        None if NOTHING.contains(&word) => (after, ""),
        None if word == "sp" => (after + 1, ""),
        None => (after + 2, word),
    }
}

fn tokens(version: &str) -> Option<Vec<Token>> {
    let version = version.trim().to_ascii_lowercase();
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut tokens = Vec::new();
    let (mut rest, mut after_hyphen) = (version.as_str(), false);
    loop {
        let is_digits = rest.starts_with(|first: char| first.is_ascii_digit());
        let word_end = || rest.find(|c: char| c.is_ascii_digit() || ".-_".contains(c)).unwrap_or(rest.len());
        let (text, left) = rest.split_at(if is_digits { run(rest, true) } else { word_end() });
        let before_digit = left.starts_with(|first: char| first.is_ascii_digit());
        tokens.push(Token::new(text, after_hyphen, before_digit));
        let Some(separator) = left.chars().next() else { break };
        let is_separator = ".-_".contains(separator);
        // A change from digits to letters or back is as good as a hyphen.
        after_hyphen = separator != '.' && separator != '_';
        rest = if is_separator { &left[1..] } else { left };
    }
    trim(&mut tokens);
    Some(tokens)
}

/// What says nothing goes, at the end and before each hyphen.
fn trim(tokens: &mut Vec<Token>) {
    let mut end = tokens.len();
    loop {
        let mut begin = end;
        while begin > 0 && tokens[begin - 1].is_nothing() {
            begin -= 1;
        }
        tokens.drain(begin..end);
        match tokens[..begin].iter().rposition(|token| token.after_hyphen) {
            Some(hyphen) => end = hyphen,
            None => return,
        }
    }
}
