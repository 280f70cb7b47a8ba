//! H9 and H10: headers that are between two neighbours, that tell who asks, and that ask for another protocol.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::reader::Request;
use super::script::{self, Say, Script, ask, read_out, shown, statuses};
use crate::support::status;

/// What the target gets of a request with these headers.
async fn forwarded(headers: &str) -> Request {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    let answer = ask(to, format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}Connection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"], "{headers}: {answer}");
    target.request()
}

fn text<'r>(request: &'r Request, name: &'r str) -> &'r str {
    std::str::from_utf8(request.one(name).unwrap_or_default()).expect("text")
}

#[tokio::test]
async fn h9_what_is_between_neighbours_stays_there() {
    let plain = "GET / | host: a:28080 | ";
    for (headers, expected) in [
        ("Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: a\r\n", plain),
        ("Connection: x-one, X-TWO\r\nX-One: 1\r\nx-two: 2\r\nX-Three: 3\r\n", "GET / | host: a:28080, x-three: 3 | "),
        ("Connection: x-one\r\nConnection: ,, x-two ,\r\nX-One: 1\r\nX-Two: 2\r\n", plain),
        ("Connection: authorization\r\nAuthorization: Bearer a\r\n", plain),
        ("Connection: a\u{e9}, x one, \"x-two\"\r\nX-Two: 2\r\n", "GET / | host: a:28080, x-two: 2 | "),
        ("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nConnection: Upgrade, HTTP2-Settings\r\n", plain),
        ("Upgrade: TLS/1.0\r\nConnection: upgrade\r\n", plain),
        ("Upgrade: websocket\r\n", plain),
        ("Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: upgrade\r\n", plain),
        ("Upgrade: websocket, h2c\r\nConnection: upgrade\r\n", plain),
    ] {
        assert_eq!(shown(&forwarded(headers).await), expected, "{headers}");
    }
}

/// Naming a header in `Connection` takes away neither what the balancer says nor what tells the boundaries.
#[tokio::test]
async fn h9_the_balancers_own_headers_cannot_be_named_away() {
    let named = "Connection: close, x-amzn-trace-id, x-forwarded-for, x-forwarded-proto, x-forwarded-port, host\r\n";
    let request = forwarded(&format!("{named}X-Forwarded-For: 10.0.0.9\r\n")).await;
    assert_eq!(shown(&request), "GET / | host: a:28080 | ");
    assert_eq!(text(&request, "x-forwarded-for"), "10.0.0.9, 127.0.0.1");
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    let framing = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close, content-length, transfer-encoding\r\n";
    for (bounds, expected) in [
        ("Content-Length: 3\r\n\r\nabc", "POST / | content-length: 3, host: a:28080 | abc"),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "POST / | host: a:28080, transfer-encoding: chunked | abc",
        ),
    ] {
        assert_eq!(status(&ask(to, format!("{framing}{bounds}").as_bytes()).await), "200");
        assert_eq!(shown(target.requests().concat().last().expect("a request")), expected);
    }
}

#[tokio::test]
async fn h9_a_client_cannot_say_who_it_is_or_how_it_came() {
    let spoofed = "X-Forwarded-For: 10.0.0.9\r\nX-Forwarded-For: 10.0.0.8, evil\r\nX-Forwarded-Proto: https\r\n\
                   X-Forwarded-Port: 443\r\nX-Forwarded-Port: 444\r\nX-Amzn-Trace-Id: Root=1-a-b;Self=1-c-d\r\n\
                   X-Amzn-Oidc-Data: me\r\nX-Amzn-Oidc-Identity: me\r\nX-Amzn-Oidc-Accesstoken: me\r\n\
                   X-Amzn-Mtls-Clientcert: me\r\nX-Amzn-Tls-Version: TLSv1.3\r\nX-Amzn-Else: 1\r\n";
    let request = forwarded(spoofed).await;
    assert_eq!(shown(&request), "GET / | host: a:28080, x-amzn-else: 1 | ");
    assert_eq!(text(&request, "x-forwarded-for"), "10.0.0.9, 10.0.0.8, evil, 127.0.0.1");
    assert_eq!((text(&request, "x-forwarded-proto"), text(&request, "x-forwarded-port")), ("http", "28080"));
    let trace = text(&request, "x-amzn-trace-id");
    assert!(trace.starts_with("Self=1-") && trace.ends_with(";Root=1-a-b") && !trace.contains("1-c-d"), "{trace}");
}

