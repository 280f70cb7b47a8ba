//! The patterns of the models, compiled once each, matched in linear time.

use regex::Regex;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Whether the whole of `text` matches a model's pattern. A pattern that does not compile matches everything; a test
/// makes sure that none of the generated tables has one.
pub(super) fn matches(pattern: &'static str, text: &str) -> bool {
    compiled(pattern).is_none_or(|regex| regex.is_match(text))
}

/// A pattern that does not compile is remembered as such.
type Compiled = HashMap<&'static str, Option<Arc<Regex>>>;

/// Patterns are statics of the tables: the cache is as large as the tables and never shrinks.
static CACHE: RwLock<Option<Compiled>> = RwLock::new(None);

fn compiled(pattern: &'static str) -> Option<Arc<Regex>> {
    let cached = CACHE.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(regex) = cached.as_ref().and_then(|cache| cache.get(pattern)) {
        return regex.clone();
    }
    drop(cached);
    let regex = compile(pattern).ok().map(Arc::new);
    let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
    cache.get_or_insert_default().entry(pattern).or_insert(regex).clone()
}

/// Patterns with a look-ahead, which linear time does without, and what they mean beside the lengths of the shape.
const LOOKING_AHEAD: &[(&str, &str)] = &[
    // The alias of an account: no two hyphens in a row.
    ("^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", "[a-z0-9](-?[a-z0-9])*"),
];

/// The models' patterns are Java's: unanchored, but matched whole, with ASCII classes.
pub(super) fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let same = LOOKING_AHEAD.iter().find(|(looking, _)| *looking == pattern);
    let pattern = same.map_or(pattern, |(_, same)| same);
    Regex::new(&format!(r"\A(?:{})\z", ascii_classes(pattern)))
}

/// `\w`, `\d` and `\s` mean ASCII in Java.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        let escaped = if letter == '\\' { letters.next() } else { None };
        match (letter, escaped) {
            ('\\', Some('w')) => out.push_str("[0-9A-Za-z_]"),
            ('\\', Some('d')) => out.push_str("[0-9]"),
            ('\\', Some('s')) => out.push_str(r"[ \t\n\x0B\f\r]"),
            ('\\', Some('S')) => out.push_str(r"[^ \t\n\x0B\f\r]"),
            (letter, escaped) => {
                out.push(letter);
                out.extend(escaped);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_alias_has_no_two_hyphens_in_a_row() {
        let alias = LOOKING_AHEAD[0].0;
        for good in ["abc", "a-b", "a-b-c", "0123456789"] {
            assert!(matches(alias, good), "{good}");
        }
        for bad in ["-ab", "ab-", "a--b", "A-b", "a_b", ""] {
            assert!(!matches(alias, bad), "{bad}");
        }
    }

    #[test]
    fn patterns_match_whole_strings_and_ascii_classes() {
        for (pattern, text, expected) in [
            ("a+", "aaa", true),
            ("a+", "baaa", false),
            (r"[\w+=,.@-]*", "a_b@c", true),
            (r"[\w]*", "é", false),
            (r"\d{12}", "٠٠٠٠٠٠٠٠٠٠٠٠", false),
            (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "größe 1", true),
            (r"a|b", "ab", false),
            (r"[\u0009\u000A\u000D\u0020-\u00FF]+", "Ü", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
