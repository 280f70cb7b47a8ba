//! Users.

use longshore_api::iam as api;
use longshore_model::iam::{Identity, User, key};
use longshore_model::{Change, State, TableName};
use longshore_wire::Fault;

use super::entity::{Entity, Kind, change, path, rows, under, unique_id};
use super::page::{self, Asked};
use super::{boundary, fault, tag};
use crate::Context;

/// Users of an account.
const MOST: usize = 5000;

pub fn create(context: &mut Context<'_>, request: api::CreateUserRequest) -> Result<api::CreateUserResponse, Fault> {
    let (account, now) = (context.account().clone(), context.now);
    let name = request.user_name.unwrap_or_default();
    let mut tags = tag::Tags::default();
    tag::add(&mut tags, request.tags)?;
    let user = context.transact(|state, changes, mint| {
        let key = key(&account, &name);
        if state.users.contains(&key) {
            return Err(fault::exists(format!("User with name {name} already exists.")));
        }
        if state.users.scan(&format!("{account}/")).count() >= MOST {
            return Err(fault::quota("UsersPerAccount", MOST));
        }
        let boundary = boundary::checked(state, &account, request.permissions_boundary)?;
        let user = User {
            account: account.to_string(),
            name,
            path: path(request.path),
            id: unique_id(mint, "AIDA"),
            created_at: now,
            boundary,
            tags,
            groups: Vec::new(),
            grants: None,
        };
        changes.push(user.clone().into());
        Ok(user)
    })?;
    Ok(api::CreateUserResponse { user: Some(shown(&user)) })
}

/// The user that is named, or the caller.
pub fn get(context: &mut Context<'_>, request: api::GetUserRequest) -> Result<api::GetUserResponse, Fault> {
    let account = context.account().clone();
    let user = match (request.user_name, &context.caller.identity) {
        (None, Identity::Root) => api::User {
            path: Some("/".to_owned()),
            user_id: Some(account.to_string()),
            arn: Some(context.principal.clone()),
            ..api::User::default()
        },
        (name, _) => {
            let name = own_name(context, name)?;
            let state = context.read();
            let user = state.users.get(&key(&account, &name)).ok_or_else(|| fault::missing("user", &name))?;
            shown(user)
        }
    };
    Ok(api::GetUserResponse { user: Some(user) })
}

/// The name that is given, or that of the user who calls.
///
/// # Errors
/// `ValidationError` if the caller is no user.
pub fn own_name(context: &Context<'_>, given: Option<String>) -> Result<String, Fault> {
    match (given, &context.caller.identity) {
        (Some(name), _) => Ok(name),
        (None, Identity::User { name, .. }) => Ok(name.clone()),
        (None, _) => {
            let message = "Must specify userName when calling with non-User credentials";
            Err(Fault::common("ValidationError", 400, message))
        }
    }
}

pub fn list(context: &mut Context<'_>, request: api::ListUsersRequest) -> Result<api::ListUsersResponse, Fault> {
    let prefix = request.path_prefix.as_deref();
    let account = context.account().clone();
    let rows = rows(&context.read().users, &account, |user| under(&user.path, prefix));
    let asked = Asked {
        operation: "ListUsers",
        filter: prefix.unwrap_or_default(),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListUsersResponse {
        is_truncated: page.truncated(),
        users: Some(page.rows.iter().map(|user| brief(user)).collect()),
        marker: page.marker,
    })
}

/// A new name or path. Keys follow, the id stays.
pub fn update(context: &mut Context<'_>, request: api::UpdateUserRequest) -> Result<(), Fault> {
    let account = context.account().clone();
    let name = request.user_name.unwrap_or_default();
    context.transact(|state, changes, _| {
        let old = key(&account, &name);
        let mut user = User::clone(state.users.get(&old).ok_or_else(|| fault::missing("user", &name))?);
        if let Some(new) = request.new_user_name {
            let taken = key(&account, &new) != old && state.users.contains(&key(&account, &new));
            if taken {
                return Err(fault::exists(format!("User with name {new} already exists.")));
            }
            changes.push(Change::Delete(TableName::User, old));
            for access_key in super::key::of_user(state, &account, &user.name) {
                changes.push(longshore_model::iam::AccessKey { user: new.clone(), ..access_key }.into());
            }
            user.name = new;
        }
        user.path = request.new_path.unwrap_or(user.path);
        changes.push(user.into());
        Ok(())
    })
}

pub fn delete(context: &mut Context<'_>, request: api::DeleteUserRequest) -> Result<(), Fault> {
    let account = context.account().clone();
    let name = request.user_name.unwrap_or_default();
    context.transact(|state, changes, _| {
        let key = key(&account, &name);
        let user = state.users.get(&key).ok_or_else(|| fault::missing("user", &name))?;
        check_deletable(state, user)?;
        changes.push(Change::Delete(TableName::User, key));
        Ok(())
    })
}

fn check_deletable(state: &State, user: &User) -> Result<(), Fault> {
    let account = longshore_model::AccountId::parse(&user.account).ok_or_else(Fault::internal)?;
    if !super::key::of_user(state, &account, &user.name).is_empty() {
        return Err(fault::conflict("Cannot delete entity, must delete access keys first."));
    }
    if !user.groups.is_empty() {
        return Err(fault::conflict("Cannot delete entity, must remove user from groups first."));
    }
    super::grant::check_empty(user.grants.as_ref())
}

pub fn tag(context: &mut Context<'_>, request: api::TagUserRequest) -> Result<(), Fault> {
    change(context, Kind::User, &request.user_name.unwrap_or_default(), |_, entity| match entity {
        Entity::User(user) => tag::add(&mut user.tags, request.tags),
        _ => Ok(()),
    })
}

pub fn untag(context: &mut Context<'_>, request: api::UntagUserRequest) -> Result<(), Fault> {
    change(context, Kind::User, &request.user_name.unwrap_or_default(), |_, entity| {
        if let Entity::User(user) = entity {
            tag::remove(&mut user.tags, &request.tag_keys.unwrap_or_default());
        }
        Ok(())
    })
}

pub fn list_tags(
    context: &mut Context<'_>,
    request: api::ListUserTagsRequest,
) -> Result<api::ListUserTagsResponse, Fault> {
    let name = request.user_name.unwrap_or_default();
    let key = key(context.account(), &name);
    let rows = tag::rows(&context.read().users.get(&key).ok_or_else(|| fault::missing("user", &name))?.tags);
    let asked = Asked {
        operation: "ListUserTags",
        filter: &name,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListUserTagsResponse { is_truncated: page.truncated(), tags: Some(page.rows), marker: page.marker })
}

/// As a list shows a user: without tags and boundary.
pub fn brief(user: &User) -> api::User {
    api::User {
        path: Some(user.path.clone()),
        user_name: Some(user.name.clone()),
        user_id: Some(user.id.clone()),
        arn: Some(user.arn()),
        create_date: Some(user.created_at),
        ..api::User::default()
    }
}

fn shown(user: &User) -> api::User {
    api::User {
        permissions_boundary: user.boundary.as_deref().map(boundary::shown),
        tags: tag::shown(&user.tags),
        ..brief(user)
    }
}
