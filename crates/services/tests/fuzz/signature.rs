//! Signatures: whatever a request holds, it is signed by nobody, and reading it twice reads the same.

use http::request::Parts;
use longshore_wire::ProtocolKind;
use longshore_wire::sigv4::{Denial, Endpoint, Signature};

use crate::Target;

pub static TARGET: Target = Target {
    name: "signatures",
    seeds: &[
        "POST /\nhost: localhost:4566\nx-amz-date: 20150830T123600Z\nx-amz-target: A.B\nauthorization: AWS4-HMAC-SHA256 \
         Credential=AKID/20150830/us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, \
         Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7\n\n{}",
        "GET /a/../b//%2e%2E/?b=%20+&a=&a&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20150830%2Fus-east-1%2F\
         ecs%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=ab\n\
         host: localhost\n\n",
        "POST /\nhost: localhost\nx-amz-date: 20150830T123600Z\nx-amz-security-token: t\nx-amz-content-sha256: UNSIGNED-PAYLOAD\n\
         authorization: AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/ecs/aws4_request,SignedHeaders=host;\
         x-amz-content-sha256;x-amz-date;x-amz-security-token,Signature=00\n\nbody",
    ],
    words: &[
        "AWS4-HMAC-SHA256 ",
        "Credential=",
        "SignedHeaders=",
        "Signature=",
        "aws4_request",
        "/20150830/",
        "host;",
        "x-amz-date",
        "x-amz-target",
        "x-amz-security-token",
        "x-amz-content-sha256",
        "authorization: ",
        "\n",
        "\nhost: ",
        "X-Amz-Expires=",
        "X-Amz-Signature=",
        "&X-Amz-Date=",
        "20150830T123600Z",
        "%2F",
        "%",
        "/../",
        "//",
        ";",
        ", ",
        "us-east-1",
        "ecs",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    ],
    run,
    least: 30,
};

const NOON: i64 = 1_440_938_160;

/// A secret that no input was signed with.
const SECRET: &str = "fuzzers do not know this one, and nobody signs with it";

/// The head and the body: a line of method and target, lines of headers, an empty one, the body.
fn request(input: &[u8]) -> Option<(Parts, &[u8])> {
    let end = input.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (&input[..end], &input[end + 2..]);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let mut request = http::Request::builder().method(first.next()?).uri(first.next()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}

fn run(input: &[u8]) -> String {
    let Some((head, body)) = request(input) else { return "no request".to_owned() };
    let read = Signature::of_request(&head);
    assert_eq!(read, Signature::of_request(&head));
    let signature = match read {
        Ok(Some(signature)) => signature,
        Ok(None) => return "no signature".to_owned(),
        Err(error) => return told(&Denial::from(error)),
    };
    assert!(!signature.is_by(SECRET, &head, body), "a signature of nobody");
    let endpoint = Endpoint { regions: &["us-east-1"], service: "ecs", now: NOON };
    match signature.admissible(&head, &endpoint) {
        Ok(()) => format!("admissible, {} headers, presigned {}", signature.signed_headers.len(), signature.presigned),
        Err(denial) => told(&denial),
    }
}

/// The denial without what it quotes; each protocol has words for it.
fn told(denial: &Denial) -> String {
    for kind in [ProtocolKind::AwsJson10, ProtocolKind::AwsJson11, ProtocolKind::AwsQuery, ProtocolKind::Ec2Query] {
        let fault = denial.fault(kind);
        assert!((400..500).contains(&fault.status), "{fault}");
    }
    let fault = denial.fault(ProtocolKind::AwsJson11).to_string();
    fault.chars().take_while(|letter| !letter.is_ascii_digit()).take(60).collect()
}
