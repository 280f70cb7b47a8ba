//! Images: brought from registries and archives into containerd, kept there, and handed to the supervisor as directories.
//!
//! ```text
//!   ensure(reference) ──► record in containerd? ── yes ──► loaded before? ── yes ──► Image      (one call, < 1 ms)
//!          │ no                                                  │ no
//!          ▼                                                     ▼
//!        pull: resolve ──► fetch, inspect ──► unpack ──► record ──► load: configuration, view of the topmost snapshot
//! ```
//!
//! A tag may move. As on Fargate, the registry is asked each time where a tag that was pulled leads now, and what is new
//! is pulled. It is not asked about a digest, nor about an image that was imported; and when it cannot be reached, the
//! image that is here is used. One that was pulled with credentials is private: the registry is asked about its digest as
//! well, whether it lets the caller in, and when it cannot be asked, callers without credentials are not given it. What is in
//! ECR is not given then but to whom ECR has let in before.
//!
//! A container needs no snapshot of its own: the supervisor mounts an overlay with its own upper directory over the
//! snapshots of the image. One read-only view an image, under a lease, tells the directories of those snapshots and
//! keeps them; what is known of an image is remembered by digest, never by tag.
//!
//! What nobody uses any more goes by itself, see [`Cleanup`].
//!
//! Left out: pushing, building, lazy snapshots, and encrypted or foreign layers, which are refused.

mod archive;
mod auth;
mod collect;
mod config;
mod credentials;
mod document;
mod ecr;
mod error;
mod hold;
mod in_use;
mod inspect;
pub mod local;
mod reference;
mod registry;
pub mod remote;
mod retry;
mod source;
mod store;
mod transfer;
mod writer;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use containerd_client::services::v1::Image as Record;
use containerd_client::tonic::transport::Channel;
use futures_util::future::{BoxFuture, FutureExt, Shared};

pub use auth::Auth;
pub use collect::Cleanup;
pub use config::ImageConfig;
pub use document::Digest;
pub use ecr::Ecr;
pub use error::Error;
pub use hold::Hold;
pub use reference::Name;
pub use retry::Retry;
pub use transfer::{OnProgress, Progress};

use archive::Archive;
use credentials::Credentials;
use document::Descriptor;
use hold::Holds;
use registry::Registry;
use source::{Resolved, Source};
use store::Store;
use transfer::MANIFEST_LABEL;

/// How long a pull may take in all, as the ECS agent has it.
const PULL_WITHIN: Duration = Duration::from_secs(2 * 3600);
/// How long a registry may take to say where a tag leads that is here already.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long the lease of a pull lives, should nobody be left to delete it.
const LEASE: Duration = Duration::from_secs(3 * 3600);
/// What the ECS agent calls the step in which a name is resolved.
const RESOLVE: &str = "pull image manifest";
/// Most that are remembered to have been let in to an image of ECR; then all are forgotten.
const MOST_ADMITTED: usize = 4096;
/// What the leases of views begin with.
const VIEW: &str = "longshore-view-";

/// An image that is here and unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Full name: `docker.io/library/nginx:latest`.
    pub reference: String,
    /// What the name leads to: the digest of the manifest, or of the index where the registry has one under this name.
    pub digest: Digest,
    /// The manifest of this machine's platform.
    pub manifest: Digest,
    /// What its containers run by default.
    pub config: ImageConfig,
    /// Lower directories of an overlay, uppermost first; at least one.
    pub lowers: Vec<PathBuf>,
}

/// One line of `longshore image list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name as a user writes it: `nginx:latest`.
    pub name: String,
    /// Full name.
    pub reference: String,
    /// What the name leads to.
    pub digest: Digest,
    /// Bytes of the compressed layers and the configuration.
    pub size_bytes: u64,
    /// When the record was made.
    pub created_at: SystemTime,
}

/// The images of a node. Clones share everything.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

struct Inner {
    store: Store,
    retry: Retry,
    credentials: Option<Credentials>,
    ecr: Option<Ecr>,
    loaded: Mutex<HashMap<Digest, Image>>,
    pulls: Mutex<HashMap<(Name, Auth), Pull>>,
    holds: Holds,
    /// Who was let in to which image of ECR.
    admitted: Mutex<HashSet<(Name, Auth)>>,
    /// Closed while an image is let go: what is looked for then would be gone when it is found.
    gate: tokio::sync::RwLock<()>,
}

/// An image that is here, and the record that leads to it.
struct Found {
    image: Image,
    record: Record,
}

impl Found {
    /// Whether it came by a pull.
    fn is_pulled(&self) -> bool {
        transfer::is_pulled(&self.record)
    }

