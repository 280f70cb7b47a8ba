//! What a policy's text stands for: wildcards, variables, or just itself.
//!
//! A variable's value is text, whatever it holds: `${aws:username}` of a user named `*` matches the name `*` only.

use super::Malformed;
use super::context::{Context, Name};
use super::glob::{Glob, Text, Token, tokens};
use super::key;

/// How a text is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Syntax {
    /// `*` and `?` are meant.
    pub wildcards: bool,
    /// `${…}` is meant: a policy of version 2012-10-17.
    pub variables: bool,
    /// Upper and lower case are one. Whoever matches brings a text in lower case.
    pub fold: bool,
}

/// A stretch of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    One,
    Many,
    Variable { key: Name, default: Option<String> },
}

/// A text to compare with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
    Fixed(Glob),
    /// To be filled in for each request.
    Open {
        parts: Vec<Part>,
        fold: bool,
    },
}

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    Yes,
    No,
    /// A variable has no value: what is meant cannot be said.
    Undefined,
}

impl From<bool> for Match {
    fn from(matches: bool) -> Self {
        if matches { Match::Yes } else { Match::No }
    }
}

impl Pattern {
    /// # Errors
    /// If a variable is not closed, is nested, or names no condition key.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, Malformed> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${").filter(|_| syntax.variables) {
            push_text(&mut parts, &rest[..at], syntax);
            let (inner, behind) = split_variable(&rest[at + 2..])
                .ok_or_else(|| Malformed::syntax(format!("the variable in {text:.100} is not closed")))?;
            parts.push(variable(inner)?);
            rest = behind;
        }
        push_text(&mut parts, rest, syntax);
        let open = parts.iter().any(|part| matches!(part, Part::Variable { .. }));
        Ok(match open {
            true => Pattern::Open { parts, fold: syntax.fold },
            false => Pattern::Fixed(glob(&parts, &Context::default(), syntax.fold).unwrap_or_else(|| Glob::new([]))),
        })
    }

    pub(super) fn matches(&self, text: Text<'_>, context: &Context) -> Match {
        match self {
            Pattern::Fixed(glob) => glob.matches(text).into(),
            Pattern::Open { parts, fold } => match glob(parts, context, *fold) {
                Some(glob) => glob.matches(text).into(),
                None => Match::Undefined,
            },
        }
    }

    /// The keys that its variables name.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let parts = if let Pattern::Open { parts, .. } = self { parts.as_slice() } else { &[] };
        parts.iter().filter_map(|part| if let Part::Variable { key, .. } = part { Some(key.as_str()) } else { None })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str, syntax: Syntax) {
    if !syntax.wildcards {
        parts.push(Part::Text(text.to_owned()));
        return;
    }
    parts.extend(tokens(text).map(|token| match token {
        Token::Text(text) => Part::Text(text.to_owned()),
        Token::One => Part::One,
        Token::Many => Part::Many,
    }));
}

/// What a variable holds, and the text behind it; a default may hold a closing brace.
pub(super) fn split_variable(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let close = text.find(|character| {
        quoted ^= character == '\'';
        character == '}' && !quoted
    })?;
    Some((&text[..close], &text[close + 1..]))
}

fn variable(inner: &str) -> Result<Part, Malformed> {
    if matches!(inner, "*" | "?" | "$") {
        return Ok(Part::Text(inner.to_owned()));
    }
    let (name, default) = match inner.split_once(',') {
        None => (inner, None),
        Some((name, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            let plain = quoted.filter(|text| !text.contains('\''));
            let text = plain.ok_or_else(|| Malformed::syntax(format!("the default value in ${{{inner:.100}}}")))?;
            (name, Some(text.to_owned()))
        }
    };
    let name = name.trim();
    match !name.contains(['$', '{']) && key::is_key(name) {
        true => Ok(Part::Variable { key: Name::new(name), default }),
        false => Err(Malformed::syntax(format!("${{{inner:.100}}} is not a policy variable"))),
    }
}

/// The glob once every variable has its value; `None` if one has none.
fn glob(parts: &[Part], context: &Context, fold: bool) -> Option<Glob> {
    let mut texts = Vec::with_capacity(parts.len());
    for part in parts {
        let text = match part {
            Part::Text(text) => text.as_str(),
            Part::Variable { key, default } => context.variable(key, default.as_deref())?,
            Part::One | Part::Many => "",
        };
        texts.push(if fold { text.to_lowercase() } else { text.to_owned() });
    }
    let tokens = parts.iter().zip(&texts).map(|(part, text)| match part {
        Part::One => Token::One,
        Part::Many => Token::Many,
        Part::Text(_) | Part::Variable { .. } => Token::Text(text),
    });
    Some(Glob::new(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Syntax = Syntax { wildcards: true, variables: true, fold: false };

    fn context() -> Context {
        let mut context = Context::default();
        context.set("aws:username", ["a*/?"]);
        context.set("aws:TagKeys", ["one", "two"]);
        context
    }

    #[test]
    fn variables_stand_for_their_value_and_never_for_a_wildcard() {
        let cases = [
            ("${aws:username}", "a*/?", Match::Yes),
            ("${aws:username}", "abc/d", Match::No),
            ("x/${AWS:UserName}/*", "x/a*/?/y", Match::Yes),
            ("${aws:userid}", "", Match::Undefined),
            ("${aws:TagKeys}", "one", Match::Undefined),
            ("${aws:userid, 'no}*body'}", "no}*body", Match::Yes),
            ("${aws:username, 'nobody'}", "nobody", Match::No),
            ("${*}${?}${$}", "*?$", Match::Yes),
            ("${*}", "x", Match::No),
            ("a*$", "ab$", Match::Yes),
        ];
        for (text, value, wanted) in cases {
            assert_eq!(Pattern::parse(text, ALL).unwrap().matches(Text::new(value), &context()), wanted, "{text}");
        }
    }

    #[test]
    fn without_variables_the_text_is_meant() {
        let plain = Syntax { variables: false, ..ALL };
        let pattern = Pattern::parse("${aws:username}", plain).unwrap();
        assert_eq!(pattern.matches(Text::new("${aws:username}"), &context()), Match::Yes);
        let star = Pattern::parse("${*}", plain).unwrap();
        assert_eq!(star.matches(Text::new("${anything}"), &context()), Match::Yes);
    }

    #[test]
    fn variables_that_are_none_are_refused() {
        for text in [
            "${",
            "${aws:username",
            "${}",
            "${ }",
            "${x}",
            "${${aws:username}}",
            "${aws:username,x}",
            "${aws:nothing}",
            "${aws:username, 'x}",
            "${aws:username, 'it's'}",
            "${aws:PrincipalTag/${aws:username}}",
        ] {
            assert!(Pattern::parse(text, ALL).is_err(), "{text}");
        }
    }
}
