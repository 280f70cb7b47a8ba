//! What each operation asks of policies: actions, resources, condition keys. Said once, here, one table a service.
//!
//! The gateway has a request [`judge`]d: each [`Needed`] of it by the policy engine ([`longshore_model::policy`]). An
//! operation without an entry may not be called.
//!
//! The first need of an operation is its own action; the others are what it does in the caller's name besides (pass a
//! role, tag what it makes), each for as many resources as the request names: none, no need. What a request names by a
//! short name is looked up as the operation does, so that the resource judged is the one acted on; a name that is no name
//! is judged as `KIND/*`, and the operation refuses it. What the resource's own policy says counts as well ([`policy`]).
//!
//! Left out: condition keys of features that are not built.

mod acm;
mod asked;
mod cloudtrail;
mod ec2;
mod ecr;
mod ecs;
mod elasticloadbalancing;
mod iam;
mod kms;
mod leave;
mod logs;
mod longshore;
mod node;
mod policy;
mod replica;
mod secretsmanager;
mod ssm;
mod sts;
#[cfg(test)]
mod tests;

use longshore_model::iam::{Caller, Identity};
use longshore_model::policy::{Context, Decision, Known, Principal, Reason, Request, ResourceRule};
use longshore_model::{AccountId, Arn, State};

use crate::authority::Authority;

pub use asked::Asked;
pub use leave::{Leave, user};
pub use policy::bears_policies;
use policy::{Attached, attached};
pub use replica::Replica;

/// The operations of a service.
pub struct Table {
    /// The service's name, as [`longshore_wire::ServiceDef::name`] has it.
    pub service: &'static str,
    pub operations: &'static [Access],
}

/// What one operation needs.
pub struct Access {
    pub operation: &'static str,
    /// Nothing is asked: every caller that signs may.
    pub open: bool,
    pub needs: &'static [Need],
}

/// An action, on what, and the condition keys that go with it besides those of the resource and of every request.
pub struct Need {
    pub action: &'static str,
    pub on: &'static Resource,
    pub keys: &'static [&'static Key],
}

/// A kind of resource.
pub struct Resource {
    /// The part behind `arn:aws:SERVICE:REGION:ACCOUNT:`, placeholders in capitals; `*` for operations on none.
    pub form: &'static str,
    pub find: fn(&Asked<'_>) -> Vec<Found>,
}

/// A resource that a request is on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub arn: String,
    /// Those it has now: `aws:ResourceTag/…`.
    pub tags: Vec<(String, String)>,
}

/// A condition key and how its values come out of a request.
pub struct Key {
    /// As policies write it; ends in `/` if a tag's key follows.
    pub name: &'static str,
    pub set: fn(&Asked<'_>, &mut Context),
}

/// One judgement to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Needed {
    pub action: &'static str,
    pub resource: String,
    /// The account that the resource belongs to.
    pub owner: AccountId,
    /// The keys of the operation and of the resource; those of the caller and of the request come on top.
    pub context: Context,
}

/// No resource: such an operation is allowed by a policy for `*` only.
static NONE: Resource = Resource { form: "*", find: |_| Vec::new() };

static TABLES: &[&Table] = &[
    &ecs::TABLE,
    &logs::TABLE,
    &ec2::TABLE,
    &ecr::TABLE,
    &iam::TABLE,
    &sts::TABLE,
    &kms::TABLE,
    &secretsmanager::TABLE,
    &ssm::TABLE,
    &cloudtrail::TABLE,
    &elasticloadbalancing::TABLE,
    &acm::TABLE,
    &longshore::TABLE,
];

impl Access {
    const fn new(operation: &'static str, needs: &'static [Need]) -> Self {
        Self { operation, open: false, needs }
    }

    const fn open(operation: &'static str) -> Self {
        Self { operation, open: true, needs: &[] }
    }
}

const OWNER: Known = Known::new("aws:resourceaccount");

impl Need {
    const fn new(action: &'static str, on: &'static Resource, keys: &'static [&'static Key]) -> Self {
        Self { action, on, keys }
    }

    fn judged(&self, asked: &Asked<'_>, own: bool) -> Vec<Needed> {
        let mut found = (self.on.find)(asked);
        if found.is_empty() && own {
            found.push(Found { arn: "*".to_owned(), tags: Vec::new() });
        }
        let mut context = Context::default();
        self.keys.iter().for_each(|key| (key.set)(asked, &mut context));
        let last = found.pop();
        let mut needed: Vec<Needed> =
            found.into_iter().map(|found| self.on_one(asked, found, context.clone())).collect();
        needed.extend(last.map(|found| self.on_one(asked, found, context)));
        needed
    }

    fn on_one(&self, asked: &Asked<'_>, found: Found, mut context: Context) -> Needed {
        let named = Arn::parse(&found.arn).and_then(|arn| AccountId::parse(arn.account));
        let owner = named.unwrap_or_else(|| asked.place.account.clone());
        context.set_known(OWNER, owner.as_str());
        let service = self.action.split(':').next().unwrap_or_default();
        for (key, value) in &found.tags {
            context.set(&format!("aws:ResourceTag/{key}"), [value.as_str()]);
            context.set(&format!("{service}:ResourceTag/{key}"), [value.as_str()]);
        }
        Needed { action: self.action, resource: found.arn, owner, context }
    }
}