    /// Whether whoever asks for `name` may have it without a word from a registry.
    fn is_open(&self, name: &Name) -> bool {
        !self.is_pulled() || name.tag().is_none() && !transfer::is_private(&self.record)
    }
}

/// A lease that keeps what a transfer brings, and the services under it.
struct Lease {
    id: String,
    store: Store,
}

/// A pull that all callers of the same reference with the same credentials wait for.
type Pull = Shared<BoxFuture<'static, Result<Image, Error>>>;

impl Images {
    /// The images in the containerd behind `channel`.
    pub fn new(channel: Channel) -> Self {
        Self::with_retry(channel, Retry::default())
    }

    /// As `new`, with another patience.
    pub fn with_retry(channel: Channel, retry: Retry) -> Self {
        Self::open(Store::new(channel), retry, None, None)
    }

    /// These images, pulled with the credentials in `file` where a caller has none: `{"auths": {HOST: {"auth": BASE64}}}`
    /// of `user:password`, as in Docker's `config.json`. It is read at each pull; there need not be one.
    pub fn with_credentials(self, file: PathBuf) -> Self {
        Self::open(self.0.store.clone(), self.0.retry, Some(Credentials::new(file)), self.0.ecr.clone())
    }

    /// These images, those of this installation's ECR among them.
    pub fn with_ecr(self, ecr: Ecr) -> Self {
        Self::open(self.0.store.clone(), self.0.retry, self.0.credentials.clone(), Some(ecr))
    }

    fn open(store: Store, retry: Retry, credentials: Option<Credentials>, ecr: Option<Ecr>) -> Self {
        let (loaded, pulls, holds) = (Mutex::default(), Mutex::default(), Holds::default());
        let (admitted, gate) = (Mutex::default(), tokio::sync::RwLock::default());
        Self(Arc::new(Inner { store, retry, credentials, ecr, loaded, pulls, holds, admitted, gate }))
    }

    /// Whether `reference` is the name of an image in ECR.
    pub fn is_of_ecr(&self, reference: &str) -> bool {
        Name::parse(reference).is_ok_and(|name| self.is_in_ecr(&name))
    }

    /// The registry of `name`, for one caller.
    fn registry(&self, name: &Name, auth: &Auth) -> Result<Registry, Error> {
        let ecr = self.0.ecr.as_ref();
        let own = ecr.and_then(|ecr| Some((ecr.endpoint(), ecr.called(name.registry())?)));
        Registry::new(name.clone(), auth.clone(), own)
    }

