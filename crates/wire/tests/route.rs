//! Routing, decoding and answering whole requests: bad-input classes W1 and W3 to W6.

use http::request::Parts;
use longshore_wire::protocol::{Call, Refusal, body_limit, codec, route, unserved};
use longshore_wire::{
    Fault, Kind, MemberDef, OperationDef, ProtocolKind, ServiceDef, Shape, ShapeDef, ShapeRef, Value, record,
};

record! {
    #[derive(Default)]
    pub struct Input {
        pub name: Option<String> = "name",
        pub size: Option<i32> = "size",
        pub tags: Option<Vec<Tag>> = "tags",
    }

    pub struct Tag {
        pub key: Option<String> = "key",
    }

    pub struct Output {
        pub text: String = "text",
    }
}

const fn service(name: &'static str, protocols: &'static [ProtocolKind]) -> ServiceDef {
    ServiceDef {
        name,
        api_version: "2020-01-01",
        target_prefix: "",
        protocols,
        signing_name: name,
        xml_namespace: "https://example.com/",
        endpoint_prefix: name,
        validation_code: "ValidationError",
        missing_code: "ValidationError",
        operations: OPERATIONS,
    }
}

static OPERATIONS: &[OperationDef] = &[
    OperationDef::named("Get").built().input(ShapeRef::of::<Input>()).output(ShapeRef::of::<Output>()),
    OperationDef::named("Put"),
];
static JSON: ServiceDef = ServiceDef { target_prefix: "Json_2020", ..service("json", &[ProtocolKind::AwsJson11]) };
static QUERY: ServiceDef = service("query", &[ProtocolKind::AwsQuery]);
static EC2: ServiceDef = ServiceDef { api_version: "2021-02-02", ..service("ec2", &[ProtocolKind::Ec2Query]) };
static SERVICES: &[&ServiceDef] = &[&JSON, &QUERY, &EC2];

const JSON_TYPE: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
const FORM_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
const TARGET: (&str, &str) = ("x-amz-target", "Json_2020.Get");

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = http::Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a request head").into_parts().0
}

/// What a request is answered with: the operation and its input, or the fault's code and status.
fn outcome(head: &Parts, body: &[u8]) -> String {
    let call = match route(SERVICES, head, body) {
        Ok(call) => call,
        Err(Refusal { fault, .. }) => return format!("{} {}", fault.status, fault.code),
    };
    match call.input(head, body) {
        Ok(Value::Structure(input)) => format!("{call:?} {input:?}"),
        Ok(other) => format!("{call:?} no structure: {other:?}"),
        Err(fault) => format!("{} {}", fault.status, fault.code),
    }
}

#[test]
fn json_requests_are_told_by_their_target() {
    let get = "json:Get over AwsJson11";
    for (headers, body, expected) in [
        (&[JSON_TYPE, TARGET][..], "{}", format!("{get} Input")),
        (&[("content-type", "Application/X-Amz-JSON-1.1; charset=utf-8"), TARGET], "{}", format!("{get} Input")),
        (&[("content-type", "application/x-amz-json-1.0"), TARGET], "{}", "json:Get over AwsJson10 Input".into()),
        (&[JSON_TYPE, TARGET], r#"{"name":"a","x":0}"#, format!("{get} Input {{ name: String(\"a\") }}")),
        (&[JSON_TYPE, TARGET], "", "400 SerializationException".into()),
        (&[JSON_TYPE, TARGET], "[]", "400 SerializationException".into()),
        (&[JSON_TYPE, TARGET], "{}\u{0}", "400 SerializationException".into()),
        (&[JSON_TYPE], "{}", "400 UnknownOperationException".into()),
        (&[TARGET], "{}", "400 UnknownOperationException".into()),
        (&[("content-type", "application/json"), TARGET], "{}", "400 UnknownOperationException".into()),
        (&[("content-type", "text/plain"), TARGET], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, TARGET, TARGET], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", "Json_2020.get")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", "json_2020.Get")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", "Json_2020.None")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", "Other.Get")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", ".Get")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", "Get")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, ("x-amz-target", "")], "{}", "400 UnknownOperationException".into()),
        (&[JSON_TYPE, TARGET, ("content-encoding", "gzip")], "{}", "415 UnsupportedMediaTypeException".into()),
        (&[JSON_TYPE, TARGET, ("content-encoding", "identity")], "{}", format!("{get} Input")),
    ] {
        assert_eq!(outcome(&head("POST", "/", headers), body.as_bytes()), expected, "{headers:?} {body}");
    }
    assert_eq!(outcome(&head("GET", "/", &[JSON_TYPE, TARGET]), b"{}"), "400 UnknownOperationException");
    assert_eq!(outcome(&head("POST", "/x", &[JSON_TYPE, TARGET]), b"{}"), "404 UnknownOperationException");
}

