//! Which requests a rule takes.

use std::net::IpAddr;

use longshore_api::elasticloadbalancing as api;
use longshore_wire::Fault;

use super::fault;

/// Values, and wildcards in them, that the conditions of one rule may have together.
pub const MOST_VALUES: usize = 5;
pub const MOST_WILDCARDS: usize = 5;

/// Characters of a value, of a header's name, of a method.
const LONGEST: usize = 128;
const LONGEST_NAME: usize = 40;

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Host,
    Path,
    Header,
    Query,
    Method,
    Source,
}

const FIELDS: &[(&str, Field)] = &[
    ("host-header", Field::Host),
    ("path-pattern", Field::Path),
    ("http-header", Field::Header),
    ("query-string", Field::Query),
    ("http-request-method", Field::Method),
    ("source-ip", Field::Source),
];

/// The conditions of a rule, checked, and in the form that answers show them in.
///
/// # Errors
/// `ValidationError`, and what is not built.
pub fn read(asked: Vec<api::RuleCondition>) -> Result<Vec<api::RuleCondition>, Fault> {
    if asked.is_empty() {
        return Err(fault::invalid("A condition must be specified"));
    }
    let mut seen = Vec::new();
    let mut conditions = Vec::new();
    let (mut values, mut wildcards) = (0, 0);
    for condition in asked {
        let (field, texts, condition) = read_one(condition)?;
        let many = matches!(field, Field::Header | Field::Query);
        if !many && seen.contains(&field) {
            let name = condition.field.unwrap_or_default();
            return Err(fault::invalid(format!("A rule can only have one '{name}' condition")));
        }
        let patterns = matches!(field, Field::Host | Field::Path | Field::Header | Field::Query);
        values += texts.len();
        wildcards += texts.iter().filter(|_| patterns).map(|text| text.matches(['*', '?']).count()).sum::<usize>();
        seen.push(field);
        conditions.push(condition);
    }
    if values > MOST_VALUES {
        return Err(fault::invalid(format!("A rule can only have '{MOST_VALUES}' condition values")));
    }
    if wildcards > MOST_WILDCARDS {
        return Err(fault::invalid(format!("A rule can only have '{MOST_WILDCARDS}' condition wildcards")));
    }
    Ok(conditions)
}

/// One condition: its field, its values as they count, and its form.
fn read_one(asked: api::RuleCondition) -> Result<(Field, Vec<String>, api::RuleCondition), Fault> {
    let name = asked.field.clone().unwrap_or_default();
    let known = FIELDS.iter().find(|(known, _)| *known == name);
    let (_, field) = known.ok_or_else(|| fault::invalid(format!("Condition field '{name:.64}' is not supported")))?;
    if has_expressions(&asked) {
        return Err(fault::not_built("regular expressions in conditions"));
    }
    only_own(*field, &asked)?;
    let texts = texts(*field, &asked)?;
    if texts.is_empty() {
        return Err(fault::invalid(format!("A value must be specified for the condition '{name}'")));
    }
    texts.iter().try_for_each(|text| check(*field, &name, text))?;
    let shown = match field {
        Field::Host => api::RuleCondition {
            field: asked.field,
            values: Some(texts.clone()),
            host_header_config: Some(api::HostHeaderConditionConfig {
                values: Some(texts.clone()),
                regex_values: None,
            }),
            ..api::RuleCondition::default()
        },
        Field::Path => api::RuleCondition {
            field: asked.field,
            values: Some(texts.clone()),
            path_pattern_config: Some(api::PathPatternConditionConfig {
                values: Some(texts.clone()),
                regex_values: None,
            }),
            ..api::RuleCondition::default()
        },
        _ => api::RuleCondition { values: None, ..asked },
    };
    Ok((*field, texts, shown))
}

fn has_expressions(asked: &api::RuleCondition) -> bool {
    let some = |values: &Option<Vec<String>>| values.as_ref().is_some_and(|values| !values.is_empty());
    some(&asked.regex_values)
        || asked.host_header_config.as_ref().is_some_and(|config| some(&config.regex_values))
        || asked.path_pattern_config.as_ref().is_some_and(|config| some(&config.regex_values))
        || asked.http_header_config.as_ref().is_some_and(|config| some(&config.regex_values))
}

