//! Answers' bodies on their way to clients of HTTP/2, who take of each as much as they have opened its window for.
//!
//! The library asks a body for more only while its client has room for it, so a body that waits for the client cannot look at the
//! clock itself. The connection's own task does for all of them ([`Bodies::watch`]), and lets go of those of which nothing is
//! taken: their targets are free again. What counts is bytes that go out, not that the client says something.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::relay::Outgoing;
use crate::flow::Flow;

/// Bodies that are known before those that have ended are looked for. More than a connection has at one time.
const MANY: usize = 256;

/// The bodies of one connection.
pub struct Bodies {
    all: Mutex<Vec<Weak<Given>>>,
    flow: Arc<Flow>,
}

/// A body as the library has it.
pub struct Taken(Arc<Given>);

/// A piece of a body. It notes when it is written.
pub struct Piece {
    bytes: Bytes,
    of: Arc<Given>,
}

struct Given {
    kept: Mutex<Kept>,
    /// When something of it was last given or taken.
    flow: Flow,
    /// Of the connection.
    whole: Arc<Flow>,
}

struct Kept {
    /// Until it has ended or is let go.
    body: Option<Outgoing>,
    /// It has been asked for more, and has none yet.
    waits: bool,
}

impl Bodies {
    /// `flow` is that of the connection, which moves when a body does.
    pub fn new(flow: Arc<Flow>) -> Self {
        Self { all: Mutex::default(), flow }
    }

    pub fn take(&self, body: Outgoing) -> Taken {
        let is_held = body.flow().is_some();
        let kept = Mutex::new(Kept { body: Some(body), waits: false });
        let given = Arc::new(Given { kept, flow: Flow::new(), whole: self.flow.clone() });
        if is_held {
            let mut all = self.all.lock();
            if all.len() >= MANY {
                all.retain(|given| given.strong_count() > 0);
            }
            all.push(Arc::downgrade(&given));
        }
        Taken(given)
    }

    /// Lets go of bodies of which the client takes nothing for `idle`, and tells `stalled`. Never ends.
    pub async fn watch(&self, idle: Duration, stalled: &Notify) -> std::convert::Infallible {
        loop {
            let now = Instant::now();
            let mut next = now + idle;
            let mut late = Vec::new();
            self.all.lock().retain(|given| {
                let Some(given) = given.upgrade() else { return false };
                let Some(over) = given.over(idle) else { return false };
                if over > now {
                    next = next.min(over);
                    return true;
                }
                late.push(given);
                false
            });
            if !late.is_empty() {
                late.iter().for_each(|given| given.let_go());
                stalled.notify_one();
            }
            sleep_until(next).await;
        }
    }
}

impl Given {
    fn touch(&self) {
        self.flow.touch();
        self.whole.touch();
    }

    /// When it is to be let go; `None` if it holds nothing any more.
    fn over(&self, idle: Duration) -> Option<Instant> {
        let kept = self.kept.lock();
        let exchange = kept.body.as_ref()?.flow()?;
        Some(match kept.waits {
            false => self.flow.last() + idle,
            // It ends itself when its target is quiet for the idle timeout: unless it is not asked, since the client has
            // closed a window that was open.
            true => self.flow.last().max(exchange.last()) + 2 * idle,
        })
    }

    fn let_go(&self) {
        let body = self.kept.lock().body.take();
        drop(body);
    }
}

impl Body for Taken {
    type Data = Piece;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Piece>>>> {
        let polled = {
            let mut kept = self.0.kept.lock();
            let Some(body) = &mut kept.body else { return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))) };
            let polled = Pin::new(body).poll_frame(cx);
            kept.waits = polled.is_pending();
            polled
        };
        if polled.is_ready() {
            self.0.touch();
        }
        let piece = |bytes| Piece { bytes, of: self.0.clone() };
        polled.map_ok(|frame| frame.map_data(piece))
    }

    fn is_end_stream(&self) -> bool {
        self.0.kept.lock().body.as_ref().is_some_and(Outgoing::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.kept.lock().body.as_ref().map_or_else(SizeHint::default, Outgoing::size_hint)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Pieces may still be on their way.
        self.0.let_go();
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.of.touch();
    }
}
