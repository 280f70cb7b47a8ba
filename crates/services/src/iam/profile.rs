//! Instance profiles: a role, as an instance holds it.

use longshore_api::iam as api;
use longshore_model::iam::{InstanceProfile, key};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_wire::Fault;

use super::entity::{path, under, unique_id};
use super::page::{self, Asked};
use super::{fault, role, tag};
use crate::Context;

/// Instance profiles of an account.
const MOST: usize = 1000;

fn absent(name: &str) -> Fault {
    fault::absent(format!("Instance Profile {name} cannot be found."))
}

pub fn create(
    context: &mut Context<'_>,
    request: api::CreateInstanceProfileRequest,
) -> Result<api::CreateInstanceProfileResponse, Fault> {
    let (account, now) = (context.account().clone(), context.now);
    let name = request.instance_profile_name.unwrap_or_default();
    let mut tags = tag::Tags::default();
    tag::add(&mut tags, request.tags)?;
    let profile = context.transact(|state, changes, mint| {
        if state.instance_profiles.contains(&key(&account, &name)) {
            return Err(fault::exists(format!("Instance Profile {name} already exists.")));
        }
        if state.instance_profiles.scan(&format!("{account}/")).count() >= MOST {
            return Err(fault::quota("InstanceProfilesPerAccount", MOST));
        }
        let profile = InstanceProfile {
            account: account.to_string(),
            name,
            path: path(request.path),
            id: unique_id(mint, "AIPA"),
            created_at: now,
            role: None,
            tags,
        };
        changes.push(profile.clone().into());
        Ok(profile)
    })?;
    let shown = shown(&context.read(), &account, &profile);
    Ok(api::CreateInstanceProfileResponse { instance_profile: Some(shown) })
}

pub fn get(
    context: &mut Context<'_>,
    request: api::GetInstanceProfileRequest,
) -> Result<api::GetInstanceProfileResponse, Fault> {
    let name = request.instance_profile_name.unwrap_or_default();
    let account = context.account().clone();
    let state = context.read();
    let profile = state.instance_profiles.get(&key(&account, &name)).ok_or_else(|| absent(&name))?;
    Ok(api::GetInstanceProfileResponse { instance_profile: Some(shown(&state, &account, profile)) })
}

pub fn list(
    context: &mut Context<'_>,
    request: api::ListInstanceProfilesRequest,
) -> Result<api::ListInstanceProfilesResponse, Fault> {
    let prefix = request.path_prefix.as_deref();
    let rows = rows(context, |profile| under(&profile.path, prefix));
    let asked = Asked {
        operation: "ListInstanceProfiles",
        filter: prefix.unwrap_or_default(),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListInstanceProfilesResponse {
        is_truncated: page.truncated(),
        instance_profiles: Some(page.rows),
        marker: page.marker,
    })
}

pub fn of_role(
    context: &mut Context<'_>,
    request: api::ListInstanceProfilesForRoleRequest,
) -> Result<api::ListInstanceProfilesForRoleResponse, Fault> {
    let name = request.role_name.unwrap_or_default();
    let key = key(context.account(), &name);
    let role = context.read().roles.get(&key).cloned().ok_or_else(|| fault::missing("role", &name))?;
    let rows = rows(context, |profile| profile.role.as_ref() == Some(&role.name));
    let asked = Asked {
        operation: "ListInstanceProfilesForRole",
        filter: &name,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListInstanceProfilesForRoleResponse {
        is_truncated: page.truncated(),
        instance_profiles: Some(page.rows),
        marker: page.marker,
    })
}

fn rows(context: &mut Context<'_>, wanted: impl Fn(&InstanceProfile) -> bool) -> Vec<(String, api::InstanceProfile)> {
    let account = context.account().clone();
    let state = context.read();
    let prefix = format!("{account}/");
    let profiles = state.instance_profiles.scan(&prefix).filter(|(_, profile)| wanted(profile));
    profiles.map(|(key, profile)| (key.to_string(), shown(&state, &account, profile))).collect()
}

