//! H12: much of what is small. Each flood ends its own connection, and others are served.

use super::frames::{
    CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Outcome, PING, RST_STREAM, SETTINGS, Site,
    WINDOW_UPDATE, block, fields, frame, get,
};
use super::script::Script;

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
    for part in [&b""[..], b"\0\x01a\x01b", &more] {
        let parts = frame(CONTINUATION, 0, 1, part).repeat(1000);
        flooded(&target, &site, &[head.clone(), parts].concat(), CALM).await;
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
