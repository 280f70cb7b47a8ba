//! Requests through an application load balancer.

use std::sync::atomic::Ordering;

use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

#[tokio::test]
async fn a_request_reaches_the_target_with_the_headers_of_a_balancer() {
    let backend = Backend::named("hello").await;
    let (_edge, to) = balance(&[backend.address]).await;
    let request = "POST /a?b=c HTTP/1.1\r\nHost: shop\r\nConnection: close, x-secret\r\nX-Secret: 1\r\n\
                   X-Forwarded-For: 10.0.0.9\r\nContent-Length: 3\r\n\r\nabc";
    let answer = raw(to, request.as_bytes()).await;
    assert_eq!((status(&answer), body(&answer)), ("200", "hello"));
    let seen = backend.seen.lock()[0].to_lowercase();
    let (head, sent) = seen.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("x-amzn-trace-id: root=1-")).collect();
    lines[1..].sort_unstable();
    let expected = [
        "post /a?b=c http/1.1",
        "content-length: 3",
        "host: shop:28080",
        "x-forwarded-for: 10.0.0.9, 127.0.0.1",
        "x-forwarded-port: 28080",
        "x-forwarded-proto: http",
    ];
    assert_eq!((lines.as_slice(), sent), (&expected[..], "abc"));
}

#[tokio::test]
async fn connections_to_a_target_are_used_again() {
    let backend = Backend::named("hello").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    group(&mut configuration).health_check.interval_seconds = 300;
    let (edge, to) = serve(&configuration).await;
    until(&edge, backend.address.port(), TargetState::Healthy).await;
    let before = backend.connections.load(Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(status(&get(to, "/").await), "200");
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed) - before, 1);
}

/// Closing a socket at once would reset a client that is still sending, and some lose the answer by that.
#[tokio::test]
async fn a_refusal_leaves_a_client_time_to_end() {
    let (_edge, to) = balance(&[]).await;
    for (start, expected) in [
        ("GET / HTTP/1.1\r\nA b: c\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 204800\r\n\r\n", "503"),
    ] {
        let mut client = TcpStream::connect(to).await.expect("a connection");
        client.write_all(start.as_bytes()).await.expect("the edge reads");
        let mut first = [0; 12];
        client.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first[9..], expected.as_bytes());
        for _ in 0..16 {
            client.write_all(&[b'x'; 4096]).await.expect("no reset");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        client.shutdown().await.expect("the end");
        rest(&mut client).await;
    }
}

#[tokio::test]
async fn a_doubtful_request_goes_on_with_one_meaning_and_both_connections_end() {
    let backend = Backend::named("hello").await;
    let (_edge, to) = balance(&[backend.address]).await;
    let bytes = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                 GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = raw(to, bytes.as_bytes()).await;
    assert_eq!((status(&answer), body(&answer)), ("200", "hello"));
    assert!(answer.contains("connection: close\r\n"));
    let seen = backend.seen.lock().clone();
    assert_eq!(seen.len(), 1);
    let head = seen[0].to_lowercase();
    assert!(
        !head.contains("content-length")
            && head.contains("connection: close")
            && head.ends_with("3\r\nabc\r\n0\r\n\r\n")
    );
}

#[tokio::test]
async fn rules_redirect_and_answer() {
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[]);
    let rule = |priority: u32, path: &str, action| Rule {
        arn: priority.to_string(),
        priority,
        conditions: vec![Condition::PathPattern { values: vec![path.to_owned()] }],
        action,
    };
    let secure = Redirect { protocol: "HTTPS".into(), port: "443".into(), status: 301, ..Redirect::default() };
    let fixed =
        Action::FixedResponse { status: 418, content_type: Some("application/json".into()), body: Some("{}".into()) };
    configuration.balancers[0].listeners[0].rules =
        vec![rule(1, "/old/*", Action::Redirect(secure)), rule(2, "/fixed", fixed)];
    let (_edge, to) = serve(&configuration).await;
    let moved = get(to, "/old/x?y=z").await;
    assert_eq!(status(&moved), "301");
    assert!(moved.contains("location: https://a:443/old/x?y=z\r\n"), "{moved}");
    let fixed = get(to, "/fixed").await;
    assert_eq!((status(&fixed), body(&fixed)), ("418", "{}"));
    assert!(fixed.contains("content-type: application/json\r\n"));
    assert_eq!(status(&get(to, "/else").await), "503");
}

#[tokio::test]
async fn a_target_that_fails_is_a_bad_gateway() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let (_edge, to) = balance(&[nobody]).await;
    assert_eq!(status(&get(to, "/").await), "502");
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(33 * 1024));
    let answers = [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nbad header: 1\r\n\r\n",
        long.as_str(),
    ];
    for answer in answers.map(str::to_owned) {
        let shown: String = answer.chars().take(60).collect();
        let backend = Backend::start(move |_| answer.clone()).await;
        let (_edge, to) = balance(&[backend.address]).await;
        assert_eq!(status(&get(to, "/").await), "502", "{shown:?}");
    }
}

