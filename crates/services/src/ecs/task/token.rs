//! Client tokens: the same request twice has one effect.
//!
//! A token belongs to one account, cluster and operation. Used again with the same parameters it gives the original
//! answer; with others it is a conflict that names what it made. It lasts a day, or until an hour after the last task it
//! made has stopped.

use aws_lc_rs::digest;
#[cfg(feature = "planted")]
use longshore_model::planted;
use longshore_model::setting::{Token, token_key};
use longshore_model::{AccountId, State};
use longshore_plan::reap;
use longshore_wire::{Fault, Shape, Timestamp, json};

use crate::ecs::fault;

/// A token as it came with a request.
#[derive(Clone, Debug)]
pub struct Used {
    account: AccountId,
    cluster: String,
    operation: &'static str,
    token: String,
    request: String,
}

/// Read a token of at most `longest` characters. `request` is the request without the token and with its cluster's name
/// resolved, so that its spelling does not matter.
///
/// # Errors
/// `InvalidParameterException` unless it is printable ASCII without spaces.
pub fn read(
    account: &AccountId,
    cluster: &str,
    operation: &'static str,
    token: Option<&str>,
    longest: usize,
    request: &impl Shape,
) -> Result<Option<Used>, Fault> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    if token.len() > longest {
        return Err(fault::invalid_parameter(format!("clientToken can be at most {longest} characters long.")));
    }
    if !token.bytes().all(|byte| (33..=126).contains(&byte)) {
        return Err(fault::invalid_parameter("clientToken may hold ASCII characters 33 to 126 only."));
    }
    Ok(Some(Used {
        account: account.clone(),
        cluster: cluster.to_owned(),
        operation,
        token: token.to_owned(),
        request: fingerprint(request),
    }))
}

fn fingerprint(request: &impl Shape) -> String {
    let digest = digest::digest(&digest::SHA256, &json::to_vec(request));
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Used {
    /// The ARNs that this very request made before.
    ///
    /// # Errors
    /// `ConflictException` if it was another request.
    pub fn made(&self, state: &State, now: Timestamp) -> Result<Option<Vec<String>>, Fault> {
        #[cfg(feature = "planted")]
        if planted::is(planted::Bug::DoubleLaunchOnRetriedToken) && self.operation == "RunTask" {
            return Ok(None);
        }
        let key = token_key(&self.account, &self.cluster, self.operation, &self.token);
        match state.tokens.get(&key).filter(|known| !reap::expired(state, known, now)) {
            None => Ok(None),
            Some(known) if known.request == self.request => Ok(Some(known.made.clone())),
            Some(known) => Err(fault::conflict(known.made.clone())),
        }
    }

    /// The record that remembers what was made.
    pub fn record(self, made: Vec<String>, now: Timestamp) -> Token {
        Token {
            account: self.account.to_string(),
            operation: self.operation.to_owned(),
            cluster: self.cluster,
            token: self.token,
            request: self.request,
            made,
            created_at: now,
            until: None,
        }
    }
}
