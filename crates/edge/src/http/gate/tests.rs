use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::*;

/// What the gate hands on of a stream that comes in these pieces, and what it says of the requests in it.
fn handed(pieces: &[&[u8]]) -> (Vec<u8>, Vec<Verdict>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (mut client, server) = duplex(64);
        let desk = Arc::new(Desk::default());
        let mut gate = Gate::new(server, desk.clone(), DesyncMode::Defensive, Duration::from_secs(60));
        let writes = async {
            for piece in pieces {
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
        };
        let reads = async {
            let (mut all, mut buffer) = (Vec::new(), [0; 48]);
            while let Ok(Ok(count @ 1..)) = tokio::time::timeout(Duration::from_secs(1), gate.read(&mut buffer)).await {
                all.extend_from_slice(&buffer[..count]);
                // Hyper would answer now; the verdicts are kept to be compared.
                desk.said.lock().upgrade = Upgrade::No;
            }
            all
        };
        // A refusal leaves the rest unread, so that the writer may have to wait for ever.
        let all = tokio::select! {
            biased;
            all = reads => all,
            () = async { writes.await; std::future::pending().await } => Vec::new(),
        };
        let said = desk.said.lock();
        (all, said.verdicts.iter().copied().collect(), said.fault)
    })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn whole_requests_are_handed_on_as_they_came() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let all = [GET, post, chunked, GET].concat();
    let (handed, verdicts, fault) = handed(&[all.as_bytes()]);
    assert_eq!(String::from_utf8(handed).expect("text"), all);
    assert_eq!((verdicts.len(), verdicts.iter().all(Result::is_ok), fault), (4, true, false));
}

#[test]
fn after_a_refusal_nothing_is_handed_on() {
    let bad = "GET / HTTP/1.1\r\nA b: c\r\n\r\n";
    let (handed, verdicts, _) = handed(&[GET.as_bytes(), bad.as_bytes(), GET.as_bytes()]);
    assert_eq!(handed, [GET.as_bytes(), STAND_IN].concat());
    assert_eq!((verdicts.len(), verdicts.last()), (2, Some(&Err(400))));
}

#[test]
fn some_empty_lines_may_come_before_a_request() {
    let lines = |count: usize| [&"\r\n".repeat(count), GET].concat();
    assert_eq!(handed(&[lines(EMPTY_LINES).as_bytes()]).0, GET.as_bytes());
    assert_eq!(handed(&[lines(EMPTY_LINES + 1).as_bytes()]).1, [Err(400)]);
}

#[test]
fn a_head_without_an_end_is_refused_when_it_is_too_long() {
    let line = [b'a'; head::LINE + READ];
    assert_eq!(handed(&[&line]).1, [Err(414)]);
    let headers = ["GET / HTTP/1.1\r\n", &"a: b\r\n".repeat(head::HEAD / 6 + 1)].concat();
    assert_eq!(handed(&[headers.as_bytes()]).1, [Err(400)]);
}

/// What the gate says of a request that comes byte by byte, and how long that took.
fn slowly(pause: Duration) -> (Verdict, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (mut client, server) = duplex(64);
        let desk = Arc::new(Desk::default());
        let mut gate = Gate::new(server, desk.clone(), DesyncMode::Defensive, Duration::from_secs(60));
        let began = Instant::now();
        tokio::spawn(async move {
            for byte in GET.bytes() {
                client.write_all(&[byte]).await.expect("the gate reads");
                sleep(pause).await;
            }
        });
        let mut buffer = [0; 64];
        let read = gate.read(&mut buffer).await.expect("a head, or what stands for one");
        assert!(buffer[..read].starts_with(b"GET / "));
        (desk.verdict(), began.elapsed())
    })
}

/// As AWS has it: a byte before each idle timeout keeps a connection. What a slow client holds is one head.
#[test]
fn a_byte_before_each_timeout_is_waited_for_and_a_later_one_is_not() {
    let (verdict, took) = slowly(Duration::from_secs(59));
    assert!(verdict.is_ok() && took.as_secs() == 59 * (GET.len() as u64 - 1), "{verdict:?} {took:?}");
    let (verdict, took) = slowly(Duration::from_secs(61));
    assert_eq!((verdict, took.as_secs()), (Err(408), 60));
}

/// Pieces of requests, good and bad.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        GET,
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n",
        "\n",
        "\r",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "0",
        "GET",
        " ",
        ":",
        "\0",
        "Upgrade: websocket\r\n",
    ];
    let word = proptest::sample::select(words.to_vec());
    proptest::collection::vec(word, 0..10).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn how_a_stream_is_cut_changes_nothing(stream in stream(), cuts in proptest::collection::vec(1usize..40, 0..8)) {
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        pieces.push(rest);
        let whole = handed(&[&stream]);
        let cut = handed(&pieces);
        prop_assert_eq!((&cut.1, cut.2), (&whole.1, whole.2));
        // The part of a body before a fault may be handed on or not.
        let (less, more) = if cut.0.len() < whole.0.len() { (cut.0, whole.0) } else { (whole.0, cut.0) };
        prop_assert!(more.starts_with(&less) && (cut.2 || less == more));
    }
}
