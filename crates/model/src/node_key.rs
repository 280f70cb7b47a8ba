//! What makes a machine a node: a token to join with, once, and the key that it is then known by.
//!
//! ```text
//!     JoinToken, unused ─► used: NodeKey made ─► forgotten at its time
//!     NodeKey ─► void: its node is deregistered, or joins again
//! ```
//! Secrets are here in forms that give nothing away: of a token its hash, of a key its sealed secret.

use longshore_wire::{Timestamp, record};

record! {
    /// A token by which one machine becomes one node, once.
    pub struct JoinToken {
        /// SHA-256 of the token, in hexadecimal digits.
        pub hash: String = "hash",
        /// Id of the node that it makes.
        pub node: String = "node",
        /// Whether the node may be an edge.
        pub edge: bool = "edge",
        /// ARN of who asked for it.
        pub made_by: String = "madeBy",
        pub created_at: Timestamp = "createdAt",
        pub expires_at: Timestamp = "expiresAt",
        /// Hash of the client token of the join that used it: the same join, repeated after a lost answer, is answered again.
        pub used_by: Option<String> = "usedBy",
    }

    /// The key of a node, which has one.
    pub struct NodeKey {
        /// Id of the node.
        pub node: String = "node",
        pub account: String = "account",
        /// Whether the node may be an edge: then it learns the private keys of the listeners' certificates.
        pub edge: bool = "edge",
        /// The secret key, sealed under the master key.
        pub sealed: String = "sealed",
        /// Hash of the token that it was made by.
        pub joined_by: String = "joinedBy",
        pub created_at: Timestamp = "createdAt",
    }
}

/// Digits of a node's id.
const DIGITS: usize = 32;

/// What the access key ids of nodes begin with.
const PREFIX: &str = "NODE";

/// Whether a node of this id can have a key: 32 hexadecimal digits, as all ids that are made here.
pub fn may_have_key(node: &str) -> bool {
    node.len() == DIGITS && node.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The access key id of a node: `NODE` and its id in capitals.
pub fn access_key_id(node: &str) -> String {
    format!("{PREFIX}{}", node.to_ascii_uppercase())
}

/// The node whose access key id this is, if it is one's.
pub fn node_of(access_key_id: &str) -> Option<String> {
    let digits = access_key_id.strip_prefix(PREFIX)?;
    let node = digits.to_ascii_lowercase();
    (may_have_key(&node) && digits == node.to_ascii_uppercase()).then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_id_names_its_node_and_nothing_else_does() {
        let node = "0123456789abcdef0123456789abcdef";
        let id = access_key_id(node);
        assert_eq!((id.as_str(), node_of(&id).as_deref()), ("NODE0123456789ABCDEF0123456789ABCDEF", Some(node)));
        for other in ["", "NODE", "AKIAIOSFODNN7EXAMPLE", &id.to_lowercase(), &id[1..], &id[..35], &format!("{id}0")] {
            assert_eq!(node_of(other), None, "{other}");
        }
        assert!(!may_have_key("i-0123456789") && !may_have_key(&node.to_uppercase()));
    }
}
