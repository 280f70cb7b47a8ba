//! The reference: the rules of IAM, one after another, over plain JSON. Slow, recursive, and by nobody's code but its own.
//!
//! It takes policies to be well formed; the generator makes no others.

use serde_json::Value;

use crate::case::{ACCOUNT, Case, FEDERATED, ROLE, SERVICE, SESSION, USER};

type Keys = [(String, Vec<String>)];

/// One character of a pattern.
#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Exactly(char),
    AnyOne,
    AnyMany,
}

/// `true`, `false` or not to be said.
type Truth = Option<bool>;

pub fn decide(case: &Case) -> String {
    let keys = case.keys();
    let identity = effects(case, &keys, &case.identity, false);
    let boundary = case.boundary.as_ref().map(|policy| effects(case, &keys, std::slice::from_ref(policy), false));
    let session = case.session.as_ref().map(|policies| effects(case, &keys, policies, false));
    let resource = effects(case, &keys, &case.resource_policies, true);

    if case.action.eq_ignore_ascii_case("sts:GetCallerIdentity") {
        return "allow".into();
    }
    // An explicit deny, anywhere.
    let groups = [
        ("identity", Some(&identity)),
        ("boundary", boundary.as_ref()),
        ("session", session.as_ref()),
        ("resource", Some(&resource)),
    ];
    for (name, group) in groups {
        if group.is_some_and(|effects| effects.iter().any(|(effect, _)| effect == "Deny")) {
            return format!("deny {name}");
        }
    }
    let some = |effects: &[(String, u8)]| !effects.is_empty();
    let strongest = resource.iter().map(|(_, rank)| *rank).max().unwrap_or(0);
    // A service has no policies of its own.
    if case.who == "service" {
        return if strongest > 0 { "allow".into() } else { "lack resource".into() };
    }
    let identity_allows = case.who == "root" || some(&identity);
    let boundary_allows = boundary.as_deref().is_none_or(some);
    let session_allows = match &session {
        Some(effects) => some(effects),
        None => case.who != "federated",
    };
    let own_side = |identity_needed: bool| {
        if identity_needed && !identity_allows {
            return Some("lack identity");
        }
        if !boundary_allows {
            return Some("lack boundary");
        }
        if !session_allows { Some("lack session") } else { None }
    };
    let verdict = if case.owner != ACCOUNT {
        if case.action.eq_ignore_ascii_case("iam:PassRole") {
            Some("lack resource")
        } else {
            own_side(true).or(if strongest == 0 { Some("lack resource") } else { None })
        }
    } else if strongest == 3 {
        None
    } else if case.required && strongest == 0 {
        Some("lack resource")
    } else {
        own_side(strongest < 2)
    };
    verdict.unwrap_or("allow").to_owned()
}

/// Effect and directness (3 this very principal, 2 its role or everyone, 1 its account) of all statements that apply.
fn effects(case: &Case, keys: &Keys, policies: &[Value], names_principals: bool) -> Vec<(String, u8)> {
    let mut effects = Vec::new();
    for policy in policies {
        let variables = policy.get("Version").and_then(Value::as_str) == Some("2012-10-17");
        let statements = match &policy["Statement"] {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        for statement in statements {
            let rank = if names_principals { directness(case, &statement) } else { 3 };
            if rank > 0 && applies(case, keys, &statement, variables) {
                effects.push((statement["Effect"].as_str().unwrap().to_owned(), rank));
            }
        }
    }
    effects
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

fn applies(case: &Case, keys: &Keys, statement: &Value, variables: bool) -> bool {
    let denies = statement["Effect"] == "Deny";
    let action = |value: &Value| texts(value).iter().any(|text| action_matches(text, &case.action));
    let right_action = match statement.get("Action") {
        Some(value) => action(value),
        None => !action(&statement["NotAction"]),
    };
    let right_resource = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(value), _) => resource(&texts(value), &case.resource, keys, variables) == Some(true),
        (None, Some(value)) => match resource(&texts(value), &case.resource, keys, variables) {
            Some(matches) => !matches,
            None => denies,
        },
        (None, None) => true,
    };
    right_action && right_resource && conditions(statement, keys, variables).unwrap_or(denies)
}

fn action_matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    if pattern == "*" {
        return true;
    }
    let (ours, theirs) = (pattern.split_once(':').unwrap(), action.split_once(':').unwrap());
    ours.0 == theirs.0 && like(ours.1, theirs.1)
}

/// `None` if none matches and one has a variable without a value.
fn resource(patterns: &[String], arn: &str, keys: &Keys, variables: bool) -> Truth {
    let each: Vec<Truth> = patterns
        .iter()
        .map(|pattern| if pattern == "*" { Some(true) } else { arn_matches(pattern, arn, keys, variables) })
        .collect();
    disjunction(&each)
}

fn disjunction(each: &[Truth]) -> Truth {
    if each.contains(&Some(true)) {
        return Some(true);
    }
    if each.contains(&None) { None } else { Some(false) }
}

