//! Rules of the pull-through cache: below which prefix repositories are filled from which upstream.
//!
//! Here rules are kept. What they lead to when somebody pulls, the control plane does, which may wait for others
//! (`docs/decisions/0046`).
//!
//! Left out: `customRoleArn`. It is a role that AWS assumes to sign in to another registry of AWS's; nobody here can.

mod login;
mod upstream;

use std::sync::Arc;

use longshore_api::ecr as api;
use longshore_api::ecr::fault as def;
use longshore_model::registry::account::ROOT;
use longshore_model::registry::cache::MOST_RULES;
use longshore_model::registry::{CacheRule, key};
use longshore_model::{AccountId, Change, State, TableName};
use longshore_wire::Fault;

use super::fault;
use super::find::List;
use crate::Context;

pub use login::{Login, read as login};
pub use upstream::{Found, Upstream, find as upstream};

/// What an upstream said when it was asked whether a rule works. It was asked before the handler that tells it, which does
/// not wait.
#[derive(Clone, Debug)]
pub struct Tried {
    pub rule: api::PullThroughCacheRule,
    /// Why it does not.
    pub failure: Option<String>,
}

/// A slash at the end of a prefix says nothing.
fn named(given: Option<String>) -> String {
    given.unwrap_or_default().trim_end_matches('/').to_owned()
}

/// # Errors
/// `InvalidParameterException`: rules are in the caller's own registry.
fn own(context: &Context<'_>, registry_id: Option<&str>) -> Result<String, Fault> {
    match registry_id.is_none_or(|given| given == context.account().as_str()) {
        true => Ok(context.account().to_string()),
        false => Err(fault::parameter("registryId", "must be the caller's own registry")),
    }
}

fn missing(account: &str, prefix: &str) -> Fault {
    let message = format!(
        "The pull through cache rule with the ECR repository prefix '{prefix}' does not exist in the registry with id \
         '{account}'"
    );
    fault::of(&def::PULL_THROUGH_CACHE_RULE_NOT_FOUND_EXCEPTION, message)
}

fn find<'a>(state: &'a State, account: &str, prefix: &str) -> Result<&'a Arc<CacheRule>, Fault> {
    state.cache_rules.get(&key(account, prefix)).ok_or_else(|| missing(account, prefix))
}

/// The rule that a request to validate it is about.
pub fn asked(state: &State, account: &AccountId, prefix: &str) -> Option<api::PullThroughCacheRule> {
    let row = state.cache_rules.get(&key(account.as_str(), prefix.trim_end_matches('/')))?;
    Some(row.rule.clone())
}

pub fn create(
    context: &mut Context<'_>,
    request: api::CreatePullThroughCacheRuleRequest,
) -> Result<api::CreatePullThroughCacheRuleResponse, Fault> {
    let account = own(context, request.registry_id.as_deref())?;
    let prefix = named(request.ecr_repository_prefix);
    let host = request.upstream_registry_url.unwrap_or_default();
    let has_credentials = request.credential_arn.is_some();
    let found = upstream::asked(context.settings, &host, request.upstream_registry, has_credentials)?;
    let upstream_prefix =
        request.upstream_repository_prefix.map_or_else(|| ROOT.to_owned(), |given| named(Some(given)));
    if prefix == ROOT && upstream_prefix != ROOT {
        let words = "must be ROOT where ecrRepositoryPrefix is";
        return Err(fault::parameter("upstreamRepositoryPrefix", words));
    }
    check(context, request.credential_arn.as_deref(), request.custom_role_arn.as_deref())?;
    let now = Some(context.now);
    let rule = api::PullThroughCacheRule {
        ecr_repository_prefix: Some(prefix.clone()),
        upstream_registry_url: Some(host),
        created_at: now,
        updated_at: now,
        registry_id: Some(account.clone()),
        credential_arn: request.credential_arn,
        custom_role_arn: None,
        upstream_repository_prefix: Some(upstream_prefix),
        upstream_registry: found.kind,
    };
    let row = CacheRule { account, prefix, rule };
    context.transact(|state, changes, _| {
        if state.cache_rules.contains(&row.key()) {
            let message = format!(
                "A pull through cache rule with the ECR repository prefix '{}' already exists in the registry with id '{}'",
                row.prefix, row.account
            );
            return Err(fault::of(&def::PULL_THROUGH_CACHE_RULE_ALREADY_EXISTS_EXCEPTION, message));
        }
        if state.cache_rules.scan(&key(&row.account, "")).count() >= MOST_RULES {
            return Err(fault::limit(format!("A registry may have {MOST_RULES} pull through cache rules.")));
        }
        changes.push(row.clone().into());
        Ok(())
    })?;
    let rule = row.rule;
    Ok(api::CreatePullThroughCacheRuleResponse {
        ecr_repository_prefix: rule.ecr_repository_prefix,
        upstream_registry_url: rule.upstream_registry_url,
        created_at: rule.created_at,
        registry_id: rule.registry_id,
        upstream_registry: rule.upstream_registry,
        credential_arn: rule.credential_arn,
        custom_role_arn: None,
        upstream_repository_prefix: rule.upstream_repository_prefix,
    })
}

