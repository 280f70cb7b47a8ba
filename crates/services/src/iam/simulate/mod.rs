//! The policy simulator: what policies would say to requests that nobody makes.
//!
//! ```text
//!   policies of an entity ─┐
//!   policies of the request ┴─► Subject ──┐
//!   actions × resources, keys, caller ────┴─► engine ─► a page of results
//! ```
//! It is the engine that judges every call (`longshore_model::policy`), asked for its reasons. As AWS's, it knows of a
//! resource only what the request says: neither the resource's own policy nor its tags are looked up. Beside the keys that
//! are given it knows those of the caller, `aws:CurrentTime` and `aws:EpochTime`.
//!
//! A page ends early when much has been read for it, as AWS's may. Left out: policies of organizations and the scenarios of
//! `ResourceHandlingOption`, which are refused; `EvalDecisionDetails`; which actions there are: any that is spelt as one is
//! judged.

mod question;
mod subject;
#[cfg(test)]
mod tests;

use longshore_api::iam as api;
use longshore_wire::Fault;

use crate::Context;
use question::Question;
use subject::{Subject, Taken};

pub fn principal(
    context: &mut Context<'_>,
    request: api::SimulatePrincipalPolicyRequest,
) -> Result<api::SimulatePolicyResponse, Fault> {
    let arn = request.policy_source_arn.clone().unwrap_or_default();
    let taken = Taken {
        inputs: request.policy_input_list.clone().unwrap_or_default(),
        boundaries: request.permissions_boundary_policy_input_list.clone().unwrap_or_default(),
        excluded: request.policy_exclusion_list.clone().unwrap_or_default(),
    };
    let subject = Subject::of_entity(context, &arn, &taken)?;
    Question {
        operation: "SimulatePrincipalPolicy",
        filter: format!(
            "{:?}",
            api::SimulatePrincipalPolicyRequest { marker: None, max_items: None, ..request.clone() }
        ),
        actions: request.action_names.unwrap_or_default(),
        resources: request.resource_arns.unwrap_or_default(),
        resource_policy: request.resource_policy,
        resource_owner: request.resource_owner,
        caller: request.caller_arn,
        entries: request.context_entries.unwrap_or_default(),
        scenario: request.resource_handling_option,
        max_items: request.max_items,
        marker: request.marker,
    }
    .answer(context, subject)
}

pub fn custom(
    context: &mut Context<'_>,
    request: api::SimulateCustomPolicyRequest,
) -> Result<api::SimulatePolicyResponse, Fault> {
    if request.ordered_organization_policy_input_list.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(super::fault::invalid("OrderedOrganizationPolicyInputList: there are no organizations here"));
    }
    let taken = Taken {
        inputs: request.policy_input_list.clone().unwrap_or_default(),
        boundaries: request.permissions_boundary_policy_input_list.clone().unwrap_or_default(),
        excluded: Vec::new(),
    };
    let subject = Subject::of_texts(&taken)?;
    Question {
        operation: "SimulateCustomPolicy",
        filter: format!("{:?}", api::SimulateCustomPolicyRequest { marker: None, max_items: None, ..request.clone() }),
        actions: request.action_names.unwrap_or_default(),
        resources: request.resource_arns.unwrap_or_default(),
        resource_policy: request.resource_policy,
        resource_owner: request.resource_owner,
        caller: request.caller_arn,
        entries: request.context_entries.unwrap_or_default(),
        scenario: request.resource_handling_option,
        max_items: request.max_items,
        marker: request.marker,
    }
    .answer(context, subject)
}

pub fn keys_of_principal(
    context: &mut Context<'_>,
    request: api::GetContextKeysForPrincipalPolicyRequest,
) -> Result<api::GetContextKeysForPolicyResponse, Fault> {
    let arn = request.policy_source_arn.unwrap_or_default();
    let taken = Taken { inputs: request.policy_input_list.unwrap_or_default(), ..Taken::default() };
    Ok(Subject::of_entity(context, &arn, &taken)?.keys())
}

pub fn keys_of_custom(
    _: &mut Context<'_>,
    request: api::GetContextKeysForCustomPolicyRequest,
) -> Result<api::GetContextKeysForPolicyResponse, Fault> {
    let taken = Taken { inputs: request.policy_input_list.unwrap_or_default(), ..Taken::default() };
    Ok(Subject::of_texts(&taken)?.keys())
}
