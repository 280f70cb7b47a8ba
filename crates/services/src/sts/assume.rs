//! AssumeRole: from one identity to a role's session.
//!
//! Two must agree: the role's trust policy, always, and unless it names the caller itself, the caller's own policies. What
//! comes out is narrowed by session policies and carries session tags; a chain of roles lasts an hour at most.

use std::collections::BTreeMap;

use longshore_api::sts as api;
use longshore_model::iam::{Claims, Identity, Role};
use longshore_model::policy::{Context as Conditions, Kind, Policy, Reason, Request, ResourceRule};
use longshore_model::{AccountId, State};
use longshore_wire::Fault;

use super::token;
use crate::Context;
use crate::authority::{Authority, parsed};
use crate::iam::managed;

/// Seconds: where nobody said, and the most of a chain.
const HOUR: i32 = 3600;

/// Managed policies that may narrow a session.
const MOST_POLICIES: usize = 10;

pub fn assume_role(
    context: &mut Context<'_>,
    request: api::AssumeRoleRequest,
) -> Result<api::AssumeRoleResponse, Fault> {
    let arn = request.role_arn.clone().unwrap_or_default();
    if context.caller.identity == Identity::Root {
        return Err(access_denied("Roles may not be assumed by root accounts."));
    }
    let state = context.read();
    let role = state.role(&arn).map(AsRef::as_ref);
    let conditions = conditions(context, &request);
    for action in actions(&request) {
        check(&state, context, role, action, &arn, &conditions)?;
    }
    let role = role.ok_or_else(|| access_denied("The role does not exist."))?;
    let seconds = duration(context, role, &request)?;
    let (policy_arns, policy) = session_policies(&state, role, &request)?;
    let (tags, transitive) = session_tags(context, &request)?;
    let name = request.role_session_name.unwrap_or_default();
    let source_identity = inherited_source(context, request.source_identity)?;
    let claims = Claims {
        account: role.account.clone(),
        role: Some(role.name.clone()),
        role_id: Some(role.id.clone()),
        session_name: Some(name.clone()),
        policy_arns,
        policy,
        tags,
        transitive,
        source_identity: source_identity.clone(),
        ..Claims::default()
    };
    let user = api::AssumedRoleUser {
        assumed_role_id: Some(format!("{}:{name}", role.id)),
        arn: Some(format!("arn:aws:sts::{}:assumed-role/{}/{name}", role.account, role.name)),
    };
    drop(state);
    let credentials = token::issue(&context.settings.vault, context.now, i64::from(seconds), claims)?;
    Ok(api::AssumeRoleResponse {
        credentials: Some(credentials),
        assumed_role_user: Some(user),
        source_identity,
        ..api::AssumeRoleResponse::default()
    })
}

fn access_denied(message: &str) -> Fault {
    Fault::common("AccessDenied", 403, message)
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::common("ValidationError", 400, message)
}

/// What the caller must be allowed to do to the role.
fn actions(request: &api::AssumeRoleRequest) -> impl Iterator<Item = &'static str> {
    let tags = request.tags.as_ref().is_some_and(|tags| !tags.is_empty());
    let tagging = (tags || request.transitive_tag_keys.is_some()).then_some("sts:TagSession");
    let source = request.source_identity.is_some().then_some("sts:SetSourceIdentity");
    ["sts:AssumeRole"].into_iter().chain(tagging).chain(source)
}

fn conditions(context: &Context<'_>, request: &api::AssumeRoleRequest) -> Conditions {
    let mut conditions = context.conditions.clone();
    let mut set = |key: &str, value: &Option<String>| {
        if let Some(value) = value {
            conditions.set(key, [value.clone()]);
        }
    };
    set("sts:ExternalId", &request.external_id);
    set("sts:RoleSessionName", &request.role_session_name);
    set("sts:SourceIdentity", &request.source_identity);
    for tag in request.tags.iter().flatten() {
        set(&format!("aws:RequestTag/{}", tag.key.as_deref().unwrap_or_default()), &tag.value);
    }
    let keys: Vec<String> = request.tags.iter().flatten().filter_map(|tag| tag.key.clone()).collect();
    if !keys.is_empty() {
        conditions.set("aws:TagKeys", keys);
    }
    if let Some(keys) = request.transitive_tag_keys.clone().filter(|keys| !keys.is_empty()) {
        conditions.set("sts:TransitiveTagKeys", keys);
    }
    conditions
}