/// Whether what a rule is to sign in with can be used.
fn check(context: &mut Context<'_>, secret: Option<&str>, role: Option<&str>) -> Result<(), Fault> {
    if role.is_some_and(|role| !role.is_empty()) {
        return Err(fault::validation(
            "customRoleArn must not be given: no role can be assumed at an upstream registry here. Give credentialArn.",
        ));
    }
    secret.map_or(Ok(()), |arn| login::read(context, arn).map(drop))
}

pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribePullThroughCacheRulesRequest,
) -> Result<api::DescribePullThroughCacheRulesResponse, Fault> {
    let account = own(context, request.registry_id.as_deref())?;
    let wanted: Vec<String> =
        request.ecr_repository_prefixes.unwrap_or_default().into_iter().map(|given| named(Some(given))).collect();
    let parameters = wanted.join(" ");
    let list = List { operation: "DescribePullThroughCacheRules", filter: &parameters };
    let page = list.page(context, request.next_token.as_deref(), request.max_results)?;
    let state = context.read();
    for prefix in &wanted {
        find(&state, &account, prefix)?;
    }
    let prefix = key(&account, "");
    let rows = state.cache_rules.scan_after(&prefix, page.after());
    let rows = rows.filter(|(_, row)| wanted.is_empty() || wanted.contains(&row.prefix));
    let (rules, next_token) = list.take(context, &page, rows.map(|(key, row)| (key.to_string(), row.rule.clone())));
    Ok(api::DescribePullThroughCacheRulesResponse { pull_through_cache_rules: Some(rules), next_token })
}

pub fn update(
    context: &mut Context<'_>,
    request: api::UpdatePullThroughCacheRuleRequest,
) -> Result<api::UpdatePullThroughCacheRuleResponse, Fault> {
    let account = own(context, request.registry_id.as_deref())?;
    let prefix = named(request.ecr_repository_prefix);
    find(&context.read(), &account, &prefix)?;
    check(context, request.credential_arn.as_deref(), request.custom_role_arn.as_deref())?;
    let now = Some(context.now);
    let rule = context.transact(|state, changes, _| {
        let mut row = CacheRule::clone(find(state, &account, &prefix)?);
        if request.credential_arn.is_some() {
            row.rule.credential_arn = request.credential_arn.clone();
        }
        row.rule.updated_at = now;
        changes.push(row.clone().into());
        Ok::<_, Fault>(row.rule)
    })?;
    Ok(api::UpdatePullThroughCacheRuleResponse {
        ecr_repository_prefix: rule.ecr_repository_prefix,
        registry_id: rule.registry_id,
        updated_at: rule.updated_at,
        credential_arn: rule.credential_arn,
        custom_role_arn: None,
        upstream_repository_prefix: rule.upstream_repository_prefix,
    })
}

/// What was fetched stays.
pub fn delete(
    context: &mut Context<'_>,
    request: api::DeletePullThroughCacheRuleRequest,
) -> Result<api::DeletePullThroughCacheRuleResponse, Fault> {
    let account = own(context, request.registry_id.as_deref())?;
    let prefix = named(request.ecr_repository_prefix);
    let rule = context.transact(|state, changes, _| {
        let found = find(state, &account, &prefix)?;
        changes.push(Change::Delete(TableName::CacheRule, found.key()));
        Ok::<_, Fault>(found.rule.clone())
    })?;
    Ok(api::DeletePullThroughCacheRuleResponse {
        ecr_repository_prefix: rule.ecr_repository_prefix,
        upstream_registry_url: rule.upstream_registry_url,
        created_at: rule.created_at,
        registry_id: rule.registry_id,
        credential_arn: rule.credential_arn,
        custom_role_arn: None,
        upstream_repository_prefix: rule.upstream_repository_prefix,
    })
}

pub fn validate(
    context: &mut Context<'_>,
    request: api::ValidatePullThroughCacheRuleRequest,
) -> Result<api::ValidatePullThroughCacheRuleResponse, Fault> {
    let account = own(context, request.registry_id.as_deref())?;
    let prefix = named(request.ecr_repository_prefix);
    let rule = find(&context.read(), &account, &prefix)?.rule.clone();
    let tried = context.tried.take().filter(|tried| tried.rule == rule);
    let tried = tried.ok_or_else(|| fault::of(&def::SERVER_EXCEPTION, "The rule was changed meanwhile. Try again."))?;
    Ok(api::ValidatePullThroughCacheRuleResponse {
        ecr_repository_prefix: rule.ecr_repository_prefix,
        registry_id: rule.registry_id,
        upstream_registry_url: rule.upstream_registry_url,
        credential_arn: rule.credential_arn,
        custom_role_arn: None,
        upstream_repository_prefix: rule.upstream_repository_prefix,
        is_valid: Some(tried.failure.is_none()),
        failure: tried.failure,
    })
}
