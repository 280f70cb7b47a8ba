//! Targets that speak TLS, HTTP/2 and gRPC.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::h2::{Backend, Body, Echo, Given, acceptor, client, full};
use crate::support::*;

fn grouped(
    target: std::net::SocketAddr,
    protocol: GroupProtocol,
    version: ProtocolVersion,
    matcher: u16,
) -> EdgeConfiguration {
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[target]);
    let group = group(&mut configuration);
    (group.protocol, group.protocol_version, group.health_check.protocol) = (protocol, version, protocol);
    group.health_check.matcher = Matcher(vec![CodeRange { from: matcher, to: matcher }]);
    configuration
}

fn request(path: &str) -> http::request::Builder {
    Request::builder().uri(format!("https://a.test{path}"))
}

fn call(body: Body) -> Request<Body> {
    let builder = request("/some.Service/Method").method("POST").header("content-type", "application/grpc");
    builder.header("te", "trailers").body(body).expect("a request")
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(status))])
}

/// Calls are answered with what they say and this status, what is no call with its headers and path.
fn service(status: &'static str) -> impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static {
    move |request| {
        if request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc") {
            let echo = Echo(request.into_body(), Some(trailers(status)));
            return Response::builder()
                .header("content-type", "application/grpc")
                .body(echo.boxed())
                .expect("an answer");
        }
        let mut answer = Response::new(full("hello"));
        let show = |value: Option<&str>| HeaderValue::from_str(value.unwrap_or("none")).expect("a value");
        answer.headers_mut().insert("x-authority", show(request.uri().authority().map(|it| it.as_str())));
        answer.headers_mut().insert("x-scheme", show(request.uri().scheme_str()));
        for name in ["host", "te", "connection", "x-forwarded-for", "x-forwarded-proto"] {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            let name = http::HeaderName::try_from(format!("x-{name}")).expect("a name");
            answer.headers_mut().insert(name, show(value));
        }
        let seen = format!("{:?} {}", request.version(), request.uri().path());
        answer.headers_mut().insert("x-seen", show(Some(&seen)));
        answer
    }
}

#[tokio::test]
async fn a_target_of_https_may_show_any_certificate() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let acceptor = acceptor(&[]);
    let backend = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.expect("a handshake");
                let mut came = [0; 4096];
                while stream.read(&mut came).await.is_ok_and(|count| count > 0) {
                    stream.write_all(ok("hello").as_bytes()).await.expect("the answer");
                }
            });
        }
    });
    let (edge, to) = serve(&grouped(address, GroupProtocol::Https, ProtocolVersion::Http1, 200)).await;
    until(&edge, address.port(), TargetState::Healthy).await;
    for _ in 0..2 {
        assert_eq!(body(&get(to, "/").await), "hello");
    }
    backend.abort();
}

/// A target that answers whatever comes as HTTP/1.1 does.
async fn plain_target() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    (address, task)
}

#[tokio::test]
async fn a_target_that_does_not_speak_tls_is_a_bad_gateway() {
    let (plain, task) = plain_target().await;
    for version in [ProtocolVersion::Http1, ProtocolVersion::Http2] {
        let configuration = grouped(plain, GroupProtocol::Https, version, 200);
        let (edge, mut sender) = client(configuration).await;
        let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{version:?}");
        let health = until(&edge, plain.port(), TargetState::Unhealthy).await;
        assert_eq!(health.reason, Some(Reason::FailedHealthChecks));
    }
    // TLS, but not HTTP/2; HTTP/1.1 in the clear instead of HTTP/2.
    let old = Backend::start(Some(acceptor(&["http/1.1"])), 1000, service("0")).await;
    for (target, protocol) in [(old.address, GroupProtocol::Https), (plain, GroupProtocol::Http)] {
        let (_edge, mut sender) = client(grouped(target, protocol, ProtocolVersion::Http2, 200)).await;
        let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY, "{protocol:?}");
    }
    task.abort();
}

#[tokio::test]
async fn targets_of_http_2_are_asked_in_it_on_few_connections() {
    for (tls, protocol, scheme) in
        [(None, GroupProtocol::Http, "http"), (Some(acceptor(&["h2"])), GroupProtocol::Https, "https")]
    {
        let backend = Backend::start(tls, 100_000, service("0")).await;
        let mut configuration = grouped(backend.address, protocol, ProtocolVersion::Http2, 200);
        group(&mut configuration).health_check.interval_seconds = 300;
        let (edge, mut sender) = client(configuration).await;
        until(&edge, backend.address.port(), TargetState::Healthy).await;
        let answer = sender.send_request(request("/a").body(full("")).expect("a request")).await.expect("an answer");
        let seen = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        assert_eq!((seen("x-seen"), seen("x-authority")), ("HTTP/2.0 /a".into(), "a.test:28080".into()));
        assert_eq!((seen("x-scheme"), seen("x-x-forwarded-proto")), (scheme.into(), "https".into()));
        assert_eq!((seen("x-host"), seen("x-x-forwarded-for")), ("none".into(), "127.0.0.1".into()));
        assert_eq!((seen("x-te"), seen("x-connection")), ("trailers".into(), "none".into()));
        let ask = || {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let asked = request("/many").method("PUT").body(full("a body")).expect("a request");
                let answer = sender.send_request(asked).await.expect("an answer");
                assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "hello");
            })
        };
        let all: Vec<_> = (0..120).map(|_| ask()).collect();
        for one in all {
            one.await.expect("its own answer");
        }
        // One of the check, one that was full, and of those after it as many as are made at one time.
        let connections = backend.connections.load(Ordering::Relaxed);
        assert!((3..=6).contains(&connections), "{connections}");
    }
}

