//! The published Signature Version 4 suites, with us as the verifier: every signed request is taken but those of two names,
//! and none that was changed in one byte.
//!
//! The suites are not part of this repository. `LONGSHORE_SIGV4_CASES` names the `aws-signing-test-suite/v4` directory of
//! the `aws-sigv4` crate's source, `LONGSHORE_BOTOCORE_CASES` the `tests/unit/protocols` directory of an unpacked botocore
//! source package; else what `./test` fetched into `build/` is taken.
#![allow(clippy::disallowed_methods, reason = "tests read the cases from files")]

mod mutate;
mod request;
mod suite;

use longshore_wire::sigv4::{CanonicalRequest, Denial, Endpoint, Signer, payload_hash};
use request::Raw;
use suite::Case;

/// The suites' published example key, and when and where their requests were signed.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SIGNER: Signer<'static> =
    Signer { secret_key: SECRET, timestamp: "20150830T123600Z", region: "us-east-1", service: "service" };
const SIGNED_AT: i64 = 1_440_938_160;
const ENDPOINT: Endpoint<'static> = Endpoint { regions: &["us-east-1"], service: "service", now: SIGNED_AT };

/// Cases whose session token was added after signing: that is refused here, and so is what an attacker adds.
const TOKEN_ADDED_LATER: [&str; 2] = ["post-sts-header-after (header)", "post-sts-header-after (query)"];

/// Cases with a space in the request line, which no HTTP server takes.
const NO_HTTP: [&str; 3] = ["get-space-normalized (header)", "get-space-normalized (query)", "get-space"];

#[test]
fn every_signed_request_of_the_crates_suite_is_taken_but_these() {
    let cases = suite::of_crate();
    assert!(cases.len() >= 76, "{} cases", cases.len());
    hold(&cases, &[&NO_HTTP[..2], &TOKEN_ADDED_LATER].concat());
}

#[test]
fn every_path_of_the_crates_suite_is_encoded_once_more() {
    let paths = suite::paths_of_crate();
    assert!(paths.len() >= 2, "{paths:?}");
    for (path, expected) in paths {
        let request = CanonicalRequest {
            method: "POST",
            path: &path,
            query: "",
            headers: &[],
            signed_headers: &[],
            payload_hash: "",
            normalize_path: true,
        };
        assert_eq!(request.render().lines().nth(1), Some(expected.as_str()));
    }
}

#[test]
fn every_signed_request_of_botocores_suite_is_taken_but_this() {
    let cases = suite::of_botocore();
    assert!(cases.len() >= 34, "{} cases", cases.len());
    hold(&cases, &NO_HTTP[2..]);
}

#[test]
fn no_request_that_was_changed_in_one_byte_is_taken() {
    let cases: Vec<Case> = [suite::of_crate(), suite::of_botocore()].into_iter().flatten().collect();
    let mut count = 0;
    let mut taken = Vec::new();
    for case in cases.iter().filter(|case| verdict(&case.signed, case.normalize).is_ok()) {
        for (what, mutant) in mutate::mutants(&case.signed) {
            count += 1;
            if verdict(&mutant, case.normalize).is_ok()
                && !(case.normalize && mutate::means_the_same(&case.signed, &mutant))
            {
                taken.push(format!("{}: {what}", case.name));
            }
        }
    }
    println!("{count} mutants of {} requests", cases.len());
    assert!(taken.is_empty(), "{} of {count} are taken:\n{}", taken.len(), taken.join("\n"));
}

/// Checks what is computed on the way to each signature, and that all cases are taken but the refused ones, by name.
fn hold(cases: &[Case], refused: &[&str]) {
    let failures: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(failures.is_empty(), "{} of {} fail:\n{}", failures.len(), cases.len(), failures.join("\n"));
    let names = cases.iter().filter(|case| verdict(&case.signed, case.normalize).is_err());
    assert_eq!(names.map(|case| case.name.as_str()).collect::<Vec<_>>(), refused);
}

fn check(case: &Case) -> Result<(), String> {
    let name = &case.name;
    let canonical = canonical(case);
    compare(&format!("{name}: canonical request"), &canonical, &case.canonical)?;
    compare(&format!("{name}: text to sign"), &SIGNER.string_to_sign(&canonical), &case.string_to_sign)?;
    compare(&format!("{name}: signature"), &SIGNER.signature(&canonical), &case.signature)?;
    match verdict(&case.signed, case.normalize) {
        Ok(()) => Ok(()),
        Err(Some(Denial::Invalid(_) | Denial::Mismatch)) if TOKEN_ADDED_LATER.contains(&name.as_str()) => Ok(()),
        Err(None) if NO_HTTP.contains(&name.as_str()) => Ok(()),
        refused => Err(format!("{name}: {refused:?}")),
    }
}

/// The canonical request, rendered from the raw text: some request lines of the suites are no HTTP.
fn canonical(case: &Case) -> String {
    let raw = &case.signed;
    let headers: Vec<(&str, &str)> = raw.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let signed: Vec<&str> = case.signed_headers.split(';').collect();
    let (path, query) = raw.target.split_once('?').unwrap_or((&raw.target, ""));
    let later = TOKEN_ADDED_LATER.contains(&case.name.as_str());
    let unsigned =
        |field: &&str| field.starts_with("X-Amz-Signature=") || (later && field.starts_with("X-Amz-Security-Token="));
    let query: Vec<&str> = query.split('&').filter(|field| !unsigned(field)).collect();
    CanonicalRequest {
        method: &raw.method,
        path,
        query: &query.join("&"),
        headers: &headers,
        signed_headers: &signed,
        payload_hash: &payload_hash(raw.body.as_bytes()),
        normalize_path: case.normalize,
    }
    .render()
}

/// What the verifier says; `Err(None)` if the text is no HTTP request at all.
fn verdict(raw: &Raw, normalize: bool) -> Result<(), Option<Denial>> {
    let head = raw.head().ok_or(None)?;
    let read = longshore_wire::sigv4::Signature::of_request(&head).map_err(Denial::from)?;
    let signature = read.ok_or(Denial::Missing)?;
    signature.admissible(&head, &ENDPOINT)?;
    match signature.scope.access_key == "AKIDEXAMPLE"
        && signature.verifies(&signature.signer(SECRET).key(), &head, raw.body.as_bytes(), normalize)
    {
        true => Ok(()),
        false => Err(Some(Denial::Mismatch)),
    }
}

fn compare(what: &str, actual: &str, expected: &str) -> Result<(), String> {
    let expected = expected.replace('\r', "");
    match actual == expected.trim_end_matches('\n') || actual == expected {
        true => Ok(()),
        false => Err(format!("{what}\n{actual}\n  expected\n{expected}")),
    }
}
