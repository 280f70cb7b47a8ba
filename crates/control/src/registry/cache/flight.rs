//! What is being fetched: each once, however many ask for it, and all within bounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::RETRY_AFTER;
use longshore_model::AccountId;
use longshore_services::ecr::content;
use longshore_store::blobs::Digest;
use longshore_wire::Fault;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::super::error::{Code, Refusal};
use super::super::route::Reference;
use super::layer::Coming;
use crate::remote::{self, Served};

/// Manifests that are fetched or imported at one time, and bytes of theirs.
const MANIFESTS: usize = 512;
const ROOM: usize = 64 * 1024 * 1024;

/// Manifests that are asked for at one time: as many as there is room for, were all as large as may be.
const ASKED: usize = ROOM / remote::LARGEST_MANIFEST;

/// Layers that are asked for, and that come, at one time.
const LAYERS: usize = 256;
const COMING: usize = 32;

/// Images that are imported at one time, each some of its layers.
const IMPORTS: usize = 16;

/// How long an upstream that did not answer is not asked about what is here.
const AWAY: Duration = Duration::from_secs(60);

/// For a turn among those who fetch.
const PATIENCE: Duration = Duration::from_secs(60);

/// `REGISTRY/NAME:TAG`, `REGISTRY/NAME@DIGEST`
pub(super) fn key(registry: &AccountId, name: &str, reference: &Reference) -> String {
    match reference {
        Reference::Digest(digest) => digest_key(registry, name, digest),
        Reference::Tag(tag) | Reference::NoTag(tag) => format!("{registry}/{name}:{tag}"),
    }
}

pub(super) fn digest_key(registry: &AccountId, name: &str, digest: &Digest) -> String {
    format!("{registry}/{name}@{digest}")
}

/// A manifest that was fetched, verified and understood.
pub(in super::super) struct Manifest {
    pub served: Served,
    pub read: content::Manifest,
    _room: OwnedSemaphorePermit,
}

/// Why something was not had.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("The upstream registry {0}")]
    Remote(Arc<remote::Error>),
    /// What the rule says does not hold any more.
    #[error("The pull through cache rule cannot be used: {0}")]
    Rule(String),
    #[error("Too much is being fetched from upstream registries")]
    Busy,
    #[error("What was fetched could not be kept: {0}")]
    Local(Arc<Fault>),
    #[error("the repository cannot be made")]
    Refused(Refusal),
}

impl From<remote::Error> for Failure {
    fn from(error: remote::Error) -> Self {
        Self::Remote(Arc::new(error))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Local(Arc::new(fault))
    }
}

impl Failure {
    /// Whether the upstream did not answer as it should, and may before long.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Remote(error) if error.passes())
    }

    /// Whether the upstream says that it does not have it.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Remote(error) if matches!(**error, remote::Error::NotFound { .. }))
    }

    /// In the words of the distribution specification; `missing` for what the upstream does not have.
    pub fn refusal(&self, missing: Code) -> Refusal {
        let words = self.to_string();
        match self {
            Self::Remote(error) => of_remote(error, missing, words),
            Self::Rule(_) => Refusal::new(Code::Denied, words),
            Self::Busy => Refusal::new(Code::TooManyRequests, words).with(RETRY_AFTER, "10"),
            Self::Local(fault) => Refusal::from(Fault::clone(fault)),
            Self::Refused(refusal) => refusal.clone(),
        }
    }
}

fn of_remote(error: &remote::Error, missing: Code, words: String) -> Refusal {
    match error {
        remote::Error::NotFound { .. } => Refusal::new(missing, words),
        // Not 401: the client's own login is good.
        remote::Error::Denied { .. } => Refusal::new(Code::Denied, words),
        remote::Error::TooMany { wait, .. } => {
            let wait = wait.unwrap_or(AWAY).as_secs().clamp(1, 3600).to_string();
            Refusal::new(Code::TooManyRequests, words).with(RETRY_AFTER, wait)
        }
        _ if error.passes() => Refusal::new(Code::Unavailable, words),
        _ => Refusal::new(Code::Unknown, words).at(StatusCode::BAD_GATEWAY),
    }
}

