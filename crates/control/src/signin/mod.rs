//! Sign-in: from a request's signature to the caller it speaks for, and whether the caller may do what it asks.
//!
//! ```text
//!     enforce      signature ──► key ──► verified ──► caller ──► policies ──► handler
//!     permissive   the key is believed; twelve digits name an account; policies are not asked
//! ```
//! An unknown key takes the way of a bad signature: a sealed secret is opened and the signature verified by a secret, which in
//! the one case nobody has.

mod keys;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use longshore_model::iam::{AccessKey, Caller, Identity, key};
use longshore_model::node_key::{NodeKey, node_of};
use longshore_model::policy::{Context as Conditions, Known};
use longshore_model::{AccountId, Place, State};
use longshore_services::access::{self, Asked, Leave, Needed, Replica};
use longshore_services::ecs::role;
use longshore_services::sts::token;
use longshore_services::{authority, node};
use longshore_wire::protocol::Call;
use longshore_wire::sigv4::{Denial, Endpoint, Scope, Signature, Standing, join_token};
use longshore_wire::{Fault, ProtocolKind, TimestampFormat, Value};

use crate::{Auth, Server, clock};

pub(crate) use keys::Keys;

/// Global services are signed for this region, or for the client's own.
const GLOBAL_REGION: &str = "us-east-1";
const GLOBAL: &[&str] = &["iam", "sts"];

/// Verified against where there is no secret, so that an unknown key takes no less time. It opens nothing.
const NOBODYS_SECRET: &str = "0000000000000000000000000000000000000000";

/// The address a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(IpAddr);

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(address.ip().to_canonical())
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Who calls.
///
/// # Errors
/// AWS's error of the call's protocol, if the signature is not one of a known key's holder.
pub(crate) fn caller(server: &Server, call: &Call, head: &Parts, body: &[u8]) -> Result<Caller, Fault> {
    let found = match (joining(server, call, head), server.auth) {
        (Some(joining), _) => joining,
        (None, Auth::Enforce) => verified(server, call, head, body),
        (None, Auth::Permissive) => believed(server, head),
    };
    found.map_err(|denial| denial.fault(call.protocol.kind()))
}

/// What the policies of a caller are asked about, beside who it is; nothing for the root, who has none, unless a resource
/// may have one.
pub(crate) fn conditions(server: &Server, call: &Call, caller: &Caller, head: &Parts) -> Conditions {
    match is_unbound(call, caller) {
        true => Conditions::default(),
        false => known_conditions(server, caller, head),
    }
}

/// Whether no policy bears on what the caller calls.
fn is_unbound(call: &Call, caller: &Caller) -> bool {
    caller.identity == Identity::Root && !access::bears_policies(call.service.name)
}

const SOURCE: Known = Known::new("aws:sourceip");
const SECURE: Known = Known::new("aws:securetransport");
const REGION: Known = Known::new("aws:requestedregion");
const TIME: Known = Known::new("aws:currenttime");
const EPOCH: Known = Known::new("aws:epochtime");
const AGENT: Known = Known::new("aws:useragent");

fn known_conditions(server: &Server, caller: &Caller, head: &Parts) -> Conditions {
    let now = clock::wall();
    let mut conditions = caller.context();
    if let Some(Peer(address)) = head.extensions.get() {
        conditions.set_known(SOURCE, address.to_string());
    }
    conditions.set_known(SECURE, "false");
    conditions.set_known(REGION, &*server.settings.region);
    conditions.set_known(TIME, now.format(TimestampFormat::Iso8601));
    conditions.set_known(EPOCH, (now.millis() / 1000).to_string());
    if let Some(agent) = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()) {
        conditions.set_known(AGENT, agent);
    }
    conditions
}

/// Whether the caller may call the operation with this input; what it may by, where policies were asked.
///
/// # Errors
/// The protocol's refusal, with the sentence that says why.
pub(crate) fn authorize(
    server: &Server,
    call: &Call,
    caller: &Caller,
    conditions: &Conditions,
    input: &Value,
) -> Result<Option<Leave>, Fault> {
    let (service, operation) = (call.service.name, call.operation.name);
    let own_rule = OWN_RULES.contains(&(service, operation)) && !access::is_node(caller);
    if server.auth == Auth::Permissive || is_unbound(call, caller) || own_rule {
        return Ok(None);
    }
    let refuse = |sentence: String| authority::denied(call.protocol.kind(), &sentence);
    check_session(caller, call).map_err(refuse)?;
    let place = Place::new(&server.settings.region, &caller.account);
    let state = server.store.read();
    let asked = Asked { place: &place, state: &state, input, user: access::user(caller) };
    access::judge(service, operation, &asked, caller, conditions).map_err(refuse)?;
    Ok(Leave::new(call, input, state.revision()))
}

