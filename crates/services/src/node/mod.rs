//! How machines become nodes, and who a node is: operations of Longshore's own, which no model of AWS has.
//!
//! ```text
//!     administrator ── CreateJoinToken ──► token, shown once, good for minutes
//!     machine ──────── JoinNode, once ───► the node's key: one secret a node, sealed here, 0600 there
//!     node ─────────── signs with it ────► registers, opens its session, reports; nothing else (`access::node`)
//! ```
//! They are called as any other: `X-Amz-Target: Longshore_20261121.CreateJoinToken`, awsJson 1.1, signed for the service
//! `longshore`. JoinNode alone is not signed: it shows the token in its `Authorization` header.
//!
//! Of a token only the hash is kept, so that the records do not let anybody in. A node that joins again, under its name of
//! before, gets another secret, and the one of before is void; deregistering it voids the key ([`void`]). Left out: taking a
//! token back before its time.

mod join;
mod shape;
#[cfg(test)]
mod tests;
mod token;

use aws_lc_rs::digest::{SHA256, digest};
use longshore_model::iam::{Caller, Identity};
use longshore_model::node::FARGATE_CLUSTER;
use longshore_model::node_key::{self, JoinToken, NodeKey};
use longshore_model::{AccountId, Change, Place, State, TableName};
use longshore_wire::sigv4::Denial;
use longshore_wire::{OperationDef, ProtocolKind, ServiceDef, ShapeRef, Timestamp};

use crate::{Service, Settings, operations};

static DEF: ServiceDef = ServiceDef {
    name: "longshore",
    api_version: "2026-11-21",
    target_prefix: "Longshore_20261121",
    protocols: &[ProtocolKind::AwsJson11],
    signing_name: "longshore",
    xml_namespace: "",
    endpoint_prefix: "longshore",
    validation_code: "ValidationException",
    missing_code: "ValidationException",
    operations: &[
        OperationDef::named("CreateJoinToken")
            .built()
            .input(ShapeRef::of::<shape::CreateJoinTokenRequest>())
            .output(ShapeRef::of::<shape::CreateJoinTokenResponse>()),
        OperationDef::named("JoinNode")
            .built()
            .input(ShapeRef::of::<shape::JoinNodeRequest>())
            .output(ShapeRef::of::<shape::JoinNodeResponse>()),
    ],
};

pub static SERVICE: Service = Service {
    def: &DEF,
    blocking: false,
    operations: operations! {
        "CreateJoinToken" => token::create,
        "JoinNode" => join::join,
    },
};

/// Where nodes are: the installation's own account.
fn place(settings: &Settings) -> Place {
    Place::new(&settings.region, &settings.account)
}

/// The ARN of a node that has a key. Such nodes serve every cluster.
fn arn(settings: &Settings, node: &str) -> String {
    place(settings).container_instance(FARGATE_CLUSTER, node)
}

/// SHA-256 in hexadecimal digits.
fn hash(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who comes with a join token: the node that it is to make. Whether the token was used is the join's to say.
///
/// # Errors
/// [`Denial::UnknownKey`] for a token that is none, [`Denial::ExpiredToken`].
pub fn bearer(state: &State, settings: &Settings, token: &str, now: Timestamp) -> Result<Caller, Denial> {
    let known = state.join_tokens.get(&hash(token)).ok_or(Denial::UnknownKey)?;
    match is_over(known, now) {
        true => Err(Denial::ExpiredToken),
        false => Ok(caller(settings, &known.node, Some(known.hash.clone()))),
    }
}

fn is_over(token: &JoinToken, now: Timestamp) -> bool {
    token.expires_at <= now
}

/// The node that an access key id names, and the secret of its key; `None` if it has no key.
pub fn holder(state: &State, settings: &Settings, access_key_id: &str) -> Option<(Caller, String)> {
    let key = state.node_keys.get(&node_key::node_of(access_key_id)?)?;
    let secret = settings.vault.open_text(access_key_id, &key.sealed)?;
    let caller = Caller { access_key: access_key_id.to_owned(), ..caller(settings, &key.node, None) };
    Some((caller, secret))
}

fn caller(settings: &Settings, node: &str, joins: Option<String>) -> Caller {
    let account: AccountId = settings.account.clone();
    let identity = Identity::Node { id: node.to_owned(), arn: arn(settings, node), joins };
    Caller { account, access_key: String::new(), identity, claims: None }
}

/// The change that voids the key of a node, if it has one.
pub fn void(state: &State, node: &str) -> Option<Change> {
    state.node_keys.get(node).map(|key: &std::sync::Arc<NodeKey>| Change::Delete(TableName::NodeKey, key.node.clone()))
}
