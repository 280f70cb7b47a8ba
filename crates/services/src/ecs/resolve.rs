//! What callers call things: names, short forms and ARNs (the long ones of today and the short ones of before 2018), turned
//! into names.
//!
//! Only text is looked at. An ARN of another partition, region, account or service is refused by its text alone, so the
//! answer is the same whether or not such a thing exists elsewhere.

use longshore_model::{Arn, Place};
use longshore_wire::Fault;

use super::fault;

/// Longest name of a cluster, service or family, in characters.
pub const NAME_LENGTH: usize = 255;

/// Cluster that is meant when none is named.
pub const DEFAULT_CLUSTER: &str = "default";

/// A task definition as a caller names it. Without a revision the newest ACTIVE one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionRef {
    pub family: String,
    pub revision: Option<i32>,
}

/// Whether `text` is a name: 1 to 255 letters, digits, hyphens and underscores.
pub fn is_name(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_LENGTH).contains(&text.len()) && text.bytes().all(valid)
}

/// A cluster's name from its name or ARN; absent or empty is `default`.
pub fn cluster_name(place: &Place, given: Option<&str>) -> Result<String, Fault> {
    let given = given.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_CLUSTER);
    match local(place, given, "cluster")?.as_deref() {
        None => plain(given),
        Some([name]) => plain(name),
        Some(_) => Err(separators()),
    }
}

/// A service's name from its name or ARN (`service/NAME` or `service/CLUSTER/NAME`). `cluster` is the request's.
pub fn service_name(place: &Place, cluster: &str, given: &str) -> Result<String, Fault> {
    member(place, cluster, given, "service").and_then(|name| plain(&name))
}

/// A task's id from its id or ARN (`task/ID` or `task/CLUSTER/ID`).
pub fn task_id(place: &Place, cluster: &str, given: &str) -> Result<String, Fault> {
    let id = member(place, cluster, given, "task")?;
    match id.len() {
        1..=36 => plain(&id),
        0 => Err(fault::invalid_parameter("Invalid identifier: the identifier is empty.")),
        _ => Err(fault::invalid_parameter("taskId longer than 36.")),
    }
}

/// A container instance's id from its id or ARN.
pub fn container_instance_id(place: &Place, cluster: &str, given: &str) -> Result<String, Fault> {
    let id = member(place, cluster, given, "container-instance")?;
    match id.len() {
        1..=36 => plain(&id),
        _ => Err(fault::invalid_parameter("instanceId longer than 36.")),
    }
}

/// A task definition from `FAMILY`, `FAMILY:REVISION` or its ARN.
pub fn definition_ref(place: &Place, given: &str) -> Result<DefinitionRef, Fault> {
    let text = match local(place, given, "task-definition")?.as_deref() {
        None => given,
        Some([text]) => *text,
        Some(_) => return Err(separators()),
    };
    let (family, revision) = match text.split_once(':') {
        None => (text, None),
        Some((family, digits)) => (family, Some(revision(digits)?)),
    };
    Ok(DefinitionRef { family: plain(family)?, revision })
}

/// A revision is a positive number without sign or leading zero.
fn revision(digits: &str) -> Result<i32, Fault> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let number = digits.parse().ok().filter(|_| plain);
    number.ok_or_else(|| fault::client(format!("Invalid revision number. Number: {}", shown(digits))))
}

/// The last part of the identifier of something in a cluster. An ARN that names a cluster must name the request's.
fn member(place: &Place, cluster: &str, given: &str, kind: &str) -> Result<String, Fault> {
    match local(place, given, kind)?.as_deref() {
        None => Ok(given.to_owned()),
        Some([name]) => Ok((*name).to_owned()),
        Some([theirs, name]) if *theirs == cluster => Ok((*name).to_owned()),
        Some([theirs, _]) => Err(fault::invalid_parameter(format!(
            "Invalid identifier: Identifier is for {}. Your cluster is {cluster}",
            shown(theirs)
        ))),
        Some(_) => Err(separators()),
    }
}

/// The parts behind the kind of an ARN of this place; `None` when `given` is no ARN.
fn local<'a>(place: &Place, given: &'a str, kind: &str) -> Result<Option<Vec<&'a str>>, Fault> {
    if !given.starts_with("arn:") {
        return Ok(None);
    }
    let arn = Arn::parse_any(given).ok_or_else(|| invalid("it is not an ARN"))?;
    let (found, rest) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    match () {
        () if arn.partition != "aws" => Err(invalid("unexpected partition")),
        () if arn.service != "ecs" => Err(invalid("unexpected service")),
        () if arn.region != place.region => Err(invalid("unexpected region")),
        () if arn.account != place.account.as_str() => Err(invalid("unexpected account")),
        () if found != kind => Err(invalid(&format!("the ARN is not of a {kind}"))),
        () => Ok(Some(rest.split('/').collect())),
    }
}