/// Whether the caller may bring a copy from another registry; what it may by, where policies are asked.
///
/// # Errors
/// The protocol's refusal, with the sentence that says why.
pub(crate) fn authorize_replica(
    server: &Server,
    call: &Call,
    caller: &Caller,
    conditions: &Conditions,
    replica: Replica,
) -> Result<Option<Leave>, Fault> {
    if server.auth == Auth::Permissive {
        return Ok(None);
    }
    let state = server.store.read();
    let judged = replica.judge(&state, &server.settings.region, caller, conditions);
    judged.map_err(|sentence| authority::denied(call.protocol.kind(), &sentence))?;
    Ok(Some(Leave::of_replica(call, replica, state.revision())))
}

/// Operations that decide for themselves who may call them, or that everybody may call.
const OWN_RULES: &[(&str, &str)] = &[("sts", "AssumeRole"), ("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")];

/// A user's temporary credentials without MFA do not reach IAM.
fn check_session(caller: &Caller, call: &Call) -> Result<(), String> {
    let users = matches!(caller.identity, Identity::User { .. }) && caller.claims.is_some();
    match users && call.service.name == "iam" {
        true => Err("The security token included in the request is invalid".to_owned()),
        false => Ok(()),
    }
}

/// Who shows a join token, to join; `None` if nobody does.
fn joining(server: &Server, call: &Call, head: &Parts) -> Option<Result<Caller, Denial>> {
    let token = join_token(head.headers.get(AUTHORIZATION)?.to_str().ok()?)?;
    if (call.service.name, call.operation.name) != ("longshore", "JoinNode") {
        return Some(Err(Denial::UnknownKey));
    }
    Some(node::bearer(&server.store.read(), &server.settings, token, clock::now()))
}

/// A key of twelve digits names its account; one that is known, its holder; any other is the configured account's root, but
/// for the void one of a node.
fn believed(server: &Server, head: &Parts) -> Result<Caller, Denial> {
    let account = server.settings.account.clone();
    if let Some(standing) = leave(head) {
        return Ok(Caller::root(AccountId::parse(standing.access_key).unwrap_or(account)));
    }
    let Ok(Some(signature)) = Signature::of_request(head) else {
        let named = Scope::of_request(head).and_then(|scope| AccountId::parse(&scope.access_key));
        return Ok(Caller::root(named.unwrap_or(account)));
    };
    let access_key = &signature.scope.access_key;
    if let Some(account) = AccountId::parse(access_key) {
        return Ok(Caller::root(account));
    }
    let holder = holder(server, &server.store.read(), access_key, signature.session_token.as_deref());
    match holder {
        Ok(holder) => Ok(holder.caller),
        Err(denial) if node_of(access_key).is_some() => Err(denial),
        Err(_) => Ok(Caller::root(account)),
    }
}

fn verified(server: &Server, call: &Call, head: &Parts, body: &[u8]) -> Result<Caller, Denial> {
    if let Some(caller) = standing(server, call, head) {
        return caller;
    }
    let own = [server.settings.region.as_str(), GLOBAL_REGION];
    let regions = if GLOBAL.contains(&call.service.name) { &own[..] } else { &own[..1] };
    signer(server, head, body, regions, call.service.signing_name)
}

/// Who signed a request for a service in one of some regions.
fn signer(server: &Server, head: &Parts, body: &[u8], regions: &[&str], service: &str) -> Result<Caller, Denial> {
    let signature = Signature::of_request(head)?.ok_or(Denial::Missing)?;
    let now = clock::wall();
    signature.admissible(head, &Endpoint { regions, service, now: now.millis().div_euclid(1000) })?;
    // The state is let go before the body is hashed.
    let found = holder(server, &server.store.read(), &signature.scope.access_key, signature.session_token.as_deref());
    let secret = found.as_ref().map_or(NOBODYS_SECRET, |holder| &holder.secret);
    let signed = server.keys.is_by(&signature, secret, head, body);
    let caller = found?.caller;
    if !signed {
        return Err(Denial::Mismatch);
    }
    match caller.claims.as_ref().is_some_and(|claims| claims.is_over(now)) {
        true => Err(Denial::ExpiredToken),
        false => Ok(caller),
    }
}

