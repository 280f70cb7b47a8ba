//! Pushing a blob: at once, in chunks, or from another repository.
//!
//! ```text
//!     POST ?mount= ──► 201, if the caller may read it there; else as if it had not asked
//!     POST         ──► 202 ──► PATCH … ──► PUT ?digest= ──► 201
//!     POST ?digest=, with the bytes                     ──► 201
//! ```
//! Bytes are hashed and written while more come, by a thread that may wait. What is told of is durable, and so is its record.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use longshore_api::ecr as api;
use longshore_services::ecr::{self, content};
use longshore_store::blobs::{Blobs, Digest, Error, Kept, Key, LARGEST_UPLOAD, Writer};
use longshore_wire::{Blob, Fault};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::error::{Code, Refusal, received};
use super::range::{number, sent};
use super::visit::{Visit, aside};
use super::{Answer, DIGEST, UPLOAD, set};
use crate::clock;

/// For the next [`LEAST`] bytes of an upload to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Uploads whose bytes come at one time.
const COMING: usize = 1024;

/// Bytes of all uploads that are gathered before they are written, and of one.
const GATHERED: usize = 32 * 1024 * 1024;
const BATCH: usize = 512 * 1024;
const LEAST: usize = 16 * 1024;

static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// The id of no repository.
const NOWHERE: &str = "00000000000000000000000000000000";

/// Where an upload is.
struct Place<'a> {
    name: &'a str,
    id: String,
    key: Key,
}

impl<'a> Place<'a> {
    /// Of a repository that is not there it is one that is none: whether there is one is told to whom it may be.
    fn new(visit: &Visit<'_>, name: &'a str, id: &str) -> Result<Self, Refusal> {
        let found = visit.server.store.read().repository(visit.registry.as_str(), name).map(|found| found.id.clone());
        let repository = found.as_deref().unwrap_or(NOWHERE);
        let key = Key::new(visit.registry.as_str(), repository, id).ok_or(Error::UnknownUpload)?;
        Ok(Self { name, id: id.to_owned(), key })
    }

    fn path(&self) -> String {
        format!("/v2/{}/blobs/uploads/{}", self.name, self.id)
    }

    fn answer(&self, status: StatusCode, bytes: u64) -> Answer {
        let mut answer = Answer::default();
        *answer.status_mut() = status;
        set(&mut answer, LOCATION, &self.path());
        set(&mut answer, RANGE, &received(bytes));
        set(&mut answer, UPLOAD, &self.id);
        answer
    }

    /// What is out of order is told where to go on.
    fn refused(&self, refusal: Refusal) -> Refusal {
        match refusal.status {
            StatusCode::RANGE_NOT_SATISFIABLE => refusal.with(LOCATION, self.path()).with(UPLOAD, &self.id),
            _ => refusal,
        }
    }
}

/// `POST`
pub(super) async fn begin(visit: &Visit<'_>, name: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
    let whole = match visit.parameter("digest") {
        Some(text) => Some(digest(&text)?),
        None => None,
    };
    if let (Some(text), Some(from)) = (visit.parameter("mount"), visit.parameter("from"))
        && let Some(answer) = mount(visit, name, &from, &digest(&text)?).await?
    {
        return Ok(answer);
    }
    let id = clock::mint().uuid();
    let request = api::InitiateLayerUploadRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
    };
    let begun = visit.call("InitiateLayerUpload", &request, |context, _| {
        longshore_services::ecr::for_push(context, &visit.registry, name)?;
        let blobs = content::bytes(context, &visit.registry, name)?;
        let output = api::InitiateLayerUploadResponse { upload_id: Some(id.clone()), ..Default::default() };
        Ok((blobs, Box::new(output)))
    });
    let blobs = begun.await?;
    // The repository may have been made for it.
    let place = Place::new(visit, name, &id)?;
    let (begun, key) = (blobs.clone(), place.key.clone());
    aside(move || begun.begin(&key)).await?;
    let Some(digest) = whole else { return Ok(place.answer(StatusCode::ACCEPTED, 0)) };
    let ended = end(visit, &place, &digest, body).await;
    if ended.is_err() {
        // Nobody knows of it.
        tokio::task::spawn_blocking(move || blobs.abandon(&place.key));
    }
    ended
}

