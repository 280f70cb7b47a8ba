//! What other services encrypt with.

use std::sync::Arc;

use longshore_model::kms::EncryptionKey;
use longshore_model::{Change, Mint, Place, State};
use longshore_wire::{Fault, Timestamp};

use super::cipher::{self, Blob, EncryptionContext};
use super::find::{arn, find};
use super::{fault, managed, rotation};
use crate::{Context, Vault};

/// The keys of an account, as they are used at one time. Whether the caller may is not asked here: the table of
/// [`crate::access`] says what each operation needs of keys.
pub struct Ring<'a> {
    pub place: &'a Place,
    pub vault: &'a Vault,
    pub now: Timestamp,
}

/// What was decrypted.
pub struct Opened {
    pub key: Arc<EncryptionKey>,
    /// Id of the key material.
    pub material: String,
    pub plain: Vec<u8>,
}

impl<'a> Ring<'a> {
    /// For reading: transactions take the parts, because they borrow the context.
    pub fn of(context: &'a Context<'_>) -> Self {
        Self { place: &context.place, vault: &context.settings.vault, now: context.now }
    }

    /// The key that a service encrypts with: the one that is given (id, ARN or alias), or the AWS managed key of the
    /// service (`ssm`, `secretsmanager`), which is made in this transaction if there is none. Call it once a transaction.
    ///
    /// # Errors
    /// `NotFoundException`, `DisabledException`, `KMSInvalidStateException`.
    pub fn service_key(
        &self,
        transaction: (&State, &mut Vec<Change>, &mut Mint),
        service: &str,
        given: Option<&str>,
    ) -> Result<EncryptionKey, Fault> {
        let name = managed::alias(service);
        match given.filter(|given| *given != name) {
            Some(given) => self.usable((transaction.0, transaction.1), given),
            None => managed::ensure(self, transaction, service),
        }
    }

    /// The key that is meant, fit to encrypt with: the material that is due is made.
    ///
    /// # Errors
    /// As [`service_key`](Self::service_key).
    pub(super) fn usable(
        &self,
        (state, changes): (&State, &mut Vec<Change>),
        given: &str,
    ) -> Result<EncryptionKey, Fault> {
        let key = find(state, self.place, given)?;
        self.check(key)?;
        rotation::current(self, changes, key)
    }

    /// A ciphertext under the current material of a key. Any length.
    ///
    /// # Errors
    /// `DisabledException`, `KMSInvalidStateException`; `InternalFailure` if the material does not open.
    pub fn encrypt(&self, key: &EncryptionKey, context: &EncryptionContext, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        self.check(key)?;
        let material = key.current().ok_or_else(Fault::internal)?;
        let bytes = self.material(key, &material.sealed, material.number).ok_or_else(Fault::internal)?;
        cipher::seal(&key.id, (material.number, &bytes), &key.account, context, plain)
    }

    /// What a ciphertext of this account holds.
    ///
    /// # Errors
    /// `InvalidCiphertextException`, without saying more, if it is none, was changed, or is of another context;
    /// `DisabledException`, `KMSInvalidStateException`.
    pub fn decrypt(&self, state: &State, context: &EncryptionContext, bytes: &[u8]) -> Result<Opened, Fault> {
        let blob = Blob::parse(bytes).ok_or_else(fault::ciphertext)?;
        let stored = longshore_model::kms::key(&self.place.account, &blob.key());
        let key = state.encryption_keys.get(&stored).ok_or_else(fault::ciphertext)?;
        self.check(key)?;
        let material = key.material(blob.number).ok_or_else(fault::ciphertext)?;
        let secret = self.material(key, &material.sealed, material.number).ok_or_else(Fault::internal)?;
        let plain = blob.open(&secret, &key.account, context).ok_or_else(fault::ciphertext)?;
        Ok(Opened { key: key.clone(), material: material.id.clone(), plain })
    }

    /// # Errors
    /// `DisabledException`, `KMSInvalidStateException`.
    fn check(&self, key: &EncryptionKey) -> Result<(), Fault> {
        let arn = || arn(self.place, &key.id);
        match (key.delete_at.is_some(), key.disabled) {
            (true, _) => Err(fault::pending(&arn())),
            (_, true) => Err(fault::disabled(&arn())),
            _ => Ok(()),
        }
    }

    fn material(&self, key: &EncryptionKey, sealed: &str, number: i32) -> Option<Vec<u8>> {
        self.vault.open(&rotation::about(&key.account, &key.id, number), sealed)
    }
}
