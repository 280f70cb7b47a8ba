//! Rules of listeners.

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{Listener, LoadBalancer, MOST_RULES, Rule};
use longshore_model::{Change, Place, State};
use longshore_wire::Fault;

use super::action::{self, At};
use super::resolve::FoundRule;
use super::{condition, fault, form, listener, page, resolve, tag};
use crate::Context;

/// # Errors
/// `ListenerNotFound`, `ValidationError`, `PriorityInUse`, `TooManyRules`, `UnsupportedProtocol` for a listener of a network
/// balancer, those of [`condition::read`], [`action::read`], [`action::within`] and [`tag::made`].
pub fn create(context: &mut Context<'_>, request: api::CreateRuleInput) -> Result<api::CreateRuleOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    no_transforms(request.transforms)?;
    let tags = tag::made(request.tags)?;
    let conditions = condition::read(request.conditions.unwrap_or_default())?;
    let (actions, priority) = (request.actions.unwrap_or_default(), request.priority.unwrap_or_default());
    let shown = context.transact(|state, changes, mint| {
        let (balancer, known) = resolve::listener(state, &place, &arn)?;
        if !balancer.is_application() {
            let message = format!("Rules are not supported for listeners with protocol '{}'", known.protocol);
            return Err(fault::protocol(message));
        }
        let free = known.rules.binary_search_by_key(&priority, |rule| rule.priority).err();
        let at = free.ok_or_else(|| fault::priority(format!("Priority '{priority}' is currently in use")))?;
        let all: usize = listener::of(state, &balancer).iter().map(|row| row.rules.len()).sum();
        if all >= MOST_RULES {
            let message = format!("The limit of '{MOST_RULES}' rules of a load balancer is reached");
            return Err(fault::too_many_rules(message));
        }
        let asked = At { state, place: &place, balancer: &balancer, protocol: known.protocol };
        let actions = action::read(asked, actions)?;
        action::within(asked, &actions)?;
        let mut row = Listener::clone(&known);
        row.rules.insert(at, Rule { id: form::id(mint), priority, conditions, actions, tags });
        let shown = shown(&place, &balancer, &row, Some(at));
        changes.push(row.into());
        Ok(shown)
    })?;
    Ok(api::CreateRuleOutput { rules: Some(vec![shown]) })
}

fn no_transforms(asked: Option<Vec<api::RuleTransform>>) -> Result<(), Fault> {
    match asked.unwrap_or_default().is_empty() {
        true => Ok(()),
        false => Err(fault::not_built("transforms of rules")),
    }
}

/// In the order in which they are tried, the default rule last.
///
/// # Errors
/// `ListenerNotFound`, `RuleNotFound`, `ValidationError`.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeRulesInput,
) -> Result<api::DescribeRulesOutput, Fault> {
    let place = context.place.clone();
    let arns = request.rule_arns.unwrap_or_default();
    let rows = rows(&context.read(), &place, request.listener_arn.as_deref(), &arns)?;
    let filter = format!("{:?} {arns:?}", request.listener_arn);
    let asked = page::Asked {
        operation: "DescribeRules",
        filter: &filter,
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    let rules = rows.iter().map(|(balancer, row, at)| shown(&place, balancer, row, *at)).collect();
    Ok(api::DescribeRulesOutput { rules: Some(rules), next_marker })
}

/// Those of a listener, or with these ARNs.
fn rows(
    state: &State,
    place: &Place,
    listener: Option<&str>,
    arns: &[String],
) -> Result<Vec<(String, FoundRule)>, Fault> {
    let found: Vec<FoundRule> = match (listener, arns.is_empty()) {
        (Some(arn), true) => {
            let (balancer, row) = resolve::listener(state, place, arn)?;
            let places = (0..row.rules.len()).map(Some).chain([None]);
            places.map(|at| (balancer.clone(), row.clone(), at)).collect()
        }
        (None, false) => arns.iter().map(|arn| resolve::rule(state, place, arn)).collect::<Result<_, _>>()?,
        _ => return Err(fault::invalid("You must specify either listener rule ARNs or a listener ARN")),
    };
    let mut rows: Vec<(String, FoundRule)> = found.into_iter().map(|found| (position(&found), found)).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| one.0 == other.0);
    Ok(rows)
}

/// Text in the order of listeners and priorities.
fn position((_, row, at): &FoundRule) -> String {
    let rule = at.and_then(|at| row.rules.get(at));
    let priority = rule.map_or("default".to_owned(), |rule| format!("{:05}", rule.priority));
    format!("{}/{priority}", row.key())
}

/// # Errors
/// `RuleNotFound`, `OperationNotPermitted` for a default rule, and as [`create`].
pub fn modify(context: &mut Context<'_>, request: api::ModifyRuleInput) -> Result<api::ModifyRuleOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.rule_arn.unwrap_or_default());
    no_transforms(request.transforms)?;
    let conditions = request.conditions.map(condition::read).transpose()?;
    let shown = context.transact(|state, changes, _| {
        let (balancer, known, at) = resolve::rule(state, &place, &arn)?;
        let place_of = at.ok_or_else(|| permitted(&arn, "modified"))?;
        let mut row = Listener::clone(&known);
        let asked = At { state, place: &place, balancer: &balancer, protocol: known.protocol };
        let rule = &mut row.rules[place_of];
        rule.conditions = conditions.unwrap_or(std::mem::take(&mut rule.conditions));
        if let Some(actions) = request.actions {
            rule.actions = action::read(asked, actions)?;
            action::within(asked, &rule.actions)?;
        }
        let shown = shown(&place, &balancer, &row, at);
        changes.push(row.into());
        Ok::<_, Fault>(shown)
    })?;
    Ok(api::ModifyRuleOutput { rules: Some(vec![shown]) })
}

