//! The operators of conditions, as they are spelt.

/// What is compared, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Text { wildcards: bool, fold: bool },
    Arn,
    Number(Order),
    Date(Order),
    Bool,
    Binary,
    Address,
    Null,
}

/// How a value of the request stands to the policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// How many of the request's values must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantifier {
    /// No set operator: the request must have one value.
    None,
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    pub(crate) quantifier: Quantifier,
    pub(crate) relation: Relation,
    pub(crate) negated: bool,
    pub(crate) if_exists: bool,
}

const EXACT: Relation = Relation::Text { wildcards: false, fold: false };
const FOLDED: Relation = Relation::Text { wildcards: false, fold: true };
const LIKE: Relation = Relation::Text { wildcards: true, fold: false };

/// Name, relation, whether it is negated.
const RELATIONS: &[(&str, Relation, bool)] = &[
    ("StringEquals", EXACT, false),
    ("StringNotEquals", EXACT, true),
    ("StringEqualsIgnoreCase", FOLDED, false),
    ("StringNotEqualsIgnoreCase", FOLDED, true),
    ("StringLike", LIKE, false),
    ("StringNotLike", LIKE, true),
    ("ArnEquals", Relation::Arn, false),
    ("ArnNotEquals", Relation::Arn, true),
    ("ArnLike", Relation::Arn, false),
    ("ArnNotLike", Relation::Arn, true),
    ("NumericEquals", Relation::Number(Order::Equal), false),
    ("NumericNotEquals", Relation::Number(Order::Equal), true),
    ("NumericLessThan", Relation::Number(Order::Less), false),
    ("NumericLessThanEquals", Relation::Number(Order::LessOrEqual), false),
    ("NumericGreaterThan", Relation::Number(Order::Greater), false),
    ("NumericGreaterThanEquals", Relation::Number(Order::GreaterOrEqual), false),
    ("DateEquals", Relation::Date(Order::Equal), false),
    ("DateNotEquals", Relation::Date(Order::Equal), true),
    ("DateLessThan", Relation::Date(Order::Less), false),
    ("DateLessThanEquals", Relation::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Relation::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Relation::Date(Order::GreaterOrEqual), false),
    ("Bool", Relation::Bool, false),
    ("BinaryEquals", Relation::Binary, false),
    ("IpAddress", Relation::Address, false),
    ("NotIpAddress", Relation::Address, true),
    ("Null", Relation::Null, false),
];

impl Operator {
    /// `None` if there is no such operator. `Null` takes neither `IfExists` nor a set operator.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (quantifier, name) = match text.split_once(':') {
            None => (Quantifier::None, text),
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(_) => return None,
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            None => (name, false),
            Some(name) => (name, true),
        };
        let (_, relation, negated) = *RELATIONS.iter().find(|(known, ..)| *known == name)?;
        let plain = !if_exists && quantifier == Quantifier::None;
        (relation != Relation::Null || plain).then_some(Self { quantifier, relation, negated, if_exists })
    }
}

impl Order {
    /// Whether `found` stands so to `wanted`.
    pub(crate) fn holds<T: PartialOrd>(self, found: T, wanted: T) -> bool {
        match self {
            Order::Equal => found == wanted,
            Order::Less => found < wanted,
            Order::LessOrEqual => found <= wanted,
            Order::Greater => found > wanted,
            Order::GreaterOrEqual => found >= wanted,
        }
    }
}
