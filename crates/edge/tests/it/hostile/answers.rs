//! H11: what comes back from a target is broken, too much, or nothing.

use std::net::SocketAddr;

use super::script::{self, Say, Script, ask, statuses};
use crate::support::ok;

/// A target whose first connection answers with these bytes, and ends then if `close`; the others answer 200.
async fn broken(bytes: &str, close: bool) -> Script {
    let bytes = bytes.to_owned();
    Script::start(move |turn| {
        let due = turn.whole > turn.said;
        due.then(|| match turn.connection {
            0 => Say { bytes: bytes.clone().into(), close },
            _ => Say::open(&ok("fine")),
        })
    })
    .await
}

/// Asks twice on one connection.
async fn ask_twice(to: SocketAddr) -> String {
    ask(to, b"GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await
}

/// Each request came by a connection of its own.
fn assert_apart(target: &Script, shown: &str) {
    let requests = target.requests();
    let targets: Vec<Vec<&str>> =
        requests.iter().map(|all| all.iter().map(|request| request.target.as_str()).collect()).collect();
    assert_eq!(targets, [["/one"], ["/two"]], "{shown}");
}

#[tokio::test]
async fn h11_a_head_that_is_none_is_a_bad_gateway() {
    let line = |line: &str| format!("{line}\r\ncontent-length: 2\r\n\r\nno");
    let header = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nno");
    let cases = [
        line("HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK"),
        line("hello"),
        line("HTTP/0.9 200 OK"),
        line("HTTP/2.0 200 OK"),
        line("http/1.1 200 OK"),
        line("HTTP/1.1 20 OK"),
        line("HTTP/1.1 2000 OK"),
        line("HTTP/1.1 000 OK"),
        line("HTTP/1.1 +20 OK"),
        line("HTTP/1.1  200 OK"),
        line("HTTP/1.1 200\tOK"),
        line("HTTP/1.1 101 Switching Protocols"),
        line("\0HTTP/1.1 200 OK"),
        header("content-length : 2"),
        header("a b: c"),
        header("a"),
        header(": c"),
        header("a: b\r\n c: d"),
        header("a: \0"),
        header("a: b\rc"),
        header("content-length: +2"),
        header("content-length: -2"),
        header("content-length: 2,3"),
        header("content-length: 2\r\ncontent-length: 3"),
        header("content-length: 18446744073709551616"),
        header("transfer-encoding: gzip"),
        header("transfer-encoding: gzip, chunked"),
        header("transfer-encoding: chunked, chunked"),
        header("transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        header("transfer-encoding: identity"),
        header("transfer-encoding:"),
        line("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked"),
        header(&format!("a: {}", "b".repeat(33 * 1024))),
        header(&vec![format!("a: {}", "b".repeat(1000)); 33].join("\r\n")),
        header(&vec!["a: b"; 600].join("\r\n")),
        "<html>HTTP/0.9</html>\n".to_owned(),
    ];
    for bytes in cases {
        let shown: String = bytes.chars().take(80).collect();
        let target = broken(&bytes, true).await;
        let (_edge, to) = script::balance(&target).await;
        let answer = ask_twice(to).await;
        assert_eq!(statuses(&answer), ["502", "200"], "{shown:?}: {answer}");
        assert!(answer.contains("\r\nserver: awselb/2.0\r\n"), "{shown:?}: {answer}");
        assert_apart(&target, &shown);
    }
}

#[tokio::test]
async fn h11_half_an_answer_and_none_are_a_bad_gateway() {
    for bytes in ["", "H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"] {
        let target = broken(bytes, true).await;
        let (_edge, to) = script::balance(&target).await;
        assert_eq!(statuses(&ask_twice(to).await), ["502", "200"], "{bytes:?}");
        assert_apart(&target, bytes);
    }
}

/// A head that never ends is waited for as long as any answer is.
#[tokio::test]
async fn h11_a_head_without_an_end_is_a_time_out() {
    for bytes in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n", "H"] {
        let target = broken(bytes, false).await;
        let (_edge, to) = script::hasty(&target).await;
        assert_eq!(statuses(&ask_twice(to).await), ["504", "200"], "{bytes:?}");
        assert_apart(&target, bytes);
    }
}

/// The head has gone on when the body breaks: the client sees that it is not whole, and gets nothing of anybody else's.
#[tokio::test]
async fn h11_a_body_that_breaks_breaks_the_clients_connection() {
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (bytes, close) in [
        (format!("{length}short"), true),
        (format!("{length}short"), false),
        (format!("{chunks}5\r\nhello\r\n"), true),
        (format!("{chunks}5\r\nhello\r\n"), false),
        (format!("{chunks}5\r\nhello\r\n0x0\r\n\r\n"), false),
        (format!("{chunks}5\r\nhello\r\nffffffffffffffff1\r\n"), false),
        (format!("{chunks}5\r\nhelloworld\r\n0\r\n\r\n"), false),
    ] {
        let target = broken(&bytes, close).await;
        let (_edge, to) = script::hasty(&target).await;
        let answer = ask_twice(to).await;
        assert_eq!(statuses(&answer), ["200"], "{bytes:?}: {answer}");
        assert!(!answer.contains("\r\n0\r\n\r\n") && !answer.ends_with("short1234"), "{bytes:?}: {answer}");
        target.first_closed().await;
        assert_eq!(target.requests().len(), 1, "{bytes:?}");
    }
}

/// What comes after the end of an answer is no answer to the next request.
#[tokio::test]
async fn h11_what_is_too_much_is_nobodys_answer() {
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let cases = [
        (format!("{}{evil}", ok("ok")), "200", "ok"),
        (format!("{}\r\n", ok("ok")), "200", "ok"),
        (format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n{evil}"), "304", ""),
        (
            format!("HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n{evil}"),
            "304",
            "",
        ),
        (format!("HTTP/1.1 204 No Content\r\n\r\n{evil}"), "204", ""),
        (
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{evil}"),
            "200",
            "2\r\nok\r\n0\r\n\r\n",
        ),
    ];
    for (bytes, status, body) in cases {
        let target = broken(&bytes, false).await;
        let (_edge, to) = script::balance(&target).await;
        let answer = ask_twice(to).await;
        assert_eq!(statuses(&answer), [status, "200"], "{bytes:?}: {answer}");
        assert!(
            answer.contains(&format!("\r\n\r\n{body}HTTP/1.1 200 OK\r\n")) && answer.ends_with("fine"),
            "{bytes:?}: {answer}"
        );
        assert!(!answer.contains("evil"), "{bytes:?}: {answer}");
        assert_apart(&target, &bytes);
    }
}

#[tokio::test]
async fn h11_an_answer_to_head_has_no_body() {
    let target = broken(&ok("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"), false).await;
    let (_edge, to) = script::balance(&target).await;
    let answer =
        ask(to, b"HEAD /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
    assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
    assert!(answer.ends_with("fine") && !answer.contains("evil"), "{answer}");
    assert_apart(&target, "HEAD");
}

/// Answers before the answer are the target's business; as many as it likes cost no memory, and not more than the idle timeout.
#[tokio::test]
async fn h11_a_thousand_answers_before_the_answer_are_none() {
    for early in
        ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", "HTTP/1.1 199 No\r\n\r\n"]
    {
        let target = Script::says(&format!("{}{}", early.repeat(1000), ok("at last"))).await;
        let (_edge, to) = script::balance(&target).await;
        let answer = ask_twice(to).await;
        assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
        assert!(answer.ends_with("at last"), "{answer}");
    }
    let storm = Script::start(|turn| {
        let early = Say::open(&"HTTP/1.1 100 Continue\r\n\r\n".repeat(100));
        (turn.whole > 0).then_some(early)
    })
    .await;
    let (_edge, to) = script::hasty(&storm).await;
    assert_eq!(statuses(&ask(to, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await), ["504"]);
}

/// A client of HTTP/1.0 knows no chunks: the body goes on to the end of the connection.
#[tokio::test]
async fn h11_chunks_are_not_for_a_client_of_http_1_0() {
    let target =
        Script::says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").await;
    let (_edge, to) = script::balance(&target).await;
    let answer = ask(to, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nabc"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
}

/// A length beside chunks is one too many: the chunks tell the end, and the connection is used no more.
#[tokio::test]
async fn h11_boundaries_of_answers_are_told_once() {
    let both = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let target = broken(both, false).await;
    let (_edge, to) = script::balance(&target).await;
    let answer = ask_twice(to).await;
    assert_eq!(statuses(&answer), ["200", "200"], "{answer}");
    assert!(
        !answer.contains("content-length: 90") && answer.contains("\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 "),
        "{answer}"
    );
    assert_apart(&target, both);
}
