//! What the gateway answers with: bytes that are there, a blob that is read while it is sent, or one that still comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream as Bytewise;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use longshore_store::blobs::{Error, Reader};
use tokio::task::JoinHandle;

use crate::line::{LONGEST_PART, StandIns};

/// A body of a known length.
pub(crate) enum Body {
    /// Nothing more, once it was sent.
    Whole(Bytes),
    Blob(Stream),
    Coming(Coming),
}

/// Bytes that come from elsewhere while they are sent.
pub(crate) struct Coming {
    bytes: Pin<Box<dyn Bytewise<Item = io::Result<Bytes>> + Send>>,
    left: u64,
}

/// The rest of a part of a blob.
pub(crate) struct Stream {
    reader: Reader,
    at: u64,
    left: u64,
    /// Of the line that it is sent on, if that can send it without reading.
    stand_ins: Option<StandIns>,
    /// What the disk is asked for.
    waiting: Option<JoinHandle<Result<Bytes, Error>>>,
}

impl Body {
    pub(crate) fn blob(reader: Reader, at: u64, length: u64, stand_ins: Option<StandIns>) -> Self {
        match length {
            0 => Self::default(),
            left => Self::Blob(Stream { reader, at, left, stand_ins, waiting: None }),
        }
    }

    /// So many bytes of a stream that has them, or breaks off.
    pub(crate) fn coming(bytes: impl Bytewise<Item = io::Result<Bytes>> + Send + 'static, length: u64) -> Self {
        match length {
            0 => Self::default(),
            left => Self::Coming(Coming { bytes: Box::pin(bytes), left }),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::Whole(bytes.into())
    }
}

impl Stream {
    /// What the kernel has is sent at once; for the rest another thread waits.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            None => match self.at_hand() {
                Some(bytes) => return Poll::Ready(Ok(self.sent(bytes))),
                None => self.waiting.insert(self.reader.read_later(self.at, self.left)),
            },
        };
        let read = ready!(Pin::new(waiting).poll(context));
        self.waiting = None;
        let bytes = read.map_err(io::Error::other)?.map_err(io::Error::other)?;
        Poll::Ready(Ok(self.sent(bytes)))
    }

    /// What need not be waited for.
    fn at_hand(&self) -> Option<Bytes> {
        let length = usize::try_from(self.left).unwrap_or(LONGEST_PART).min(LONGEST_PART);
        match &self.stand_ins {
            Some(stand_ins) if self.reader.is_at_hand(self.at, length) => {
                Some(stand_ins.stand_in(self.reader.clone(), self.at, length))
            }
            _ => self.reader.read_now(self.at, self.left),
        }
    }

    fn sent(&mut self, bytes: Bytes) -> Bytes {
        self.at += bytes.len() as u64;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        bytes
    }
}

impl Coming {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let bytes = ready!(self.bytes.as_mut().poll_next(context));
        let bytes = bytes.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Ok(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Blob(stream) if stream.left == 0 => Poll::Ready(None),
            Self::Blob(stream) => stream.poll(context).map(|read| Some(read.map(Frame::data))),
            Self::Coming(coming) if coming.left == 0 => Poll::Ready(None),
            Self::Coming(coming) => coming.poll(context).map(|read| Some(read.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Blob(stream) => stream.left == 0,
            Self::Coming(coming) => coming.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Blob(stream) => stream.left,
            Self::Coming(coming) => coming.left,
        })
    }
}
