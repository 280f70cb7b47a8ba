//! AWS IAM: users, groups, roles, instance profiles, policies, access keys, the account's alias.
//!
//! Handlers write records of `longshore_model::iam`; what policies come to for a caller is in [`crate::authority`]. Names
//! are one without regard to case. Left out: passwords, MFA devices, SAML and OpenID providers, server and signing
//! certificates, and credential reports.

mod account;
mod boundary;
pub mod entity;
mod fault;
mod grant;
mod group;
mod key;
mod linked;
pub mod managed;
mod page;
mod policy;
mod profile;
mod role;
mod simulate;
mod tag;
mod user;

use std::fmt::Write as _;

use crate::{Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::iam::SERVICE,
    blocking: false,
    operations: operations! {
        "CreateUser" => user::create,
        "GetUser" => user::get,
        "ListUsers" => user::list,
        "UpdateUser" => user::update,
        "DeleteUser" => user::delete,
        "TagUser" => user::tag,
        "UntagUser" => user::untag,
        "ListUserTags" => user::list_tags,
        "CreateGroup" => group::create,
        "GetGroup" => group::get,
        "ListGroups" => group::list,
        "UpdateGroup" => group::update,
        "DeleteGroup" => group::delete,
        "AddUserToGroup" => group::add_user,
        "RemoveUserFromGroup" => group::remove_user,
        "ListGroupsForUser" => group::of_user,
        "CreateRole" => role::create,
        "GetRole" => role::get,
        "ListRoles" => role::list,
        "UpdateRole" => role::update,
        "UpdateRoleDescription" => role::update_description,
        "UpdateAssumeRolePolicy" => role::update_trust,
        "DeleteRole" => role::delete,
        "TagRole" => role::tag,
        "UntagRole" => role::untag,
        "ListRoleTags" => role::list_tags,
        "CreateServiceLinkedRole" => linked::create,
        "DeleteServiceLinkedRole" => linked::delete,
        "GetServiceLinkedRoleDeletionStatus" => linked::deletion_status,
        "CreateInstanceProfile" => profile::create,
        "GetInstanceProfile" => profile::get,
        "ListInstanceProfiles" => profile::list,
        "ListInstanceProfilesForRole" => profile::of_role,
        "DeleteInstanceProfile" => profile::delete,
        "AddRoleToInstanceProfile" => profile::add_role,
        "RemoveRoleFromInstanceProfile" => profile::remove_role,
        "TagInstanceProfile" => profile::tag,
        "UntagInstanceProfile" => profile::untag,
        "ListInstanceProfileTags" => profile::list_tags,
        "CreatePolicy" => policy::create,
        "GetPolicy" => policy::get,
        "ListPolicies" => policy::list,
        "DeletePolicy" => policy::delete,
        "CreatePolicyVersion" => policy::create_version,
        "GetPolicyVersion" => policy::get_version,
        "ListPolicyVersions" => policy::list_versions,
        "SetDefaultPolicyVersion" => policy::set_default,
        "DeletePolicyVersion" => policy::delete_version,
        "ListEntitiesForPolicy" => policy::list_entities,
        "TagPolicy" => policy::tag,
        "UntagPolicy" => policy::untag,
        "ListPolicyTags" => policy::list_tags,
        "AttachUserPolicy" => grant::user::attach,
        "DetachUserPolicy" => grant::user::detach,
        "ListAttachedUserPolicies" => grant::user::list_attached,
        "PutUserPolicy" => grant::user::put,
        "GetUserPolicy" => grant::user::get,
        "DeleteUserPolicy" => grant::user::delete,
        "ListUserPolicies" => grant::user::list,
        "AttachGroupPolicy" => grant::group::attach,
        "DetachGroupPolicy" => grant::group::detach,
        "ListAttachedGroupPolicies" => grant::group::list_attached,
        "PutGroupPolicy" => grant::group::put,
        "GetGroupPolicy" => grant::group::get,
        "DeleteGroupPolicy" => grant::group::delete,
        "ListGroupPolicies" => grant::group::list,
        "AttachRolePolicy" => grant::role::attach,
        "DetachRolePolicy" => grant::role::detach,
        "ListAttachedRolePolicies" => grant::role::list_attached,
        "PutRolePolicy" => grant::role::put,
        "GetRolePolicy" => grant::role::get,
        "DeleteRolePolicy" => grant::role::delete,
        "ListRolePolicies" => grant::role::list,
        "PutUserPermissionsBoundary" => boundary::put_user,
        "DeleteUserPermissionsBoundary" => boundary::delete_user,
        "PutRolePermissionsBoundary" => boundary::put_role,
        "DeleteRolePermissionsBoundary" => boundary::delete_role,
        "CreateAccessKey" => key::create,
        "ListAccessKeys" => key::list,
        "UpdateAccessKey" => key::update,
        "DeleteAccessKey" => key::delete,
        "CreateAccountAlias" => account::create_alias,
        "DeleteAccountAlias" => account::delete_alias,
        "ListAccountAliases" => account::list_aliases,
        "GetAccountSummary" => account::summary,
        "SimulatePrincipalPolicy" => simulate::principal,
        "SimulateCustomPolicy" => simulate::custom,
        "GetContextKeysForPrincipalPolicy" => simulate::keys_of_principal,
        "GetContextKeysForCustomPolicy" => simulate::keys_of_custom,
    },
};

/// A policy document as IAM's answers carry it: percent-encoded, as RFC 3986 has it.
fn encode(document: &str) -> String {
    document.bytes().fold(String::with_capacity(document.len() * 2), |mut text, byte| {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => text.push(char::from(byte)),
            false => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}
