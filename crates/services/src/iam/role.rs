//! Roles and their trust policies.

use longshore_api::iam as api;
use longshore_model::iam::{Role, key};
use longshore_model::policy::{Kind as PolicyKind, Policy};
use longshore_model::{Change, State, TableName};
use longshore_wire::Fault;

use super::entity::{Entity, Kind, change, path, rows, under, unique_id};
use super::page::{self, Asked};
use super::{boundary, encode, fault, tag};
use crate::Context;

/// Roles of an account.
const MOST: usize = 5000;

/// How long a session lasts at most, where nobody said: an hour.
const USUAL_SESSION_SECONDS: i32 = 3600;

pub fn create(context: &mut Context<'_>, request: api::CreateRoleRequest) -> Result<api::CreateRoleResponse, Fault> {
    let (account, now) = (context.account().clone(), context.now);
    let trust = request.assume_role_policy_document.unwrap_or_default();
    Policy::parse(PolicyKind::Trust, &trust).map_err(|malformed| fault::policy(&malformed))?;
    let mut tags = tag::Tags::default();
    tag::add(&mut tags, request.tags)?;
    let role = context.transact(|state, changes, mint| {
        let role = Role {
            account: account.to_string(),
            name: request.role_name.unwrap_or_default(),
            path: path(request.path),
            id: unique_id(mint, "AROA"),
            created_at: now,
            trust,
            description: request.description,
            max_session_seconds: request.max_session_duration.unwrap_or(USUAL_SESSION_SECONDS),
            boundary: boundary::checked(state, &account, request.permissions_boundary)?,
            tags,
            grants: None,
            service: None,
        };
        check_new(state, &role)?;
        if role.path.starts_with(super::linked::PATH) {
            return Err(fault::invalid("Paths under /aws-service-role/ are for service-linked roles."));
        }
        changes.push(role.clone().into());
        Ok(role)
    })?;
    Ok(api::CreateRoleResponse { role: Some(shown(&role)) })
}

/// Whether a role may be made: its name is free and there is room.
///
/// # Errors
/// `EntityAlreadyExists`, `LimitExceeded`
pub fn check_new(state: &State, role: &Role) -> Result<(), Fault> {
    let prefix = format!("{}/", role.account);
    if state.roles.contains(&format!("{prefix}{}", role.name.to_ascii_lowercase())) {
        return Err(fault::exists(format!("Role with name {} already exists.", role.name)));
    }
    match state.roles.scan(&prefix).count() >= MOST {
        true => Err(fault::quota("RolesPerAccount", MOST)),
        false => Ok(()),
    }
}

pub fn get(context: &mut Context<'_>, request: api::GetRoleRequest) -> Result<api::GetRoleResponse, Fault> {
    let name = request.role_name.unwrap_or_default();
    let key = key(context.account(), &name);
    let role = context.read().roles.get(&key).cloned().ok_or_else(|| fault::missing("role", &name))?;
    Ok(api::GetRoleResponse { role: Some(shown(&role)) })
}

pub fn list(context: &mut Context<'_>, request: api::ListRolesRequest) -> Result<api::ListRolesResponse, Fault> {
    let prefix = request.path_prefix.as_deref();
    let account = context.account().clone();
    let rows = rows(&context.read().roles, &account, |role| under(&role.path, prefix));
    let asked = Asked {
        operation: "ListRoles",
        filter: prefix.unwrap_or_default(),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListRolesResponse {
        is_truncated: page.truncated(),
        roles: Some(page.rows.iter().map(|role| brief(role)).collect()),
        marker: page.marker,
    })
}

pub fn update(context: &mut Context<'_>, request: api::UpdateRoleRequest) -> Result<api::UpdateRoleResponse, Fault> {
    edit(context, &request.role_name.unwrap_or_default(), |role| {
        role.description = request.description.or(role.description.take());
        role.max_session_seconds = request.max_session_duration.unwrap_or(role.max_session_seconds);
        Ok(())
    })?;
    Ok(api::UpdateRoleResponse::default())
}

