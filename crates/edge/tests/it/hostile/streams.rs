//! H8: requests of HTTP/2 that HTTP/1 would say otherwise, or not at all.

use super::frames::{DATA, END_STREAM, Fields, NO_ERROR, Outcome, PROTOCOL_ERROR, Site, fields, get};
use super::script::{Script, shown};

/// A request with one header more.
fn with(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Fields {
    let mut all = get("/");
    all.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    all
}

/// A request in which a field is another.
fn instead(name: &str, value: impl AsRef<[u8]>) -> Fields {
    let mut all = get("/");
    for field in all.iter_mut().filter(|field| field.0 == name.as_bytes()) {
        field.1 = value.as_ref().to_vec();
    }
    all
}

fn without(name: &str) -> Fields {
    get("/").into_iter().filter(|field| field.0 != name.as_bytes()).collect()
}

/// Each has its outcome, the connection goes on unless it is given up, and nothing of it reaches the target.
async fn refused(cases: Vec<(Fields, Outcome)>) {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    for (number, (asked, expected)) in cases.iter().enumerate() {
        let mut peer = site.connect().await;
        peer.ask(1, asked, true).await;
        let shown: Vec<String> =
            asked.iter().map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii())).collect();
        let shown: String = shown.join(" ").chars().take(200).collect();
        assert_eq!(peer.outcome(1).await, *expected, "{shown}");
        if matches!(expected, Outcome::Away(_)) {
            peer = site.connect().await;
        }
        peer.ask(3, &get("/after"), true).await;
        assert_eq!(peer.outcome(3).await, Outcome::Status(200), "{shown}");
        let requests = target.requests().concat();
        assert!(
            requests.len() == number + 1 && requests.iter().all(|request| request.target == "/after"),
            "{shown}: {requests:?}"
        );
    }
}

#[tokio::test]
async fn h8_headers_that_would_be_two_lines_or_none_end_their_connection() {
    let away = Outcome::Away(PROTOCOL_ERROR);
    refused(vec![
        (with("a", "b\r\nc: d"), away),
        (with("a", "b\nc: d"), away),
        (with("a", "b\rc"), away),
        (with("a", "b\0c"), away),
        (with("a\r\nb", "c"), away),
        (with("a: b", "c"), away),
        (with("a b", "c"), away),
        (with("A", "b"), away),
        (with("\u{e9}", "b"), away),
        (with("", "b"), away),
    ])
    .await;
}

#[tokio::test]
async fn h8_values_have_no_space_around_them() {
    refused(vec![
        (with("a", " b"), Outcome::Status(400)),
        (with("a", "b "), Outcome::Status(400)),
        (with("a", "\tb"), Outcome::Status(400)),
        (with("content-length", " 0"), Outcome::Reset(PROTOCOL_ERROR)),
    ])
    .await;
}

#[tokio::test]
async fn h8_headers_of_connections_reset_their_stream() {
    let reset = Outcome::Reset(PROTOCOL_ERROR);
    refused(vec![
        (with("transfer-encoding", "chunked"), reset),
        (with("connection", "close"), reset),
        (with("connection", "x-amzn-trace-id"), reset),
        (with("keep-alive", "timeout=5"), reset),
        (with("proxy-connection", "close"), reset),
        (with("upgrade", "websocket"), reset),
        (with("te", "chunked"), reset),
    ])
    .await;
}

#[tokio::test]
async fn h8_pseudo_headers_are_each_there_once_and_first() {
    let reset = Outcome::Reset(PROTOCOL_ERROR);
    let mut late = with("a", "b");
    late.rotate_right(1);
    refused(vec![
        (late, reset),
        (with(":path", "/other"), reset),
        (with(":method", "POST"), reset),
        (with(":authority", "b.test"), reset),
        (with(":status", "200"), reset),
        (with(":protocol", "websocket"), reset),
        (with(":unknown", "a"), Outcome::Away(PROTOCOL_ERROR)),
        (without(":path"), reset),
        (without(":method"), reset),
        (without(":scheme"), reset),
        (without(":authority"), Outcome::Status(400)),
    ])
    .await;
}

#[tokio::test]
async fn h8_what_asks_is_what_a_request_line_may_say() {
    let (reset, bad) = (Outcome::Reset(PROTOCOL_ERROR), Outcome::Status(400));
    let away = Outcome::Away(PROTOCOL_ERROR);
    let mut connect = instead(":method", "CONNECT");
    connect.retain(|field| field.0 != b":path" && field.0 != b":scheme");
    refused(vec![
        (instead(":path", "/a b"), reset),
        (instead(":path", "/a HTTP/1.1\r\nb: c"), reset),
        (instead(":path", "/\0"), reset),
        (instead(":path", ""), reset),
        (instead(":path", "a"), reset),
        (instead(":path", "*"), bad),
        (instead(":path", "//\u{e9}"), bad),
        (instead(":path", "https://b.test/"), reset),
        (instead(":path", format!("/{}", "a".repeat(16 * 1024))), Outcome::Away(NO_ERROR)),
        (instead(":method", "G T"), away),
        (instead(":method", "GET / HTTP/1.1\r\n"), away),
        (instead(":method", ""), away),
        (instead(":method", "TRACE"), Outcome::Status(405)),
        (connect, Outcome::Status(405)),
        (instead(":authority", "u@a.test"), bad),
        (instead(":authority", "a.test:0"), bad),
        (instead(":authority", "a.test:65536"), bad),
        (instead(":authority", "a b"), reset),
        (instead(":authority", ""), reset),
        (instead(":scheme", "a b"), reset),
        (with("host", "b.test"), bad),
        (with("host", "a.test, b.test"), bad),
    ])
    .await;
}

