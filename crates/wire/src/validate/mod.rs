//! The model's constraints, checked in one place and reported in AWS's words.
//!
//! Paths are as AWS's framework spells them: members begin with a small letter, list elements are `name.1.member`.
//! Constraints on the elements of a scalar list, and on a map's keys and values, are reported at the list or map.

mod pattern;

use crate::{Constraints, Kind, ShapeDef, Structure, Value};
use pattern::matches;
use std::fmt::Write;

/// No more than so many violations are gathered: enough to mend a request by, without letting a request name its own price.
const MAX_VIOLATIONS: usize = 100;
/// Values are echoed up to so many characters.
const MAX_ECHO: usize = 1000;

/// One constraint that a value does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where the value is (`tags.1.member.key`).
    pub path: String,
    /// The value as echoed, `null` if it is absent; shortened when long, masked when sensitive.
    pub value: String,
    /// What it fails (`Member must not be null`).
    pub constraint: String,
}

impl Violation {
    /// Whether a required member is absent.
    pub fn is_missing(&self) -> bool {
        self.constraint == NOT_NULL
    }
}

const NOT_NULL: &str = "Member must not be null";

/// Every constraint of `def` and the shapes below that `value` violates, in the order of the model.
pub fn validate(value: &Value, def: &'static ShapeDef) -> Vec<Violation> {
    let mut check = Check { found: Vec::new(), path: Vec::new() };
    check.value(value, def);
    check.found
}

/// All violations in one message: `2 validation errors detected: Value … at … failed to satisfy constraint: …; …`.
pub fn summary(violations: &[Violation]) -> String {
    let plural = if violations.len() == 1 { "error" } else { "errors" };
    let mut text = format!("{} validation {plural} detected: ", violations.len());
    for (index, violation) in violations.iter().enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        let Violation { path, value, constraint } = violation;
        let value = if violation.is_missing() { value.clone() } else { format!("'{value}'") };
        let _ = write!(text, "{separator}Value {value} at '{path}' failed to satisfy constraint: {constraint}");
    }
    text
}

/// Whether a model's pattern can be checked.
///
/// # Errors
/// What the pattern has that a linear-time matcher does not take.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    pattern::compile(pattern).map(drop).map_err(|error| error.to_string())
}

/// A step from a value into it. Paths are spelt for violations only: most requests have none.
#[derive(Clone, Copy)]
enum Part<'a> {
    Member(&'static str),
    /// From zero.
    Element(usize),
    Entry(&'a str),
}

struct Check<'a> {
    found: Vec<Violation>,
    path: Vec<Part<'a>>,
}

impl<'a> Check<'a> {
    fn value(&mut self, value: &'a Value, def: &'static ShapeDef) {
        for constraint in failures(value, def) {
            self.report(echo(value, def), constraint);
        }
        match value {
            Value::Structure(structure) => self.structure(structure, def),
            Value::List(values) => self.list(values, value, def),
            Value::Map(entries) => self.map(entries, value, def),
            _ => {}
        }
    }

    fn structure(&mut self, structure: &'a Structure, def: &'static ShapeDef) {
        for (member, value) in def.members.iter().zip(&structure.members) {
            match value {
                Some(value) => {
                    self.within(Part::Member(member.name), |check| check.value(value, member.shape.get()));
                }
                None if member.required => self.within(Part::Member(member.name), |check| {
                    check.report("null".to_owned(), NOT_NULL.to_owned());
                }),
                None => {}
            }
        }
    }

    fn list(&mut self, values: &'a [Value], whole: &Value, def: &'static ShapeDef) {
        let element = def.element();
        if is_scalar(element.kind) {
            let failed = values.iter().find(|value| !failures(value, element).is_empty());
            if let Some(value) = failed {
                let constraint = format!("Member must satisfy constraint: [{}]", failures(value, element).join(", "));
                self.report(echo(whole, def), constraint);
            }
            return;
        }
        for (index, value) in values.iter().enumerate() {
            self.within(Part::Element(index), |check| check.value(value, element));
        }
    }

    fn map(&mut self, entries: &'a [(String, Value)], whole: &Value, def: &'static ShapeDef) {
        let element = def.element();
        if let Some(key) = def.key.map(crate::ShapeRef::get) {
            let failed =
                entries.iter().map(|(text, _)| string_failures(text, &key.constraints)).find(|f| !f.is_empty());
            if let Some(failed) = failed {
                let constraint = format!("Map keys must satisfy constraint: [{}]", failed.join(", "));
                self.report(echo(whole, def), constraint);
            }
        }
        if is_scalar(element.kind) {
            let failed = entries.iter().map(|(_, value)| failures(value, element)).find(|failed| !failed.is_empty());
            if let Some(failed) = failed {
                let constraint = format!("Map value must satisfy constraint: [{}]", failed.join(", "));
                self.report(echo(whole, def), constraint);
            }
            return;
        }
        for (key, value) in entries {
            self.within(Part::Entry(key), |check| check.value(value, element));
        }
    }

