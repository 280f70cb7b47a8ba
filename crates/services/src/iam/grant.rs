//! What users, groups and roles may do: managed policies that are attached, and inline ones. One set of functions for the
//! three kinds; the operations differ in the names of their members only.

use longshore_api::iam as api;
use longshore_model::iam::Grants;
use longshore_model::policy::{Kind as PolicyKind, Policy};
use longshore_wire::Fault;

use super::entity::{Entity, Kind, change};
use super::page::{self, Asked, Page};
use super::{encode, fault, managed};
use crate::Context;

/// Managed policies that one entity may have.
const MOST: usize = 10;

/// # Errors
/// `DeleteConflict` while there is a policy.
pub fn check_empty(grants: Option<&Grants>) -> Result<(), Fault> {
    let Some(grants) = grants else { return Ok(()) };
    if !grants.attached.is_empty() {
        return Err(fault::conflict("Cannot delete entity, must detach all policies first."));
    }
    match grants.inline.is_empty() {
        true => Ok(()),
        false => Err(fault::conflict("Cannot delete entity, must delete policies first.")),
    }
}

fn attach(context: &mut Context<'_>, kind: Kind, name: Option<String>, arn: Option<String>) -> Result<(), Fault> {
    let arn = arn.unwrap_or_default();
    let account = context.account().clone();
    change(context, kind, &name.unwrap_or_default(), |state, entity| {
        managed::document(state, &account, &arn)?;
        managed::check_attachable(&arn)?;
        let grants = entity.grants_mut();
        if grants.attached.contains(&arn) {
            return Ok(());
        }
        if grants.attached.len() >= MOST {
            return Err(fault::quota(&format!("PoliciesPer{}", capital(kind)), MOST));
        }
        grants.attached.push(arn);
        Ok(())
    })
}

fn capital(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "User",
        Kind::Group => "Group",
        Kind::Role => "Role",
    }
}

fn detach(context: &mut Context<'_>, kind: Kind, name: Option<String>, arn: Option<String>) -> Result<(), Fault> {
    let arn = arn.unwrap_or_default();
    change(context, kind, &name.unwrap_or_default(), |_, entity| {
        let attached = &mut entity.grants_mut().attached;
        let at = attached.iter().position(|one| *one == arn);
        let at = at.ok_or_else(|| fault::absent(format!("Policy {arn} was not found.")))?;
        attached.remove(at);
        Ok(())
    })
}

/// What a list of attached policies asks for.
struct ListAttached {
    operation: &'static str,
    name: Option<String>,
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<i32>,
}

