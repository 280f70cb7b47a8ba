//! The strict JSON reader: tokens over a checked string.

use super::{MAX_DEPTH, plain};
use crate::{Error, Result};
use std::borrow::Cow;

/// What a value begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl Next {
    /// The name in AWS's error messages.
    pub(super) fn label(self) -> &'static str {
        match self {
            Next::Object => "START_OBJECT",
            Next::Array => "START_ARRAY",
            Next::String => "STRING_VALUE",
            Next::Number => "NUMBER_VALUE",
            Next::Boolean => "BOOLEAN_VALUE",
            Next::Null => "NULL_VALUE",
        }
    }
}

/// What a list, map or structure costs before it holds anything.
const COLLECTION: usize = 4;

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// What may still be made of the text, see [`Parser::spend`].
    budget: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(bytes: &'a [u8], budget: usize) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| Error::Syntax { message: "Invalid UTF-8", offset: error.valid_up_to() })?;
        Ok(Parser { text, at: 0, depth: 0, budget })
    }

    pub(super) fn error<T>(&self, message: &'static str) -> Result<T> {
        Err(Error::Syntax { message, offset: self.at })
    }

    /// Takes room for `values` values out of the budget, before they are made.
    pub(super) fn spend(&mut self, values: usize) -> Result<()> {
        match self.budget.checked_sub(values) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => self.error("Too many values"),
        }
    }

    /// Ends the reading: nothing but white space may follow.
    pub(super) fn finish(mut self) -> Result<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.error("Unexpected content after the value") }
    }

    /// The kind of the value that comes next.
    pub(super) fn peek(&mut self) -> Result<Next> {
        self.skip_space();
        match self.byte() {
            Some(b'{') => Ok(Next::Object),
            Some(b'[') => Ok(Next::Array),
            Some(b'"') => Ok(Next::String),
            Some(b'-' | b'0'..=b'9') => Ok(Next::Number),
            Some(b't' | b'f') => Ok(Next::Boolean),
            Some(b'n') => Ok(Next::Null),
            Some(_) => self.error("Unexpected character"),
            None => self.error("Unexpected end of input"),
        }
    }

    /// Reads an object; `entry` is called after each key and must read its value.
    pub(super) fn object(&mut self, mut entry: impl FnMut(&mut Self, Cow<'a, str>) -> Result<()>) -> Result<()> {
        self.enter(b'{')?;
        if self.take(b'}') {
            return self.leave();
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            if !self.take(b':') {
                return self.error("Expected ':'");
            }
            self.spend(1)?;
            entry(self, key)?;
            if self.take(b'}') {
                return self.leave();
            }
            if !self.take(b',') {
                return self.error("Expected ',' or '}'");
            }
        }
    }

    /// Reads an array; `element` is called before each element and must read it.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.enter(b'[')?;
        if self.take(b']') {
            return self.leave();
        }
        loop {
            self.spend(1)?;
            element(self)?;
            if self.take(b']') {
                return self.leave();
            }
            if !self.take(b',') {
                return self.error("Expected ',' or ']'");
            }
        }
    }

    pub(super) fn boolean(&mut self) -> Result<bool> {
        if self.word("true") {
            return Ok(true);
        }
        if self.word("false") { Ok(false) } else { self.error("Unexpected character") }
    }

    pub(super) fn null(&mut self) -> Result<()> {
        if self.word("null") { Ok(()) } else { self.error("Unexpected character") }
    }

    /// The digits of a number, as written.
    pub(super) fn number(&mut self) -> Result<&'a str> {
        self.skip_space();
        let start = self.at;
        self.bump_if(|byte| byte == b'-');
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.error("Expected a digit"),
        }
        if self.bump_if(|byte| byte == b'.') {
            self.digits()?;
        }
        if self.bump_if(|byte| matches!(byte, b'e' | b'E')) {
            self.bump_if(|byte| matches!(byte, b'+' | b'-'));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// A string, borrowed when it holds no escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.skip_space();
        if !self.bump_if(|byte| byte == b'"') {
            return self.error("Expected a string");
        }
        let start = self.at;
        let end = self.plain()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.escaped(String::from(&self.text[start..end])).map(Cow::Owned)
    }

    fn escaped(&mut self, mut text: String) -> Result<String> {
        loop {
            if self.bump_if(|byte| byte == b'"') {
                return Ok(text);
            }
            self.at += 1;
            text.push(self.escape()?);
            let start = self.at;
            let end = self.plain()?;
            text.push_str(&self.text[start..end]);
        }
    }

    /// Passes over characters that stand for themselves; stops at a quote or backslash.
    fn plain(&mut self) -> Result<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = plain(rest);
        self.at += length;
        match rest.get(length) {
            None => self.error("Unexpected end of input"),
            Some(..0x20) => self.error("Control character in a string"),
            Some(_) => Ok(self.at),
        }
    }

    fn escape(&mut self) -> Result<char> {
        let Some(byte) = self.byte() else {
            return self.error("Unexpected end of input");
        };
        self.at += 1;
        match byte {
            b'"' | b'\\' | b'/' => Ok(char::from(byte)),
            b'b' => Ok('\u{8}'),
            b'f' => Ok('\u{c}'),
            b'n' => Ok('\n'),
            b'r' => Ok('\r'),
            b't' => Ok('\t'),
            b'u' => self.unicode(),
            _ => self.error("Unknown escape"),
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex4()?;
        let code = if (0xD800..0xDC00).contains(&first) { self.low_surrogate(first)? } else { first };
        match char::from_u32(code) {
            Some('\0') => self.error("NUL in a string"),
            Some(character) => Ok(character),
            None => self.error("Lone surrogate"),
        }
    }

    fn low_surrogate(&mut self, high: u32) -> Result<u32> {
        if !self.text[self.at..].starts_with("\\u") {
            return self.error("Lone surrogate");
        }
        self.at += 2;
        let low = self.hex4()?;
        if !(0xDC00..0xE000).contains(&low) {
            return self.error("Lone surrogate");
        }
        Ok(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.error("Expected four hexadecimal digits");
        }
        self.at += 4;
        Ok(digits.iter().fold(0, |code, &digit| code * 16 + char::from(digit).to_digit(16).unwrap_or(0)))
    }

    fn enter(&mut self, open: u8) -> Result<()> {
        if !self.take(open) {
            return self.error("Unexpected character");
        }
        self.spend(COLLECTION)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH { self.error("Nested too deeply") } else { Ok(()) }
    }

    fn leave(&mut self) -> Result<()> {
        self.depth -= 1;
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        if !self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.error("Expected a digit");
        }
        while self.bump_if(|byte| byte.is_ascii_digit()) {}
        Ok(())
    }

    fn word(&mut self, word: &str) -> bool {
        self.skip_space();
        let found = self.text[self.at..].starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_space();
        self.bump_if(|next| next == byte)
    }

    fn bump_if(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let found = self.byte().is_some_and(wanted);
        self.at += usize::from(found);
        found
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.bump_if(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {}
    }
}