    /// Runs `check` with the path one part longer.
    fn within(&mut self, part: Part<'a>, check: impl FnOnce(&mut Self)) {
        if self.found.len() >= MAX_VIOLATIONS {
            return;
        }
        self.path.push(part);
        check(self);
        self.path.pop();
    }

    fn report(&mut self, value: String, constraint: String) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(Violation { path: spell(&self.path), value, constraint });
        }
    }
}

fn spell(path: &[Part<'_>]) -> String {
    let mut text = String::new();
    for part in path {
        let dot = if text.is_empty() { "" } else { "." };
        let _ = match part {
            Part::Member(name) => write!(text, "{dot}{}", lower_first(name)),
            Part::Element(index) => write!(text, "{dot}{}.member", index + 1),
            Part::Entry(key) => write!(text, "{dot}{}.member", crate::fault::excerpt(key)),
        };
    }
    text
}

fn is_scalar(kind: Kind) -> bool {
    !matches!(kind, Kind::Structure | Kind::List | Kind::Map | Kind::Document)
}

/// What `value` itself fails, without what is inside it.
fn failures(value: &Value, def: &'static ShapeDef) -> Vec<String> {
    let constraints = &def.constraints;
    match value {
        Value::String(text) => string_failures(text, constraints),
        Value::Blob(blob) => length_failures(blob.0.len(), constraints),
        Value::List(values) => length_failures(values.len(), constraints),
        Value::Map(entries) => length_failures(entries.len(), constraints),
        Value::Integer(number) => range_failures(*number as f64, constraints),
        Value::Double(number) => range_failures(*number, constraints),
        _ => Vec::new(),
    }
}

fn string_failures(text: &str, constraints: &Constraints) -> Vec<String> {
    let mut failed = length_failures(text.chars().count(), constraints);
    if let Some(pattern) = constraints.pattern.filter(|pattern| !matches(pattern, text)) {
        failed.push(format!("Member must satisfy regular expression pattern: {pattern}"));
    }
    if !constraints.values.is_empty() && !constraints.values.contains(&text) {
        failed.push(format!("Member must satisfy enum value set: [{}]", constraints.values.join(", ")));
    }
    failed
}

fn length_failures(length: usize, constraints: &Constraints) -> Vec<String> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let mut failed = Vec::new();
    if let Some(max) = constraints.max.filter(|max| length > *max) {
        failed.push(format!("Member must have length less than or equal to {max}"));
    }
    if let Some(min) = constraints.min.filter(|min| length < *min) {
        failed.push(format!("Member must have length greater than or equal to {min}"));
    }
    failed
}

/// NaN satisfies no bound.
fn range_failures(number: f64, constraints: &Constraints) -> Vec<String> {
    let within = |holds: bool| holds && !number.is_nan();
    let mut failed = Vec::new();
    if let Some(max) = constraints.max.filter(|max| !within(number <= *max as f64)) {
        failed.push(format!("Member must have value less than or equal to {max}"));
    }
    if let Some(min) = constraints.min.filter(|min| !within(number >= *min as f64)) {
        failed.push(format!("Member must have value greater than or equal to {min}"));
    }
    failed
}

/// AWS's framework spells members with a small first letter whatever the model does.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// The value as error messages show it.
fn echo(value: &Value, def: &'static ShapeDef) -> String {
    if def.sensitive {
        return "***".to_owned();
    }
    let mut text = String::new();
    render(value, def, &mut text);
    if let Some((end, _)) = text.char_indices().nth(MAX_ECHO) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn render(value: &Value, def: &'static ShapeDef, out: &mut String) {
    if out.len() > MAX_ECHO * 4 {
        return;
    }
    let _ = match value {
        Value::String(text) => write!(out, "{}", text.chars().take(MAX_ECHO + 1).collect::<String>()),
        Value::Integer(number) => write!(out, "{number}"),
        Value::Double(number) => write!(out, "{number:?}"),
        Value::Boolean(flag) => write!(out, "{flag}"),
        Value::List(values) => {
            render_all(out, ("[", "]"), values.iter().map(|value| (None, value, def.element())));
            Ok(())
        }
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (Some(key.as_str()), value, def.element()));
            render_all(out, ("{", "}"), entries);
            Ok(())
        }
        Value::Structure(structure) => {
            out.push_str(def.name);
            let members = structure.def.members.iter().zip(&structure.members);
            let present =
                members.filter_map(|(member, value)| Some((Some(member.name), value.as_ref()?, member.shape.get())));
            render_all(out, ("(", ")"), present);
            Ok(())
        }
        other => write!(out, "{}", other.label()),
    };
}

fn render_all<'a>(
    out: &mut String,
    (open, close): (&str, &str),
    values: impl Iterator<Item = (Option<&'a str>, &'a Value, &'static ShapeDef)>,
) {
    out.push_str(open);
    for (index, (name, value, def)) in values.enumerate() {
        if out.len() > MAX_ECHO * 4 {
            return;
        }
        out.push_str(if index == 0 { "" } else { ", " });
        if let Some(name) = name {
            out.push_str(crate::fault::excerpt(name));
            out.push('=');
        }
        if def.sensitive { out.push_str("***") } else { render(value, def, out) }
    }
    out.push_str(close);
}
