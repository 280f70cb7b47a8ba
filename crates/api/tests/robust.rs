//! No request makes the front door panic, and every answer is one a client can read, whatever the request holds.

use longshore_api::SERVICES;
use longshore_wire::protocol::{Reply, route};
use longshore_wire::sigv4::Signature;
use proptest::prelude::*;

/// The answer to a request; `None` if it would be carried out.
fn refusal(head: &http::request::Parts, body: &[u8]) -> Option<Reply> {
    let call = match route(SERVICES, head, body) {
        Ok(call) => call,
        Err(refusal) => return Some(refusal.reply("id")),
    };
    let fault = call.input(head, body).err()?;
    Some(call.fault(&fault, "id"))
}

fn is_refused_politely(reply: Option<Reply>) -> bool {
    reply.is_none_or(|reply| (400..500).contains(&reply.status().as_u16()) && !reply.body().is_empty())
}

fn head(uri: &str, headers: &[(&str, &[u8])]) -> Option<http::request::Parts> {
    let request = http::Request::builder().method("POST").uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Some(request.body(()).ok()?.into_parts().0)
}

fn json_piece() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"family\"",
        "\"containerDefinitions\"",
        "\"name\"",
        "\"image\"",
        "\"memory\"",
        "\"essential\"",
        "\"a\"",
        "1",
        "-1.5",
        "true",
        "null",
        "1e999",
        "\"\\u0000\"",
        "\"\u{202e}\"",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn form_piece() -> impl Strategy<Value = String> {
    let words = [
        "&",
        "=",
        ".",
        "%",
        "%2E",
        "+",
        "Filter",
        "1",
        "0",
        "Name",
        "Value",
        "SubnetId",
        "member",
        "MaxResults",
        "9999999999",
        "-1",
        "true",
        "x",
        "%00",
        "%F0%9F%98%80",
    ];
    prop::sample::select(words.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn json_bodies_are_taken_or_refused(pieces in prop::collection::vec(json_piece(), 0..24), operation in 0usize..88) {
        let name = SERVICES[0].operations[operation].name;
        let target = format!("{}.{name}", SERVICES[0].target_prefix);
        let headers = [("content-type", &b"application/x-amz-json-1.1"[..]), ("x-amz-target", target.as_bytes())];
        let head = head("/", &headers).expect("a request head");
        prop_assert!(is_refused_politely(refusal(&head, pieces.concat().as_bytes())));
    }

    #[test]
    fn forms_are_taken_or_refused(pieces in prop::collection::vec(form_piece(), 0..24)) {
        let head = head("/", &[("content-type", b"application/x-www-form-urlencoded")]).expect("a request head");
        let body = format!("Action=DescribeSubnets&Version=2016-11-15&{}", pieces.concat());
        prop_assert!(is_refused_politely(refusal(&head, body.as_bytes())));
    }

    #[test]
    fn any_head_and_body_are_taken_or_refused(
        path in "/[ -~]{0,30}",
        media_type in prop::collection::vec(any::<u8>(), 0..40),
        target in prop::collection::vec(any::<u8>(), 0..40),
        authorization in "(AWS4-HMAC-SHA256 )?[ -~]{0,80}",
        body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let headers = [
            ("content-type", media_type.as_slice()),
            ("x-amz-target", target.as_slice()),
            ("authorization", authorization.as_bytes()),
        ];
        for count in 0..=headers.len() {
            let Some(head) = head(&path, &headers[..count]) else { continue };
            prop_assert!(is_refused_politely(refusal(&head, &body)));
            let _ = Signature::of_request(&head);
        }
    }
}
