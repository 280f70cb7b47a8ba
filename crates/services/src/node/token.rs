//! CreateJoinToken.

use longshore_model::node::FARGATE_CLUSTER;
use longshore_model::node_key::{JoinToken, may_have_key};
use longshore_model::{Mint, State};
use longshore_wire::{Fault, Timestamp};

use super::shape::{CreateJoinTokenRequest, CreateJoinTokenResponse};
use super::{arn, hash, place};
use crate::ecs::resolve;
use crate::{Context, vault};

/// Seconds that a token is good for where nobody said.
const USUAL_SECONDS: i32 = 900;

/// Tokens whose time has not passed, used ones among them.
const MOST_TOKENS: usize = 1000;

/// Nodes with a key.
const MOST_KEYS: usize = 10_000;

/// What tokens begin with, so that whoever comes upon one knows what it is.
const PREFIX: &str = "longshore-join-";

/// A token by which one machine becomes a node: `containerInstance`, which is to join again under its name, or a new one.
/// With `edge` the node may carry the traffic of load balancers too. The answer alone has the token.
///
/// # Errors
/// `ValidationException` for a container instance of a cluster, or one whose name no key can have;
/// `LimitExceededException`.
pub fn create(context: &mut Context<'_>, request: CreateJoinTokenRequest) -> Result<CreateJoinTokenResponse, Fault> {
    let (settings, now) = (context.settings, context.now);
    let again = request.container_instance.as_deref().map(|given| named(context, given)).transpose()?;
    let seconds = i64::from(request.expires_in_seconds.unwrap_or(USUAL_SECONDS));
    let expires_at = Timestamp::from_millis(now.millis() + seconds * 1000);
    let token = fresh()?;
    let (made_by, of_token) = (context.principal.clone(), hash(&token));
    let edge = request.edge.unwrap_or(false);
    let node = context.transact(|state, changes, mint: &mut Mint| {
        check_room(state, again.as_deref())?;
        let node = again.unwrap_or_else(|| mint.hex32());
        let created_at = now;
        let row =
            JoinToken { hash: of_token, node: node.clone(), edge, made_by, created_at, expires_at, used_by: None };
        changes.push(row.into());
        Ok::<_, Fault>(node)
    })?;
    Ok(CreateJoinTokenResponse {
        join_token: Some(token),
        container_instance_arn: Some(arn(settings, &node)),
        expires_at: Some(expires_at),
    })
}

/// 256 bits that nobody can guess.
fn fresh() -> Result<String, Fault> {
    let bytes = vault::random::<32>()?;
    Ok(bytes.iter().fold(PREFIX.to_owned(), |token, byte| format!("{token}{byte:02x}")))
}

/// The id of the node that is to join again. It need not be known: a control plane may have lost its data.
fn named(context: &mut Context<'_>, given: &str) -> Result<String, Fault> {
    let invalid = |message: &str| Fault::common("ValidationException", 400, message);
    let id = resolve::container_instance_id(&place(context.settings), FARGATE_CLUSTER, given);
    let id = id.map_err(|fault| invalid(&fault.message))?;
    let of_cluster = context.read().nodes.get(&id).is_some_and(|node| node.cluster.is_some());
    match () {
        () if of_cluster => Err(invalid("The container instance belongs to a cluster: it has no key of its own.")),
        () if !may_have_key(&id) => Err(invalid("The id of a container instance is 32 hexadecimal digits.")),
        () => Ok(id),
    }
}

fn check_room(state: &State, again: Option<&str>) -> Result<(), Fault> {
    let limit = |message: &str| Err(Fault::common("LimitExceededException", 400, message));
    if state.join_tokens.len() >= MOST_TOKENS {
        return limit("There are too many join tokens. They go when their time has passed.");
    }
    let has_key = again.is_some_and(|node| state.node_keys.get(node).is_some());
    match !has_key && state.node_keys.len() >= MOST_KEYS {
        true => limit("There are too many nodes with a key. Those that are deregistered have none."),
        false => Ok(()),
    }
}
