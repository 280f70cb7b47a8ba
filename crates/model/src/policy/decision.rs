//! What came out, and how AWS says it.

use super::{Kind, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    Deny(Reason),
}

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A statement denies; in this kind of policy, the first in the order identity, boundary, session, resource.
    Explicit(Kind),
    /// Nothing of this kind allows.
    Implicit(Lack),
    /// The policies could not be read or the request could not be judged. The engine never answers this by itself: who
    /// cannot get the policies together denies with it.
    Error,
}

/// What would have had to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Identity,
    Boundary,
    Session,
    Resource,
    Trust,
}

impl Lack {
    const fn words(self) -> &'static str {
        match self {
            Lack::Identity => "identity-based policy",
            Lack::Boundary => "permissions boundary",
            Lack::Session => "session policy",
            Lack::Resource => "resource-based policy",
            Lack::Trust => "role trust policy",
        }
    }
}

impl Decision {
    pub fn is_allowed(self) -> bool {
        self == Decision::Allow
    }
}

impl Reason {
    /// AWS's sentence: `User: ARN is not authorized to perform: ACTION on resource: ARN because no identity-based policy
    /// allows the ACTION action`, or `… with an explicit deny in an identity-based policy`.
    pub fn sentence(self, request: &Request<'_>) -> String {
        let Request { principal, action, resource, .. } = request;
        let told = format!("User: {} is not authorized to perform: {action} on resource: {resource}", principal.arn());
        match self {
            Reason::Explicit(kind) => format!("{told} with an explicit deny in {}", kind.words()),
            Reason::Implicit(lack) => format!("{told} because no {} allows the {action} action", lack.words()),
            Reason::Error => told,
        }
    }
}