pub fn delete(context: &mut Context<'_>, request: api::DeleteInstanceProfileRequest) -> Result<(), Fault> {
    let account = context.account().clone();
    let name = request.instance_profile_name.unwrap_or_default();
    context.transact(|state, changes, _| {
        let key = key(&account, &name);
        let profile = state.instance_profiles.get(&key).ok_or_else(|| absent(&name))?;
        if profile.role.is_some() {
            return Err(fault::conflict("Cannot delete entity, must remove roles from instance profile first."));
        }
        changes.push(Change::Delete(TableName::InstanceProfile, key));
        Ok(())
    })
}

pub fn add_role(context: &mut Context<'_>, request: api::AddRoleToInstanceProfileRequest) -> Result<(), Fault> {
    let role = request.role_name.unwrap_or_default();
    let account = context.account().clone();
    edit(context, &request.instance_profile_name.unwrap_or_default(), |state, profile| {
        let role = state.roles.get(&key(&account, &role)).ok_or_else(|| fault::missing("role", &role))?;
        if profile.role.is_some() {
            return Err(fault::quota("InstanceSessionsPerInstanceProfile", 1));
        }
        profile.role = Some(role.name.clone());
        Ok(())
    })
}

pub fn remove_role(context: &mut Context<'_>, request: api::RemoveRoleFromInstanceProfileRequest) -> Result<(), Fault> {
    let role = request.role_name.unwrap_or_default();
    edit(context, &request.instance_profile_name.unwrap_or_default(), |_, profile| {
        let holds = profile.role.as_ref().is_some_and(|held| held.eq_ignore_ascii_case(&role));
        if !holds {
            return Err(fault::missing("role", &role));
        }
        profile.role = None;
        Ok(())
    })
}

pub fn tag(context: &mut Context<'_>, request: api::TagInstanceProfileRequest) -> Result<(), Fault> {
    edit(context, &request.instance_profile_name.unwrap_or_default(), |_, profile| {
        tag::add(&mut profile.tags, request.tags)
    })
}

pub fn untag(context: &mut Context<'_>, request: api::UntagInstanceProfileRequest) -> Result<(), Fault> {
    edit(context, &request.instance_profile_name.unwrap_or_default(), |_, profile| {
        tag::remove(&mut profile.tags, &request.tag_keys.unwrap_or_default());
        Ok(())
    })
}

pub fn list_tags(
    context: &mut Context<'_>,
    request: api::ListInstanceProfileTagsRequest,
) -> Result<api::ListInstanceProfileTagsResponse, Fault> {
    let name = request.instance_profile_name.unwrap_or_default();
    let key = key(context.account(), &name);
    let rows = tag::rows(&context.read().instance_profiles.get(&key).ok_or_else(|| absent(&name))?.tags);
    let asked = Asked {
        operation: "ListInstanceProfileTags",
        filter: &name,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListInstanceProfileTagsResponse {
        is_truncated: page.truncated(),
        tags: Some(page.rows),
        marker: page.marker,
    })
}

fn edit(
    context: &mut Context<'_>,
    name: &str,
    edit: impl FnOnce(&State, &mut InstanceProfile) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let key = key(context.account(), name);
    context.transact(|state, changes, _| {
        let mut profile = InstanceProfile::clone(state.instance_profiles.get(&key).ok_or_else(|| absent(name))?);
        edit(state, &mut profile)?;
        changes.push(profile.into());
        Ok(())
    })
}

fn shown(state: &State, account: &AccountId, profile: &InstanceProfile) -> api::InstanceProfile {
    let role = profile.role.as_ref().and_then(|name| state.roles.get(&key(account, name)));
    api::InstanceProfile {
        path: Some(profile.path.clone()),
        instance_profile_name: Some(profile.name.clone()),
        instance_profile_id: Some(profile.id.clone()),
        arn: Some(profile.arn()),
        create_date: Some(profile.created_at),
        roles: Some(role.into_iter().map(|role| role::brief(role)).collect()),
        tags: tag::shown(&profile.tags),
    }
}