/// One manifest on its way. All who ask for it have the same.
pub(super) struct Flight {
    cell: OnceCell<Result<Option<Arc<Manifest>>, Failure>>,
    is_imported: AtomicBool,
}

impl Flight {
    /// What `fetch` brought, which whoever comes first carries out.
    pub async fn fetched<F>(&self, fetch: impl FnOnce() -> F) -> Result<Option<Arc<Manifest>>, Failure>
    where
        F: Future<Output = Result<Option<Arc<Manifest>>, Failure>>,
    {
        self.cell.get_or_init(fetch).await.clone()
    }

    /// Whether the caller is the one who imports it.
    pub fn begins(&self) -> bool {
        !self.is_imported.swap(true, Ordering::Relaxed)
    }
}

/// Everything that is on its way.
pub(crate) struct Cache {
    manifests: Mutex<HashMap<String, Arc<Flight>>>,
    layers: Mutex<HashMap<String, Arc<Coming>>>,
    /// Upstreams that did not answer, by host, and when.
    away: Mutex<HashMap<String, Instant>>,
    room: Arc<Semaphore>,
    asked: Semaphore,
    coming: Semaphore,
    imports: Semaphore,
}

impl Cache {
    pub fn new() -> Self {
        Self {
            manifests: Mutex::default(),
            layers: Mutex::default(),
            away: Mutex::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            asked: Semaphore::new(ASKED),
            coming: Semaphore::new(COMING),
            imports: Semaphore::new(IMPORTS),
        }
    }

    /// The flight of a manifest, which begins if there is none.
    ///
    /// # Errors
    /// [`Failure::Busy`]
    pub(super) fn manifest(&self, key: &str) -> Result<Arc<Flight>, Failure> {
        let mut manifests = self.manifests.lock();
        if let Some(flight) = manifests.get(key) {
            return Ok(flight.clone());
        }
        if manifests.len() >= MANIFESTS {
            return Err(Failure::Busy);
        }
        let flight = Arc::new(Flight { cell: OnceCell::new(), is_imported: AtomicBool::new(false) });
        manifests.insert(key.to_owned(), flight.clone());
        Ok(flight)
    }

    /// Has those who ask for a manifest by its digest have what was fetched by a tag.
    pub(super) fn alias(&self, key: &str, flight: &Arc<Flight>) {
        self.manifests.lock().entry(key.to_owned()).or_insert_with(|| flight.clone());
    }

    /// The next who asks begins another flight.
    pub(super) fn forget(&self, key: &str, flight: &Arc<Flight>) {
        let mut manifests = self.manifests.lock();
        if manifests.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            manifests.remove(key);
        }
    }

    /// As [`forget`](Self::forget), unless somebody else has the flight too.
    pub(super) fn leave(&self, key: &str, flight: &Arc<Flight>) {
        let mut manifests = self.manifests.lock();
        let is_alone = Arc::strong_count(flight) == 2;
        if is_alone && manifests.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            manifests.remove(key);
        }
    }

    /// The flight of a layer; `true` if it is the caller's to begin.
    ///
    /// # Errors
    /// [`Failure::Busy`]
    pub(super) fn layer(&self, key: &str) -> Result<(Arc<Coming>, bool), Failure> {
        let mut layers = self.layers.lock();
        if let Some(coming) = layers.get(key) {
            return Ok((coming.clone(), false));
        }
        if layers.len() >= LAYERS {
            return Err(Failure::Busy);
        }
        let coming = Arc::new(Coming::new());
        layers.insert(key.to_owned(), coming.clone());
        Ok((coming, true))
    }

    pub(super) fn forget_layer(&self, key: &str) {
        self.layers.lock().remove(key);
    }

    /// A manifest, as long as there is room for it.
    pub(super) fn kept(&self, served: Served, read: content::Manifest) -> Result<Arc<Manifest>, Failure> {
        let bytes = u32::try_from(served.bytes.len()).map_err(|_| Failure::Busy)?;
        let room = self.room.clone().try_acquire_many_owned(bytes).map_err(|_| Failure::Busy)?;
        Ok(Arc::new(Manifest { served, read, _room: room }))
    }

    pub(super) async fn turn_to_ask(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        turn(&self.asked).await
    }

    pub(super) async fn turn_to_come(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        turn(&self.coming).await
    }

    /// Imports wait as long as it takes: nobody waits for them.
    pub(super) async fn turn_to_import(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.imports.acquire().await.ok()
    }

    pub(super) fn is_away(&self, host: &str) -> bool {
        self.away.lock().get(host).is_some_and(|since| since.elapsed() < AWAY)
    }

    pub(super) fn note_away(&self, host: &str) {
        let mut away = self.away.lock();
        away.retain(|_, since| since.elapsed() < AWAY);
        away.insert(host.to_owned(), Instant::now());
    }
}

