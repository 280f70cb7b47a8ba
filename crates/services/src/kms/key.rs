//! Keys: made, described, listed, switched on and off.

use std::collections::BTreeMap;

use longshore_api::kms as api;
use longshore_model::kms::EncryptionKey;
use longshore_wire::Fault;

use super::find::{arn, by_id, find};
use super::page::{self, Asked};
use super::{Ring, fault, policy, rotation, tag};
use crate::Context;

/// Keys of an account.
const MOST: usize = 100_000;

pub fn create(context: &mut Context<'_>, request: api::CreateKeyRequest) -> Result<api::CreateKeyResponse, Fault> {
    check_kind(&request)?;
    let mut tags = BTreeMap::new();
    tag::add(&mut tags, request.tags.unwrap_or_default())?;
    // The usual policy leaves it to the account, whatever the caller may.
    let bypass = request.bypass_policy_lockout_safety_check.unwrap_or_default() || request.policy.is_none();
    let document = match request.policy {
        Some(document) => document,
        None => policy::usual(context.account()),
    };
    let (place, settings, now) = (context.place.clone(), context.settings, context.now);
    let (caller, conditions) = (context.caller.clone(), context.conditions.clone());
    let key = context.transact(|state, changes, mint| {
        if state.encryption_keys.scan(&format!("{}/", place.account)).count() >= MOST {
            return Err(fault::limit("keys", MOST));
        }
        let ring = Ring { place: &place, vault: &settings.vault, now };
        let id = mint.uuid();
        policy::check(state, &caller, &conditions, &arn(&place, &id), &document, bypass)?;
        let mut key = made(&ring, id, document)?;
        key.description = request.description.unwrap_or_default();
        key.tags = tags;
        changes.push(key.clone().into());
        Ok(key)
    })?;
    Ok(api::CreateKeyResponse { key_metadata: Some(metadata(context, &key)) })
}

/// A key with its first material.
///
/// # Errors
/// `InternalFailure` if there is no randomness.
pub fn made(ring: &Ring<'_>, id: String, policy: String) -> Result<EncryptionKey, Fault> {
    Ok(EncryptionKey {
        account: ring.place.account.to_string(),
        materials: vec![rotation::material(ring, &id, rotation::FIRST)?],
        id,
        created_at: ring.now,
        description: String::new(),
        disabled: false,
        delete_at: None,
        policy,
        tags: BTreeMap::new(),
        service: None,
        rotation_days: None,
        rotate_at: None,
    })
}

/// # Errors
/// `UnsupportedOperationException` for all but symmetric keys made here, `ValidationException` for contradictions.
fn check_kind(request: &api::CreateKeyRequest) -> Result<(), Fault> {
    let old = request.customer_master_key_spec.map(api::CustomerMasterKeySpec::as_str);
    let new = request.key_spec.map(api::KeySpec::as_str);
    if old.is_some() && new.is_some() {
        return Err(fault::validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.",
        ));
    }
    let spec = new.or(old).unwrap_or("SYMMETRIC_DEFAULT");
    let usage = request.key_usage.unwrap_or(api::KeyUsageType::EncryptDecrypt);
    let origin = request.origin.unwrap_or(api::OriginType::AwsKms);
    if spec == "SYMMETRIC_DEFAULT" && usage != api::KeyUsageType::EncryptDecrypt {
        let usage = usage.as_str();
        return Err(fault::validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")));
    }
    let own =
        origin == api::OriginType::AwsKms && request.custom_key_store_id.is_none() && request.xks_key_id.is_none();
    let built = spec == "SYMMETRIC_DEFAULT" && own && !request.multi_region.unwrap_or_default();
    match built {
        true => Ok(()),
        false => Err(fault::unsupported(
            "Longshore has symmetric keys of one region and of its own material only (SYMMETRIC_DEFAULT, AWS_KMS).",
        )),
    }
}

pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeKeyRequest,
) -> Result<api::DescribeKeyResponse, Fault> {
    let place = context.place.clone();
    let key = find(&context.read(), &place, &request.key_id.unwrap_or_default())?.clone();
    Ok(api::DescribeKeyResponse { key_metadata: Some(metadata(context, &key)) })
}