#[test]
fn query_requests_are_told_by_action_version_and_scope() {
    let get = "query:Get over AwsQuery Input";
    for (uri, body, expected) in [
        ("/", "Action=Get&Version=2020-01-01", get),
        ("/?Action=Get&Version=2020-01-01", "", get),
        ("/", "Version=2020-01-01&&Action=Get&", get),
        ("/", "Action=Get&Version=2021-02-02", "ec2:Get over Ec2Query Input"),
        ("/", "Action=Get&Version=1999-01-01", "400 InvalidAction"),
        ("/", "Action=Get", "400 InvalidAction"),
        ("/", "Action=get&Version=2020-01-01", "400 InvalidAction"),
        ("/", "Action=None&Version=2020-01-01", "400 InvalidAction"),
        ("/", "Action=Get&Action=Put&Version=2020-01-01", "400 InvalidAction"),
        ("/", "Action=Get&Version=2020-01-01&Version=2021-02-02", "400 InvalidAction"),
        ("/?Action=Get", "Action=Get&Version=2020-01-01", "400 InvalidAction"),
        ("/", "Version=2020-01-01", "400 MissingAction"),
        ("/", "", "400 MissingAction"),
        ("/", "%41ction=Get&Version=2020%2D01%2D01", get),
        ("/", "Action=Get&Version=2020-01-01&x=%zz", "400 MalformedInput"),
        ("/", "Action=Get&Version=2020-01-01&x=%4", "400 MalformedInput"),
        ("/", "Action=Get&Version=2020-01-01&x=%ff", "400 MalformedInput"),
        ("/", "Action=Get&Version=2020-01-01&x=%00", "400 MalformedInput"),
    ] {
        assert_eq!(outcome(&head("POST", uri, &[FORM_TYPE]), body.as_bytes()), expected, "{uri} {body}");
    }
    let plain = head("POST", "/", &[("content-type", "text/plain")]);
    assert_eq!(outcome(&plain, b"Action=Get&Version=2020-01-01"), "400 MissingAction");
}

#[test]
fn the_signed_service_is_the_one_that_answers() {
    for (scope, version, expected) in [
        ("query", "2020-01-01", "query:Get over AwsQuery Input"),
        ("ec2", "2021-02-02", "ec2:Get over Ec2Query Input"),
        ("ec2", "2020-01-01", "400 InvalidAction"),
        ("other", "2020-01-01", "query:Get over AwsQuery Input"),
    ] {
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20200101/us-east-1/{scope}/aws4_request, SignedHeaders=host, Signature=00"
        );
        let head = head("POST", "/", &[FORM_TYPE, ("authorization", &credential)]);
        assert_eq!(outcome(&head, format!("Action=Get&Version={version}").as_bytes()), expected, "{scope} {version}");
    }
}

