//! The Parameter Store by JSON: request in, answer or fault out.

mod filter;
mod life;
mod refuse;

use longshore_wire::json::{self, JsonWriter};
use longshore_wire::{Fault, validate};
use serde_json::{Value, json};

use crate::logs::testing::Bench;

/// Calls an operation; the request is decoded and checked as one over the wire is.
fn call(bench: &Bench, operation: &str, input: &Value) -> Result<Value, Fault> {
    let service = &super::SERVICE;
    let def = service.def.operation(operation).unwrap().input.unwrap().get();
    let value =
        json::decode(input.to_string().as_bytes(), def).map_err(|error| Fault::serialization(error.to_string()))?;
    let violations = validate::validate(&value, def);
    if !violations.is_empty() {
        return Err(Fault::validation(service.def, &violations));
    }
    let answered = (service.operation(operation).unwrap().run)(&mut bench.context(), value);
    assert_eq!(longshore_plan::check::state(&bench.store.read()), [], "after {operation} {input}");
    let output = answered?;
    let mut writer = JsonWriter::default();
    output.write_to(&mut writer);
    Ok(serde_json::from_slice(&writer.into_bytes()).unwrap_or(Value::Null))
}

fn ok(bench: &Bench, operation: &str, input: Value) -> Value {
    call(bench, operation, &input).unwrap_or_else(|fault| panic!("{operation} {input}: {fault}"))
}

/// Code and message of a call that must fail.
fn fault(bench: &Bench, operation: &str, input: Value) -> String {
    match call(bench, operation, &input) {
        Ok(output) => panic!("{operation} {input}: {output}"),
        Err(fault) => fault.to_string(),
    }
}

/// Makes a parameter or a version of it; answers the version.
fn put(bench: &Bench, name: &str, kind: &str, value: &str) -> i64 {
    let input = json!({"Name": name, "Type": kind, "Value": value, "Overwrite": true});
    ok(bench, "PutParameter", input)["Version"].as_i64().unwrap()
}

fn get(bench: &Bench, name: &str) -> Value {
    ok(bench, "GetParameter", json!({"Name": name, "WithDecryption": true}))["Parameter"].clone()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["Name"].as_str().unwrap()).collect()
}
