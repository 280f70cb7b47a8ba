//! Whose policies are simulated: each with the name and the type that results show it by.

use std::sync::Arc;

use longshore_api::iam as api;
use longshore_api::iam::PolicySourceType as Type;
use longshore_model::iam::{Caller, Identity, key};
use longshore_model::policy::{Context as Conditions, Kind as PolicyKind, Policy, Principal, Span};
use longshore_model::{AccountId, Arn, State, iam};
use longshore_wire::Fault;

use crate::Context;
use crate::authority::parsed;
use crate::iam::entity::{Entity, Kind};
use crate::iam::{fault, managed};

/// The policies that a request brings or leaves out.
#[derive(Default)]
pub struct Taken {
    pub inputs: Vec<String>,
    pub boundaries: Vec<String>,
    pub excluded: Vec<api::PolicyIdentifier>,
}

/// A policy that takes part.
pub struct Source {
    pub id: String,
    pub kind: Type,
    /// Of a managed one.
    arn: Option<String>,
    /// Of an inline one: the name of the entity that has it.
    holder: Option<String>,
    pub policy: Arc<Policy>,
    /// Where its statements stand.
    pub spans: Vec<Span>,
}

/// Policies, and who has them.
pub struct Subject {
    pub identity: Vec<Source>,
    pub boundary: Option<Source>,
    /// The entity, as policies see who asks; none where only texts are simulated.
    pub principal: Option<Principal>,
    pub conditions: Conditions,
}

impl Source {
    fn new(id: impl Into<String>, kind: Type, policy: Arc<Policy>) -> Self {
        let spans = policy.spans();
        Self { id: id.into(), kind, arn: None, holder: None, policy, spans }
    }

    /// A policy of a request.
    ///
    /// # Errors
    /// `InvalidInput` if it does not read.
    pub fn given(id: impl Into<String>, kind: Type, of: PolicyKind, text: &str) -> Result<Self, Fault> {
        let id = id.into();
        let policy = Policy::parse(of, text).map_err(|malformed| fault::invalid(format!("{id}: {malformed}")))?;
        Ok(Self::new(id, kind, Arc::new(policy)))
    }

    /// # Errors
    /// `PolicyEvaluation` if there is no such policy or it does not read, which its records' laws rule out.
    fn managed(state: &State, account: &AccountId, arn: &str) -> Result<Self, Fault> {
        let policy = managed::document(state, account, arn).ok().and_then(|text| parsed(PolicyKind::Identity, text));
        let kind = if managed::find(arn).is_some() { Type::AwsManaged } else { Type::UserManaged };
        let source = Self::new(managed::name(arn), kind, policy.ok_or_else(|| unreadable(arn))?);
        Ok(Self { arn: Some(arn.to_owned()), ..source })
    }

    fn is_excluded(&self, by: &api::PolicyIdentifier) -> bool {
        use api::PolicyIdentifierPolicyType as By;
        let of_type = match by.policy_type {
            Some(By::Inline) => self.holder.is_some(),
            Some(By::AwsManaged) => self.kind == Type::AwsManaged,
            Some(By::UserManaged) => self.kind == Type::UserManaged,
            _ => false,
        };
        let of_name = by.inline_policy_identifier.as_ref().is_some_and(|inline| self.is_inline(inline));
        of_type || of_name || by.policy_arn.is_some() && by.policy_arn == self.arn
    }

    fn is_inline(&self, by: &api::InlinePolicyIdentifierType) -> bool {
        let kind = by.attachment_type.map(api::AttachmentType::as_str);
        let holder = by.attachment_name.is_some() && by.attachment_name == self.holder;
        holder && kind == Some(self.kind.as_str()) && by.policy_name.as_deref() == Some(&self.id)
    }
}

fn unreadable(what: &str) -> Fault {
    Fault::new(&api::fault::POLICY_EVALUATION_EXCEPTION, format!("The policy {what} could not be evaluated"))
}

fn texts(taken: &Taken) -> Result<(Vec<Source>, Option<Source>), Fault> {
    let numbered = |list: &'static str, texts: &[String]| {
        let each = texts.iter().enumerate();
        each.map(|(at, text)| Source::given(format!("{list}.{}", at + 1), Type::None, PolicyKind::Identity, text))
            .collect::<Result<Vec<_>, _>>()
    };
    let identity = numbered("PolicyInputList", &taken.inputs)?;
    let mut boundaries = numbered("PermissionsBoundaryPolicyInputList", &taken.boundaries)?;
    match boundaries.len() {
        0 | 1 => Ok((identity, boundaries.pop())),
        _ => Err(fault::invalid("PermissionsBoundaryPolicyInputList may hold one policy only")),
    }
}

impl Subject {
    /// Only what the request brings.
    ///
    /// # Errors
    /// `InvalidInput`
    pub fn of_texts(taken: &Taken) -> Result<Self, Fault> {
        let (identity, boundary) = texts(taken)?;
        Ok(Self { identity, boundary, principal: None, conditions: Conditions::default() })
    }

