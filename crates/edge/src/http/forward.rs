//! A request to a target and its answer back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use longshore_link::edge::{GroupProtocol, ProtocolVersion};
use tokio::net::TcpStream;

use super::exchange::{Ask, Broken, Exchange};
use super::head::{Admitted, Framing};
use super::multiplex;
use super::record::Note;
use super::relay::{Inbound, Lease, Outgoing, Source, Switch, Upload};
use super::wire::Line;
use super::{Connection, answer, header};
use crate::chance;
use crate::count::Count;
use crate::flow::Flow;
use crate::front::Front;
use crate::member::{Busy, Member};
use crate::trust;

/// For a connection to a target to be made.
pub const CONNECT: Duration = Duration::from_secs(10);

/// Why there is no answer of the target's: the status of the balancer's own.
pub type Failure = u16;

/// What came back: the head of the answer, and what its body comes by.
type Exchanged = (Response<()>, Source);

/// The target's answer, or the balancer's own: 400 (the body was not of the form, or the client broke off), 408 (the client
/// sent nothing more of the body for the idle timeout), 502 (no connection, or it broke before an answer, or what came is
/// none, the TLS of it fails, or the deregistration delay passed), 504 (no connection in ten seconds, no answer for the idle
/// timeout).
pub async fn forward(
    connection: &Connection,
    front: &Front,
    busy: Busy,
    request: Request<Inbound>,
    admitted: Admitted,
) -> Response<Outgoing> {
    let protocol = header::upgrade(request.headers()).filter(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let flow = Arc::new(Flow::new());
    let mut request = outbound(connection, front, request, admitted, &flow);
    if let Some(protocol) = &protocol {
        header::put_upgrade(request.headers_mut(), protocol.clone());
    }
    let idle = Duration::from_secs(u64::from(front.attributes.idle_timeout_seconds.max(1)));
    let (tally, begun) = (busy.member().tally.clone(), Instant::now());
    tally.note(Count::Request);
    let exchanged = tokio::select! {
        biased;
        exchanged = exchange(busy.member(), request, admitted.framing) => exchanged,
        () = busy.member().ended() => Err(502),
        () = flow.idle(idle) => Err(if flow.waits_for_client() { 408 } else { 504 }),
    };
    let exchanged = exchanged.and_then(|exchanged| match header::is_plainly_coded(exchanged.0.headers()) {
        true => Ok(exchanged),
        false => Err(502),
    });
    if let Ok((answer, _)) = &exchanged {
        tally.relayed(answer.status().as_u16(), begun.elapsed());
    }
    match exchanged {
        Ok((answer, source)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
            match (source, protocol) {
                (Source::Exchange(exchange), Some(protocol)) => switch(answer, exchange.into_line(), protocol, busy),
                // Nobody asked for another protocol.
                _ => answer::page(502),
            }
        }
        Ok((answer, source)) => {
            // A target that was asked for another protocol might yet think that it has been agreed upon.
            let lease = Lease { busy, keeps: protocol.is_none(), flow };
            inbound(answer, source, admitted, lease, idle)
        }
        Err(_) if flow.is_broken() => answer::last_page(400),
        Err(status) if flow.is_sent() => answer::page(status),
        // The rest of the body would be read as the next request.
        Err(status) => answer::last_page(status),
    }
}

/// The request as the target gets it.
fn outbound(
    connection: &Connection,
    front: &Front,
    request: Request<Inbound>,
    admitted: Admitted,
    flow: &Arc<Flow>,
) -> Request<Upload> {
    let (mut head, body) = request.into_parts();
    let headers = &mut head.headers;
    header::prepare(headers, &front.attributes, &connection.hop, &chance::trace());
    if let Some(note) = head.extensions.get::<Arc<Note>>() {
        note.take(headers, flow);
    }
    frame(headers, admitted.framing);
    if admitted.ambiguous {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_static(""));
    }
    let mut outbound = Request::new(Upload::new(body, flow.clone()));
    *outbound.method_mut() = head.method;
    *outbound.uri_mut() = origin_form(&head.uri);
    *outbound.version_mut() = Version::HTTP_11;
    *outbound.headers_mut() = head.headers;
    outbound
}

