//! H1 to H6: one request, whose body, lengths, codings, headers, request line or host are not what they should be.

use longshore_link::edge::DesyncMode;

use super::script::{self, Script, ask, ask_and_end, is_last_page, shown, statuses};
use crate::support;

/// A request with these headers and this body.
fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}").into_bytes()
}

fn with(header: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n").into_bytes()
}

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

fn hosts(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

/// A beginning of the bytes that a failure is shown by.
fn named(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(120)].escape_ascii().to_string()
}

/// Each is answered with its status and the end of the connection, and nothing of it reaches the target.
async fn refused(cases: &[(Vec<u8>, &str)]) {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    for (bytes, status) in cases {
        // A second request behind it is not looked at.
        let second = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = ask(to, &[bytes, &second[..]].concat()).await;
        assert!(is_last_page(&answer, status), "{status}: {}: {answer}", named(bytes));
        assert_eq!(target.heard(), Vec::<Vec<u8>>::new(), "{}", named(bytes));
    }
}

/// Each is answered with 200 and reaches the target as it is written here; both connections end if `last`.
async fn taken(cases: &[(Vec<u8>, &str)], last: bool) {
    for (bytes, expected) in cases {
        let target = Script::ok().await;
        let (_edge, to) = script::balance(&target).await;
        let second = b"GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let answer = ask(to, &[bytes, &second[..]].concat()).await;
        let all = target.requests().concat();
        assert_eq!(all.first().map(shown).as_deref(), Some(*expected), "{}: {answer}", named(bytes));
        let count = if last { 1 } else { 2 };
        assert_eq!((statuses(&answer), all.len()), (vec!["200"; count], count), "{}: {answer}", named(bytes));
        assert!(answer.contains("connection: close\r\n"), "{}: {answer}", named(bytes));
        if last {
            target.closed().await;
        }
    }
}

/// Of a body in chunks that is none, the head may be on its way before the fault is seen. The target never gets the end of a
/// request, and its connection ends.
#[tokio::test]
async fn h1_chunks_that_readers_differ_on_never_make_a_request() {
    let bodies = [
        "0x10\r\n0123456789abcdef\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "x5\r\nhello\r\n0\r\n\r\n",
        "5x\r\nhello\r\n0\r\n\r\n",
        "hello",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\rX",
        "5\r\nhello\r\n0\r\n Folded: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nA: b\n\r\n",
        "5\r\nhello\r\n0\r\nA: \0\r\n\r\n",
    ];
    for body in bodies {
        let target = Script::ok().await;
        let (_edge, to) = script::balance(&target).await;
        let second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
        let answer = ask(to, &post("Transfer-Encoding: chunked", &format!("{body}{second}"))).await;
        assert!(is_last_page(&answer, "400"), "{body:?}: {answer}");
        target.closed().await;
        let heard = target.heard();
        assert!(heard.len() <= 1 && target.requests().concat().is_empty(), "{body:?}: {heard:?}");
        assert!(heard.iter().all(|heard| heard.starts_with(b"POST / HTTP/1.1\r\n")), "{body:?}: {heard:?}");
    }
}

#[tokio::test]
async fn h1_a_body_that_ends_too_early_is_a_bad_request() {
    for (headers, body) in [
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", "5\r\nhel"),
        ("Transfer-Encoding: chunked", ""),
        ("Content-Length: 10", "hello"),
    ] {
        let target = Script::ok().await;
        let (_edge, to) = script::balance(&target).await;
        let answer = ask_and_end(to, &post(headers, body)).await;
        assert!(is_last_page(&answer, "400"), "{headers} {body:?}: {answer}");
        target.closed().await;
        assert_eq!(target.requests().concat(), [], "{headers} {body:?}");
    }
}

#[tokio::test]
async fn h1_extensions_of_chunks_stay_behind() {
    let chunked = |body: &str| post("Transfer-Encoding: chunked", body);
    let expected = "POST / | host: a:28080, transfer-encoding: chunked | hello";
    let cases = [
        (chunked("5\r\nhello\r\n0\r\n\r\n"), expected),
        (chunked("05\r\nhello\r\n000\r\n\r\n"), expected),
        (chunked("5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"), expected),
        (chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), expected),
    ];
    taken(&cases, false).await;
}

#[tokio::test]
async fn h2_lengths_are_digits_and_of_one_mind() {
    let length = |lines: &str| (post(lines, "hello"), "400");
    let bad = [
        "",
        "+5",
        "0x5",
        "5,5",
        "5, 5",
        "5,6",
        "-1",
        "-0",
        "5 5",
        "5.0",
        "5e0",
        "five",
        "5;",
        "18446744073709551616",
        "5\u{a0}",
        "5\u{85}",
        "99999999999999999999999999",
    ];
    let mut cases: Vec<(Vec<u8>, &str)> = bad.iter().map(|text| length(&format!("Content-Length: {text}"))).collect();
    cases.push(length("Content-Length: 5\r\nContent-Length: 6"));
    cases.push(length("Content-Length: 5\r\ncontent-length:"));
    cases.push(length("Content-Length : 5"));
    cases.push(length(" Content-Length: 5"));
    cases.push(length("Content_Length: 9\r\nContent-Length: 5"));
    refused(&cases).await;
}

