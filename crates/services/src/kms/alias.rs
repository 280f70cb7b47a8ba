//! Aliases: names that stand for keys, and can be moved to others.

use longshore_api::kms as api;
use longshore_model::kms::{KeyAlias, MOST_ALIASES, key};
use longshore_model::{Change, Place, State, TableName};
use longshore_wire::Fault;

use super::fault;
use super::find::{alias, alias_arn, arn, by_id, find};
use super::page::{self, Asked};
use crate::Context;

pub fn create(context: &mut Context<'_>, request: api::CreateAliasRequest) -> Result<(), Fault> {
    let (name, target) = (request.alias_name.unwrap_or_default(), request.target_key_id.unwrap_or_default());
    check_name(&name)?;
    let (place, now) = (context.place.clone(), context.now);
    context.transact(|state, changes, _| {
        if state.key_aliases.contains(&key(&place.account, &name)) {
            let message = format!("An alias with the name {} already exists", alias_arn(&place, &name));
            return Err(fault::of(&api::fault::ALREADY_EXISTS_EXCEPTION, message));
        }
        let id = target_key(state, &place, &target)?;
        let alias = KeyAlias { account: place.account.to_string(), name, key: id, created_at: now, updated_at: now };
        changes.push(alias.into());
        Ok(())
    })
}

pub fn update(context: &mut Context<'_>, request: api::UpdateAliasRequest) -> Result<(), Fault> {
    let (name, target) = (request.alias_name.unwrap_or_default(), request.target_key_id.unwrap_or_default());
    check_name(&name)?;
    let (place, now) = (context.place.clone(), context.now);
    context.transact(|state, changes, _| {
        let mut row = KeyAlias::clone(alias(state, &place, &name)?);
        let old = state.encryption_keys.get(&key(&place.account, &row.key));
        if old.is_some_and(|old| old.delete_at.is_some()) {
            return Err(fault::pending(&arn(&place, &row.key)));
        }
        let id = target_key(state, &place, &target)?;
        if row.key != id {
            row.key = id;
            row.updated_at = now;
            changes.push(row.into());
        }
        Ok(())
    })
}

pub fn delete(context: &mut Context<'_>, request: api::DeleteAliasRequest) -> Result<(), Fault> {
    let name = request.alias_name.unwrap_or_default();
    check_name(&name)?;
    let place = context.place.clone();
    context.transact(|state, changes, _| {
        alias(state, &place, &name)?;
        changes.push(Change::Delete(TableName::KeyAlias, key(&place.account, &name)));
        Ok(())
    })
}

/// The id of a key that may have another alias.
///
/// # Errors
/// `NotFoundException`, `KMSInvalidStateException`, `LimitExceededException`; `AccessDeniedException` for an AWS managed key.
fn target_key(state: &State, place: &Place, given: &str) -> Result<String, Fault> {
    let found = by_id(state, place, given)?;
    let arn = arn(place, &found.id);
    if found.service.is_some() {
        return Err(fault::managed(&arn));
    }
    if found.delete_at.is_some() {
        return Err(fault::pending(&arn));
    }
    let prefix = key(&place.account, "");
    if state.key_aliases.scan(&prefix).filter(|(_, alias)| alias.key == found.id).count() >= MOST_ALIASES {
        return Err(fault::limit("aliases of a key", MOST_ALIASES));
    }
    Ok(found.id.clone())
}

/// # Errors
/// `ValidationException` without the prefix, `NotAuthorizedException` for names that are AWS's.
fn check_name(name: &str) -> Result<(), Fault> {
    let Some(rest) = name.strip_prefix("alias/") else {
        return Err(fault::validation("Alias must start with the prefix \"alias/\""));
    };
    if rest.starts_with("aws/") {
        return Err(Fault::common("NotAuthorizedException", 400, ""));
    }
    match rest.is_empty() || rest.contains(':') {
        true => {
            Err(fault::of(&api::fault::INVALID_ALIAS_NAME_EXCEPTION, format!("{name} is not a name for an alias.")))
        }
        false => Ok(()),
    }
}

pub fn list(context: &mut Context<'_>, request: api::ListAliasesRequest) -> Result<api::ListAliasesResponse, Fault> {
    let place = context.place.clone();
    let given = request.key_id.as_deref();
    let filter = given.unwrap_or_default();
    let asked = Asked { operation: "ListAliases", filter, marker: request.marker.as_deref(), limit: request.limit };
    let after = asked.after(context)?;
    let prefix = key(&place.account, "");
    let state = context.read();
    let wanted = given.map(|given| find(&state, &place, given)).transpose()?.map(|key| key.id.as_str());
    let rows = state.key_aliases.scan_after(&prefix, after.as_deref());
    let is_meant = |alias: &KeyAlias| wanted.is_none_or(|wanted| alias.key == wanted);
    let rows = rows.map(|(key, alias)| (key, is_meant(alias).then(|| shown(&place, alias))));
    let page = page::sift(context.settings, &place, &asked, rows);
    Ok(api::ListAliasesResponse { truncated: page.truncated(), aliases: Some(page.rows), next_marker: page.marker })
}

fn shown(place: &Place, alias: &KeyAlias) -> api::AliasListEntry {
    api::AliasListEntry {
        alias_name: Some(alias.name.clone()),
        alias_arn: Some(alias_arn(place, &alias.name)),
        target_key_id: Some(alias.key.clone()),
        creation_date: Some(alias.created_at),
        last_updated_date: Some(alias.updated_at),
    }
}
