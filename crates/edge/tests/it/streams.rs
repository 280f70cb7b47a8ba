//! HTTP/2 on a listener of HTTPS.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use longshore_link::edge::*;

use crate::support::h2::{self, Body, full};
use crate::support::*;

/// An edge whose listener speaks HTTP/2, and a client that does.
async fn client(target: SocketAddr) -> (longshore_edge::Edge, SendRequest<Body>) {
    h2::client(configuration(BalancerKind::Application, own_address(), &[target])).await
}

fn request(path: &str) -> http::request::Builder {
    Request::builder().uri(format!("https://a.test{path}"))
}

async fn text(answer: Response<Incoming>) -> (StatusCode, String) {
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn a_stream_becomes_a_request_of_http_1() {
    let backend = Backend::named("hello").await;
    let (_edge, mut sender) = client(backend.address).await;
    let asked = request("/a?b").header("cookie", "a=1").header("cookie", "b=2").body(full("")).expect("a request");
    let answer = sender.send_request(asked).await.expect("an answer");
    assert_eq!(text(answer).await, (StatusCode::OK, "hello".to_owned()));
    let parts = Parts(vec!["one", "two"].into_iter()).boxed();
    let answer = sender.send_request(request("/up").method("POST").body(parts).expect("a request")).await;
    assert_eq!(text(answer.expect("an answer")).await.0, StatusCode::OK);
    let seen: Vec<String> = backend.seen.lock().iter().map(|request| request.to_lowercase()).collect();
    assert!(seen[0].starts_with("get /a?b http/1.1\r\n"), "{}", seen[0]);
    for line in ["host: a.test:28080\r\n", "cookie: a=1; b=2\r\n", "x-forwarded-proto: https\r\n"] {
        assert!(seen[0].contains(line), "{line}: {}", seen[0]);
    }
    assert!(!seen[0].contains("transfer-encoding") && seen[1].contains("transfer-encoding: chunked\r\n"), "{seen:?}");
    assert!(seen[1].contains("one") && seen[1].ends_with("0\r\n\r\n"));
}

/// A body whose length is not told.
struct Parts(std::vec::IntoIter<&'static str>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.next().map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
    }
}

#[tokio::test]
async fn many_streams_have_each_their_own_answer() {
    let backend = Backend::start(|request| ok(request.split(' ').nth(1).unwrap_or_default())).await;
    let (_edge, sender) = client(backend.address).await;
    let ask = |number: usize| {
        let mut sender = sender.clone();
        tokio::spawn(async move {
            let path = format!("/{number}");
            let answer = sender.send_request(request(&path).body(full("")).expect("a request")).await;
            assert_eq!(text(answer.expect("an answer")).await, (StatusCode::OK, path));
        })
    };
    let all: Vec<_> = (0..300).map(ask).collect();
    for one in all {
        one.await.expect("its own answer");
    }
    assert_eq!(backend.count(), 300);
}

#[tokio::test]
async fn what_cannot_be_said_in_http_1_goes_no_further() {
    let backend = Backend::named("hello").await;
    let (_edge, mut sender) = client(backend.address).await;
    let cases = [
        (request("/").header("host", "b.test"), 400),
        (request("/").header("host", "a.test").header("host", "a.test"), 400),
        (request("/").header("content-type", "application/grpc+proto"), 464),
        (request("/").header("x-forwarded-for", vec!["1.1.1.1"; 31].join(",")), 463),
        (request("/").method("TRACE"), 405),
    ];
    for (number, (asked, expected)) in cases.into_iter().enumerate() {
        let answer = sender.send_request(asked.body(full("")).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), expected, "case {number}");
        assert_eq!(answer.headers()["server"], "awselb/2.0");
    }
    let answer = sender.send_request(request("/").body(full("")).expect("a request")).await;
    assert_eq!(text(answer.expect("an answer")).await.0, StatusCode::OK);
    assert_eq!(backend.count(), 1);
}
