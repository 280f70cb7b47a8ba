//! H7: several requests on one connection, and answers that come before their time.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::script::{self, Say, Script, ask, read_out, shown, statuses};
use crate::support::{ok, status};

const GET: &str = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// An answer as soon as the first head has come.
async fn hasty_target() -> Script {
    Script::start(|turn| {
        let head = turn.came.windows(4).any(|window| window == b"\r\n\r\n");
        (head && turn.said == 0 || turn.whole > turn.said).then(|| Say::open(&ok("early")))
    })
    .await
}

#[tokio::test]
async fn h7_an_invalid_second_request_is_answered_in_its_turn_and_nothing_after_it_is_read() {
    let first = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    for (bad, status) in [
        ("GET / HTTP/1.1\r\nA b: c\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "501"),
        ("\0\x01\x02\r\n\r\n", "400"),
        ("abcGET / HTTP/9.9\r\n\r\n", "505"),
        ("\r\n\r\n\r\n\r\n\r\n", "400"),
    ] {
        let target = Script::ok().await;
        let (_edge, to) = script::balance(&target).await;
        let answer = ask(to, format!("{first}{bad}{GET}").as_bytes()).await;
        assert_eq!(statuses(&answer), ["200", status], "{bad:?}: {answer}");
        assert_eq!(shown(&target.request()), "POST /one | content-length: 3, host: a:28080 | abc");
    }
}

/// What follows a body with a fault is nobody's request, wherever the bytes are cut.
#[tokio::test]
async fn h7_bytes_after_a_fault_are_no_request() {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe").await.expect("a head");
    target.hears(|heard| heard.ends_with(b"he\r\n")).await;
    client.write_all(b"llo\r\nX\r\n").await.expect("a fault");
    client.write_all(GET.as_bytes()).await.expect("the edge reads");
    let answer = read_out(&mut client).await;
    assert_eq!(statuses(&answer), ["400"], "{answer}");
    target.closed().await;
    assert_eq!((target.heard().len(), target.requests().concat().len()), (1, 0));
}

/// The rest of the body is a body, to the edge and to the target, whose connection serves nothing else.
#[tokio::test]
async fn h7_an_answer_before_the_body_leaves_the_body_a_body() {
    let target = hasty_target().await;
    let (_edge, to) = script::balance(&target).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len());
    client.write_all(head.as_bytes()).await.expect("a head");
    let mut early = [0; 12];
    client.read_exact(&mut early).await.expect("an answer");
    assert_eq!(&early, b"HTTP/1.1 200");
    client.write_all(format!("{smuggled}{GET}").as_bytes()).await.expect("the edge reads");
    let rest = read_out(&mut client).await;
    assert_eq!(statuses(&rest), ["200"], "{rest}");
    target.first_closed().await;
    let requests = target.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    let body = format!("POST /one | content-length: {}, host: a:28080 | {}", smuggled.len(), smuggled.escape_default());
    assert!(requests[0].len() <= 1 && requests[0].iter().all(|first| shown(first) == body), "{requests:?}");
    assert_eq!((requests[1].len(), requests[1][0].target.as_str()), (1, "/next"));
}

