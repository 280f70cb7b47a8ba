//! Task definitions: families of immutable revisions.
//!
//! ```text
//! RegisterTaskDefinition -> ACTIVE -> (Deregister) INACTIVE -> (Delete) DELETE_IN_PROGRESS -> gone once nothing uses it
//! ```
//! Registering checks everything, fills in ECS's defaults and works out what the definition can run on ([`register`]).

mod attribute;
mod default;
mod list;
pub mod register;
mod retire;
pub mod rule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::{AccountId, State};
use longshore_wire::Fault;

use super::fault;
use super::resolve::{self, DefinitionRef};
use crate::Context;

pub use list::{families, list};
pub use register::register;
pub use retire::{delete, deregister};

/// The revision that is named, or the newest ACTIVE one of the family. Of any status when it is named.
pub fn find<'a>(state: &'a State, account: &AccountId, named: &DefinitionRef) -> Option<&'a Arc<TaskDefinition>> {
    state.definition_named(account, &named.family, named.revision)
}

/// The revision to run: it must be ACTIVE.
///
/// # Errors
/// `ClientException`, "TaskDefinition not found." or "TaskDefinition is inactive".
pub fn runnable<'a>(
    state: &'a State,
    account: &AccountId,
    named: &DefinitionRef,
) -> Result<&'a Arc<TaskDefinition>, Fault> {
    let found = find(state, account, named).ok_or_else(fault::definition_not_found)?;
    match found.is_active() {
        true => Ok(found),
        false => Err(fault::definition_inactive()),
    }
}

/// DescribeTaskDefinition, with the tags when `include` says so.
pub fn describe(
    context: &mut Context<'_>,
    request: ecs::DescribeTaskDefinitionRequest,
) -> Result<ecs::DescribeTaskDefinitionResponse, Fault> {
    let named = resolve::definition_ref(&context.place, request.task_definition.as_deref().unwrap_or_default())?;
    let with_tags = request.include.unwrap_or_default().contains(&ecs::TaskDefinitionField::Tags);
    let account = context.account().clone();
    let state = context.read();
    let found = find(&state, &account, &named).ok_or_else(|| fault::client("Unable to describe task definition."))?;
    Ok(ecs::DescribeTaskDefinitionResponse {
        task_definition: Some(found.api.clone()),
        tags: with_tags.then(|| found.tags.clone()),
    })
}
