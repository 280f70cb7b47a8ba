//! Blobs as objects of a bucket: S3, Google's, Azure's, or whatever else `object_store` speaks to.
//!
//! Credentials and endpoints come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL_S3`, `GOOGLE_SERVICE_ACCOUNT`,
//! `AZURE_STORAGE_ACCOUNT_NAME` and so on): from variables of the bucket's own cloud, and no others. An object is visible when
//! it is whole: single writes are atomic, and parts are put together by their completion. What belongs to another
//! installation is left alone ([`owner`]).

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutPayload, RetryConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::address::SEALED;
use super::owner::{self, Ownership};
use super::parts::Parts;
use super::{Address, Error, Reader, SealId, Shelf};

/// Bytes of a part of a large object; a bucket takes ten thousand parts.
const PART: u64 = 8 * 1024 * 1024;

/// Bytes that are read at a time: each is a request.
pub(super) const READ: u64 = 4 * 1024 * 1024;

/// What a bucket that does not answer is asked again: for some seconds, while a client waits.
const TRIES: usize = 4;
const TRIED_FOR: Duration = Duration::from_secs(30);

/// For a bucket to say whose it is: a start waits for it.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// How long what no record holds stays all the same, counted from when it came.
const SETTLED: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// The same, if what was sent of an object may be aborted by another process.
    by_parts: Option<Arc<dyn MultipartStore>>,
    parts: Parts,
    prefix: Path,
    carrier: Arc<Carrier>,
    /// The installation.
    owner: String,
    /// Whether it was found to own the bucket.
    is_ours: AtomicBool,
}

/// A runtime for requests to the bucket alone: one may outlive the control plane's, whose timers panic at its end.
struct Carrier(Option<Runtime>);

