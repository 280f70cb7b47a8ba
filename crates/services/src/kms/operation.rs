//! What keys are for: encrypt, decrypt, data keys, random bytes.

use aws_lc_rs::rand;
use longshore_api::kms as api;
use longshore_model::Place;
use longshore_model::kms::EncryptionKey;
use longshore_wire::{Blob, Fault};

use super::cipher::EncryptionContext;
use super::find::{arn, find};
use super::ring::Opened;
use super::{Ring, fault};
use crate::Context;

/// Bytes of an encryption context.
const MOST_CONTEXT: usize = 8192;

const SYMMETRIC: api::EncryptionAlgorithmSpec = api::EncryptionAlgorithmSpec::SymmetricDefault;

pub fn encrypt(context: &mut Context<'_>, request: api::EncryptRequest) -> Result<api::EncryptResponse, Fault> {
    check_algorithm(request.encryption_algorithm)?;
    let bound = checked(request.encryption_context)?;
    let plain = request.plaintext.unwrap_or_default();
    let (key, blob) = seal(context, &request.key_id.unwrap_or_default(), &bound, &plain.0, request.dry_run)?;
    Ok(api::EncryptResponse {
        ciphertext_blob: Some(Blob(blob)),
        key_id: Some(arn(&context.place, &key.id)),
        encryption_algorithm: Some(SYMMETRIC),
    })
}

pub fn decrypt(context: &mut Context<'_>, request: api::DecryptRequest) -> Result<api::DecryptResponse, Fault> {
    check_algorithm(request.encryption_algorithm)?;
    check_recipient(request.recipient.is_some())?;
    let bound = checked(request.encryption_context)?;
    let blob = request.ciphertext_blob.ok_or_else(|| fault::validation("CiphertextBlob must not be null"))?;
    let opened = open(context, request.key_id.as_deref(), &bound, &blob.0, request.dry_run)?;
    Ok(api::DecryptResponse {
        key_id: Some(arn(&context.place, &opened.key.id)),
        plaintext: Some(Blob(opened.plain)),
        encryption_algorithm: Some(SYMMETRIC),
        key_material_id: Some(opened.material),
        ..Default::default()
    })
}

pub fn re_encrypt(context: &mut Context<'_>, request: api::ReEncryptRequest) -> Result<api::ReEncryptResponse, Fault> {
    check_algorithm(request.source_encryption_algorithm)?;
    check_algorithm(request.destination_encryption_algorithm)?;
    let from = checked(request.source_encryption_context)?;
    let to = checked(request.destination_encryption_context)?;
    let blob = request.ciphertext_blob.ok_or_else(|| fault::validation("CiphertextBlob must not be null"))?;
    let opened = open(context, request.source_key_id.as_deref(), &from, &blob.0, None)?;
    let destination = request.destination_key_id.unwrap_or_default();
    let (key, sealed) = seal(context, &destination, &to, &opened.plain, request.dry_run)?;
    Ok(api::ReEncryptResponse {
        ciphertext_blob: Some(Blob(sealed)),
        source_key_id: Some(arn(&context.place, &opened.key.id)),
        key_id: Some(arn(&context.place, &key.id)),
        source_encryption_algorithm: Some(SYMMETRIC),
        destination_encryption_algorithm: Some(SYMMETRIC),
        source_key_material_id: Some(opened.material),
        destination_key_material_id: key.current().map(|material| material.id.clone()),
    })
}

pub fn generate_data_key(
    context: &mut Context<'_>,
    request: api::GenerateDataKeyRequest,
) -> Result<api::GenerateDataKeyResponse, Fault> {
    check_recipient(request.recipient.is_some())?;
    let plain = data_key(request.key_spec, request.number_of_bytes)?;
    let bound = checked(request.encryption_context)?;
    let (key, blob) = seal(context, &request.key_id.unwrap_or_default(), &bound, &plain, request.dry_run)?;
    Ok(api::GenerateDataKeyResponse {
        ciphertext_blob: Some(Blob(blob)),
        plaintext: Some(Blob(plain)),
        key_id: Some(arn(&context.place, &key.id)),
        key_material_id: key.current().map(|material| material.id.clone()),
        ..Default::default()
    })
}

