//! Rotation: new key material once in a period, and on demand. What is due is made when the key next encrypts; rotations are
//! listed when their material was made. Older material goes on decrypting.

use longshore_api::kms as api;
use longshore_model::Change;
use longshore_model::kms::{EncryptionKey, KeyMaterial, MOST_ROTATIONS_ON_DEMAND};
use longshore_wire::{Fault, Timestamp};

use super::find::{arn, by_id};
use super::page::{self, Asked};
use super::{Ring, fault, key};
use crate::Context;
use crate::vault::random;

/// Days between rotations where nobody said.
pub const YEAR: i32 = 365;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The number of the material that a key is made with.
pub const FIRST: i32 = 1;

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
    Ok(KeyMaterial { number, id, created_at: ring.now, on_demand: false, sealed })
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
    add(ring, &mut key, false)?;
    begin(&mut key, days, ring.now);
    changes.push(key.clone().into());
    Ok(key)
}

/// Gives the key its next material.
///
/// # Errors
/// As [`material`].
fn add(ring: &Ring<'_>, key: &mut EncryptionKey, on_demand: bool) -> Result<(), Fault> {
    let number = key.current().map_or(0, |last| last.number) + 1;
    let made = material(ring, &key.id, number)?;
    key.materials.push(KeyMaterial { on_demand, ..made });
    Ok(())
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

/// New material at once. When the next is due stays as it is.
pub fn on_demand(
    context: &mut Context<'_>,
    request: api::RotateKeyOnDemandRequest,
) -> Result<api::RotateKeyOnDemandResponse, Fault> {
    let (place, settings, now) = (context.place.clone(), context.settings, context.now);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    let id = key::change(context, &request.key_id.unwrap_or_default(), |key, arn| {
        check(key, arn)?;
        if key.materials.iter().filter(|material| material.on_demand).count() >= MOST_ROTATIONS_ON_DEMAND {
            return Err(fault::limit("on-demand rotations of a key", MOST_ROTATIONS_ON_DEMAND));
        }
        add(&ring, key, true)?;
        Ok(key.id.clone())
    })?;
    Ok(api::RotateKeyOnDemandResponse { key_id: Some(id) })
}

/// Rotations, the oldest first; the first material, which came with the key, on request.
pub fn list(
    context: &mut Context<'_>,
    request: api::ListKeyRotationsRequest,
) -> Result<api::ListKeyRotationsResponse, Fault> {
    let place = context.place.clone();
    let given = request.key_id.unwrap_or_default();
    let all = request.include_key_material == Some(api::IncludeKeyMaterial::AllKeyMaterial);
    let filter = format!("{given} {all}");
    let (marker, limit) = (request.marker.as_deref(), request.limit);
    let asked = Asked { operation: "ListKeyRotations", filter: &filter, marker, limit };
    let after = asked.after(context)?.and_then(|number| number.parse().ok()).unwrap_or(0);
    let state = context.read();
    let key = by_id(&state, &place, &given)?;
    let rows = key.materials.iter().filter(|material| material.number > after && (all || material.number > FIRST));
    let rows = rows.map(|material| (material.number.to_string(), shown(key, material)));
    let page = page::cut(context.settings, &place, &asked, rows);
    Ok(api::ListKeyRotationsResponse {
        truncated: page.truncated(),
        rotations: Some(page.rows),
        next_marker: page.marker,
    })
}

fn shown(key: &EncryptionKey, material: &KeyMaterial) -> api::RotationsListEntry {
    let current = key.current().is_some_and(|current| current.number == material.number);
    let rotated = material.number > FIRST;
    let kind = if material.on_demand { api::RotationType::OnDemand } else { api::RotationType::Automatic };
    api::RotationsListEntry {
        key_id: Some(key.id.clone()),
        key_material_id: Some(material.id.clone()),
        key_material_state: Some(match current {
            true => api::KeyMaterialState::Current,
            false => api::KeyMaterialState::NonCurrent,
        }),
        rotation_date: rotated.then_some(material.created_at),
        rotation_type: rotated.then_some(kind),
        ..Default::default()
    }
}