#[tokio::test]
async fn h2_lengths_that_are_told_twice_are_told_once_and_are_the_last() {
    let both = "Content-Length: 44\r\nTransfer-Encoding: chunked";
    let cases = [
        (
            post("Content-Length: 5\r\nContent-Length: 5", "hello"),
            "POST / | connection: close, content-length: 5, host: a:28080 | hello",
        ),
        (
            post("Content-Length: 5\r\nContent-Length: 005", "hello"),
            "POST / | connection: close, content-length: 5, host: a:28080 | hello",
        ),
        (
            post(both, "5\r\nhello\r\n0\r\n\r\n"),
            "POST / | connection: close, host: a:28080, transfer-encoding: chunked | hello",
        ),
    ];
    taken(&cases, true).await;
}

#[tokio::test]
async fn h3_only_chunked_and_only_once() {
    let coding = |lines: &str, status| (post(lines, "5\r\nhello\r\n0\r\n\r\n"), status);
    refused(&[
        coding("Transfer-Encoding: ,chunked", "400"),
        coding("Transfer-Encoding: chunked,", "400"),
        coding("Transfer-Encoding: chunked,chunked", "400"),
        coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "400"),
        coding("Transfer-Encoding:", "400"),
        coding("Transfer-Encoding: \"chunked\"", "400"),
        coding("Transfer-Encoding: chunked\u{a0}", "400"),
        coding("Transfer-Encoding: chun\u{b}ked", "400"),
        coding("Transfer-Encoding: identity", "501"),
        coding("Transfer-Encoding: identity, chunked", "501"),
        coding("Transfer-Encoding: x chunked", "501"),
        coding("Transfer-Encoding: xchunked", "501"),
        coding("Transfer-Encoding: gzip, chunked", "501"),
        coding("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "501"),
        coding("Transfer-Encoding : chunked", "400"),
        coding("Transfer-Encoding:\r\n chunked", "400"),
        coding("Transfer-Encoding: chunked\r\n , identity", "400"),
        coding("Transfer-Encoding\r\n: chunked", "400"),
        coding("\u{b}Transfer-Encoding: chunked", "400"),
        (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), "400"),
        (b"POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(), "400"),
    ])
    .await;
}

#[tokio::test]
async fn h3_what_is_all_but_a_coding_stays_behind_and_is_the_last() {
    let host = "connection: close, host: a:28080";
    taken(
        &[
            (post("Transfer_Encoding: chunked", ""), &format!("POST / | {host} | ")),
            (post("Transfer.Encoding: chunked", ""), &format!("POST / | {host} | ")),
            (post("Content_Length: 5", ""), &format!("POST / | {host} | ")),
            (
                b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec(),
                &format!("GET / | {host}, transfer-encoding: chunked | hello"),
            ),
        ],
        true,
    )
    .await;
    let tab = post("Transfer-Encoding:\tchunked", "5\r\nhello\r\n0\r\n\r\n");
    taken(&[(tab, "POST / | host: a:28080, transfer-encoding: chunked | hello")], false).await;
}

#[tokio::test]
async fn h4_headers_are_a_name_a_colon_and_a_plain_value() {
    let mut cases: Vec<(Vec<u8>, &str)> = [
        "A b: c",
        "A : c",
        "A\t: c",
        ":",
        ": c",
        "A\0: c",
        "A\u{7f}: c",
        "\u{e9}: c",
        "A(: c",
        "A\"b: c",
        "A",
        " A: b",
        "\tA: b",
        "A: b\r\n c",
        "A: b\r\n\tc: d",
        "A: \0",
        "A: b\0c",
        "A: b\rc",
        "A: b\rc: d",
        "A: b\r\r\nc: d",
        "A: b\nc",
        "A: b\u{1b}c",
        "A: b\u{7f}",
        "A: b\u{8}",
    ]
    .iter()
    .map(|header| (with(header), "400"))
    .collect();
    cases.push((with(&format!("A: {}", "b".repeat(16 * 1024))), "400"));
    cases.push((with(&format!("{}: b", "a".repeat(16 * 1024))), "400"));
    cases.push((with(&vec![format!("A: {}", "b".repeat(8000)); 9].join("\r\n")), "400"));
    cases.push((with(&vec!["A: b"; 1024].join("\r\n")), "400"));
    refused(&cases).await;
}

/// Bytes above 0x7f are text of some character set, whose parts 0x85 and 0xA0 may be. They go on as they came.
#[tokio::test]
async fn h4_values_of_any_character_set_go_on_as_they_came() {
    let header = |value: &[u8]| [b"GET / HTTP/1.1\r\nHost: a\r\nA: ", value, b"\r\n\r\n"].concat();
    let cases = [
        (header(b"\x85b\xa0"), "GET / | a: \\x85b\\xa0, host: a:28080 | "),
        (header("\u{e0} \u{1f600}".as_bytes()), "GET / | a: \\xc3\\xa0 \\xf0\\x9f\\x98\\x80, host: a:28080 | "),
        (header(b"  b\tc  \t"), "GET / | a: b\\tc, host: a:28080 | "),
        (header(b""), "GET / | a: , host: a:28080 | "),
    ];
    taken(&cases, false).await;
}

