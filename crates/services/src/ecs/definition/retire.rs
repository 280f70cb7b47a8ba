//! DeregisterTaskDefinition and DeleteTaskDefinitions.

use longshore_api::ecs::{self, TaskDefinitionStatus as Status};
use longshore_model::definition::{TaskDefinition, key};
use longshore_model::{Change, Place, State};
use longshore_wire::{Fault, Timestamp};

use crate::Context;
use crate::ecs::fault;
use crate::ecs::resolve::{self, DefinitionRef};

/// Definitions that one DeleteTaskDefinitions may name.
const LIMIT: usize = 10;

const UNKNOWN: &str =
    "The specified task definition does not exist. Specify a valid account, family, revision and try again.";

/// DeregisterTaskDefinition: ACTIVE becomes INACTIVE. What runs goes on, and what is INACTIVE already is answered as it is.
pub fn deregister(
    context: &mut Context<'_>,
    request: ecs::DeregisterTaskDefinitionRequest,
) -> Result<ecs::DeregisterTaskDefinitionResponse, Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let key = revision_key(&place, request.task_definition.as_deref().unwrap_or_default())?;
    let api = context.transact(|state, changes, _| {
        let found = state.definitions.get(&key).ok_or_else(|| fault::client(UNKNOWN))?;
        if !found.is_active() {
            return Ok(found.api.clone());
        }
        let mut row = TaskDefinition::clone(found);
        row.api.status = Some(Status::Inactive);
        row.api.deregistered_at = Some(now);
        let api = row.api.clone();
        changes.push(row.into());
        Ok::<_, Fault>(api)
    })?;
    Ok(ecs::DeregisterTaskDefinitionResponse { task_definition: Some(api) })
}

/// DeleteTaskDefinitions: INACTIVE becomes DELETE_IN_PROGRESS, each for itself; what cannot is under `failures`.
pub fn delete(
    context: &mut Context<'_>,
    request: ecs::DeleteTaskDefinitionsRequest,
) -> Result<ecs::DeleteTaskDefinitionsResponse, Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let named = request.task_definitions.unwrap_or_default();
    match named.len() {
        0 => {
            return Err(fault::invalid_parameter("taskDefinitions can not be empty."));
        }
        count if count > LIMIT => return Err(fault::too_many("taskDefinitions", LIMIT)),
        _ => {}
    }
    let mut keys: Vec<(String, String)> = Vec::new();
    for text in &named {
        let key = revision_key(&place, text)?;
        if !keys.iter().any(|(_, seen)| *seen == key) {
            keys.push((arn(&place, text)?, key));
        }
    }
    context.transact(|state, changes, _| {
        let mut answer = ecs::DeleteTaskDefinitionsResponse::default();
        let deleted = answer.task_definitions.insert(Vec::new());
        let failures = answer.failures.insert(Vec::new());
        for (arn, key) in &keys {
            match delete_one(state, key, now, changes) {
                Ok(api) => deleted.push(api),
                Err(reason) => failures.push(ecs::Failure {
                    arn: Some(arn.clone()),
                    reason: Some(reason.to_owned()),
                    detail: None,
                }),
            }
        }
        Ok::<_, Fault>(answer)
    })
}

fn delete_one(
    state: &State,
    key: &str,
    now: Timestamp,
    changes: &mut Vec<Change>,
) -> Result<ecs::TaskDefinition, &'static str> {
    let found = state.definitions.get(key).ok_or(UNKNOWN)?;
    let mut row = TaskDefinition::clone(found);
    match row.api.status {
        Some(Status::Active) => {
            Err("The specified task definition is still in ACTIVE status. Please deregister the target and try again.")
        }
        Some(Status::DeleteInProgress) => Ok(row.api),
        _ => {
            row.api.status = Some(Status::DeleteInProgress);
            row.api.delete_requested_at = Some(now);
            let api = row.api.clone();
            changes.push(row.into());
            Ok(api)
        }
    }
}

/// Both operations need a revision.
fn revision_key(place: &Place, text: &str) -> Result<String, Fault> {
    let (family, revision) = with_revision(place, text)?;
    Ok(key(&place.account, &family, revision))
}

fn arn(place: &Place, text: &str) -> Result<String, Fault> {
    let (family, revision) = with_revision(place, text)?;
    Ok(place.task_definition(&family, revision))
}

fn with_revision(place: &Place, text: &str) -> Result<(String, i32), Fault> {
    let DefinitionRef { family, revision } = resolve::definition_ref(place, text)?;
    let revision = revision.ok_or_else(|| fault::client("Invalid revision number. Number: "))?;
    Ok((family, revision))
}
