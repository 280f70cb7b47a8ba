//! Conditions on the words of messages that are fields with spaces between.

use super::value::Comparison;

/// One field's condition. A name alone takes anything.
#[derive(Clone, Debug)]
pub(super) enum Field {
    Anything,
    All(Vec<Field>),
    Any(Vec<Field>),
    Is(Comparison),
}

impl Field {
    fn regexes(&self) -> usize {
        match self {
            Self::Anything => 0,
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::regexes).sum(),
            Self::Is(comparison) => comparison.regexes(),
        }
    }

    fn holds(&self, word: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::All(parts) => parts.iter().all(|part| part.holds(word)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(word)),
            Self::Is(comparison) => match number(word) {
                Some(number) => comparison.holds_for_number(number, word),
                None => comparison.holds_for_text(word),
            },
        }
    }
}

/// What reads as a number: digits first, so that words such as `inf` are none.
fn number(word: &str) -> Option<f64> {
    let digits = word.trim_start_matches(['-', '+', '.']);
    let begins = digits.starts_with(|first: char| first.is_ascii_digit());
    begins.then(|| word.parse().ok()).flatten()
}

/// Conditions on the first fields and on the last; with an ellipsis there may be others between.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub first: Vec<Field>,
    /// What follows the ellipsis, if there is one.
    pub last: Option<Vec<Field>>,
}

impl Fields {
    /// Regular expressions in it.
    pub fn regexes(&self) -> usize {
        let fields = self.first.iter().chain(self.last.iter().flatten());
        fields.map(Field::regexes).sum()
    }

    pub fn matches(&self, message: &str) -> bool {
        let words = words(message);
        let last = self.last.as_deref().unwrap_or_default();
        let wanted = self.first.len() + last.len();
        let enough = match self.last {
            Some(_) => words.len() >= wanted,
            None => words.len() == wanted,
        };
        if !enough {
            return false;
        }
        let (head, tail) = words.split_at(words.len() - last.len());
        let hold = |fields: &[Field], words: &[&str]| {
            let mut pairs = fields.iter().zip(words);
            pairs.all(|(field, word)| field.holds(word))
        };
        hold(&self.first, head) && hold(last, tail)
    }
}

/// The fields of a message: words between white space; what stands in brackets or quotes is one field, without them.
fn words(message: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut closers = [Closer::new(']'), Closer::new('"')];
    let mut at = 0;
    while let Some(start) = find(message, at, |character| !character.is_whitespace()) {
        let closer = match message.as_bytes()[start] {
            b'[' => closers[0].after(message, start + 1),
            b'"' => closers[1].after(message, start + 1),
            _ => None,
        };
        let whole = |end: &usize| {
            let next = message[end + 1..].chars().next();
            next.is_none_or(char::is_whitespace)
        };
        match closer.filter(whole) {
            Some(end) => {
                words.push(&message[start + 1..end]);
                at = end + 1;
            }
            None => {
                at = find(message, start, char::is_whitespace).unwrap_or(message.len());
                words.push(&message[start..at]);
            }
        }
    }
    words
}

fn find(message: &str, from: usize, wanted: impl Fn(char) -> bool) -> Option<usize> {
    message[from..].find(wanted).map(|found| from + found)
}

/// Where the next closing mark is. Remembered, so that a message is looked through once however many open ones it has.
struct Closer {
    mark: char,
    next: Option<Option<usize>>,
}

impl Closer {
    fn new(mark: char) -> Self {
        Self { mark, next: None }
    }

    fn after(&mut self, message: &str, from: usize) -> Option<usize> {
        let stale = match self.next {
            None => true,
            Some(found) => found.is_some_and(|found| found < from),
        };
        if stale {
            self.next = Some(find(message, from, |character| character == self.mark));
        }
        self.next.flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_splits_into_words_brackets_and_quotes() {
        let rows: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("  a  b ", &["a", "b"]),
            ("1.2.3.4 - [10/Oct 13:25] \"GET /x HTTP\" 200", &["1.2.3.4", "-", "10/Oct 13:25", "GET /x HTTP", "200"]),
            ("[open and on", &["[open", "and", "on"]),
            ("[a]b c", &["[a]b", "c"]),
            ("\"\" x", &["", "x"]),
            ("[ [ [ x]y", &["[", "[", "[", "x]y"]),
            ("ü [ö ä]", &["ü", "ö ä"]),
        ];
        for (message, wanted) in rows {
            assert_eq!(words(message), wanted, "{message}");
        }
    }

    #[test]
    fn only_digits_make_a_number() {
        assert_eq!(number("-1.5e3"), Some(-1500.0));
        for word in ["inf", "NaN", "4xx", "-", ""] {
            assert_eq!(number(word), None, "{word}");
        }
    }
}
