//! Bodies on their way: frame by frame, each asked for only when the other side takes one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;

use super::multiplex::Stream;
use super::record::Record;
use crate::flow::Flow;
use crate::member::Busy;

/// A request's body on its way to a target; its trailers stay behind.
#[derive(Debug)]
pub struct Upload {
    body: Incoming,
    flow: Arc<Flow>,
}

impl Upload {
    pub fn new(body: Incoming, flow: Arc<Flow>) -> Self {
        if body.is_end_stream() {
            flow.set_sent();
        }
        Self { body, flow }
    }

    fn note(&self, polled: &Poll<Option<Result<Frame<Bytes>, hyper::Error>>>) {
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

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        loop {
            let polled = Pin::new(&mut this.body).poll_frame(cx);
            this.note(&polled);
            match polled {
                Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => {}
                polled => return polled,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What an exchange holds of its target until the answer's body has ended.
#[derive(Debug)]
pub struct Lease {
    pub busy: Busy,
    /// To be given back; `None` if the connection serves no more.
    pub sender: Option<SendRequest<Upload>>,
    /// Of HTTP/2, which ends with the answer.
    pub stream: Option<Stream>,
    pub flow: Arc<Flow>,
}

impl Lease {
    /// The answer has ended: the connection waits for the next request, unless the last one is still on its way.
    fn finish(self) {
        drop(self.stream);
        let is_sent = self.flow.is_sent() && !self.flow.is_broken();
        if let Some(sender) = self.sender.filter(|_| is_sent) {
            self.busy.member().give(sender);
        }
    }
}

/// The body of an answer.
pub enum Outgoing {
    /// The balancer's own.
    Own(Full<Bytes>),
    Relay(Box<Relay>),
    /// With its line of the access log.
    Noted(Box<Self>, Box<Record>),
}

/// A target's body on its way to the client.
pub struct Relay {
    body: Incoming,
    lease: Option<Lease>,
    flow: Arc<Flow>,
    /// Ends when the body has to end, whether it is whole or not.
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Outgoing {
    /// Takes the record along, which is told how much goes to the client and is written when the body is dropped.
    pub fn noted(self, record: Box<Record>) -> Self {
        Self::Noted(Box::new(self), record)
    }

    pub fn own(body: Bytes) -> Self {
        Self::Own(Full::new(body))
    }

    /// A body that breaks off when nothing moves for `idle`, or when the target's time is over.
    pub fn relay(body: Incoming, lease: Lease, idle: Duration) -> Self {
        if body.is_end_stream() {
            lease.finish();
            return Self::own(Bytes::new());
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
        Self::Relay(Box::new(Relay { body, lease: Some(lease), flow, end }))
    }
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.end.as_mut().poll(cx));
                self.lease = None;
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
        };
        self.flow.touch();
        let is_last = polled.is_none() || self.body.is_end_stream();
        if polled.as_ref().is_some_and(Result::is_err) {
            self.lease = None;
        } else if let Some(lease) = self.lease.take_if(|_| is_last) {
            lease.finish();
        }
        Poll::Ready(polled.map(|frame| frame.map_err(io::Error::other)))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Relay(relay) => relay.poll(cx),
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
            Self::Relay(relay) => relay.body.is_end_stream(),
            Self::Noted(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Relay(relay) => relay.body.size_hint(),
            Self::Noted(body, _) => body.size_hint(),
        }
    }
}