impl Carrier {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("bucket").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn run<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
        let ended = || object_store::Error::Generic { store: "bucket", source: "the process ends".into() };
        self.0.as_ref().ok_or_else(ended)?.handle().block_on(request)
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucket {
    /// A bucket that does not answer now is asked again when something is to be written.
    /// `dir` is where it is noted what is sent in parts.
    pub fn open(url: &str, owner: &str, dir: &std::path::Path) -> Result<Self, Error> {
        let unread = |source| Error::Bucket(object_store::Error::Generic { store: "URL", source: Box::new(source) });
        let url = url::Url::parse(url).map_err(unread)?;
        let (Ways { store, by_parts }, prefix) = of(&url).map_err(Error::Bucket)?;
        let carrier = Carrier::new().map_err(|source| Error::File { path: "a thread of the bucket".into(), source })?;
        let (parts, owner) = (Parts::open(dir)?, owner.to_owned());
        let carrier = Arc::new(carrier);
        let bucket = Self { store, by_parts, parts, prefix, carrier, owner, is_ours: AtomicBool::new(false) };
        match bucket.confirm() {
            Err(Error::Bucket(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the registry's bucket does not answer");
                Ok(bucket)
            }
            confirmed => confirmed.map(|()| bucket),
        }
    }

    /// Asks the bucket whose it is.
    pub fn confirm(&self) -> Result<(), Error> {
        let late = |_| Err(object_store::Error::Generic { store: "bucket", source: "no answer in time".into() });
        let found = self.write(async {
            let claim = owner::claim(&*self.store, &self.prefix, &self.owner);
            tokio::time::timeout(ASKED_FOR, claim).await.unwrap_or_else(late)
        })?;
        self.is_ours.store(found == Ownership::Ours, Ordering::Relaxed);
        match found {
            Ownership::Ours => Ok(()),
            Ownership::Foreign(mark) => Err(Error::Foreign { mark, owner: self.owner.clone() }),
            Ownership::Unmarked => Err(Error::Unmarked),
        }
    }

    /// Before anything is written or removed.
    pub fn own(&self) -> Result<(), Error> {
        match self.is_ours.load(Ordering::Relaxed) {
            true => Ok(()),
            false => self.confirm(),
        }
    }

    fn run<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
        self.carrier.run(request).map_err(error)
    }

    /// As [`Self::run`], of what is written: what is not there then is the bucket.
    fn write<T>(&self, request: impl Future<Output = object_store::Result<T>>) -> Result<T, Error> {
        self.carrier.run(request).map_err(Error::Bucket)
    }

    fn path(&self, address: &Address) -> Path {
        self.below(&address.shelf()).join(address.digest.hex())
    }

    fn below(&self, path: &str) -> Path {
        path.split('/').fold(self.prefix.clone(), Path::join)
    }

    /// Bytes of the object.
    pub fn size(&self, address: &Address) -> Result<u64, Error> {
        Ok(self.run(self.store.head(&self.path(address)))?.size)
    }

    pub fn reader(&self, address: &Address) -> Result<Reader, Error> {
        let object = Object { store: self.store.clone(), path: self.path(address), carrier: self.carrier.clone() };
        Ok(Reader::of_object(object, self.size(address)?))
    }

    /// Whether an object came so long ago that nobody can be about to need it.
    pub fn is_settled(&self, address: &Address) -> Result<bool, Error> {
        match self.run(self.store.head(&self.path(address))) {
            Err(Error::Missing) => Ok(false),
            found => {
                let age = SystemTime::now().duration_since(found?.last_modified.into());
                Ok(age.is_ok_and(|age| age >= SETTLED))
            }
        }
    }

    /// In the place of what is there: who reads that meanwhile finds other bytes than it began with.
    pub fn put(&self, address: &Address, bytes: Bytes) -> Result<(), Error> {
        self.own()?;
        self.write(self.store.put(&self.path(address), PutPayload::from(bytes))).map(drop)
    }

    /// As [`Self::put`], a file, which is sent in parts.
    pub fn keep(&self, address: &Address, file: &File, size: u64) -> Result<(), Error> {
        self.own()?;
        if size <= PART {
            return self.put(address, piece(file, 0, size)?);
        }
        let part = PART.max(size.div_ceil(10_000));
        match &self.by_parts {
            Some(store) => self.send(&**store, &self.path(address), (file, size, part)),
            None => self.stream(&self.path(address), (file, size, part)),
        }
    }

    /// Sends pieces of a file, each of which but the last is as long as a part. What breaks off is aborted, now or later.
    fn send(&self, store: &dyn MultipartStore, path: &Path, of: (&File, u64, u64)) -> Result<(), Error> {
        let id = self.write(store.create_multipart(path))?;
        let note = self.parts.note(&id, path.as_ref())?;
        let send = || {
            let pieces = pieces(of).enumerate();
            let sent = pieces.map(|(number, piece)| self.write(store.put_part(path, &id, number, piece?.into())));
            let sent = sent.collect::<Result<_, Error>>()?;
            self.write(store.complete_multipart(path, &id, sent)).map(drop)
        };
        match send() {
            Ok(()) => note.over(),
            Err(error) => match self.abort(store, path, &id) {
                Ok(()) => note.over().and(Err(error)),
                Err(_) => Err(error),
            },
        }
    }

    /// As [`Self::send`], where the store itself knows what is under way.
    fn stream(&self, path: &Path, of: (&File, u64, u64)) -> Result<(), Error> {
        let mut parts = self.write(self.store.put_multipart(path))?;
        let mut send = || {
            pieces(of).try_for_each(|piece| self.write(parts.put_part(piece?.into())))?;
            self.write(parts.complete()).map(drop)
        };
        let sent = send();
        if sent.is_err() {
            let _ = self.write(parts.abort());
        }
        sent
    }

    fn abort(&self, store: &dyn MultipartStore, path: &Path, id: &str) -> Result<(), Error> {
        match self.run(store.abort_multipart(path, &id.to_owned())) {
            Err(Error::Missing) => Ok(()),
            aborted => aborted,
        }
    }

    /// Aborts what broke off. Returns how much that was.
    pub fn abort_left(&self) -> Result<usize, Error> {
        let Some(store) = &self.by_parts else { return Ok(0) };
        let left = self.parts.left();
        for one in &left {
            if let (false, Ok(path)) = (one.id.is_empty(), Path::parse(&one.path)) {
                self.own()?;
                self.abort(&**store, &path, &one.id)?;
            }
            self.parts.forget(one)?;
        }
        Ok(left.len())
    }

    pub fn remove(&self, address: &Address) -> Result<(), Error> {
        self.own()?;
        match self.run(self.store.delete(&self.path(address))) {
            Err(Error::Missing) => Ok(()),
            removed => removed,
        }
    }

    /// Asks for page after page, as far as it is gone on with; what fails ends it.
    pub fn on<'a>(&'a self, shelf: &Shelf) -> impl Iterator<Item = Result<Address, Error>> + use<'a> {
        let mut listed = Some(self.store.list(Some(&self.below(shelf.path()))));
        let objects = std::iter::from_fn(move || {
            let next = self.run(listed.as_mut()?.try_next()).transpose();
            listed = listed.take().filter(|_| matches!(next, Some(Ok(_))));
            next
        });
        objects.filter_map(|object| object.map(|object| self.address(&object.location)).transpose())
    }

    fn address(&self, path: &Path) -> Option<Address> {
        let names: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        Address::at(&names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/"))
    }

    /// Data keys under which anything was sealed.
    pub fn seals(&self) -> Result<Vec<SealId>, Error> {
        let listed = self.run(self.store.list_with_delimiter(Some(&self.below(SEALED))))?;
        Ok(listed.common_prefixes.iter().filter_map(|path| SealId::parse(path.filename()?)).collect())
    }
}

