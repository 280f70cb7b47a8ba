//! From a policy's text to its statements: strict JSON, then every element by its kind's rules.

use std::collections::{BTreeMap, HashSet};

use longshore_wire::{Document, Error, Shape as _, Value, json};

use super::action::ActionPattern;
use super::arn::ArnPattern;
use super::condition::Condition;
use super::principal::Named;
use super::statement::{Effect, Element, Statement};
use super::{Kind, Malformed};

/// Values that a text may make: a policy of the greatest length made of nothing but values has no more.
const VALUES: usize = 200_000;

type Object = BTreeMap<String, Document>;

pub(super) fn statements(kind: Kind, text: &str) -> Result<Vec<Statement>, Malformed> {
    let mut policy = object(document(text)?, "the policy")?;
    let variables = version(policy.remove("Version"))?;
    if !matches!(policy.remove("Id"), None | Some(Document::String(_))) {
        return Err(Malformed::syntax("Id is not a string"));
    }
    let statements = match policy.remove("Statement") {
        None => return Err(Malformed::syntax("Statement is missing")),
        Some(Document::List(list)) if list.is_empty() => return Err(Malformed::syntax("Statement is empty")),
        Some(Document::List(list)) => list,
        Some(one) => vec![one],
    };
    nothing_left(&policy)?;
    let read = |one| object(one, "a statement").and_then(|elements| statement(kind, elements, variables));
    let statements: Vec<Statement> = statements.into_iter().map(read).collect::<Result<_, _>>()?;
    check_sids(kind, &statements)?;
    Ok(statements)
}

fn document(text: &str) -> Result<Document, Malformed> {
    match json::decode_within(text.as_bytes(), Document::def(), VALUES) {
        Ok(Value::Document(document)) => Ok(document),
        Ok(_) => Err(Malformed::syntax("not an object")),
        Err(Error::Syntax { message, offset }) => Err(Malformed::syntax(format!("{message} at byte {offset}"))),
        Err(error) => Err(Malformed::syntax(error)),
    }
}

fn object(document: Document, what: &str) -> Result<Object, Malformed> {
    match document {
        Document::Map(entries) => Ok(entries),
        _ => Err(Malformed::syntax(format!("{what} is not an object"))),
    }
}

fn nothing_left(elements: &Object) -> Result<(), Malformed> {
    match elements.keys().next() {
        None => Ok(()),
        Some(name) => Err(Malformed::syntax(format!("unknown element {name:.100}"))),
    }
}

/// Whether variables are meant: in a policy of version 2012-10-17. Without a version, that of 2008 is meant.
fn version(version: Option<Document>) -> Result<bool, Malformed> {
    match version {
        None => Ok(false),
        Some(Document::String(text)) if text == "2012-10-17" => Ok(true),
        Some(Document::String(text)) if text == "2008-10-17" => Ok(false),
        Some(_) => Err(Malformed::document("Policy document must be version 2012-10-17 or greater.")),
    }
}

/// Identities' and roles' statements are called by letters and digits; of resources' policies any text will do.
fn check_sids(kind: Kind, statements: &[Statement]) -> Result<(), Malformed> {
    let mut seen = HashSet::new();
    for sid in statements.iter().filter_map(|statement| statement.sid.as_deref()).filter(|sid| !sid.is_empty()) {
        if kind != Kind::Resource && !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Malformed::document(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression \
                 [0-9A-Za-z]*",
            ));
        }
        if !seen.insert(sid) {
            return Err(Malformed::document("Statement IDs (SID) in a single policy must be unique."));
        }
    }
    Ok(())
}

fn statement(kind: Kind, mut elements: Object, variables: bool) -> Result<Statement, Malformed> {
    let sid = match elements.remove("Sid") {
        None => None,
        Some(Document::String(sid)) => Some(sid),
        Some(_) => return Err(Malformed::syntax("Sid is not a string")),
    };
    let effect = match elements.remove("Effect") {
        None => return Err(Malformed::document("Missing required field Effect")),
        Some(Document::String(text)) if text == "Allow" => Effect::Allow,
        Some(Document::String(text)) if text == "Deny" => Effect::Deny,
        Some(_) => return Err(Malformed::syntax("Effect is neither Allow nor Deny")),
    };
    let principals = principals(kind, &mut elements)?;
    let actions = actions(kind, &mut elements)?;
    let resources = resources(kind, &mut elements, variables)?;
    let conditions = match elements.remove("Condition") {
        None => Vec::new(),
        Some(document) => conditions(object(document, "Condition")?, variables)?,
    };
    nothing_left(&elements)?;
    Ok(Statement { sid, effect, principals, actions, resources, conditions })
}

/// The values of an element or of its `Not…` form; a statement that has both is refused.
fn either(elements: &mut Object, name: &str) -> Result<Option<Element<Document>>, Malformed> {
    match (elements.remove(name), elements.remove(&format!("Not{name}"))) {
        (None, None) => Ok(None),
        (Some(one), None) => Ok(Some(Element::Of(vec![one]))),
        (None, Some(one)) => Ok(Some(Element::Except(vec![one]))),
        (Some(_), Some(_)) => Err(Malformed::syntax(format!("both {name} and Not{name}"))),
    }
}