pub fn generate_data_key_without_plaintext(
    context: &mut Context<'_>,
    request: api::GenerateDataKeyWithoutPlaintextRequest,
) -> Result<api::GenerateDataKeyWithoutPlaintextResponse, Fault> {
    let plain = data_key(request.key_spec, request.number_of_bytes)?;
    let bound = checked(request.encryption_context)?;
    let (key, blob) = seal(context, &request.key_id.unwrap_or_default(), &bound, &plain, request.dry_run)?;
    Ok(api::GenerateDataKeyWithoutPlaintextResponse {
        ciphertext_blob: Some(Blob(blob)),
        key_id: Some(arn(&context.place, &key.id)),
        key_material_id: key.current().map(|material| material.id.clone()),
    })
}

pub fn generate_random(
    _: &mut Context<'_>,
    request: api::GenerateRandomRequest,
) -> Result<api::GenerateRandomResponse, Fault> {
    check_recipient(request.recipient.is_some())?;
    if request.custom_key_store_id.is_some() {
        return Err(fault::unsupported("Longshore has no custom key stores."));
    }
    let Some(length) = request.number_of_bytes else {
        return Err(fault::validation("NumberOfBytes is required"));
    };
    Ok(api::GenerateRandomResponse { plaintext: Some(Blob(random(length)?)), ..Default::default() })
}

/// # Errors
/// `ValidationException` unless exactly one of the two is given.
fn data_key(spec: Option<api::DataKeySpec>, bytes: Option<i32>) -> Result<Vec<u8>, Fault> {
    match (spec, bytes) {
        (Some(api::DataKeySpec::Aes256), None) => random(32),
        (Some(api::DataKeySpec::Aes128), None) => random(16),
        (None, Some(bytes)) => random(bytes),
        _ => Err(fault::validation("Please specify either number of bytes or key spec.")),
    }
}

fn random(length: i32) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| Fault::internal())?];
    rand::fill(&mut bytes).map_err(|_| Fault::internal())?;
    Ok(bytes)
}

fn seal(
    context: &mut Context<'_>,
    given: &str,
    bound: &EncryptionContext,
    plain: &[u8],
    dry_run: Option<bool>,
) -> Result<(EncryptionKey, Vec<u8>), Fault> {
    let (place, settings, now) = (context.place.clone(), context.settings, context.now);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    // A transaction, because the key may be due for new material.
    let key = context.transact(|state, changes, _| ring.usable((state, changes), given))?;
    check_dry(dry_run)?;
    let blob = ring.encrypt(&key, bound, plain)?;
    Ok((key, blob))
}

fn open(
    context: &mut Context<'_>,
    given: Option<&str>,
    bound: &EncryptionContext,
    blob: &[u8],
    dry_run: Option<bool>,
) -> Result<Opened, Fault> {
    let place: Place = context.place.clone();
    let (settings, now) = (context.settings, context.now);
    let state = context.read();
    let ring = Ring { place: &place, vault: &settings.vault, now };
    let wanted = given.map(|given| find(&state, &place, given)).transpose()?;
    let opened = ring.decrypt(&state, bound, blob)?;
    if wanted.is_some_and(|wanted| wanted.id != opened.key.id) {
        return Err(fault::incorrect_key());
    }
    check_dry(dry_run)?;
    Ok(opened)
}

/// # Errors
/// `ValidationException` for a context that is too large.
fn checked(given: Option<EncryptionContext>) -> Result<EncryptionContext, Fault> {
    let given = given.unwrap_or_default();
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    match bytes > MOST_CONTEXT {
        true => Err(fault::validation(format!("The encryption context is larger than {MOST_CONTEXT} bytes."))),
        false => Ok(given),
    }
}

/// # Errors
/// `InvalidKeyUsageException` for an algorithm that no key here has.
fn check_algorithm(given: Option<api::EncryptionAlgorithmSpec>) -> Result<(), Fault> {
    match given.is_none_or(|given| given == SYMMETRIC) {
        true => Ok(()),
        false => {
            let message = "The algorithm is not one of the key's: it is SYMMETRIC_DEFAULT.";
            Err(fault::of(&api::fault::INVALID_KEY_USAGE_EXCEPTION, message))
        }
    }
}

/// # Errors
/// `DryRunOperationException`, which says that it would have been done.
fn check_dry(dry_run: Option<bool>) -> Result<(), Fault> {
    match dry_run.unwrap_or_default() {
        true => Err(fault::dry_run()),
        false => Ok(()),
    }
}

/// # Errors
/// `UnsupportedOperationException`: there are no enclaves here to encrypt to.
fn check_recipient(given: bool) -> Result<(), Fault> {
    match given {
        true => Err(fault::unsupported("Longshore does not encrypt to recipients with attestation documents.")),
        false => Ok(()),
    }
}