/// The body's boundaries are told once, and as they were understood.
fn frame(headers: &mut HeaderMap, framing: Framing) {
    let told = headers.remove(CONTENT_LENGTH).is_some();
    match framing {
        Framing::Chunked => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Framing::Length(length) if told => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Framing::Length(_) => {}
    }
}

/// A target is asked by path and query, whatever form the client used.
fn origin_form(uri: &Uri) -> Uri {
    let path = uri.path_and_query().cloned();
    path.map(Uri::from).unwrap_or_default()
}

/// What is seldom needed is boxed, so that what is waited for in each connection stays small.
async fn exchange(member: &Arc<Member>, request: Request<Upload>, framing: Framing) -> Result<Exchanged, Failure> {
    if member.key.version != ProtocolVersion::Http1 {
        let (answer, stream) = Box::pin(multiplex::exchange(member, request)).await?;
        let (head, body) = answer.into_parts();
        return Ok((Response::from_parts(head, ()), Source::Stream(body, stream)));
    }
    let mut ask = Ask::new(request, framing);
    while let Some(line) = member.take() {
        match Exchange::new(line, ask).answer().await {
            Ok((answer, exchange)) => return Ok((answer, Source::Exchange(exchange))),
            // The target had closed the connection before anything of the request was on its way.
            Err(Broken { unsent: Some(unsent), .. }) => ask = unsent,
            Err(Broken { error, .. }) => return Err(broke(member, &error)),
        }
    }
    let line = Box::pin(connect(member)).await?;
    match Exchange::new(line, ask).answer().await {
        Ok((answer, exchange)) => Ok((answer, Source::Exchange(exchange))),
        Err(broken) => Err(broke(member, &broken.error)),
    }
}

fn broke(member: &Member, error: &io::Error) -> Failure {
    tracing::debug!(%error, target = %member.address(), "a target gave no answer");
    502
}

/// A new connection to a target.
async fn connect(member: &Arc<Member>) -> Result<Line, Failure> {
    let stream = reach(member).await?;
    if member.key.protocol != GroupProtocol::Https {
        return Ok(Line::new(stream));
    }
    match trust::connect(stream, member.key.address, false).await {
        Ok(stream) => Ok(Line::new(stream)),
        Err(error) => {
            tracing::debug!(%error, target = %member.address(), "a target's handshake failed");
            member.tally.note(Count::TargetTlsError);
            Err(502)
        }
    }
}

/// A new connection to a target, of bytes. The status for the client if there is none: 502, or 504 after ten seconds.
pub async fn reach(member: &Member) -> Result<TcpStream, Failure> {
    let status = match tokio::time::timeout(CONNECT, member.connect(None)).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => 504,
        Ok(Err(_)) => 502,
        Err(_) => 504,
    };
    member.tally.note(Count::TargetConnectionError);
    Err(status)
}

/// The answer as the client gets it.
fn inbound(
    answer: Response<()>,
    source: Source,
    admitted: Admitted,
    mut lease: Lease,
    idle: Duration,
) -> Response<Outgoing> {
    let mut head = answer.into_parts().0;
    let is_last = admitted.ambiguous || header::is_last(&head.headers) || head.version != Version::HTTP_11;
    header::strip(&mut head.headers);
    if admitted.ambiguous {
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    lease.keeps &= !is_last;
    let mut answer = Response::new(Outgoing::relay(source, lease, idle));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}

/// Both sides change to the other protocol; from then on bytes go through as they come.
fn switch(answer: Response<()>, line: Line, protocol: HeaderValue, busy: Busy) -> Response<Outgoing> {
    let mut head = answer.into_parts().0;
    header::strip(&mut head.headers);
    header::put_upgrade(&mut head.headers, protocol);
    let mut answer = Response::new(Outgoing::Switch(Box::new(Switch { line, busy })));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = head.headers;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_told_once() {
        let both = || {
            let mut headers = HeaderMap::new();
            headers.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
            headers.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
            headers
        };
        for (mut headers, framing, expected) in [
            (both(), Framing::Chunked, vec!["transfer-encoding: chunked"]),
            (both(), Framing::Length(5), vec!["content-length: 5"]),
            (HeaderMap::new(), Framing::Length(0), vec![]),
        ] {
            frame(&mut headers, framing);
            let told: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect();
            assert_eq!(told, expected, "{framing:?}");
        }
    }
}
