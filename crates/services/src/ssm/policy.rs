//! Policies of parameters: Expiration, which acts, and two that ask EventBridge to notify, which are kept and shown: there is none here.
//!
//! `[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2030-01-01T00:00:00.000Z"}}]`; an empty list, or one of
//! an empty object, takes the policies away.

use longshore_api::ssm::{ParameterInlinePolicy, fault as def};
use longshore_wire::{Fault, Timestamp, TimestampFormat};
use serde_json::{Map, Value};

use super::fault;

/// Policies of one parameter.
const MOST: usize = 10;

/// The policies of a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The JSON of each, as it is shown.
    pub texts: Vec<String>,
    pub expires_at: Option<Timestamp>,
}

/// Reads a request's policies.
///
/// # Errors
/// `PoliciesLimitExceededException`, `InvalidPolicyTypeException`, `InvalidPolicyAttributeException`,
/// `IncompatiblePolicyException`, `ValidationException` for what is no JSON list.
pub fn parse(text: &str) -> Result<Policies, Fault> {
    let listed = match serde_json::from_str(text) {
        Ok(Value::Array(listed)) => listed,
        Ok(Value::Object(one)) => vec![Value::Object(one)],
        _ => return Err(fault::validation("Invalid policies input: the policies must be a JSON array.")),
    };
    let mut policies = Policies::default();
    for policy in listed.iter().filter(|policy| **policy != Value::Object(Map::new())) {
        add(&mut policies, policy)?;
    }
    Ok(policies)
}

/// The policies of texts that [`parse`] gave.
pub fn reread(texts: &[String]) -> Policies {
    parse(&format!("[{}]", texts.join(","))).unwrap_or_default()
}

fn add(policies: &mut Policies, policy: &Value) -> Result<(), Fault> {
    if policies.texts.len() == MOST {
        return Err(fault::of(
            &def::POLICIES_LIMIT_EXCEEDED_EXCEPTION,
            format!(
                "You specified more than the maximum number of allowed policies for the parameter. The maximum is {MOST}."
            ),
        ));
    }
    let attribute = |name: &str| policy["Attributes"][name].as_str();
    match policy["Type"].as_str() {
        Some("Expiration") => {
            let end = attribute("Timestamp").and_then(|text| Timestamp::parse(text, TimestampFormat::Iso8601));
            let end = end.ok_or_else(bad_attribute)?;
            if policies.expires_at.replace(end).is_some() {
                return Err(fault::of(
                    &def::INCOMPATIBLE_POLICY_EXCEPTION,
                    "There is a conflict in the policies specified for this parameter. You can't, for example, specify two \
                     Expiration policies for a parameter. Review your policies, and try again.",
                ));
            }
        }
        Some("ExpirationNotification") => check_span(attribute("Before"), attribute("Unit"))?,
        Some("NoChangeNotification") => check_span(attribute("After"), attribute("Unit"))?,
        _ => {
            return Err(fault::of(
                &def::INVALID_POLICY_TYPE_EXCEPTION,
                "The policy type isn't supported. Parameter Store supports the following policy types: Expiration, \
                 ExpirationNotification, and NoChangeNotification.",
            ));
        }
    }
    if policy["Version"].as_str() != Some("1.0") {
        return Err(bad_attribute());
    }
    policies.texts.push(policy.to_string());
    Ok(())
}

/// A whole number of days or hours.
fn check_span(count: Option<&str>, unit: Option<&str>) -> Result<(), Fault> {
    let whole = count.and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0);
    match whole && matches!(unit, Some("Days" | "Hours")) {
        true => Ok(()),
        false => Err(bad_attribute()),
    }
}

fn bad_attribute() -> Fault {
    fault::of(&def::INVALID_POLICY_ATTRIBUTE_EXCEPTION, "A policy attribute or its value is invalid.")
}

/// As answers show them.
pub fn shown(texts: &[String]) -> Vec<ParameterInlinePolicy> {
    let kind = |text: &str| {
        let policy = serde_json::from_str::<Value>(text).ok()?;
        Some(policy["Type"].as_str()?.to_owned())
    };
    let one = |text: &String| ParameterInlinePolicy {
        policy_text: Some(text.clone()),
        policy_type: kind(text),
        policy_status: Some("Pending".to_owned()),
    };
    texts.iter().map(one).collect()
}