fn metadata(context: &Context<'_>, key: &EncryptionKey) -> api::KeyMetadata {
    let state = match (key.delete_at.is_some(), key.disabled) {
        (true, _) => api::KeyState::PendingDeletion,
        (_, true) => api::KeyState::Disabled,
        _ => api::KeyState::Enabled,
    };
    let managed = key.service.is_some();
    api::KeyMetadata {
        aws_account_id: Some(key.account.clone()),
        key_id: Some(key.id.clone()),
        arn: Some(arn(&context.place, &key.id)),
        creation_date: Some(key.created_at),
        enabled: Some(state == api::KeyState::Enabled),
        description: Some(key.description.clone()),
        key_usage: Some(api::KeyUsageType::EncryptDecrypt),
        key_state: Some(state),
        deletion_date: key.delete_at,
        origin: Some(api::OriginType::AwsKms),
        key_manager: Some(if managed { api::KeyManagerType::Aws } else { api::KeyManagerType::Customer }),
        customer_master_key_spec: Some(api::CustomerMasterKeySpec::SymmetricDefault),
        key_spec: Some(api::KeySpec::SymmetricDefault),
        encryption_algorithms: Some(vec![api::EncryptionAlgorithmSpec::SymmetricDefault]),
        multi_region: Some(false),
        current_key_material_id: key.current().map(|material| material.id.clone()),
        ..Default::default()
    }
}

pub fn list(context: &mut Context<'_>, request: api::ListKeysRequest) -> Result<api::ListKeysResponse, Fault> {
    let place = context.place.clone();
    let prefix = format!("{}/", place.account);
    let asked = Asked { operation: "ListKeys", filter: "", marker: request.marker.as_deref(), limit: request.limit };
    let after = asked.after(context)?;
    let state = context.read();
    let rows = state.encryption_keys.scan_after(&prefix, after.as_deref());
    let entry = |id: &str| api::KeyListEntry { key_id: Some(id.to_owned()), key_arn: Some(arn(&place, id)) };
    let rows = rows.map(|(key, row)| (key.to_string(), entry(&row.id)));
    let page = page::cut(context.settings, &place, &asked, rows);
    Ok(api::ListKeysResponse { truncated: page.truncated(), keys: Some(page.rows), next_marker: page.marker })
}

pub fn enable(context: &mut Context<'_>, request: api::EnableKeyRequest) -> Result<(), Fault> {
    switch(context, &request.key_id.unwrap_or_default(), false)
}

pub fn disable(context: &mut Context<'_>, request: api::DisableKeyRequest) -> Result<(), Fault> {
    switch(context, &request.key_id.unwrap_or_default(), true)
}

fn switch(context: &mut Context<'_>, given: &str, disabled: bool) -> Result<(), Fault> {
    change(context, given, |key, arn| match key.delete_at {
        Some(_) => Err(fault::pending(arn)),
        None => {
            key.disabled = disabled;
            Ok(())
        }
    })
}

pub fn update_description(context: &mut Context<'_>, request: api::UpdateKeyDescriptionRequest) -> Result<(), Fault> {
    let description = request.description.unwrap_or_default();
    change(context, &request.key_id.unwrap_or_default(), |key, arn| match key.delete_at {
        Some(_) => Err(fault::pending(arn)),
        None => {
            key.description = description;
            Ok(())
        }
    })
}

/// Changes a customer's key, named by id or ARN. `change` is given the key and its ARN.
///
/// # Errors
/// `NotFoundException`, `AccessDeniedException` for an AWS managed key, and those of `change`.
pub fn change<T>(
    context: &mut Context<'_>,
    given: &str,
    change: impl FnOnce(&mut EncryptionKey, &str) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        let found = by_id(state, &place, given)?;
        let arn = arn(&place, &found.id);
        if found.service.is_some() {
            return Err(fault::managed(&arn));
        }
        let mut key = EncryptionKey::clone(found);
        let answer = change(&mut key, &arn)?;
        if key != **found {
            changes.push(key.into());
        }
        Ok(answer)
    })
}