/// A line that ends with a bare LF is a line, in AWS's library too; it goes on with CR and LF.
#[tokio::test]
async fn h4_a_bare_line_feed_ends_a_line_unless_the_mode_is_strictest() {
    let bytes = b"GET / HTTP/1.1\nHost: a\nA: b\nC: d\n\n".to_vec();
    taken(&[(bytes.clone(), "GET / | a: b, c: d, host: a:28080 | ")], false).await;
    let target = Script::ok().await;
    let mut configuration = script::configuration(&target);
    configuration.balancers[0].attributes.desync_mode = DesyncMode::Strictest;
    let (_edge, to) = support::serve(&configuration).await;
    assert!(is_last_page(&ask(to, &bytes).await, "400"));
    assert_eq!(target.heard(), Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn h5_request_lines_are_a_method_a_target_and_a_version() {
    let bad = [
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET / a HTTP/1.1",
        "GET /",
        "GET",
        "/ HTTP/1.1",
        "GET HTTP/1.1",
        "G(T / HTTP/1.1",
        "G\0T / HTTP/1.1",
        "\u{e9} / HTTP/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1",
        "GET / HTTP/+1.1",
        "GET / http/1.1",
        "GET / HTTP/1,1",
        "GET / HTTP",
        "GET / HTPP/1.1",
        "GET http://b/ HTTP/1.1",
        "GET http://a@b/ HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a HTTP/1.1",
        "GET ?a HTTP/1.1",
        "GET /#a HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /\rX HTTP/1.1",
        "GET /< HTTP/1.1",
        "GET /?> HTTP/1.1",
    ];
    let mut cases: Vec<(Vec<u8>, &str)> =
        bad.iter().map(|text| (line(text), if *text == "GET / HTTP/1" { "505" } else { "400" })).collect();
    for text in
        ["GET / HTTP/2.0", "GET / HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/3.0", "GET / HTTP/2", "PRI * HTTP/2.0"]
    {
        cases.push((line(text), "505"));
    }
    for text in ["CONNECT a:443 HTTP/1.1", "CONNECT / HTTP/1.1", "TRACE / HTTP/1.1", "TRACE * HTTP/1.1"] {
        cases.push((line(text), "405"));
    }
    cases.push((line(&format!("GET /{} HTTP/1.1", "a".repeat(16 * 1024))), "414"));
    cases.push((line(&format!("{} / HTTP/1.1", "A".repeat(16 * 1024))), "414"));
    cases.push((format!("GET /{}", "a".repeat(24 * 1024)).into_bytes(), "414"));
    refused(&cases).await;
}

/// Methods are names like others, and what a target may be asked by is its path and query.
#[tokio::test]
async fn h5_odd_request_lines_that_have_one_meaning_go_on() {
    let cases = [
        (line("get / HTTP/1.1"), "get / | host: a:28080 | "),
        (line("PURGE /a HTTP/1.1"), "PURGE /a | host: a:28080 | "),
        (line("OPTIONS * HTTP/1.1"), "OPTIONS * | host: a:28080 | "),
        (line("GET http://a/b?c HTTP/1.1"), "GET /b?c | host: a:28080 | "),
        (line("GET HTTP://A?c HTTP/1.1"), "GET /?c | host: a:28080 | "),
        (line("GET /%00%0d%0a/../%2e HTTP/1.1"), "GET /%00%0d%0a/../%2e | host: a:28080 | "),
        (line("GET //b/ HTTP/1.1"), "GET //b/ | host: a:28080 | "),
        (line("GET /a\"[\\]^{|} HTTP/1.1"), "GET /a\"[\\]^{|} | host: a:28080 | "),
    ];
    taken(&cases, false).await;
}

#[tokio::test]
async fn h6_there_is_one_host_that_is_one() {
    let bad = [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a,b\r\n",
        "Host: a b\r\n",
        "Host: a:0\r\n",
        "Host: a:65536\r\n",
        "Host: a:\r\n",
        "Host: a:-1\r\n",
        "Host: a:+80\r\n",
        "Host: a:8 0\r\n",
        "Host: a:80:80\r\n",
        "Host: u@a\r\n",
        "Host: u:p@a\r\n",
        "Host: a/b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: http://a\r\n",
        "Host: a\\b\r\n",
        "Host: :80\r\n",
        "Host: ::1\r\n",
        "Host: [::1\r\n",
        "Host: ::1]\r\n",
        "Host: \u{e9}\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
    ];
    let cases: Vec<(Vec<u8>, &str)> = bad.iter().map(|lines| (hosts(lines), "400")).collect();
    refused(&cases).await;
}
