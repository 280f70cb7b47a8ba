//! The document of a lifecycle policy, read and checked.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::policy::{Count, Policy, Rule, Tags};

/// Rules of a policy, and the prefixes or patterns of a rule.
const MOST_RULES: usize = 50;
const MOST_TAGS: usize = 100;

/// Characters of a prefix or a pattern, and stars of a pattern.
const LONGEST: usize = 128;
const MOST_STARS: usize = 4;

/// Characters of a description.
const LONGEST_DESCRIPTION: usize = 256;

/// Why a document is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Lifecycle policy validation failure: {0}")]
pub struct Invalid(String);

fn invalid(message: impl Into<String>) -> Invalid {
    Invalid(message.into())
}

/// Reads a policy.
///
/// # Errors
/// What is wrong with it, as far as one thing goes.
pub fn parse(text: &str) -> Result<Policy, Invalid> {
    let document: Value = serde_json::from_str(text).map_err(|_| invalid("Could not map policyString into JSON."))?;
    let document = object(&document, "the policy")?;
    only(document, &["rules"], "the policy")?;
    let rules = document.get("rules").and_then(Value::as_array).ok_or_else(|| invalid("rules must be a list"))?;
    if rules.is_empty() || rules.len() > MOST_RULES {
        return Err(invalid(format!("there must be 1 to {MOST_RULES} rules")));
    }
    let mut rules = rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    rules.sort_by_key(|rule| rule.priority);
    check_together(&rules)?;
    Ok(Policy { rules })
}

fn check_together(rules: &[Rule]) -> Result<(), Invalid> {
    let priorities: BTreeSet<i32> = rules.iter().map(|rule| rule.priority).collect();
    if priorities.len() < rules.len() {
        return Err(invalid("each rulePriority must be there once"));
    }
    if rules.iter().filter(|rule| rule.tags == Tags::Untagged).count() > 1 {
        return Err(invalid("only one rule may have the tagStatus untagged"));
    }
    let any = rules.iter().position(|rule| rule.tags == Tags::Any);
    match any.is_some_and(|at| at + 1 < rules.len()) {
        true => Err(invalid("the rule with the tagStatus any must be one, and the one with the highest rulePriority")),
        false => Ok(()),
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Invalid> {
    value.as_object().ok_or_else(|| invalid(format!("{what} must be an object")))
}

fn only(object: &Map<String, Value>, known: &[&str], what: &str) -> Result<(), Invalid> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(invalid(format!("{what} has an unknown member {key:.100}"))),
        None => Ok(()),
    }
}

fn rule(value: &Value) -> Result<Rule, Invalid> {
    let rule = object(value, "a rule")?;
    only(rule, &["rulePriority", "description", "selection", "action"], "a rule")?;
    let priority = rule.get("rulePriority").and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
    let priority = priority.filter(|number| *number >= 1).ok_or_else(|| invalid("rulePriority must be 1 or more"))?;
    match rule.get("description") {
        None => {}
        Some(Value::String(text)) if text.chars().count() <= LONGEST_DESCRIPTION => {}
        Some(_) => return Err(invalid(format!("description must have at most {LONGEST_DESCRIPTION} characters"))),
    }
    check_action(rule.get("action").ok_or_else(|| invalid("action is missing"))?)?;
    let selection = object(rule.get("selection").ok_or_else(|| invalid("selection is missing"))?, "selection")?;
    let known =
        ["tagStatus", "tagPrefixList", "tagPatternList", "storageClass", "countType", "countUnit", "countNumber"];
    only(selection, &known, "selection")?;
    check_storage(selection.get("storageClass"))?;
    Ok(Rule { priority, tags: tags(selection)?, count: count(selection)? })
}

fn check_action(value: &Value) -> Result<(), Invalid> {
    let action = object(value, "action")?;
    match action.get("type").and_then(Value::as_str) {
        Some("expire") => only(action, &["type"], "action"),
        Some("transition") => Err(invalid("Longshore archives no images: the action must be expire")),
        _ => Err(invalid("the type of the action must be expire")),
    }
}

/// Which storage class the images are of that a rule is about: all here are of `standard`, as it is where nothing is said.
fn check_storage(class: Option<&Value>) -> Result<(), Invalid> {
    match class.map(Value::as_str) {
        None | Some(Some("standard")) => Ok(()),
        Some(Some("archive")) => Err(invalid("Longshore archives no images: storageClass must be standard")),
        Some(_) => Err(invalid("storageClass must be standard")),
    }
}

fn tags(selection: &Map<String, Value>) -> Result<Tags, Invalid> {
    let prefixes = texts(selection, "tagPrefixList")?;
    let patterns = texts(selection, "tagPatternList")?;
    let status = selection.get("tagStatus").and_then(Value::as_str);
    match (status, prefixes, patterns) {
        (Some("any"), None, None) => Ok(Tags::Any),
        (Some("untagged"), None, None) => Ok(Tags::Untagged),
        (Some("tagged"), Some(prefixes), None) => Ok(Tags::Prefixes(prefixes)),
        (Some("tagged"), None, Some(patterns)) => {
            let stars = |pattern: &String| pattern.bytes().filter(|byte| *byte == b'*').count();
            match patterns.iter().any(|pattern| stars(pattern) > MOST_STARS) {
                true => Err(invalid(format!("a pattern has at most {MOST_STARS} wildcards"))),
                false => Ok(Tags::Patterns(patterns)),
            }
        }
        (Some("tagged"), None, None) => Err(invalid("tagPrefixList or tagPatternList must be there with tagged")),
        (Some("tagged"), ..) => Err(invalid("tagPrefixList and tagPatternList must not be there both")),
        (Some("any" | "untagged"), ..) => Err(invalid("tagPrefixList and tagPatternList go with tagged alone")),
        _ => Err(invalid("tagStatus must be tagged, untagged or any")),
    }
}

fn texts(selection: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, Invalid> {
    let Some(value) = selection.get(name) else { return Ok(None) };
    let list = value.as_array().filter(|list| (1..=MOST_TAGS).contains(&list.len()));
    let list = list.ok_or_else(|| invalid(format!("{name} must be a list of 1 to {MOST_TAGS}")))?;
    let text = |value: &Value| {
        let text = value.as_str().filter(|text| (1..=LONGEST).contains(&text.chars().count()));
        text.map(str::to_owned).ok_or_else(|| invalid(format!("{name} must have texts of 1 to {LONGEST} characters")))
    };
    list.iter().map(text).collect::<Result<_, _>>().map(Some)
}

fn count(selection: &Map<String, Value>) -> Result<Count, Invalid> {
    let number = selection.get("countNumber").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| *number >= 1).ok_or_else(|| invalid("countNumber must be 1 or more"))?;
    let days = match selection.get("countUnit").map(Value::as_str) {
        None => false,
        Some(Some("days")) => true,
        Some(_) => return Err(invalid("countUnit must be days")),
    };
    match (selection.get("countType").and_then(Value::as_str), days) {
        (Some("imageCountMoreThan"), false) => Ok(Count::MoreThan(number)),
        (Some("sinceImagePushed"), true) => Ok(Count::DaysSincePushed(number)),
        (Some("sinceImagePulled"), true) => Ok(Count::DaysSincePulled(number)),
        (Some("imageCountMoreThan"), true) => Err(invalid("countUnit does not go with imageCountMoreThan")),
        (Some("sinceImagePushed" | "sinceImagePulled"), false) => Err(invalid("countUnit must be days")),
        _ => Err(invalid("countType must be imageCountMoreThan, sinceImagePushed or sinceImagePulled")),
    }
}