fn texts(document: Document, what: &str) -> Result<Vec<String>, Malformed> {
    let list = if let Document::List(list) = document { list } else { vec![document] };
    let text = |one| match one {
        Document::String(text) => Ok(text),
        _ => Err(Malformed::syntax(format!("a value of {what} is not a string"))),
    };
    list.into_iter().map(text).collect()
}

/// Reads every text of an element.
fn read<T>(
    element: Element<Document>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, Malformed>,
) -> Result<Element<T>, Malformed> {
    let list = |documents: Vec<Document>| {
        let mut parsed = Vec::new();
        for document in documents {
            for text in texts(document, what)? {
                parsed.push(parse(&text)?);
            }
        }
        Ok(parsed)
    };
    Ok(match element {
        Element::Of(documents) => Element::Of(list(documents)?),
        Element::Except(documents) => Element::Except(list(documents)?),
    })
}

impl<T> Element<T> {
    fn is_empty(&self) -> bool {
        let (Element::Of(list) | Element::Except(list)) = self;
        list.is_empty()
    }
}

fn actions(kind: Kind, elements: &mut Object) -> Result<Element<ActionPattern>, Malformed> {
    let contains = || Malformed::document("Policy statement must contain actions.");
    let element = either(elements, "Action")?.ok_or_else(contains)?;
    let parse = |text: &str| match kind {
        Kind::Trust if !text.to_ascii_lowercase().starts_with("sts:") => {
            Err(Malformed::document("AssumeRole policy may only specify STS AssumeRole actions."))
        }
        _ => ActionPattern::parse(text),
    };
    let actions = read(element, "Action", parse)?;
    if actions.is_empty() { Err(contains()) } else { Ok(actions) }
}

fn resources(kind: Kind, elements: &mut Object, variables: bool) -> Result<Option<Element<ArnPattern>>, Malformed> {
    let contains = || Malformed::document("Policy statement must contain resources.");
    let element = match (either(elements, "Resource")?, kind) {
        (None, Kind::Resource | Kind::Trust) => return Ok(None),
        (Some(_), Kind::Trust) => return Err(Malformed::document("Has prohibited field Resource")),
        (element, _) => element.ok_or_else(contains)?,
    };
    let resources = read(element, "Resource", |text| ArnPattern::resource(text, variables))?;
    if resources.is_empty() { Err(contains()) } else { Ok(Some(resources)) }
}

fn principals(kind: Kind, elements: &mut Object) -> Result<Option<Element<Named>>, Malformed> {
    let element = match (either(elements, "Principal")?, kind) {
        (None, Kind::Resource | Kind::Trust) => return Err(Malformed::document("Missing required field Principal")),
        (None, _) => return Ok(None),
        (Some(Element::Except(_)), Kind::Trust) => {
            return Err(Malformed::document("Has prohibited field NotPrincipal"));
        }
        (Some(element), Kind::Resource | Kind::Trust) => element,
        (Some(_), _) => return Err(Malformed::document("Policy document should not specify a principal.")),
    };
    let named = match element {
        Element::Of(list) => Element::Of(named(list)?),
        Element::Except(list) => Element::Except(named(list)?),
    };
    match named.is_empty() {
        true => Err(Malformed::document("Missing required field Principal")),
        false => Ok(Some(named)),
    }
}

fn named(documents: Vec<Document>) -> Result<Vec<Named>, Malformed> {
    let mut named = Vec::new();
    for document in documents {
        match document {
            Document::String(text) if text == "*" => named.push(Named::Everyone),
            Document::String(text) => {
                return Err(Malformed::document(format!("Invalid principal in policy: \"{text:.200}\"")));
            }
            document => {
                for (kind, values) in object(document, "Principal")? {
                    for text in texts(values, "Principal")? {
                        named.push(Named::parse(&kind, &text)?);
                    }
                }
            }
        }
    }
    Ok(named)
}

fn conditions(operators: Object, variables: bool) -> Result<Vec<Condition>, Malformed> {
    let mut conditions = Vec::new();
    for (operator, keys) in operators {
        let mut seen = HashSet::new();
        let keys = object(keys, "a condition operator")?;
        if keys.is_empty() {
            // An operator without keys asks for nothing, but it must be one.
            Condition::parse(&operator, "any:thing", &[], variables)?;
        }
        for (key, values) in keys {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(Malformed::syntax(format!("the condition key {key:.100} stands twice")));
            }
            conditions.push(Condition::parse(&operator, &key, &values_of(values)?, variables)?);
        }
    }
    Ok(conditions)
}

/// Condition values may also be written as JSON's numbers and flags.
fn values_of(document: Document) -> Result<Vec<String>, Malformed> {
    let list = if let Document::List(list) = document { list } else { vec![document] };
    let text = |one| match one {
        Document::String(text) => Ok(text),
        Document::Boolean(flag) => Ok(flag.to_string()),
        Document::Integer(number) => Ok(number.to_string()),
        Document::Double(number) => Ok(number.to_string()),
        Document::Null | Document::List(_) | Document::Map(_) => {
            Err(Malformed::syntax("a condition value is neither a string nor a number nor a flag"))
        }
    };
    list.into_iter().map(text).collect()
}