/// The entry of an operation.
pub fn entry(service: &str, operation: &str) -> Option<&'static Access> {
    let table = TABLES.iter().find(|table| table.service == service)?;
    table.operations.iter().find(|access| access.operation == operation)
}

/// Every judgement that a request needs, in order; all must be for it. `None` if the operation has no entry, and then it
/// may not be called; empty if it is open to all.
pub fn needed(service: &str, operation: &str, asked: &Asked<'_>) -> Option<Vec<Needed>> {
    let needs = entry(service, operation)?.needs.iter().enumerate();
    Some(needs.flat_map(|(index, need)| need.judged(asked, index == 0)).collect())
}

/// ARNs of what a request is about: what it is judged on, each once, without those that are patterns.
pub fn resources(service: &str, operation: &str, asked: &Asked<'_>) -> Vec<String> {
    let needs = entry(service, operation).map_or(&[][..], |entry| entry.needs);
    let mut arns: Vec<String> = Vec::new();
    for found in needs.iter().flat_map(|need| (need.on.find)(asked)) {
        let plain = found.arn.starts_with("arn:") && !found.arn.contains('*');
        if plain && arns.len() < MOST_RESOURCES && !arns.contains(&found.arn) {
            arns.push(found.arn);
        }
    }
    arns
}

/// Resources of a request that are told of.
const MOST_RESOURCES: usize = 20;

/// Whether a caller may carry out an operation with this input. `conditions` are the keys of the caller and of the
/// request: source address, time, tags of the principal.
///
/// # Errors
/// AWS's sentence about the first judgement that is against it.
pub fn judge(
    service: &str,
    operation: &str,
    asked: &Asked<'_>,
    caller: &Caller,
    conditions: &Context,
) -> Result<(), String> {
    if is_node(caller) {
        return node::judge(service, operation, asked, caller);
    }
    let (principal, authority) = (caller.principal(), Authority::of(asked.state, caller));
    let Some(needed) = needed(service, operation, asked) else {
        let action = format!("{service}:{operation}");
        let owner = &asked.place.account;
        let request = Request { principal: &principal, action: &action, resource: "*", owner, context: conditions };
        return Err(Reason::Error.sentence(&request));
    };
    needed.into_iter().try_for_each(|needed| needed.judge(asked.state, &principal, authority.as_ref(), conditions))
}

/// Whether a caller may do a thing that is no operation of a table: open a node's channel.
///
/// # Errors
/// AWS's sentence, if not.
pub fn judge_one(state: &State, needed: &Needed, caller: &Caller, conditions: &Context) -> Result<(), String> {
    if is_node(caller) {
        let opens = node::opens(state, caller, needed.action);
        return if opens { Ok(()) } else { Err(node::sentence(caller, needed.action)) };
    }
    needed.clone().judge(state, &caller.principal(), Authority::of(state, caller).as_ref(), conditions)
}

/// Whether no policy says what a caller may do, but what a node is.
pub fn is_node(caller: &Caller) -> bool {
    matches!(caller.identity, Identity::Node { .. })
}

impl Needed {
    /// An action on no resource.
    pub fn on_nothing(action: &'static str, owner: &AccountId) -> Self {
        Self { action, resource: "*".to_owned(), owner: owner.clone(), context: Context::default() }
    }

    /// # Errors
    /// AWS's sentence, if the caller may not.
    fn judge(
        self,
        state: &State,
        principal: &Principal,
        authority: Option<&Authority>,
        conditions: &Context,
    ) -> Result<(), String> {
        // What the request says of itself does not outweigh what is known of the caller.
        let mut context = self.context;
        context.extend(conditions.clone());
        let (action, resource) = (self.action, self.resource.as_str());
        let request = Request { principal, action, resource, owner: &self.owner, context: &context };
        let decision = match (authority, attached(state, resource, action)) {
            (Some(authority), Attached::Nothing) => authority.decide(&request, Vec::new(), ResourceRule::Suffices),
            (Some(authority), Attached::Policies(policies, rule)) => {
                authority.decide(&request, policies.iter().map(AsRef::as_ref).collect(), rule)
            }
            _ => Decision::Deny(Reason::Error),
        };
        match decision {
            Decision::Allow => Ok(()),
            Decision::Deny(reason) => Err(reason.sentence(&request)),
        }
    }
}
