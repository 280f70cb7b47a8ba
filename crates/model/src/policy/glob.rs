//! Texts with holes: `*` stands for any characters, `?` for one. No regular expressions, no backtracking.
//!
//! A pattern is cut at its stars. The first piece must begin the text and the last must end it; each piece between is
//! looked for behind the one before, and the first place is always good enough. A piece without `?` is found by the
//! standard library's linear search, so a pattern of nothing but stars and letters costs as much as the text is long; a
//! piece with `?` costs at most the product of its own length and the text's.

/// What stands between two stars.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Plain(String),
    /// `None` is any one character.
    Holed(Vec<Option<char>>),
}

/// A compiled pattern. Most are of the first three forms, which need no list of pieces.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Glob {
    /// A star alone.
    Any,
    Exactly(Box<str>),
    /// A text and a star.
    Beginning(Box<str>),
    /// One piece means that there is no star.
    Pieces(Box<[Piece]>),
}

/// What a pattern is written with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Text(&'a str),
    One,
    Many,
}

impl Piece {
    fn is_empty(&self) -> bool {
        matches!(self, Piece::Plain(text) if text.is_empty())
    }

    /// Where the piece ends if `text` begins with it.
    fn begins(&self, text: &str) -> Option<usize> {
        match self {
            Piece::Plain(plain) => text.starts_with(plain.as_str()).then_some(plain.len()),
            Piece::Holed(wanted) => {
                let mut rest = text.chars();
                let fits = wanted.iter().all(|wanted| fits(*wanted, rest.next()));
                fits.then(|| text.len() - rest.as_str().len())
            }
        }
    }

    /// Where the piece begins if `text` ends with it.
    fn ends(&self, text: &str) -> Option<usize> {
        match self {
            Piece::Plain(plain) => text.ends_with(plain.as_str()).then(|| text.len() - plain.len()),
            Piece::Holed(wanted) => {
                let mut rest = text.chars();
                let fits = wanted.iter().rev().all(|wanted| fits(*wanted, rest.next_back()));
                fits.then_some(rest.as_str().len())
            }
        }
    }

    /// Where the first of them in `text` ends.
    fn find(&self, text: &str) -> Option<usize> {
        match self {
            Piece::Plain(plain) => text.find(plain.as_str()).map(|at| at + plain.len()),
            Piece::Holed(wanted) if text.is_ascii() => {
                let same =
                    |(byte, wanted): (&u8, &Option<char>)| wanted.is_none_or(|wanted| wanted == char::from(*byte));
                let mut windows = text.as_bytes().windows(wanted.len());
                windows.position(|window| window.iter().zip(wanted).all(same)).map(|at| at + wanted.len())
            }
            Piece::Holed(_) => {
                text.char_indices().find_map(|(at, _)| self.begins(&text[at..]).map(|length| at + length))
            }
        }
    }

    fn push(&mut self, token: &Token<'_>) {
        match (self, token) {
            (Piece::Plain(plain), Token::Text(text)) => plain.push_str(text),
            (Piece::Holed(holed), Token::Text(text)) => holed.extend(text.chars().map(Some)),
            (Piece::Holed(holed), _) => holed.push(None),
            (piece @ Piece::Plain(_), _) => {
                let Piece::Plain(plain) = &*piece else { return };
                let holed = plain.chars().map(Some).chain([None]).collect();
                *piece = Piece::Holed(holed);
            }
        }
    }
}

fn fits(wanted: Option<char>, found: Option<char>) -> bool {
    found.is_some_and(|found| wanted.is_none_or(|wanted| wanted == found))
}

impl Glob {
    pub(super) fn new<'a>(tokens: impl IntoIterator<Item = Token<'a>>) -> Self {
        let mut pieces = vec![Piece::Plain(String::new())];
        for token in tokens {
            match (token, pieces.last_mut()) {
                (Token::Many, _) | (_, None) => pieces.push(Piece::Plain(String::new())),
                (token, Some(last)) => last.push(&token),
            }
        }
        let last = pieces.len() - 1;
        let mut at = 0;
        pieces.retain(|piece| {
            at += 1;
            at == 1 || at > last || !piece.is_empty()
        });
        match pieces.as_mut_slice() {
            [Piece::Plain(one)] => Glob::Exactly(std::mem::take(one).into()),
            [Piece::Plain(one), Piece::Plain(two)] if two.is_empty() && one.is_empty() => Glob::Any,
            [Piece::Plain(one), Piece::Plain(two)] if two.is_empty() => Glob::Beginning(std::mem::take(one).into()),
            _ => Glob::Pieces(pieces.into()),
        }
    }

    /// The glob of a text in which `*` and `?` are meant.
    pub(super) fn of(text: &str) -> Self {
        Self::new(tokens(text))
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Glob::Any => true,
            Glob::Exactly(exactly) => **exactly == *text,
            Glob::Beginning(beginning) => text.starts_with(&**beginning),
            Glob::Pieces(pieces) => in_order(pieces, text).is_some(),
        }
    }
}

fn in_order(pieces: &[Piece], text: &str) -> Option<()> {
    let (first, others) = pieces.split_first()?;
    let begun = first.begins(text)?;
    let Some((last, middle)) = others.split_last() else {
        return (begun == text.len()).then_some(());
    };
    let mut rest = &text[begun..];
    rest = &rest[..last.ends(rest)?];
    for piece in middle {
        rest = &rest[piece.find(rest)?..];
    }
    Some(())
}

/// A text's tokens; `*` and `?` are meant.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let wild = rest.find(['*', '?']).unwrap_or(rest.len());
        let length = if wild == 0 { 1.min(rest.len()) } else { wild };
        let (token, behind) = rest.split_at(length);
        rest = behind;
        match token {
            "" => None,
            "*" => Some(Token::Many),
            "?" => Some(Token::One),
            text => Some(Token::Text(text)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "abc", true),
            ("**", "abc", true),
            ("?", "", false),
            ("?", "é", true),
            ("?", "ab", false),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a?c*", "abcd", true),
            ("a*b?d*e", "aXbcdYe", true),
            ("a*b?d*e", "aXbde", false),
            ("*?", "", false),
            ("*?*", "x", true),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("*.*.*", "a.b", false),
            ("x*yz?", "xyzyz1", true),
            ("???", "äöü", true),
            ("?*?", "é", false),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(Glob::of(pattern).matches(text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_thousand_stars_are_no_more_than_a_walk_over_the_text() {
        let text = "a".repeat(10_000);
        for pattern in ["*a".repeat(1_000) + "b", "*".repeat(1_000) + "b", "a*".repeat(1_000) + "b*"] {
            assert!(!Glob::of(&pattern).matches(&text));
        }
        assert!(Glob::of(&"*a".repeat(1_000)).matches(&text));
        assert!(!Glob::of(&format!("*{}b*", "a?".repeat(400))).matches(&text[..2048]));
    }
}