pub fn update_description(
    context: &mut Context<'_>,
    request: api::UpdateRoleDescriptionRequest,
) -> Result<api::UpdateRoleDescriptionResponse, Fault> {
    let role = edit(context, &request.role_name.unwrap_or_default(), |role| {
        role.description = request.description;
        Ok(role.clone())
    })?;
    Ok(api::UpdateRoleDescriptionResponse { role: Some(shown(&role)) })
}

pub fn update_trust(context: &mut Context<'_>, request: api::UpdateAssumeRolePolicyRequest) -> Result<(), Fault> {
    let trust = request.policy_document.unwrap_or_default();
    Policy::parse(PolicyKind::Trust, &trust).map_err(|malformed| fault::policy(&malformed))?;
    edit(context, &request.role_name.unwrap_or_default(), |role| {
        role.trust = trust;
        Ok(())
    })
}

pub fn delete(context: &mut Context<'_>, request: api::DeleteRoleRequest) -> Result<(), Fault> {
    let account = context.account().clone();
    let name = request.role_name.unwrap_or_default();
    context.transact(|state, changes, _| {
        let entity = Entity::find(state, &account, Kind::Role, &name)?;
        entity.check_modifiable()?;
        let prefix = format!("{account}/");
        let held = |profile: &str| profile == entity.name();
        if state.instance_profiles.scan(&prefix).any(|(_, one)| one.role.as_deref().is_some_and(held)) {
            return Err(fault::conflict("Cannot delete entity, must remove roles from instance profile first."));
        }
        super::grant::check_empty(entity.grants())?;
        changes.push(Change::Delete(TableName::Role, key(&account, &name)));
        Ok(())
    })
}

pub fn tag(context: &mut Context<'_>, request: api::TagRoleRequest) -> Result<(), Fault> {
    edit(context, &request.role_name.unwrap_or_default(), |role| tag::add(&mut role.tags, request.tags))
}

pub fn untag(context: &mut Context<'_>, request: api::UntagRoleRequest) -> Result<(), Fault> {
    edit(context, &request.role_name.unwrap_or_default(), |role| {
        tag::remove(&mut role.tags, &request.tag_keys.unwrap_or_default());
        Ok(())
    })
}

pub fn list_tags(
    context: &mut Context<'_>,
    request: api::ListRoleTagsRequest,
) -> Result<api::ListRoleTagsResponse, Fault> {
    let name = request.role_name.unwrap_or_default();
    let key = key(context.account(), &name);
    let rows = tag::rows(&context.read().roles.get(&key).ok_or_else(|| fault::missing("role", &name))?.tags);
    let asked = Asked {
        operation: "ListRoleTags",
        filter: &name,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListRoleTagsResponse { is_truncated: page.truncated(), tags: Some(page.rows), marker: page.marker })
}

fn edit<T>(
    context: &mut Context<'_>,
    name: &str,
    edit: impl FnOnce(&mut Role) -> Result<T, Fault>,
) -> Result<T, Fault> {
    change(context, Kind::Role, name, |_, entity| match entity {
        Entity::Role(role) => edit(role),
        _ => Err(Fault::internal()),
    })
}

/// As a list shows a role: without tags and boundary.
pub fn brief(role: &Role) -> api::Role {
    api::Role {
        path: Some(role.path.clone()),
        role_name: Some(role.name.clone()),
        role_id: Some(role.id.clone()),
        arn: Some(role.arn()),
        create_date: Some(role.created_at),
        assume_role_policy_document: Some(encode(&role.trust)),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_seconds),
        ..api::Role::default()
    }
}

pub fn shown(role: &Role) -> api::Role {
    api::Role {
        permissions_boundary: role.boundary.as_deref().map(boundary::shown),
        tags: tag::shown(&role.tags),
        ..brief(role)
    }
}
