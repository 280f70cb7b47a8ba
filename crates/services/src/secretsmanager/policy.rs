//! Resource policies of secrets.

use longshore_api::secretsmanager as api;
use longshore_model::policy::{Kind, Policy};
use longshore_wire::Fault;
use serde_json::Value;

use super::find::live;
use super::{fault, find};
use crate::Context;

pub fn get(
    context: &mut Context<'_>,
    request: api::GetResourcePolicyRequest,
) -> Result<api::GetResourcePolicyResponse, Fault> {
    let place = context.place.clone();
    let secret = live(&context.read(), &place, &request.secret_id.unwrap_or_default())?.clone();
    Ok(api::GetResourcePolicyResponse {
        arn: Some(secret.arn(&place)),
        name: Some(secret.name.clone()),
        resource_policy: secret.policy.clone(),
        ..Default::default()
    })
}

pub fn put(
    context: &mut Context<'_>,
    request: api::PutResourcePolicyRequest,
) -> Result<api::PutResourcePolicyResponse, Fault> {
    let document = request.resource_policy.unwrap_or_default();
    check(&document)?;
    if request.block_public_policy.unwrap_or_default() && is_public(&document) {
        return Err(fault::public());
    }
    let given = request.secret_id.unwrap_or_default();
    let (secret, ()) = find::change(context, &given, |_, secret| {
        secret.policy = Some(document);
        Ok(())
    })?;
    let arn = Some(secret.arn(&context.place));
    Ok(api::PutResourcePolicyResponse { arn, name: Some(secret.name), ..Default::default() })
}

pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteResourcePolicyRequest,
) -> Result<api::DeleteResourcePolicyResponse, Fault> {
    let given = request.secret_id.unwrap_or_default();
    let (secret, ()) = find::change(context, &given, |_, secret| {
        secret.policy = None;
        Ok(())
    })?;
    let arn = Some(secret.arn(&context.place));
    Ok(api::DeleteResourcePolicyResponse { arn, name: Some(secret.name), ..Default::default() })
}

/// A document that reads passes unless it grants broad access.
pub fn validate(
    context: &mut Context<'_>,
    request: api::ValidateResourcePolicyRequest,
) -> Result<api::ValidateResourcePolicyResponse, Fault> {
    let document = request.resource_policy.unwrap_or_default();
    check(&document)?;
    if let Some(given) = &request.secret_id {
        let place = context.place.clone();
        live(&context.read(), &place, given)?;
    }
    let public = api::ValidationErrorsEntry {
        check_name: Some("PUBLIC_POLICY".to_owned()),
        error_message: Some("The policy grants broad access to the secret.".to_owned()),
    };
    let errors = if is_public(&document) { vec![public] } else { Vec::new() };
    Ok(api::ValidateResourcePolicyResponse {
        policy_validation_passed: Some(errors.is_empty()),
        validation_errors: Some(errors),
    })
}

/// # Errors
/// `MalformedPolicyDocumentException`
fn check(document: &str) -> Result<(), Fault> {
    Policy::parse(Kind::Resource, document).map(drop).map_err(|malformed| fault::policy(&malformed))
}

/// Whether a statement allows everybody something without a condition.
fn is_public(document: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(document) else { return true };
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        one => vec![one],
    };
    statements.into_iter().any(|statement| {
        let everybody = names_everybody(&statement["Principal"]) || !statement["NotPrincipal"].is_null();
        statement["Effect"] == "Allow" && everybody && statement["Condition"].is_null()
    })
}

fn names_everybody(principal: &Value) -> bool {
    match principal {
        Value::String(text) => text == "*",
        Value::Array(many) => many.iter().any(names_everybody),
        Value::Object(kinds) => kinds.values().any(names_everybody),
        _ => false,
    }
}