#[tokio::test]
async fn a_target_that_asks_for_another_connection_gets_one() {
    let backend = Backend::start(None, 5, service("0")).await;
    let (_edge, mut sender) = client(grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Http2, 200)).await;
    for number in 0..30 {
        let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "request {number}");
    }
    assert!(backend.connections.load(Ordering::Relaxed) >= 6);
}

#[tokio::test]
async fn a_call_of_grpc_is_a_conversation_that_ends_with_trailers() {
    let backend = Backend::start(None, 1000, service("7")).await;
    let configuration = grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Grpc, 7);
    let (edge, mut sender) = client(configuration).await;
    until(&edge, backend.address.port(), TargetState::Healthy).await;
    let (give, given) = tokio::sync::mpsc::channel(1);
    let answer = sender.send_request(call(Given(given).boxed())).await.expect("an answer");
    let mut body = answer.into_body();
    for message in ["one", "two", "three"] {
        give.send(Frame::data(Bytes::from(message))).await.expect("the edge reads");
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("an echo").expect("a frame");
        assert_eq!(frame.expect("a frame").into_data().expect("data"), message);
    }
    drop(give);
    let last = tokio::time::timeout(PATIENCE, body.frame()).await.expect("the end").expect("a frame").expect("a frame");
    assert_eq!(last.into_trailers().expect("trailers")["grpc-status"], "7");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_a_call_ends_it_at_the_target_too() {
    let left = Arc::new(tokio::sync::Notify::new());
    let told = left.clone();
    let backend = Backend::start(None, 1000, move |request| {
        let (told, mut body) = (told.clone(), request.into_body());
        let (keep, given) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while body.frame().await.is_some_and(|frame| frame.is_ok()) {}
            told.notify_one();
            drop(keep);
        });
        Response::new(Given(given).boxed())
    });
    let backend = backend.await;
    let mut configuration = grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Grpc, 0);
    group(&mut configuration).health_check.protocol = GroupProtocol::Tcp;
    let (_edge, mut sender) = client(configuration).await;
    let (give, given) = tokio::sync::mpsc::channel(1);
    let answer = sender.send_request(call(Given(given).boxed())).await.expect("an answer");
    give.send(Frame::data(Bytes::from("one"))).await.expect("the edge reads");
    drop((answer, give, sender));
    tokio::time::timeout(PATIENCE, left.notified()).await.expect("the target hears of it");
}

#[tokio::test]
async fn the_status_of_a_call_says_how_a_target_is() {
    // Without a body of its own, the status is in the headers.
    let short = Backend::start(None, 1000, |_| {
        let mut answer = Response::new(full(""));
        answer.headers_mut().extend(trailers("12"));
        answer
    })
    .await;
    let long = Backend::start(None, 1000, service("12")).await;
    for backend in [&short, &long] {
        for (matcher, state) in [(12, TargetState::Healthy), (0, TargetState::Unhealthy)] {
            let configuration = grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Grpc, matcher);
            let (edge, _) = serve(&configuration).await;
            let health = until(&edge, backend.address.port(), state).await;
            let said = (state == TargetState::Unhealthy).then_some("Health checks failed with these codes: [12]");
            assert_eq!(health.description.as_deref(), said);
        }
    }
    let none = Backend::start(None, 1000, |_| Response::new(full("no call"))).await;
    let (edge, _) = serve(&grouped(none.address, GroupProtocol::Http, ProtocolVersion::Grpc, 0)).await;
    let health = until(&edge, none.address.port(), TargetState::Unhealthy).await;
    assert_eq!(health.reason, Some(Reason::FailedHealthChecks));
}

