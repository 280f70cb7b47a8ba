//! What the gateway answers with: bytes that are there, or a blob that is read while it is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use longshore_store::blobs::{Error, Reader};
use tokio::task::JoinHandle;

use crate::line::{LONGEST_PART, StandIns};

/// A body of a known length.
pub(crate) enum Body {
    /// Nothing more, once it was sent.
    Whole(Bytes),
    Blob(Stream),
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
                None => {
                    let (reader, at, left) = (self.reader.clone(), self.at, self.left);
                    self.waiting.insert(tokio::task::spawn_blocking(move || reader.read(at, left)))
                }
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

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Blob(stream) if stream.left == 0 => Poll::Ready(None),
            Self::Blob(stream) => stream.poll(context).map(|read| Some(read.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Blob(stream) => stream.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Blob(stream) => stream.left,
        })
    }
}