#[test]
fn lists_are_read_by_their_numbers_and_nothing_is_made_by_them() {
    let tags = |keys: &[&str]| {
        let tags: Vec<String> = keys.iter().map(|key| format!("Structure(Tag {{ key: String({key:?}) }})")).collect();
        format!("query:Get over AwsQuery Input {{ tags: List([{}]) }}", tags.join(", "))
    };
    let malformed = || "400 MalformedInput".to_owned();
    for (fields, expected) in [
        ("tags.member.1.key=a&tags.member.2.key=b", tags(&["a", "b"])),
        ("tags.member.3.key=b&tags.member.1.key=a", tags(&["a", "b"])),
        ("tags.member.10.key=b&tags.member.9.key=a", tags(&["a", "b"])),
        ("tags.member.1000000000.key=a", tags(&["a"])),
        ("tags=", tags(&[])),
        ("tags.member.0.key=a", malformed()),
        ("tags.member.01.key=a", malformed()),
        ("tags.member.-1.key=a", malformed()),
        ("tags.member.99999999999.key=a", malformed()),
        ("tags.member.x.key=a", malformed()),
        ("tags.member.%2B1.key=a", malformed()),
        ("tags.1.key=a", malformed()),
        ("tags.entry.1.key=a", malformed()),
        ("tags.member=a", malformed()),
        ("tags.member.1=a", malformed()),
        ("tags=a", malformed()),
        ("tags.member.1.key=a&tags.member.1.key=b", malformed()),
        ("size=1.5", malformed()),
        ("size=%2B1", malformed()),
        ("size=2147483648", malformed()),
        ("size=", malformed()),
        ("name.x=a", malformed()),
    ] {
        let body = format!("Action=Get&Version=2020-01-01&{fields}");
        assert_eq!(outcome(&head("POST", "/", &[FORM_TYPE]), body.as_bytes()), expected, "{fields}");
    }
}

#[test]
fn ec2_lists_are_flat_and_names_begin_with_a_capital() {
    for (fields, expected) in [
        ("Tags.1.Key=a", "ec2:Get over Ec2Query Input { tags: List([Structure(Tag { key: String(\"a\") })]) }"),
        ("tags.1.key=a", "ec2:Get over Ec2Query Input"),
        ("Tags.member.1.Key=a", "400 InvalidParameterValue"),
        ("Name=a", "ec2:Get over Ec2Query Input { name: String(\"a\") }"),
    ] {
        let body = format!("Action=Get&Version=2021-02-02&{fields}");
        assert_eq!(outcome(&head("POST", "/", &[FORM_TYPE]), body.as_bytes()), expected, "{fields}");
    }
}

#[test]
fn names_and_forms_have_limits() {
    let form = head("POST", "/", &[FORM_TYPE]);
    let deep = |forks: usize| (0..forks).map(|fork| format!("{fork}{}=&", ".a".repeat(31))).collect::<String>();
    assert_eq!(
        outcome(&form, format!("Action=Get&Version=2020-01-01&{}", deep(600)).as_bytes()),
        "query:Get over AwsQuery Input"
    );
    for fields in ["a.".repeat(33), "a=&".repeat(20_001), ".".repeat(500_000), deep(700)] {
        let body = format!("Action=Get&Version=2020-01-01&{fields}");
        assert_eq!(outcome(&form, body.as_bytes()), "400 MalformedInput");
    }
    assert_eq!(outcome(&form, &vec![b'a'; body_limit(&form) + 1]), "413 RequestEntityTooLargeException");
    let json = head("POST", "/", &[JSON_TYPE, TARGET]);
    assert!(body_limit(&json) > body_limit(&form));
    assert_eq!(outcome(&json, &vec![b' '; body_limit(&json) + 1]), "413 RequestEntityTooLargeException");
}

fn call(service: &'static ServiceDef, kind: ProtocolKind) -> Call {
    Call { service, operation: &service.operations[0], protocol: codec(kind) }
}