fn conjunction(each: &[Truth]) -> Truth {
    if each.contains(&Some(false)) {
        return Some(false);
    }
    if each.contains(&None) { None } else { Some(true) }
}

fn arn_matches(pattern: &str, arn: &str, keys: &Keys, variables: bool) -> Truth {
    if variables && pattern.starts_with("${") && pattern.ends_with('}') && pattern.matches('}').count() == 1 {
        return signs(pattern, keys, true, false).map(|signs| walk(&signs, &arn.chars().collect::<Vec<_>>()));
    }
    let pieces: Vec<&str> = arn.splitn(6, ':').collect();
    if pieces.len() < 6 || pieces[0] != "arn" {
        return Some(false);
    }
    // Colons within variables do not part.
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for character in pattern.chars() {
        match character {
            '{' if variables => depth += 1,
            '}' if variables => depth -= 1,
            _ => {}
        }
        if character == ':' && depth == 0 && parts.len() < 6 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(character);
        }
    }
    let each: Vec<Truth> = parts
        .iter()
        .zip(&pieces)
        .map(|(part, piece)| {
            signs(part, keys, variables, true).map(|signs| walk(&signs, &piece.chars().collect::<Vec<_>>()))
        })
        .collect();
    conjunction(&each)
}

/// The signs of a text with its variables put in; `None` if one has no value.
fn signs(text: &str, keys: &Keys, variables: bool, wildcards: bool) -> Option<Vec<Sign>> {
    let mut signs = Vec::new();
    let characters: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < characters.len() {
        if variables && characters[at] == '$' && characters.get(at + 1) == Some(&'{') {
            let close = (at..characters.len()).find(|&index| characters[index] == '}').unwrap();
            let inner: String = characters[at + 2..close].iter().collect();
            signs.extend(value_of(&inner, keys)?.chars().map(Sign::Exactly));
            at = close + 1;
            continue;
        }
        signs.push(match characters[at] {
            '*' if wildcards => Sign::AnyMany,
            '?' if wildcards => Sign::AnyOne,
            character => Sign::Exactly(character),
        });
        at += 1;
    }
    Some(signs)
}

fn value_of(inner: &str, keys: &Keys) -> Option<String> {
    if ["*", "?", "$"].contains(&inner) {
        return Some(inner.to_owned());
    }
    let mut halves = inner.splitn(2, ',');
    let name = halves.next().unwrap().trim().to_lowercase();
    let default = halves.next().map(|text| text.trim().trim_matches('\'').to_owned());
    let values: Vec<String> = found(keys, &name).unwrap_or_default();
    match values.len() {
        0 => default,
        1 => Some(values[0].clone()),
        _ => None,
    }
}

fn found(keys: &Keys, name: &str) -> Option<Vec<String>> {
    keys.iter().find(|(key, _)| key == name).map(|(_, values)| values.clone()).filter(|values| !values.is_empty())
}

fn walk(signs: &[Sign], text: &[char]) -> bool {
    match signs.first() {
        None => text.is_empty(),
        Some(Sign::AnyMany) => (0..=text.len()).any(|skip| walk(&signs[1..], &text[skip..])),
        Some(Sign::AnyOne) => !text.is_empty() && walk(&signs[1..], &text[1..]),
        Some(Sign::Exactly(character)) => text.first() == Some(character) && walk(&signs[1..], &text[1..]),
    }
}

pub fn like(pattern: &str, text: &str) -> bool {
    walk(&signs(pattern, &[], false, true).unwrap(), &text.chars().collect::<Vec<_>>())
}

/// 0 not named, 1 by account, 2 by role or as everyone, 3 as itself.
fn directness(case: &Case, statement: &Value) -> u8 {
    if let Some(named) = statement.get("Principal") {
        return rank(case, named);
    }
    let named = &statement["NotPrincipal"];
    let spared = if statement["Effect"] == "Deny" && case.boundary.is_some() {
        let own: &[&str] = match case.who {
            "user" => &[USER],
            "session" => &[ROLE, SESSION],
            "federated" => &[FEDERATED],
            _ => &[],
        };
        texts(&named["AWS"]).iter().any(|text| own.contains(&text.as_str()))
    } else {
        rank(case, named) > 0
    };
    if spared { 0 } else { 2 }
}

fn rank(case: &Case, named: &Value) -> u8 {
    if named == "*" {
        return 2;
    }
    if case.who == "service" {
        let everyone = named.get("AWS").map(texts).unwrap_or_default().iter().any(|text| text == "*");
        let itself = texts(&named["Service"]).iter().any(|text| text == SERVICE);
        return if itself { 3 } else { 2 * u8::from(everyone) };
    }
    let mut best = 0;
    for text in named.get("AWS").map(texts).unwrap_or_default() {
        let account = text == ACCOUNT || text == format!("arn:aws:iam::{ACCOUNT}:root");
        let rank = match case.who {
            _ if text == "*" => 2,
            "root" if account => 3,
            _ if account => 1,
            "user" if text == USER => 3,
            "session" if text == SESSION => 3,
            "session" if text == ROLE => 2,
            "federated" if text == FEDERATED => 3,
            _ => 0,
        };
        best = best.max(rank);
    }
    best
}

