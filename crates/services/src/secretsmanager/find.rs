//! From what a request calls a secret by to the secret: its name, its ARN, or its ARN without the six characters at the end.

use std::sync::Arc;

use longshore_model::secret::{Secret, key, split};
use longshore_model::{Arn, Change, Mint, Place, State};
use longshore_wire::Fault;

use super::fault;
use crate::Context;
use crate::kms::Ring;

/// The secret that is meant.
pub fn find<'a>(state: &'a State, place: &Place, given: &str) -> Option<&'a Arc<Secret>> {
    let by_name = |name: &str| state.secrets.get(&key(&place.account, name));
    if !given.starts_with("arn:") {
        return by_name(given);
    }
    let arn = Arn::parse(given)?;
    let here = arn.service == "secretsmanager" && arn.region == place.region && arn.account == place.account.as_str();
    let whole = arn.resource.strip_prefix("secret:").filter(|_| here)?;
    let full = split(arn.resource).and_then(|(name, suffix)| by_name(name).filter(|found| found.suffix == suffix));
    full.or_else(|| by_name(whole))
}

/// The secret that is meant, scheduled for deletion or not.
///
/// # Errors
/// `ResourceNotFoundException`
pub fn any<'a>(state: &'a State, place: &Place, given: &str) -> Result<&'a Arc<Secret>, Fault> {
    find(state, place, given).ok_or_else(fault::no_secret)
}

/// The secret that is meant, if it is not scheduled for deletion.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`.
pub fn live<'a>(state: &'a State, place: &Place, given: &str) -> Result<&'a Arc<Secret>, Fault> {
    let found = any(state, place, given)?;
    match found.deleted_at {
        Some(_) => Err(fault::deleted()),
        None => Ok(found),
    }
}

/// What a change of a secret may look at and add to.
pub struct Desk<'a, 't> {
    pub ring: &'a Ring<'a>,
    pub state: &'a State,
    pub changes: &'t mut Vec<Change>,
    pub mint: &'t mut Mint,
}

/// Changes a secret that is not scheduled for deletion; its record is written if it is another then. Answers with the
/// secret and what `change` answers.
///
/// # Errors
/// `ResourceNotFoundException`, `InvalidRequestException`, and those of `change`.
pub fn change<T>(
    context: &mut Context<'_>,
    given: &str,
    change: impl FnOnce(&mut Desk<'_, '_>, &mut Secret) -> Result<T, Fault>,
) -> Result<(Secret, T), Fault> {
    let (place, settings, now) = (context.place.clone(), context.settings, context.now);
    let ring = Ring { place: &place, vault: &settings.vault, now };
    context.transact(|state, changes, mint| {
        let found = live(state, &place, given)?;
        let mut secret = Secret::clone(found);
        let answer = change(&mut Desk { ring: &ring, state, changes, mint }, &mut secret)?;
        if secret != **found {
            changes.push(secret.clone().into());
        }
        Ok((secret, answer))
    })
}
