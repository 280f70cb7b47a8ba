//! Repositories that are encrypted by a key of KMS: their bytes are sealed under a data key, which that key wraps.
//!
//! ```text
//!     KMS key ──encrypts──► the repository's data key, in its record ──► a key for each file ──► its segments
//! ```
//! The data key is opened anew for each request, which costs microseconds: so a key that is disabled, or about to be deleted, is
//! good for nothing from the next request on, and for everything again once it is enabled. Who may do what, the policies of
//! repositories say; a key is asked about when a repository is made (`kms:CreateGrant`), as by ECR, and not at each pull.

use longshore_api::ecr::fault as def;
use longshore_model::kms::EncryptionKey;
use longshore_model::registry::Repository;
use longshore_model::{AccountId, Place, State};
use longshore_store::blobs::{Seal, SealId};
use longshore_wire::{Blob, Fault, Timestamp, Value};

use crate::Settings;
use crate::kms::{self, EncryptionContext, Ring};
use crate::vault::random;

/// What a wrapped data key is bound to.
fn bound(place: &Place, id: &str, name: &str) -> EncryptionContext {
    EncryptionContext::from([
        ("aws:ecr:arn".to_owned(), place.arn("ecr", &format!("repository/{name}"))),
        ("longshore:RepositoryId".to_owned(), id.to_owned()),
    ])
}

/// A new data key for a repository, as the key encrypts it.
///
/// # Errors
/// `KmsException`
pub fn wrapped(ring: &Ring<'_>, key: &EncryptionKey, (id, name): (&str, &str)) -> Result<Blob, Fault> {
    let sealed = ring.encrypt(key, &bound(ring.place, id, name), &random::<32>()?);
    sealed.map(Blob).map_err(refused)
}

/// What the bytes of a repository are sealed under; `None` of one that is not encrypted by KMS.
///
/// # Errors
/// `KmsException`: its key is disabled, pending deletion or gone.
pub fn of(state: &State, settings: &Settings, repository: &Repository, now: Timestamp) -> Result<Option<Seal>, Fault> {
    let Some(wrapped) = &repository.data_key else { return Ok(None) };
    let account = AccountId::parse(&repository.account).ok_or_else(Fault::internal)?;
    let place = Place::new(&settings.region, &account);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    kms::find(state, &place, repository.kms_key.as_deref().unwrap_or_default()).map_err(refused)?;
    let bound = bound(&place, &repository.id, &repository.name);
    let opened = ring.decrypt(state, &bound, &wrapped.0).map_err(refused)?;
    let key = opened.plain.first_chunk().ok_or_else(Fault::internal)?;
    let id = SealId::parse(&repository.id).ok_or_else(Fault::internal)?;
    Ok(Some(Seal::new(id, key)))
}

/// `KmsException`: what KMS refuses, with its own code.
pub fn refused(fault: Fault) -> Fault {
    if !fault.sender {
        return fault;
    }
    let message = format!("The repository's key cannot be used: {}", fault.message);
    let error = Value::String(fault.name.to_owned());
    super::fault::of(&def::KMS_EXCEPTION, message).with(&def::KMS_EXCEPTION, "kmsError", error)
}
