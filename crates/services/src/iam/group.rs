//! Groups, and who is in them. Membership is said by the user's record alone.

use std::sync::Arc;

use longshore_api::iam as api;
use longshore_model::iam::{Group, User, key};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_wire::Fault;

use super::entity::{Kind, change, path, rows, under, unique_id};
use super::page::{self, Asked};
use super::{fault, user};
use crate::Context;

/// Groups of an account, groups of a user.
const MOST: usize = 300;
const MOST_OF_USER: usize = 10;

/// Members that a group may have when it is renamed: each is a change of the same transaction.
const MOST_RENAMED: usize = longshore_model::MAX_CHANGES - 2;

pub fn create(context: &mut Context<'_>, request: api::CreateGroupRequest) -> Result<api::CreateGroupResponse, Fault> {
    let (account, now) = (context.account().clone(), context.now);
    let name = request.group_name.unwrap_or_default();
    let group = context.transact(|state, changes, mint| {
        if state.groups.contains(&key(&account, &name)) {
            return Err(fault::exists(format!("Group with name {name} already exists.")));
        }
        if state.groups.scan(&format!("{account}/")).count() >= MOST {
            return Err(fault::quota("GroupsPerAccount", MOST));
        }
        let group = Group {
            account: account.to_string(),
            name,
            path: path(request.path),
            id: unique_id(mint, "AGPA"),
            created_at: now,
            grants: None,
        };
        changes.push(group.clone().into());
        Ok(group)
    })?;
    Ok(api::CreateGroupResponse { group: Some(shown(&group)) })
}

/// The group, and a page of its users.
pub fn get(context: &mut Context<'_>, request: api::GetGroupRequest) -> Result<api::GetGroupResponse, Fault> {
    let name = request.group_name.unwrap_or_default();
    let account = context.account().clone();
    let state = context.read();
    let group = state.groups.get(&key(&account, &name)).ok_or_else(|| fault::missing("group", &name))?.clone();
    let members = members(&state, &account, &group.name);
    let rows = members.into_iter().map(|user| (key(&account, &user.name), user)).collect();
    let asked =
        Asked { operation: "GetGroup", filter: &name, marker: request.marker.as_deref(), max_items: request.max_items };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::GetGroupResponse {
        group: Some(shown(&group)),
        is_truncated: page.truncated(),
        users: Some(page.rows.iter().map(|user| user::brief(user)).collect()),
        marker: page.marker,
    })
}

pub fn list(context: &mut Context<'_>, request: api::ListGroupsRequest) -> Result<api::ListGroupsResponse, Fault> {
    let prefix = request.path_prefix.as_deref();
    let account = context.account().clone();
    let rows = rows(&context.read().groups, &account, |group| under(&group.path, prefix));
    let asked = Asked {
        operation: "ListGroups",
        filter: prefix.unwrap_or_default(),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListGroupsResponse {
        is_truncated: page.truncated(),
        groups: Some(page.rows.iter().map(|group| shown(group)).collect()),
        marker: page.marker,
    })
}

/// A new name or path; members follow.
pub fn update(context: &mut Context<'_>, request: api::UpdateGroupRequest) -> Result<(), Fault> {
    let account = context.account().clone();
    let name = request.group_name.unwrap_or_default();
    context.transact(|state, changes, _| {
        let old = key(&account, &name);
        let mut group = Group::clone(state.groups.get(&old).ok_or_else(|| fault::missing("group", &name))?);
        if let Some(new) = request.new_group_name {
            if key(&account, &new) != old && state.groups.contains(&key(&account, &new)) {
                return Err(fault::exists(format!("Group with name {new} already exists.")));
            }
            changes.push(Change::Delete(TableName::Group, old));
            let members = members(state, &account, &group.name);
            if members.len() > MOST_RENAMED {
                return Err(fault::limit(format!("A group of more than {MOST_RENAMED} users cannot be renamed.")));
            }
            for member in members {
                let mut member = User::clone(&member);
                member.groups.iter_mut().filter(|one| **one == group.name).for_each(|one| one.clone_from(&new));
                changes.push(member.into());
            }
            group.name = new;
        }
        group.path = request.new_path.unwrap_or(group.path);
        changes.push(group.into());
        Ok(())
    })
}

pub fn delete(context: &mut Context<'_>, request: api::DeleteGroupRequest) -> Result<(), Fault> {
    let account = context.account().clone();
    let name = request.group_name.unwrap_or_default();
    context.transact(|state, changes, _| {
        let key = key(&account, &name);
        let group = state.groups.get(&key).ok_or_else(|| fault::missing("group", &name))?;
        if !members(state, &account, &group.name).is_empty() {
            return Err(fault::conflict("Cannot delete entity, must remove users from group first."));
        }
        super::grant::check_empty(group.grants.as_ref())?;
        changes.push(Change::Delete(TableName::Group, key));
        Ok(())
    })
}

pub fn add_user(context: &mut Context<'_>, request: api::AddUserToGroupRequest) -> Result<(), Fault> {
    let group = request.group_name.unwrap_or_default();
    let account = context.account().clone();
    change(context, Kind::User, &request.user_name.unwrap_or_default(), |state, entity| {
        let group = state.groups.get(&key(&account, &group)).ok_or_else(|| fault::missing("group", &group))?;
        let super::entity::Entity::User(user) = entity else { return Ok(()) };
        if user.groups.contains(&group.name) {
            return Ok(());
        }
        if user.groups.len() >= MOST_OF_USER {
            return Err(fault::quota("GroupsPerUser", MOST_OF_USER));
        }
        user.groups.push(group.name.clone());
        Ok(())
    })
}

pub fn remove_user(context: &mut Context<'_>, request: api::RemoveUserFromGroupRequest) -> Result<(), Fault> {
    let group = request.group_name.unwrap_or_default();
    let account = context.account().clone();
    change(context, Kind::User, &request.user_name.unwrap_or_default(), |state, entity| {
        let group = state.groups.get(&key(&account, &group)).ok_or_else(|| fault::missing("group", &group))?;
        if let super::entity::Entity::User(user) = entity {
            user.groups.retain(|one| *one != group.name);
        }
        Ok(())
    })
}

pub fn of_user(
    context: &mut Context<'_>,
    request: api::ListGroupsForUserRequest,
) -> Result<api::ListGroupsForUserResponse, Fault> {
    let name = request.user_name.unwrap_or_default();
    let account = context.account().clone();
    let state = context.read();
    let user = state.users.get(&key(&account, &name)).ok_or_else(|| fault::missing("user", &name))?;
    let mut keys: Vec<String> = user.groups.iter().map(|group| key(&account, group)).collect();
    keys.sort();
    let rows = keys.into_iter().filter_map(|key| Some((state.groups.get(&key)?.clone(), key)));
    let rows = rows.map(|(group, key)| (key, group)).collect();
    let asked = Asked {
        operation: "ListGroupsForUser",
        filter: &name,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListGroupsForUserResponse {
        is_truncated: page.truncated(),
        groups: Some(page.rows.iter().map(|group| shown(group)).collect()),
        marker: page.marker,
    })
}

fn members(state: &State, account: &AccountId, group: &str) -> Vec<Arc<User>> {
    let inside = |user: &User| user.groups.iter().any(|one| one == group);
    rows(&state.users, account, inside).into_iter().map(|(_, user)| user).collect()
}

fn shown(group: &Group) -> api::Group {
    api::Group {
        path: Some(group.path.clone()),
        group_name: Some(group.name.clone()),
        group_id: Some(group.id.clone()),
        arn: Some(group.arn()),
        create_date: Some(group.created_at),
    }
}
