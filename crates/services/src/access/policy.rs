//! The policies that resources carry: key policies of KMS, resource policies of secrets.

use std::sync::Arc;

use longshore_model::kms::key;
use longshore_model::policy::{Kind, Policy, ResourceRule};
use longshore_model::{AccountId, Arn, State, secret};

use crate::authority::parsed;

/// What a resource's own policy says.
pub(super) enum Attached {
    /// It has none.
    Nothing,
    Policy(Arc<Policy>, ResourceRule),
    /// It has one that does not read, and therefore denies.
    Unreadable,
}

/// Services whose resources carry policies: these bind the root of the account as well.
const SERVICES: &[&str] = &["kms", "secretsmanager"];

/// Whether resources of a service may carry policies.
pub fn bears_policies(service: &str) -> bool {
    SERVICES.contains(&service)
}

/// The policy of the resource with this ARN.
pub(super) fn attached(state: &State, arn: &str) -> Attached {
    let Some(arn) = Arn::parse(arn).filter(|arn| bears_policies(arn.service)) else { return Attached::Nothing };
    let found = match arn.service {
        "kms" => key_policy(state, &arn).map(|text| (text, ResourceRule::Required)),
        _ => secret_policy(state, &arn).map(|text| (text, ResourceRule::Suffices)),
    };
    let Some((text, rule)) = found else { return Attached::Nothing };
    parsed(Kind::Resource, text).map_or(Attached::Unreadable, |policy| Attached::Policy(policy, rule))
}

fn key_policy<'a>(state: &'a State, arn: &Arn<'_>) -> Option<&'a str> {
    let stored = key(&AccountId::parse(arn.account)?, arn.resource.strip_prefix("key/")?);
    Some(state.encryption_keys.get(&stored)?.policy.as_str())
}

fn secret_policy<'a>(state: &'a State, arn: &Arn<'_>) -> Option<&'a str> {
    let (name, suffix) = secret::split(arn.resource)?;
    let found = state.secrets.get(&secret::key(&AccountId::parse(arn.account)?, name))?;
    found.policy.as_deref().filter(|_| found.suffix == suffix)
}