/// Takes the blob of another repository of the registry; `None` where there is none, there can be none by that name, or the
/// caller may not read it: it learns not which.
async fn mount(visit: &Visit<'_>, name: &str, from: &str, digest: &Digest) -> Result<Option<Answer>, Refusal> {
    if !super::route::is_name(from) {
        return Ok(None);
    }
    let source = api::GetDownloadUrlForLayerRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(from.to_owned()),
        layer_digest: Some(digest.to_string()),
    };
    let is_on = ecr::mounts(&visit.server.store.read(), visit.registry.as_str());
    // Also who brings a copy needs the right to read.
    if !is_on || !visit.might_itself("GetDownloadUrlForLayer", &source) {
        return Ok(None);
    }
    let mounted = complete(visit, name, "", digest, |context| {
        ecr::for_push(context, &visit.registry, name)?;
        let is_there = content::mount(context, &visit.registry, (from, name), digest.as_str())?;
        let message = || format!("The repository with name '{from}' has no layer '{digest}'");
        is_there.then_some(()).ok_or_else(|| Fault::common("LayersNotFoundException", 400, message()))
    });
    match mounted.await {
        Ok(()) => Ok(Some(made(name, digest))),
        // A repository that is not there may be made by the upload.
        Err(refusal) if matches!(refusal.code, Code::ManifestBlobUnknown | Code::NameUnknown) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Records that a repository has a blob.
async fn complete<T>(
    visit: &Visit<'_>,
    name: &str,
    id: &str,
    digest: &Digest,
    act: impl FnOnce(&mut longshore_services::Context<'_>) -> Result<T, Fault>,
) -> Result<T, Refusal> {
    // An upload that is none, a mount, has an id for the record's sake.
    let id = if id.is_empty() { clock::mint().uuid() } else { id.to_owned() };
    let request = completion(visit, name, &id, digest);
    visit
        .call("CompleteLayerUpload", &request, |context, _| {
            let done = act(context)?;
            let output = api::CompleteLayerUploadResponse {
                registry_id: Some(visit.registry.to_string()),
                repository_name: Some(name.to_owned()),
                upload_id: Some(id),
                layer_digest: Some(digest.to_string()),
            };
            Ok((done, Box::new(output) as Box<_>))
        })
        .await
}

fn completion(visit: &Visit<'_>, name: &str, id: &str, digest: &Digest) -> api::CompleteLayerUploadRequest {
    api::CompleteLayerUploadRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(name.to_owned()),
        upload_id: Some(id.to_owned()),
        layer_digests: Some(vec![digest.to_string()]),
    }
}

/// `PATCH`: the next bytes.
pub(super) async fn patch(visit: &Visit<'_>, name: &str, id: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
    let place = Place::new(visit, name, id)?;
    let chunk = Chunk::of(visit)?;
    let written = write(visit, &place, &chunk, None, body).await.map_err(|refusal| place.refused(refusal))?;
    // It is the next one's when the client knows how far it has come.
    let bytes = aside(move || written.pause()).await?;
    Ok(place.answer(StatusCode::ACCEPTED, bytes))
}

/// `PUT`: the last bytes, if any, and what it all is.
pub(super) async fn finish(visit: &Visit<'_>, name: &str, id: &str, body: &mut Incoming) -> Result<Answer, Refusal> {
    let place = Place::new(visit, name, id)?;
    let text = visit.parameter("digest").unwrap_or_default();
    end(visit, &place, &digest(&text)?, body).await.map_err(|refusal| place.refused(refusal))
}

async fn end(visit: &Visit<'_>, place: &Place<'_>, digest: &Digest, body: &mut Incoming) -> Result<Answer, Refusal> {
    let chunk = Chunk::of(visit)?;
    if !visit.might("CompleteLayerUpload", &completion(visit, place.name, &place.id, digest)) {
        // Refused before the upload is used up.
        return complete(visit, place.name, &place.id, digest, |_| Err(Fault::internal())).await;
    }
    let writer = write(visit, place, &chunk, Some(digest), body).await?;
    let wanted = digest.clone();
    let kept: Kept = aside(move || writer.finish(&wanted)).await?;
    let link = complete(visit, place.name, &place.id, digest, |context| {
        content::link(context, (&visit.registry, place.name), place.key.repository(), &kept)
    });
    link.await?;
    // The record is durable: from here on it keeps the bytes.
    drop(kept);
    Ok(made(place.name, digest))
}

/// `GET`: how far it has come.
pub(super) async fn status(visit: &Visit<'_>, name: &str, id: &str) -> Result<Answer, Refusal> {
    let place = Place::new(visit, name, id)?;
    let (blobs, key) = (judge(visit, &place).await?, place.key.clone());
    let bytes = aside(move || blobs.received(&key)).await?;
    Ok(place.answer(StatusCode::NO_CONTENT, bytes))
}

/// `DELETE`
pub(super) async fn cancel(visit: &Visit<'_>, name: &str, id: &str) -> Result<Answer, Refusal> {
    let place = Place::new(visit, name, id)?;
    let blobs = judge(visit, &place).await?;
    aside(move || blobs.cancel(&place.key)).await?;
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// Whether the caller may write to an upload; and where that is.
async fn judge(visit: &Visit<'_>, place: &Place<'_>) -> Result<Blobs, Refusal> {
    let request = api::UploadLayerPartRequest {
        registry_id: Some(visit.registry.to_string()),
        repository_name: Some(place.name.to_owned()),
        upload_id: Some(place.id.clone()),
        part_first_byte: Some(0),
        part_last_byte: Some(0),
        layer_part_blob: Some(Blob::default()),
    };
    let judged = visit.call("UploadLayerPart", &request, |context, _| {
        let blobs = content::bytes(context, &visit.registry, place.name)?;
        let output = api::UploadLayerPartResponse { upload_id: Some(place.id.clone()), ..Default::default() };
        Ok((blobs, Box::new(output)))
    });
    judged.await
}

fn digest(text: &str) -> Result<Digest, Refusal> {
    Digest::parse(text).map_err(|why| Refusal::new(Code::DigestInvalid, why.to_string()))
}

fn made(name: &str, digest: &Digest) -> Answer {
    let mut answer = Answer::default();
    *answer.status_mut() = StatusCode::CREATED;
    set(&mut answer, LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut answer, DIGEST, &digest.to_string());
    answer
}

/// What a client says of the bytes that it sends.
struct Chunk {
    /// Where they begin.
    first: Option<u64>,
    /// How many they are.
    length: Option<u64>,
}

impl Chunk {
    fn of(visit: &Visit<'_>) -> Result<Self, Refusal> {
        let invalid = |message| Refusal::new(Code::UploadInvalid, message);
        let announced = visit.header(CONTENT_LENGTH).and_then(number);
        let Some(header) = visit.header(CONTENT_RANGE) else {
            return Self { first: None, length: announced }.bounded();
        };
        let (first, last) = sent(header).ok_or_else(|| invalid("Content-Range is FIRST-LAST"))?;
        let length = (last - first).checked_add(1).ok_or_else(|| invalid("Content-Range is too long"))?;
        if announced.is_some_and(|announced| announced != length) {
            let message = "Content-Range and Content-Length are of different lengths";
            return Err(Refusal::new(Code::SizeInvalid, message));
        }
        Self { first: Some(first), length: Some(length) }.bounded()
    }

    fn bounded(self) -> Result<Self, Refusal> {
        match self.length.is_some_and(|length| length > LARGEST_UPLOAD) {
            true => Err(Error::TooLarge { most: LARGEST_UPLOAD }.into()),
            false => Ok(self),
        }
    }
}

/// Writes what comes to an upload, which nobody else writes to until the writer is let go.
async fn write(
    visit: &Visit<'_>,
    place: &Place<'_>,
    chunk: &Chunk,
    digest: Option<&Digest>,
    body: &mut Incoming,
) -> Result<Writer, Refusal> {
    let blobs = judge(visit, place).await?;
    let _active = Active::enter()?;
    let (key, first) = (place.key.clone(), chunk.first);
    let mut writer = aside(move || blobs.append(&key, first)).await?;
    if let Some(digest) = digest {
        writer.expect(digest.algorithm());
    }
    let before = writer.received();
    let writer = receive(writer, body).await?;
    if chunk.length.is_none_or(|length| length == writer.received() - before) {
        return Ok(writer);
    }
    aside(move || writer.pause()).await?;
    Err(Refusal::new(Code::SizeInvalid, "the bytes are not as many as they were said to be"))
}

/// One of the uploads whose bytes come.
struct Active;

impl Active {
    fn enter() -> Result<Self, Refusal> {
        let active = Self;
        match ACTIVE.fetch_add(1, Ordering::Relaxed) < COMING {
            true => Ok(active),
            false => Err(Refusal::new(Code::TooManyRequests, "Too many uploads are being received")),
        }
    }

    /// Bytes that one upload gathers: the more there are, the fewer.
    fn batch() -> usize {
        (GATHERED / ACTIVE.load(Ordering::Relaxed).max(1)).clamp(LEAST, BATCH)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        ACTIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of a body, written in batches while the next is read. What has come before a connection breaks stays.
async fn receive(writer: Writer, body: &mut Incoming) -> Result<Writer, Refusal> {
    let mut pen = Pen::Idle(Box::new(writer));
    let (mut gathered, mut bytes) = (Vec::new(), 0);
    let (mut deadline, mut since) = (Instant::now() + PATIENCE, 0);
    let ended = loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(None) => break Ok(()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => break Err(Refusal::new(Code::UploadInvalid, "the bytes broke off")),
            Err(_) => {
                let refusal = Refusal::new(Code::UploadInvalid, "the bytes did not come");
                break Err(refusal.at(StatusCode::REQUEST_TIMEOUT));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        since += data.len();
        gathered.push(data);
        if since >= LEAST {
            (deadline, since) = (Instant::now() + PATIENCE, 0);
        }
        if bytes >= Active::batch() {
            pen = pen.write(std::mem::take(&mut gathered)).await?;
            bytes = 0;
        }
    };
    let writer = pen.write(gathered).await?.idle().await?;
    match ended {
        Ok(()) => Ok(writer),
        Err(refusal) => {
            aside(move || writer.pause()).await?;
            Err(refusal)
        }
    }
}

/// A writer that may be at work.
enum Pen {
    Idle(Box<Writer>),
    Writing(JoinHandle<Result<Writer, Error>>),
}

impl Pen {
    async fn idle(self) -> Result<Writer, Refusal> {
        match self {
            Self::Idle(writer) => Ok(*writer),
            Self::Writing(work) => work.await.map_err(|_| Fault::internal())?.map_err(Refusal::from),
        }
    }

    async fn write(self, gathered: Vec<Bytes>) -> Result<Self, Refusal> {
        let mut writer = self.idle().await?;
        if gathered.is_empty() {
            return Ok(Self::Idle(Box::new(writer)));
        }
        Ok(Self::Writing(tokio::task::spawn_blocking(move || {
            gathered.iter().try_for_each(|bytes| writer.write(bytes))?;
            Ok(writer)
        })))
    }
}
