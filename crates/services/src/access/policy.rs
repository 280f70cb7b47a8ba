//! The policies that resources carry: key policies and grants of KMS, resource policies of secrets and of repositories.

use std::sync::Arc;

use longshore_model::kms::{grant_key, key};
use longshore_model::policy::{Kind, Policy, ResourceRule};
use longshore_model::{AccountId, Arn, State, registry, secret};
use serde_json::json;

use crate::authority::parsed;

/// What a resource's own policy says.
pub(super) enum Attached {
    /// It has none.
    Nothing,
    Policies(Vec<Arc<Policy>>, ResourceRule),
    /// It has one that does not read, and therefore denies.
    Unreadable,
}

/// Services whose resources carry policies: these bind the root of the account as well.
const SERVICES: &[&str] = &["kms", "secretsmanager", "ecr"];

/// Whether resources of a service may carry policies.
pub fn bears_policies(service: &str) -> bool {
    SERVICES.contains(&service)
}

/// What the resource with this ARN says of an action.
pub(super) fn attached(state: &State, text: &str, action: &str) -> Attached {
    let Some(arn) = Arn::parse(text).filter(|arn| bears_policies(arn.service)) else { return Attached::Nothing };
    let read = match arn.service {
        "kms" => key_policies(state, &arn, action).map(|policies| (policies, ResourceRule::Required)),
        "ecr" => registry_policies(state, &arn, text, action).map(|policies| (policies, ResourceRule::Suffices)),
        _ => secret_policy(state, &arn).map(|text| (vec![text_read(text)], ResourceRule::Suffices)),
    };
    let Some((policies, rule)) = read else { return Attached::Nothing };
    let policies: Option<Vec<_>> = policies.into_iter().collect();
    policies.map_or(Attached::Unreadable, |policies| Attached::Policies(policies, rule))
}

fn text_read(text: &str) -> Option<Arc<Policy>> {
    parsed(Kind::Resource, text)
}

/// The key's policy and its grants, which say in the language of policies what they allow. Who ends a grant the key's policy
/// does not say: whom the grant names, and whom the account lets.
fn key_policies(state: &State, arn: &Arn<'_>, action: &str) -> Option<Vec<Option<Arc<Policy>>>> {
    let id = arn.resource.strip_prefix("key/")?;
    let found = state.encryption_keys.get(&key(&AccountId::parse(arn.account)?, id))?;
    let prefix = grant_key(arn.account, id, "");
    let grants = state.key_grants.scan(&prefix).map(|(_, grant)| text_read(&grant.policy));
    let own = match action {
        RETIRE => text_read(&leave_to_account(arn.account)),
        _ => text_read(&found.policy),
    };
    Some(std::iter::once(own).chain(grants).collect())
}

const REPLICATE: &str = "ecr:ReplicateImage";

const RETIRE: &str = "kms:RetireGrant";

fn leave_to_account(account: &str) -> String {
    let root = format!("arn:aws:iam::{account}:root");
    let statement = json!({"Effect": "Allow", "Principal": {"AWS": root}, "Action": RETIRE, "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// That of the account's registry, which is one for all its repositories, and the repository's own. What is copied from
/// another registry the registry's says alone.
fn registry_policies(state: &State, arn: &Arn<'_>, text: &str, action: &str) -> Option<Vec<Option<Arc<Policy>>>> {
    let registry = state.registry_settings.get(arn.account).and_then(|settings| settings.policy.as_deref());
    let own = repository_policy(state, text).filter(|_| action != REPLICATE);
    let policies = registry.into_iter().chain(own).map(text_read);
    Some(policies.collect::<Vec<_>>()).filter(|policies| !policies.is_empty())
}

fn repository_policy<'a>(state: &'a State, arn: &str) -> Option<&'a str> {
    state.repositories.get(&registry::key_of(arn)?)?.policy.as_deref()
}

fn secret_policy<'a>(state: &'a State, arn: &Arn<'_>) -> Option<&'a str> {
    let (name, suffix) = secret::split(arn.resource)?;
    let found = state.secrets.get(&secret::key(&AccountId::parse(arn.account)?, name))?;
    found.policy.as_deref().filter(|_| found.suffix == suffix)
}
