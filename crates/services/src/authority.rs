//! What a caller may do: its policies, gathered from the records, and the decision over them.
//!
//! The engine is `longshore_model::policy`; here is only what feeds it. What operations ask is in [`crate::access`]. A policy
//! that cannot be read denies: nothing here answers yes for want of knowing better.
//!
//! Most calls are of callers that called before and whose policies are as they were: what was gathered is kept with the
//! very records that it came from, and is good as long as the state has these.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use longshore_model::iam::{Caller, Claims, Grants, Group, Identity, ManagedPolicy, Role, User, key};
pub use longshore_model::policy::parsed;
use longshore_model::policy::{Decision, Kind, Policies, Policy, Request, ResourceRule, evaluate};
use longshore_model::{AccountId, State};
use longshore_wire::{Fault, ProtocolKind};

use crate::iam::managed;

/// The policies that bear on a caller, whatever it asks for.
#[derive(Debug, Default)]
pub struct Authority {
    own: Arc<Own>,
    session: Option<Vec<Arc<Policy>>>,
}

/// The policies of a user and its groups, or of a role.
#[derive(Debug, Default)]
struct Own {
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
}

impl Authority {
    /// The caller's policies as they are now; `None` if one of them cannot be read.
    pub fn of(state: &State, caller: &Caller) -> Option<Self> {
        let account = &caller.account;
        match &caller.identity {
            Identity::Root => Some(Self::default()),
            Identity::User { name, .. } => {
                let name = key(account, name);
                let user = state.users.get(&name)?;
                Some(Self { own: known(state, account, Holder::User(name, user.clone()))?, session: None })
            }
            Identity::Session { role, .. } => {
                let name = key(account, role);
                let role = state.roles.get(&name)?;
                let session = session(state, account, caller.claims.as_ref()?)?;
                Some(Self { own: known(state, account, Holder::Role(name, role.clone()))?, session })
            }
            // What a node may do lies in no policy.
            Identity::Node { .. } => None,
        }
    }

    /// Whether the request is allowed, beside `resource`'s own policies.
    pub fn decide(&self, request: &Request<'_>, resource: Vec<&Policy>, rule: ResourceRule) -> Decision {
        let policies = Policies {
            identity: self.own.identity.iter().map(AsRef::as_ref).collect(),
            boundary: self.own.boundary.as_deref(),
            session: self.session.as_ref().map(|session| session.iter().map(AsRef::as_ref).collect()),
            resource,
            rule,
        };
        evaluate(request, &policies)
    }
}

/// The policies that narrow a session, if there are any.
fn session(state: &State, account: &AccountId, claims: &Claims) -> Option<Option<Vec<Arc<Policy>>>> {
    let mut session = Vec::new();
    for arn in &claims.policy_arns {
        session.push(parsed(Kind::Identity, managed::document(state, account, arn).ok()?)?);
    }
    if let Some(document) = &claims.policy {
        session.push(parsed(Kind::Session, document)?);
    }
    Some((!session.is_empty()).then_some(session))
}

/// Who has policies of its own, with its key.
enum Holder {
    User(String, Arc<User>),
    Role(String, Arc<Role>),
}

/// A record that policies were read from, by its key; or that there was no such group.
enum Seen {
    Group(String, Option<Arc<Group>>),
    Managed(String, Arc<ManagedPolicy>),
}

/// What was read, and from what.
struct Reading {
    holder: Holder,
    seen: Vec<Seen>,
    own: Arc<Own>,
}

/// Policies that were gathered before. A record that changes is a new one, so that a reading is good as long as the very
/// records are there that it was made from. Past [`KEPT`] all are forgotten.
static READINGS: LazyLock<RwLock<HashMap<String, Reading>>> = LazyLock::new(RwLock::default);

/// The policies of a user or a role, read anew if any record of them has changed.
fn known(state: &State, account: &AccountId, holder: Holder) -> Option<Arc<Own>> {
    let name = holder.name();
    let still_good =
        |reading: &&Reading| reading.holder.is(&holder) && reading.seen.iter().all(|seen| seen.is_still(state));
    let known = READINGS.read().ok().and_then(|kept| kept.get(&name).filter(still_good).map(|one| one.own.clone()));
    if known.is_some() {
        return known;
    }
    let mut reader = Reader { state, account, identity: Vec::new(), seen: Vec::new() };
    let boundary = reader.holder(&holder)?;
    let own = Arc::new(Own { identity: reader.identity, boundary });
    let reading = Reading { holder, seen: reader.seen, own: own.clone() };
    if let Ok(mut kept) = READINGS.write() {
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(name, reading);
    }
    Some(own)
}

