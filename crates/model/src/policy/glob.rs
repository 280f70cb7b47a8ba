//! Texts with holes: `*` stands for any characters, `?` for one. No regular expressions, no backtracking.
//!
//! A pattern is cut at its stars. The first piece must begin the text and the last must end it; each piece between is
//! looked for behind the one before, and the first place is always good enough. A piece without `?` is found by the
//! standard library's linear search, so a pattern of nothing but stars and letters costs as much as the text is long; a
//! piece with `?` costs at most the product of its own length and the text's.
//!
//! One text is compared with very many patterns, of which few match. The first sixteen bytes of both are therefore kept as
//! a number ([`Literal`], [`Text`]): most comparisons end there, without a look at the pattern's own memory.

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
    Exactly(Literal),
    /// A text and a star.
    Beginning(Literal),
    /// One piece means that there is no star.
    Pieces(Box<[Piece]>),
}

/// A text of a pattern, and its first sixteen bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    head: u128,
    text: Box<str>,
}

/// A text to be compared with patterns, and its first sixteen bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    head: u128,
    pub text: &'a str,
}

/// Bytes in a head.
const HEAD: usize = 16;

/// The first sixteen bytes of a text, zeros behind its end.
fn head(text: &str) -> u128 {
    match text.as_bytes().first_chunk() {
        Some(bytes) => u128::from_le_bytes(*bytes),
        None => text.bytes().rev().fold(0, |head, byte| head << 8 | u128::from(byte)),
    }
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { head: head(text), text }
    }
}

impl Literal {
    fn new(text: String) -> Self {
        Self { head: head(&text), text: text.into() }
    }

    fn is(&self, text: Text<'_>) -> bool {
        let length = self.text.len();
        length == text.text.len() && self.head == text.head && (length <= HEAD || self.text[..] == *text.text)
    }

    fn begins(&self, text: Text<'_>) -> bool {
        let length = self.text.len();
        let unwanted = 8 * HEAD.saturating_sub(length) as u32;
        let differing = (self.head ^ text.head).checked_shl(unwanted).unwrap_or(0);
        differing == 0 && length <= text.text.len() && (length <= HEAD || text.text.starts_with(&*self.text))
    }
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
            [Piece::Plain(one)] => Glob::Exactly(Literal::new(std::mem::take(one))),
            [Piece::Plain(one), Piece::Plain(two)] if two.is_empty() && one.is_empty() => Glob::Any,
            [Piece::Plain(one), Piece::Plain(two)] if two.is_empty() => {
                Glob::Beginning(Literal::new(std::mem::take(one)))
            }
            _ => Glob::Pieces(pieces.into()),
        }
    }

    /// The glob of a text in which `*` and `?` are meant.
    pub(super) fn of(text: &str) -> Self {
        Self::new(tokens(text))
    }

    pub(super) fn matches(&self, text: Text<'_>) -> bool {
        match self {
            Glob::Any => true,
            Glob::Exactly(exactly) => exactly.is(text),
            Glob::Beginning(beginning) => beginning.begins(text),
            Glob::Pieces(pieces) => in_order(pieces, text.text).is_some(),
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
            ("abcdefg", "abcdefg", true),
            ("abcdefg", "abcdefg\0", false),
            ("abcdefgh", "abcdefgh", true),
            ("abcdefghi", "abcdefghj", false),
            ("abcdefghi", "abcdefghi", true),
            ("*", "\0", true),
            ("a*", "", false),
            ("a\0*", "a", false),
            ("abcdefg*", "abcdefx", false),
            ("abcdefgh*", "abcdefgh", true),
            ("abcdefgh*", "abcdefg", false),
            ("abcdefghij*", "abcdefghij/", true),
            ("abcdefghij*", "abcdefghi", false),
            ("ääääh*", "äääähi", true),
        ];
        for (pattern, text, wanted) in cases {
            assert_eq!(Glob::of(pattern).matches(Text::new(text)), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_thousand_stars_are_no_more_than_a_walk_over_the_text() {
        let text = "a".repeat(10_000);
        for pattern in ["*a".repeat(1_000) + "b", "*".repeat(1_000) + "b", "a*".repeat(1_000) + "b*"] {
            assert!(!Glob::of(&pattern).matches(Text::new(&text)));
        }
        assert!(Glob::of(&"*a".repeat(1_000)).matches(Text::new(&text)));
        assert!(!Glob::of(&format!("*{}b*", "a?".repeat(400))).matches(Text::new(&text[..2048])));
    }
}
