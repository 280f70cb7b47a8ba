//! Bodies on their way: frame by frame, each asked for only when the other side takes one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::client::Body;
use super::exchange::Exchange;
use super::multiplex::Stream;
use super::record::Record;
use super::wire::Line;
use crate::flow::Flow;
use crate::member::Busy;

/// A request's body as it comes.
pub enum Inbound {
    Empty,
    /// Of HTTP/1.
    Own(Body),
    /// Of HTTP/2, and the flow of its connection.
    Stream(Incoming, Arc<Flow>),
}

impl Inbound {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Own(body) => body.poll_data(cx).map_ok(Frame::data),
            Self::Stream(body, flow) => {
                let polled = Pin::new(body).poll_frame(cx).map_err(io::Error::other);
                if polled.is_ready() {
                    flow.touch();
                }
                polled
            }
        }
    }

    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Own(body) => body.is_done(),
            Self::Stream(body, _) => body.is_end_stream(),
        }
    }
}

/// A request's body on its way to a target; its trailers stay behind.
pub struct Upload {
    body: Inbound,
    flow: Arc<Flow>,
}

impl Upload {
    pub fn new(body: Inbound, flow: Arc<Flow>) -> Self {
        if body.is_end_stream() {
            flow.set_sent();
        }
        Self { body, flow }
    }

