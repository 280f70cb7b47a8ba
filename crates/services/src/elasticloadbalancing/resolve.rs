//! What an ARN names.

use std::sync::Arc;

use longshore_model::balancer::{self, Listener, LoadBalancer, Rule, TargetGroup};
use longshore_model::{Arn, Place, State};
use longshore_wire::Fault;

use super::fault;

/// A balancer, group, listener or rule that is there.
#[derive(Clone, Debug)]
pub enum Named {
    LoadBalancer(Arc<LoadBalancer>),
    TargetGroup(Arc<TargetGroup>),
    Listener(Arc<Listener>),
    /// With its place among the listener's rules; none of the default rule.
    Rule(Arc<Listener>, Option<usize>),
}

/// The kinds of resources, as ARNs spell them.
const KINDS: [(&str, &str); 4] = [
    ("loadbalancer", "load balancer"),
    ("targetgroup", "target group"),
    ("listener", "listener"),
    ("listener-rule", "listener rule"),
];

impl Named {
    /// Whatever an ARN names.
    ///
    /// # Errors
    /// `ValidationError` for what is no ARN of this service; the kind's own if there is nothing.
    pub fn find(state: &State, place: &Place, arn: &str) -> Result<Self, Fault> {
        let malformed = || fault::invalid(format!("'{arn}' is not a valid load balancer resource ARN"));
        let resource = Arn::parse_any(arn).filter(|arn| arn.service == "elasticloadbalancing").ok_or_else(malformed)?;
        match resource.resource.split('/').next() {
            Some("loadbalancer") => balancer(state, place, arn).map(Self::LoadBalancer),
            Some("targetgroup") => group(state, place, arn).map(Self::TargetGroup),
            Some("listener") => listener(state, place, arn).map(|(_, row)| Self::Listener(row)),
            Some("listener-rule") => rule(state, place, arn).map(|(_, row, at)| Self::Rule(row, at)),
            _ => Err(malformed()),
        }
    }

    /// The tags it has.
    pub fn tags(&self) -> &balancer::Map {
        match self {
            Self::LoadBalancer(row) => &row.tags,
            Self::TargetGroup(row) => &row.tags,
            Self::Listener(row) => &row.tags,
            Self::Rule(row, at) => match at.and_then(|at| row.rules.get(at)) {
                Some(Rule { tags, .. }) => tags,
                None => &row.default_rule_tags,
            },
        }
    }
}

/// The parts behind the kind, if this is an ARN of it with that many; nothing if it is of another place.
fn parts<'a>(place: &Place, arn: &'a str, kind: usize, count: usize) -> Result<Option<Vec<&'a str>>, Fault> {
    let (word, called) = KINDS[kind];
    let malformed = || fault::invalid(format!("'{arn}' is not a valid {called} ARN"));
    let named = Arn::parse_any(arn).filter(|arn| arn.service == "elasticloadbalancing").ok_or_else(malformed)?;
    let inner = named.resource.strip_prefix(word).and_then(|rest| rest.strip_prefix('/')).ok_or_else(malformed)?;
    if inner.split('/').count() != count {
        return Err(malformed());
    }
    Ok(Arn::local(arn, place, "elasticloadbalancing", word))
}

/// The balancer of the first three parts of an ARN.
fn of_parts(state: &State, place: &Place, parts: &[&str]) -> Option<Arc<LoadBalancer>> {
    let [_, name, id, ..] = parts else { return None };
    let found = state.load_balancers.get(&balancer::key(&place.account, name))?;
    let same = found.id == *id && found.arn(place).ends_with(&format!("/{}", parts[..3].join("/")));
    same.then(|| found.clone())
}

/// # Errors
/// `ValidationError` for another ARN; `LoadBalancerNotFound`.
pub fn balancer(state: &State, place: &Place, arn: &str) -> Result<Arc<LoadBalancer>, Fault> {
    let parts = parts(place, arn, 0, 3)?;
    let found = parts.and_then(|parts| of_parts(state, place, &parts));
    found.ok_or_else(|| fault::balancer_not_found(format!("Load balancer '{arn}' not found")))
}

/// # Errors
/// `ValidationError` for another ARN; `TargetGroupNotFound`.
pub fn group(state: &State, place: &Place, arn: &str) -> Result<Arc<TargetGroup>, Fault> {
    let found = parts(place, arn, 1, 2)?.and_then(|parts| {
        let row = state.target_groups.get(&balancer::key(&place.account, parts[0]))?;
        (row.id == parts[1]).then(|| row.clone())
    });
    found.ok_or_else(|| fault::group_not_found(format!("Target group '{arn}' not found")))
}

/// # Errors
/// `ValidationError` for another ARN; `ListenerNotFound`.
pub fn listener(state: &State, place: &Place, arn: &str) -> Result<(Arc<LoadBalancer>, Arc<Listener>), Fault> {
    let found = parts(place, arn, 2, 4)?.and_then(|parts| listener_of(state, place, &parts));
    found.ok_or_else(|| fault::listener_not_found("One or more listeners not found"))
}

fn listener_of(state: &State, place: &Place, parts: &[&str]) -> Option<(Arc<LoadBalancer>, Arc<Listener>)> {
    let balancer = of_parts(state, place, parts)?;
    let row = state.listeners.get(&balancer::listener_key(&balancer.account, &balancer.name, parts.get(3)?))?;
    Some((balancer, row.clone()))
}

/// A rule by its listener and its place among the listener's rules; none of the default rule.
pub type FoundRule = (Arc<LoadBalancer>, Arc<Listener>, Option<usize>);

/// # Errors
/// `ValidationError` for another ARN; `RuleNotFound`.
pub fn rule(state: &State, place: &Place, arn: &str) -> Result<FoundRule, Fault> {
    let found = parts(place, arn, 3, 5)?.and_then(|parts| {
        let (balancer, row) = listener_of(state, place, &parts)?;
        let id = parts[4];
        let at = row.rules.iter().position(|rule| rule.id == id);
        (at.is_some() || row.default_rule == id).then_some((balancer, row, at))
    });
    found.ok_or_else(|| fault::rule_not_found("One or more rules not found"))
}