    /// The image of `reference`, pulled if it is not here or if its tag leads elsewhere by now. Callers at the same time
    /// share one pull, and the first one's `on_progress` hears of it.
    ///
    /// # Errors
    /// `Reference` for a bad reference, `Credentials` for a bad file of those, `Retried` with the reason when a pull is
    /// given up or the registry no longer has or gives the tag; `Error::stopped_reason` has the words of ECS.
    pub async fn ensure(
        &self,
        reference: &str,
        auth: &Auth,
        on_progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Image, Error> {
        let name = Name::parse(reference)?;
        let here = self.find_patiently(&name).await?;
        if let Some(found) = here.as_ref().filter(|found| found.is_pulled()) {
            self.note_use(&found.record).await;
        }
        if let Some(found) = here.as_ref().filter(|found| found.is_open(&name)) {
            return Ok(found.image.clone());
        }
        let auth = self.auth(&name, auth).await?;
        let image = match here {
            Some(found) if self.is_current(&name, &auth, &found).await? => found.image,
            _ => self.shared_pull(name.clone(), auth.clone(), Box::new(on_progress)).await?,
        };
        self.admit(name, auth);
        Ok(image)
    }

    /// The image of `reference` as the registry has it now, whether or not it is here.
    ///
    /// # Errors
    /// As `ensure`.
    pub async fn pull(
        &self,
        reference: &str,
        auth: &Auth,
        on_progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Image, Error> {
        let name = Name::parse(reference)?;
        let auth = self.auth(&name, auth).await?;
        self.shared_pull(name, auth, Box::new(on_progress)).await
    }

    /// The image of `reference`, if it is here.
    ///
    /// # Errors
    /// `Reference` for a bad reference, `Containerd` when containerd does not answer.
    pub async fn get(&self, reference: &str) -> Result<Option<Image>, Error> {
        Ok(self.find(&Name::parse(reference)?).await?.map(|found| found.image))
    }

    /// Imports an archive (an OCI layout in a tar, or a `docker save`; gzipped or not) as `tag`, else as the name it
    /// gives itself. What was imported under that name before keeps its digest as a name.
    ///
    /// # Errors
    /// `Archive`, `Malformed` or `Mismatch` for what is wrong with it, or when neither names it; `Reference` for a bad name.
    pub async fn import(&self, path: &Path, tag: Option<&str>) -> Result<Image, Error> {
        let given = tag.map(Name::parse).transpose()?;
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Archive::open(&path)).await;
        let archive = opened.map_err(|error| Error::Archive(error.to_string()))??;
        let name = match given {
            Some(name) => name,
            None => own_name(&archive)?,
        };
        let source = Source::Archive(archive);
        let resolved = source.resolve(&name).await?;
        if name.digest().is_some_and(|digest| digest != &resolved.target().digest) {
            return Err(Error::Mismatch(name.to_string()));
        }
        let kept = self.keep(&name, &resolved.target().digest).await?;
        let lease = self.begin_lease().await?;
        let result = transfer::run(&lease.store, &source, &resolved, &name.to_string(), &|_| {}).await;
        if let (Err(_), Some(kept)) = (&result, kept) {
            self.0.store.delete_image(&kept).await?;
        }
        self.end_lease(lease, result).await?;
        let found = self.find(&name).await?.ok_or_else(|| Error::NotFound(name.to_string()))?;
        Ok(found.image)
    }

    /// Before `name` is made to lead to `new`: an imported image it leads to so far stays under its digest, because
    /// deployments may keep to it, and no registry has it. Returns the name it stays under.
    async fn keep(&self, name: &Name, new: &Digest) -> Result<Option<String>, Error> {
        let record = self.0.store.image(&name.to_string()).await?.filter(|record| !transfer::is_pulled(record));
        let Some(Record { target: Some(old), labels, .. }) = record else { return Ok(None) };
        let digest = Digest::parse(&old.digest)?;
        if &digest == new {
            return Ok(None);
        }
        let own = name.by_digest(digest.clone()).to_string();
        let size = u64::try_from(old.size).unwrap_or_default();
        let target = Descriptor { media_type: old.media_type, digest, size };
        self.0.store.put_image(&own, &target, labels).await?;
        Ok(Some(own))
    }

    /// All images, by name.
    ///
    /// # Errors
    /// `Containerd` when containerd does not answer.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut listed = Vec::new();
        for record in self.0.store.list_images().await? {
            if let Some(line) = self.line(&record).await? {
                listed.push(line);
            }
        }
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(listed)
    }

    async fn line(&self, record: &Record) -> Result<Option<Listed>, Error> {
        let Some(digest) = target(record) else {
            return Ok(None);
        };
        let resolved = Source::Store(self.0.store.clone()).resolve_digest(&digest).await;
        let size = |resolved: Resolved| {
            let layers: u64 = resolved.manifest.layers.iter().map(|layer| layer.size).sum();
            layers + resolved.manifest.config.size
        };
        let seconds = record.created_at.as_ref().and_then(|time| u64::try_from(time.seconds).ok()).unwrap_or_default();
        Ok(Some(Listed {
            name: Name::parse(&record.name).map_or_else(|_| record.name.clone(), |name| name.familiar()),
            reference: record.name.clone(),
            digest,
            size_bytes: resolved.map(size).unwrap_or_default(),
            created_at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        }))
    }

    /// Removes the name `reference`. The content goes when no other name has it and no task runs on it; if
    /// one is, `prune` takes it later.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub async fn remove(&self, reference: &str) -> Result<(), Error> {
        let name = Name::parse(reference)?.to_string();
        if !self.0.store.delete_image(&name).await? {
            return Err(Error::NotFound(name));
        }
        self.prune().await.map(drop)
    }
}

/// Finding what is here.
impl Images {
    /// As `find`, also while containerd is being started again.
    async fn find_patiently(&self, name: &Name) -> Result<Option<Found>, Error> {
        Retry::LOOKUP.run("image lookup", || self.find(name)).await
    }

    async fn find(&self, name: &Name) -> Result<Option<Found>, Error> {
        let _open = self.0.gate.read().await;
        let record = match self.0.store.image(&name.to_string()).await? {
            Some(record) => Some(record),
            None => self.find_sibling(name).await?,
        };
        let Some((record, digest)) = record.and_then(|record| target(&record).map(|digest| (record, digest))) else {
            return Ok(None);
        };
        Ok(self.load(name, &digest).await?.map(|image| Found { image, record }))
    }

