//! The line to a client: what hyper writes, and parts of files that the kernel sends without their bytes coming by here.
//!
//! hyper asks a body for bytes and hands the same ones on, by their address, in vectored writes. The body of a blob gives it
//! *stand-ins*: as many bytes of a region that nobody reads as the part has that they stand for. The line knows them by
//! where they are and has the kernel send the part (`sendfile`), which costs neither copy.
//!
//! A client that takes nothing for [`PATIENCE`] is let go.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Bytes;
use longshore_store::blobs::Reader;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// For a client to take the next bytes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of the longest part.
pub(crate) const LONGEST_PART: usize = 1024 * 1024;

/// Whose addresses say that they are stand-ins; never touched, so it takes no memory.
static REGION: LazyLock<Box<[u8]>> = LazyLock::new(|| vec![0; LONGEST_PART].into());

fn is_stand_in(bytes: &[u8]) -> bool {
    REGION.as_ptr_range().contains(&bytes.as_ptr())
}

struct Part {
    reader: Reader,
    at: u64,
    left: usize,
}

/// The parts that are on their way through a line, in order. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct StandIns(Arc<Mutex<VecDeque<Part>>>);

impl StandIns {
    /// What stands for so many bytes of a blob, [`LONGEST_PART`] at most, from `at` on; for the next bytes of the answer.
    pub(crate) fn stand_in(&self, reader: Reader, at: u64, length: usize) -> Bytes {
        let length = length.min(LONGEST_PART);
        self.0.lock().push_back(Part { reader, at, left: length });
        Bytes::from_static(&REGION[..length])
    }

    /// Sends what it can of the first part, whose stand-in has so many bytes left.
    fn send(&self, stream: &TcpStream, left: usize) -> io::Result<usize> {
        let mut parts = self.0.lock();
        let first = parts.front_mut().filter(|part| part.left == left).ok_or(io::ErrorKind::InvalidData)?;
        let sent = first.reader.send(stream, first.at, first.left)?;
        first.at += sent as u64;
        first.left -= sent;
        if first.left == 0 {
            parts.pop_front();
        }
        Ok(sent)
    }
}

pub(crate) struct Line {
    stream: TcpStream,
    stand_ins: StandIns,
    patience: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Line {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, stand_ins: StandIns::default(), patience: PATIENCE, stalled: None }
    }

    pub(crate) fn stand_ins(&self) -> StandIns {
        self.stand_ins.clone()
    }

    fn poll_send(&self, context: &mut Context<'_>, left: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || self.stand_ins.send(&self.stream, left));
            match sent.as_ref().map_err(io::Error::kind) {
                Err(io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                _ => return Poll::Ready(sent),
            }
        }
    }

    fn poll_some(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let plain = slices.iter().take_while(|bytes| !is_stand_in(bytes)).count();
        match slices {
            [first, ..] if plain == 0 => self.poll_send(context, first.len()),
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..plain]),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        if let Poll::Ready(written) = line.poll_some(context, slices) {
            line.stalled = None;
            return Poll::Ready(written);
        }
        let patience = line.patience;
        let stalled = line.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Without it hyper would copy what it writes, stand-ins too.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use longshore_store::blobs::{Algorithm, Blobs, Options};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn line() -> (Line, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connects");
        let (stream, _) = listener.accept().await.expect("accepts");
        (Line::new(stream), client)
    }

    fn written(line: &mut Line, bytes: &mut Vec<Bytes>) -> impl Future<Output = io::Result<()>> {
        std::future::poll_fn(move |context| {
            while !bytes.is_empty() {
                let slices: Vec<_> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
                let mut count = ready!(Pin::new(&mut *line).poll_write_vectored(context, &slices))?;
                bytes.retain_mut(|bytes| {
                    let some = count.min(bytes.len());
                    count -= some;
                    let _ = bytes.split_to(some);
                    !bytes.is_empty()
                });
            }
            Poll::Ready(Ok(()))
        })
    }

    #[tokio::test]
    async fn stand_ins_are_sent_as_what_they_stand_for() {
        let directory = std::env::temp_dir().join(format!("longshore-line-{}", std::process::id()));
        let blobs = Blobs::open(&Options::of(&directory)).expect("opens");
        let blob: Vec<u8> = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
        let kept = blobs.put(Algorithm::Sha256, blob.clone().into()).expect("is kept");
        let reader = blobs.reader(&kept.digest).expect("is there");
        let (mut line, mut client) = line().await;
        let stand_ins = line.stand_ins();
        let mut bytes = vec![
            Bytes::from_static(b"head"),
            stand_ins.stand_in(reader.clone(), 7, LONGEST_PART),
            stand_ins.stand_in(reader.clone(), 11_999_999, 1),
            Bytes::from_static(b"between"),
            stand_ins.stand_in(reader, 1_000_000, 300_000),
        ];
        let wanted = [
            b"head".as_slice(),
            &blob[7..7 + LONGEST_PART],
            &blob[11_999_999..],
            b"between",
            &blob[1_000_000..1_300_000],
        ]
        .concat();
        let reading = tokio::spawn(async move {
            let mut found = Vec::new();
            client.read_to_end(&mut found).await.map(|_| found)
        });
        written(&mut line, &mut bytes).await.expect("is written");
        line.shutdown().await.expect("ends");
        let found = reading.await.expect("no panic").expect("reads");
        std::fs::remove_dir_all(directory).expect("is removed");
        assert!(found == wanted, "other bytes arrived");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_let_go() {
        let (mut line, client) = line().await;
        line.patience = Duration::from_millis(20);
        let error =
            written(&mut line, &mut vec![vec![7; 64 * 1024 * 1024].into()]).await.expect_err("nobody takes that");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }
}
