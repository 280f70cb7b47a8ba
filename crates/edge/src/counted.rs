//! A stream whose bytes and resets are counted as they come and go.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::count::{Count, Tally};

/// What is counted of a stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct What {
    pub bytes: Option<Count>,
    /// That the other side reset it.
    pub reset: Option<Count>,
}

#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    tally: Arc<Tally>,
    what: What,
}

impl<S> Counted<S> {
    pub fn new(stream: S, tally: Arc<Tally>, what: What) -> Self {
        Self { stream, tally, what }
    }

    fn moved(&self, count: usize) {
        if let Some(bytes) = self.what.bytes {
            self.tally.add(bytes, count as u64);
        }
    }

    /// A connection that was reset says so once, and ends.
    fn broke<T>(&mut self, polled: &Poll<io::Result<T>>) {
        let Poll::Ready(Err(error)) = polled else { return };
        if error.kind() != io::ErrorKind::ConnectionReset {
            return;
        }
        if let Some(reset) = self.what.reset.take() {
            self.tally.note(reset);
        }
    }

    fn wrote(&mut self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = polled {
            self.moved(*count);
        }
        self.broke(polled);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.moved(buf.filled().len().saturating_sub(before));
        this.broke(&polled);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