/// Nor does a connection serve another client whose request was broken off.
#[tokio::test]
async fn h7_a_client_that_leaves_takes_its_targets_connection_along() {
    let target = hasty_target().await;
    let (_edge, to) = script::balance(&target).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    client.write_all(b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\nGET /smug").await.expect("a head");
    let mut early = [0; 12];
    client.read_exact(&mut early).await.expect("an answer");
    drop(client);
    target.closed().await;
    assert_eq!(status(&ask(to, GET.as_bytes()).await), "200");
    assert_eq!(target.heard().len(), 2);
    assert_eq!(target.requests()[1].len(), 1);
}

/// The edge says `100 Continue` itself, once, and only to a client of HTTP/1.1 that has a body to send; the target is asked
/// without the header.
#[tokio::test]
async fn h7_expect_is_between_client_and_edge() {
    let cases = [
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3", "abc", &["100", "200"][..]),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-CONTINUE\r\nContent-Length: 3", "abc", &["100", "200"]),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0", "", &["200"]),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue", "", &["200"]),
        ("POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3", "abc", &["200"]),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: y 100-continue\r\nContent-Length: 3", "abc", &["200"]),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 3", "abc", &["200"]),
    ];
    for (head, body, expected) in cases {
        let target = Script::ok().await;
        let (_edge, to) = script::balance(&target).await;
        let mut client = TcpStream::connect(to).await.expect("a connection");
        client.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.expect("a head");
        let mut before = String::new();
        if expected[0] == "100" {
            let mut come = [0; 25];
            client.read_exact(&mut come).await.expect("a word");
            before = String::from_utf8(come.to_vec()).expect("text");
            assert_eq!(before, "HTTP/1.1 100 Continue\r\n\r\n");
        }
        client.write_all(body.as_bytes()).await.expect("the edge reads");
        let answer = before + &read_out(&mut client).await;
        assert_eq!(statuses(&answer), expected, "{head}: {answer}");
        let request = target.request();
        assert_eq!((request.all("expect").count(), request.body.as_slice()), (0, body.as_bytes()), "{head}");
    }
}

/// A refusal needs no body, which the client then does not send.
#[tokio::test]
async fn h7_who_expects_is_refused_without_a_body() {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    for (lines, expected) in [("Content-Length: +1", "400"), ("Transfer-Encoding: identity", "501")] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{lines}\r\n\r\n");
        assert_eq!(statuses(&ask(to, head.as_bytes()).await), [expected]);
    }
    assert_eq!(target.heard(), Vec::<Vec<u8>>::new());
}

/// The body of a GET is told by its length; what two readers might differ on ends with it.
#[tokio::test]
async fn h7_a_get_with_a_body_is_the_last_on_its_connections() {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", smuggled.len());
    let answer = ask(to, format!("{head}{smuggled}{GET}").as_bytes()).await;
    assert_eq!(statuses(&answer), ["200"]);
    target.closed().await;
    let request = target.request();
    assert_eq!((request.target.as_str(), request.body.as_slice()), ("/", smuggled.as_bytes()));
}

/// Without a length there is no body: what follows is the next request, and no part of this one.
#[tokio::test]
async fn h7_a_get_of_length_nothing_has_no_body() {
    let target = Script::ok().await;
    let (_edge, to) = script::balance(&target).await;
    let head = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let answer = ask(to, format!("{head}{GET}").as_bytes()).await;
    assert_eq!(statuses(&answer), ["200", "200"]);
    assert_eq!(statuses(&ask(to, format!("{head}hello{GET}").as_bytes()).await), ["200", "200"]);
    let targets: Vec<String> =
        target.requests().concat().iter().map(|request| format!("{} {}", request.method, request.target)).collect();
    assert_eq!(targets, ["GET /", "GET /next", "GET /", "helloGET /next"]);
}

/// Bytes behind a request that asks for another protocol wait for the answer. Without 101 they are a request like others.
#[tokio::test]
async fn h7_what_follows_an_upgrade_waits_for_101() {
    let target = Script::says("HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n").await;
    let (_edge, to) = script::balance(&target).await;
    let ask_first = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = ask(to, format!("{ask_first}{GET}").as_bytes()).await;
    assert_eq!(statuses(&answer), ["403", "403"]);
    let requests = target.requests();
    // A target that may have thought otherwise gets no other request on that connection.
    assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1], "{requests:?}");
    assert_eq!(shown(&requests[0][0]), "GET /ws | connection: upgrade, host: a:28080, upgrade: websocket | ");
    assert_eq!(requests[1][0].target, "/next");
    let answer = ask(to, format!("{ask_first}\0\x01{GET}").as_bytes()).await;
    assert_eq!(statuses(&answer), ["403", "400"]);
}