/// # Errors
/// `AccessDenied` in the same words whether the role does not exist or is not the caller's to take.
fn check(
    state: &State,
    context: &Context<'_>,
    role: Option<&Role>,
    action: &str,
    arn: &str,
    conditions: &Conditions,
) -> Result<(), Fault> {
    let principal = context.caller.principal();
    let owner = role.and_then(|role| AccountId::parse(&role.account)).unwrap_or_else(|| context.account().clone());
    let request = Request { principal: &principal, action, resource: arn, owner: &owner, context: conditions };
    let trust = role.and_then(|role| Policy::parse(Kind::Trust, &role.trust).ok());
    let decision = match (Authority::of(state, &context.caller), &trust) {
        (Some(authority), Some(trust)) => authority.decide(&request, vec![trust], ResourceRule::Required),
        _ => longshore_model::policy::Decision::Deny(Reason::Error),
    };
    match decision.is_allowed() {
        true => Ok(()),
        false => {
            let caller = context.caller.arn();
            Err(access_denied(&format!("User: {caller} is not authorized to perform: {action} on resource: {arn}")))
        }
    }
}

/// # Errors
/// `ValidationError` beyond what the role, or a chain of roles, allows.
fn duration(context: &Context<'_>, role: &Role, request: &api::AssumeRoleRequest) -> Result<i32, Fault> {
    let asked = request.duration_seconds;
    let chained = matches!(context.caller.identity, Identity::Session { .. });
    if chained && asked.is_some_and(|asked| asked > HOUR) {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    match asked {
        Some(asked) if asked > role.max_session_seconds => {
            Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."))
        }
        asked => Ok(asked.unwrap_or(HOUR)),
    }
}

/// # Errors
/// `MalformedPolicyDocument`, or `ValidationError` for a managed policy that there is none of.
fn session_policies(
    state: &State,
    role: &Role,
    request: &api::AssumeRoleRequest,
) -> Result<(Vec<String>, Option<String>), Fault> {
    let arns: Vec<String> = request.policy_arns.iter().flatten().filter_map(|policy| policy.arn.clone()).collect();
    let account = AccountId::parse(&role.account).ok_or_else(Fault::internal)?;
    if arns.len() > MOST_POLICIES {
        return Err(invalid(format!("Cannot exceed quota for PolicyArns: {MOST_POLICIES}")));
    }
    for arn in &arns {
        let known = managed::document(state, &account, arn).ok().and_then(|text| parsed(Kind::Identity, text));
        known.ok_or_else(|| invalid(format!("PolicyArns: {arn} does not exist or is not attachable.")))?;
    }
    if let Some(document) = &request.policy {
        let malformed = &api::fault::MALFORMED_POLICY_DOCUMENT_EXCEPTION;
        Policy::parse(Kind::Session, document).map_err(|error| Fault::new(malformed, error.to_string()))?;
    }
    Ok((arns, request.policy.clone()))
}

type Tags = BTreeMap<String, String>;

/// The session's tags: those asked for, and the transitive ones of the session that calls.
///
/// # Errors
/// `InvalidParameterValue` for a key given twice or reserved, and one that would replace an inherited tag.
fn session_tags(context: &Context<'_>, request: &api::AssumeRoleRequest) -> Result<(Tags, Vec<String>), Fault> {
    let refuse = |message: String| Fault::common("InvalidParameterValue", 400, message);
    let mut tags = Tags::new();
    let mut transitive = Vec::new();
    if let Some(claims) = &context.caller.claims {
        let kept = claims.tags.iter().filter(|(key, _)| claims.transitive.contains(key));
        tags.extend(kept.map(|(key, value)| (key.clone(), value.clone())));
        transitive.clone_from(&claims.transitive);
    }
    for tag in request.tags.iter().flatten() {
        let (key, value) = (tag.key.clone().unwrap_or_default(), tag.value.clone().unwrap_or_default());
        if key.to_lowercase().starts_with("aws:") {
            return Err(refuse(format!("The tag key {key} is reserved.")));
        }
        if tags.keys().any(|other| other.to_lowercase() == key.to_lowercase()) {
            return Err(refuse(format!(
                "The tag key {key} is given twice, or is a transitive tag of the session that calls."
            )));
        }
        tags.insert(key, value);
    }
    for key in request.transitive_tag_keys.iter().flatten() {
        if !tags.contains_key(key) {
            return Err(refuse(format!("The transitive tag key {key} is not among the session's tags.")));
        }
        if !transitive.contains(key) {
            transitive.push(key.clone());
        }
    }
    Ok((tags, transitive))
}

/// A source identity stays the same along a chain.
fn inherited_source(context: &Context<'_>, asked: Option<String>) -> Result<Option<String>, Fault> {
    let inherited = context.caller.claims.as_ref().and_then(|claims| claims.source_identity.clone());
    match (inherited, asked) {
        (Some(old), Some(new)) if old != new => {
            Err(access_denied("The source identity of a session cannot be changed."))
        }
        (old, new) => Ok(old.or(new)),
    }
}
