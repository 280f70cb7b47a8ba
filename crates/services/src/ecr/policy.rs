//! Policies of repositories.

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_model::Place;
use longshore_model::policy::{Context as Conditions, Kind, Policy, Principal, Request, ResourceRule};
use longshore_wire::Fault;

use super::fault;
use super::find::Which;
use crate::Context;
use crate::authority::Authority;

pub fn set(
    context: &mut Context<'_>,
    request: api::SetRepositoryPolicyRequest,
) -> Result<api::SetRepositoryPolicyResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let text = request.policy_text.unwrap_or_default();
    let policy = read(&text)?;
    if !request.force.unwrap_or_default() && context.judged && locks_out(context, &which, &policy) {
        let words = "Invalid repository policy provided: it would keep its setter from changing it. Use force.";
        return Err(fault::parameter("PolicyText", words));
    }
    which.change(context, |repository| {
        repository.policy = Some(text.clone());
        Ok(())
    })?;
    Ok(api::SetRepositoryPolicyResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        policy_text: Some(text),
    })
}

/// A document that may be a repository's policy, or the registry's.
///
/// # Errors
/// `InvalidParameterException`
pub fn read(text: &str) -> Result<Policy, Fault> {
    Policy::parse(Kind::Resource, text)
        .map_err(|malformed| fault::parameter("PolicyText", format!("Invalid repository policy provided: {malformed}")))
}

/// Whether the caller could not set a policy any more after this one.
fn locks_out(context: &Context<'_>, which: &Which, policy: &Policy) -> bool {
    let principal: Principal = context.caller.principal();
    let place: Place = which.place(context);
    let resource = place.arn("ecr", &format!("repository/{}", which.name));
    let conditions: Conditions = context.conditions.clone();
    let request = Request {
        principal: &principal,
        action: "ecr:SetRepositoryPolicy",
        resource: &resource,
        owner: &which.registry,
        context: &conditions,
    };
    let state = context.store.read();
    let authority = Authority::of(&state, &context.caller);
    authority.is_some_and(|authority| !authority.decide(&request, vec![policy], ResourceRule::Suffices).is_allowed())
}

pub fn get(
    context: &mut Context<'_>,
    request: api::GetRepositoryPolicyRequest,
) -> Result<api::GetRepositoryPolicyResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let repository = which.read(context)?;
    let text = repository.policy.clone().ok_or_else(|| missing(&which))?;
    Ok(api::GetRepositoryPolicyResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        policy_text: Some(text),
    })
}

pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteRepositoryPolicyRequest,
) -> Result<api::DeleteRepositoryPolicyResponse, Fault> {
    let which = Which::of(context, request.registry_id, request.repository_name);
    let text = which.change(context, |repository| repository.policy.take().ok_or_else(|| missing(&which)))?;
    Ok(api::DeleteRepositoryPolicyResponse {
        registry_id: which.registry_id(),
        repository_name: which.repository_name(),
        policy_text: Some(text),
    })
}

fn missing(which: &Which) -> Fault {
    let message = format!(
        "Repository policy does not exist for the repository with name '{}' in the registry with id '{}'",
        which.name, which.registry
    );
    fault::of(&def::REPOSITORY_POLICY_NOT_FOUND_EXCEPTION, message)
}
