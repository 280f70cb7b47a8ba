//! Bytes both ways between two streams.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use crate::flow::Flow;

/// Bytes of each direction that are on their way, as other proxies have it: less costs calls of the kernel, more costs memory
/// that thousands of quiet connections hold.
const BUFFER: usize = 16 * 1024;

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides had nothing more to say.
    Closed,
    /// One broke off.
    Broken,
    /// Nothing moved for too long.
    Idle,
    /// It was cut.
    Cut,
}

/// Joins two streams until both have ended, nothing has moved for `idle`, or `cut` ends. A side that has ended leaves the
/// other one open.
pub async fn join<A, B>(one: A, other: B, idle: Duration, cut: impl Future<Output = ()>) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let flow = Arc::new(Flow::new());
    let mut one = Watched { stream: one, flow: flow.clone() };
    let mut other = Watched { stream: other, flow: flow.clone() };
    let copied = copy_bidirectional_with_sizes(&mut one, &mut other, BUFFER, BUFFER);
    tokio::select! {
        copied = copied => if copied.is_ok() { End::Closed } else { End::Broken },
        () = flow.idle(idle) => End::Idle,
        () = cut => End::Cut,
    }
}

/// A stream whose moves are noted.
pub struct Watched<S> {
    pub stream: S,
    pub flow: Arc<Flow>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if polled.is_ready() {
            this.flow.touch();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        if polled.is_ready() {
            this.flow.touch();
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
