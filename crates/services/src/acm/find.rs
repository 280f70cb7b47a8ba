//! From an ARN to a certificate, and from a certificate to who uses it.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_model::certificate::{Certificate, key, key_of};
use longshore_model::{Place, State};
use longshore_wire::Fault;

use super::fault;

/// # Errors
/// `ResourceNotFoundException`
pub fn find<'a>(state: &'a State, place: &Place, arn: &str) -> Result<&'a Arc<Certificate>, Fault> {
    let found = key_of(arn).and_then(|key| state.certificates.get(&key));
    let found = found.filter(|row| row.account == place.account.as_str() && row.arn(place) == arn);
    found.ok_or_else(|| fault::not_found(format!("Could not find certificate {arn:.200}.")))
}

/// ARNs of the load balancers with a listener that has the certificate.
pub fn users(state: &State, place: &Place, row: &Certificate) -> Vec<String> {
    let listeners = state.index.balancing.listeners_with(&row.key());
    let balancers: BTreeSet<&str> = listeners.filter_map(|key| Some(key.rsplit_once('/')?.0)).collect();
    balancers.into_iter().filter_map(|key| Some(state.load_balancers.get(key)?.arn(place))).collect()
}

/// Whether some listener has it.
pub fn is_used(state: &State, row: &Certificate) -> bool {
    state.index.balancing.listeners_with(&row.key()).next().is_some()
}

/// How many certificates an account has.
pub fn count(state: &State, place: &Place) -> usize {
    state.certificates.scan(&key(place.account.as_str(), "")).count()
}
