//! What is verified of a signature besides the signature itself: scope, time, and what must be signed.

use http::request::Parts;
use longshore_wire::ProtocolKind;
use longshore_wire::sigv4::{CanonicalRequest, Denial, Endpoint, Signature, Signer, payload_hash};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SIGNED_AT: i64 = 1_440_938_160;
const MINUTE: i64 = 60;

/// A request, as signed by a client that signs what it is told to.
#[derive(Clone)]
struct Attempt {
    region: &'static str,
    service: &'static str,
    scope_date: &'static str,
    timestamp: &'static str,
    headers: Vec<(&'static str, String)>,
    signed: &'static str,
    body: &'static [u8],
    sent: &'static [u8],
    now: i64,
}

fn attempt() -> Attempt {
    Attempt {
        region: "us-east-1",
        service: "ecs",
        scope_date: "20150830",
        timestamp: "20150830T123600Z",
        headers: vec![("host", "localhost:4566".into()), ("x-amz-date", "20150830T123600Z".into())],
        signed: "host;x-amz-date",
        body: b"{}",
        sent: b"{}",
        now: SIGNED_AT,
    }
}

impl Attempt {
    fn with(mut self, name: &'static str, value: &str, signed: &'static str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self.signed = signed;
        self
    }

    fn head(&self) -> Parts {
        let headers: Vec<(&str, &str)> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let signed: Vec<&str> = self.signed.split(';').collect();
        let canonical = CanonicalRequest {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            signed_headers: &signed,
            payload_hash: &payload_hash(self.body),
            normalize_path: true,
        };
        let (timestamp, region, service) = (self.timestamp, self.region, self.service);
        let signature = Signer { secret_key: SECRET, timestamp, region, service }.signature(&canonical.render());
        let credential = format!("AKID/{}/{region}/{service}/aws4_request", self.scope_date);
        let value =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={}, Signature={signature}", self.signed);
        let request =
            headers.iter().fold(http::Request::post("/"), |request, (name, value)| request.header(*name, *value));
        request.header("authorization", value).body(()).unwrap().into_parts().0
    }

    fn verdict(&self) -> Result<(), Denial> {
        let head = self.head();
        let signature = Signature::of_request(&head)?.ok_or(Denial::Missing)?;
        signature.admissible(&head, &Endpoint { regions: &["us-east-1"], service: "ecs", now: self.now })?;
        if signature.is_by(SECRET, &head, self.sent) { Ok(()) } else { Err(Denial::Mismatch) }
    }
}

/// The code and the beginning of the message that a JSON service answers with.
fn refused(attempt: &Attempt) -> String {
    attempt.verdict().expect_err("a denial").fault(ProtocolKind::AwsJson11).to_string()
}

#[test]
fn what_was_signed_for_here_and_now_is_taken() {
    assert_eq!(attempt().verdict(), Ok(()));
    for off in [-15 * MINUTE, 15 * MINUTE] {
        assert_eq!(Attempt { now: SIGNED_AT + off, ..attempt() }.verdict(), Ok(()));
    }
    let hash = payload_hash(b"{}");
    let told = attempt().with("x-amz-content-sha256", &hash, "host;x-amz-content-sha256;x-amz-date");
    assert_eq!(told.verdict(), Ok(()));
}

#[test]
fn a_clock_that_is_off_is_refused_in_awss_words() {
    let early = refused(&Attempt { now: SIGNED_AT - 15 * MINUTE - 1, ..attempt() });
    assert_eq!(
        early,
        "InvalidSignatureException: Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z \
         (20150830T122059Z + 15 min.)"
    );
    let late = refused(&Attempt { now: SIGNED_AT + 15 * MINUTE + 1, ..attempt() });
    assert_eq!(
        late,
        "InvalidSignatureException: Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
         (20150830T125101Z - 15 min.)"
    );
}

#[test]
fn a_scope_of_elsewhere_is_refused() {
    for (attempt, words) in [
        (
            Attempt { region: "eu-west-1", ..attempt() },
            "Credential should be scoped to a valid region, not 'eu-west-1'.",
        ),
        (Attempt { service: "iam", ..attempt() }, "Credential should be scoped to correct service: 'ecs'."),
        (Attempt { scope_date: "20150831", ..attempt() }, "Date in Credential scope does not match YYYYMMDD"),
    ] {
        let refused = refused(&attempt);
        assert!(refused.starts_with("InvalidSignatureException: ") && refused.contains(words), "{refused}");
    }
}

#[test]
fn a_date_that_is_none_is_refused() {
    for date in ["", "20150830", "20150830T123600", "2015-08-30T12:36:00Z", "20150830T123660Z", "20150830t123600z"] {
        let attempt = attempt().with("x-amz-date", date, "host;x-amz-date");
        assert!(attempt.verdict().is_err(), "{date}");
    }
    let mut without = attempt();
    without.headers.retain(|(name, _)| *name != "x-amz-date");
    without.headers.push(("date", "Sun, 30 Aug 2015 12:36:00 GMT".to_owned()));
    without.signed = "date;host";
    assert!(refused(&without).starts_with("IncompleteSignatureException: "));
}

#[test]
fn what_matters_must_be_signed() {
    for (attempt, words) in [
        (Attempt { signed: "x-amz-date", ..attempt() }, "'Host'"),
        (Attempt { signed: "host", ..attempt() }, "'x-amz-date'"),
        (attempt().with("x-amz-target", "A.B", "host;x-amz-date"), "'x-amz-target'"),
        (attempt().with("x-amz-security-token", "t", "host;x-amz-date"), "'x-amz-security-token'"),
        (Attempt { signed: "x-amz-date;host", ..attempt() }, "sorted"),
        (Attempt { signed: "host;host;x-amz-date", ..attempt() }, "each once"),
        (Attempt { signed: "Host;x-amz-date", ..attempt() }, "lower case"),
        (Attempt { signed: "host;x-absent;x-amz-date", ..attempt() }, "'x-absent'"),
    ] {
        let refused = refused(&attempt);
        assert!(refused.starts_with("InvalidSignatureException: ") && refused.contains(words), "{refused}");
    }
}

#[test]
fn a_body_that_is_not_the_signed_one_is_refused() {
    assert_eq!(Attempt { sent: b"{} ", ..attempt() }.verdict(), Err(Denial::Mismatch));
    for told in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", &payload_hash(b"")] {
        let lie = attempt().with("x-amz-content-sha256", told, "host;x-amz-content-sha256;x-amz-date");
        assert_eq!(lie.verdict(), Err(Denial::Mismatch), "{told}");
    }
}

