use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, duplex};

use super::*;

/// What is read of a stream that comes in these pieces: a line for each request, its body behind, and what is refused.
fn read(pieces: &[&[u8]]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (mut client, server) = duplex(64);
        let idle = Duration::from_secs(60);
        let shared = Arc::new(Mutex::new(Client::new(Line::new(server), DesyncMode::Defensive, idle)));
        let writes = async {
            for piece in pieces {
                if client.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
        };
        // A refusal leaves the rest unread, so that the writer may have to wait for ever.
        tokio::select! {
            biased;
            all = requests(&shared) => all,
            () = async { writes.await; std::future::pending().await } => Vec::new(),
        }
    })
}

async fn requests(shared: &Shared) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match poll_fn(|cx| shared.lock().poll_next(cx, shared)).await {
            Came::End => return all,
            Came::Refused(status, _) => {
                all.push(status.to_string());
                return all;
            }
            Came::Request(request, admitted) => {
                all.push(format!("{} {} {:?} {:?}", request.method(), request.uri(), request.headers(), admitted));
                all.push(body(request.into_body()).await);
            }
        }
    }
}

async fn body(body: Inbound) -> String {
    let Inbound::Own(body) = body else { return String::new() };
    let mut all = Vec::new();
    while let Some(data) = poll_fn(|cx| body.poll_data(cx)).await {
        match data {
            Ok(data) => all.extend_from_slice(&data),
            Err(error) => return error.to_string(),
        }
    }
    String::from_utf8(all).expect("text")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn requests_are_read_one_after_the_other_with_their_bodies() {
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\nt: x\r\n\r\n";
    let all = read(&[[GET, post, chunked, GET].concat().as_bytes()]);
    let starts: Vec<&str> = all.iter().map(|line| line.split(" {").next().unwrap_or_default()).collect();
    assert_eq!(starts, ["GET /", "", "POST /x", "hello", "POST /y", "Hello", "GET /", ""]);
}

#[test]
fn after_a_refusal_nothing_is_read() {
    let bad = "GET / HTTP/1.1\r\nA b: c\r\n\r\n";
    let all = read(&[GET.as_bytes(), bad.as_bytes(), GET.as_bytes()]);
    assert_eq!((all.len(), all[2].as_str()), (3, "400"));
}

#[test]
fn some_empty_lines_may_come_before_a_request() {
    let lines = |count: usize| [&"\r\n".repeat(count), GET].concat();
    assert_eq!(read(&[lines(EMPTY_LINES).as_bytes()]), read(&[GET.as_bytes()]));
    assert_eq!(read(&[lines(EMPTY_LINES + 1).as_bytes()]), ["400"]);
}

#[test]
fn a_head_without_an_end_is_refused_when_it_is_too_long() {
    let line = [b'a'; head::LINE + AHEAD];
    assert_eq!(read(&[&line]), ["414"]);
    let headers = ["GET / HTTP/1.1\r\n", &"a: b\r\n".repeat(head::HEAD / 6 + 1)].concat();
    assert_eq!(read(&[headers.as_bytes()]), ["400"]);
}

/// What is said of a request that comes byte by byte, and how long that took.
async fn slowly(pause: Duration) -> (Option<Refused>, Duration) {
    let (mut client, server) = duplex(64);
    let shared = Arc::new(Mutex::new(Client::new(Line::new(server), DesyncMode::Defensive, Duration::from_secs(60))));
    let began = Instant::now();
    tokio::spawn(async move {
        for byte in GET.bytes() {
            client.write_all(&[byte]).await.expect("the edge reads");
            sleep(pause).await;
        }
    });
    match poll_fn(|cx| shared.lock().poll_next(cx, &shared)).await {
        Came::Request(..) => (None, began.elapsed()),
        Came::Refused(status, _) => (Some(status), began.elapsed()),
        Came::End => panic!("no answer"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_has_the_idle_timeout_as_a_whole_from_its_first_byte() {
    let (refused, took) = slowly(Duration::from_secs(2)).await;
    assert_eq!((refused, took.as_secs()), (None, 2 * (GET.len() as u64 - 1)));
    for pause in [3, 59, 61] {
        let (refused, took) = slowly(Duration::from_secs(pause)).await;
        assert_eq!((refused, took.as_secs()), (Some(408), 60), "{pause}");
    }
}

#[tokio::test]
async fn whoever_still_has_the_body_of_a_request_gets_nothing_of_the_next() {
    let (mut client, server) = duplex(1024);
    let shared = Arc::new(Mutex::new(Client::new(Line::new(server), DesyncMode::Defensive, Duration::from_secs(60))));
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    client.write_all(format!("{post}first{post}other").as_bytes()).await.expect("room");
    let next = async || match poll_fn(|cx| shared.lock().poll_next(cx, &shared)).await {
        Came::Request(request, _) => request.into_body(),
        Came::Refused(..) | Came::End => panic!("no request"),
    };
    let Inbound::Own(first) = next().await else { panic!("no body") };
    assert!(drain(&shared).await);
    let other = next().await;
    let stale = poll_fn(|cx| first.poll_data(cx)).await;
    assert!(stale.is_some_and(|data| data.is_err()) && !first.is_done());
    assert_eq!(body(other).await, "other");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_the_idle_timeout_anew_for_each_piece_that_it_is_given() {
    let (mut client, server) = duplex(8);
    let shared = Arc::new(Mutex::new(Client::new(Line::new(server), DesyncMode::Defensive, Duration::from_secs(60))));
    for piece in ["one", "two", "three"] {
        sleep(Duration::from_secs(50)).await;
        shared.lock().outbox.put(Bytes::from_static(b"more than it takes"), false);
        let writes = poll_fn(|cx| shared.lock().poll_write(cx));
        let reads = async {
            sleep(Duration::from_secs(50)).await;
            tokio::io::AsyncReadExt::read_exact(&mut client, &mut [0; 18]).await
        };
        let (written, read) = tokio::join!(writes, reads);
        assert!(written.is_ok() && read.is_ok(), "{piece}");
    }
    shared.lock().outbox.put(Bytes::from_static(b"more than it takes"), false);
    let written = poll_fn(|cx| shared.lock().poll_write(cx)).await;
    assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_expects_to_be_asked_for_a_body_is_asked_when_it_is_wanted() {
    let (mut client, server) = duplex(1024);
    let shared = Arc::new(Mutex::new(Client::new(Line::new(server), DesyncMode::Defensive, Duration::from_secs(60))));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("room");
    let Came::Request(request, _) = poll_fn(|cx| shared.lock().poll_next(cx, &shared)).await else {
        panic!("a request")
    };
    let mut first = [0; 1];
    let early = tokio::time::timeout(Duration::from_secs(1), client.read(&mut first)).await;
    assert!(early.is_err(), "nobody wants the body yet");
    let asked = async {
        let mut asked = vec![0; CONTINUE.len()];
        client.read_exact(&mut asked).await.expect("the interim answer");
        client.write_all(b"ab").await.expect("room");
        asked
    };
    assert_eq!(tokio::join!(asked, body(request.into_body())), (CONTINUE.to_vec(), "ab".to_owned()));
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
        prop_assert_eq!(read(&pieces), read(&[&stream]));
    }
}