fn permitted(arn: &str, done: &str) -> Fault {
    fault::not_permitted(format!("Default rule '{arn}' cannot be {done}"))
}

/// # Errors
/// `RuleNotFound`, `OperationNotPermitted` for a default rule, `ValidationError`.
pub fn delete(context: &mut Context<'_>, request: api::DeleteRuleInput) -> Result<api::DeleteRuleOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.rule_arn.unwrap_or_default());
    context.transact(|state, changes, _| {
        let (_, known, at) = resolve::rule(state, &place, &arn)?;
        let at = at.ok_or_else(|| permitted(&arn, "deleted"))?;
        let mut row = Listener::clone(&known);
        row.rules.remove(at);
        changes.push(row.into());
        Ok::<_, Fault>(())
    })?;
    Ok(api::DeleteRuleOutput {})
}

/// All or none. Rules may change places.
///
/// # Errors
/// `RuleNotFound`, `PriorityInUse`, `OperationNotPermitted` for a default rule, `ValidationError`.
pub fn set_priorities(
    context: &mut Context<'_>,
    request: api::SetRulePrioritiesInput,
) -> Result<api::SetRulePrioritiesOutput, Fault> {
    let place = context.place.clone();
    let pairs = request.rule_priorities.unwrap_or_default();
    if pairs.is_empty() || pairs.len() > MOST_RULES {
        return Err(fault::invalid(format!("Between '1' and '{MOST_RULES}' rule priorities must be specified")));
    }
    let rules = context.transact(|state, changes, _| {
        let (mut rows, mut moved) = (Vec::<Listener>::new(), Vec::new());
        for pair in &pairs {
            moved.push(prioritise(state, &place, pair, &mut rows)?);
        }
        for row in &mut rows {
            row.rules.sort_by_key(|rule| rule.priority);
            let twice = row.rules.windows(2).find(|pair| pair[0].priority == pair[1].priority);
            if let Some(pair) = twice {
                return Err(fault::priority(format!("Priority '{}' is currently in use", pair[0].priority)));
            }
        }
        let shown = moved.iter().filter_map(|(balancer, key, id)| {
            let row = rows.iter().find(|row| row.key() == *key)?;
            let at = row.rules.iter().position(|rule| rule.id == *id)?;
            Some(shown(&place, balancer, row, Some(at)))
        });
        let shown: Vec<api::Rule> = shown.collect();
        changes.extend(rows.into_iter().map(Change::from));
        Ok(shown)
    })?;
    Ok(api::SetRulePrioritiesOutput { rules: Some(rules) })
}

/// A rule that got its priority: its balancer, its listener's key, its id.
type Moved = (std::sync::Arc<LoadBalancer>, String, String);

/// Gives one rule its priority, in the copy of its listener among `rows`.
fn prioritise(
    state: &State,
    place: &Place,
    pair: &api::RulePriorityPair,
    rows: &mut Vec<Listener>,
) -> Result<Moved, Fault> {
    let arn = pair.rule_arn.as_deref().ok_or_else(|| fault::invalid("A rule ARN must be specified"))?;
    let priority = pair.priority.ok_or_else(|| fault::invalid("A priority must be specified"))?;
    let (balancer, known, at) = resolve::rule(state, place, arn)?;
    let at = at.ok_or_else(|| permitted(arn, "given a priority"))?;
    let (key, id) = (known.key(), known.rules[at].id.clone());
    if !rows.iter().any(|row| row.key() == key) {
        rows.push(Listener::clone(&known));
    }
    for row in rows.iter_mut().filter(|row| row.key() == key) {
        row.rules.iter_mut().filter(|rule| rule.id == id).for_each(|rule| rule.priority = priority);
    }
    Ok((balancer, key, id))
}

/// The rule at a place of its listener, or the default rule.
fn shown(place: &Place, balancer: &LoadBalancer, row: &Listener, at: Option<usize>) -> api::Rule {
    match at.and_then(|at| row.rules.get(at)) {
        Some(rule) => api::Rule {
            rule_arn: Some(balancer.rule_arn(place, &row.id, &rule.id)),
            priority: Some(rule.priority.to_string()),
            conditions: Some(rule.conditions.clone()),
            actions: Some(rule.actions.clone()),
            is_default: Some(false),
            transforms: None,
        },
        None => api::Rule {
            rule_arn: Some(balancer.rule_arn(place, &row.id, &row.default_rule)),
            priority: Some("default".to_owned()),
            conditions: Some(Vec::new()),
            actions: Some(row.actions.clone()),
            is_default: Some(true),
            transforms: None,
        },
    }
}
