//! What a caller may do: its policies, gathered from the records, and the decision over them.
//!
//! The engine is `longshore_model::policy`; here is only what feeds it. What operations ask is in [`crate::access`]. A policy that cannot be read denies: nothing here
//! answers yes for want of knowing better.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, RwLock};

use longshore_model::iam::{Caller, Grants, Identity, key};
use longshore_model::policy::{Decision, Kind, Policies, Policy, Request, ResourceRule, evaluate};
use longshore_model::{AccountId, State};
use longshore_wire::{Fault, ProtocolKind};

use crate::iam::managed;

/// The policies that bear on a caller, whatever it asks for.
#[derive(Debug, Default)]
pub struct Authority {
    identity: Vec<Arc<Policy>>,
    boundary: Option<Arc<Policy>>,
    session: Option<Vec<Arc<Policy>>>,
}

impl Authority {
    /// The caller's policies as they are now; `None` if one of them cannot be read.
    pub fn of(state: &State, caller: &Caller) -> Option<Self> {
        match &caller.identity {
            Identity::Root => Some(Self::default()),
            Identity::User { name, .. } => Self::of_user(state, &caller.account, name),
            Identity::Session { role, .. } => Self::of_session(state, caller, role),
            // What a node may do lies in no policy.
            Identity::Node { .. } => None,
        }
    }

    fn of_user(state: &State, account: &AccountId, name: &str) -> Option<Self> {
        let user = state.users.get(&key(account, name))?;
        let mut identity = Vec::new();
        gather(state, account, user.grants.as_ref(), &mut identity)?;
        for group in user.groups.iter().filter_map(|group| state.groups.get(&key(account, group))) {
            gather(state, account, group.grants.as_ref(), &mut identity)?;
        }
        Some(Self { identity, boundary: boundary(state, account, user.boundary.as_deref())?, session: None })
    }

    fn of_session(state: &State, caller: &Caller, role: &str) -> Option<Self> {
        let account = &caller.account;
        let role = state.roles.get(&key(account, role))?;
        let mut identity = Vec::new();
        gather(state, account, role.grants.as_ref(), &mut identity)?;
        let claims = caller.claims.as_ref()?;
        let mut session = Vec::new();
        for arn in &claims.policy_arns {
            session.push(parsed(Kind::Identity, managed::document(state, account, arn).ok()?)?);
        }
        if let Some(document) = &claims.policy {
            session.push(parsed(Kind::Session, document)?);
        }
        let session = (!session.is_empty()).then_some(session);
        Some(Self { identity, boundary: boundary(state, account, role.boundary.as_deref())?, session })
    }

    /// Whether the request is allowed, beside `resource`'s own policies.
    pub fn decide(&self, request: &Request<'_>, resource: Vec<&Policy>, rule: ResourceRule) -> Decision {
        let policies = Policies {
            identity: self.identity.iter().map(AsRef::as_ref).collect(),
            boundary: self.boundary.as_deref(),
            session: self.session.as_ref().map(|session| session.iter().map(AsRef::as_ref).collect()),
            resource,
            rule,
        };
        evaluate(request, &policies)
    }
}

fn boundary(state: &State, account: &AccountId, arn: Option<&str>) -> Option<Option<Arc<Policy>>> {
    match arn {
        None => Some(None),
        Some(arn) => parsed(Kind::Identity, managed::document(state, account, arn).ok()?).map(Some),
    }
}

fn gather(state: &State, account: &AccountId, grants: Option<&Grants>, to: &mut Vec<Arc<Policy>>) -> Option<()> {
    let Some(grants) = grants else { return Some(()) };
    for document in grants.inline.values() {
        to.push(parsed(Kind::Identity, document)?);
    }
    for arn in &grants.attached {
        to.push(parsed(Kind::Identity, managed::document(state, account, arn).ok()?)?);
    }
    Some(())
}

/// Parsed documents that are kept; beyond that all are forgotten and read again.
const KEPT: usize = 4096;

type Documents = HashMap<String, Arc<Policy>>;

/// Parsing is much dearer than evaluating, and documents repeat. One map a kind.
static PARSED: LazyLock<RwLock<[Documents; 3]>> = LazyLock::new(RwLock::default);

/// What a document says. The same text always says the same, so that it is read once.
pub fn parsed(kind: Kind, document: &str) -> Option<Arc<Policy>> {
    let slot = match kind {
        Kind::Identity => 0,
        Kind::Session => 1,
        Kind::Resource => 2,
        _ => return Policy::parse(kind, document).ok().map(Arc::new),
    };
    let known = PARSED.read().ok().and_then(|kept| kept[slot].get(document).cloned());
    if known.is_some() {
        return known;
    }
    let policy = Arc::new(Policy::parse(kind, document).ok()?);
    if let Ok(mut kept) = PARSED.write() {
        if kept[slot].len() >= KEPT {
            kept[slot].clear();
        }
        kept[slot].insert(document.to_owned(), policy.clone());
    }
    Some(policy)
}

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
