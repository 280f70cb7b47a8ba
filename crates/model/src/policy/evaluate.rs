//! The order of evaluation.
//!
//! ```text
//!   a statement denies, in any policy ............................................. denied
//!   same account   resource policy names this very user or session ............... allowed
//!                  identity policy, or resource policy naming role or everyone ... else denied
//!                  and permissions boundary, if there is one ..................... else denied
//!                  and session policies, if there are any ........................ else denied
//!   same account,  role trust and key policies: they must allow themselves; by naming the account they pass it on
//!   other account  identity, boundary and session as above, and the resource policy must allow
//! ```
//!
//! The root of an account has no policies and needs none in its own account, but a deny of a resource's bites it. A
//! resource policy that names an account passes the decision on to that account's identity policies.

use std::borrow::Cow;

use super::arn::Cut;
use super::glob::Text;
use super::principal::Grant;
use super::statement::Asked;
use super::{Context, Decision, Effect, Kind, Lack, Policy, Principal, Reason};
use crate::ids::AccountId;

/// Who asks to do what on what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub principal: &'a Principal,
    /// `service:Operation`.
    pub action: &'a str,
    /// The resource's ARN, or `*` for operations that are on none.
    pub resource: &'a str,
    /// The account that the resource belongs to.
    pub owner: &'a AccountId,
    pub context: &'a Context,
}

/// What a resource's policy is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResourceRule {
    /// Within an account, it or an identity's policy suffices.
    #[default]
    Suffices,
    /// It must allow itself: role trust policies and key policies.
    Required,
}

/// The policies that bear on a request.
#[derive(Clone, Debug, Default)]
pub struct Policies<'a> {
    /// Of the user and its groups, or of the role: inline and managed.
    pub identity: Vec<&'a Policy>,
    pub boundary: Option<&'a Policy>,
    /// Those passed when the session began; `None` if there were none. Any of them may allow.
    pub session: Option<Vec<&'a Policy>>,
    pub resource: Vec<&'a Policy>,
    pub rule: ResourceRule,
}

/// The whole of what the policies say.
struct Verdicts {
    identity: bool,
    boundary: bool,
    session: bool,
    resource: Grant,
}

/// Whether a request is allowed. `sts:GetCallerIdentity` always is.
pub fn evaluate(request: &Request<'_>, policies: &Policies<'_>) -> Decision {
    let action = &*lower(request.action);
    if action == "sts:getcalleridentity" {
        return Decision::Allow;
    }
    if !action.contains(':') {
        return Decision::Deny(Reason::Error);
    }
    match collect(&asked(request, policies, action), policies) {
        Err(kind) => Decision::Deny(Reason::Explicit(kind)),
        Ok(verdicts) => {
            let lack = decide(request, policies, action, &verdicts);
            lack.map_or(Decision::Allow, |lack| Decision::Deny(Reason::Implicit(lack)))
        }
    }
}

/// An action in lower case.
pub(super) fn lower(action: &str) -> Cow<'_, str> {
    match action.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(action.to_ascii_lowercase()),
        false => Cow::Borrowed(action),
    }
}

/// The request, made ready; `action` is its own in lower case.
pub(super) fn asked<'a>(request: &Request<'a>, policies: &Policies<'_>, action: &'a str) -> Asked<'a> {
    Asked {
        principal: request.principal,
        bounded: policies.boundary.is_some(),
        action: Text::new(action),
        resource: Cut::new(request.resource),
        context: request.context,
    }
}

/// # Errors
/// The kind of the policy that denies.
fn collect(asked: &Asked<'_>, policies: &Policies<'_>) -> Result<Verdicts, Kind> {
    let root = matches!(asked.principal, Principal::Root(_));
    let federated = matches!(asked.principal, Principal::Federated { .. });
    let identity = granted(asked, &policies.identity, |_| Kind::Identity)?;
    let boundary = policies.boundary.map(|boundary| granted(asked, &[boundary], |_| Kind::Boundary)).transpose()?;
    let session = policies.session.as_deref().map(|session| granted(asked, session, |_| Kind::Session)).transpose()?;
    let resource = granted(asked, &policies.resource, Policy::kind)?;
    Ok(Verdicts {
        identity: root || identity > Grant::Nothing,
        boundary: boundary.is_none_or(|grant| grant > Grant::Nothing),
        session: session.map_or(!federated, |grant| grant > Grant::Nothing),
        resource,
    })
}

/// The strongest grant among policies that stand in one place. A managed policy may be a boundary or narrow a session.
///
/// # Errors
/// What the policy that denies is there, by `kind`.
fn granted(asked: &Asked<'_>, policies: &[&Policy], kind: fn(&Policy) -> Kind) -> Result<Grant, Kind> {
    let mut strongest = Grant::Nothing;
    for policy in policies {
        for statement in &policy.statements {
            match (statement.applies(asked), statement.effect) {
                (Grant::Nothing, _) => {}
                (_, Effect::Deny) => return Err(kind(policy)),
                (grant, Effect::Allow) => strongest = strongest.max(grant),
            }
        }
    }
    Ok(strongest)
}

/// What is missing to allow, if anything.
fn decide(request: &Request<'_>, policies: &Policies<'_>, action: &str, verdicts: &Verdicts) -> Option<Lack> {
    let Some(account) = request.principal.account() else {
        return (verdicts.resource == Grant::Nothing).then(|| lacking_resource(policies));
    };
    let same = account == request.owner;
    let granted = verdicts.resource;
    match (same, policies.rule) {
        // A role is never passed to another account.
        (false, _) if action == "iam:passrole" => Some(Lack::Resource),
        (false, _) => verdicts.lack(true).or_else(|| absent(granted, policies)),
        (true, _) if granted == Grant::Direct => None,
        (true, ResourceRule::Suffices) => verdicts.lack(granted < Grant::Limited),
        (true, ResourceRule::Required) => absent(granted, policies).or_else(|| verdicts.lack(granted < Grant::Limited)),
    }
}

fn absent(granted: Grant, policies: &Policies<'_>) -> Option<Lack> {
    (granted == Grant::Nothing).then(|| lacking_resource(policies))
}

fn lacking_resource(policies: &Policies<'_>) -> Lack {
    let trust = policies.resource.iter().any(|policy| policy.kind() == Kind::Trust);
    if trust { Lack::Trust } else { Lack::Resource }
}

impl Verdicts {
    /// What the principal's own side lacks; `identity` says whether an identity policy must allow.
    fn lack(&self, identity: bool) -> Option<Lack> {
        match () {
            () if identity && !self.identity => Some(Lack::Identity),
            () if !self.boundary => Some(Lack::Boundary),
            () if !self.session => Some(Lack::Session),
            () => None,
        }
    }
}
