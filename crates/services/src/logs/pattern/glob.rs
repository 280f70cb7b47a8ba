//! Texts in which `*` stands for any characters.

/// A text with wildcards, cut at them: `a*b` is `["a", "b"]`, `*` is `["", ""]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    parts: Vec<String>,
}

impl Glob {
    /// From what lies between the wildcards.
    pub fn new(parts: Vec<String>) -> Self {
        Self { parts }
    }

    /// From a text without escapes.
    pub fn of(text: &str) -> Self {
        Self::new(text.split('*').map(str::to_owned).collect())
    }

    /// Whether this is `*` alone.
    pub fn is_any(&self) -> bool {
        self.parts.len() > 1 && self.parts.iter().all(String::is_empty)
    }

    /// Whether the whole `text` is meant. Each part is taken where it is first found: that never spoils a later one, so
    /// nothing is tried twice.
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else {
            return text.is_empty();
        };
        let Some((last, middle)) = rest.split_last() else {
            return text == first;
        };
        let Some(mut text) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            match text.find(part.as_str()) {
                Some(at) => text = &text[at + part.len()..],
                None => return false,
            }
        }
        text.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let rows = [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("a*b*c", "a-bb-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*b*", "abc", true),
            ("**", "x", true),
            ("ü*ß", "über groß", true),
        ];
        for (glob, text, matches) in rows {
            assert_eq!(Glob::of(glob).matches(text), matches, "{glob} on {text}");
        }
    }
}
