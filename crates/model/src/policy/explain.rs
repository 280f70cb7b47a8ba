//! Why a request is allowed or not: the statements that say so. For IAM's simulator.

use super::evaluate::{asked, lower};
use super::principal::Grant;
use super::statement::Asked;
use super::{Decision, Effect, Policies, Policy, Reason, Request, evaluate};

/// A decision and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub decision: Decision,
    /// Of a denial by a statement, all that deny; of a leave, all that allow; else none.
    pub matched: Vec<Matched>,
    /// Condition keys without a value that statements about the action and the resource ask for; as they are written,
    /// sorted, each once.
    pub missing: Vec<String>,
    /// Whether the permissions boundary allows it; `None` without one.
    pub bounded: Option<bool>,
}

/// Among which policies of a request one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Identity,
    Boundary,
    Session,
    Resource,
}

/// A statement, by the numbers of its policy in its place and of itself in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    pub place: Place,
    pub policy: usize,
    pub statement: usize,
}

/// As [`evaluate`], with its reasons. It looks at every statement.
pub fn explain(request: &Request<'_>, policies: &Policies<'_>) -> Explanation {
    let decision = evaluate(request, policies);
    let action = lower(request.action);
    let asked = asked(request, policies, &action);
    let found = found(&asked, policies);
    let effect = match decision {
        Decision::Allow => Some(Effect::Allow),
        Decision::Deny(Reason::Explicit(_)) => Some(Effect::Deny),
        Decision::Deny(_) => None,
    };
    let of_effect = |(matched, of): &(Matched, Effect)| (Some(*of) == effect).then_some(*matched);
    let matched = found.iter().filter_map(of_effect).collect();
    let says = |effect| found.iter().any(|(matched, of)| matched.place == Place::Boundary && *of == effect);
    let bounded = policies.boundary.map(|_| says(Effect::Allow) && !says(Effect::Deny));
    Explanation { decision, matched, missing: missing(&asked, policies), bounded }
}

/// All policies of a request, each with its place and its number there.
fn all<'a>(policies: &'a Policies<'_>) -> impl Iterator<Item = (Place, usize, &'a Policy)> {
    let numbered = |place, list: &'a [&Policy]| list.iter().enumerate().map(move |(at, policy)| (place, at, *policy));
    numbered(Place::Identity, &policies.identity)
        .chain(numbered(Place::Boundary, policies.boundary.as_slice()))
        .chain(numbered(Place::Session, policies.session.as_deref().unwrap_or_default()))
        .chain(numbered(Place::Resource, &policies.resource))
}

/// The statements that apply, and what they say.
fn found(asked: &Asked<'_>, policies: &Policies<'_>) -> Vec<(Matched, Effect)> {
    let mut found = Vec::new();
    for (place, policy, document) in all(policies) {
        for (statement, one) in document.statements.iter().enumerate() {
            if one.applies(asked) > Grant::Nothing {
                found.push((Matched { place, policy, statement }, one.effect));
            }
        }
    }
    found
}

fn missing(asked: &Asked<'_>, policies: &Policies<'_>) -> Vec<String> {
    let statements = all(policies).flat_map(|(.., policy)| &policy.statements);
    let mut keys: Vec<&str> = statements.flat_map(|statement| statement.missing(asked)).collect();
    keys.sort_by_cached_key(|key| key.to_ascii_lowercase());
    keys.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    keys.into_iter().map(str::to_owned).collect()
}
