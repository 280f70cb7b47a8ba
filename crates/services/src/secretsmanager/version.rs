//! Versions: made with their value encrypted, and opened.

use std::sync::Arc;

use longshore_model::secret::{MOST_VERSIONS, Secret, SecretVersion, version_key};
use longshore_model::{Change, Place, State, TableName};
use longshore_wire::{Blob, Fault, Timestamp};

use super::find::Desk;
use super::plain::Plain;
use super::{NAME, fault, stage};
use crate::kms::{EncryptionContext, Ring};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Bytes of all values of an account, as they are sealed: they are held in memory.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// What a value is bound to.
fn bound(place: &Place, secret: &Secret, version: &str) -> EncryptionContext {
    EncryptionContext::from([
        ("SecretARN".to_owned(), secret.arn(place)),
        ("SecretVersionId".to_owned(), version.to_owned()),
    ])
}

/// A version of a secret.
pub fn find<'a>(state: &'a State, secret: &Secret, id: &str) -> Option<&'a Arc<SecretVersion>> {
    state.secret_versions.get(&version_key(&secret.account, &secret.uid, id))
}

/// The versions of a secret, in the order of their ids.
pub fn all(state: &State, secret: &Secret) -> Vec<Arc<SecretVersion>> {
    let prefix = version_key(&secret.account, &secret.uid, "");
    state.secret_versions.scan(&prefix).map(|(_, version)| version.clone()).collect()
}

/// The value of a version.
///
/// # Errors
/// `DecryptionFailure`
pub fn open(ring: &Ring<'_>, state: &State, secret: &Secret, version: &SecretVersion) -> Result<Plain, Fault> {
    let bound = bound(ring.place, secret, &version.id);
    let opened = ring.decrypt(state, &bound, &version.sealed.0).map_err(fault::decryption)?;
    Ok(Plain { text: version.text, bytes: opened.plain })
}

/// Adds a version with these labels. A version of this id that has this value already stays as it is.
///
/// # Errors
/// `ResourceExistsException` for a version of this id with another value, `LimitExceededException`, `EncryptionFailure`,
/// `DecryptionFailure`.
pub fn add(
    desk: &mut Desk<'_, '_>,
    secret: &mut Secret,
    id: &str,
    plain: &Plain,
    stages: &[String],
) -> Result<(), Fault> {
    if let Some(known) = find(desk.state, secret, id) {
        return match open(desk.ring, desk.state, secret, known)? == *plain {
            true => Ok(()),
            false => Err(fault::token_used(id, &secret.arn(desk.ring.place))),
        };
    }
    make_room(desk, secret, plain)?;
    let sealed = seal(desk, secret, id, plain)?;
    desk.changes.push(sealed.into());
    let first = !secret.stages.contains_key(stage::CURRENT);
    stages.iter().for_each(|label| stage::attach(secret, label, id));
    if first {
        stage::attach(secret, stage::CURRENT, id);
    }
    stage::check(secret, id)?;
    secret.changed_at = Some(desk.ring.now);
    Ok(())
}

/// A new version, not yet written.
fn seal(desk: &mut Desk<'_, '_>, secret: &Secret, id: &str, plain: &Plain) -> Result<SecretVersion, Fault> {
    let transaction = (desk.state, &mut *desk.changes, &mut *desk.mint);
    let key = desk.ring.service_key(transaction, NAME, secret.kms_key.as_deref()).map_err(fault::encryption)?;
    let bound = bound(desk.ring.place, secret, id);
    let sealed = desk.ring.encrypt(&key, &bound, &plain.bytes).map_err(fault::encryption)?;
    Ok(SecretVersion {
        account: secret.account.clone(),
        secret: secret.uid.clone(),
        id: id.to_owned(),
        created_at: desk.ring.now,
        accessed_at: None,
        kms_key: secret.kms_key.clone(),
        text: plain.text,
        sealed: Blob(sealed),
    })
}

/// Encrypts the labelled versions anew, under the key that the secret has now.
///
/// # Errors
/// `EncryptionFailure`, `DecryptionFailure`.
pub fn seal_again(desk: &mut Desk<'_, '_>, secret: &Secret) -> Result<(), Fault> {
    let transaction = (desk.state, &mut *desk.changes, &mut *desk.mint);
    let key = desk.ring.service_key(transaction, NAME, secret.kms_key.as_deref()).map_err(fault::encryption)?;
    let labelled = stage::LABELS.iter().filter_map(|label| secret.stages.get(*label));
    let mut ids: Vec<&String> = labelled.collect();
    ids.sort();
    ids.dedup();
    for known in ids.into_iter().filter_map(|id| find(desk.state, secret, id)) {
        let plain = open(desk.ring, desk.state, secret, known)?;
        let bound = bound(desk.ring.place, secret, &known.id);
        let sealed = desk.ring.encrypt(&key, &bound, &plain.bytes).map_err(fault::encryption)?;
        let version = SecretVersion { kms_key: secret.kms_key.clone(), sealed: Blob(sealed), ..known.as_ref().clone() };
        desk.changes.push(version.into());
    }
    Ok(())
}

/// Forgets the oldest versions without a label that are older than a day, as far as another version needs.
///
/// # Errors
/// `LimitExceededException` if there is no room then.
fn make_room(desk: &mut Desk<'_, '_>, secret: &Secret, plain: &Plain) -> Result<(), Fault> {
    if desk.state.index.stocks.of(&secret.account).bytes + plain.bytes.len() > MOST_BYTES {
        return Err(fault::limit(format!("The values of an account's secrets may take {MOST_BYTES} bytes.")));
    }
    let mut versions = all(desk.state, secret);
    let Some(excess) = (versions.len() + 1).checked_sub(MOST_VERSIONS).filter(|excess| *excess > 0) else {
        return Ok(());
    };
    let old = Timestamp::from_millis(desk.ring.now.millis().saturating_sub(DAY_MILLIS));
    versions.retain(|version| version.created_at <= old && secret.stages_of(&version.id).next().is_none());
    versions.sort_by_key(|version| version.created_at);
    if versions.len() < excess {
        return Err(fault::limit(format!("A secret may have {MOST_VERSIONS} versions.")));
    }
    let gone = versions.iter().take(excess).map(|version| Change::Delete(TableName::SecretVersion, version.key()));
    desk.changes.extend(gone);
    Ok(())
}
