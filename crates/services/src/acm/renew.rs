//! Certificates that are issued anew before their end.

use longshore_model::certificate::{Certificate, MOST_CERTIFICATES};
use longshore_model::{Mint, State};
use longshore_store::Store;
use longshore_wire::{Fault, Timestamp};

use super::authority;
use super::key::{Key, about};
use crate::Vault;

/// The keys of those that a listener has, that were issued here and that end within 60 days, in order; as many as an account may have.
pub fn due(state: &State, now: Timestamp) -> Vec<String> {
    let used = state.index.balancing.certificates();
    let is_due = |key: &&String| state.certificates.get(key.as_str()).is_some_and(|row| row.is_due(now));
    let mut due: Vec<String> = used.filter(is_due).take(MOST_CERTIFICATES).cloned().collect();
    due.sort();
    due
}

/// Issues a certificate anew, with another key, if it is still there and due.
///
/// # Errors
/// `InternalFailure` if the authority's key does not open; a refusal if the disk has no space.
pub fn renew(store: &Store, (vault, now): (&Vault, Timestamp), mint: &mut Mint, due: &str) -> Result<(), Fault> {
    let Some(old) = store.read().certificates.get(due).filter(|row| row.is_due(now)).cloned() else { return Ok(()) };
    // Before the transaction, which others wait for.
    let key = Key::generate(old.facts.key_algorithm)?;
    let sealed = vault.seal(&about(&old.account, &old.id), key.secret().as_bytes())?;
    store.transact(|state, changes| {
        let Some(row) = state.certificates.get(&old.key()).filter(|row| row.is_due(now)) else { return Ok(()) };
        let authority = authority::local(state, changes, mint, (vault, now))?;
        let issued = authority::issue(&authority, &row.facts.names, &key, (vault, now))?;
        let mut row = Certificate::clone(row);
        issued.into(&mut row, sealed);
        row.obtained_at = now;
        row.renewed_at = Some(now);
        changes.push(row.into());
        Ok::<_, Fault>(())
    })?;
    Ok(())
}
