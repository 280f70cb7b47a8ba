//! Making secrets.

use std::collections::BTreeMap;

use longshore_api::secretsmanager as api;
use longshore_model::secret::{SUFFIX, Secret, key};
use longshore_model::{Mint, State};
use longshore_wire::Fault;

use super::find::Desk;
use super::plain::Plain;
use super::{fault, stage, tag, version};
use crate::Context;
use crate::kms::{self, Ring};

/// Secrets of an account.
const MOST: usize = 500_000;

pub fn create(
    context: &mut Context<'_>,
    request: api::CreateSecretRequest,
) -> Result<api::CreateSecretResponse, Fault> {
    let name = request.name.clone().unwrap_or_default();
    check_name(&name)?;
    if request.add_replica_regions.is_some() || request.cross_account_primary_arn.is_some() {
        return Err(fault::parameter("Longshore has one region and does not replicate secrets."));
    }
    let plain = Plain::given(request.secret_string.clone(), request.secret_binary.clone())?;
    let (place, settings, now) = (context.place.clone(), context.settings, context.now);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    let (secret, version) = context.transact(|state, changes, mint| {
        let id = request.client_request_token.clone().unwrap_or_else(|| mint.uuid());
        let mut desk = Desk { ring: &ring, state, changes, mint };
        if let Some(known) = state.secrets.get(&key(&place.account, &name)) {
            return again(&desk, known, &id, plain.as_ref());
        }
        let mut secret = made(state, &ring, desk.mint, name, request)?;
        let current = [stage::CURRENT.to_owned()];
        if let Some(plain) = &plain {
            version::add(&mut desk, &mut secret, &id, plain, &current)?;
        }
        changes.push(secret.clone().into());
        Ok((secret, plain.map(|_| id)))
    })?;
    Ok(api::CreateSecretResponse {
        arn: Some(secret.arn(&context.place)),
        name: Some(secret.name),
        version_id: version,
        ..Default::default()
    })
}

/// The same request once more gives the same answer: the version that it made is there, with its value.
///
/// # Errors
/// `ResourceExistsException`, or `InvalidRequestException` if the secret is scheduled for deletion.
fn again(
    desk: &Desk<'_, '_>,
    known: &Secret,
    id: &str,
    plain: Option<&Plain>,
) -> Result<(Secret, Option<String>), Fault> {
    if known.deleted_at.is_some() {
        return Err(fault::request(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ));
    }
    let made = plain.and_then(|plain| Some((plain, version::find(desk.state, known, id)?)));
    match made {
        Some((plain, version)) if version::open(desk.ring, desk.state, known, version)? == *plain => {
            Ok((known.clone(), Some(id.to_owned())))
        }
        _ => Err(fault::exists(&known.name)),
    }
}

fn made(
    state: &State,
    ring: &Ring<'_>,
    mint: &mut Mint,
    name: String,
    request: api::CreateSecretRequest,
) -> Result<Secret, Fault> {
    let account = ring.place.account.to_string();
    if state.index.stocks.of(&account).secrets >= MOST {
        return Err(fault::limit(format!("An account may have {MOST} secrets.")));
    }
    let mut tags = BTreeMap::new();
    tag::add(&mut tags, request.tags.unwrap_or_default())?;
    Ok(Secret {
        account,
        name,
        suffix: suffix(mint),
        uid: mint.uuid(),
        created_at: ring.now,
        changed_at: Some(ring.now),
        accessed_at: None,
        description: request.description,
        kind: request.r#type,
        kms_key: own_key(state, ring, request.kms_key_id)?,
        tags,
        policy: None,
        stages: BTreeMap::new(),
        deleted_at: None,
        delete_at: None,
        rotation: None,
    })
}

/// The customer's key that a request names, as it names it; none for the AWS managed one.
///
/// # Errors
/// `EncryptionFailure` if there is no such key.
pub fn own_key(state: &State, ring: &Ring<'_>, given: Option<String>) -> Result<Option<String>, Fault> {
    let Some(given) = given.filter(|given| !given.is_empty() && *given != kms::managed_alias(super::NAME)) else {
        return Ok(None);
    };
    let found = kms::find(state, ring.place, &given).map_err(fault::encryption)?;
    Ok(found.service.is_none().then_some(given))
}

fn suffix(mint: &mut Mint) -> String {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..SUFFIX).map(|_| char::from(LETTERS[(mint.next_u64() % 62) as usize])).collect()
}

/// # Errors
/// `ValidationException`
fn check_name(name: &str) -> Result<(), Fault> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_+=.@!".contains(&byte);
    match name.bytes().all(good) {
        true => Ok(()),
        false => Err(fault::validation(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        )),
    }
}
