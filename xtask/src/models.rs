//! Cuts botocore's service models down to facts: names, types, constraints. No prose, no examples.
//!
//! `models/services.json` says which services and operations, under `directory` what botocore calls a service where that
//! is not the name that policies know it by, and under `extra` which members clients send that the public model lacks;
//! each service becomes `models/<service>.json`, which holds the names of all operations and the shapes that the wanted
//! ones reach. Network-free: the caller names the `data` directory of an installed or unpacked botocore.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

const METADATA: &[&str] = &[
    "apiVersion",
    "endpointPrefix",
    "jsonVersion",
    "protocols",
    "serviceId",
    "signingName",
    "targetPrefix",
    "xmlNamespace",
];
const SHAPE_FACTS: &[&str] = &[
    "type",
    "required",
    "enum",
    "min",
    "max",
    "pattern",
    "flattened",
    "locationName",
    "timestampFormat",
    "union",
    "document",
    "sensitive",
    "exception",
    "fault",
    "error",
    "eventstream",
    "event",
];
const MEMBER_FACTS: &[&str] = &[
    "shape",
    "locationName",
    "queryName",
    "flattened",
    "idempotencyToken",
    "timestampFormat",
    "location",
    "streaming",
];

/// The list of services and operations.
pub fn services() -> Result<Map<String, Value>> {
    let list: Value = serde_json::from_str(&crate::read(&crate::root().join("models/services.json"))?)?;
    Ok(object(&list["services"])?.clone())
}

/// Writes every `models/<service>.json`.
pub fn run(data: &Path) -> Result<()> {
    for (service, wanted) in services()? {
        let version = text(&wanted["version"])?;
        let directory = wanted["directory"].as_str().unwrap_or(&service);
        let model = load(&data.join(directory).join(version)).with_context(|| format!("the model of {service}"))?;
        let trimmed = trim(&model, &wanted).with_context(|| format!("trimming {service}"))?;
        let path = crate::root().join("models").join(format!("{service}.json"));
        crate::write(&path, &format!("{}\n", render(&trimmed)?))?;
    }
    Ok(())
}

fn load(directory: &Path) -> Result<Value> {
    let plain = directory.join("service-2.json");
    if plain.exists() {
        return Ok(serde_json::from_str(&crate::read(&plain)?)?);
    }
    let packed = directory.join("service-2.json.gz");
    let file = std::fs::File::open(&packed).with_context(|| format!("opening {}", packed.display()))?;
    let mut content = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut content)?;
    Ok(serde_json::from_str(&content)?)
}

fn trim(model: &Value, wanted: &Value) -> Result<Value> {
    let built: BTreeSet<&str> = array(&wanted["built"])?.iter().filter_map(Value::as_str).collect();
    let mut operations = Map::new();
    let mut reached = BTreeSet::new();
    for (name, operation) in object(&model["operations"])? {
        let shaped = is_shaped(wanted, name, &built);
        operations.insert(name.clone(), if shaped { trim_operation(operation) } else { json!({}) });
        if shaped {
            reach_operation(model, operation, &mut reached);
        }
    }
    if let Some(unknown) = built.iter().find(|name| !operations.contains_key(**name)) {
        bail!("no operation {unknown}");
    }
    let shapes: Map<String, Value> = object(&model["shapes"])?
        .iter()
        .filter(|(name, _)| reached.contains(name.as_str()))
        .map(|(name, shape)| (name.clone(), with_extra(trim_shape(shape), &wanted["extra"][name.as_str()])))
        .collect();
    Ok(json!({
        "metadata": pick(&model["metadata"], METADATA),
        "operations": operations,
        "shapes": shapes,
    }))
}

/// `shapes` is `all`, `built`, or a list of operations that need shapes besides the built ones.
fn is_shaped(wanted: &Value, name: &str, built: &BTreeSet<&str>) -> bool {
    let listed = |names: &Vec<Value>| names.iter().any(|one| one == name);
    wanted["shapes"] == "all" || built.contains(name) || wanted["shapes"].as_array().is_some_and(listed)
}

fn reach_operation<'a>(model: &'a Value, operation: &'a Value, reached: &mut BTreeSet<&'a str>) {
    let errors = operation["errors"].as_array().into_iter().flatten();
    for part in [&operation["input"], &operation["output"]].into_iter().chain(errors) {
        if let Some(name) = part["shape"].as_str() {
            reach(model, name, reached);
        }
    }
}

fn reach<'a>(model: &'a Value, name: &'a str, reached: &mut BTreeSet<&'a str>) {
    if !reached.insert(name) {
        return;
    }
    let shape = &model["shapes"][name];
    let members = shape["members"].as_object().into_iter().flat_map(Map::values);
    for part in [&shape["member"], &shape["key"], &shape["value"]].into_iter().chain(members) {
        if let Some(name) = part["shape"].as_str() {
            reach(model, name, reached);
        }
    }
}

fn trim_operation(operation: &Value) -> Value {
    let mut facts = Map::new();
    if let Some(input) = operation["input"]["shape"].as_str() {
        facts.insert("input".into(), input.into());
    }
    if let Some(output) = operation["output"]["shape"].as_str() {
        facts.insert("output".into(), output.into());
    }
    if let Some(wrapper) = operation["output"].get("resultWrapper") {
        facts.insert("resultWrapper".into(), wrapper.clone());
    }
    let errors: Vec<&Value> =
        operation["errors"].as_array().into_iter().flatten().map(|error| &error["shape"]).collect();
    if !errors.is_empty() {
        facts.insert("errors".into(), json!(errors));
    }
    if operation["readonly"] == true {
        facts.insert("readonly".into(), true.into());
    }
    Value::Object(facts)
}

fn trim_shape(shape: &Value) -> Value {
    let mut facts = pick(shape, SHAPE_FACTS);
    for part in ["member", "key", "value"] {
        if let Some(target) = shape.get(part) {
            facts.insert(part.into(), Value::Object(pick(target, MEMBER_FACTS)));
        }
    }
    if let Some(members) = shape["members"].as_object() {
        let members = members.iter().map(|(name, member)| (name.clone(), pick(member, MEMBER_FACTS).into()));
        facts.insert("members".into(), Value::Object(members.collect()));
    }
    Value::Object(facts)
}

/// The shape with the members that clients send beyond the public model.
fn with_extra(mut shape: Value, extra: &Value) -> Value {
    let members = shape.get_mut("members").and_then(Value::as_object_mut);
    if let (Some(members), Some(extra)) = (members, extra.as_object()) {
        members.extend(extra.clone());
    }
    shape
}

fn pick(value: &Value, facts: &[&str]) -> Map<String, Value> {
    facts.iter().filter_map(|fact| Some((fact.to_string(), value.get(fact)?.clone()))).collect()
}

/// One line per operation and shape: small files, small diffs.
fn render(model: &Value) -> Result<String> {
    let mut sections = Vec::new();
    for (section, content) in object(model)? {
        let lines: Vec<String> =
            object(content)?.iter().map(|(name, facts)| format!("    {}: {facts}", json!(name))).collect();
        sections.push(format!("  {}: {{\n{}\n  }}", json!(section), lines.join(",\n")));
    }
    Ok(format!("{{\n{}\n}}", sections.join(",\n")))
}

fn object(value: &Value) -> Result<&Map<String, Value>> {
    value.as_object().context("expected an object")
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().context("expected an array")
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("expected a string")
}
