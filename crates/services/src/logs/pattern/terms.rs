//! Words and phrases anywhere in a message.

use regex::Regex;

#[derive(Clone, Debug)]
pub(super) enum Term {
    Text(String),
    Regex(Regex),
}

impl Term {
    fn is_in(&self, message: &str) -> bool {
        match self {
            Self::Text(text) => message.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(message),
        }
    }
}

/// What the sign before a term says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Required,
    /// `?`
    Optional,
    /// `-`
    Excluded,
}

/// Optional terms count only where there are no others; AWS ignores them beside required or excluded ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    required: Vec<Term>,
    optional: Vec<Term>,
    excluded: Vec<Term>,
}

impl Terms {
    pub fn new(signed: Vec<(Sign, Term)>) -> Self {
        let mut terms = Self::default();
        for (sign, term) in signed {
            match sign {
                Sign::Required => terms.required.push(term),
                Sign::Optional => terms.optional.push(term),
                Sign::Excluded => terms.excluded.push(term),
            }
        }
        terms
    }

    pub fn matches(&self, message: &str) -> bool {
        if self.required.is_empty() && self.excluded.is_empty() {
            return self.optional.iter().any(|term| term.is_in(message));
        }
        self.required.iter().all(|term| term.is_in(message)) && !self.excluded.iter().any(|term| term.is_in(message))
    }
}