fn conditions(statement: &Value, keys: &Keys, variables: bool) -> Truth {
    let mut each = Vec::new();
    for (operator, wanted) in statement.get("Condition").and_then(Value::as_object).into_iter().flatten() {
        for (key, values) in wanted.as_object().unwrap() {
            each.push(condition(operator, &key.to_lowercase(), &texts(values), keys, variables));
        }
    }
    conjunction(&each)
}

fn condition(operator: &str, key: &str, wanted: &[String], keys: &Keys, variables: bool) -> Truth {
    let there = found(keys, key);
    if operator == "Null" {
        return Some(wanted.iter().any(|text| (text.to_lowercase() == "true") == there.is_none()));
    }
    let (all, any) = (operator.starts_with("ForAllValues:"), operator.starts_with("ForAnyValue:"));
    let name = operator.rsplit(':').next().unwrap();
    let (name, if_exists) = (name.trim_end_matches("IfExists"), name.ends_with("IfExists"));
    let negated = name.contains("Not");
    let Some(values) = there else {
        return Some(if_exists || all || (negated && !any));
    };
    if values.len() > 1 && !all && !any {
        return None;
    }
    let each: Vec<Truth> = values
        .iter()
        .map(|value| {
            let tests: Vec<Truth> = wanted.iter().map(|text| compare(name, value, text, keys, variables)).collect();
            match (negated, disjunction(&tests)) {
                (true, outcome) => outcome.map(|matches| !matches),
                (false, outcome) => Some(outcome == Some(true)),
            }
        })
        .collect();
    if any { disjunction(&each) } else { conjunction(&each) }
}

/// Whether one value of the request is what one value of the policy says, negation aside.
fn compare(name: &str, value: &str, wanted: &str, keys: &Keys, variables: bool) -> Truth {
    let name = name.replace("Not", "");
    let text = |fold: bool, wildcards: bool| {
        let signs = signs(wanted, keys, variables, wildcards)?;
        let lower = |character: char| if fold { character.to_ascii_lowercase() } else { character };
        let signs: Vec<Sign> = signs
            .iter()
            .map(|sign| if let Sign::Exactly(one) = sign { Sign::Exactly(lower(*one)) } else { *sign })
            .collect();
        Some(walk(&signs, &value.chars().map(lower).collect::<Vec<_>>()))
    };
    match name.as_str() {
        "StringEquals" => text(false, false),
        "StringEqualsIgnoreCase" => text(true, false),
        "StringLike" => text(false, true),
        // What is no ARN is not known to differ from one.
        "ArnEquals" | "ArnLike" => arn_matches(wanted, value, keys, variables)
            .filter(|matches| *matches || (value.starts_with("arn:") && value.matches(':').count() >= 5)),
        "Bool" => match value.to_lowercase().as_str() {
            flag @ ("true" | "false") => Some(flag == wanted.to_lowercase()),
            _ => None,
        },
        "BinaryEquals" => Some(value == wanted),
        "IpAddress" => address(value).map(|value| within(value, wanted)),
        _ => ordered(&name, value, wanted),
    }
}

fn ordered(name: &str, value: &str, wanted: &str) -> Truth {
    let read = |text: &str| if name.starts_with("Date") { moment(text) } else { text.parse::<f64>().ok() };
    let (found, wanted) = (read(value)?, read(wanted)?);
    Some(match name.trim_start_matches("Date").trim_start_matches("Numeric") {
        "Equals" => found == wanted,
        "LessThan" => found < wanted,
        "LessThanEquals" => found <= wanted,
        "GreaterThan" => found > wanted,
        "GreaterThanEquals" => found >= wanted,
        other => panic!("{other}"),
    })
}

/// Seconds since 1970 of `YYYY-MM-DD`, `YYYY-MM-DDThh:mm:ssZ` or a number, by counting years and months.
fn moment(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let numbers: Vec<i64> = text
        .split(['-', 'T', ':', 'Z'])
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut days = 0;
    for year in 1970..numbers[0] {
        days += if leap(year) { 366 } else { 365 };
    }
    for month in 1..numbers[1] {
        days += match month {
            2 if leap(numbers[0]) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
    }
    days += numbers[2] - 1;
    let part = |index: usize| numbers.get(index).copied().unwrap_or(0);
    Some((days * 86_400 + part(3) * 3600 + part(4) * 60 + part(5)) as f64)
}

/// The bits of an address of version 4.
fn address(text: &str) -> Option<Vec<bool>> {
    let bytes: Vec<u8> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    (bytes.len() == 4)
        .then(|| bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect())
}

fn within(value: Vec<bool>, network: &str) -> bool {
    let (base, bits) = network.split_once('/').unwrap_or((network, "32"));
    let bits: usize = bits.parse().unwrap();
    address(base).unwrap()[..bits] == value[..bits]
}
