//! Grants: leave for one principal to use a key, which key policy and IAM need not give. A grant is kept as a document in the
//! language of key policies, and judged as one: a deny outweighs it, a permissions boundary limits it.
//!
//! Left out: grants to services, and grants that let the grantee grant. Tokens are taken and not needed: a grant holds at
//! once. Names in an encryption context are compared without regard to case, as condition keys are.

use std::collections::BTreeMap;

use longshore_api::kms as api;
use longshore_model::Place;
use longshore_model::kms::{KeyGrant, MOST_GRANTS, grant_key};
use longshore_model::policy::{Kind, Policy};
use longshore_wire::Fault;
use serde_json::{Value, json};

use super::find::{arn, by_id};
use super::page::{self, Asked};
use super::retire::{GRANT_ID, Named};
use super::{fault, retire};
use crate::Context;
use crate::vault::random;

/// Characters of the names and values of a constraint.
const MOST_CONSTRAINT: usize = 384;

pub fn create(context: &mut Context<'_>, request: api::CreateGrantRequest) -> Result<api::CreateGrantResponse, Fault> {
    let id: String = random::<32>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let given = request.key_id.clone().unwrap_or_default();
    let dry = request.dry_run.unwrap_or_default();
    let mut grant = grant(context, id, request)?;
    let place = context.place.clone();
    let named = context.transact(|state, changes, _| {
        let key = by_id(state, &place, &given)?;
        let arn = arn(&place, &key.id);
        match (key.service.is_some(), key.delete_at.is_some(), key.disabled) {
            (true, ..) => return Err(fault::managed(&arn)),
            (_, true, _) => return Err(fault::pending(&arn)),
            (.., true) => return Err(fault::disabled(&arn)),
            _ => {}
        }
        grant.key.clone_from(&key.id);
        let prefix = grant_key(&grant.account, &key.id, "");
        if let Some((_, known)) = state.key_grants.scan(&prefix).find(|(_, known)| is_again(known, &grant)) {
            return Ok(Named { key: known.key.clone(), grant: known.id.clone() });
        }
        if state.key_grants.scan(&prefix).count() >= MOST_GRANTS {
            return Err(fault::limit("grants of a key", MOST_GRANTS));
        }
        let named = Named { key: grant.key.clone(), grant: grant.id.clone() };
        match dry {
            true => Err(fault::dry_run()),
            false => {
                changes.push(grant.into());
                Ok(named)
            }
        }
    })?;
    Ok(api::CreateGrantResponse { grant_token: Some(named.token()), grant_id: Some(named.grant) })
}

/// Whether a grant was made by the same request: named, and alike.
fn is_again(known: &KeyGrant, new: &KeyGrant) -> bool {
    let whom = |grant: &KeyGrant| (grant.name.clone(), grant.grantee.clone(), grant.retiring.clone());
    let what = |grant: &KeyGrant| (grant.operations.clone(), grant.context.clone(), grant.equals);
    known.name.is_some() && whom(known) == whom(new) && what(known) == what(new)
}

/// The grant that a request describes; its key is still to be found.
fn grant(context: &Context<'_>, id: String, request: api::CreateGrantRequest) -> Result<KeyGrant, Fault> {
    if request.grantee_service_principal.is_some() || request.retiring_service_principal.is_some() {
        return Err(fault::unsupported("Longshore makes grants to users, roles and accounts only."));
    }
    let Some(grantee) = request.grantee_principal else {
        return Err(fault::validation("GranteePrincipal must not be null"));
    };
    let operations = operations(&request.operations.unwrap_or_default())?;
    let (bound, equals) = constraints(request.constraints.unwrap_or_default())?;
    [Some(&grantee), request.retiring_principal.as_ref()]
        .into_iter()
        .flatten()
        .try_for_each(|arn| check_principal(arn))?;
    let mut grant = KeyGrant {
        account: context.account().to_string(),
        key: String::new(),
        id,
        created_at: context.now,
        name: request.name,
        grantee,
        retiring: request.retiring_principal,
        operations,
        context: bound,
        equals,
        policy: String::new(),
    };
    grant.policy = document(&grant);
    Ok(grant)
}

/// # Errors
/// `InvalidArnException` for what a policy cannot name as a principal.
pub fn check_principal(given: &str) -> Result<(), Fault> {
    let statement =
        json!({"Effect": "Allow", "Principal": {"AWS": given}, "Action": "kms:RetireGrant", "Resource": "*"});
    let document = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    let words = || format!("{given} is not the ARN of a principal.");
    let refused = |_| fault::of(&api::fault::INVALID_ARN_EXCEPTION, words());
    Policy::parse(Kind::Resource, &document).map(drop).map_err(refused)
}

/// # Errors
/// `ValidationException` for what a symmetric key cannot do, and for none at all.
fn operations(given: &[api::GrantOperation]) -> Result<Vec<String>, Fault> {
    use api::GrantOperation as Op;
    const GRANTED: [Op; 8] = [
        Op::Decrypt,
        Op::Encrypt,
        Op::GenerateDataKey,
        Op::GenerateDataKeyWithoutPlaintext,
        Op::ReEncryptFrom,
        Op::ReEncryptTo,
        Op::DescribeKey,
        Op::RetireGrant,
    ];
    if let Some(other) = given.iter().find(|operation| !GRANTED.contains(operation)) {
        return Err(fault::validation(format!("The operation {other} is not granted on a symmetric key here.")));
    }
    let mut names: Vec<String> = given.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    match names.is_empty() {
        true => Err(fault::validation("A grant needs at least one operation.")),
        false => Ok(names),
    }
}

