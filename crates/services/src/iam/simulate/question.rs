//! What is asked of the policies, and a page of answers.

use longshore_api::iam as api;
use longshore_api::iam::{PolicyEvaluationDecisionType as Decided, PolicySourceType as Type};
use longshore_model::iam::key;
use longshore_model::policy::{
    Context as Conditions, Decision, Explanation, Kind as PolicyKind, Matched, Place, Policies, Principal, Reason,
    Request, ResourceRule, explain,
};
use longshore_model::{AccountId, Arn};
use longshore_wire::{Fault, TimestampFormat};

use super::subject::{Source, Subject, caller_of};
use crate::Context;
use crate::ecs::page::{Scope, decode, encode};
use crate::iam::fault;

/// Results on a page where the caller does not say.
const USUAL: usize = 100;

/// Bytes of policies that are read for one page, each as often as it is judged; the first result is given whatever it takes.
const MOST_READ: usize = 1024 * 1024;

/// The parameters that both simulations have.
pub struct Question {
    pub operation: &'static str,
    /// Everything but the page, in any stable form.
    pub filter: String,
    pub actions: Vec<String>,
    pub resources: Vec<String>,
    pub resource_policy: Option<String>,
    pub resource_owner: Option<String>,
    pub caller: Option<String>,
    pub entries: Vec<api::ContextEntry>,
    pub scenario: Option<String>,
    pub max_items: Option<i32>,
    pub marker: Option<String>,
}

/// A question whose parameters are sound.
struct Bench {
    subject: Subject,
    resource_policy: Option<Source>,
    principal: Principal,
    conditions: Conditions,
    /// Of resources that name none.
    owner: AccountId,
}

impl Question {
    /// # Errors
    /// `InvalidInput`
    pub fn answer(self, context: &mut Context<'_>, subject: Subject) -> Result<api::SimulatePolicyResponse, Fault> {
        self.check()?;
        let account = context.account().to_string();
        let scope = Scope { account: &account, operation: self.operation, filter: &self.filter };
        let first = self.first(context, scope)?;
        let key = context.settings.page_key;
        let bench = self.bench(context, subject)?;
        let all = self.actions.len() * self.resources.len().max(1);
        let limit = self.max_items.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(USUAL);
        let fitting = (MOST_READ / bench.size().max(1)).max(1);
        let end = all.min(first.saturating_add(limit.min(fitting)));
        let results = (first..end).map(|at| self.result(&bench, at)).collect();
        let marker = (end < all).then(|| encode(&key, scope, &end.to_string()));
        Ok(api::SimulatePolicyResponse {
            evaluation_results: Some(results),
            is_truncated: Some(marker.is_some()),
            marker,
        })
    }

    fn check(&self) -> Result<(), Fault> {
        if let Some(scenario) = &self.scenario {
            return Err(fault::invalid(format!("ResourceHandlingOption: {scenario:.64} is not simulated here")));
        }
        if let Some(action) = self.actions.iter().find(|action| !is_action(action)) {
            return Err(fault::invalid(format!("Invalid Entity Action: {action}")));
        }
        if let Some(arn) = self.resources.iter().find(|arn| *arn != "*" && Arn::parse_any(arn).is_none()) {
            return Err(fault::invalid(format!("Invalid Entity Arn: {arn}")));
        }
        Ok(())
    }

    /// The number of the page's first result.
    fn first(&self, context: &Context<'_>, scope: Scope<'_>) -> Result<usize, Fault> {
        let Some(marker) = &self.marker else { return Ok(0) };
        let position = decode(&context.settings.page_key, scope, marker).and_then(|at| at.parse().ok());
        position.ok_or_else(|| fault::invalid(format!("Invalid Marker: {marker}")))
    }

    fn bench(&self, context: &mut Context<'_>, subject: Subject) -> Result<Bench, Fault> {
        let account = context.account().clone();
        let given = |text: &String| Source::given("ResourcePolicy", Type::Resource, PolicyKind::Resource, text);
        let resource_policy = self.resource_policy.as_ref().map(given).transpose()?;
        let (named, mut conditions) = match &self.caller {
            Some(arn) => caller(context, arn).map(|(principal, conditions)| (Some(principal), conditions))?,
            None => (subject.principal.clone(), subject.conditions.clone()),
        };
        let user = matches!(named, Some(Principal::User { .. }));
        if resource_policy.is_some() && !user {
            return Err(fault::invalid("CallerArn is required when a ResourcePolicy is given"));
        }
        let nobody = || Principal::User { account: account.clone(), arn: String::new() };
        let principal = named.unwrap_or_else(nobody);
        conditions.set("aws:CurrentTime", [context.now.format(TimestampFormat::Iso8601)]);
        conditions.set("aws:EpochTime", [(context.now.millis() / 1000).to_string()]);
        add(&mut conditions, &self.entries)?;
        let owner = match &self.resource_owner {
            Some(owner) => owner_of(owner)?,
            None => principal.account().unwrap_or(&account).clone(),
        };
        Ok(Bench { subject, resource_policy, principal, conditions, owner })
    }