/// How a store is spoken to.
struct Ways {
    store: Arc<dyn ObjectStore>,
    by_parts: Option<Arc<dyn MultipartStore>>,
}

impl Ways {
    fn both(store: impl ObjectStore + MultipartStore) -> Self {
        let store = Arc::new(store);
        Self { store: store.clone(), by_parts: Some(store) }
    }
}

/// The store that a URL names, and the path in it.
fn of(url: &url::Url) -> object_store::Result<(Ways, Path)> {
    let (scheme, path) = ObjectStoreScheme::parse(url)?;
    let retry = RetryConfig { max_retries: TRIES, retry_timeout: TRIED_FOR, ..RetryConfig::default() };
    let store = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            Ways::both(AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            Ways::both(GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Ways::both(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(retry).build()?)
        }
        // What is told of must be durable there as well.
        ObjectStoreScheme::Local => Ways { store: Arc::new(LocalFileSystem::new().with_fsync(true)), by_parts: None },
        _ => {
            let source = format!("{} is no bucket's URL: s3://, gs:// and az:// are", url.scheme()).into();
            return Err(object_store::Error::NotSupported { source });
        }
    };
    Ok((store, Path::parse(path)?))
}

fn pieces((file, size, part): (&File, u64, u64)) -> impl Iterator<Item = Result<Bytes, Error>> {
    let starts = (0..size.div_ceil(part)).map(move |number| number * part);
    starts.map(move |at| piece(file, at, part.min(size - at)))
}

fn piece(file: &File, at: u64, length: u64) -> Result<Bytes, Error> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| Error::Full)?];
    file.read_exact_at(&mut bytes, at).map_err(|source| Error::File { path: "an upload".into(), source })?;
    Ok(bytes.into())
}

fn error(error: object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => Error::Missing,
        error => Error::Bucket(error),
    }
}

/// An object that is read.
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    carrier: Arc<Carrier>,
}

impl Object {
    pub fn read(&self, at: u64, most: u64) -> Result<Bytes, Error> {
        self.carrier.run(self.range(at, most)).map_err(error)
    }

    /// The same, by the bucket's own runtime, and what `then` makes of it; `None` when that ends.
    pub fn read_later<F>(&self, at: u64, most: u64, then: F) -> Option<JoinHandle<Result<Bytes, Error>>>
    where
        F: FnOnce(Bytes) -> Result<Bytes, Error> + Send + 'static,
    {
        let range = self.range(at, most);
        Some(self.carrier.0.as_ref()?.spawn(async { then(range.await.map_err(error)?) }))
    }

    fn range(&self, at: u64, most: u64) -> impl Future<Output = object_store::Result<Bytes>> + Send + 'static {
        let (store, path) = (self.store.clone(), self.path.clone());
        let beyond = || object_store::Error::NotFound { path: path.to_string(), source: "nothing is there".into() };
        let range = if most == 0 { Err(beyond()) } else { Ok(at..at + most.min(READ)) };
        async move { store.get_range(&path, range?).await }
    }
}