#[test]
fn xml_replies_are_well_formed_whatever_they_hold() {
    for (text, read) in [
        ("a<b>&\"'", "a<b>&\"'"),
        ("]]>", "]]>"),
        ("\u{1F600}\u{e9}", "\u{1F600}\u{e9}"),
        ("a\u{1}b\u{0}\u{1b}[31m", "a\u{fffd}b\u{fffd}\u{fffd}[31m"),
        ("\u{fffe}\u{ffff}", "\u{fffd}\u{fffd}"),
        ("a\r\nb\tc", "a\r\nb\tc"),
        ("", ""),
    ] {
        for (service, kind) in [(&QUERY, ProtocolKind::AwsQuery), (&EC2, ProtocolKind::Ec2Query)] {
            let reply = call(service, kind).reply(Some(&Output { text: text.to_owned() }), "id-1");
            assert_eq!(element(reply.body(), "text"), read, "{text:?}");
            let fault = Fault::common("Code", 400, format!("x{text}"));
            assert_eq!(element(call(service, kind).fault(&fault, "id-1").body(), "Message"), format!("x{read}"));
        }
    }
}

/// The text of the first element of a name, by a parser that refuses what is not well-formed.
fn element(body: &[u8], name: &str) -> String {
    use quick_xml::events::Event;
    let body = std::str::from_utf8(body).expect("UTF-8");
    let mut reader = quick_xml::Reader::from_str(body);
    let (mut inside, mut text, mut depth) = (false, String::new(), 0);
    loop {
        match reader.read_event().expect(body) {
            Event::Start(tag) => {
                depth += 1;
                inside |= tag.name().as_ref() == name;
            }
            Event::Text(part) if inside => text.push_str(&part),
            Event::GeneralRef(part) if inside => {
                text.push_str(&quick_xml::escape::unescape(&format!("&{};", &*part)).expect("a reference"));
            }
            Event::End(_) => {
                depth -= 1;
                if inside {
                    return text;
                }
            }
            Event::Eof => panic!("no {name} in {body}, depth {depth}"),
            _ => {}
        }
    }
}

