//! Patterns of tags, as exclusions of mutability and lifecycle policies write them.

/// Whether a text is one of a pattern's, whose stars stand for any letters, or none.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut rest) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on when what follows the last star was not there: the last star's pattern, and the text behind it.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), rest.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, rest));
                pattern = after;
                continue;
            }
            (Some((wanted, after)), Some((found, behind))) if wanted == found => {
                (pattern, rest) = (after, behind);
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        let Some((after, [_, behind @ ..])) = retry else { return false };
        retry = Some((after, behind));
        (pattern, rest) = (after, behind);
    }
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
}
