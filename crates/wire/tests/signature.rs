//! Reading signatures: what is taken, and what is refused because it could be read in two ways.

use http::request::Parts;
use longshore_wire::sigv4::{CanonicalRequest, Signature, Signer, payload_hash};

const CREDENTIAL: &str = "Credential=AKID/20150830/us-east-1/iam/aws4_request";
const SIGNED: &str = "SignedHeaders=host;x-amz-date";

fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request =
        headers.iter().fold(http::Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
    request.body(()).expect("a request head").into_parts().0
}

fn read(value: &str) -> longshore_wire::Result<Option<Signature>> {
    Signature::of_request(&head("/", &[("authorization", value), ("x-amz-date", "20150830T123600Z")]))
}

#[test]
fn a_header_is_read() {
    for separator in [", ", ","] {
        let value = format!("AWS4-HMAC-SHA256 {}", [CREDENTIAL, SIGNED, "Signature=abc"].join(separator));
        let signature = read(&value).expect("readable").expect("present");
        let scope = &signature.scope;
        assert_eq!(
            [&*scope.access_key, &*scope.date, &*scope.region, &*scope.service, &*signature.signature],
            ["AKID", "20150830", "us-east-1", "iam", "abc"]
        );
        assert_eq!(signature.signed_headers, ["host", "x-amz-date"]);
        assert_eq!(signature.timestamp.as_deref(), Some("20150830T123600Z"));
        assert!(!signature.presigned);
    }
}

#[test]
fn a_presigned_query_is_read() {
    let uri = "/?Action=X&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fiam%2Faws4_request\
               &X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=abc\
               &X-Amz-Security-Token=a%2Bb";
    let signature = Signature::of_request(&head(uri, &[])).expect("readable").expect("present");
    assert_eq!((signature.scope.service.as_str(), signature.expires.as_deref()), ("iam", Some("60")));
    assert_eq!(signature.session_token.as_deref(), Some("a+b"));
    assert!(signature.presigned);
}

#[test]
fn nothing_is_no_signature() {
    assert_eq!(Signature::of_request(&head("/?Action=X", &[])), Ok(None));
}

#[test]
fn what_can_be_misread_is_refused() {
    let long = format!("AWS4-HMAC-SHA256 {CREDENTIAL},{SIGNED},Signature={}", "a".repeat(100_000));
    for value in [
        "",
        "Basic dXNlcjpwYXNz",
        "AWS4-HMAC-SHA1 Credential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host,Signature=a",
        "aws4-hmac-sha256 Credential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256\tCredential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws4_request,Signature=a",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/aws4_request,SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws3_request,SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830//iam/aws4_request,SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256 Credential=/20150830/us-east-1/iam/aws4_request,SignedHeaders=host,Signature=a",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host;;a,Signature=a",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host,Signature=a,Signature=b",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws4_request,SignedHeaders=host,Signature=a,Other=b",
        &long,
    ] {
        assert!(read(value).is_err(), "{}", &value[..value.len().min(200)]);
    }
    let good = format!("AWS4-HMAC-SHA256 {CREDENTIAL},{SIGNED},Signature=a");
    let twice = head("/", &[("authorization", &good), ("authorization", &good)]);
    let both = head("/?X-Amz-Algorithm=AWS4-HMAC-SHA256", &[("authorization", &good)]);
    let dates = head("/", &[("authorization", &good), ("x-amz-date", "a"), ("x-amz-date", "b")]);
    let queries = head("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=AWS4-HMAC-SHA256", &[]);
    for head in [twice, both, dates, queries] {
        assert!(Signature::of_request(&head).is_err(), "{head:?}");
    }
}

/// The worked example of AWS's own guide to Signature Version 4.
#[test]
fn the_guides_example_signs_as_the_guide_says() {
    let signer = Signer {
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        timestamp: "20150830T123600Z",
        region: "us-east-1",
        service: "iam",
    };
    let canonical = CanonicalRequest {
        method: "GET",
        path: "/",
        query: "Action=ListUsers&Version=2010-05-08",
        headers: &[
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ],
        signed_headers: &["content-type", "host", "x-amz-date"],
        payload_hash: &payload_hash(b""),
        normalize_path: true,
    }
    .render();
    let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    assert_eq!(signer.signature(&canonical), signature);
    assert!(signer.verifies(&canonical, signature));
    for position in 0..signature.len() {
        let mut forged = signature.as_bytes().to_vec();
        forged[position] ^= 1;
        assert!(!signer.verifies(&canonical, std::str::from_utf8(&forged).expect("ASCII")), "{position}");
    }
    for forged in ["", &signature[1..], &signature.to_uppercase(), &signature.repeat(1000)] {
        assert!(!signer.verifies(&canonical, forged));
    }
}