/// The encryption context that a grant is for, and whether it is the whole of it.
fn constraints(given: api::GrantConstraints) -> Result<(BTreeMap<String, String>, bool), Fault> {
    if given.source_arn.is_some() {
        return Err(fault::unsupported("Longshore has no grants by source ARN."));
    }
    let (bound, equals) = match (given.encryption_context_equals, given.encryption_context_subset) {
        (Some(_), Some(_)) => {
            let message = "A grant has EncryptionContextEquals or EncryptionContextSubset, not both.";
            return Err(fault::validation(message));
        }
        (Some(equals), None) => (equals, true),
        (None, subset) => (subset.unwrap_or_default(), false),
    };
    let size: usize = bound.iter().map(|(name, value)| name.len() + value.len()).sum();
    match size > MOST_CONSTRAINT || bound.keys().any(String::is_empty) {
        true => Err(fault::validation(format!("A constraint has names, and at most {MOST_CONSTRAINT} characters."))),
        false => Ok((bound, equals)),
    }
}

/// What a grant allows, as a key policy would say it.
fn document(grant: &KeyGrant) -> String {
    let statement = |names: Vec<&String>| {
        let actions: Vec<String> = names.iter().map(|name| format!("kms:{name}")).collect();
        json!({"Effect": "Allow", "Principal": {"AWS": grant.grantee}, "Action": actions, "Resource": "*"})
    };
    let given = grant.operations.iter().filter(|name| *name != RETIRE);
    // Describing a key has no encryption context.
    let (plain, mut used): (Vec<_>, Vec<_>) = given.partition(|name| *name == "DescribeKey");
    let mut statements = Vec::from_iter(retirement(grant));
    if grant.context.is_empty() {
        used.extend(plain);
    } else if !plain.is_empty() {
        statements.push(statement(plain));
    }
    if !used.is_empty() {
        let mut statement = statement(used);
        if !grant.context.is_empty() {
            statement["Condition"] = condition(&grant.context, grant.equals);
        }
        statements.push(statement);
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// The operation that ends a grant.
const RETIRE: &str = "RetireGrant";

/// Who may end it: whom it names for that, and its grantee if it says so.
fn retirement(grant: &KeyGrant) -> Option<Value> {
    let grantee = grant.operations.iter().any(|name| name == RETIRE).then(|| grant.grantee.clone());
    let whom: Vec<String> = grant.retiring.clone().into_iter().chain(grantee).collect();
    let this = json!({"StringEquals": {GRANT_ID: grant.id}});
    let statement = json!({
        "Effect": "Allow", "Principal": {"AWS": whom}, "Action": "kms:RetireGrant", "Resource": "*", "Condition": this,
    });
    (!whom.is_empty()).then_some(statement)
}

fn condition(bound: &BTreeMap<String, String>, equals: bool) -> Value {
    // A value is text, whatever it looks like: what begins a variable is written as one.
    let literal = |value: &String| value.replace('$', "${$}");
    let pairs = bound.iter().map(|(name, value)| (format!("kms:EncryptionContext:{name}"), json!(literal(value))));
    let mut condition = json!({"StringEquals": pairs.collect::<serde_json::Map<_, _>>()});
    if equals {
        let names: Vec<String> = bound.keys().map(literal).collect();
        condition["ForAllValues:StringEquals"] = json!({"kms:EncryptionContextKeys": names});
    }
    condition
}

pub fn list(context: &mut Context<'_>, request: api::ListGrantsRequest) -> Result<api::ListGrantsResponse, Fault> {
    let place = context.place.clone();
    let given = request.key_id.unwrap_or_default();
    let (id, grantee) = (request.grant_id, request.grantee_principal);
    let filter = format!("{given} {id:?} {grantee:?}");
    let asked =
        Asked { operation: "ListGrants", filter: &filter, marker: request.marker.as_deref(), limit: request.limit };
    let after = asked.after(context)?;
    let state = context.read();
    let prefix = grant_key(place.account.as_str(), &by_id(&state, &place, &given)?.id, "");
    let rows = state.key_grants.scan_after(&prefix, after.as_deref());
    let rows = rows.filter(|(_, grant)| id.as_ref().is_none_or(|id| *id == grant.id));
    let rows = rows.filter(|(_, grant)| grantee.as_ref().is_none_or(|grantee| *grantee == grant.grantee));
    let rows = rows.map(|(key, grant)| (key.to_string(), shown(&place, grant)));
    let page = page::cut(context.settings, &place, &asked, rows);
    Ok(api::ListGrantsResponse { truncated: page.truncated(), grants: Some(page.rows), next_marker: page.marker })
}

pub fn shown(place: &Place, grant: &KeyGrant) -> api::GrantListEntry {
    let bound = (!grant.context.is_empty()).then(|| grant.context.clone());
    let (equals, subset) = if grant.equals { (bound, None) } else { (None, bound) };
    let constraints = api::GrantConstraints {
        encryption_context_equals: equals,
        encryption_context_subset: subset,
        ..Default::default()
    };
    api::GrantListEntry {
        key_id: Some(arn(place, &grant.key)),
        grant_id: Some(grant.id.clone()),
        name: grant.name.clone(),
        creation_date: Some(grant.created_at),
        grantee_principal: Some(grant.grantee.clone()),
        retiring_principal: grant.retiring.clone(),
        issuing_account: Some(format!("arn:aws:iam::{}:root", grant.account)),
        operations: Some(grant.operations.iter().filter_map(|name| name.parse().ok()).collect()),
        constraints: (!grant.context.is_empty()).then_some(constraints),
        ..Default::default()
    }
}

pub fn revoke(context: &mut Context<'_>, request: api::RevokeGrantRequest) -> Result<(), Fault> {
    let (key, grant) = (request.key_id.unwrap_or_default(), request.grant_id.unwrap_or_default());
    retire::end(context, &Named { key, grant }, request.dry_run.unwrap_or_default())
}