impl Holder {
    /// Users and roles may be called alike.
    fn name(&self) -> String {
        match self {
            Holder::User(key, _) => format!("user {key}"),
            Holder::Role(key, _) => format!("role {key}"),
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Holder::User(_, one), Holder::User(_, other)) => Arc::ptr_eq(one, other),
            (Holder::Role(_, one), Holder::Role(_, other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Seen {
    fn is_still(&self, state: &State) -> bool {
        match self {
            Seen::Group(key, then) => same(then.as_ref(), state.groups.get(key)),
            Seen::Managed(key, then) => same(Some(then), state.managed_policies.get(key)),
        }
    }
}

fn same<T>(then: Option<&Arc<T>>, now: Option<&Arc<T>>) -> bool {
    match (then, now) {
        (None, None) => true,
        (Some(then), Some(now)) => Arc::ptr_eq(then, now),
        _ => false,
    }
}

/// Gathers policies and notes where they come from.
struct Reader<'a> {
    state: &'a State,
    account: &'a AccountId,
    identity: Vec<Arc<Policy>>,
    seen: Vec<Seen>,
}

impl Reader<'_> {
    /// Everything of a user or a role; what is its boundary is given back.
    fn holder(&mut self, holder: &Holder) -> Option<Option<Arc<Policy>>> {
        let (grants, boundary) = match holder {
            Holder::User(_, user) => (user.grants.as_ref(), user.boundary.as_deref()),
            Holder::Role(_, role) => (role.grants.as_ref(), role.boundary.as_deref()),
        };
        self.grants(grants)?;
        if let Holder::User(_, user) = holder {
            for group in &user.groups {
                self.group(key(self.account, group))?;
            }
        }
        boundary.map_or(Some(None), |arn| self.managed(arn).map(Some))
    }

    fn group(&mut self, key: String) -> Option<()> {
        let group = self.state.groups.get(&key).cloned();
        let read = group.as_ref().map_or(Some(()), |group| self.grants(group.grants.as_ref()));
        self.seen.push(Seen::Group(key, group));
        read
    }

    fn grants(&mut self, grants: Option<&Grants>) -> Option<()> {
        let Some(grants) = grants else { return Some(()) };
        for document in grants.inline.values() {
            self.identity.push(parsed(Kind::Identity, document)?);
        }
        for arn in &grants.attached {
            let policy = self.managed(arn)?;
            self.identity.push(policy);
        }
        Some(())
    }

    /// AWS's own never change.
    fn managed(&mut self, arn: &str) -> Option<Arc<Policy>> {
        if let Some(policy) = managed::find(arn) {
            return parsed(Kind::Identity, policy.document);
        }
        let record = managed::record(self.state, self.account, arn)?;
        self.seen.push(Seen::Managed(key(self.account, &record.name), record.clone()));
        parsed(Kind::Identity, record.document()?)
    }
}

/// Readings that are kept; beyond that all are forgotten and made again.
const KEPT: usize = 4096;

/// The refusal of a protocol: `AccessDeniedException` in JSON, `AccessDenied` in awsQuery, `UnauthorizedOperation` in EC2's.
pub fn denied(kind: ProtocolKind, sentence: &str) -> Fault {
    match kind {
        ProtocolKind::AwsJson10 | ProtocolKind::AwsJson11 => Fault::common("AccessDeniedException", 400, sentence),
        ProtocolKind::AwsQuery => Fault::common("AccessDenied", 403, sentence),
        ProtocolKind::Ec2Query => {
            let message = format!("You are not authorized to perform this operation. {sentence}");
            Fault::common("UnauthorizedOperation", 403, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use longshore_model::iam::PolicyVersion;
    use longshore_model::policy::Context;
    use longshore_model::{Change, TableName};
    use longshore_wire::Timestamp;

    use super::*;

    const EPOCH: Timestamp = Timestamp::from_millis(0);

    fn account() -> AccountId {
        AccountId::parse("333333333333").unwrap()
    }

    fn document(effect: &str, action: &str) -> String {
        format!(r#"{{"Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#)
    }

    fn inline(effect: &str, action: &str) -> Grants {
        Grants { attached: Vec::new(), inline: BTreeMap::from([("it".to_owned(), document(effect, action))]) }
    }

    fn user(grants: Grants, boundary: Option<&str>) -> Change {
        User {
            account: account().to_string(),
            name: "kept".to_owned(),
            path: "/".to_owned(),
            id: "AIDA".to_owned(),
            created_at: EPOCH,
            boundary: boundary.map(str::to_owned),
            tags: BTreeMap::new(),
            groups: vec!["devs".to_owned()],
            grants: Some(grants),
        }
        .into()
    }

    fn group(grants: Grants) -> Change {
        Group {
            account: account().to_string(),
            name: "devs".to_owned(),
            path: "/".to_owned(),
            id: "AGPA".to_owned(),
            created_at: EPOCH,
            grants: Some(grants),
        }
        .into()
    }

    fn managed_policy(effect: &str, action: &str) -> Change {
        ManagedPolicy {
            account: account().to_string(),
            name: "mine".to_owned(),
            path: "/".to_owned(),
            id: "ANPA".to_owned(),
            created_at: EPOCH,
            updated_at: EPOCH,
            description: None,
            tags: BTreeMap::new(),
            versions: vec![PolicyVersion { number: 1, document: document(effect, action), created_at: EPOCH }],
            default_version: 1,
            last_version: 1,
        }
        .into()
    }

    const MINE: &str = "arn:aws:iam::333333333333:policy/mine";

    /// Whether the user may stop tasks; `None` if its policies do not read.
    fn may(state: &State) -> Option<bool> {
        let identity = Identity::User {
            name: "kept".to_owned(),
            path: "/".to_owned(),
            id: "AIDA".to_owned(),
            tags: BTreeMap::new(),
        };
        let caller = Caller { account: account(), access_key: String::new(), identity, claims: None };
        let (principal, owner, context) = (caller.principal(), account(), Context::default());
        let request =
            Request { principal: &principal, action: "ecs:StopTask", resource: "*", owner: &owner, context: &context };
        let authority = Authority::of(state, &caller)?;
        Some(authority.decide(&request, Vec::new(), ResourceRule::Suffices).is_allowed())
    }

    /// Each change is seen by the very next call, though what was read before is kept.
    #[test]
    fn a_change_of_any_record_is_seen_at_once() {
        let mut state = State::default();
        assert_eq!(may(&state), None);
        let attached = Grants { attached: vec![MINE.to_owned()], inline: BTreeMap::new() };
        for (change, wanted) in [
            (user(inline("Allow", "ecs:*"), None), Some(true)),
            (group(inline("Deny", "ecs:StopTask")), Some(false)),
            (group(Grants::default()), Some(true)),
            (user(attached.clone(), None), None),
            (managed_policy("Allow", "ecs:*"), Some(true)),
            (managed_policy("Allow", "s3:*"), Some(false)),
            (managed_policy("Allow", "*"), Some(true)),
            (user(attached.clone(), Some(MINE)), Some(true)),
            (user(attached, Some("arn:aws:iam::aws:policy/IAMFullAccess")), Some(false)),
            (Change::Delete(TableName::ManagedPolicy, key(&account(), "mine")), None),
            (user(inline("Allow", "*"), None), Some(true)),
            (Change::Delete(TableName::User, key(&account(), "kept")), None),
        ] {
            state.apply(&change);
            assert_eq!((may(&state), may(&state)), (wanted, wanted), "{change:?}");
        }
    }

    #[test]
    fn another_state_with_the_same_names_has_its_own_policies() {
        let (mut one, mut other) = (State::default(), State::default());
        one.apply(&user(inline("Allow", "*"), None));
        other.apply(&user(inline("Allow", "s3:*"), None));
        assert_eq!((may(&one), may(&other), may(&one)), (Some(true), Some(false), Some(true)));
    }
}
