//! A policy: its text as it came and what it says.

use super::span::{self, Span};
use super::{Malformed, Statement, parse};

/// Where a policy is attached. It decides which elements a statement may and must have, and how long the text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of a user, a group or a role, inline or managed.
    Identity,
    /// Of a resource: it names principals.
    Resource,
    /// Who may take a role.
    Trust,
    Boundary,
    /// Passed when a role is taken or a federation token is made.
    Session,
}

/// Characters of a policy's text, white space and all: what the API takes.
const RAW_LIMIT: usize = 131_072;

impl Kind {
    /// Most characters, white space aside. Of an identity's policy this is what all inline policies of a role may have
    /// together; what a user (2048), a group (5120) and a managed policy (6144) may have is IAM's to check, by
    /// [`Policy::size`].
    pub const fn limit(self) -> usize {
        match self {
            Kind::Identity => 10_240,
            Kind::Boundary => 6144,
            Kind::Session | Kind::Trust => 2048,
            Kind::Resource => 32_768,
        }
    }

    /// As AWS's messages call it, with its article where it takes one.
    pub const fn words(self) -> &'static str {
        match self {
            Kind::Identity => "an identity-based policy",
            Kind::Resource => "a resource-based policy",
            Kind::Trust => "the role trust policy",
            Kind::Boundary => "a permissions boundary",
            Kind::Session => "a session policy",
        }
    }
}

/// A policy that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    kind: Kind,
    source: String,
    pub(super) statements: Vec<Statement>,
}

impl Policy {
    /// Reads a policy that somebody writes. The text is kept as it is.
    ///
    /// # Errors
    /// [`Malformed::TooLong`] if it is longer than [`Kind::limit`]; [`Malformed::Document`] if it is no JSON, holds a key
    /// twice, an element that its kind may not have, an operator, a condition key of a known service or a version that
    /// there is none of, or a value that its element or operator does not take.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Malformed> {
        if text.len() > RAW_LIMIT || size(text) > kind.limit() {
            return Err(Malformed::TooLong { limit: kind.limit() });
        }
        let statements = parse::statements(kind, text)?;
        Ok(Self { kind, source: text.to_owned(), statements })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The text, byte for byte.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Characters of the text, white space aside: what AWS's quotas count.
    pub fn size(&self) -> usize {
        size(&self.source)
    }

    /// In the order of the text.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Every condition key that it asks for, in conditions and variables; as it is written there, sorted, each once
    /// whatever the case of its letters.
    pub fn context_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.statements.iter().flat_map(Statement::context_keys).collect();
        keys.sort_by_cached_key(|key| key.to_ascii_lowercase());
        keys.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
        keys
    }

    /// Where each statement stands in the text.
    pub fn spans(&self) -> Vec<Span> {
        span::of(&self.source)
    }
}

fn size(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).count()
}