    /// A user with its groups, a group, or a role.
    ///
    /// # Errors
    /// `InvalidInput`, `NoSuchEntity`
    pub fn of_entity(context: &mut Context<'_>, arn: &str, taken: &Taken) -> Result<Self, Fault> {
        let account = context.account().clone();
        let (kind, name) = entity_of(arn, &account)?;
        let (inputs, boundary) = texts(taken)?;
        check_excluded(&taken.excluded)?;
        let state = context.read();
        let entity = Entity::find(&state, &account, kind, name)?;
        // The caller was judged on this ARN: another path is another entity.
        if iam::arn(account.as_str(), kind.word(), entity.path(), entity.name()) != arn {
            return Err(fault::missing(kind.word(), name));
        }
        let mut subject = Self::of_records(&state, &account, &entity)?;
        let kept = |source: &Source| !taken.excluded.iter().any(|by| source.is_excluded(by));
        subject.identity.retain(kept);
        subject.identity.extend(inputs);
        let unbounded = taken.excluded.iter().any(is_boundary);
        subject.boundary = boundary.or(subject.boundary.filter(|_| !unbounded));
        Ok(subject)
    }

    fn of_records(state: &State, account: &AccountId, entity: &Entity) -> Result<Self, Fault> {
        let mut identity = gather(state, account, entity)?;
        if let Entity::User(user) = entity {
            for group in user.groups.iter().filter_map(|group| state.groups.get(&key(account, group))) {
                identity.extend(gather(state, account, &Entity::Group(group.as_ref().clone()))?);
            }
        }
        let boundary = entity.boundary().map(|arn| Source::managed(state, account, arn)).transpose()?;
        let (principal, conditions) = who(account, entity);
        Ok(Self { identity, boundary, principal, conditions })
    }

    /// The condition keys that its policies ask for.
    pub fn keys(&self) -> api::GetContextKeysForPolicyResponse {
        let mut keys: Vec<&str> = self.identity.iter().flat_map(|source| source.policy.context_keys()).collect();
        keys.sort_by_cached_key(|key| key.to_ascii_lowercase());
        keys.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
        let keys = keys.into_iter().map(str::to_owned).collect();
        api::GetContextKeysForPolicyResponse { context_key_names: Some(keys) }
    }
}

fn is_boundary(by: &api::PolicyIdentifier) -> bool {
    by.policy_type == Some(api::PolicyIdentifierPolicyType::PermissionBoundary)
}

/// # Errors
/// `InvalidInput` for policies of organizations.
fn check_excluded(excluded: &[api::PolicyIdentifier]) -> Result<(), Fault> {
    use api::PolicyIdentifierPolicyType as By;
    match excluded.iter().any(|by| matches!(by.policy_type, Some(By::Scp | By::Rcp))) {
        true => Err(fault::invalid("PolicyExclusionList: there are no organizations here")),
        false => Ok(()),
    }
}

/// # Errors
/// `InvalidInput` for what is not the ARN of a user, a group or a role, and `NoSuchEntity` for one of another account.
fn entity_of<'a>(arn: &'a str, account: &AccountId) -> Result<(Kind, &'a str), Fault> {
    let invalid = || fault::invalid(format!("Invalid Entity Arn: {arn} does not clearly define entity type and name."));
    let parsed = Arn::parse(arn).filter(|parsed| parsed.service == "iam" && parsed.region.is_empty());
    let parsed = parsed.ok_or_else(invalid)?;
    let (kind, path) = parsed.resource.split_once('/').ok_or_else(invalid)?;
    let kind = Kind::ALL.into_iter().find(|known| known.word() == kind).ok_or_else(invalid)?;
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).ok_or_else(invalid)?;
    match parsed.account == account.as_str() {
        true => Ok((kind, name)),
        false => Err(fault::missing(kind.word(), name)),
    }
}

/// The policies of one entity alone, inline ones first.
fn gather(state: &State, account: &AccountId, entity: &Entity) -> Result<Vec<Source>, Fault> {
    let kind = match entity {
        Entity::User(_) => Type::User,
        Entity::Group(_) => Type::Group,
        Entity::Role(_) => Type::Role,
    };
    let Some(grants) = entity.grants() else { return Ok(Vec::new()) };
    let inline = grants.inline.iter().map(|(name, document)| {
        let policy = parsed(PolicyKind::Identity, document).ok_or_else(|| unreadable(name))?;
        Ok(Source { holder: Some(entity.name().to_owned()), ..Source::new(name, kind, policy) })
    });
    inline.chain(grants.attached.iter().map(|arn| Source::managed(state, account, arn))).collect()
}

/// How policies see an entity that asks, and the keys that follow from who it is; a group never asks.
fn who(account: &AccountId, entity: &Entity) -> (Option<Principal>, Conditions) {
    match entity {
        Entity::Group(_) => (None, Conditions::default()),
        Entity::User(user) => {
            let caller = caller_of(account, user);
            (Some(caller.principal()), caller.context())
        }
        Entity::Role(role) => {
            let principal = Principal::Session { account: account.clone(), role: role.arn(), arn: role.arn() };
            let mut conditions = principal.context();
            for (key, value) in &role.tags {
                conditions.set(&format!("aws:PrincipalTag/{key}"), [value.as_str()]);
            }
            (Some(principal), conditions)
        }
    }
}

/// A user, as if it called.
pub fn caller_of(account: &AccountId, user: &longshore_model::iam::User) -> Caller {
    let identity = Identity::User {
        name: user.name.clone(),
        path: user.path.clone(),
        id: user.id.clone(),
        tags: user.tags.clone(),
    };
    Caller { account: account.clone(), access_key: String::new(), identity, claims: None }
}