#[test]
fn faults_are_spelt_as_each_protocol_does() {
    let fault = Fault::common("NoSuchThing", 404, "gone");
    for (service, kind, body) in [
        (&JSON, ProtocolKind::AwsJson11, r#"{"__type":"NoSuchThing","message":"gone"}"#),
        (
            &QUERY,
            ProtocolKind::AwsQuery,
            "<ErrorResponse xmlns=\"https://example.com/\"><Error><Type>Sender</Type><Code>NoSuchThing</Code>\
             <Message>gone</Message></Error><RequestId>id-1</RequestId></ErrorResponse>",
        ),
        (
            &EC2,
            ProtocolKind::Ec2Query,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>NoSuchThing</Code><Message>gone</Message></Error></Errors>\
             <RequestID>id-1</RequestID></Response>",
        ),
    ] {
        let reply = call(service, kind).fault(&fault, "id-1");
        assert_eq!(reply.status(), 404);
        assert_eq!(reply.headers()["x-amzn-requestid"], "id-1");
        assert_eq!(String::from_utf8_lossy(reply.body()), body);
    }
}

#[test]
fn an_operation_without_output_has_an_empty_reply() {
    let put = |service, kind| Call { operation: &OPERATIONS[1], ..call(service, kind) };
    let reply = put(&JSON, ProtocolKind::AwsJson11).reply(Some(&()), "id-1");
    assert_eq!((reply.status().as_u16(), reply.body().as_slice()), (200, &b""[..]));
    let reply = put(&QUERY, ProtocolKind::AwsQuery).reply(Some(&()), "id-1");
    let expected = "<PutResponse xmlns=\"https://example.com/\"><ResponseMetadata><RequestId>id-1</RequestId>\
                    </ResponseMetadata></PutResponse>";
    assert_eq!(String::from_utf8_lossy(reply.body()), expected);
}

#[test]
fn who_asks_for_a_service_that_is_not_here_is_told_so_in_its_own_form() {
    let signed = |service: &str| {
        format!("AWS4-HMAC-SHA256 Credential=k/20200101/r/{service}/aws4_request, SignedHeaders=host, Signature=0")
    };
    let json = r#"{"__type":"UnsupportedOperationException","message":"Longshore does not implement SERVICE yet"}"#;
    let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>UnsupportedOperationException</Code>\
               <Message>Longshore does not implement SERVICE yet</Message></Error><RequestId>id</RequestId></ErrorResponse>";
    let form = [FORM_TYPE];
    for (method, uri, headers, service, expected) in [
        ("GET", "/", &[][..], "s3", xml),
        ("PUT", "/bucket/key", &[("content-type", "application/json")], "s3", xml),
        ("GET", "/2013-04-01/hostedzone", &[], "route53", xml),
        ("GET", "/2015-03-31/functions", &[], "lambda", json),
        ("POST", "/", &form, "redshift", xml),
        ("POST", "/", &[("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "D.L")], "dynamodb", json),
        ("POST", "/", &[TARGET], "s3", json),
    ] {
        let authorization = signed(service);
        let headers: Vec<_> = headers.iter().copied().chain([("authorization", authorization.as_str())]).collect();
        let refusal = unserved(SERVICES, &head(method, uri, &headers)).expect("a refusal");
        let reply = refusal.reply("id");
        let body = String::from_utf8_lossy(reply.body()).into_owned();
        assert_eq!((reply.status().as_u16(), body), (400, expected.replace("SERVICE", service)), "{service}");
    }
    let long = signed(&"<".repeat(5000));
    let reply =
        unserved(SERVICES, &head("GET", "/", &[FORM_TYPE, ("authorization", &long)])).expect("a refusal").reply("id");
    assert!(reply.body().len() < 1000 && !reply.body().windows(2).any(|pair| pair == b"<<"));
    for authorization in [signed("query"), signed("json"), "Basic eDp5".to_owned()] {
        assert!(unserved(SERVICES, &head("GET", "/", &[("authorization", &authorization)])).is_none());
    }
    assert!(unserved(SERVICES, &head("GET", "/", &[])).is_none());
}

#[test]
fn violations_are_worded_by_the_service() {
    static SHORT: ShapeDef = ShapeDef::new("Short", Kind::String).min(1).max(3).pattern("[a-z]*");
    static DEF: ShapeDef = ShapeDef::structure("Checked").members(&[
        MemberDef::new("Name", ShapeRef::Table(&SHORT)).required(),
        MemberDef::new("Other", ShapeRef::Table(&SHORT)),
    ]);
    let decode = |text: &str| longshore_wire::json::decode(text.as_bytes(), &DEF).expect("JSON");
    let fault = |service: &ServiceDef, value: &Value| {
        let fault = Fault::validation(service, &longshore_wire::validate::validate(value, &DEF));
        format!("{}: {}", fault.code, fault.message)
    };
    let both = decode(r#"{"Other":"ABCD"}"#);
    assert_eq!(
        fault(&QUERY, &both),
        "ValidationError: 3 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must \
         not be null; Value 'ABCD' at 'other' failed to satisfy constraint: Member must have length less than or equal \
         to 3; Value 'ABCD' at 'other' failed to satisfy constraint: Member must satisfy regular expression pattern: \
         [a-z]*"
    );
    let one = decode(r#"{"Name":""}"#);
    assert_eq!(
        fault(&QUERY, &one),
        "ValidationError: 1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have \
         length greater than or equal to 1"
    );
    let ec2 = ServiceDef { missing_code: "MissingParameter", validation_code: "InvalidParameterValue", ..EC2 };
    assert_eq!(fault(&ec2, &both), "MissingParameter: The request must contain the parameter Name");
    assert!(fault(&ec2, &one).starts_with("InvalidParameterValue: Value () for parameter Name is invalid. "));
}

#[test]
fn a_typed_input_is_decoded_and_checked() {
    let head = head("POST", "/", &[JSON_TYPE, TARGET]);
    let body = br#"{"tags":[{"key":"k"}]}"#;
    let call = route(SERVICES, &head, body).expect("a call");
    let input: Input = call.typed_input(&head, body).expect("an input");
    let tags = Some(vec![Tag { key: Some("k".into()) }]);
    assert_eq!(input, Input { tags, ..Input::default() });
    assert_eq!(Input::def().members.len(), 3);
}
