//! Managed policies of a customer's, with up to five versions of which one is in force.

use std::collections::BTreeMap;

use longshore_api::iam as api;
use longshore_model::iam::{ManagedPolicy, PolicyVersion, key};
use longshore_model::policy::{Kind as PolicyKind, Policy};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_wire::{Fault, Timestamp};

use super::entity::{Entity, Kind, path, unique_id};
use super::managed::{self, AwsPolicy};
use super::page::{self, Asked};
use super::{encode, fault, tag};
use crate::Context;

/// Policies of an account, versions of a policy, characters of one, white space aside.
const MOST: usize = 1500;
const MOST_VERSIONS: usize = 5;
const LONGEST: usize = 6144;

fn absent(arn: &str) -> Fault {
    fault::absent(format!("Policy {arn} was not found."))
}

/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`
fn check(document: &str) -> Result<(), Fault> {
    let policy = Policy::parse(PolicyKind::Identity, document).map_err(|malformed| fault::policy(&malformed))?;
    match policy.size() > LONGEST {
        true => Err(fault::limit(format!("Cannot exceed quota for PolicySize: {LONGEST}"))),
        false => Ok(()),
    }
}

pub fn create(
    context: &mut Context<'_>,
    request: api::CreatePolicyRequest,
) -> Result<api::CreatePolicyResponse, Fault> {
    let (account, now) = (context.account().clone(), context.now);
    let name = request.policy_name.unwrap_or_default();
    let document = request.policy_document.unwrap_or_default();
    check(&document)?;
    let mut tags = tag::Tags::default();
    tag::add(&mut tags, request.tags)?;
    let policy = context.transact(|state, changes, mint| {
        if state.managed_policies.contains(&key(&account, &name)) {
            let message = format!("A policy called {name} already exists. Duplicate names are not allowed.");
            return Err(fault::exists(message));
        }
        if state.managed_policies.scan(&format!("{account}/")).count() >= MOST {
            return Err(fault::quota("PoliciesPerAccount", MOST));
        }
        let policy = ManagedPolicy {
            account: account.to_string(),
            name,
            path: path(request.path),
            id: unique_id(mint, "ANPA"),
            created_at: now,
            updated_at: now,
            description: request.description,
            tags,
            versions: vec![PolicyVersion { number: 1, document, created_at: now }],
            default_version: 1,
            last_version: 1,
        };
        changes.push(policy.clone().into());
        Ok(policy)
    })?;
    Ok(api::CreatePolicyResponse { policy: Some(shown(&policy, Use::default())) })
}

pub fn get(context: &mut Context<'_>, request: api::GetPolicyRequest) -> Result<api::GetPolicyResponse, Fault> {
    let arn = request.policy_arn.unwrap_or_default();
    let account = context.account().clone();
    let state = context.read();
    let uses = uses(&state, &account);
    let used = uses.get(&arn).copied().unwrap_or_default();
    let policy = match managed::find(&arn) {
        Some(policy) => aws_shown(policy, used),
        None => full(managed::of_account(&state, &account, &arn).ok_or_else(|| absent(&arn))?, used),
    };
    Ok(api::GetPolicyResponse { policy: Some(policy) })
}

/// Of how many entities it is a policy, and of how many the boundary.
#[derive(Clone, Copy, Default)]
struct Use {
    attached: i32,
    boundary: i32,
}

fn uses(state: &State, account: &AccountId) -> BTreeMap<String, Use> {
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    for entity in Kind::ALL.into_iter().flat_map(|kind| Entity::all(state, account, kind)) {
        for arn in entity.grants().into_iter().flat_map(|grants| &grants.attached) {
            uses.entry(arn.clone()).or_default().attached += 1;
        }
        if let Some(arn) = entity.boundary() {
            uses.entry(arn.to_owned()).or_default().boundary += 1;
        }
    }
    uses
}

pub fn list(context: &mut Context<'_>, request: api::ListPoliciesRequest) -> Result<api::ListPoliciesResponse, Fault> {
    let account = context.account().clone();
    let state = context.read();
    let uses = uses(&state, &account);
    let scope = request.scope.unwrap_or(api::PolicyScopeType::All);
    let boundaries = request.policy_usage_filter == Some(api::PolicyUsageType::PermissionsBoundary);
    let only_attached = request.only_attached.unwrap_or_default();
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let mut rows: Vec<(String, api::Policy)> = Vec::new();
    if scope != api::PolicyScopeType::Aws {
        let own =
            state.managed_policies.scan(&format!("{account}/")).map(|(_, policy)| policy.clone()).collect::<Vec<_>>();
        rows.extend(own.iter().map(|policy| (policy.arn(), shown(policy, used(&uses, &policy.arn())))));
    }
    if scope != api::PolicyScopeType::Local {
        rows.extend(managed::AWS.iter().map(|policy| (policy.arn(), aws_shown(policy, used(&uses, &policy.arn())))));
    }
    rows.retain(|(arn, _)| {
        let used = used(&uses, arn);
        let counted = if boundaries { used.boundary } else { used.attached };
        managed::path(arn).starts_with(prefix) && (counted > 0 || !(only_attached || boundaries))
    });
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    drop(state);
    let asked = Asked {
        operation: "ListPolicies",
        filter: &format!("{scope} {only_attached} {boundaries} {prefix}"),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListPoliciesResponse { is_truncated: page.truncated(), policies: Some(page.rows), marker: page.marker })
}

fn used(uses: &BTreeMap<String, Use>, arn: &str) -> Use {
    uses.get(arn).copied().unwrap_or_default()
}

pub fn delete(context: &mut Context<'_>, request: api::DeletePolicyRequest) -> Result<(), Fault> {
    let arn = request.policy_arn.unwrap_or_default();
    let account = context.account().clone();
    own(&arn)?;
    context.transact(|state, changes, _| {
        let policy = managed::of_account(state, &account, &arn).ok_or_else(|| absent(&arn))?;
        let used = used(&uses(state, &account), &arn);
        if used.attached + used.boundary > 0 {
            return Err(fault::conflict("Cannot delete a policy attached to entities."));
        }
        if policy.versions.len() > 1 {
            return Err(fault::conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. \
                 The default version is deleted with the policy.",
            ));
        }
        changes.push(Change::Delete(TableName::ManagedPolicy, key(&account, &policy.name)));
        Ok(())
    })
}

/// # Errors
/// `AccessDenied` for a policy of AWS's: it is not the account's to change.
fn own(arn: &str) -> Result<(), Fault> {
    match managed::find(arn) {
        Some(_) => Err(Fault::common("AccessDenied", 403, format!("{arn} is managed by AWS and cannot be changed."))),
        None => Ok(()),
    }
}

fn edit<T>(
    context: &mut Context<'_>,
    arn: &str,
    edit: impl FnOnce(&mut ManagedPolicy) -> Result<T, Fault>,
) -> Result<T, Fault> {
    own(arn)?;
    let account = context.account().clone();
    context.transact(|state, changes, _| {
        let mut policy = managed::of_account(state, &account, arn).ok_or_else(|| absent(arn))?.clone();
        let outcome = edit(&mut policy)?;
        changes.push(policy.into());
        Ok(outcome)
    })
}

pub fn create_version(
    context: &mut Context<'_>,
    request: api::CreatePolicyVersionRequest,
) -> Result<api::CreatePolicyVersionResponse, Fault> {
    let document = request.policy_document.unwrap_or_default();
    check(&document)?;
    let now = context.now;
    let version = edit(context, &request.policy_arn.unwrap_or_default(), |policy| {
        if policy.versions.len() >= MOST_VERSIONS {
            return Err(fault::limit(format!(
                "A managed policy can have up to {MOST_VERSIONS} versions. Before you create a new version, you must delete \
                 an existing version."
            )));
        }
        policy.last_version += 1;
        let version = PolicyVersion { number: policy.last_version, document, created_at: now };
        if request.set_as_default.unwrap_or_default() {
            policy.default_version = version.number;
        }
        policy.updated_at = now;
        policy.versions.push(version.clone());
        Ok(version_shown(&version, policy.default_version, false))
    })?;
    Ok(api::CreatePolicyVersionResponse { policy_version: Some(version) })
}

pub fn get_version(
    context: &mut Context<'_>,
    request: api::GetPolicyVersionRequest,
) -> Result<api::GetPolicyVersionResponse, Fault> {
    let (arn, id) = (request.policy_arn.unwrap_or_default(), request.version_id.unwrap_or_default());
    let account = context.account().clone();
    let state = context.read();
    let missing = || fault::absent(format!("Policy {arn} version {id} does not exist or is not attachable."));
    let version = match managed::find(&arn) {
        Some(policy) if id == "v1" => aws_version(policy, true),
        Some(_) => return Err(missing()),
        None => {
            let policy = managed::of_account(&state, &account, &arn).ok_or_else(|| absent(&arn))?;
            let version = number(&id).and_then(|number| policy.version(number)).ok_or_else(missing)?;
            version_shown(version, policy.default_version, true)
        }
    };
    Ok(api::GetPolicyVersionResponse { policy_version: Some(version) })
}

pub fn list_versions(
    context: &mut Context<'_>,
    request: api::ListPolicyVersionsRequest,
) -> Result<api::ListPolicyVersionsResponse, Fault> {
    let arn = request.policy_arn.unwrap_or_default();
    let account = context.account().clone();
    let rows = match managed::find(&arn) {
        Some(policy) => vec![("v1".to_owned(), aws_version(policy, false))],
        None => {
            let state = context.read();
            let policy = managed::of_account(&state, &account, &arn).ok_or_else(|| absent(&arn))?;
            // The newest first.
            let versions = policy.versions.iter().rev();
            let row = |version: &PolicyVersion| {
                (format!("{:010}", i32::MAX - version.number), version_shown(version, policy.default_version, false))
            };
            versions.map(row).collect()
        }
    };
    let asked = Asked {
        operation: "ListPolicyVersions",
        filter: &arn,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListPolicyVersionsResponse {
        is_truncated: page.truncated(),
        versions: Some(page.rows),
        marker: page.marker,
    })
}

pub fn set_default(context: &mut Context<'_>, request: api::SetDefaultPolicyVersionRequest) -> Result<(), Fault> {
    let (arn, id) = (request.policy_arn.unwrap_or_default(), request.version_id.unwrap_or_default());
    let now = context.now;
    edit(context, &arn, |policy| {
        let version = number(&id).and_then(|number| policy.version(number));
        let version = version.ok_or_else(|| no_version(&arn, &id))?;
        policy.default_version = version.number;
        policy.updated_at = now;
        Ok(())
    })
}

pub fn delete_version(context: &mut Context<'_>, request: api::DeletePolicyVersionRequest) -> Result<(), Fault> {
    let (arn, id) = (request.policy_arn.unwrap_or_default(), request.version_id.unwrap_or_default());
    edit(context, &arn, |policy| {
        let at = policy.versions.iter().position(|version| Some(version.number) == number(&id));
        let at = at.ok_or_else(|| no_version(&arn, &id))?;
        if policy.versions[at].number == policy.default_version {
            return Err(fault::conflict("Cannot delete the default version of a policy."));
        }
        policy.versions.remove(at);
        Ok(())
    })
}

fn no_version(arn: &str, id: &str) -> Fault {
    fault::absent(format!("Policy {arn} version {id} does not exist or is not attachable."))
}

/// The number in `v3`.
fn number(id: &str) -> Option<i32> {
    id.strip_prefix('v')?.parse().ok()
}

pub fn list_entities(
    context: &mut Context<'_>,
    request: api::ListEntitiesForPolicyRequest,
) -> Result<api::ListEntitiesForPolicyResponse, Fault> {
    let arn = request.policy_arn.unwrap_or_default();
    let account = context.account().clone();
    let state = context.read();
    managed::document(&state, &account, &arn).map_err(|_| absent(&arn))?;
    let boundaries = request.policy_usage_filter == Some(api::PolicyUsageType::PermissionsBoundary);
    let prefix = request.path_prefix.as_deref().unwrap_or("/");
    let mut rows = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| wanted(*kind, request.entity_filter)) {
        for entity in Entity::all(&state, &account, kind) {
            let attached = entity.grants().is_some_and(|grants| grants.attached.contains(&arn));
            let has = if boundaries { entity.boundary() == Some(&arn) } else { attached };
            if has && entity.path().starts_with(prefix) {
                rows.push((format!("{}/{}", kind.word(), entity.name().to_ascii_lowercase()), entity));
            }
        }
    }
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    drop(state);
    let asked = Asked {
        operation: "ListEntitiesForPolicy",
        filter: &format!("{arn} {boundaries} {prefix} {:?}", request.entity_filter),
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    let is_truncated = page.truncated();
    let mut answer = api::ListEntitiesForPolicyResponse {
        policy_groups: Some(Vec::new()),
        policy_users: Some(Vec::new()),
        policy_roles: Some(Vec::new()),
        is_truncated,
        marker: page.marker,
    };
    for entity in page.rows {
        let (name, id) = (Some(entity.name().to_owned()), Some(entity.id().to_owned()));
        match entity {
            Entity::User(_) => {
                answer.policy_users.get_or_insert_default().push(api::PolicyUser { user_name: name, user_id: id });
            }
            Entity::Group(_) => {
                answer.policy_groups.get_or_insert_default().push(api::PolicyGroup { group_name: name, group_id: id });
            }
            Entity::Role(_) => {
                answer.policy_roles.get_or_insert_default().push(api::PolicyRole { role_name: name, role_id: id });
            }
        }
    }
    Ok(answer)
}

fn wanted(kind: Kind, filter: Option<api::EntityType>) -> bool {
    match filter {
        Some(api::EntityType::User) => kind == Kind::User,
        Some(api::EntityType::Group) => kind == Kind::Group,
        Some(api::EntityType::Role) => kind == Kind::Role,
        _ => true,
    }
}

pub fn tag(context: &mut Context<'_>, request: api::TagPolicyRequest) -> Result<(), Fault> {
    edit(context, &request.policy_arn.unwrap_or_default(), |policy| tag::add(&mut policy.tags, request.tags))
}

pub fn untag(context: &mut Context<'_>, request: api::UntagPolicyRequest) -> Result<(), Fault> {
    edit(context, &request.policy_arn.unwrap_or_default(), |policy| {
        tag::remove(&mut policy.tags, &request.tag_keys.unwrap_or_default());
        Ok(())
    })
}

pub fn list_tags(
    context: &mut Context<'_>,
    request: api::ListPolicyTagsRequest,
) -> Result<api::ListPolicyTagsResponse, Fault> {
    let arn = request.policy_arn.unwrap_or_default();
    let account = context.account().clone();
    let rows = match managed::find(&arn) {
        Some(_) => Vec::new(),
        None => tag::rows(&managed::of_account(&context.read(), &account, &arn).ok_or_else(|| absent(&arn))?.tags),
    };
    let asked = Asked {
        operation: "ListPolicyTags",
        filter: &arn,
        marker: request.marker.as_deref(),
        max_items: request.max_items,
    };
    let page = page::cut(context, &asked, rows)?;
    Ok(api::ListPolicyTagsResponse { is_truncated: page.truncated(), tags: Some(page.rows), marker: page.marker })
}

fn shown(policy: &ManagedPolicy, used: Use) -> api::Policy {
    api::Policy {
        policy_name: Some(policy.name.clone()),
        policy_id: Some(policy.id.clone()),
        arn: Some(policy.arn()),
        path: Some(policy.path.clone()),
        default_version_id: Some(format!("v{}", policy.default_version)),
        attachment_count: Some(used.attached),
        permissions_boundary_usage_count: Some(used.boundary),
        is_attachable: Some(true),
        description: None,
        create_date: Some(policy.created_at),
        update_date: Some(policy.updated_at),
        tags: None,
    }
}

/// With what only GetPolicy shows.
fn full(policy: &ManagedPolicy, used: Use) -> api::Policy {
    api::Policy { description: policy.description.clone(), tags: tag::shown(&policy.tags), ..shown(policy, used) }
}

/// AWS's policies came with the service: 2015-02-06T18:40:00Z.
const AWS_SINCE: Timestamp = Timestamp::from_millis(1_423_248_000_000);

fn aws_shown(policy: &AwsPolicy, used: Use) -> api::Policy {
    api::Policy {
        policy_name: Some(policy.name.to_owned()),
        policy_id: Some(aws_id(policy.name)),
        arn: Some(policy.arn()),
        path: Some(policy.path.to_owned()),
        default_version_id: Some("v1".to_owned()),
        attachment_count: Some(used.attached),
        permissions_boundary_usage_count: Some(used.boundary),
        is_attachable: Some(true),
        description: None,
        create_date: Some(AWS_SINCE),
        update_date: Some(AWS_SINCE),
        tags: None,
    }
}

/// The same for the same name, wherever it is asked for.
fn aws_id(name: &str) -> String {
    let seed =
        name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    unique_id(&mut longshore_model::Mint::new(seed), "ANPA")
}

fn aws_version(policy: &AwsPolicy, whole: bool) -> api::PolicyVersion {
    api::PolicyVersion {
        document: whole.then(|| encode(policy.document)),
        version_id: Some("v1".to_owned()),
        is_default_version: Some(true),
        create_date: Some(AWS_SINCE),
    }
}

fn version_shown(version: &PolicyVersion, default: i32, whole: bool) -> api::PolicyVersion {
    api::PolicyVersion {
        document: whole.then(|| encode(&version.document)),
        version_id: Some(format!("v{}", version.number)),
        is_default_version: Some(version.number == default),
        create_date: Some(version.created_at),
    }
}
