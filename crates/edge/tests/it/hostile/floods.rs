//! H12: much of what is small. Each flood ends its own connection, and others are served.

use std::time::Duration;

use super::frames::{
    CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, Outcome, PING, Peer, RST_STREAM,
    SETTINGS, Site, WINDOW_UPDATE, block, fields, frame, get,
};
use super::script::{Say, Script};
use crate::support::PATIENCE;

/// A flood of these bytes is given up with this code, after which a connection of its own is served.
async fn flooded(target: &Script, site: &Site, flood: &[u8], code: u32) {
    let mut peer = site.connect().await;
    // The edge may close before it has read all.
    peer.send_raw(flood).await;
    assert_eq!(peer.outcome(u32::MAX).await, Outcome::Away(code));
    let mut other = site.connect().await;
    other.ask(1, &get("/other"), true).await;
    assert_eq!(other.outcome(1).await, Outcome::Status(200));
    target.hears(|heard| heard.windows(11).any(|window| window == b"GET /other ")).await;
}

#[tokio::test]
async fn h12_streams_that_are_reset_at_once_end_the_connection() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let asked = block(&get("/reset"));
    let one = |stream: u32| {
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &asked);
        [open, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let flood: Vec<u8> = (0..2000).flat_map(|number| one(2 * number + 1)).collect();
    flooded(&target, &site, &flood, CALM).await;
    let reached = target.requests().concat().iter().filter(|request| request.target == "/reset").count();
    assert!(reached <= 128, "{reached}");
}

/// Resets that the edge is brought to by what is wrong with each stream.
#[tokio::test]
async fn h12_streams_that_the_edge_must_reset_end_the_connection() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let broken = block(&[get("/reset"), fields(&[("te", "chunked")])].concat());
    let one = |stream: u32| frame(HEADERS, END_HEADERS | END_STREAM, stream, &broken);
    let flood: Vec<u8> = (0..5000).flat_map(|number| one(2 * number + 1)).collect();
    flooded(&target, &site, &flood, CALM).await;
    assert!(target.requests().concat().iter().all(|request| request.target == "/other"));
}

#[tokio::test]
async fn h12_a_head_that_goes_on_and_on_ends_the_connection() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let head = frame(HEADERS, END_STREAM, 1, &block(&get("/")));
    let more = block(&fields(&[("a", &"b".repeat(16_000))]));
    // One of so long a header is given up for it.
    for (part, code) in [(&b""[..], CALM), (b"\0\x01a\x01b", CALM), (&more, NO_ERROR)] {
        let parts = frame(CONTINUATION, 0, 1, part).repeat(1000);
        flooded(&target, &site, &[head.clone(), parts].concat(), code).await;
    }
    assert!(target.requests().concat().iter().all(|request| request.target == "/other"));
}

#[tokio::test]
async fn h12_data_of_no_bytes_ends_the_connection() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let mut asked = get("/");
    asked[0].1 = b"POST".to_vec();
    let open = frame(HEADERS, END_HEADERS, 1, &block(&asked));
    let flood = [open, frame(DATA, 0, 1, b"").repeat(10_000)].concat();
    flooded(&target, &site, &flood, CALM).await;
    assert!(target.requests().concat().iter().all(|request| request.target == "/other"));
}

/// Each has its answer, and no more is read while those wait to be sent.
#[tokio::test]
async fn h12_pings_and_settings_keep_nobody_from_asking() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    for one in [frame(PING, 0, 0, b"12345678"), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])] {
        let mut peer = site.connect().await;
        peer.send_raw(&one.repeat(2000)).await;
        peer.ask(1, &get("/"), true).await;
        assert_eq!(peer.outcome(1).await, Outcome::Status(200));
    }
}

