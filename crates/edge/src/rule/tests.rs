use http::{HeaderMap, HeaderName, HeaderValue};
use longshore_link::edge::{Condition, Listener, ListenerProtocol, QueryPair, Rule};
use proptest::prelude::*;

use super::*;

const BASE: &str = "GET shop.example.com 10.1.2.3 /Img/a.png?Colour=red&size=9";

/// Reads `METHOD HOST SOURCE PATH?QUERY`.
fn check(condition: &Condition, asked: &str, headers: &HeaderMap) -> bool {
    let parts: Vec<&str> = asked.split(' ').collect();
    let (path, query) = parts[3].split_once('?').unwrap_or((parts[3], ""));
    let source = parts[2].parse().expect("an address");
    holds(condition, &Asked { host: parts[1], path, query, method: parts[0], source, headers })
}

fn words(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn conditions_follow_the_rules_of_case() {
    let host = |value: &str| Condition::HostHeader { values: words(&[value]) };
    let path = |value: &str| Condition::PathPattern { values: words(&[value]) };
    let method = |value: &str| Condition::HttpRequestMethod { values: words(&[value]) };
    let source = |value: &str| Condition::SourceIp { values: vec![value.parse().expect("a network")] };
    let pair = |key: Option<&str>, value: &str| Condition::QueryString {
        values: vec![QueryPair { key: key.map(str::to_owned), value: value.to_owned() }],
    };
    let cases = [
        (host("SHOP.example.com"), true),
        (host("*.example.com"), true),
        (host("example.com"), false),
        (host("sho?.example.com"), true),
        (path("/Img/*"), true),
        (path("/img/*"), false),
        (path("/Img/?.png"), true),
        (path("/Img/a.png?Colour=red"), false),
        (method("GET"), true),
        (method("get"), false),
        (method("*"), false),
        (source("10.0.0.0/8"), true),
        (source("10.1.2.3/32"), true),
        (source("11.0.0.0/8"), false),
        (source("::/0"), false),
        (pair(Some("colour"), "RED"), true),
        (pair(None, "red"), true),
        (pair(None, "r*"), true),
        (pair(Some("colour"), "9"), false),
        (pair(Some("si*"), "?"), true),
        (pair(Some("red"), ""), false),
    ];
    for (condition, expected) in cases {
        assert_eq!(check(&condition, BASE, &HeaderMap::new()), expected, "{condition:?}");
    }
}

#[test]
fn any_line_of_a_header_may_fit() {
    let mut headers = HeaderMap::new();
    for value in ["one", "Mozilla/5 Chrome"] {
        headers.append(HeaderName::from_static("user-agent"), HeaderValue::from_static(value));
    }
    let header = |name: &str, value: &str| Condition::HttpHeader { name: name.to_owned(), values: words(&[value]) };
    for (condition, expected) in [
        (header("User-Agent", "*chrome*"), true),
        (header("user-agent", "two"), false),
        (header("accept", "*"), false),
        (header("not a name", "*"), false),
    ] {
        assert_eq!(check(&condition, BASE, &headers), expected, "{condition:?}");
    }
}

#[test]
fn a_client_of_the_old_internet_on_a_socket_of_the_new_is_itself() {
    let condition = Condition::SourceIp { values: vec!["10.0.0.0/8".parse().expect("a network")] };
    assert!(check(&condition, "GET h ::ffff:10.1.2.3 /", &HeaderMap::new()));
}

#[test]
fn an_empty_query_has_no_pairs() {
    let any = Condition::QueryString { values: vec![QueryPair { key: None, value: "*".to_owned() }] };
    assert!(!check(&any, "GET h 10.0.0.1 /", &HeaderMap::new()));
    assert!(!check(&any, "GET h 10.0.0.1 /?&&", &HeaderMap::new()));
    assert!(check(&any, "GET h 10.0.0.1 /?a", &HeaderMap::new()));
}

#[test]
fn the_first_rule_whose_conditions_all_hold_counts() {
    let answer = |status| Action::FixedResponse { status, content_type: None, body: None };
    let rule = |priority: u32, conditions: Vec<Condition>, status| Rule {
        arn: priority.to_string(),
        priority,
        conditions,
        action: answer(status),
    };
    let path = |value: &str| Condition::PathPattern { values: words(&[value]) };
    let get = || Condition::HttpRequestMethod { values: words(&["GET"]) };
    let listener = Listener {
        rules: vec![rule(1, vec![path("/a/*"), get()], 201), rule(2, vec![path("/a/*")], 202)],
        ..Listener::new("l", 80, ListenerProtocol::Http, answer(404))
    };
    let headers = HeaderMap::new();
    let source = "10.0.0.1".parse().expect("an address");
    let chosen =
        |method, path| choose(&listener, &Asked { host: "h", path, query: "", method, source, headers: &headers });
    assert_eq!(*chosen("GET", "/a/b"), answer(201));
    assert_eq!(*chosen("PUT", "/a/b"), answer(202));
    assert_eq!(*chosen("GET", "/b"), answer(404));
}

#[test]
fn a_backslash_takes_the_meaning_away() {
    for (pattern, text, expected) in [
        (r"a\*", "a*", true),
        (r"a\*", "ab", false),
        (r"\?", "?", true),
        (r"\?", "a", false),
        (r"\\", r"\", true),
        (r"a\", r"a\", true),
        (r"*\*", "ab*", true),
        (r"*\*", "ab", false),
    ] {
        assert_eq!(is_like(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern} {text}");
    }
}

/// The meaning of patterns, without care for time.
fn slow(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([], _) => false,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| slow(rest, &text[taken..], fold)),
        (_, []) => false,
        ([b'?', rest @ ..], [_, more @ ..]) => slow(rest, more, fold),
        ([b'\\', byte, rest @ ..] | [byte, rest @ ..], [read, more @ ..]) => {
            let same = if fold { byte.eq_ignore_ascii_case(read) } else { byte == read };
            same && slow(rest, more, fold)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn a_pattern_means_what_the_slow_reference_says(
        pattern in r"[abA*?\\]{0,8}", text in r"[abA*\\]{0,10}", fold: bool,
    ) {
        let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(is_like(pattern, text, fold), slow(pattern, text, fold));
    }
}
