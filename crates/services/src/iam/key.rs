//! Access keys. The secret is shown once, by CreateAccessKey, and kept sealed.

use longshore_api::iam as api;
use longshore_model::iam::{AccessKey, Identity, key};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_wire::Fault;

use super::page::{self, Asked};
use super::{fault, user};
use crate::{Context, vault};

/// Access keys of a user.
const MOST: usize = 2;

/// The keys of a user, by id; of the root, if the name is empty.
pub fn of_user(state: &State, account: &AccountId, user: &str) -> Vec<AccessKey> {
    let own = state.access_keys.iter().filter(|(_, key)| key.account == account.as_str() && key.user == user);
    own.map(|(_, key)| AccessKey::clone(key)).collect()
}

/// The user whose keys a request is about: the one it names, else the caller. The root's name is empty.
fn owner(context: &Context<'_>, named: Option<String>) -> Result<String, Fault> {
    match (&named, &context.caller.identity) {
        (None, Identity::Root) => Ok(String::new()),
        _ => user::own_name(context, named),
    }
}

/// # Errors
/// `NoSuchEntity` if there is no such user. Gives the name as the user's record spells it.
fn known(state: &State, account: &AccountId, name: &str) -> Result<String, Fault> {
    if name.is_empty() {
        return Ok(String::new());
    }
    let user = state.users.get(&key(account, name)).ok_or_else(|| fault::missing("user", name))?;
    Ok(user.name.clone())
}

pub fn create(
    context: &mut Context<'_>,
    request: api::CreateAccessKeyRequest,
) -> Result<api::CreateAccessKeyResponse, Fault> {
    let owner = owner(context, request.user_name)?;
    let (account, now) = (context.account().clone(), context.now);
    let (id, secret) = (vault::access_key_id("AKIA")?, vault::secret_key()?);
    let sealed = context.settings.vault.seal(&id, secret.as_bytes())?;
    let made = context.transact(|state, changes, _| {
        let user = known(state, &account, &owner)?;
        if of_user(state, &account, &user).len() >= MOST {
            return Err(fault::quota("AccessKeysPerUser", MOST));
        }
        let made = AccessKey { id, account: account.to_string(), user, created_at: now, inactive: false, sealed };
        changes.push(made.clone().into());
        Ok(made)
    })?;
    let access_key = api::AccessKey {
        user_name: Some(shown_user(&made)),
        access_key_id: Some(made.id.clone()),
        status: Some(status(&made)),
        secret_access_key: Some(secret),
        create_date: Some(made.created_at),
    };
    Ok(api::CreateAccessKeyResponse { access_key: Some(access_key) })
}

pub fn list(
    context: &mut Context<'_>,
    request: api::ListAccessKeysRequest,
) -> Result<api::ListAccessKeysResponse, Fault> {
    let owner = owner(context, request.user_name)?;
    let account = context.account().clone();
    let state = context.read();
    let keys = of_user(&state, &account, &known(&state, &account, &owner)?);
    drop(state);
    let rows = keys.into_iter().map(|key| (key.id.clone(), shown(&key))).collect();
    let asked = Asked {
        operation: "ListAccessKeys",
        filter: &owner,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListAccessKeysResponse {
        is_truncated: page.truncated(),
        access_key_metadata: Some(page.rows),
        marker: page.marker,
    })
}

pub fn update(context: &mut Context<'_>, request: api::UpdateAccessKeyRequest) -> Result<(), Fault> {
    let inactive = match request.status {
        Some(api::StatusType::Active) => false,
        Some(api::StatusType::Inactive) => true,
        _ => return Err(fault::invalid("Status must be Active or Inactive.")),
    };
    let owner = owner(context, request.user_name)?;
    with_key(context, &owner, request.access_key_id, |key, changes| {
        changes.push(AccessKey { inactive, ..key }.into());
    })
}

pub fn delete(context: &mut Context<'_>, request: api::DeleteAccessKeyRequest) -> Result<(), Fault> {
    let owner = owner(context, request.user_name)?;
    with_key(context, &owner, request.access_key_id, |key, changes| {
        changes.push(Change::Delete(TableName::AccessKey, key.id));
    })
}

fn with_key(
    context: &mut Context<'_>,
    owner: &str,
    id: Option<String>,
    act: impl FnOnce(AccessKey, &mut Vec<Change>),
) -> Result<(), Fault> {
    let id = id.unwrap_or_default();
    let account = context.account().clone();
    context.transact(|state, changes, _| {
        let user = known(state, &account, owner)?;
        let found = state.access_keys.get(&id).filter(|key| key.account == account.as_str() && key.user == user);
        let absent = || fault::absent(format!("The Access Key with id {id} cannot be found."));
        act(AccessKey::clone(found.ok_or_else(absent)?), changes);
        Ok(())
    })
}

fn status(key: &AccessKey) -> api::StatusType {
    if key.inactive { api::StatusType::Inactive } else { api::StatusType::Active }
}

fn shown_user(key: &AccessKey) -> String {
    if key.user.is_empty() { "root".to_owned() } else { key.user.clone() }
}

fn shown(key: &AccessKey) -> api::AccessKeyMetadata {
    api::AccessKeyMetadata {
        user_name: Some(shown_user(key)),
        access_key_id: Some(key.id.clone()),
        status: Some(status(key)),
        create_date: Some(key.created_at),
    }
}
