//! A layer on its way from an upstream into the repository: written to an upload, hashed, and read while it comes.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use hyper::body::Bytes;
use longshore_services::ecr::{self, content};
use longshore_store::blobs::{Blobs, Digest, Error as BlobError, Follower, Key, LARGEST_UPLOAD, Writer};
use longshore_wire::Fault;
use tokio::sync::watch;

use super::Source;
use super::flight::{Failure, digest_key};
use super::import::written;
use crate::clock;
use crate::remote::Error;

/// Bytes that are gathered before they are written, and that are read at a time.
const BATCH: usize = 256 * 1024;

/// For a layer to come: so long, and a second for so many bytes.
const WITHIN: Duration = Duration::from_secs(600);
const SLOWEST: u64 = 64 * 1024;

/// How far a layer has come.
#[derive(Clone, Default)]
struct Progress {
    /// How many bytes there will be, once that is known; `Some(None)` if the upstream does not say.
    size: Option<Option<u64>>,
    received: u64,
    ended: Option<Result<(), Failure>>,
}

/// A layer that comes.
pub(in super::super) struct Coming {
    progress: watch::Sender<Progress>,
    file: OnceLock<Arc<Follower>>,
}

impl Coming {
    pub fn new() -> Self {
        Self { progress: watch::Sender::default(), file: OnceLock::new() }
    }

    /// How many bytes it has, as soon as that is known; `None` if the upstream does not say.
    pub(super) async fn begun(&self) -> Result<Option<u64>, Failure> {
        let mut progress = self.progress.subscribe();
        let seen = progress.wait_for(|now| now.size.is_some() || now.ended.is_some()).await;
        let seen = seen.map_err(|_| Failure::from(Fault::internal()))?;
        match &seen.ended {
            Some(Err(failure)) => Err(failure.clone()),
            _ => Ok(seen.size.flatten()),
        }
    }

    /// Once it is the repository's.
    pub(super) async fn ended(&self) -> Result<(), Failure> {
        let mut progress = self.progress.subscribe();
        let seen = progress.wait_for(|now| now.ended.is_some()).await.map_err(|_| Failure::from(Fault::internal()))?;
        seen.ended.clone().unwrap_or(Ok(()))
    }

    /// Its bytes from `at` on, so many, as they come. They break off if it turns out to be another's.
    pub fn follow(self: Arc<Self>, at: u64, length: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let progress = self.progress.subscribe();
        stream::try_unfold((self, progress, at, length), |(coming, mut progress, at, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let (come, ready) = {
                // The last bytes are kept back until all have been verified.
                let ready = |now: &Progress| now.ended.is_some() || now.received > at.saturating_add(BATCH as u64);
                let seen = progress.wait_for(ready).await.map_err(io::Error::other)?;
                if let Some(Err(failure)) = &seen.ended {
                    return Err(io::Error::other(failure.clone()));
                }
                match seen.ended {
                    Some(_) => (seen.received, seen.received),
                    None => (seen.received, seen.received.saturating_sub(BATCH as u64)),
                }
            };
            let length = left.min(ready.saturating_sub(at)).min(BATCH as u64);
            let file = coming.file.get().cloned().filter(|_| length > 0).ok_or(io::ErrorKind::UnexpectedEof)?;
            let bytes = tokio::task::spawn_blocking(move || read(&file, at, length, come))
                .await
                .map_err(io::Error::other)??;
            Ok(Some((bytes, (coming, progress, at + length, left - length))))
        })
    }
}

fn read(file: &Follower, at: u64, length: u64, come: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    file.read(at, length, come).map_err(io::Error::other)
}

/// The flight of a layer, which begins if there is none.
///
/// # Errors
/// [`Failure::Busy`]
pub(super) fn fetch(source: &Arc<Source>, digest: &Digest) -> Result<Arc<Coming>, Failure> {
    let key = digest_key(&source.registry, &source.name, digest);
    let (coming, is_new) = source.server.cache.layer(&key)?;
    if is_new {
        let (source, digest, flight) = (source.clone(), digest.clone(), coming.clone());
        tokio::spawn(async move {
            let mut flown = Flown { source: &source, key, flight: &flight, ended: Err(Fault::internal().into()) };
            flown.ended = tokio::select! {
                ended = bring(&source, &digest, &flight) => ended,
                () = source.server.stopping() => Err(Failure::Busy),
            };
            if let Err(failure) = &flown.ended {
                tracing::info!(name = source.name, %digest, %failure, "a layer was not fetched");
            }
        });
    }
    Ok(coming)
}

/// Tells those who wait how a flight ended, however it did.
struct Flown<'a> {
    source: &'a Source,
    key: String,
    flight: &'a Coming,
    ended: Result<(), Failure>,
}

impl Drop for Flown<'_> {
    fn drop(&mut self) {
        // Whoever asks from here on finds the record, or begins again.
        self.source.server.cache.forget_layer(&self.key);
        let ended = self.ended.clone();
        self.flight.progress.send_modify(|now| now.ended = Some(ended));
    }
}