    /// The record of another name in the same repository that leads to the digest of `name`: content is not lent from
    /// one repository to another, because who may pull the one need not be let into the other.
    async fn find_sibling(&self, name: &Name) -> Result<Option<Record>, Error> {
        let Some(digest) = name.digest() else {
            return Ok(None);
        };
        let leads = |record: &Record| {
            let manifest = record.labels.get(MANIFEST_LABEL).is_some_and(|manifest| manifest == digest.as_str());
            let sibling = Name::parse(&record.name).is_ok_and(|other| other.is_sibling(name));
            sibling && (manifest || target(record).as_ref() == Some(digest))
        };
        Ok(self.0.store.list_images().await?.into_iter().find(leads))
    }

    /// What is known of the image with this digest; `None` when some of it is missing.
    async fn load(&self, name: &Name, digest: &Digest) -> Result<Option<Image>, Error> {
        if let Some(mut image) = lock(&self.0.loaded).get(digest).filter(|image| is_intact(image)).cloned() {
            image.reference = name.to_string();
            return Ok(Some(image));
        }
        match self.load_anew(name, digest).await {
            Ok(image) => {
                lock(&self.0.loaded).insert(digest.clone(), image.clone());
                Ok(Some(image))
            }
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn load_anew(&self, name: &Name, digest: &Digest) -> Result<Image, Error> {
        let source = Source::Store(self.0.store.clone());
        let resolved = source.resolve_digest(digest).await?;
        let bytes = source.small(&resolved.manifest.config).await?;
        let config = config::parse(&bytes, resolved.manifest.layers.len())?;
        if !config.architecture.is_empty() && config.architecture != document::architecture() {
            tracing::warn!(image = %name, architecture = config.architecture, "the image is for another architecture");
        }
        let top = config::chain(&config.layers).pop().map(|top| top.to_string()).unwrap_or_default();
        if !top.is_empty() && !self.0.store.has_snapshot(&top).await? {
            let lease = self.begin_lease().await?;
            let result = transfer::run(&lease.store, &source, &resolved, &name.to_string(), &|_| {}).await;
            self.end_lease(lease, result).await?;
        }
        let lowers = self.view(&top).await?;
        let manifest = resolved.written.0.digest;
        Ok(Image { reference: name.to_string(), digest: digest.clone(), manifest, config: config.config, lowers })
    }

    /// The lower directories of the snapshot `chain` (empty: of an image without layers), kept by a view under a lease
    /// of the same name.
    async fn view(&self, chain: &str) -> Result<Vec<PathBuf>, Error> {
        let id = collect::view_id(chain);
        let store = self.0.store.under(&id);
        store.create_lease(&id, None).await?;
        let mounts = store.view(&id, chain).await?;
        store::lower_directories(&mounts)
    }
}

/// Bringing what is not.
impl Images {
    /// The credentials to use: the caller's, else the node's.
    async fn auth(&self, name: &Name, given: &Auth) -> Result<Auth, Error> {
        match (&self.0.credentials, given) {
            (Some(credentials), Auth::Anonymous) => credentials.find(name.registry()).await,
            _ => Ok(given.clone()),
        }
    }

    /// Remembers that ECR has let a caller in. (Whoever has none of another registry's credentials is told from one who has;
    /// in ECR all have some.)
    fn admit(&self, name: Name, auth: Auth) {
        if self.is_in_ecr(&name) {
            let mut admitted = lock(&self.0.admitted);
            if admitted.len() >= MOST_ADMITTED {
                admitted.clear();
            }
            admitted.insert((name, auth));
        }
    }

    fn is_in_ecr(&self, name: &Name) -> bool {
        self.0.ecr.as_ref().is_some_and(|ecr| ecr.has(name.registry()))
    }

    /// Whether `name` still leads to what was found in its registry. A registry that cannot be reached leaves it at that,
    /// unless the image is private and the caller has nothing to show; one that refuses does not. ECR leaves it at that for
    /// whom it has let in; for others it must be pulled.
    async fn is_current(&self, name: &Name, auth: &Auth, found: &Found) -> Result<bool, Error> {
        let image = &found.image;
        let is_in_ecr = self.is_in_ecr(name);
        let trusted = match is_in_ecr {
            true => lock(&self.0.admitted).contains(&(name.clone(), auth.clone())),
            false => *auth != Auth::Anonymous || !transfer::is_private(&found.record),
        };
        let registry = self.registry(name, auth)?;
        let version = name.version();
        match tokio::time::timeout(ASK_WITHIN, registry.digest(&version))
            .await
            .unwrap_or_else(|_| Err(unanswered(name)))
        {
            Ok(digest) => Ok(digest == image.digest),
            Err(reason @ Error::Registry { .. }) if trusted => {
                tracing::warn!(image = %name, digest = %image.digest, %reason, "its registry cannot be asked; the image that is here is used");
                Ok(true)
            }
            Err(Error::Registry { .. }) if is_in_ecr => Ok(false),
            Err(reason) => {
                lock(&self.0.admitted).remove(&(name.clone(), auth.clone()));
                let reason = Box::new(unresolved(name, reason));
                Err(Error::Retried { step: RESOLVE, tries: 1, reason })
            }
        }
    }

    /// Joins the pull of `name` that is under way, or begins one.
    async fn shared_pull(&self, name: Name, auth: Auth, on_progress: Box<OnProgress>) -> Result<Image, Error> {
        let key = (name, auth);
        let pull = {
            let mut pulls = lock(&self.0.pulls);
            pulls.retain(|_, pull| pull.peek().is_none() && pull.strong_count().is_some_and(|count| count > 1));
            let begin = || self.clone().pull_anew(key.0.clone(), key.1.clone(), on_progress).boxed().shared();
            pulls.entry(key.clone()).or_insert_with(begin).clone()
        };
        pull.await
    }

    async fn pull_anew(self, name: Name, auth: Auth, on_progress: Box<OnProgress>) -> Result<Image, Error> {
        let begun = std::time::Instant::now();
        let late = |_| Error::TooLong(PULL_WITHIN.as_secs());
        tokio::time::timeout(PULL_WITHIN, self.transfer(&name, auth, &*on_progress)).await.map_err(late)??;
        let found = self.find_patiently(&name).await?;
        let image = found.ok_or_else(|| Error::NotFound(name.to_string()))?.image;
        tracing::info!(image = %name, digest = %image.digest, milliseconds = begun.elapsed().as_millis() as u64, "pulled");
        Ok(image)
    }

    async fn transfer(&self, name: &Name, auth: Auth, on_progress: &OnProgress) -> Result<(), Error> {
        let source = Source::Registry(self.registry(name, &auth)?);
        let retry = &self.0.retry;
        let resolve = || async { source.resolve(name).await.map_err(|reason| unresolved(name, reason)) };
        let resolved = retry.run(RESOLVE, resolve).await?;
        let record = name.to_string();
        let begin = || self.begin_lease();
        let lease = retry.run("ref pull", begin).await?;
        let transfer = || transfer::run(&lease.store, &source, &resolved, &record, on_progress);
        let result = retry.run("ref pull", transfer).await;
        self.end_lease(lease, result).await
    }

    /// Makes a lease for a transfer.
    async fn begin_lease(&self) -> Result<Lease, Error> {
        let id = transfer::unique("longshore-transfer");
        self.0.store.create_lease(&id, Some(LEASE)).await?;
        Ok(Lease { store: self.0.store.under(&id), id })
    }

    /// Deletes the lease of a transfer that had this result. After a failure that may pass it is left to its end, so that
    /// the next transfer finds what this one has brought.
    async fn end_lease(&self, lease: Lease, result: Result<(), Error>) -> Result<(), Error> {
        if !result.as_ref().is_err_and(Error::is_retryable)
            && let Err(error) = self.0.store.delete_lease(&lease.id, false).await
        {
            tracing::warn!(%error, lease = lease.id, "could not delete the lease of a transfer; it ends by itself");
        }
        result
    }
}

fn unanswered(name: &Name) -> Error {
    let message = format!("{} did not answer within {} seconds", name.registry(), ASK_WITHIN.as_secs());
    Error::Registry { message, retryable: true }
}

fn unresolved(name: &Name, reason: Error) -> Error {
    Error::Unresolved { reference: name.to_string(), reason: Box::new(reason) }
}

/// Whether the directories of an image are still there: somebody else may have removed it and brought it again.
fn is_intact(image: &Image) -> bool {
    image.lowers.iter().all(|lower| lower.is_dir())
}

fn target(record: &Record) -> Option<Digest> {
    Digest::parse(&record.target.as_ref()?.digest).ok()
}

/// The name an archive gives its image.
fn own_name(archive: &Archive) -> Result<Name, Error> {
    let annotated = match document::parse(&archive.index, None)? {
        document::Document::Index(index) => ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
            .iter()
            .find_map(|annotation| index.annotation(annotation).map(str::to_owned)),
        document::Document::Manifest(_) => None,
    };
    let name = archive.name.clone().or(annotated);
    let none = || Error::Archive("it does not name its image; choose a name with --tag".to_owned());
    Name::parse(&name.ok_or_else(none)?)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
