//! Writing one blob into containerd's content store, from wherever it comes, resuming what an earlier try left there.

use bytes::{Bytes, BytesMut};
use containerd_client::services::v1::{AbortRequest, WriteAction, WriteContentRequest, WriteContentResponse};
use containerd_client::tonic::{Code, Streaming};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

use super::document::{Descriptor, Digest};
use super::error::Error;
use super::store::{Labels, Store};
use super::transfer::Meter;

/// Bytes sent in one message.
const CHUNK: usize = 1024 * 1024;

/// Bytes of a blob, and where in the blob they begin.
pub(super) struct Blob {
    pub(super) offset: u64,
    pub(super) bytes: BoxStream<'static, Result<Bytes, Error>>,
}

/// A blob being written.
pub(super) struct Writer<'a> {
    store: &'a Store,
    descriptor: &'a Descriptor,
    requests: mpsc::Sender<WriteContentRequest>,
    responses: Streaming<WriteContentResponse>,
    offset: u64,
}

impl<'a> Writer<'a> {
    /// Begins to write a blob, or goes on where an earlier writer stopped; `None` when the blob is there already.
    pub(super) async fn open(store: &'a Store, descriptor: &'a Descriptor) -> Result<Option<Self>, Error> {
        match Self::begin(store, descriptor).await {
            Err(error) if error.has_code(Code::AlreadyExists) => {
                store.hold_blob(&descriptor.digest).await?;
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    async fn begin(store: &'a Store, descriptor: &'a Descriptor) -> Result<Self, Error> {
        let (requests, mut receiver) = mpsc::channel::<WriteContentRequest>(2);
        let outgoing = stream::poll_fn(move |context| receiver.poll_recv(context));
        let stat = message(descriptor, WriteAction::Stat, 0);
        requests.send(stat).await.map_err(|_| lost())?;
        let opened = store.content().write(store.request(outgoing)).await;
        let mut responses = opened.map_err(Error::containerd("writing content"))?.into_inner();
        let offset = answer(&mut responses).await?.offset;
        let offset = u64::try_from(offset).unwrap_or_default();
        Ok(Self { store, descriptor, requests, responses, offset })
    }

    /// How many bytes are there already.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Writes the bytes of `blob` and commits. `meter` hears of each message.
    ///
    /// Content that turns out wrong is thrown away, so that the next try begins anew.
    pub(super) async fn fill(mut self, blob: Blob, labels: Labels, meter: Option<&Meter<'_>>) -> Result<(), Error> {
        self.offset = blob.offset;
        let result = match self.copy(blob.bytes, meter).await {
            Ok(()) => self.commit(labels).await,
            Err(error) => Err(error),
        };
        match result {
            Err(error) if error.has_code(Code::AlreadyExists) => self.store.hold_blob(&self.descriptor.digest).await,
            Err(error @ Error::Mismatch(_)) => {
                self.abort().await;
                Err(error)
            }
            other => other,
        }
    }

    async fn copy(
        &mut self,
        mut bytes: BoxStream<'static, Result<Bytes, Error>>,
        meter: Option<&Meter<'_>>,
    ) -> Result<(), Error> {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        while let Some(part) = bytes.next().await {
            buffer.extend_from_slice(&part?);
            if self.offset + buffer.len() as u64 > self.descriptor.size {
                return Err(self.mismatch());
            }
            while buffer.len() >= CHUNK {
                self.send(buffer.split_to(CHUNK).freeze(), meter).await?;
            }
        }
        if !buffer.is_empty() {
            self.send(buffer.freeze(), meter).await?;
        }
        if self.offset == self.descriptor.size { Ok(()) } else { Err(self.mismatch()) }
    }

    async fn send(&mut self, data: Bytes, meter: Option<&Meter<'_>>) -> Result<(), Error> {
        let length = data.len() as u64;
        let write =
            WriteContentRequest { data: data.into(), ..message(self.descriptor, WriteAction::Write, self.offset) };
        self.exchange(write).await?;
        self.offset += length;
        if let Some(meter) = meter {
            meter.add(length);
        }
        Ok(())
    }

    async fn commit(&mut self, labels: Labels) -> Result<(), Error> {
        let commit = WriteContentRequest { labels, ..message(self.descriptor, WriteAction::Commit, self.offset) };
        match self.exchange(commit).await {
            Err(error) if error.has_code(Code::FailedPrecondition) => Err(self.mismatch()),
            other => other,
        }
    }

    async fn exchange(&mut self, request: WriteContentRequest) -> Result<(), Error> {
        if self.requests.send(request).await.is_err() {
            return answer(&mut self.responses).await.and(Err(lost()));
        }
        answer(&mut self.responses).await.map(drop)
    }

    /// Throws away what has been written. The stream must end first, because it holds the lock of the reference.
    async fn abort(self) {
        let Self { store, descriptor, requests, responses, .. } = self;
        drop((requests, responses));
        let request = AbortRequest { r#ref: reference(&descriptor.digest) };
        if let Err(status) = store.content().abort(store.request(request)).await {
            tracing::debug!(digest = %descriptor.digest, %status, "could not throw away partial content");
        }
    }

    fn mismatch(&self) -> Error {
        Error::Mismatch(self.descriptor.digest.to_string())
    }
}

async fn answer(responses: &mut Streaming<WriteContentResponse>) -> Result<WriteContentResponse, Error> {
    let answer = responses.message().await.map_err(Error::containerd("writing content"))?;
    answer.ok_or_else(lost)
}

fn lost() -> Error {
    Error::Containerd { doing: "writing content", code: Code::Unavailable, message: "the stream ended".to_owned() }
}

fn message(descriptor: &Descriptor, action: WriteAction, offset: u64) -> WriteContentRequest {
    WriteContentRequest {
        action: action.into(),
        r#ref: reference(&descriptor.digest),
        total: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        expected: descriptor.digest.to_string(),
        offset: i64::try_from(offset).unwrap_or(i64::MAX),
        ..WriteContentRequest::default()
    }
}

/// The name of a write under way, the same for every try, so that a later try resumes an earlier one.
fn reference(digest: &Digest) -> String {
    format!("longshore-{}", digest.hex())
}

/// Writes a blob that is in memory.
pub(super) async fn write_bytes(
    store: &Store,
    descriptor: &Descriptor,
    bytes: &Bytes,
    labels: Labels,
) -> Result<(), Error> {
    let Some(writer) = Writer::open(store, descriptor).await? else {
        return store.label(&descriptor.digest, labels).await;
    };
    let whole = bytes.clone();
    let blob = Blob { offset: 0, bytes: stream::once(async { Ok(whole) }).boxed() };
    writer.fill(blob, labels, None).await
}