/// Only the configuration of its own field may be there.
fn only_own(field: Field, asked: &api::RuleCondition) -> Result<(), Fault> {
    let there = [
        (Field::Host, asked.host_header_config.is_some()),
        (Field::Path, asked.path_pattern_config.is_some()),
        (Field::Header, asked.http_header_config.is_some()),
        (Field::Query, asked.query_string_config.is_some()),
        (Field::Method, asked.http_request_method_config.is_some()),
        (Field::Source, asked.source_ip_config.is_some()),
    ];
    let own = there.iter().any(|(one, there)| *there && *one == field);
    let plain = asked.values.as_ref().is_some_and(|values| !values.is_empty());
    if there.iter().any(|(one, there)| *there && *one != field) {
        return Err(fault::invalid("A condition can only have the configuration of its own field"));
    }
    if own && plain {
        return Err(fault::invalid("You cannot specify both values and a configuration for a condition"));
    }
    if plain && !matches!(field, Field::Host | Field::Path) {
        return Err(fault::invalid("The values of this condition must be specified in its configuration"));
    }
    Ok(())
}

/// The values of a condition, those of the name in a query counted with theirs.
fn texts(field: Field, asked: &api::RuleCondition) -> Result<Vec<String>, Fault> {
    let values = match field {
        Field::Host => asked.host_header_config.as_ref().and_then(|config| config.values.clone()),
        Field::Path => asked.path_pattern_config.as_ref().and_then(|config| config.values.clone()),
        Field::Method => asked.http_request_method_config.as_ref().and_then(|config| config.values.clone()),
        Field::Header => header(asked)?,
        Field::Query => return query(asked),
        Field::Source => {
            let config = asked.source_ip_config.as_ref();
            if config.is_some_and(|config| config.ip_address_type.is_some()) {
                return Err(fault::not_built("address types of source-ip conditions"));
            }
            config.and_then(|config| config.values.clone())
        }
    };
    Ok(values.or_else(|| asked.values.clone()).unwrap_or_default())
}

fn header(asked: &api::RuleCondition) -> Result<Option<Vec<String>>, Fault> {
    let Some(config) = &asked.http_header_config else { return Ok(None) };
    let name = config.http_header_name.as_deref().unwrap_or_default();
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_!#$%&'+.^`|~".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(token) {
        return Err(fault::invalid(format!("Header name '{name:.64}' is not valid")));
    }
    if name.eq_ignore_ascii_case("host") {
        return Err(fault::invalid("The Host header must be matched by a 'host-header' condition"));
    }
    Ok(config.values.clone())
}

fn query(asked: &api::RuleCondition) -> Result<Vec<String>, Fault> {
    let pairs = asked.query_string_config.as_ref().and_then(|config| config.values.as_deref()).unwrap_or_default();
    let text = |pair: &api::QueryStringKeyValuePair| {
        let value = pair.value.as_deref().filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| fault::invalid("A query string condition must have a value"))?;
        let key = pair.key.as_deref().unwrap_or_default();
        if key.chars().count() > LONGEST || value.chars().count() > LONGEST {
            return Err(too_long("query-string"));
        }
        Ok(format!("{key}{value}"))
    };
    pairs.iter().map(text).collect()
}

fn too_long(name: &str) -> Fault {
    fault::invalid(format!("A value of the condition '{name}' cannot be longer than '{LONGEST}' characters"))
}

fn check(field: Field, name: &str, text: &str) -> Result<(), Fault> {
    let long = field != Field::Query && text.chars().count() > LONGEST;
    if long {
        return Err(too_long(name));
    }
    let alphanumeric_or = |more: &'static [u8]| move |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    let good = !text.is_empty()
        && match field {
            Field::Host => text.bytes().all(alphanumeric_or(b"-.*?")) && text.contains('.'),
            Field::Path => text.bytes().all(alphanumeric_or(b"_-.$/~\"'@:+&*?")),
            Field::Header | Field::Query => text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            Field::Method => {
                text.len() <= LONGEST_NAME
                    && text.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte))
            }
            Field::Source => is_cidr(text),
        };
    let message = format!("The value '{text:.128}' of the condition '{name}' is not valid");
    if good { Ok(()) } else { Err(fault::invalid(message)) }
}

/// `ADDRESS/PREFIX`, of either family.
fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let Some(prefix) = prefix.parse::<u8>().ok().filter(|_| digits) else { return false };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => prefix <= 32,
        Ok(IpAddr::V6(_)) => prefix <= 128,
        Err(_) => false,
    }
}
