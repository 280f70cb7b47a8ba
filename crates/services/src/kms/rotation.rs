//! Rotation: new key material once in a period. It is made when the key next encrypts after it is due, which nobody can
//! tell from its being made on time; older material goes on decrypting.

use longshore_api::kms as api;
use longshore_model::Change;
use longshore_model::kms::{EncryptionKey, KeyMaterial};
use longshore_wire::{Fault, Timestamp};

use super::find::{arn, by_id};
use super::{Ring, fault, key};
use crate::Context;
use crate::vault::random;

/// Days between rotations where nobody said.
pub const YEAR: i32 = 365;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// What key material is sealed about.
pub fn about(account: &str, key: &str, number: i32) -> String {
    format!("kms/{account}/{key}/{number}")
}

/// New material.
///
/// # Errors
/// `InternalFailure` if there is no randomness.
pub fn material(ring: &Ring<'_>, key: &str, number: i32) -> Result<KeyMaterial, Fault> {
    let sealed = ring.vault.seal(&about(ring.place.account.as_str(), key, number), &random::<32>()?)?;
    let id = random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(KeyMaterial { number, id, created_at: ring.now, sealed })
}

/// The key as it encrypts now: if new material is due, it is made and written.
///
/// # Errors
/// As [`material`].
pub fn current(ring: &Ring<'_>, changes: &mut Vec<Change>, found: &EncryptionKey) -> Result<EncryptionKey, Fault> {
    let mut key = found.clone();
    let Some(days) = key.rotation_days.filter(|_| key.rotate_at.is_some_and(|due| due <= ring.now)) else {
        return Ok(key);
    };
    let number = key.current().map_or(0, |last| last.number) + 1;
    let made = material(ring, &key.id, number)?;
    key.materials.push(made);
    begin(&mut key, days, ring.now);
    changes.push(key.clone().into());
    Ok(key)
}

/// Rotate every so many days from now on.
pub fn begin(key: &mut EncryptionKey, days: i32, now: Timestamp) {
    key.rotation_days = Some(days);
    key.rotate_at = Some(Timestamp::from_millis(now.millis().saturating_add(i64::from(days) * DAY_MILLIS)));
}

pub fn enable(context: &mut Context<'_>, request: api::EnableKeyRotationRequest) -> Result<(), Fault> {
    let (days, now) = (request.rotation_period_in_days.unwrap_or(YEAR), context.now);
    key::change(context, &request.key_id.unwrap_or_default(), |key, arn| {
        check(key, arn)?;
        if key.rotation_days != Some(days) {
            begin(key, days, now);
        }
        Ok(())
    })
}

pub fn disable(context: &mut Context<'_>, request: api::DisableKeyRotationRequest) -> Result<(), Fault> {
    key::change(context, &request.key_id.unwrap_or_default(), |key, arn| {
        check(key, arn)?;
        (key.rotation_days, key.rotate_at) = (None, None);
        Ok(())
    })
}

/// # Errors
/// `DisabledException`, `KMSInvalidStateException`.
fn check(key: &EncryptionKey, arn: &str) -> Result<(), Fault> {
    match (key.delete_at.is_some(), key.disabled) {
        (true, _) => Err(fault::pending(arn)),
        (_, true) => Err(fault::disabled(arn)),
        _ => Ok(()),
    }
}

pub fn status(
    context: &mut Context<'_>,
    request: api::GetKeyRotationStatusRequest,
) -> Result<api::GetKeyRotationStatusResponse, Fault> {
    let place = context.place.clone();
    let state = context.read();
    let key = by_id(&state, &place, &request.key_id.unwrap_or_default())?;
    Ok(api::GetKeyRotationStatusResponse {
        key_rotation_enabled: Some(key.rotation_days.is_some()),
        key_id: Some(arn(&place, &key.id)),
        rotation_period_in_days: key.rotation_days,
        next_rotation_date: key.rotate_at,
        ..Default::default()
    })
}