async fn turn(of: &Semaphore) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
    match tokio::time::timeout(PATIENCE, of.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Failure::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_error(error: remote::Error) -> Refusal {
        Failure::from(error).refusal(Code::ManifestUnknown)
    }

    #[test]
    fn what_an_upstream_refuses_is_told_in_the_words_of_the_specification() {
        let (host, said) = (|| "up.test".to_owned(), || "no".to_owned());
        let refusal = of_error(remote::Error::NotFound { host: host(), what: "a:1".to_owned() });
        assert_eq!((refusal.code, refusal.status.as_u16()), (Code::ManifestUnknown, 404));
        let refusal = of_error(remote::Error::Denied { host: host(), status: StatusCode::UNAUTHORIZED, said: said() });
        assert_eq!((refusal.code, refusal.status.as_u16()), (Code::Denied, 403));
        let wait = Some(Duration::from_secs(7));
        let refusal = of_error(remote::Error::TooMany { host: host(), said: said(), wait });
        assert_eq!((refusal.code, refusal.status.as_u16()), (Code::TooManyRequests, 429));
        assert_eq!(refusal.answer().headers()[RETRY_AFTER], "7");
        let refusal = of_error(remote::Error::Late { host: host() });
        assert_eq!((refusal.code, refusal.status.as_u16()), (Code::Unavailable, 503));
        let refusal = of_error(remote::Error::Wrong { host: host(), what: "lies".to_owned() });
        assert_eq!((refusal.code, refusal.status.as_u16()), (Code::Unknown, 502));
    }

    #[tokio::test]
    async fn those_who_ask_at_once_have_one_flight() {
        let cache = Arc::new(Cache::new());
        let fetched = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let ask = || {
            let (cache, fetched) = (cache.clone(), fetched.clone());
            tokio::spawn(async move {
                let flight = cache.manifest("k").unwrap();
                let fetch = || async {
                    fetched.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Err(Failure::Busy)
                };
                (flight.fetched(fetch).await.is_err(), flight.begins())
            })
        };
        let asking: Vec<_> = (0..20).map(|_| ask()).collect();
        let mut beginners = 0;
        for one in asking {
            let (failed, begins) = one.await.unwrap();
            assert!(failed);
            beginners += usize::from(begins);
        }
        assert_eq!((fetched.load(Ordering::Relaxed), beginners), (1, 1));
        let old = cache.manifest("k").unwrap();
        cache.forget("k", &old);
        assert!(!Arc::ptr_eq(&old, &cache.manifest("k").unwrap()));
    }

    #[test]
    fn what_is_on_its_way_has_bounds() {
        let cache = Cache::new();
        for number in 0..MANIFESTS {
            cache.manifest(&number.to_string()).unwrap();
        }
        assert!(matches!(cache.manifest("more"), Err(Failure::Busy)) && cache.manifest("0").is_ok());
        for number in 0..LAYERS {
            assert!(cache.layer(&number.to_string()).unwrap().1);
        }
        assert!(cache.layer("more").is_err() && !cache.layer("0").unwrap().1);
        cache.note_away("a");
        assert!(cache.is_away("a") && !cache.is_away("b"));
    }
}
