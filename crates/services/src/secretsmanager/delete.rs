//! Deletion: scheduled, with a window in which it can be taken back, or at once.

use longshore_api::secretsmanager as api;
use longshore_model::secret::{Secret, key};
use longshore_model::{Change, TableName};
use longshore_wire::{Fault, Timestamp};

use super::find::any;
use super::{fault, version};
use crate::Context;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Days of the window, at least, at most, and where nobody said.
const LEAST: i64 = 7;
const MOST: i64 = 30;

pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteSecretRequest,
) -> Result<api::DeleteSecretResponse, Fault> {
    let force = request.force_delete_without_recovery.unwrap_or_default();
    let days = window(request.recovery_window_in_days, force)?;
    let given = request.secret_id.unwrap_or_default();
    let (place, now) = (context.place.clone(), context.now);
    let at = Timestamp::from_millis(now.millis().saturating_add(days * DAY_MILLIS));
    let deleted = context.transact(|state, changes, _| {
        let found = match any(state, &place, &given) {
            // Whoever forces it has what is wanted.
            Err(_) if force => return Ok(None),
            found => found?,
        };
        if force {
            let versions = version::all(state, found);
            changes.extend(versions.iter().map(|version| Change::Delete(TableName::SecretVersion, version.key())));
            changes.push(Change::Delete(TableName::Secret, key(&place.account, &found.name)));
        } else if found.deleted_at.is_some() {
            return Err(fault::deleted());
        } else {
            let (deleted_at, delete_at) = (Some(now), Some(at));
            changes.push(Secret { deleted_at, delete_at, ..found.as_ref().clone() }.into());
        }
        Ok(Some(found.clone()))
    })?;
    let (arn, name) = match deleted {
        Some(secret) => (secret.arn(&place), secret.name.clone()),
        None if given.starts_with("arn:") => (given.clone(), given),
        None => (place.arn("secretsmanager", &format!("secret:{given}")), given),
    };
    Ok(api::DeleteSecretResponse { arn: Some(arn), name: Some(name), deletion_date: Some(at) })
}

/// Days to wait; none if it is forced.
///
/// # Errors
/// `InvalidParameterException`
fn window(given: Option<i64>, force: bool) -> Result<i64, Fault> {
    match given {
        Some(_) if force => {
            Err(fault::parameter("You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."))
        }
        Some(days) if !(LEAST..=MOST).contains(&days) => Err(fault::parameter(format!(
            "The RecoveryWindowInDays value must be between {LEAST} and {MOST} days (inclusive)."
        ))),
        _ if force => Ok(0),
        days => Ok(days.unwrap_or(MOST)),
    }
}

/// A secret that is not scheduled for deletion stays as it is.
pub fn restore(
    context: &mut Context<'_>,
    request: api::RestoreSecretRequest,
) -> Result<api::RestoreSecretResponse, Fault> {
    let given = request.secret_id.unwrap_or_default();
    let (place, now) = (context.place.clone(), context.now);
    let secret = context.transact(|state, changes, _| {
        let found = any(state, &place, &given)?;
        match found.delete_at {
            Some(at) if at <= now => Err(fault::no_secret()),
            Some(_) => {
                let secret = Secret { deleted_at: None, delete_at: None, ..found.as_ref().clone() };
                changes.push(secret.clone().into());
                Ok(secret)
            }
            None => Ok(found.as_ref().clone()),
        }
    })?;
    Ok(api::RestoreSecretResponse { arn: Some(secret.arn(&place)), name: Some(secret.name) })
}