#[tokio::test]
async fn a_request_of_another_version_than_its_group_has_a_code_of_its_own() {
    let backend = Backend::start(None, 1000, service("0")).await;
    use ProtocolVersion::{Grpc, Http1, Http2};
    let plain = || request("/").body(full("")).expect("a request");
    let posted = || request("/").method("POST").body(full("")).expect("a request");
    type Ask<'a> = &'a dyn Fn() -> Request<Body>;
    let called = || call(full(""));
    let cases: [(ProtocolVersion, Ask<'_>, u16); 5] =
        [(Http1, &called, 464), (Http2, &called, 200), (Grpc, &called, 200), (Grpc, &plain, 464), (Grpc, &posted, 200)];
    for (version, ask, expected) in cases {
        let (_edge, mut sender) = client(grouped(backend.address, GroupProtocol::Http, version, 0)).await;
        let answer = sender.send_request(ask()).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "{version:?}");
    }
    for version in [Http2, Grpc] {
        let (_edge, to) = serve(&grouped(backend.address, GroupProtocol::Http, version, 0)).await;
        assert_eq!(status(&get(to, "/").await), "464");
    }
}

#[tokio::test]
async fn an_answer_of_http_2_with_too_many_headers_is_a_bad_gateway() {
    let backend = Backend::start(None, 1000, |_| {
        let mut answer = Response::new(full(""));
        for number in 0..5 {
            let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
            answer.headers_mut().insert(name, HeaderValue::from_str(&"v".repeat(8000)).expect("a value"));
        }
        answer
    })
    .await;
    let (_edge, mut sender) = client(grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Http2, 200)).await;
    let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn large_bodies_go_through_both_ways_in_http_2() {
    let backend = Backend::start(None, 1000, service("0")).await;
    let (_edge, mut sender) = client(grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Grpc, 12)).await;
    let (give, given) = tokio::sync::mpsc::channel(1);
    let text = Bytes::from("0123456789abcdef".repeat(1024));
    let part = text.clone();
    let giving = tokio::spawn(async move {
        for _ in 0..256 {
            give.send(Frame::data(part.clone())).await.expect("the edge reads");
        }
    });
    let answer = sender.send_request(call(Given(given).boxed())).await.expect("an answer");
    let collected = answer.into_body().collect().await.expect("a body");
    assert_eq!(collected.trailers().expect("trailers")["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), Bytes::from(text.repeat(256)));
    giving.await.expect("all is given");
}

#[tokio::test]
async fn a_client_that_takes_nothing_stops_its_target() {
    const MOST: usize = 64 * 1024 * 1024;
    let given = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = given.clone();
    let backend = Backend::start(None, 1000, move |_| {
        let (give, given) = tokio::sync::mpsc::channel(1);
        let count = count.clone();
        tokio::spawn(async move {
            let part = Bytes::from(vec![b'x'; 64 * 1024]);
            while count.fetch_add(part.len(), Ordering::Relaxed) < MOST {
                if give.send(Frame::data(part.clone())).await.is_err() {
                    return;
                }
            }
        });
        Response::new(Given(given).boxed())
    });
    let backend = backend.await;
    let mut configuration = grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Http2, 200);
    group(&mut configuration).health_check.protocol = GroupProtocol::Tcp;
    let (_edge, mut sender) = client(configuration).await;
    let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
    // Until nothing moves any more.
    let mut before = usize::MAX;
    while before != given.load(Ordering::Relaxed) {
        before = given.load(Ordering::Relaxed);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert!(before < MOST / 4, "{before} bytes are on their way");
    drop(answer);
}

/// An edge with a target of HTTP/2 that has been asked once, on the one connection that it has.
async fn asked_once(
    backend: &Backend,
) -> (EdgeConfiguration, longshore_edge::Edge, hyper::client::conn::http2::SendRequest<Body>) {
    let mut configuration = grouped(backend.address, GroupProtocol::Http, ProtocolVersion::Http2, 200);
    group(&mut configuration).health_check.interval_seconds = 300;
    configuration.balancers[0].attributes.idle_timeout_seconds = 600;
    let (edge, mut sender) = client(configuration.clone()).await;
    until(&edge, backend.address.port(), TargetState::Healthy).await;
    backend.until_open(0).await;
    let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    backend.until_open(1).await;
    (configuration, edge, sender)
}

#[tokio::test]
async fn a_target_that_drains_has_no_connections_that_wait() {
    let backend = Backend::start(None, 100_000, service("0")).await;
    let (mut configuration, edge, _sender) = asked_once(&backend).await;
    crate::support::h2::secure(&mut configuration);
    configuration.generation = 2;
    group(&mut configuration).targets[0].draining_since = Some(millis());
    edge.apply(configuration).await.expect("a configuration");
    // Its delay is 300 seconds.
    backend.until_open(0).await;
}

#[tokio::test]
async fn a_target_that_leaves_has_no_connections_that_wait() {
    let backend = Backend::start(None, 100_000, service("0")).await;
    let (mut configuration, edge, _sender) = asked_once(&backend).await;
    crate::support::h2::secure(&mut configuration);
    configuration.generation = 2;
    group(&mut configuration).targets.clear();
    edge.apply(configuration).await.expect("a configuration");
    backend.until_open(0).await;
}

#[tokio::test]
async fn a_connection_that_nobody_asks_on_ends_in_minutes_and_the_next_request_has_another() {
    let backend = Backend::start(None, 100_000, service("0")).await;
    let (_, _edge, mut sender) = asked_once(&backend).await;
    let pass = async |seconds: u64| {
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    for _ in 0..3 {
        pass(60).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    backend.until_open(0).await;
    let before = backend.connections.load(Ordering::Relaxed);
    let answer = sender.send_request(request("/").body(full("")).expect("a request")).await.expect("an answer");
    assert_eq!((answer.status(), backend.connections.load(Ordering::Relaxed)), (StatusCode::OK, before + 1));
}
