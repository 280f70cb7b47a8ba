//! Statements, and whether one applies to a request.

use super::action::ActionPattern;
use super::arn::{ArnPattern, Cut};
use super::condition::{Condition, Held};
use super::context::Context;
use super::glob::Text;
use super::pattern::Match;
use super::principal::{Grant, Named, Principal, grant, spares};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

/// An element and its `Not…` form.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Element<T> {
    Of(Vec<T>),
    Except(Vec<T>),
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub sid: Option<String>,
    pub effect: Effect,
    /// `None` in policies of identities: whoever has the policy is meant.
    pub(super) principals: Option<Element<Named>>,
    pub(super) actions: Element<ActionPattern>,
    /// `None` in policies of resources and roles: the one that has the policy is meant.
    pub(super) resources: Option<Element<ArnPattern>>,
    pub(super) conditions: Vec<Condition>,
}

/// A request, made ready to be compared with many statements.
pub(super) struct Asked<'a> {
    pub principal: &'a Principal,
    /// Whether the principal has a permissions boundary.
    pub bounded: bool,
    /// In lower case.
    pub action: Text<'a>,
    pub resource: Cut<'a>,
    pub context: &'a Context,
}

impl Statement {
    /// How directly the statement names who asks, or [`Grant::Nothing`] if it does not apply.
    pub(super) fn applies(&self, asked: &Asked<'_>) -> Grant {
        if !self.is_of_action(asked) {
            return Grant::Nothing;
        }
        let granted = self.names(asked);
        if granted == Grant::Nothing || !self.is_of_resource(asked) || !self.holds(asked.context) {
            return Grant::Nothing;
        }
        granted
    }

    /// The keys that its conditions and variables ask for and a request that it is about lacks.
    pub(super) fn missing(&self, asked: &Asked<'_>) -> Vec<&str> {
        match self.is_of_action(asked) && self.names(asked) > Grant::Nothing && self.may_be_of_resource(asked) {
            true => self.context_keys().into_iter().filter(|key| asked.context.get(key).is_none()).collect(),
            false => Vec::new(),
        }
    }

    /// As [`Self::is_of_resource`], but true also if that cannot be said for want of a variable's value.
    fn may_be_of_resource(&self, asked: &Asked<'_>) -> bool {
        match &self.resources {
            Some(Element::Of(list)) => list.iter().any(|one| one.matches(asked.resource, asked.context) != Match::No),
            _ => self.is_of_resource(asked),
        }
    }

    fn is_of_action(&self, asked: &Asked<'_>) -> bool {
        let any = |list: &[ActionPattern]| list.iter().any(|one| one.matches(asked.action));
        match &self.actions {
            Element::Of(list) => any(list),
            Element::Except(list) => !any(list),
        }
    }

    fn names(&self, asked: &Asked<'_>) -> Grant {
        match &self.principals {
            None => Grant::Direct,
            Some(Element::Of(named)) => grant(named, asked.principal),
            Some(Element::Except(named)) => {
                let bounded = asked.bounded && self.effect == Effect::Deny;
                if spares(named, asked.principal, bounded) { Grant::Nothing } else { Grant::Limited }
            }
        }
    }

    fn is_of_resource(&self, asked: &Asked<'_>) -> bool {
        let any = |list: &[ArnPattern]| {
            let mut outcome = Match::No;
            for pattern in list {
                match pattern.matches(asked.resource, asked.context) {
                    Match::Yes => return Match::Yes,
                    Match::No => {}
                    Match::Undefined => outcome = Match::Undefined,
                }
            }
            outcome
        };
        match &self.resources {
            None => true,
            Some(Element::Of(list)) => any(list) == Match::Yes,
            Some(Element::Except(list)) => match any(list) {
                Match::Yes => false,
                Match::No => true,
                Match::Undefined => self.effect == Effect::Deny,
            },
        }
    }

    fn holds(&self, context: &Context) -> bool {
        let mut held = Held::Yes;
        for condition in &self.conditions {
            held = held.and(condition.held(context));
            if held == Held::No {
                return false;
            }
        }
        held == Held::Yes || self.effect == Effect::Deny
    }

    pub(super) fn context_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.conditions.iter().flat_map(Condition::keys).collect();
        if let Some(Element::Of(list) | Element::Except(list)) = &self.resources {
            keys.extend(list.iter().flat_map(ArnPattern::keys));
        }
        keys
    }
}