    fn note(&self, polled: &Poll<Option<io::Result<Frame<Bytes>>>>) {
        self.flow.wait(polled.is_pending());
        match polled {
            Poll::Pending => {}
            Poll::Ready(Some(Err(_))) => self.flow.set_broken(),
            Poll::Ready(None) => self.flow.set_sent(),
            Poll::Ready(Some(Ok(frame))) => {
                self.flow.touch();
                self.flow.carry(frame.data_ref().map_or(0, Bytes::len));
            }
        }
        if self.body.is_end_stream() {
            self.flow.set_sent();
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.get_mut().poll_data(cx).map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Upload {
    /// The next piece, `None` at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let polled = self.body.poll_frame(cx);
            self.note(&polled);
            match ready!(polled).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => return Poll::Ready(Some(Ok(data))),
                // Trailers.
                Some(Err(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

/// What an exchange holds of its target until the answer's body has ended.
pub struct Lease {
    pub busy: Busy,
    /// Whether the connection may serve another exchange.
    pub keeps: bool,
    pub flow: Arc<Flow>,
}

impl Lease {
    /// The answer has ended: the connection waits for the next request, unless the last one is still on its way.
    fn finish(self, source: Source) {
        let Source::Exchange(exchange) = source else { return };
        let is_sent = self.flow.is_sent() && !self.flow.is_broken();
        if let Some(line) = exchange.into_idle().filter(|_| is_sent && self.keeps) {
            self.busy.member().give(line);
        }
    }
}

/// What the body of a target's answer comes by.
pub enum Source {
    Exchange(Box<Exchange>),
    /// Of HTTP/2. The connection counts the stream until this is dropped.
    Stream(Incoming, #[expect(dead_code, reason = "held")] Stream),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self {
            Self::Exchange(exchange) => exchange.poll_data(cx).map_ok(Frame::data),
            Self::Stream(body, _) => Pin::new(body).poll_frame(cx).map_err(io::Error::other),
        }
    }

    /// All of the body, if it has come.
    fn take_all(&mut self) -> Option<Bytes> {
        match self {
            Self::Exchange(exchange) => exchange.take_all(),
            Self::Stream(body, _) => body.is_end_stream().then(Bytes::new),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Exchange(exchange) => exchange.is_done(),
            Self::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Exchange(exchange) => exchange.left().map_or_else(SizeHint::default, SizeHint::with_exact),
            Self::Stream(body, _) => body.size_hint(),
        }
    }
}

/// The body of an answer.
pub enum Outgoing {
    /// The balancer's own, or one that is there as a whole.
    Own(Full<Bytes>),
    Relay(Box<Relay>),
    /// None: both sides change to another protocol.
    Switch(Box<Switch>),
    /// With its line of the access log.
    Noted(Box<Self>, Box<Record>),
}

/// A target's connection that goes on in another protocol.
pub struct Switch {
    pub line: Line,
    pub busy: Busy,
}

/// A target's body on its way to the client.
pub struct Relay {
    /// Until the body has ended.
    source: Option<(Source, Lease)>,
    flow: Arc<Flow>,
    /// Ends when the body has to end, whether it is whole or not.
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Outgoing {
    /// Moves what is left of the request on, while nothing of the answer is asked for.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Relay(relay) => {
                if let Some((Source::Exchange(exchange), _)) = &mut relay.source {
                    exchange.poll_upload(cx);
                }
            }
            Self::Noted(body, _) => body.poll_upload(cx),
            Self::Own(_) | Self::Switch(_) => {}
        }
    }

    /// When something of the exchange last moved, if the body holds something of a target.
    pub fn flow(&self) -> Option<&Flow> {
        match self {
            Self::Relay(relay) => Some(&relay.flow),
            Self::Noted(body, _) => body.flow(),
            Self::Own(_) | Self::Switch(_) => None,
        }
    }

    /// Takes the record along, which is told how much goes to the client and is written when the body is dropped.
    pub fn noted(self, record: Box<Record>) -> Self {
        Self::Noted(Box::new(self), record)
    }

    /// The connection that goes on in another protocol, if there is one, with the record of its request.
    pub fn switches(self) -> Result<(Box<Switch>, Option<Box<Record>>), Self> {
        match self {
            Self::Switch(switch) => Ok((switch, None)),
            Self::Noted(body, record) => match body.switches() {
                Ok((switch, _)) => Ok((switch, Some(record))),
                Err(body) => Err(body.noted(record)),
            },
            body => Err(body),
        }
    }

    pub fn own(body: Bytes) -> Self {
        Self::Own(Full::new(body))
    }

    /// A body that breaks off when nothing moves for `idle`, or when the target's time is over.
    pub fn relay(mut source: Source, lease: Lease, idle: Duration) -> Self {
        if let Some(all) = source.take_all() {
            lease.finish(source);
            return Self::own(all);
        }
        let (flow, member) = (lease.flow.clone(), lease.busy.member().clone());
        flow.touch();
        let watched = flow.clone();
        let end = Box::pin(async move {
            tokio::select! {
                () = watched.idle(idle) => {}
                () = member.ended() => {}
            }
        });
        Self::Relay(Box::new(Relay { source: Some((source, lease)), flow, end }))
    }
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some((source, _)) = &mut self.source else { return Poll::Ready(None) };
        let polled = match source.poll_frame(cx) {
            Poll::Ready(polled) => polled,
            Poll::Pending => {
                ready!(self.end.as_mut().poll(cx));
                Some(Err(io::ErrorKind::TimedOut.into()))
            }
        };
        let is_last = polled.is_none() || source.is_done();
        self.flow.touch();
        if polled.as_ref().is_some_and(Result::is_err) {
            self.source = None;
        } else if let Some((source, lease)) = self.source.take_if(|_| is_last) {
            lease.finish(source);
        }
        Poll::Ready(polled)
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Relay(relay) => relay.poll(cx),
            Self::Switch(_) => Poll::Ready(None),
            Self::Noted(body, record) => {
                let polled = Pin::new(&mut **body).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    record.sent(frame.data_ref().map_or(0, |data| data.len() as u64));
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Relay(relay) => relay.source.as_ref().is_none_or(|(source, _)| source.is_done()),
            Self::Switch(_) => true,
            Self::Noted(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Relay(relay) => {
                relay.source.as_ref().map_or_else(|| SizeHint::with_exact(0), |(source, _)| source.size_hint())
            }
            Self::Switch(_) => SizeHint::default(),
            Self::Noted(body, _) => body.size_hint(),
        }
    }
}