fn plain(name: &str) -> Result<String, Fault> {
    match is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(invalid(&format!("{} is not a valid name", shown(name)))),
    }
}

fn invalid(why: &str) -> Fault {
    fault::invalid_parameter(format!("Invalid identifier: {why}."))
}

fn separators() -> Fault {
    fault::invalid_parameter("Invalid identifier: Unexpected number of separators")
}

/// The caller's text, fit for a message: escaped and cut.
pub fn shown(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut: String = text.chars().take(SHOWN).flat_map(char::escape_default).collect();
    match text.chars().nth(SHOWN) {
        Some(_) => format!("{cut}..."),
        None => cut,
    }
}

#[cfg(test)]
mod tests {
    use longshore_model::AccountId;

    use super::*;

    fn place() -> Place {
        Place::new("us-east-1", &AccountId::parse("123456789012").unwrap())
    }

    const HERE: &str = "arn:aws:ecs:us-east-1:123456789012:";

    /// `OK NAME` or the fault's message.
    fn told(outcome: Result<String, Fault>) -> String {
        outcome.map_or_else(|fault| fault.message, |name| format!("OK {name}"))
    }

    #[test]
    fn names_and_arns_of_every_age_are_understood() {
        let long = "0123456789abcdef0123456789abcdef";
        let old = "01234567-89ab-cdef-0123-456789abcdef";
        let cases = [
            (cluster_name(&place(), None), "OK default"),
            (cluster_name(&place(), Some("")), "OK default"),
            (cluster_name(&place(), Some("prod")), "OK prod"),
            (cluster_name(&place(), Some(&format!("{HERE}cluster/prod"))), "OK prod"),
            (service_name(&place(), "prod", "web"), "OK web"),
            (service_name(&place(), "prod", &format!("{HERE}service/web")), "OK web"),
            (service_name(&place(), "prod", &format!("{HERE}service/prod/web")), "OK web"),
            (task_id(&place(), "prod", long), &format!("OK {long}")),
            (task_id(&place(), "prod", &format!("{HERE}task/prod/{long}")), &format!("OK {long}")),
            (task_id(&place(), "prod", &format!("{HERE}task/{old}")), &format!("OK {old}")),
            (
                task_id(&place(), "default", &format!("{HERE}task/prod/{long}")),
                "Invalid identifier: Identifier is for prod. Your cluster is default",
            ),
            (task_id(&place(), "prod", &"a".repeat(37)), "taskId longer than 36."),
        ];
        for (outcome, wanted) in cases {
            assert_eq!(told(outcome), wanted);
        }
    }

    #[test]
    fn a_definition_is_a_family_or_a_revision_of_it() {
        let family = |revision| DefinitionRef { family: "web".into(), revision };
        let good = [
            ("web", None),
            ("web:3", Some(3)),
            ("arn:aws:ecs:us-east-1:123456789012:task-definition/web", None),
            ("arn:aws:ecs:us-east-1:123456789012:task-definition/web:3", Some(3)),
        ];
        for (text, revision) in good {
            assert_eq!(definition_ref(&place(), text).ok(), Some(family(revision)), "{text}");
        }
        for text in ["", "web:", "web:0", "web:-1", "web:+1", "web:01", "web:1:2", "web:99999999999", "we b", ":1"] {
            assert!(definition_ref(&place(), text).is_err(), "{text}");
        }
    }

    /// W8, W9: whatever is not a name or an ARN of this place is an InvalidParameterException.
    #[test]
    fn foreign_and_malformed_identifiers_are_refused() {
        let cases = [
            "arn:aws-cn:ecs:us-east-1:123456789012:cluster/prod".to_owned(),
            "arn:aws:ecs:eu-west-1:123456789012:cluster/prod".into(),
            "arn:aws:ecs:us-east-1:999999999999:cluster/prod".into(),
            "arn:aws:ecs:us-east-1::cluster/prod".into(),
            "arn:aws:ec2:us-east-1:123456789012:cluster/prod".into(),
            "arn:aws:ecs:us-east-1:123456789012:service/prod".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster/".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster/prod/x".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster/prod:".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster/*".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster/..".into(),
            "arn:aws:ecs:us-east-1:123456789012:cluster/pr%6fd".into(),
            "arn:aws:ecs:us-east-1:123456789012:".into(),
            "arn:aws:ecs".into(),
            format!("arn:aws:ecs:us-east-1:123456789012:cluster/{}", "a".repeat(10_000)),
            "a".repeat(256),
            "<script>".into(),
            "\u{1b}[31mred".into(),
            "\u{202e}dorp".into(),
            "../prod".into(),
            "pr\0od".into(),
            "prod ".into(),
            "*".into(),
        ];
        for text in cases {
            let refused = cluster_name(&place(), Some(&text)).unwrap_err();
            assert_eq!(refused.code, "InvalidParameterException", "{text}");
            assert!(refused.message.len() < 600 && refused.message.is_ascii(), "{}", refused.message);
        }
    }
}
