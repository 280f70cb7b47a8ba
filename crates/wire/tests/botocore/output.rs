//! Replies: results and errors encoded, then compared with the bodies they were parsed from.

use crate::{Case, model, run, tree};
use longshore_wire::protocol::{Output, Target, codec};
use longshore_wire::{Fault, FaultDef, ProtocolKind, ServiceDef};

const OTHER_SPELLING: &str = "the same instant in another zone; we write UTC";
const FOR_CLIENTS: &str = "a form that clients must understand and servers should not send";
const BOTOCORE_DIFFERS: &str = "botocore itself names such lists otherwise, and so do its models";
const NO_MESSAGE: &str = "the body has a message that the case does not give";

const SKIPS: &[(&str, &str)] = &[
    ("AwsJson11DateTimeWithNegativeOffset", OTHER_SPELLING),
    ("AwsJson11DateTimeWithPositiveOffset", OTHER_SPELLING),
    ("AwsQueryDateTimeWithNegativeOffset", OTHER_SPELLING),
    ("AwsQueryDateTimeWithPositiveOffset", OTHER_SPELLING),
    ("Ec2QueryDateTimeWithNegativeOffset", OTHER_SPELLING),
    ("Ec2QueryDateTimeWithPositiveOffset", OTHER_SPELLING),
    ("handles_unexpected_json_output", FOR_CLIENTS),
    ("AwsJson10HandlesUnexpectedJsonOutput", FOR_CLIENTS),
    ("AwsJson11DeserializeIgnoreType", FOR_CLIENTS),
    ("AwsJson10DeserializeIgnoreType", FOR_CLIENTS),
    ("AwsJson11FooErrorUsingXAmznErrorType", FOR_CLIENTS),
    ("AwsJson11FooErrorUsingXAmznErrorTypeWithUri", FOR_CLIENTS),
    ("AwsJson11FooErrorUsingXAmznErrorTypeWithUriAndNamespace", FOR_CLIENTS),
    ("AwsJson11FooErrorUsingCode", FOR_CLIENTS),
    ("AwsJson11FooErrorUsingCodeAndNamespace", FOR_CLIENTS),
    ("AwsJson11FooErrorUsingCodeUriAndNamespace", FOR_CLIENTS),
    ("AwsJson11FooErrorWithDunderTypeUriAndNamespace", FOR_CLIENTS),
    ("AwsJson10FooErrorUsingXAmznErrorType", FOR_CLIENTS),
    ("AwsJson10FooErrorUsingXAmznErrorTypeWithUri", FOR_CLIENTS),
    ("AwsJson10FooErrorUsingXAmznErrorTypeWithUriAndNamespace", FOR_CLIENTS),
    ("AwsJson10FooErrorUsingCode", FOR_CLIENTS),
    ("AwsJson10FooErrorUsingCodeAndNamespace", FOR_CLIENTS),
    ("AwsJson10FooErrorUsingCodeUriAndNamespace", FOR_CLIENTS),
    ("AwsJson10FooErrorWithDunderTypeUriAndNamespace", FOR_CLIENTS),
    ("QueryXmlLists", BOTOCORE_DIFFERS),
    ("Ec2XmlLists", BOTOCORE_DIFFERS),
    ("Ec2ComplexError", NO_MESSAGE),
];

#[test]
fn results_encode_to_the_bodies_they_were_parsed_from() {
    run("output", &["json", "json_1_0", "query", "ec2"], SKIPS, check);
}

fn check(case: &Case) -> Result<(), String> {
    let model = model::Model::new(&case.suite);
    let service = model.service(&case.suite, &case.case);
    let response = &case.case["response"];
    let expected = response["body"].as_str().unwrap_or_default();
    let reply =
        if case.case.get("error").is_some() { fault(case, &model, service)? } else { result(case, &model, service) };
    if response["status_code"] != reply.status().as_u16() {
        return Err(format!("status {}", reply.status()));
    }
    let actual = String::from_utf8(reply.into_body()).map_err(|error| error.to_string())?;
    compare(service, &actual, expected)
}

fn result(case: &Case, model: &model::Model, service: &'static ServiceDef) -> longshore_wire::protocol::Reply {
    let output = case.case["given"]["output"]["shape"].as_str();
    let value = output.map(|name| model::value(&case.case["result"], model.get(name)));
    let target = Target { service, operation: &service.operations[0] };
    let output = value.as_ref().map(|value| value as &dyn Output);
    codec(service.protocols[0]).encode(target, output, "id")
}

fn fault(
    case: &Case,
    model: &model::Model,
    service: &'static ServiceDef,
) -> Result<longshore_wire::protocol::Reply, String> {
    let names =
        case.case["given"]["errors"].as_array().into_iter().flatten().filter_map(|error| error["shape"].as_str());
    let code = case.case["errorCode"].as_str().unwrap_or_default();
    let mut defs = names.map(|name| model.fault(name)).filter(|def| def.code == code || def.name == code);
    let def: &'static FaultDef = Box::leak(Box::new(defs.next().ok_or("the error is not in the model")?));
    let message = case.case["errorMessage"].as_str().unwrap_or_default();
    let mut fault = Fault::new(def, message);
    for member in def.members.iter().filter(|member| !member.name.eq_ignore_ascii_case("message")) {
        if let Some(json) = case.case["error"].get(member.name) {
            fault = fault.with(def, member.name, model::value(json, member.shape.get()));
        }
    }
    Ok(codec(service.protocols[0]).encode_fault(Some(service), &fault, "id"))
}

fn compare(service: &ServiceDef, actual: &str, expected: &str) -> Result<(), String> {
    let equal = match service.protocols[0] {
        ProtocolKind::AwsQuery | ProtocolKind::Ec2Query => {
            expected.is_empty() || tree::xml(actual)?.normal() == tree::xml(expected)?.normal()
        }
        ProtocolKind::AwsJson10 | ProtocolKind::AwsJson11 => tree::json(actual)? == tree::json(expected)?,
    };
    if equal { Ok(()) } else { Err(format!("encoded {actual}\n  expected {expected}")) }
}
