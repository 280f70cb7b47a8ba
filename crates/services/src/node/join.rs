//! JoinNode.

use longshore_model::iam::Identity;
use longshore_model::node_key::{JoinToken, NodeKey, access_key_id};
use longshore_model::{Change, State};
use longshore_wire::sigv4::Denial;
use longshore_wire::{Fault, ProtocolKind, Timestamp};

use super::shape::{JoinNodeRequest, JoinNodeResponse};
use super::{arn, hash, is_over};
use crate::{Context, Vault, authority, vault};

/// The key of a new node, or of one that joins again, for the token that the caller shows. The token is used then, and
/// good for one thing only: the same join, whose answer was lost, is answered as before for as long as the token would have
/// been good. It is the same by its `clientToken`, which nobody else knows.
///
/// # Errors
/// `AccessDeniedException` if the caller shows no token, or one that was used; `ExpiredTokenException`.
pub fn join(context: &mut Context<'_>, request: JoinNodeRequest) -> Result<JoinNodeResponse, Fault> {
    let (settings, now) = (context.settings, context.now);
    let Identity::Node { id: node, joins: Some(token), .. } = context.caller.identity.clone() else {
        return Err(refused("A node joins with a join token."));
    };
    let client = hash(&request.client_token.unwrap_or_default());
    let joining = Joining { vault: &settings.vault, account: settings.account.as_str(), node: &node, now };
    let secret = context.transact(|state, changes, _| {
        let known = state.join_tokens.get(&token).filter(|known| !is_over(known, now));
        let known = known.ok_or_else(|| Denial::ExpiredToken.fault(ProtocolKind::AwsJson11))?;
        match known.used_by.as_deref() {
            None => joining.make(known, client, changes),
            Some(by) if by == client => joining.again(state, known),
            Some(_) => Err(refused("The join token was used.")),
        }
    })?;
    Ok(JoinNodeResponse {
        access_key_id: Some(access_key_id(&node)),
        secret_access_key: Some(secret),
        container_instance_arn: Some(arn(settings, &node)),
    })
}

fn refused(message: &str) -> Fault {
    authority::denied(ProtocolKind::AwsJson11, message)
}

struct Joining<'a> {
    vault: &'a Vault,
    account: &'a str,
    node: &'a str,
    now: Timestamp,
}

impl Joining<'_> {
    /// Makes the node's key, in the place of the one it had.
    fn make(&self, token: &JoinToken, client: String, changes: &mut Vec<Change>) -> Result<String, Fault> {
        let secret = vault::secret_key()?;
        let key = NodeKey {
            node: self.node.to_owned(),
            edge: token.edge,
            account: self.account.to_owned(),
            sealed: self.vault.seal(&access_key_id(self.node), secret.as_bytes())?,
            joined_by: token.hash.clone(),
            created_at: self.now,
        };
        changes.push(key.into());
        changes.push(JoinToken { used_by: Some(client), ..token.clone() }.into());
        Ok(secret)
    }

    /// The key that the same join made, if it is still the node's.
    fn again(&self, state: &State, token: &JoinToken) -> Result<String, Fault> {
        let key = state.node_keys.get(self.node).filter(|key| key.joined_by == token.hash);
        let key = key.ok_or_else(|| refused("The join token was used, and the key that it made is void."))?;
        self.vault.open_text(&access_key_id(self.node), &key.sealed).ok_or_else(Fault::internal)
    }
}