#[tokio::test]
async fn the_idle_timeout_has_an_answer_that_says_whose_turn_it_was() {
    let backend = Backend::start(|_| "never".to_owned()).await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    configuration.balancers[0].attributes.idle_timeout_seconds = 1;
    let (_edge, to) = serve(&configuration).await;
    let (none, head, body, open) = tokio::join!(
        get(to, "/"),
        raw(to, b"GET / HTTP/1.1\r\nHo"),
        raw(to, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"),
        raw(to, b""),
    );
    assert_eq!([status(&none), status(&head), status(&body), open.as_str()], ["504", "408", "408", ""]);
}

#[tokio::test]
async fn too_many_forwarders_and_another_protocol_have_codes_of_their_own() {
    let backend = Backend::named("hello").await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let (edge, to) = serve(&configuration).await;
    let chain = vec!["1.1.1.1"; 31].join(",");
    let far = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {chain}\r\n\r\n");
    assert_eq!(status(&raw(to, far.as_bytes()).await), "463");
    configuration.generation = 2;
    group(&mut configuration).protocol_version = ProtocolVersion::Grpc;
    edge.apply(configuration).await.expect("a configuration");
    assert_eq!(status(&get(to, "/").await), "464");
    assert_eq!(backend.count(), 0);
}

#[tokio::test]
async fn a_websocket_is_a_tunnel_once_the_target_agrees() {
    let agree = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let backend = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut came = Vec::new();
            let Some(request) = message(&mut stream, &mut came).await else { continue };
            if request.contains("ELB-HealthChecker") {
                stream.write_all(ok("").as_bytes()).await.expect("the answer");
                continue;
            }
            assert!(request.to_lowercase().contains("upgrade: websocket"));
            stream.write_all(agree.as_bytes()).await.expect("the answer");
            let mut frame = [0; 4];
            stream.read_exact(&mut frame).await.expect("a frame");
            stream.write_all(&frame).await.expect("the edge reads");
        }
    });
    let (_edge, to) = balance(&[address]).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    let ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(ask).await.expect("the edge reads");
    let mut came = Vec::new();
    let answer = message(&mut client, &mut came).await.expect("an answer");
    assert_eq!(status(&answer), "101");
    assert!(answer.contains("upgrade: websocket\r\n") && answer.contains("sec-websocket-accept: x\r\n"));
    client.write_all(b"\0\r\n\xff").await.expect("the edge reads");
    let mut echoed = came;
    client.read_to_end(&mut echoed).await.expect("the echo");
    assert_eq!(echoed, b"\0\r\n\xff");
    backend.abort();
}

#[tokio::test]
async fn an_upgrade_without_101_is_a_request_like_others() {
    let backend = Backend::named("no").await;
    let (_edge, to) = balance(&[backend.address]).await;
    let answer = raw(
        to,
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
          GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    let seen = backend.seen.lock().clone();
    assert!(seen.len() == 2 && seen[1].starts_with("GET /next "), "{seen:?}");
}

#[tokio::test]
async fn large_bodies_go_through_both_ways() {
    let backend = Backend::start(|request| {
        let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        ok(&body)
    })
    .await;
    let (_edge, to) = balance(&[backend.address]).await;
    let text = "0123456789abcdef".repeat(64 * 1024);
    let request =
        format!("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    let answer = raw(to, request.as_bytes()).await;
    assert!(status(&answer) == "200" && body(&answer) == text);
    let chunks: String = (0..100).map(|_| format!("{:x}\r\n{}\r\n", 1000, "z".repeat(1000))).collect();
    let request = format!(
        "PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let answer = raw(to, request.as_bytes()).await;
    assert_eq!(status(&answer), "200");
    assert_eq!(body(&answer).matches('z').count(), 100_000);
}

/// A client that does not read stops its target: what lies between them is bounded.
#[tokio::test]
async fn a_slow_client_slows_its_target() {
    const MOST: usize = 64 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = written.clone();
    let backend = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let count = count.clone();
            tokio::spawn(async move {
                let mut came = Vec::new();
                let request = message(&mut stream, &mut came).await.unwrap_or_default();
                if request.contains("ELB-HealthChecker") {
                    return stream.write_all(ok("").as_bytes()).await.expect("the answer");
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {MOST}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.expect("the head");
                while stream.write_all(&[b'x'; 64 * 1024]).await.is_ok() {
                    count.fetch_add(64 * 1024, Ordering::Relaxed);
                }
            });
        }
    });
    let (_edge, to) = balance(&[address]).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    let mut first = [0; 16];
    client.read_exact(&mut first).await.expect("an answer");
    // Until nothing moves any more.
    let mut before = usize::MAX;
    while before != written.load(Ordering::Relaxed) {
        before = written.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert!(before < MOST / 2, "{before} bytes are on their way");
    backend.abort();
}
