//! Where the statements of a policy stand in its text, as IAM's simulator tells it.
//!
//! The simulator gives the positions of its reader: a statement begins behind the bracket that opens the list, or behind
//! the statement before it, and one that stands alone behind its own brace; it ends behind its last brace.

use longshore_wire::{Document, Shape as _, Value, json};

/// A place in a text: both from one, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// From where to where a statement goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: Position,
    pub end: Position,
}

/// The spans of the statements of a text that is JSON.
pub(super) fn of(text: &str) -> Vec<Span> {
    let mut scan = Scan { text, at: 0 };
    let found = scan.statements();
    let mut walk = Walk { rest: text, at: 0, place: Position { line: 1, column: 1 } };
    found.into_iter().map(|(start, end)| Span { start: walk.to(start), end: walk.to(end) }).collect()
}

/// A walk over a text that counts lines and columns.
struct Walk<'a> {
    rest: &'a str,
    at: usize,
    place: Position,
}

impl Walk<'_> {
    /// Goes on to a place that is not before the last one.
    fn to(&mut self, at: usize) -> Position {
        let (passed, rest) = self.rest.split_at(at - self.at);
        for character in passed.chars() {
            match character {
                '\n' => self.place = Position { line: self.place.line + 1, column: 1 },
                _ => self.place.column += 1,
            }
        }
        (self.rest, self.at) = (rest, at);
        self.place
    }
}

/// A walk over JSON that is known to be sound: it looks for where values end and at nothing else.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn statements(&mut self) -> Vec<(usize, usize)> {
        self.passes(b'{');
        while self.peek().is_some_and(|byte| byte != b'}') {
            let begin = self.at;
            self.value();
            let key = &self.text[begin..self.at];
            self.passes(b':');
            if is_statement(key) {
                return self.list();
            }
            self.value();
            self.passes(b',');
        }
        Vec::new()
    }

    /// A list of statements, or one.
    fn list(&mut self) -> Vec<(usize, usize)> {
        let single = self.peek() == Some(b'{');
        let mut start = self.at + 1;
        if single {
            self.value();
            return vec![(start, self.at)];
        }
        let mut found = Vec::new();
        self.passes(b'[');
        while self.peek().is_some_and(|byte| byte != b']') {
            self.value();
            found.push((start, self.at));
            start = self.at;
            self.passes(b',');
        }
        found
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn passes(&mut self, wanted: u8) {
        if self.peek() == Some(wanted) {
            self.at += 1;
        }
    }

    /// Goes behind the next value, whatever it holds.
    fn value(&mut self) {
        let mut depth = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => self.string(),
                _ => {}
            }
            self.at += 1;
            let scalar = !matches!(byte, b'{' | b'[' | b'}' | b']' | b'"' | b',' | b':');
            if depth <= 0 && !(scalar && self.goes_on()) {
                return;
            }
        }
    }

    /// Whether a number or a word goes on.
    fn goes_on(&self) -> bool {
        self.text.as_bytes().get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
    }

    /// From a string's first quote to its last.
    fn string(&mut self) {
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at).filter(|byte| **byte != b'"') {
            self.at += if *byte == b'\\' { 2 } else { 1 };
        }
    }
}

/// Whether a member's name, with its quotes, is `Statement`.
fn is_statement(key: &str) -> bool {
    let read = json::decode_within(key.as_bytes(), Document::def(), 1);
    matches!(read, Ok(Value::Document(Document::String(name))) if name == "Statement")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, wanted: &[[usize; 4]]) {
        let found: Vec<[usize; 4]> =
            of(text).iter().map(|span| [span.start.line, span.start.column, span.end.line, span.end.column]).collect();
        assert_eq!(found, wanted, "{text}");
    }

    #[test]
    fn statements_are_found_where_the_simulator_says_they_are() {
        let alone = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
        check(alone, &[[1, 38, 1, 83]]);
        let listed = "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Allow\"\n        },\n  {}\n    ]\n}";
        check(listed, &[[3, 19, 6, 10], [6, 10, 7, 5]]);
    }

    #[test]
    fn what_looks_like_a_statement_is_none() {
        check(r#"{"Id":"\"Statement\":[{}]","Statement":[{"Sid":"}]\\"}]}"#, &[[1, 41, 1, 55]]);
        check(
            r#"{ "Id" : {"Statement":[1]} , "x":-1.5e3, "y" :true ,"St\u0061tement":[ {"ä":[]} ]}"#,
            &[[1, 71, 1, 80]],
        );
        for none in ["{}", "", "[]", r#"{"Statement":[]}"#, r#"{"Statement":"#] {
            check(none, &[]);
        }
    }
}