#[tokio::test]
async fn h8_lengths_are_digits_and_what_comes() {
    let reset = Outcome::Reset(PROTOCOL_ERROR);
    let mut differ = with("content-length", "0");
    differ.push((b"content-length".to_vec(), b"1".to_vec()));
    refused(vec![
        (with("content-length", "+0"), reset),
        (with("content-length", "-1"), reset),
        (with("content-length", "0,0"), reset),
        (with("content-length", ""), Outcome::Status(400)),
        (with("content-length", "18446744073709551616"), reset),
        (with("content-length", "1"), reset),
        (differ, reset),
    ])
    .await;
}

/// What has begun to go on when a body turns out to be too long or too short is never whole for the target.
#[tokio::test]
async fn h8_a_body_of_another_length_is_no_request() {
    for body in ["abcdef", "abc"] {
        let target = Script::ok().await;
        let site = Site::before(&target).await;
        let mut peer = site.connect().await;
        let mut asked = instead(":method", "POST");
        asked.extend(fields(&[("content-length", "5")]));
        peer.ask(1, &asked, false).await;
        peer.send(DATA, END_STREAM, 1, body.as_bytes()).await;
        assert_eq!(peer.outcome(1).await, Outcome::Reset(PROTOCOL_ERROR), "{body}");
        peer.ask(3, &get("/after"), true).await;
        assert_eq!(peer.outcome(3).await, Outcome::Status(200), "{body}");
        target.hears(|heard| heard.starts_with(b"GET /after ")).await;
        let requests = target.requests().concat();
        assert!(requests.len() == 1 && requests[0].target == "/after", "{body}: {requests:?}");
    }
}

#[tokio::test]
async fn h8_too_large_a_head_is_refused() {
    let many: Fields = (0..1100).map(|number| (format!("a{number}").into_bytes(), b"b".to_vec())).collect();
    let large: Fields = (0..9).map(|number| (format!("a{number}").into_bytes(), vec![b'b'; 8000])).collect();
    let all = |more: &Fields| [get("/"), more.clone()].concat();
    refused(vec![(all(&many), Outcome::Status(400)), (all(&large), Outcome::Status(431))]).await;
}

/// 8 KiB of it as it is sent, however large the head is; as AWS has it, the connection is given up then, and the request is not
/// answered.
#[tokio::test]
async fn h8_a_header_of_more_than_eight_kibibytes_ends_its_connection() {
    // A byte that says what it is, the name with its length, and three bytes of the value's length.
    let field = |size: usize| (b"a".to_vec(), vec![b'b'; size - 6]);
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let largest: Fields = [get("/fits"), vec![field(8192); 7]].concat();
    let mut peer = site.connect().await;
    peer.ask(1, &largest, true).await;
    assert_eq!(peer.outcome(1).await, Outcome::Status(200));
    for before in [0, 3] {
        let mut peer = site.connect().await;
        let asked = [get("/over"), vec![field(8000); before], vec![field(8193)]].concat();
        peer.ask(1, &asked, true).await;
        peer.ask(3, &get("/behind"), true).await;
        assert_eq!(peer.outcome(1).await, Outcome::Away(NO_ERROR));
        assert_eq!(peer.outcome(1).await, Outcome::Closed);
    }
    let requests = target.requests().concat();
    assert!(requests.iter().all(|request| request.target == "/fits"), "{requests:?}");
}

/// Odd, but of one meaning: it goes on as HTTP/1.1 says it.
#[tokio::test]
async fn h8_what_has_one_meaning_goes_on() {
    let length = "GET / | content-length: 0, host: a.test:28080 | ";
    for (asked, expected) in [
        (with("te", "trailers"), "GET / | host: a.test:28080 | "),
        (with("host", "A.TEST"), "GET / | host: a.test:28080 | "),
        (with("content-length", "0"), length),
        (with("x_y", "b\u{e9}"), "GET / | host: a.test:28080, x_y: b\\xc3\\xa9 | "),
        (with("a", ""), "GET / | a: , host: a.test:28080 | "),
        (with("content_length", "5"), "GET / | host: a.test:28080 | "),
        (with("expect", "100-continue"), "GET / | host: a.test:28080 | "),
        (instead(":scheme", "http"), "GET / | host: a.test:28080 | "),
        (instead(":path", "/a#b"), "GET /a | host: a.test:28080 | "),
        (instead(":method", "purge"), "purge / | host: a.test:28080 | "),
        (instead(":path", "/%0d%0aX:%20y?z"), "GET /%0d%0aX:%20y?z | host: a.test:28080 | "),
    ] {
        let target = Script::ok().await;
        let site = Site::before(&target).await;
        let mut peer = site.connect().await;
        peer.ask(1, &asked, true).await;
        assert_eq!(peer.outcome(1).await, Outcome::Status(200), "{expected}");
        assert_eq!(shown(&target.request()), expected);
    }
}

/// Trailers of a body stay behind, whatever they say.
#[tokio::test]
async fn h8_trailers_stay_behind() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let mut peer = site.connect().await;
    peer.ask(1, &instead(":method", "POST"), false).await;
    peer.send(DATA, 0, 1, b"abc").await;
    peer.ask(1, &fields(&[("x-a", "b"), ("content-length", "9")]), true).await;
    assert_eq!(peer.outcome(1).await, Outcome::Status(200));
    assert_eq!(shown(&target.request()), "POST / | host: a.test:28080, transfer-encoding: chunked | abc");
}