    /// One action on one resource.
    fn result(&self, bench: &Bench, at: usize) -> api::EvaluationResult {
        let resources = self.resources.len().max(1);
        let action = &self.actions[at / resources];
        let resource = self.resources.get(at % resources).map_or("*", String::as_str);
        let explained = bench.explain(action, resource);
        let decision = decided(explained.decision);
        let matched: Vec<api::Statement> =
            explained.matched.iter().filter_map(|matched| bench.statement(*matched)).collect();
        let bounded = explained
            .bounded
            .map(|allowed| api::PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(allowed) });
        // Of a resource that is named, its own result says what is missing.
        let (missing, specific) = match resource {
            "*" => (explained.missing, None),
            _ => (Vec::new(), Some(explained.missing)),
        };
        let specific = specific.map(|missing| api::ResourceSpecificResult {
            eval_resource_name: Some(resource.to_owned()),
            eval_resource_decision: Some(decision),
            matched_statements: Some(matched.clone()),
            missing_context_values: Some(missing),
            eval_decision_details: None,
            permissions_boundary_decision_detail: bounded.clone(),
        });
        api::EvaluationResult {
            eval_action_name: Some(action.clone()),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: Some(decision),
            matched_statements: Some(matched),
            missing_context_values: Some(missing),
            permissions_boundary_decision_detail: bounded,
            resource_specific_results: specific.map(|specific| vec![specific]),
            ..api::EvaluationResult::default()
        }
    }
}

impl Bench {
    fn explain(&self, action: &str, resource: &str) -> Explanation {
        let named = Arn::parse_any(resource).and_then(|arn| AccountId::parse(arn.account));
        let owner = named.unwrap_or_else(|| self.owner.clone());
        let request =
            Request { principal: &self.principal, action, resource, owner: &owner, context: &self.conditions };
        let small = action.to_ascii_lowercase();
        let required = self.resource_policy.is_some() && (small.starts_with("kms:") || small == "sts:assumerole");
        let policies = Policies {
            identity: self.subject.identity.iter().map(|source| source.policy.as_ref()).collect(),
            boundary: self.subject.boundary.as_ref().map(|source| source.policy.as_ref()),
            session: None,
            resource: self.resource_policy.iter().map(|source| source.policy.as_ref()).collect(),
            rule: if required { ResourceRule::Required } else { ResourceRule::Suffices },
        };
        explain(&request, &policies)
    }

    fn statement(&self, matched: Matched) -> Option<api::Statement> {
        let source = match matched.place {
            Place::Identity => self.subject.identity.get(matched.policy),
            Place::Boundary => self.subject.boundary.as_ref(),
            Place::Resource => self.resource_policy.as_ref(),
            Place::Session => None,
        }?;
        let span = source.spans.get(matched.statement)?;
        let position = |at: longshore_model::policy::Position| api::Position {
            line: i32::try_from(at.line).ok(),
            column: i32::try_from(at.column).ok(),
        };
        Some(api::Statement {
            source_policy_id: Some(source.id.clone()),
            source_policy_type: Some(source.kind),
            start_position: Some(position(span.start)),
            end_position: Some(position(span.end)),
        })
    }

    /// Bytes of all its policies.
    fn size(&self) -> usize {
        let sources = self.subject.identity.iter().chain(&self.subject.boundary).chain(&self.resource_policy);
        sources.map(|source| source.policy.source().len()).sum()
    }
}

fn decided(decision: Decision) -> Decided {
    match decision {
        Decision::Allow => Decided::Allowed,
        Decision::Deny(Reason::Explicit(_)) => Decided::ExplicitDeny,
        Decision::Deny(_) => Decided::ImplicitDeny,
    }
}

/// `service:Operation`, no wildcards.
fn is_action(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
    };
    text.split_once(':').is_some_and(|(service, operation)| plain(service) && plain(operation))
}

/// The user that is to be thought of as the caller; one that there is comes with its tags.
///
/// # Errors
/// `InvalidInput` for anything but a user's ARN.
fn caller(context: &mut Context<'_>, arn: &str) -> Result<(Principal, Conditions), Fault> {
    let invalid = || fault::invalid(format!("CallerArn: {arn} is not the ARN of an IAM user"));
    let parsed = Arn::parse(arn).filter(|parsed| parsed.service == "iam").ok_or_else(invalid)?;
    let account = AccountId::parse(parsed.account).ok_or_else(invalid)?;
    let path = parsed.resource.strip_prefix("user/").filter(|path| !path.is_empty()).ok_or_else(invalid)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    let known = context.read().users.get(&key(&account, name)).cloned();
    let known = known.filter(|user| account == *context.account() && user.arn() == arn);
    Ok(match known {
        Some(user) => {
            let caller = caller_of(&account, &user);
            (caller.principal(), caller.context())
        }
        None => {
            let principal = Principal::User { account, arn: arn.to_owned() };
            let conditions = principal.context();
            (principal, conditions)
        }
    })
}

/// # Errors
/// `InvalidInput` for what is neither an account nor its ARN.
fn owner_of(text: &str) -> Result<AccountId, Fault> {
    let of_arn = || Arn::parse(text).filter(|arn| arn.resource == "root").and_then(|arn| AccountId::parse(arn.account));
    let account = AccountId::parse(text).or_else(of_arn);
    account.ok_or_else(|| fault::invalid(format!("ResourceOwner: {text:.200} is not an account")))
}

/// # Errors
/// `InvalidInput` for a key without a service, and for several values where the type is that of one.
fn add(conditions: &mut Conditions, entries: &[api::ContextEntry]) -> Result<(), Fault> {
    for entry in entries {
        let name = entry.context_key_name.as_deref().unwrap_or_default();
        let values = entry.context_key_values.as_deref().unwrap_or_default();
        let list = entry.context_key_type.is_none_or(|kind| kind.as_str().ends_with("List"));
        if !name.contains(':') || (!list && values.len() > 1) {
            return Err(fault::invalid(format!("ContextEntries: {name} is no key, or has more values than its type")));
        }
        conditions.set(name, values.iter().map(String::as_str));
    }
    Ok(())
}
