//! Why the engine decides as it does.

use longshore_model::policy::{Effect, Explanation, Malformed, Matched, Place, explain};

use crate::case::{Case, asked};

/// The engine's reasons, and what the statements it names say, each `true` if it allows.
pub fn reasons(case: &Case) -> Result<(Explanation, Vec<bool>), Malformed> {
    asked(case, |request, policies| {
        let explained = explain(request, policies);
        let of = |matched: &Matched| {
            let policy = match matched.place {
                Place::Identity => policies.identity[matched.policy],
                Place::Boundary => policies.boundary.expect("a boundary"),
                Place::Session => policies.session.as_ref().expect("session policies")[matched.policy],
                Place::Resource => policies.resource[matched.policy],
            };
            policy.statements()[matched.statement].effect == Effect::Allow
        };
        let effects = explained.matched.iter().map(of).collect();
        (explained, effects)
    })
}
