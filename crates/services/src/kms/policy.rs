//! Key policies. Without a statement of a key's policy nobody may use it: the usual policy leaves that to the account's IAM.

use longshore_api::kms as api;
use longshore_model::iam::Caller;
use longshore_model::policy::{Context as Conditions, Kind, Policy, Request, ResourceRule};
use longshore_model::{AccountId, State};
use longshore_wire::Fault;

use super::find::{arn, by_id};
use super::{fault, key};
use crate::Context;
use crate::authority::Authority;

/// The only name a key's policy has.
const NAME: &str = "default";

/// The policy of a key that is made without one.
pub fn usual(account: &AccountId) -> String {
    format!(
        r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{ "AWS" : "arn:aws:iam::{account}:root" }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
    )
}

/// Whether a document may be a key's policy: it reads, and whoever writes it may write it again, unless `bypass`.
///
/// # Errors
/// `MalformedPolicyDocumentException`, `LimitExceededException`.
pub fn check(
    state: &State,
    caller: &Caller,
    conditions: &Conditions,
    arn: &str,
    document: &str,
    bypass: bool,
) -> Result<(), Fault> {
    let policy = Policy::parse(Kind::Resource, document).map_err(|malformed| fault::policy(&malformed))?;
    let (principal, owner) = (caller.principal(), &caller.account);
    let request =
        Request { principal: &principal, action: "kms:PutKeyPolicy", resource: arn, owner, context: conditions };
    let decide = |own: Authority| own.decide(&request, vec![&policy], ResourceRule::Required).is_allowed();
    match bypass || Authority::of(state, caller).is_some_and(decide) {
        true => Ok(()),
        false => {
            let message = "The new key policy will not allow you to update the key policy in the future.";
            Err(fault::of(&api::fault::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message))
        }
    }
}

pub fn get(context: &mut Context<'_>, request: api::GetKeyPolicyRequest) -> Result<api::GetKeyPolicyResponse, Fault> {
    check_name(request.policy_name.as_deref())?;
    let place = context.place.clone();
    let state = context.read();
    let key = by_id(&state, &place, &request.key_id.unwrap_or_default())?;
    Ok(api::GetKeyPolicyResponse { policy: Some(key.policy.clone()), policy_name: Some(NAME.to_owned()) })
}

pub fn put(context: &mut Context<'_>, request: api::PutKeyPolicyRequest) -> Result<(), Fault> {
    check_name(request.policy_name.as_deref())?;
    let document = request.policy.unwrap_or_default();
    let bypass = request.bypass_policy_lockout_safety_check.unwrap_or_default();
    let given = request.key_id.unwrap_or_default();
    let place = context.place.clone();
    let (caller, conditions) = (context.caller.clone(), context.conditions.clone());
    let state = context.read();
    let arn = arn(&place, &by_id(&state, &place, &given)?.id);
    check(&state, &caller, &conditions, &arn, &document, bypass)?;
    drop(state);
    key::change(context, &given, |key, arn| match key.delete_at {
        Some(_) => Err(fault::pending(arn)),
        None => {
            key.policy = document;
            Ok(())
        }
    })
}

pub fn list(
    context: &mut Context<'_>,
    request: api::ListKeyPoliciesRequest,
) -> Result<api::ListKeyPoliciesResponse, Fault> {
    let place = context.place.clone();
    by_id(&context.read(), &place, &request.key_id.unwrap_or_default())?;
    Ok(api::ListKeyPoliciesResponse {
        policy_names: Some(vec![NAME.to_owned()]),
        next_marker: None,
        truncated: Some(false),
    })
}

/// # Errors
/// `NotFoundException`
fn check_name(name: Option<&str>) -> Result<(), Fault> {
    match name.is_none_or(|name| name == NAME) {
        true => Ok(()),
        false => Err(fault::of(&api::fault::NOT_FOUND_EXCEPTION, "No such policy exists")),
    }
}
