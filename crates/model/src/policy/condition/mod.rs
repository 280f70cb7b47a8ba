//! Conditions: every one of a statement must hold, each key's values in a policy are alternatives.
//!
//! A missing key fails an operator, unless the operator is negated, ends in `IfExists` or begins with `ForAllValues`. A
//! value of the request that is not of the operator's type equals nothing; whether it *differs* cannot be said, nor can it
//! be said of a variable without a value, nor of several values under an operator without `For…`. What cannot be said is
//! [`Held::Unclear`]: then a statement that allows does not apply and one that denies does.

mod operator;

use std::net::IpAddr;

use super::Malformed;
use super::arn::{ArnPattern, Cut};
use super::context::{Context, Name};
use super::glob::Text;
use super::key::{KeyType, key_type};
use super::pattern::{Match, Pattern, Syntax};
use super::value::{Network, binary, date, flag, number};
use operator::{Operator, Order, Quantifier, Relation};

/// One key under one operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    operator: Operator,
    key: Name,
    wanted: Wanted,
}

/// The policy's values, of the operator's type.
#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Text(Vec<Pattern>, bool),
    Arn(Vec<ArnPattern>),
    Number(Vec<f64>, Order),
    Date(Vec<i64>, Order),
    Flag(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    Address(Vec<Network>),
    Null(Vec<bool>),
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    Unclear,
}

impl Held {
    /// Both must hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Held::No, _) | (_, Held::No) => Held::No,
            (Held::Unclear, _) | (_, Held::Unclear) => Held::Unclear,
            (Held::Yes, Held::Yes) => Held::Yes,
        }
    }

    /// One must hold.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Held::Yes, _) | (_, Held::Yes) => Held::Yes,
            (Held::Unclear, _) | (_, Held::Unclear) => Held::Unclear,
            (Held::No, Held::No) => Held::No,
        }
    }
}

impl Condition {
    /// # Errors
    /// If there is no such operator or key, the key is of another type, or a value is.
    pub(super) fn parse(operator: &str, key: &str, values: &[String], variables: bool) -> Result<Self, Malformed> {
        let parsed = Operator::parse(operator)
            .ok_or_else(|| Malformed::syntax(format!("invalid condition operator {operator:.100}")))?;
        if !key.contains(':') {
            return Err(Malformed::document(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        }
        let kind = key_type(key).ok_or_else(|| Malformed::syntax(format!("unknown condition key {key:.100}")))?;
        if !takes(parsed.relation, kind) {
            return Err(Malformed::syntax(format!("{operator:.100} does not go with the condition key {key:.100}")));
        }
        let wanted = Wanted::parse(parsed.relation, values, variables)?;
        Ok(Self { operator: parsed, key: Name::new(key), wanted })
    }

    pub(super) fn held(&self, context: &Context) -> Held {
        let values = context.values(&self.key);
        if let Wanted::Null(wanted) = &self.wanted {
            return yes(wanted.iter().any(|absent| *absent == values.is_none()));
        }
        let Some(values) = values else { return yes(self.holds_without()) };
        if values.len() > 1 && self.operator.quantifier == Quantifier::None {
            return Held::Unclear;
        }
        let each = values.iter().map(|value| self.satisfied(value, context));
        match self.operator.quantifier {
            Quantifier::All | Quantifier::None => each.fold(Held::Yes, Held::and),
            Quantifier::Any => each.fold(Held::No, Held::or),
        }
    }

    /// Whether it holds of a request that lacks the key.
    fn holds_without(&self) -> bool {
        match self.operator.quantifier {
            _ if self.operator.if_exists => true,
            Quantifier::All => true,
            Quantifier::Any => false,
            Quantifier::None => self.operator.negated,
        }
    }

    fn satisfied(&self, value: &str, context: &Context) -> Held {
        match (self.wanted.compare(value, context), self.operator.negated) {
            (Match::Yes, false) | (Match::No, true) => Held::Yes,
            (Match::Undefined, true) => Held::Unclear,
            (Match::Yes, true) | (Match::No | Match::Undefined, false) => Held::No,
        }
    }

    /// Its own key and those of its variables.
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut keys = vec![self.key.as_str()];
        match &self.wanted {
            Wanted::Text(patterns, _) => keys.extend(patterns.iter().flat_map(Pattern::keys)),
            Wanted::Arn(patterns) => keys.extend(patterns.iter().flat_map(ArnPattern::keys)),
            _ => {}
        }
        keys
    }
}

fn yes(holds: bool) -> Held {
    if holds { Held::Yes } else { Held::No }
}

/// Whether an operator may be used on keys of a type. Text operators may on all: what a key holds is text on the wire.
fn takes(relation: Relation, kind: KeyType) -> bool {
    match (relation, kind) {
        (_, KeyType::Text | KeyType::Unknown) | (Relation::Text { .. } | Relation::Null, _) => true,
        (Relation::Arn, kind) => kind == KeyType::Arn,
        (Relation::Number(_), kind) => matches!(kind, KeyType::Number | KeyType::Date),
        (Relation::Date(_), kind) => kind == KeyType::Date,
        (Relation::Bool, kind) => kind == KeyType::Bool,
        (Relation::Binary, kind) => kind == KeyType::Binary,
        (Relation::Address, kind) => kind == KeyType::Address,
    }
}

impl Wanted {
    fn parse(relation: Relation, values: &[String], variables: bool) -> Result<Self, Malformed> {
        Ok(match relation {
            Relation::Text { wildcards, fold } => {
                let syntax = Syntax { wildcards, variables, fold };
                Wanted::Text(values.iter().map(|text| Pattern::parse(text, syntax)).collect::<Result<_, _>>()?, fold)
            }
            Relation::Arn => {
                let patterns = values.iter().map(|text| ArnPattern::value(text, variables));
                Wanted::Arn(patterns.collect::<Result<_, _>>()?)
            }
            Relation::Number(order) => Wanted::Number(each(values, number, "a number")?, order),
            Relation::Date(order) => Wanted::Date(each(values, date, "a date")?, order),
            Relation::Bool => Wanted::Flag(each(values, flag, "true or false")?),
            Relation::Null => Wanted::Null(each(values, flag, "true or false")?),
            Relation::Binary => Wanted::Binary(each(values, binary, "base64")?),
            Relation::Address => Wanted::Address(each(values, Network::parse, "an address range")?),
        })
    }

