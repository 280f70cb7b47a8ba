//! Conditions on messages that are JSON.

use serde_json::Value;

use super::value::Comparison;

#[derive(Clone, Debug)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Test(Vec<Step>, Test),
}

/// One step of a selector: `$.name`, `$['name']`, `$[0]`, `$[*]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
    EachElement,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    IsNull,
    IsTrue,
    IsFalse,
    Exists,
    NotExists,
    /// A comparison holds of scalars that are there: not even `!=` holds of what is absent.
    Is(Comparison),
}

impl Condition {
    /// Messages that are not JSON never match.
    pub fn matches(&self, message: &str) -> bool {
        let first = message.trim_start().as_bytes().first();
        if !matches!(first, Some(b'{' | b'[')) {
            return false;
        }
        serde_json::from_str(message).is_ok_and(|value| self.holds(&value))
    }

    /// Regular expressions in it.
    pub fn regexes(&self) -> usize {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::regexes).sum(),
            Self::Test(_, Test::Is(comparison)) => comparison.regexes(),
            Self::Test(..) => 0,
        }
    }

    fn holds(&self, root: &Value) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(root)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(root)),
            Self::Test(steps, Test::NotExists) => !any_selected(root, steps, &|_| true),
            Self::Test(steps, test) => any_selected(root, steps, &|value| test.holds(value)),
        }
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::IsNull => value.is_null(),
            Self::IsTrue => *value == Value::Bool(true),
            Self::IsFalse => *value == Value::Bool(false),
            Self::Exists => true,
            Self::NotExists => false,
            Self::Is(comparison) => compare(comparison, value),
        }
    }
}

fn compare(comparison: &Comparison, value: &Value) -> bool {
    match value {
        _ if comparison.is_presence() => true,
        Value::String(text) => comparison.holds_for_text(text),
        Value::Bool(flag) => comparison.holds_for_text(if *flag { "true" } else { "false" }),
        Value::Number(number) => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            comparison.holds_for_number(float, &number.to_string())
        }
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether any value that the steps lead to passes.
fn any_selected(value: &Value, steps: &[Step], passes: &dyn Fn(&Value) -> bool) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return passes(value);
    };
    let next = match step {
        Step::Member(name) => value.get(name),
        Step::Element(index) => value.get(index),
        Step::EachElement => {
            let mut elements = value.as_array().into_iter().flatten();
            return elements.any(|element| any_selected(element, rest, passes));
        }
    };
    next.is_some_and(|next| any_selected(next, rest, passes))
}
