//! The Signature Version 4 test suite that comes with botocore.

use crate::directory;
use longshore_wire::sigv4::{CanonicalRequest, Signer, payload_hash};
use std::path::{Path, PathBuf};

/// The suite's published example key, date and scope.
const SIGNER: Signer<'static> = Signer {
    secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    timestamp: "20150830T123600Z",
    region: "us-east-1",
    service: "service",
};

#[test]
fn the_signature_suite_holds() {
    let directory = directory();
    let suite = directory.join("../auth/aws4_testsuite");
    let requests = find_requests(&suite);
    assert!(requests.len() > 20, "{} requests in {}", requests.len(), suite.display());
    let failures: Vec<String> = requests.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), requests.len(), failures.join("\n"));
}

fn find_requests(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a directory entry").path()) {
        if path.is_dir() {
            found.extend(find_requests(&path));
        } else if path.extension().is_some_and(|extension| extension == "req") {
            found.push(path);
        }
    }
    found
}

/// Checks the canonical request, the text to sign and the header of one request.
fn check(path: &Path) -> Result<(), String> {
    let sibling =
        |extension: &str| std::fs::read_to_string(path.with_extension(extension)).map_err(|error| error.to_string());
    let raw = sibling("req")?;
    let (head, body) = raw.split_once("\n\n").unwrap_or((&raw, ""));
    let expected = sibling("authz")?;
    let signed: Vec<&str> = between(&expected, "SignedHeaders=", ",").split(';').collect();
    let mut headers = headers(head);
    // The signer of this request adds the token, which the suite gives in the canonical request only.
    let token = sibling("creq")?.lines().find_map(|line| line.strip_prefix("x-amz-security-token:").map(str::to_owned));
    if !headers.iter().any(|(name, _)| name == "x-amz-security-token") {
        headers.extend(token.map(|token| ("x-amz-security-token".to_owned(), token)));
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let line = head.lines().next().unwrap_or_default();
    let (method, rest) = line.split_once(' ').ok_or("no request line")?;
    let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest);
    let (request_path, query) = target.split_once('?').unwrap_or((target, ""));
    let canonical = CanonicalRequest {
        method,
        path: request_path,
        query,
        headers: &headers,
        signed_headers: &signed,
        payload_hash: &payload_hash(body.as_bytes()),
        normalize_path: true,
    }
    .render();
    let name = path.display();
    compare(&format!("{name}: canonical request"), &canonical, &sibling("creq")?)?;
    compare(&format!("{name}: text to sign"), &SIGNER.string_to_sign(&canonical), &sibling("sts")?)?;
    let header = SIGNER.authorization("AKIDEXAMPLE", &signed, &SIGNER.signature(&canonical));
    compare(&format!("{name}: header"), &header, &expected)
}

/// Headers with small names; a line that begins with a space continues the one before.
fn headers(head: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in head.lines().skip(1) {
        match (line.strip_prefix([' ', '\t']), line.split_once(':')) {
            (Some(rest), _) => headers.last_mut().into_iter().for_each(|(_, value)| *value = format!("{value} {rest}")),
            (None, Some((name, value))) => headers.push((name.to_lowercase(), value.to_owned())),
            (None, None) => {}
        }
    }
    headers
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or(rest, |(found, _)| found)
}

fn compare(what: &str, actual: &str, expected: &str) -> Result<(), String> {
    let expected = expected.replace('\r', "");
    if actual == expected.trim_end_matches('\n') || actual == expected {
        return Ok(());
    }
    Err(format!("{what}\n{actual}\n  expected\n{expected}"))
}