#[test]
fn each_protocol_has_its_own_codes() {
    let table = [
        (
            Denial::Missing,
            [
                "MissingAuthenticationTokenException 400",
                "MissingAuthenticationToken 403",
                "MissingAuthenticationToken 403",
            ],
        ),
        (
            Denial::Incomplete("x".into()),
            ["IncompleteSignatureException 400", "IncompleteSignature 400", "AuthFailure 401"],
        ),
        (
            Denial::Invalid("x".into()),
            ["InvalidSignatureException 400", "SignatureDoesNotMatch 403", "AuthFailure 401"],
        ),
        (
            Denial::Stale("x".into()),
            ["InvalidSignatureException 400", "SignatureDoesNotMatch 403", "RequestExpired 400"],
        ),
        (Denial::UnknownKey, ["UnrecognizedClientException 400", "InvalidClientTokenId 403", "AuthFailure 401"]),
        (Denial::Mismatch, ["InvalidSignatureException 400", "SignatureDoesNotMatch 403", "AuthFailure 401"]),
        (Denial::ExpiredToken, ["ExpiredTokenException 400", "ExpiredToken 403", "RequestExpired 400"]),
    ];
    for (denial, expected) in table {
        for (kind, expected) in
            [ProtocolKind::AwsJson11, ProtocolKind::AwsQuery, ProtocolKind::Ec2Query].into_iter().zip(expected)
        {
            let fault = denial.fault(kind);
            assert_eq!(format!("{} {}", fault.code, fault.status), expected);
        }
    }
}

/// A presigned request of `expires` seconds, looked at `after` seconds.
fn presigned(expires: &str, after: i64, extra: &str) -> Result<(), Denial> {
    let query = format!(
        "Action=X{extra}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2Fecs%2Faws4_request\
         &X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
    );
    let canonical = CanonicalRequest {
        method: "GET",
        path: "/",
        query: &query,
        headers: &[("host", "localhost")],
        signed_headers: &["host"],
        payload_hash: &payload_hash(b""),
        normalize_path: true,
    };
    let signer = Signer { secret_key: SECRET, timestamp: "20150830T123600Z", region: "us-east-1", service: "ecs" };
    let uri = format!("/?{query}&X-Amz-Signature={}", signer.signature(&canonical.render()));
    let head = http::Request::get(uri).header("host", "localhost").body(()).unwrap().into_parts().0;
    let signature = Signature::of_request(&head)?.ok_or(Denial::Missing)?;
    signature.admissible(&head, &Endpoint { regions: &["us-east-1"], service: "ecs", now: SIGNED_AT + after })?;
    if signature.is_by(SECRET, &head, b"") { Ok(()) } else { Err(Denial::Mismatch) }
}

#[test]
fn a_presigned_request_lives_as_long_as_it_says() {
    assert_eq!(presigned("60", 60, ""), Ok(()));
    assert_eq!(presigned("604800", 604_800, "&a=b&a=%20&c"), Ok(()));
    assert!(matches!(presigned("60", 61, ""), Err(Denial::Stale(_))));
    assert!(matches!(presigned("60", -16 * MINUTE, ""), Err(Denial::Stale(_))));
    for expires in ["0", "-1", "604801", "", "1e3", "+60", "99999999999999999999"] {
        assert!(matches!(presigned(expires, 0, ""), Err(Denial::Incomplete(_))), "{expires}");
    }
    assert!(presigned("60", 0, "&X-Amz-Signature=00").is_err());
}