/// A node's channel: a request without a body, signed for ECS by one that may `ecs:Poll` or `ecs:StartTelemetrySession`.
/// Where signatures are not verified, that of whoever it says.
///
/// # Errors
/// As [`caller`], in the words of the JSON protocols.
pub(crate) fn channel(server: &Server, head: &Parts, action: &'static str) -> Result<Knock, Fault> {
    let kind = ProtocolKind::AwsJson11;
    if server.auth == Auth::Permissive {
        let caller = believed(server, head).map_err(|denial| denial.fault(kind))?;
        return Ok(Knock { caller, key: None, judged: Ok(()) });
    }
    // What is verified now is this key or none: one that comes after it ends what is opened with it.
    let claimed = Scope::of_request(head).and_then(|scope| node_of(&scope.access_key));
    let key = claimed.and_then(|node| server.store.read().node_keys.get(&node).cloned());
    let regions = [server.settings.region.as_str()];
    let caller = signer(server, head, b"", &regions, "ecs").map_err(|denial| denial.fault(kind))?;
    let conditions = known_conditions(server, &caller, head);
    let needed = Needed::on_nothing(action, &caller.account);
    let judged = access::judge_one(&server.store.read(), &needed, &caller, &conditions);
    let key = key.filter(|_| caller.node().is_some());
    Ok(Knock { caller, key, judged: judged.map_err(|sentence| authority::denied(kind, &sentence)) })
}

/// Who wants to open a node's channel.
pub(crate) struct Knock {
    pub(crate) caller: Caller,
    /// The node's own key, if it signed with that.
    pub(crate) key: Option<Arc<NodeKey>>,
    /// Whether it may.
    pub(crate) judged: Result<(), Fault>,
}

/// The node's standing leave that a request comes with, unverified.
fn leave(head: &Parts) -> Option<Standing<'_>> {
    Standing::parse(head.headers.get(AUTHORIZATION)?.to_str().ok()?)
}

/// The caller of a request that comes with a node's standing leave for a task: the task's execution role; `None` if it comes
/// with none.
fn standing(server: &Server, call: &Call, head: &Parts) -> Option<Result<Caller, Denial>> {
    let standing = leave(head)?;
    let good = call.service.name == "logs" && Standing::OPERATIONS.contains(&call.operation.name);
    let state = server.store.read();
    let holder = holder(server, &state, standing.access_key, None).ok();
    let secret = holder.as_ref().map_or(NOBODYS_SECRET, |holder| &holder.secret);
    let made = standing.is_by(secret, &server.settings.region);
    let node = holder.map(|holder| holder.caller).filter(|_| good && made);
    let writer = node.and_then(|node| role::log_writer(&state, &server.settings.region, node, standing.task));
    Some(writer.ok_or(Denial::UnknownKey))
}

/// Who has a key, and its secret.
struct Holder<'a> {
    caller: Caller,
    secret: Cow<'a, str>,
}

/// # Errors
/// [`Denial::UnknownKey`] for a key that nobody has, that is inactive, or whose token is not ours.
fn holder<'a>(server: &'a Server, state: &State, id: &str, token: Option<&str>) -> Result<Holder<'a>, Denial> {
    let vault = &server.settings.vault;
    if let Some(token) = token {
        let claims = token::open(vault, id, token).ok_or(Denial::UnknownKey)?;
        let secret = Cow::Owned(claims.secret.clone());
        let caller = token::caller(state, claims).ok_or(Denial::UnknownKey)?;
        return Ok(Holder { caller, secret });
    }
    if id == server.root_key.access_key_id {
        let root = Caller::root(server.settings.account.clone());
        let caller = Caller { access_key: id.to_owned(), ..root };
        return Ok(Holder { caller, secret: Cow::Borrowed(&server.root_key.secret_access_key) });
    }
    if let Some((caller, secret)) = node::holder(state, &server.settings, id) {
        return Ok(Holder { caller, secret: Cow::Owned(secret) });
    }
    let Some(record) = state.access_keys.get(id).filter(|record| !record.inactive) else {
        std::hint::black_box(vault.open_decoy());
        return Err(Denial::UnknownKey);
    };
    let secret = Cow::Owned(vault.open_text(id, &record.sealed).ok_or(Denial::UnknownKey)?);
    let (account, identity) = identity(state, record).ok_or(Denial::UnknownKey)?;
    Ok(Holder { caller: Caller { account, access_key: id.to_owned(), identity, claims: None }, secret })
}

fn identity(state: &State, record: &AccessKey) -> Option<(AccountId, Identity)> {
    let account = AccountId::parse(&record.account)?;
    if record.user.is_empty() {
        return Some((account, Identity::Root));
    }
    let user = state.users.get(&key(&account, &record.user))?;
    let identity = Identity::User {
        name: user.name.clone(),
        path: user.path.clone(),
        id: user.id.clone(),
        tags: user.tags.clone(),
    };
    Some((account, identity))
}