fn list_attached(
    context: &mut Context<'_>,
    kind: Kind,
    request: &ListAttached,
) -> Result<Page<api::AttachedPolicy>, Fault> {
    let name = request.name.as_deref().unwrap_or_default();
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let account = context.account().clone();
    let entity = Entity::find(&context.read(), &account, kind, name)?;
    let attached = entity.grants().map(|grants| grants.attached.as_slice()).unwrap_or_default();
    let mut rows: Vec<(String, api::AttachedPolicy)> = attached
        .iter()
        .filter(|arn| managed::path(arn).starts_with(prefix))
        .map(|arn| {
            let policy_name = managed::name(arn).to_owned();
            (arn.clone(), api::AttachedPolicy { policy_name: Some(policy_name), policy_arn: Some(arn.clone()) })
        })
        .collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    let asked = Asked {
        operation: request.operation,
        filter: &format!("{name} {prefix}"),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    page::cut(context, &asked, rows)
}

/// An inline policy, as a request gives it.
struct Inline {
    entity: Option<String>,
    policy: Option<String>,
    document: Option<String>,
}

fn put(context: &mut Context<'_>, kind: Kind, request: Inline) -> Result<(), Fault> {
    let document = request.document.unwrap_or_default();
    Policy::parse(PolicyKind::Identity, &document).map_err(|malformed| fault::policy(&malformed))?;
    let name = request.entity.unwrap_or_default();
    change(context, kind, &name, |_, entity| {
        let inline = &mut entity.grants_mut().inline;
        inline.insert(request.policy.unwrap_or_default(), document);
        let size = |text: &String| text.chars().filter(|letter| !letter.is_whitespace()).count();
        let (total, limit) = (inline.values().map(size).sum::<usize>(), kind.inline_limit());
        if total > limit {
            let message = format!("Maximum policy size of {limit} bytes exceeded for {} {name}", kind.word());
            return Err(fault::limit(message));
        }
        Ok(())
    })
}

fn no_inline(kind: Kind, policy: &str) -> Fault {
    fault::absent(format!("The {} policy with name {policy} cannot be found.", kind.word()))
}

/// The entity's name, the policy's, and the document as answers show it.
fn get(
    context: &mut Context<'_>,
    kind: Kind,
    name: Option<String>,
    policy: Option<String>,
) -> Result<[Option<String>; 3], Fault> {
    let account = context.account().clone();
    let entity = Entity::find(&context.read(), &account, kind, &name.unwrap_or_default())?;
    let policy = policy.unwrap_or_default();
    let found = entity.grants().and_then(|grants| grants.inline.get(&policy));
    let document = found.ok_or_else(|| no_inline(kind, &policy))?;
    Ok([Some(entity.name().to_owned()), Some(policy), Some(encode(document))])
}

fn delete(context: &mut Context<'_>, kind: Kind, name: Option<String>, policy: Option<String>) -> Result<(), Fault> {
    let policy = policy.unwrap_or_default();
    change(context, kind, &name.unwrap_or_default(), |_, entity| {
        let removed = entity.grants_mut().inline.remove(&policy);
        removed.map(drop).ok_or_else(|| no_inline(kind, &policy))
    })
}

fn list(
    context: &mut Context<'_>,
    kind: Kind,
    operation: &'static str,
    name: Option<&str>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<String>, Fault> {
    let name = name.unwrap_or_default();
    let account = context.account().clone();
    let entity = Entity::find(&context.read(), &account, kind, name)?;
    let names = entity.grants().into_iter().flat_map(|grants| grants.inline.keys());
    let rows = names.map(|name| (name.clone(), name.clone())).collect();
    page::cut(context, &Asked { operation, filter: name, marker, max_items }, rows)
}

/// The seven operations of one kind of entity.
macro_rules! operations_of {
    ($module:ident, $kind:expr, $name:ident, $attach:ident, $detach:ident, $attached:ident $attached_answer:ident,
     $put:ident, $get:ident $got:ident, $delete:ident, $list:ident $listed:ident) => {
        pub mod $module {
            use super::*;

            pub fn attach(context: &mut Context<'_>, request: api::$attach) -> Result<(), Fault> {
                super::attach(context, $kind, request.$name, request.policy_arn)
            }

            pub fn detach(context: &mut Context<'_>, request: api::$detach) -> Result<(), Fault> {
                super::detach(context, $kind, request.$name, request.policy_arn)
            }

            pub fn list_attached(
                context: &mut Context<'_>,
                request: api::$attached,
            ) -> Result<api::$attached_answer, Fault> {
                let asked = ListAttached {
                    operation: stringify!($attached),
                    name: request.$name,
                    path_prefix: request.path_prefix,
                    marker: request.marker,
                    max_items: request.max_items,
                };
                let page = super::list_attached(context, $kind, &asked)?;
                let is_truncated = page.truncated();
                Ok(api::$attached_answer { attached_policies: Some(page.rows), is_truncated, marker: page.marker })
            }

            pub fn put(context: &mut Context<'_>, request: api::$put) -> Result<(), Fault> {
                let (policy, document) = (request.policy_name, request.policy_document);
                super::put(context, $kind, Inline { entity: request.$name, policy, document })
            }

            pub fn get(context: &mut Context<'_>, request: api::$get) -> Result<api::$got, Fault> {
                let [$name, policy_name, policy_document] =
                    super::get(context, $kind, request.$name, request.policy_name)?;
                Ok(api::$got { $name, policy_name, policy_document })
            }

            pub fn delete(context: &mut Context<'_>, request: api::$delete) -> Result<(), Fault> {
                super::delete(context, $kind, request.$name, request.policy_name)
            }

            pub fn list(context: &mut Context<'_>, request: api::$list) -> Result<api::$listed, Fault> {
                let (name, marker) = (request.$name.as_deref(), request.marker.as_deref());
                let page = super::list(context, $kind, stringify!($list), name, marker, request.max_items)?;
                let is_truncated = page.truncated();
                Ok(api::$listed { policy_names: Some(page.rows), is_truncated, marker: page.marker })
            }
        }
    };
}

operations_of!(
    user, Kind::User, user_name, AttachUserPolicyRequest, DetachUserPolicyRequest,
    ListAttachedUserPoliciesRequest ListAttachedUserPoliciesResponse, PutUserPolicyRequest,
    GetUserPolicyRequest GetUserPolicyResponse, DeleteUserPolicyRequest,
    ListUserPoliciesRequest ListUserPoliciesResponse
);
operations_of!(
    group, Kind::Group, group_name, AttachGroupPolicyRequest, DetachGroupPolicyRequest,
    ListAttachedGroupPoliciesRequest ListAttachedGroupPoliciesResponse, PutGroupPolicyRequest,
    GetGroupPolicyRequest GetGroupPolicyResponse, DeleteGroupPolicyRequest,
    ListGroupPoliciesRequest ListGroupPoliciesResponse
);
operations_of!(
    role, Kind::Role, role_name, AttachRolePolicyRequest, DetachRolePolicyRequest,
    ListAttachedRolePoliciesRequest ListAttachedRolePoliciesResponse, PutRolePolicyRequest,
    GetRolePolicyRequest GetRolePolicyResponse, DeleteRolePolicyRequest,
    ListRolePoliciesRequest ListRolePoliciesResponse
);
