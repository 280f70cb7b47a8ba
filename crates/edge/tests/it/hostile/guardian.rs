//! The cases that come with AWS's own classifier, `http_desync_guardian`, through the edge in each of the three modes.
//!
//! They are read from the crate's source, where cargo has it. What becomes of a request is what its class says; stricter are
//! the rules of decision 0032 alone, which [`is_misread`] says once more, from the case and not from its bytes.

use std::path::PathBuf;
use std::process::Command;

use longshore_link::edge::DesyncMode;

use super::reader::token;
use super::script::{self, Script, ask, is_last_page, statuses};
use crate::support;

/// Cases of all files together.
const CASES: usize = 159;

#[derive(Debug, Default)]
struct Case {
    name: String,
    uri: String,
    method: String,
    version: String,
    headers: Vec<(String, String)>,
    tier: String,
}

/// Where cargo has the crate's source.
fn source() -> PathBuf {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &platform]);
    let output = cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).output();
    let output = output.expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let is_own = |part: &&str| part.ends_with("/Cargo.toml") && part.contains("/http_desync_guardian-");
    let manifest = text.split('"').find(is_own).expect("the crate's manifest");
    PathBuf::from(manifest.trim_end_matches("Cargo.toml"))
}

fn cases() -> Vec<Case> {
    let entries = std::fs::read_dir(source().join("tests")).expect("the crate's cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.flat_map(|path| read(&std::fs::read_to_string(path).expect("text"))).collect()
}

/// Reads the little of YAML that the files are written in: a list of cases, their fields, and a list of headers in each.
fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let bare = line.trim_start();
        let (depth, item) = (line.len() - bare.len(), bare.strip_prefix("- "));
        let Some((key, value)) = item.unwrap_or(bare).split_once(':') else { continue };
        if depth == 0 && item.is_some() {
            cases.push(Case::default());
        }
        let case = cases.last_mut().expect("a case");
        let value = scalar(value.trim());
        match (depth, item.is_some(), key) {
            (0, true, "name") => case.name = value,
            (2, false, "uri") => case.uri = value,
            (2, false, "method") => case.method = value,
            (2, false, "version") => case.version = value,
            (4, true, "name") => case.headers.push((value, String::new())),
            (6, false, "value") => case.headers.last_mut().expect("a header").1 = value,
            (4, false, "tier") => case.tier = value,
            (2, false, "headers" | "expected")
            | (6, false, "tier")
            | (4, false, "reason" | "required_message_items") => {}
            (6, true, _) => {}
            other => panic!("{other:?} in {line:?}"),
        }
    }
    cases
}

/// A value, without its quotes and escapes.
fn scalar(text: &str) -> String {
    let quoted = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut bare = String::new();
    let mut chars = quoted.unwrap_or(text).chars();
    while let Some(char) = chars.next() {
        let escaped = if char == '\\' { chars.next() } else { None };
        bare.push(match escaped {
            None => char,
            Some('x') => {
                let code: String = chars.by_ref().take(2).collect();
                char::from(u8::from_str_radix(&code, 16).expect("a code"))
            }
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(other) => other,
        });
    }
    bare
}

impl Case {
    fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
    }

    /// The request with the body that it says it has, and a host.
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.uri, self.version);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.all("host").is_empty() {
            head += "Host: a\r\n";
        }
        let body = match (self.all("transfer-encoding").as_slice(), self.all("content-length").first()) {
            ([], length) => "x".repeat(length.and_then(|length| length.parse().ok()).unwrap_or(0).min(8_000_000)),
            _ => "0\r\n\r\n".to_owned(),
        };
        format!("{head}\r\n{body}").into_bytes()
    }

    /// Whether the client's connection ends in every mode: the client says so, or RFC 9112 after two boundaries.
    fn ends(&self) -> bool {
        let closes = self.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"));
        let both = !self.all("content-length").is_empty() && !self.all("transfer-encoding").is_empty();
        self.version == "HTTP/1.0" || closes || both
    }
}

/// Whether readers differ on the request, or it cannot be said to a target: it goes on in no mode.
fn is_misread(case: &Case) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    let name = |name: &str| !name.is_empty() && name.bytes().all(token);
    let line = name(&case.method) && ["HTTP/1.0", "HTTP/1.1"].contains(&case.version.as_str());
    let target = case.uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') && case.uri.starts_with('/');
    let headers = case.headers.iter().all(|(known, value)| name(known) && plain(value));
    let lengths: Vec<Option<u64>> = case
        .all("content-length")
        .iter()
        .map(|text| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())))
        .collect();
    let length = lengths.iter().all(|length| length.is_some() && *length == lengths[0]);
    let codings = case.all("transfer-encoding");
    let chunked = codings.len() == 1 && codings[0].eq_ignore_ascii_case("chunked") && case.version == "HTTP/1.1";
    !(line && target && http::Uri::try_from(&case.uri).is_ok() && headers && length && (codings.is_empty() || chunked))
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Handling {
    Goes,
    /// Both connections end after it.
    GoesLast,
    Refused,
}

/// As AWS has it.
fn handling(tier: &str, mode: DesyncMode) -> Handling {
    match (mode, tier) {
        (DesyncMode::Monitor, _) | (_, "Compliant") | (DesyncMode::Defensive, "Acceptable") => Handling::Goes,
        (DesyncMode::Defensive, "Ambiguous") => Handling::GoesLast,
        (DesyncMode::Defensive, "Severe") | (DesyncMode::Strictest, _) => Handling::Refused,
        (_, other) => panic!("tier {other}"),
    }
}

async fn handled(case: &Case, mode: DesyncMode) -> Handling {
    let target = Script::ok().await;
    let mut configuration = script::configuration(&target);
    configuration.balancers[0].attributes.desync_mode = mode;
    let (_edge, to) = support::serve(&configuration).await;
    let after = b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = ask(to, &[&case.bytes(), &after[..]].concat()).await;
    let requests = target.requests().concat();
    let is_last = requests.iter().any(|request| request.one("connection") == Some(b"close"));
    let seen = (statuses(&answer), requests.len(), is_last);
    match (seen.0.as_slice(), seen.1, seen.2) {
        (["200", "200"], 2, false) => Handling::Goes,
        (["200"], 1, false) if case.ends() => Handling::Goes,
        (["200"], 1, true) => Handling::GoesLast,
        ([status @ ("400" | "414" | "501" | "505")], 0, false) if is_last_page(&answer, status) => Handling::Refused,
        _ => panic!("{}: {mode:?}: {seen:?}: {answer}", case.name),
    }
}

#[tokio::test]
async fn each_case_of_the_classifier_is_handled_as_its_class_is() {
    let cases = cases();
    assert_eq!(cases.len(), CASES);
    let mut counts = std::collections::BTreeMap::<(String, Handling), usize>::new();
    for case in &cases {
        for mode in [DesyncMode::Monitor, DesyncMode::Defensive, DesyncMode::Strictest] {
            let by_class = handling(&case.tier, mode);
            let expected = if is_misread(case) { Handling::Refused } else { by_class };
            assert_eq!(handled(case, mode).await, expected, "{}: {mode:?}: {case:?}", case.name);
            *counts.entry((format!("{:9} {mode:?}", case.tier), expected)).or_default() += 1;
        }
    }
    for ((class, handling), count) in counts {
        println!("{class}: {handling:?} {count}");
    }
}
