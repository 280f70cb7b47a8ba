//! HTTP on a listener of an application load balancer: one client's connection, request by request.
//!
//! ```text
//!   client (head as it came) ──► rule ──► redirect, fixed response
//!                                  └────► group ──► target (cookies say which, or turns do) ──► forward ──► relay, or a tunnel after 101
//! ```

pub mod answer;
pub mod chunk;
pub mod client;
pub mod converse;
pub mod exchange;
pub mod forward;
pub mod head;
pub mod header;
pub mod multiplex;
pub mod record;
pub mod redirect;
pub mod relay;
mod sieve;
mod stay;
pub mod sticky;
pub mod streams;
mod taken;
pub mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use longshore_link::edge::{Action, ProtocolVersion, WeightedGroup};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::chance;
use crate::choose;
use crate::count::Count;
use crate::door::Others;
use crate::front::{Front, Group};
use crate::rule::{self, Asked};
use head::{Admitted, Class};
use header::Hop;
use record::Record;
use relay::{Inbound, Outgoing};

/// Who a connection is with.
pub struct Peer {
    pub address: SocketAddr,
    /// What it has agreed to by TLS: protocol, cipher, and the server's name, where that is to be known.
    pub tls: Option<[String; 3]>,
    /// If it came by a door.
    pub others: Option<Others>,
}

/// A client's connection, as its requests see it.
pub struct Connection {
    front: Arc<ArcSwap<Front>>,
    hop: Hop,
    since: Instant,
    tls: Option<[String; 3]>,
    others: Option<Others>,
    /// For the access log.
    name: OnceLock<String>,
}

/// Ends when the listener is closed.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

impl Connection {
    fn new(front: Arc<ArcSwap<Front>>, peer: Peer) -> Self {
        let hop = {
            let now = front.load();
            let protocol = if now.tls.is_some() { "https" } else { "http" };
            Hop { client: peer.address, port: now.listener.port, protocol }
        };
        let Peer { tls, others, .. } = peer;
        Self { front, hop, since: Instant::now(), tls, others, name: OnceLock::new() }
    }

    /// The answer to a request of HTTP/1.
    async fn answer(&self, request: Request<Inbound>, admitted: Admitted) -> Response<Outgoing> {
        let mut answer = self.carry_out(request, admitted).await;
        let most = Duration::from_secs(u64::from(self.front.load().attributes.client_keep_alive_seconds.max(1)));
        if self.since.elapsed() >= most && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// An answer to what is no request.
    fn refuse(&self, answer: Response<Outgoing>, class: Option<Class>) -> Response<Outgoing> {
        let front = self.front.load();
        front.tally.answered(answer.status().as_u16());
        if class.is_some() {
            front.tally.note(Count::NonCompliant);
        }
        Record::attach(Record::of_none(&front, self, class), answer)
    }

    /// The answer to a request, which is counted and has its line in the access log.
    async fn carry_out(&self, mut request: Request<Inbound>, admitted: Admitted) -> Response<Outgoing> {
        let mut record = Record::begin(&self.front.load(), self, &mut request, admitted);
        let answer = self.direct(request, admitted, &mut record).await;
        if answer.extensions().get::<answer::Own>().is_some() {
            self.front.load().tally.answered(answer.status().as_u16());
        }
        Record::attach(record, answer)
    }

    /// A configuration that came after the front was read may have taken its targets away: then it is read again.
    async fn direct(
        &self,
        request: Request<Inbound>,
        admitted: Admitted,
        record: &mut Option<Box<Record>>,
    ) -> Response<Outgoing> {
        if admitted.class.is_some() {
            self.front.load().tally.note(Count::NonCompliant);
        }
        if self.others.as_ref().is_some_and(|others| others.have(host(&request))) {
            return answer::page(421);
        }
        if header::is_too_far(request.headers()) {
            return answer::page(463);
        }
        let mut front = self.front.load_full();
        loop {
            let action = self.rule(&front, &request);
            if let Some(record) = record {
                record.ruled(&front.listener, action);
            }
            let group = match self.choose(&front, &request, action) {
                Chosen::Answer(answer) => return answer,
                Chosen::Group(group, _) if !fits(&request, group.group.protocol_version) => {
                    return answer::page(464);
                }
                Chosen::Group(group, seconds) => (group, seconds),
            };
            if let Some((busy, stay)) = self.take(&front, group, request.headers()) {
                if let Some(record) = record {
                    record.asks(busy.member());
                }
                let awaited = answer::Awaited::by(&front.tally);
                let answer = forward::forward(self, &front, busy, request, admitted).await;
                awaited.end();
                return self.keep(&front, stay, answer);
            }
            let now = self.front.load_full();
            if Arc::ptr_eq(&now, &front) {
                return answer::page(503);
            }
            front = now;
        }
    }

    fn rule<'f>(&self, front: &'f Front, request: &Request<Inbound>) -> &'f Action {
        let (host, uri) = (host(request), request.uri());
        let (path, query) = (uri.path(), uri.query().unwrap_or_default());
        let source = self.hop.client.ip();
        let asked = Asked { host, path, query, method: request.method().as_str(), source, headers: request.headers() };
        rule::choose(&front.listener, &asked)
    }

    fn choose(&self, front: &Front, request: &Request<Inbound>, action: &Action) -> Chosen {
        match action {
            Action::Forward { groups, stickiness_seconds } => {
                let kept = stickiness_seconds.and_then(|_| self.cookies(front).group(request.headers(), groups));
                forward_to(front, kept.or_else(|| choose::group(groups, chance::number())), *stickiness_seconds)
            }
            Action::Redirect(redirect) => {
                front.tally.note(Count::Redirect);
                let (host, uri) = (host(request), request.uri());
                let (path, query) = (uri.path(), uri.query().unwrap_or_default());
                let from = redirect::From { protocol: self.hop.protocol, host, port: self.hop.port, path, query };
                Chosen::Answer(answer::redirect(redirect.status, &redirect::location(redirect, &from)))
            }
            Action::FixedResponse { status, content_type, body } => {
                front.tally.note(Count::FixedResponse);
                Chosen::Answer(answer::fixed(*status, content_type.as_deref(), body.as_deref()))
            }
        }
    }
}

/// What becomes of a request.
enum Chosen {
    Answer(Response<Outgoing>),
    /// A group, and the seconds that the client stays with it.
    Group(Arc<Group>, Option<u32>),
}

/// The group that is chosen; an action whose weights are all zero has none, which is 503.
fn forward_to(front: &Front, chosen: Option<&WeightedGroup>, seconds: Option<u32>) -> Chosen {
    let group = chosen.and_then(|group| front.groups.get(&group.target_group));
    group.map_or_else(|| Chosen::Answer(answer::page(503)), |group| Chosen::Group(group.clone(), seconds))
}

/// Whether targets of this version take the request: those of HTTP/2 want it of their clients, too, those of gRPC calls by
/// `POST`, and those of HTTP/1.1 take no calls of gRPC.
fn fits(request: &Request<Inbound>, version: ProtocolVersion) -> bool {
    let is_new = request.version() == Version::HTTP_2;
    let kind = || request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    match version {
        ProtocolVersion::Http1 => !is_new || !kind().starts_with(b"application/grpc"),
        ProtocolVersion::Http2 => is_new,
        ProtocolVersion::Grpc => is_new && request.method() == Method::POST,
    }
}

/// The host that is asked for, without its port.
fn host<B>(request: &Request<B>) -> &str {
    if let Some(host) = request.uri().host() {
        return host;
    }
    let named = request.headers().get(HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    std::str::from_utf8(head::split_port(named).0).unwrap_or_default()
}
