//! Requests: routed and decoded, then compared with the parameters they were made from.

use crate::{Case, model, run};
use longshore_wire::protocol::route;
use longshore_wire::{ShapeDef, Value};

const ROOT_ONLY: &str = "Longshore is reached at the root path only";
const ENCODED: &str = "encoded bodies are refused, and the case has none to decode";
const MADE_BY_CLIENT: &str = "the client makes the token, the parameters have none";
const NOT_ON_THE_WIRE: &str = "clients send nothing for the empty collection";
const BOTOCORE_DIFFERS: &str = "botocore itself names such lists otherwise, and so do its models";

const SKIPS: &[(&str, &str)] = &[
    ("AwsJson11HostWithPath", ROOT_ONLY),
    ("AwsJson10HostWithPath", ROOT_ONLY),
    ("QueryHostWithPath", ROOT_ONLY),
    ("Ec2QueryHostWithPath", ROOT_ONLY),
    ("SDKAppliedContentEncoding_awsJson1_1", ENCODED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1", ENCODED),
    ("SDKAppliedContentEncoding_awsJson1_0", ENCODED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0", ENCODED),
    ("SDKAppliedContentEncoding_awsQuery", ENCODED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery", ENCODED),
    ("SDKAppliedContentEncoding_ec2Query", ENCODED),
    ("SDKAppendsGzipAndIgnoresHttpProvidedEncoding_ec2Query", ENCODED),
    ("QueryProtocolIdempotencyTokenAutoFill", MADE_BY_CLIENT),
    ("Ec2ProtocolIdempotencyTokenAutoFill", MADE_BY_CLIENT),
    ("QueryEmptyQueryMaps", NOT_ON_THE_WIRE),
    ("Ec2EmptyQueryLists", NOT_ON_THE_WIRE),
    ("QueryFlattenedListArgWithXmlName", BOTOCORE_DIFFERS),
];

#[test]
fn requests_decode_to_the_parameters_they_were_made_from() {
    run("input", &["json", "json_1_0", "query", "ec2"], SKIPS, check);
}

fn check(case: &Case) -> Result<(), String> {
    let model = model::Model::new(&case.suite);
    let service = model.service(&case.suite, &case.case);
    let serialized = &case.case["serialized"];
    let mut head = http::Request::builder().method("POST").uri("/");
    for (name, value) in serialized["headers"].as_object().into_iter().flatten() {
        head = head.header(name, value.as_str().unwrap_or_default());
    }
    if serialized.get("headers").is_none() && !service.target_prefix.is_empty() {
        head = head.header("x-amz-target", format!("{}.{}", service.target_prefix, service.operations[0].name));
        head = head.header("content-type", "application/x-amz-json-1.0");
    }
    let (head, ()) = head.body(()).map_err(|error| error.to_string())?.into_parts();
    let body = serialized["body"].as_str().unwrap_or_default().as_bytes();
    // Bodies that carry nothing may be left out of the cases; clients do send them.
    let body = if body.is_empty() && service.target_prefix.len() > 1 { b"{}" } else { body };
    let call = route(&[service], &head, body).map_err(|refusal| format!("{refusal:?}"))?;
    let decoded = call.input(&head, body).map_err(|fault| fault.to_string())?;
    let expected = case.case["given"]["input"]["shape"].as_str().map(|name| expected(case, model.get(name)));
    let expected = expected.unwrap_or(decoded.clone());
    match normal(&decoded) == normal(&expected) {
        true => Ok(()),
        false => Err(format!("decoded {}\n  expected {}", normal(&decoded), normal(&expected))),
    }
}

fn expected(case: &Case, def: &'static ShapeDef) -> Value {
    model::value(&case.case["params"], def)
}

/// A spelling in which equal values are equal: maps sorted, NaN a word.
fn normal(value: &Value) -> String {
    format!("{:?}", sorted(value.clone()))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::List(values) => Value::List(values.into_iter().map(sorted).collect()),
        Value::Map(mut entries) => {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Structure(mut structure) => {
            structure.members = structure.members.into_iter().map(|member| member.map(sorted)).collect();
            Value::Structure(structure)
        }
        other => other,
    }
}