async fn bring(source: &Source, digest: &Digest, coming: &Coming) -> Result<(), Failure> {
    if is_here(source, digest) {
        return Ok(());
    }
    let (blobs, repository) = bytes(source)?;
    let _turn = source.server.cache.turn_to_come().await?;
    let response = source.remote.blob(&source.upstream, digest).await?;
    let size = response.content_length();
    let wrong = |what: &str| Failure::from(Error::Wrong { host: source.remote.host(), what: what.to_owned() });
    if size.is_some_and(|size| size > LARGEST_UPLOAD) {
        return Err(wrong("sends a layer that is too large"));
    }
    let (key, algorithm) = (place(source, &repository)?, digest.algorithm());
    let _passing = Passing { blobs: blobs.clone(), key: key.clone() };
    let mut writer = aside(move || {
        blobs.begin(&key)?;
        let mut writer = blobs.append(&key, Some(0))?;
        writer.expect(algorithm);
        Ok(writer)
    })
    .await?;
    let file = writer.follow().map_err(of_bytes)?;
    let _ = coming.file.set(Arc::new(file));
    coming.progress.send_modify(|now| now.size = Some(size));
    let within = WITHIN + Duration::from_secs(size.unwrap_or_default() / SLOWEST);
    let received = tokio::time::timeout(within, receive(writer, response, coming)).await;
    let late = |_| Failure::from(Error::Late { host: source.remote.host() });
    writer = received.map_err(late).and_then(|received| received)?;
    keep(source, &repository, digest, writer).await.map_err(|failure| match failure {
        Kept::Mismatch => wrong("sends a layer that does not have the digest it should have"),
        Kept::Failed(failure) => failure,
    })
}

/// An upload that nobody can go on with once this is let go of.
struct Passing {
    blobs: Blobs,
    key: Key,
}

impl Drop for Passing {
    fn drop(&mut self) {
        let (blobs, key) = (self.blobs.clone(), self.key.clone());
        tokio::task::spawn_blocking(move || blobs.abandon(&key));
    }
}

/// Where the repository's bytes lie, and its id.
fn bytes(source: &Source) -> Result<(Blobs, String), Failure> {
    let (state, context) = (source.server.store.read(), source.context());
    let repository = content::repository(&state, &source.registry, &source.name)?;
    Ok((content::bytes_of(&context, &state, repository)?, repository.id.clone()))
}

fn is_here(source: &Source, digest: &Digest) -> bool {
    content::layer(&source.server.store.read(), &source.registry, &source.name, digest.as_str()).is_ok()
}

fn place(source: &Source, repository: &str) -> Result<Key, Failure> {
    let id = clock::mint().uuid();
    Key::new(source.registry.as_str(), repository, &id).ok_or_else(|| Fault::internal().into())
}

/// Writes what comes, in batches, and tells how far it has come.
async fn receive(writer: Writer, response: reqwest::Response, coming: &Coming) -> Result<Writer, Failure> {
    let url = response.url().clone();
    let mut bytes = response.bytes_stream();
    let mut desk = Desk { writer: Some(writer), gathered: Vec::new(), size: 0 };
    while let Some(part) = bytes.next().await {
        let part = part.map_err(|error| Error::sent(&url, &error))?;
        desk.size += part.len();
        desk.gathered.push(part);
        if desk.size >= BATCH {
            desk.write(coming).await?;
        }
    }
    desk.write(coming).await?;
    desk.writer.take().ok_or_else(|| Fault::internal().into())
}

/// An upload, and what is to be written to it.
struct Desk {
    writer: Option<Writer>,
    gathered: Vec<Bytes>,
    size: usize,
}

impl Desk {
    async fn write(&mut self, coming: &Coming) -> Result<(), Failure> {
        self.size = 0;
        let gathered = std::mem::take(&mut self.gathered);
        let Some(mut writer) = self.writer.take() else { return Err(Fault::internal().into()) };
        let written = aside(move || {
            let written = gathered.iter().try_for_each(|bytes| writer.write(bytes));
            written.map(|()| writer)
        });
        let writer = written.await?;
        let received = writer.received();
        self.writer = Some(writer);
        coming.progress.send_modify(|now| now.received = received);
        Ok(())
    }
}

enum Kept {
    Mismatch,
    Failed(Failure),
}

/// Verifies what has come, and makes it the repository's.
async fn keep(source: &Source, repository: &str, digest: &Digest, writer: Writer) -> Result<(), Kept> {
    let wanted = digest.clone();
    let finished = tokio::task::spawn_blocking(move || writer.finish(&wanted)).await;
    let kept = match finished.map_err(|_| Kept::Failed(Fault::internal().into()))? {
        Ok(kept) => kept,
        Err(BlobError::Mismatch { .. }) => return Err(Kept::Mismatch),
        Err(error) => return Err(Kept::Failed(of_bytes(error))),
    };
    let mut context = source.context();
    let named = (&source.registry, source.name.as_str());
    let linked = content::link(&mut context, named, repository, &kept);
    written(&source.server, context).await.map_err(Kept::Failed)?;
    // The record is durable: from here on it keeps the bytes.
    drop(kept);
    linked.map(drop).map_err(|fault| Kept::Failed(fault.into()))
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, BlobError> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| Failure::from(Fault::internal()))?;
    done.map_err(of_bytes)
}

fn of_bytes(error: BlobError) -> Failure {
    match &error {
        BlobError::TooMany { .. } => Failure::Busy,
        _ => ecr::bytes_fault(&error).into(),
    }
}