/// The client is asked to open another connection; what it has begun is answered.
#[tokio::test]
async fn h12_a_connection_ends_after_ten_thousand_requests() {
    let target = Script::ok().await;
    let site = Site::before(&target).await;
    let mut peer = site.connect().await;
    peer.send(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()).await;
    // Refused by the edge itself, which is quicker than a target.
    let asked = block(&fields(&[(":method", "TRACE"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]));
    let (mut answered, mut away) = (0, false);
    for turn in 0..100 {
        let streams = (0..100).map(|number| 2 * (turn * 100 + number) + 1);
        let all: Vec<u8> =
            streams.flat_map(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &asked)).collect();
        assert!(peer.send_raw(&all).await);
        let mut ended = 0;
        while ended < 100 {
            let frame = peer.frame().await.expect("an answer");
            away |= frame.kind == GOAWAY;
            assert!(!away || turn == 99, "after {answered} requests");
            answered += usize::from(frame.kind == HEADERS);
            ended += usize::from(frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA));
        }
    }
    while let Some(frame) = peer.frame().await {
        away |= frame.kind == GOAWAY;
    }
    assert_eq!((answered, away), (10_000, true));
}

/// A target whose answers are larger than what is on the way of them.
async fn generous() -> Script {
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 8000000\r\n\r\n{}", "x".repeat(8_000_000));
    Script::start(move |turn| (turn.whole > turn.said).then(|| Say::open(&large))).await
}

/// Sends PING, and what `more` is, ten times a second; whether the connection was given up before it was closed.
async fn ping(peer: &mut Peer, more: &[u8]) -> bool {
    let mut away = false;
    loop {
        peer.send_raw(&[&frame(PING, 0, 0, b"12345678")[..], more].concat()).await;
        loop {
            match peer.frame().await {
                Some(frame) if frame.kind == PING && frame.flags == 1 => break,
                Some(frame) => away |= frame.kind == GOAWAY,
                None => return away,
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A client that has no room for its answer and says only that it is there has its target let go, and is.
#[tokio::test]
async fn h12_pings_keep_no_target_for_a_client_that_takes_nothing() {
    let target = generous().await;
    let site = Site::with(&target, |attributes| attributes.idle_timeout_seconds = 1).await;
    let mut peer = site.connect().await;
    peer.ask(1, &get("/"), true).await;
    assert_eq!(peer.outcome(1).await, Outcome::Status(200));
    let pinged = async { tokio::join!(target.first_closed(), ping(&mut peer, b"")).1 };
    assert!(tokio::time::timeout(PATIENCE, pinged).await.expect("the connection ends"));
}

/// Nor does room that was there and is taken back before the answer comes.
#[tokio::test]
async fn h12_a_window_that_is_closed_again_keeps_no_target() {
    // The answer goes on when the request does.
    let target = Script::start(|turn| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        match (turn.said, turn.whole) {
            (0, _) => Some(Say::open(head)),
            (1, 1) => Some(Say::open(&format!("f4240\r\n{}\r\n", "x".repeat(1_000_000)))),
            _ => None,
        }
    })
    .await;
    let site = Site::with(&target, |attributes| attributes.idle_timeout_seconds = 1).await;
    let mut peer = site.connect().await;
    let mut asked = get("/");
    asked[0].1 = b"POST".to_vec();
    peer.ask(1, &asked, false).await;
    assert_eq!(peer.outcome(1).await, Outcome::Status(200));
    peer.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await;
    peer.send(DATA, END_STREAM, 1, b"abc").await;
    let pinged = async { tokio::join!(target.first_closed(), ping(&mut peer, b"")).1 };
    assert!(tokio::time::timeout(PATIENCE, pinged).await.expect("the connection ends"));
}

/// One that takes a little now and then has its keep-alive time twice.
#[tokio::test]
async fn h12_a_connection_that_is_given_up_ends_however_slowly_its_answer_is_taken() {
    let target = generous().await;
    let site = Site::with(&target, |attributes| attributes.client_keep_alive_seconds = 1).await;
    let mut peer = site.connect().await;
    peer.ask(1, &get("/"), true).await;
    assert_eq!(peer.outcome(1).await, Outcome::Status(200));
    let ten = 10_u32.to_be_bytes();
    let little = [frame(WINDOW_UPDATE, 0, 0, &ten), frame(WINDOW_UPDATE, 0, 1, &ten)].concat();
    let pinged = ping(&mut peer, &little);
    assert!(tokio::time::timeout(PATIENCE / 2, pinged).await.expect("the connection ends"));
    target.first_closed().await;
}