#[tokio::test]
async fn h9_thirty_addresses_are_enough() {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    let line = |count| format!("X-Forwarded-For: {}\r\n", vec!["10.0.0.9"; count].join(", "));
    for (lines, expected) in [
        (line(30), "200"),
        (line(31), "463"),
        (line(30) + &line(1), "463"),
        (line(1).repeat(30), "200"),
        (line(1).repeat(31), "463"),
        (format!("X-Forwarded-For: {}\r\n", ",".repeat(30)), "463"),
    ] {
        let before = target.requests().concat().len();
        let answer = ask(to, format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n").as_bytes()).await;
        assert_eq!(statuses(&answer), [expected], "{lines}");
        assert_eq!(target.requests().concat().len() - before, usize::from(expected == "200"), "{lines}");
    }
}

/// Trailers are no headers: what came as one would pass every look at the head.
#[tokio::test]
async fn h9_trailers_stay_behind_both_ways() {
    let target =
        Script::says("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-a\r\n\r\n2\r\nok\r\n0\r\nx-a: b\r\nset-cookie: c\r\n\r\n").await;
    let (_edge, to) = script::balance(&target).await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n\
                   3\r\nabc\r\n0\r\nContent-Length: 9\r\nX-Forwarded-For: 10.0.0.9\r\nHost: b\r\n\r\n";
    let answer = ask(to, request.as_bytes()).await;
    assert!(statuses(&answer) == ["200"] && answer.ends_with("\r\n\r\n2\r\nok\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(shown(&target.request()), "POST / | host: a:28080, transfer-encoding: chunked | abc");
}

/// The edge does not judge a handshake, which is between client and target; whatever the target answers but 101, its
/// connection serves no other request.
#[tokio::test]
async fn h10_a_handshake_is_judged_by_the_target() {
    let shake = |version: &str, lines: &str| {
        format!("GET /ws {version}\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n{lines}\r\n")
    };
    let lines = "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 99\r\n";
    for (answer, status) in [
        ("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno", "400"),
        ("HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 13\r\ncontent-length: 0\r\n\r\n", "426"),
        ("HTTP/1.1 200 OK\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n", "200"),
    ] {
        let target = Script::says(answer).await;
        let (_edge, to) = script::balance(&target).await;
        assert_eq!(statuses(&ask(to, shake("HTTP/1.1", lines).as_bytes()).await), [status]);
        target.closed().await;
        let expected = "GET /ws | connection: upgrade, host: a:28080, sec-websocket-key: short, sec-websocket-version: 99, upgrade: websocket | ";
        assert_eq!(shown(&target.request()), expected);
    }
}

/// What goes through is the target's and the client's: a broken frame is not the edge's to close for.
#[tokio::test]
async fn h10_after_101_any_bytes_go_through_both_ways() {
    const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    // No mask, reserved bits, 2^63 bytes, a control frame in two parts, and what would be a request.
    let frames =
        b"\x81\x01a\xf1\x00\x82\x7f\x80\0\0\0\0\0\0\0\x09\x00\x89\x00\x88\x02\x03\xedGET / HTTP/1.1\r\nA b: c\r\n\r\n";
    let target = Script::start(move |turn| match turn.said {
        0 => (turn.whole == 1).then(|| Say::open(AGREED)),
        1 => turn.came.ends_with(frames).then(|| Say { bytes: frames.to_vec(), close: true }),
        _ => None,
    })
    .await;
    let (_edge, to) = script::balance(&target).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    client
        .write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        .await
        .expect("the edge reads");
    // Before the answer has come: they wait for it.
    client.write_all(frames).await.expect("the edge reads");
    let mut head = [0; 12];
    client.read_exact(&mut head).await.expect("an answer");
    assert_eq!(&head, b"HTTP/1.1 101");
    client.shutdown().await.expect("the end");
    let echoed = read_out(&mut client).await;
    let expected: String = frames.iter().map(|byte| char::from(*byte)).collect();
    assert!(echoed.ends_with(&format!("\r\n\r\n{expected}")), "{}", echoed.escape_debug());
}
