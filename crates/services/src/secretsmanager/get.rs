//! Reading values.

use std::sync::Arc;

use longshore_api::secretsmanager as api;
use longshore_model::secret::{Secret, SecretVersion};
use longshore_model::{Place, State};
use longshore_wire::{Fault, Timestamp};

use super::find::live;
use super::plain::Plain;
use super::{fault, stage, version};
use crate::Context;
use crate::kms::Ring;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

pub fn get(
    context: &mut Context<'_>,
    request: api::GetSecretValueRequest,
) -> Result<api::GetSecretValueResponse, Fault> {
    let given = request.secret_id.unwrap_or_default();
    let entry = read(context, &given, request.version_id.as_deref(), request.version_stage.as_deref())?;
    Ok(api::GetSecretValueResponse {
        arn: entry.arn,
        name: entry.name,
        version_id: entry.version_id,
        secret_binary: entry.secret_binary,
        secret_string: entry.secret_string,
        version_stages: entry.version_stages,
        created_date: entry.created_date,
    })
}

/// The value of a secret's version; the current one where nobody said which.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`, `DecryptionFailure`.
pub fn read(
    context: &mut Context<'_>,
    given: &str,
    id: Option<&str>,
    label: Option<&str>,
) -> Result<api::SecretValueEntry, Fault> {
    let place = context.place.clone();
    let (settings, now) = (context.settings, context.now);
    let state = context.read();
    let secret = live(&state, &place, given)?.clone();
    let found = meant(&state, &secret, id, label)?.clone();
    let plain = version::open(&Ring { place: &place, vault: &settings.vault, now }, &state, &secret, &found)?;
    drop(state);
    remember(context, &secret, &found)?;
    Ok(shown(&place, &secret, &found, plain))
}

/// The current value of a secret, if it is text: for a service that is given the secret's ARN. Whether it may be read was asked.
///
/// # Errors
/// As of [`read`].
pub fn text(context: &mut Context<'_>, arn: &str) -> Result<Option<String>, Fault> {
    Ok(read(context, arn, None, None)?.secret_string)
}

/// The version that is meant.
///
/// # Errors
/// `ResourceNotFoundException`; `InvalidRequestException` if the label is not at the version.
pub fn meant<'a>(
    state: &'a State,
    secret: &Secret,
    id: Option<&str>,
    label: Option<&str>,
) -> Result<&'a Arc<SecretVersion>, Fault> {
    let Some(id) = id else {
        let label = label.unwrap_or(stage::CURRENT);
        let found = secret.stages.get(label).and_then(|id| version::find(state, secret, id));
        return found.ok_or_else(|| fault::no_value(&format!("staging label: {label}")));
    };
    let found = version::find(state, secret, id).ok_or_else(|| fault::no_value(&format!("VersionId: {id}")))?;
    match label.is_none_or(|label| secret.stages.get(label).is_some_and(|at| at == id)) {
        true => Ok(found),
        false => Err(fault::request("You provided a VersionStage that is not associated to the provided VersionId.")),
    }
}

/// The version that a request would read, if there is one.
pub fn current<'a>(
    state: &'a State,
    secret: &Secret,
    id: Option<&str>,
    label: Option<&str>,
) -> Option<&'a Arc<SecretVersion>> {
    meant(state, secret, id, label).ok()
}

fn shown(place: &Place, secret: &Secret, version: &SecretVersion, plain: Plain) -> api::SecretValueEntry {
    let (secret_string, secret_binary) = plain.shown();
    let stages: Vec<String> = secret.stages_of(&version.id).cloned().collect();
    api::SecretValueEntry {
        arn: Some(secret.arn(place)),
        name: Some(secret.name.clone()),
        version_id: Some(version.id.clone()),
        secret_binary,
        secret_string,
        version_stages: (!stages.is_empty()).then_some(stages),
        created_date: Some(version.created_at),
    }
}

/// Takes note of the day on which a value was read: one write a day, not one a read.
fn remember(context: &mut Context<'_>, secret: &Secret, version: &SecretVersion) -> Result<(), Fault> {
    let day = Timestamp::from_millis(context.now.millis().div_euclid(DAY_MILLIS) * DAY_MILLIS);
    if secret.accessed_at == Some(day) && version.accessed_at == Some(day) {
        return Ok(());
    }
    let (account, name) = (context.account().clone(), &secret.name);
    let noted = context.transact(|state, changes, _| {
        let known = state.secrets.get(&longshore_model::secret::key(&account, name));
        if let Some(known) = known.filter(|known| known.uid == secret.uid) {
            changes.push(Secret { accessed_at: Some(day), ..known.as_ref().clone() }.into());
        }
        if let Some(known) = version::find(state, secret, &version.id) {
            changes.push(SecretVersion { accessed_at: Some(day), ..known.as_ref().clone() }.into());
        }
        Ok::<_, Fault>(())
    });
    // Reading goes on where nothing can be written.
    if let Err(fault) = noted {
        tracing::debug!(%fault, "the day of a read was not noted");
    }
    Ok(())
}