    /// Whether the request's value is one of these. A value that is not of the type is [`Match::Undefined`].
    fn compare(&self, value: &str, context: &Context) -> Match {
        match self {
            Wanted::Text(patterns, true) => {
                let value = value.to_lowercase();
                any(patterns.iter().map(|pattern| pattern.matches(Text::new(&value), context)))
            }
            Wanted::Text(patterns, false) => {
                let value = Text::new(value);
                any(patterns.iter().map(|pattern| pattern.matches(value, context)))
            }
            Wanted::Arn(patterns) => {
                let cut = Cut::new(value);
                match any(patterns.iter().map(|pattern| pattern.matches(cut, context))) {
                    Match::No if !cut.is_arn() => Match::Undefined,
                    outcome => outcome,
                }
            }
            Wanted::Number(wanted, order) => among(number(value), wanted, |found, one| order.holds(*found, *one)),
            Wanted::Date(wanted, order) => among(date(value), wanted, |found, one| order.holds(*found, *one)),
            Wanted::Flag(wanted) => among(flag(value), wanted, |found, one| found == one),
            Wanted::Binary(wanted) => among(binary(value), wanted, |found, one| found == one),
            Wanted::Address(wanted) => {
                among(value.parse::<IpAddr>().ok(), wanted, |found, network| network.contains(*found))
            }
            Wanted::Null(_) => Match::Undefined,
        }
    }
}

fn each<T>(values: &[String], read: impl Fn(&str) -> Option<T>, what: &str) -> Result<Vec<T>, Malformed> {
    let read = |text: &String| {
        read(text).ok_or_else(|| Malformed::syntax(format!("the condition value {text:.100} is not {what}")))
    };
    values.iter().map(read).collect()
}

fn any(matches: impl Iterator<Item = Match>) -> Match {
    let mut outcome = Match::No;
    for one in matches {
        match one {
            Match::Yes => return Match::Yes,
            Match::No => {}
            Match::Undefined => outcome = Match::Undefined,
        }
    }
    outcome
}

fn among<F, W>(found: Option<F>, wanted: &[W], same: impl Fn(&F, &W) -> bool) -> Match {
    match found {
        None => Match::Undefined,
        Some(found) => wanted.iter().any(|one| same(&found, one)).into(),
    }
}

#[cfg(test)]
mod tests;
