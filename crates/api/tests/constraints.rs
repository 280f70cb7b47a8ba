//! Every constraint of every operation's input, violated once (bad-input class W7). Generated from the tables.

use longshore_api::SERVICES;
use longshore_wire::validate::{check_pattern, validate};
use longshore_wire::{Fault, Kind, ServiceDef, ShapeDef, Structure, Value};
use std::collections::BTreeSet;

/// One step from an input down to a shape inside it.
#[derive(Clone, Copy)]
enum Step {
    Member(&'static ShapeDef, usize),
    Element,
    MapValue,
}

/// A value that breaks one constraint, and what must be said about it.
struct Violation {
    value: Value,
    constraint: String,
    /// Where AWS reports it: at the value, or at the list or map that holds it.
    at_holder: bool,
}

/// A place in an input: the way there, and what is there.
struct Place {
    steps: Vec<Step>,
    shape: &'static ShapeDef,
}

#[test]
fn each_constraint_violated_once_is_reported_with_its_place() {
    let mut checked = 0;
    for service in SERVICES {
        for (operation, input) in inputs(service) {
            for place in places(input) {
                for violation in violations(place.shape) {
                    check(service, operation, input, &place, violation);
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} constraints");
    assert!(checked > 500, "only {checked} constraints were found");
}

#[test]
fn each_required_member_is_asked_for_by_name() {
    let mut checked = 0;
    for service in SERVICES {
        for (operation, input) in inputs(service) {
            for place in places(input).iter().filter(|place| place.shape.kind == Kind::Structure) {
                for member in place.shape.members.iter().filter(|member| member.required) {
                    let value = wrap(Value::Structure(Structure::empty(place.shape)), &place.steps);
                    let path = join(&path(&place.steps), &lower_first(member.name));
                    let found = validate(&value, input);
                    let missing = found.iter().any(|one| one.is_missing() && one.path == path && one.value == "null");
                    assert!(missing, "{}:{operation} does not ask for {path}: {found:?}", service.name);
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} required members");
    assert!(checked > 200, "only {checked} required members were found");
}

/// The patterns of an account's alias and of a certificate's names, which no engine of linear time takes; their handlers check
/// them.
const LOOK_AHEAD: [&str; 2] = [
    "^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$",
    r"(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])",
];

/// What takes no parameters.
const WITHOUT_INPUT: (&str, &str) = ("iam", "GetAccountSummary");

#[test]
fn every_pattern_can_be_checked() {
    let mut patterns = BTreeSet::new();
    for service in SERVICES {
        for (_, input) in inputs(service) {
            patterns.extend(places(input).iter().filter_map(|place| place.shape.constraints.pattern));
        }
    }
    assert!(!patterns.is_empty());
    assert!(LOOK_AHEAD.into_iter().all(|pattern| patterns.remove(pattern)));
    for pattern in patterns {
        assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
    }
}

#[test]
fn operations_are_sorted_and_the_built_ones_have_shapes() {
    for service in SERVICES {
        let names: Vec<&str> = service.operations.iter().map(|operation| operation.name).collect();
        assert!(names.is_sorted(), "{}", service.name);
        for operation in service.operations.iter().filter(|operation| operation.built) {
            let bare = (service.name, operation.name) == WITHOUT_INPUT;
            assert!(operation.input.is_some() != bare, "{}:{}", service.name, operation.name);
        }
    }
}

fn inputs(service: &'static ServiceDef) -> impl Iterator<Item = (&'static str, &'static ShapeDef)> {
    let shaped = |operation: &'static longshore_wire::OperationDef| Some((operation.name, operation.input?.get()));
    service.operations.iter().filter_map(shaped)
}

/// Every place below an input, each shape once.
fn places(input: &'static ShapeDef) -> Vec<Place> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![Place { steps: Vec::new(), shape: input }];
    while let Some(place) = open.pop() {
        // Recursive shapes end here: the same shape under the same name of another structure is still another place.
        let last = match place.steps.last() {
            Some(Step::Member(def, index)) => format!("{}.{index}", def.name),
            Some(Step::Element) => format!("{}[]", place.shape.name),
            Some(Step::MapValue) => format!("{}{{}}", place.shape.name),
            None => String::new(),
        };
        if seen.insert(last) {
            open.extend(below(&place));
            found.push(place);
        }
    }
    found
}

fn below(place: &Place) -> Vec<Place> {
    let further = |step, shape| Place { steps: [place.steps.as_slice(), &[step]].concat(), shape };
    match place.shape.kind {
        Kind::Structure => {
            let members = place.shape.members.iter().enumerate();
            members.map(|(index, member)| further(Step::Member(place.shape, index), member.shape.get())).collect()
        }
        Kind::List => vec![further(Step::Element, place.shape.element())],
        Kind::Map => vec![further(Step::MapValue, place.shape.element())],
        _ => Vec::new(),
    }
}

fn violations(shape: &'static ShapeDef) -> Vec<Violation> {
    let mut found = Vec::new();
    let constraints = &shape.constraints;
    let is_number = matches!(shape.kind, Kind::Integer | Kind::Long | Kind::Float | Kind::Double);
    let noun = if is_number { "value" } else { "length" };
    if let Some(max) = constraints.max.filter(|max| is_number || *max < 2_000_000) {
        let constraint = format!("Member must have {noun} less than or equal to {max}");
        found.extend(max.checked_add(1).and_then(|size| sized(shape, size)).map(|value| (value, constraint)));
    }
    if let Some(min) = constraints.min.filter(|min| is_number || *min > 0) {
        let constraint = format!("Member must have {noun} greater than or equal to {min}");
        found.extend(min.checked_sub(1).and_then(|size| sized(shape, size)).map(|value| (value, constraint)));
    }
    if let Some(pattern) = constraints.pattern {
        let constraint = format!("Member must satisfy regular expression pattern: {pattern}");
        found.extend(mismatch(pattern).map(|text| (Value::String(text), constraint)));
    }
    if !constraints.values.is_empty() {
        let constraint = format!("Member must satisfy enum value set: [{}]", constraints.values.join(", "));
        found.push((Value::String("no such value".to_owned()), constraint));
    }
    let at_holder = !matches!(shape.kind, Kind::Structure | Kind::List | Kind::Map);
    found.into_iter().map(|(value, constraint)| Violation { value, constraint, at_holder }).collect()
}

/// A value of exactly this size.
fn sized(shape: &'static ShapeDef, size: i64) -> Option<Value> {
    let count = usize::try_from(size);
    match shape.kind {
        Kind::Integer | Kind::Long => Some(Value::Integer(size)),
        Kind::Float | Kind::Double => Some(Value::Double(size as f64)),
        Kind::String => Some(Value::String("a".repeat(count.ok()?))),
        Kind::Blob => Some(Value::Blob(vec![0; count.ok()?].into())),
        Kind::List => Some(Value::List(vec![sample(shape.element()); count.ok()?])),
        Kind::Map => {
            let entries = (0..count.ok()?).map(|index| (format!("k{index}"), sample(shape.element())));
            Some(Value::Map(entries.collect()))
        }
        _ => None,
    }
}

fn sample(shape: &'static ShapeDef) -> Value {
    match shape.kind {
        Kind::Structure => Value::Structure(Structure::empty(shape)),
        Kind::List => Value::List(Vec::new()),
        Kind::Map => Value::Map(Vec::new()),
        Kind::Integer | Kind::Long => Value::Integer(1),
        Kind::Double | Kind::Float => Value::Double(1.0),
        Kind::Boolean => Value::Boolean(true),
        _ => Value::String("a".to_owned()),
    }
}

/// A text that a pattern does not match, unless it matches everything or is not checked here.
fn mismatch(pattern: &'static str) -> Option<String> {
    if LOOK_AHEAD.contains(&pattern) {
        return None;
    }
    static ANY: [&str; 2] = [r"[\s\S]*", r".*"];
    let probe = |text: &&str| {
        let def = Box::leak(Box::new(ShapeDef::new("Probe", Kind::String).pattern(pattern)));
        !validate(&Value::String(text.to_string()), def).is_empty()
    };
    let found = ["\u{1}", "!", "", "\u{1F600}", "§ ", "\n", ":"].into_iter().find(probe);
    assert!(found.is_some() || ANY.contains(&pattern), "nothing fails {pattern}");
    found.map(str::to_owned)
}

fn check(service: &ServiceDef, operation: &str, input: &'static ShapeDef, place: &Place, violation: Violation) {
    let found = validate(&wrap(violation.value, &place.steps), input);
    let expected = match place.steps.split_last() {
        Some((Step::Element, holder)) if violation.at_holder => (path(holder), "Member must satisfy constraint: ["),
        Some((Step::MapValue, holder)) if violation.at_holder => (path(holder), "Map value must satisfy constraint: ["),
        _ => (path(&place.steps), ""),
    };
    let reported = |one: &&longshore_wire::validate::Violation| {
        one.path == expected.0
            && one.constraint.starts_with(expected.1)
            && one.constraint.contains(&violation.constraint)
    };
    let first = found.iter().find(reported);
    let name = format!("{}:{operation}", service.name);
    let one = first.unwrap_or_else(|| panic!("{name} {} {}: {found:?}", expected.0, violation.constraint));
    let fault = Fault::validation(service, std::slice::from_ref(one));
    assert_eq!((fault.code, fault.status), (service.validation_code, 400), "{name}");
    assert!(fault.message.to_lowercase().contains(&expected.0.to_lowercase()), "{name}: {}", fault.message);
}

/// The input that holds `value` at the end of `steps` and nothing else.
fn wrap(value: Value, steps: &[Step]) -> Value {
    steps.iter().rev().fold(value, |value, step| match step {
        Step::Member(def, index) => {
            let mut structure = Structure::empty(def);
            structure.members[*index] = Some(value);
            Value::Structure(structure)
        }
        Step::Element => Value::List(vec![value]),
        Step::MapValue => Value::Map(vec![("key".to_owned(), value)]),
    })
}

fn path(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Member(def, index) => join(&path, &lower_first(def.members[*index].name)),
        Step::Element => join(&path, "1.member"),
        Step::MapValue => join(&path, "key.member"),
    })
}

fn join(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") }
}

fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}
