//! From what a request calls a key by to the key: an id, an ARN, an alias, an alias's ARN.

use std::sync::Arc;

use longshore_model::kms::{EncryptionKey, KeyAlias, key};
use longshore_model::{Arn, Place, State};
use longshore_wire::Fault;

use super::fault;

/// `arn:aws:kms:REGION:ACCOUNT:key/ID`
pub fn arn(place: &Place, id: &str) -> String {
    place.arn("kms", &format!("key/{id}"))
}

/// `arn:aws:kms:REGION:ACCOUNT:alias/NAME`, of a name that begins with `alias/`.
pub fn alias_arn(place: &Place, name: &str) -> String {
    place.arn("kms", name)
}

/// The key that is meant.
///
/// # Errors
/// `NotFoundException`
pub fn find<'a>(state: &'a State, place: &Place, given: &str) -> Result<&'a Arc<EncryptionKey>, Fault> {
    let local = local(place, given)?;
    if !local.starts_with("alias/") {
        return by_id(state, place, given);
    }
    let alias = alias(state, place, local)?;
    let found = state.encryption_keys.get(&key(&place.account, &alias.key));
    found.ok_or_else(|| fault::no_key(&arn(place, &alias.key)))
}

/// The key that is meant, by id or ARN: aliases are not taken where a key is changed.
///
/// # Errors
/// `NotFoundException`
pub fn by_id<'a>(state: &'a State, place: &Place, given: &str) -> Result<&'a Arc<EncryptionKey>, Fault> {
    let local = local(place, given)?;
    let id = match given.starts_with("arn:") {
        true => local.strip_prefix("key/").ok_or_else(|| fault::no_id(given))?,
        false => local,
    };
    if !is_id(id) {
        return Err(fault::no_id(given));
    }
    state.encryption_keys.get(&key(&place.account, id)).ok_or_else(|| fault::no_key(&arn(place, id)))
}

/// An alias by its name.
///
/// # Errors
/// `NotFoundException`
pub fn alias<'a>(state: &'a State, place: &Place, name: &str) -> Result<&'a Arc<KeyAlias>, Fault> {
    let found = state.key_aliases.get(&key(&place.account, name));
    found.ok_or_else(|| fault::no_alias(&alias_arn(place, name)))
}

/// What is given, or the resource of the ARN that is given.
fn local<'a>(place: &Place, given: &'a str) -> Result<&'a str, Fault> {
    let Some(parsed) = Arn::parse_any(given) else { return Ok(given) };
    let here = parsed.partition == "aws"
        && parsed.service == "kms"
        && parsed.region == place.region
        && parsed.account == place.account.as_str();
    match here {
        true => Ok(parsed.resource),
        false if parsed.resource.starts_with("alias/") => Err(fault::no_alias(given)),
        false => Err(fault::no_key(given)),
    }
}

/// Eight, four, four, four and twelve hex digits in small letters.
fn is_id(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    let good = |(at, byte): (usize, u8)| match dashes.contains(&at) {
        true => byte == b'-',
        false => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    text.len() == 36 && text.bytes().enumerate().all(good)
}
