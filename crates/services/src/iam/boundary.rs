//! Permissions boundaries: a managed policy that a user or a role never goes beyond.

use longshore_api::iam as api;
use longshore_model::{AccountId, State};
use longshore_wire::Fault;

use super::entity::{Entity, Kind, change};
use super::managed;
use crate::Context;

/// The boundary a request names, if there is such a policy.
///
/// # Errors
/// `NoSuchEntity`
pub fn checked(state: &State, account: &AccountId, arn: Option<String>) -> Result<Option<String>, Fault> {
    if let Some(arn) = &arn {
        managed::document(state, account, arn)?;
    }
    Ok(arn)
}

pub fn shown(arn: &str) -> api::AttachedPermissionsBoundary {
    api::AttachedPermissionsBoundary {
        permissions_boundary_type: Some(api::PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy),
        permissions_boundary_arn: Some(arn.to_owned()),
    }
}

pub fn put_user(context: &mut Context<'_>, request: api::PutUserPermissionsBoundaryRequest) -> Result<(), Fault> {
    set(context, Kind::User, request.user_name, request.permissions_boundary)
}

pub fn put_role(context: &mut Context<'_>, request: api::PutRolePermissionsBoundaryRequest) -> Result<(), Fault> {
    set(context, Kind::Role, request.role_name, request.permissions_boundary)
}

pub fn delete_user(context: &mut Context<'_>, request: api::DeleteUserPermissionsBoundaryRequest) -> Result<(), Fault> {
    set(context, Kind::User, request.user_name, None)
}

pub fn delete_role(context: &mut Context<'_>, request: api::DeleteRolePermissionsBoundaryRequest) -> Result<(), Fault> {
    set(context, Kind::Role, request.role_name, None)
}

fn set(context: &mut Context<'_>, kind: Kind, name: Option<String>, arn: Option<String>) -> Result<(), Fault> {
    let account = context.account().clone();
    change(context, kind, &name.unwrap_or_default(), |state, entity| {
        let boundary = checked(state, &account, arn)?;
        match entity {
            Entity::User(user) => user.boundary = boundary,
            Entity::Role(role) => role.boundary = boundary,
            Entity::Group(_) => {}
        }
        Ok(())
    })
}
