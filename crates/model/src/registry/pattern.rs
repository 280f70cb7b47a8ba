//! Patterns of tags, as exclusions of mutability and lifecycle policies write them.

/// Whether a text is one of a pattern's, whose stars stand for any letters, or none. What comes between two stars is looked for
/// where it is first: no later place would leave more to the rest.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else { return false };
    between.split('*').try_fold(text.as_bytes(), |text, part| behind(text, part.as_bytes())).is_some()
}

/// What comes behind a part of a text, where that is first. Both are short: where two ends are right the rest is compared, and
/// nothing is prepared as searches of long texts do, which would take longer than it saves.
fn behind<'a>(text: &'a [u8], part: &[u8]) -> Option<&'a [u8]> {
    let (Some(first), Some(last)) = (part.first(), part.last()) else { return Some(text) };
    let is_here = |here: &[u8]| here.first() == Some(first) && here.last() == Some(last) && here == part;
    let at = text.windows(part.len()).position(is_here)?;
    text.get(at + part.len()..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters_or_none() {
        for (pattern, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("prod*", "prod", true),
            ("prod*", "production", true),
            ("prod*", "aprod", false),
            ("*prod", "aprod", true),
            ("*prod", "aprods", false),
            ("*prod*", "aprods", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXcXb", false),
            ("a*a", "a", false),
            ("a*ba", "aba", true),
            ("a*ba", "abba", true),
            ("ab*ba", "aba", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aba", false),
            ("*aab*", "aaab", true),
            ("**", "", true),
            ("ü*é", "ü-é", true),
            ("a**c", "ac", true),
            ("v1.*", "v1x", false),
            ("latest", "latest", true),
            ("latest", "latests", false),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
        let (pattern, text) = (format!("{}b", "a*".repeat(60)), "a".repeat(128));
        assert!(!matches(&pattern, &text));
    }

    /// As the rule says it, and slowly.
    fn matches_plainly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', after)) => (0..=text.len()).any(|at| matches_plainly(after, &text[at..])),
            Some((wanted, after)) => text.first() == Some(wanted) && matches_plainly(after, &text[1..]),
        }
    }

    /// All words of some letters, up to a length.
    fn words(letters: &[char], most: usize) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut from = 0;
        for _ in 0..most {
            let longer: Vec<String> = words[from..]
                .iter()
                .flat_map(|word| letters.iter().map(move |letter| format!("{word}{letter}")))
                .collect();
            from = words.len();
            words.extend(longer);
        }
        words
    }

    #[test]
    fn every_short_pattern_has_the_texts_that_the_rule_gives_it() {
        let texts = words(&['a', 'b'], 6);
        for pattern in words(&['a', 'b', '*'], 5) {
            for text in &texts {
                let wanted = matches_plainly(pattern.as_bytes(), text.as_bytes());
                assert_eq!(matches(&pattern, text), wanted, "{pattern} {text}");
            }
        }
    }
}
