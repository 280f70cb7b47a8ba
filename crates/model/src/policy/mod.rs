//! Policies: what they say, and what a principal may do by them. Pure and deny by default.
//!
//! ```text
//!   text --parse--> Policy --+
//!   Request (who, what, on what, condition keys) --+--> evaluate --> Decision --> AWS's sentence
//! ```
//!
//! [`Policy::parse`] is strict: what it does not understand it refuses, because a policy that says something else than its
//! author thinks is a hole. [`evaluate`] follows AWS's order for one account and for two. Whatever cannot be said for
//! certain while evaluating (a variable without a value in a `Not…` element, a value of a wrong type that is to differ)
//! makes a statement that allows not apply and one that denies apply.
//!
//! The cost is bounded: a policy is short ([`Kind::limit`]), compiled once, and no pattern backtracks ([`glob`]).
//!
//! Left out: service and resource control policies and VPC endpoint policies, because there are no organisations and
//! endpoints here; federation, so an identity provider named in a trust policy is nobody.

mod action;
mod arn;
mod condition;
mod context;
mod decision;
mod document;
mod evaluate;
mod explain;
mod glob;
mod key;
mod parse;
mod parsed;
mod pattern;
mod principal;
mod span;
mod statement;
#[cfg(test)]
mod tests;
mod value;

pub use context::{Context, Known};
pub use decision::{Decision, Lack, Reason};
pub use document::{Kind, Policy};
pub use evaluate::{Policies, Request, ResourceRule, evaluate};
pub use explain::{Explanation, Matched, Place, explain};
pub use key::{KeyType, key_type};
pub use parsed::parsed;
pub use principal::Principal;
pub use span::{Position, Span};
pub use statement::{Effect, Statement};

/// Why a policy was refused, in AWS's words where AWS has words for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `MalformedPolicyDocument`.
    #[error("{0}")]
    Document(String),
    /// `LimitExceeded`: more characters, white space aside, than a policy of its kind may have.
    #[error("Cannot exceed quota for PolicySize: {limit}")]
    TooLong { limit: usize },
}

impl Malformed {
    fn document(message: impl Into<String>) -> Self {
        Malformed::Document(message.into())
    }

    /// AWS says no more than that there are syntax errors; where they are is added.
    fn syntax(detail: impl std::fmt::Display) -> Self {
        Malformed::Document(format!("Syntax errors in policy. ({detail})"))
    }

    /// AWS's code.
    pub fn code(&self) -> &'static str {
        match self {
            Malformed::Document(_) => "MalformedPolicyDocument",
            Malformed::TooLong { .. } => "LimitExceeded",
        }
    }
}
