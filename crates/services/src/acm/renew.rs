//! Certificates that are issued anew before their end.

use std::sync::Arc;

use longshore_model::certificate::{Certificate, MOST_CERTIFICATES};
use longshore_model::{Mint, State};
use longshore_store::Store;
use longshore_wire::{Fault, Timestamp};

use super::authority;
use super::key::{Key, about};
use crate::Vault;

/// One that a listener has, that was issued here and that ends within 60 days.
fn due(state: &State, now: Timestamp) -> Option<Arc<Certificate>> {
    let used = state.index.balancing.certificates().take(MOST_CERTIFICATES);
    used.filter_map(|key| state.certificates.get(key)).find(|row| row.is_due(now)).cloned()
}

/// Issues one certificate that is due anew, with another key. Returns whether there was one.
///
/// # Errors
/// `InternalFailure` if the authority's key does not open; a refusal if the disk has no space.
pub fn renew(store: &Store, vault: &Vault, now: Timestamp, mint: &mut Mint) -> Result<bool, Fault> {
    let Some(old) = due(&store.read(), now) else { return Ok(false) };
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
    Ok(true)
}
