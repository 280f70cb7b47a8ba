//! Pushing an image to a peer: its manifest, and what that needs, if the peer says that it lacks something.
//!
//! ```text
//!     PUT manifest ──► 201
//!        └ MANIFEST_BLOB_UNKNOWN ──► layers, images that it lists ──► PUT manifest
//!     then PUT manifest by each tag that was set since, and still leads to the image
//! ```

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use longshore_model::registry::{Digest, Image, Repository, content_key, tag_key};
use longshore_model::{AccountId, State};
use longshore_plan::replicate::{Errand, Outcome};
use longshore_services::ecr::seal;
use longshore_store::blobs::{self, Blobs};
use longshore_wire::{Fault, Timestamp};
use reqwest::Url;

use super::peers::Peer;
use super::{HEADER, Tried};
use crate::remote::{Ask, Error, LARGEST_MANIFEST, Remote};
use crate::{Server, clock};

/// What ECR says of a registry that does not let an account copy to it.
const DENIED: &str = "DESTINATION_REGISTRY_ACCESS_DENIED";
const UNAVAILABLE: &str = "DESTINATION_REGISTRY_UNAVAILABLE";
const NOT_FOUND: &str = "DESTINATION_REGISTRY_NOT_FOUND";
const REFUSED: &str = "DESTINATION_REGISTRY_REFUSED";
const INCOMPLETE: &str = "SOURCE_IMAGE_INCOMPLETE";
const KEY: &str = "SOURCE_KEY_UNAVAILABLE";
const INTERNAL: &str = "INTERNAL_FAILURE";

/// What a registry says of an image that it will not take later either.
const FINAL: &[&str] = &["MANIFEST_INVALID", "NAME_INVALID", "UNSUPPORTED"];

/// Indexes list indexes no deeper, as they were pushed here.
const DEEPEST: usize = 6;

/// Why an image is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Remote(#[from] Error),
    /// Its bytes cannot be read here.
    #[error("the image cannot be read: {0}")]
    Local(#[from] blobs::Error),
    /// They are sealed, under a key that cannot be used.
    #[error("{}", .0.message)]
    Key(Fault),
    /// An index of an upstream registry, of which not all was fetched.
    #[error("{0} lists images that were not fetched from upstream")]
    Incomplete(String),
    #[error("its indexes are too deep")]
    Deep,
    #[error("{0}")]
    Other(String),
}

/// What came of one that ended as it must not.
pub(super) fn broken() -> Outcome {
    Outcome::Failed { code: INTERNAL, why: "the replication broke off because of a failure of the registry".to_owned() }
}

/// One image, on its way to one peer.
pub(super) struct Push<'a> {
    pub server: &'a Arc<Server>,
    pub peer: &'a Peer,
    pub remote: &'a Remote,
    pub repository: Arc<Repository>,
    /// The value of [`HEADER`].
    header: String,
    /// Tags that were set since then go with it.
    since: Timestamp,
}

/// What is to be copied, as the records have it.
struct Load {
    version: i64,
    since: Timestamp,
    image: Arc<Image>,
    repository: Arc<Repository>,
}

/// Copies an image as an errand says; what is there already stays.
pub(super) async fn carry(server: &Arc<Server>, errand: &Errand) -> Tried {
    let (load, revision) = {
        let state = server.store.read();
        (load(&state, errand), state.revision())
    };
    // What is not durable here must not be there.
    if server.store.durable(revision).await.is_err() {
        return Tried::Ended(i64::MAX, broken());
    }
    match load {
        Some(load) => Tried::Ended(load.version, bring(server, errand, load).await),
        None => Tried::Gone,
    }
}

fn load(state: &State, errand: &Errand) -> Option<Load> {
    let row = state.image_replications.get(&errand.key)?;
    let since = row.replica(&errand.to)?.since;
    let image = state.images.get(&errand.key)?.clone();
    let repository = state.repository_of(&row.repository)?.clone();
    if !state.replicates(&repository, &errand.to) {
        return None;
    }
    Some(Load { version: row.version, since, image, repository })
}

async fn bring(server: &Arc<Server>, errand: &Errand, load: Load) -> Outcome {
    let Some(peer) = server.peer(&errand.to) else {
        let why = "the operator has not said where the registry is".to_owned();
        return Outcome::Failed { code: NOT_FOUND, why };
    };
    let remote = match peer.sign_in().await {
        Ok(remote) => remote,
        Err(error) => return not_let_in(&error),
    };
    let header = format!("{} {}", load.repository.account, errand.to);
    let Load { since, image, repository, .. } = load;
    let push = Push { server, peer: &peer, remote: &remote, repository, header, since };
    match push.all(&image).await {
        Ok(()) => Outcome::Complete,
        Err(failure) => failed(&peer, &failure).await,
    }
}

/// There is no token: the key is not one that the peer knows, or may not have any.
fn not_let_in(error: &Error) -> Outcome {
    let why = error.to_string();
    match error {
        Error::Denied { .. } => Outcome::Refused { code: DENIED, why },
        Error::Status { status, .. } if status.is_client_error() && !error.passes() => {
            Outcome::Refused { code: DENIED, why }
        }
        _ => Outcome::Failed { code: UNAVAILABLE, why },
    }
}

async fn failed(peer: &Peer, failure: &Failure) -> Outcome {
    let why = failure.to_string();
    let error = match failure {
        Failure::Remote(error) => error,
        Failure::Incomplete(_) => return Outcome::Refused { code: INCOMPLETE, why },
        Failure::Deep => return Outcome::Refused { code: REFUSED, why },
        Failure::Key(_) => return Outcome::Failed { code: KEY, why },
        Failure::Local(_) | Failure::Other(_) => return Outcome::Failed { code: INTERNAL, why },
    };
    match error {
        Error::Denied { status: StatusCode::UNAUTHORIZED, .. } => {
            peer.sign_out().await;
            Outcome::Failed { code: DENIED, why }
        }
        Error::Denied { .. } => Outcome::Refused { code: DENIED, why },
        Error::NotFound { .. } => Outcome::Failed { code: NOT_FOUND, why },
        error if error.passes() => Outcome::Failed { code: UNAVAILABLE, why },
        error if FINAL.iter().any(|code| says(error, code)) => Outcome::Refused { code: REFUSED, why },
        _ => Outcome::Failed { code: REFUSED, why },
    }
}

/// Whether a refusal is this one of the distribution specification.
fn says(error: &Error, code: &str) -> bool {
    matches!(error, Error::Status { said, .. } if said.trim_start_matches(" (").starts_with(code))
}

impl Push<'_> {
    async fn all(&self, image: &Arc<Image>) -> Result<(), Failure> {
        self.image(image.clone(), 0).await?;
        let bytes = self.manifest(image).await?;
        let known: Vec<String> = {
            let state = self.server.store.read();
            state.index.registry.tags(&image.key()).cloned().collect()
        };
        for tag in known {
            if self.still_leads(&tag, image) {
                self.tag(&tag, image, bytes.clone()).await?;
            }
        }
        Ok(())
    }

    /// Whether a tag was set since, and leads to the image now. One that is moved later goes with the image that it is
    /// moved to, after this one.
    fn still_leads(&self, tag: &str, image: &Image) -> bool {
        let state = self.server.store.read();
        let known = state.image_tags.get(&tag_key(&self.repository.id, tag));
        known.is_some_and(|known| known.digest == image.digest && known.moved_at >= self.since)
    }

    /// A tag that may not be moved there stays where it is.
    async fn tag(&self, tag: &str, image: &Image, bytes: Bytes) -> Result<(), Failure> {
        match self.put(tag, image, bytes).await {
            Err(error) if says(&error, "TAG_INVALID") => {
                let name = &self.repository.name;
                tracing::info!(repository = %name, tag, host = self.remote.host(), "a tag is immutable at the destination");
                Ok(())
            }
            put => Ok(put?),
        }
    }

    /// An image and what it needs.
    async fn image(&self, image: Arc<Image>, depth: usize) -> Result<(), Failure> {
        let bytes = self.manifest(&image).await?;
        match self.put(&image.digest, &image, bytes.clone()).await {
            Err(error) if says(&error, "MANIFEST_BLOB_UNKNOWN") => {}
            put => return Ok(put?),
        }
        if !image.absent.is_empty() {
            return Err(Failure::Incomplete(image.digest.clone()));
        }
        if depth >= DEEPEST {
            return Err(Failure::Deep);
        }
        for layer in &image.layers {
            self.blob(&digest(layer)?).await?;
        }
        for listed in &image.images {
            let found = {
                let state = self.server.store.read();
                state.images.get(&content_key(&image.repository, listed)).cloned()
            };
            let found = found.ok_or_else(|| Failure::Other(format!("{listed}, which it lists, is gone")))?;
            Box::pin(self.image(found, depth + 1)).await?;
        }
        Ok(self.put(&image.digest, &image, bytes).await?)
    }

    /// Where the repository's bytes lie.
    pub(super) fn bytes(&self) -> Result<Blobs, Failure> {
        let state = self.server.store.read();
        let seal = seal::of(&state, &self.server.settings, &self.repository, clock::now());
        Ok(self.server.blobs.under(seal.map_err(Failure::Key)?))
    }

    /// The bytes of an image's manifest.
    async fn manifest(&self, image: &Image) -> Result<Bytes, Failure> {
        let (blobs, digest) = (self.bytes()?, digest(&image.digest)?);
        aside(move || blobs.read(&digest, LARGEST_MANIFEST as u64)).await
    }

    async fn put(&self, reference: &str, image: &Image, bytes: Bytes) -> Result<(), Error> {
        let mut ask = self.ask(Method::PUT, &format!("manifests/{reference}"))?;
        ask.headers.push((CONTENT_TYPE, image.media_type.clone()));
        ask.body = bytes;
        self.remote.ask(&ask).await.map(drop)
    }

    /// A request below the repository's path.
    pub fn ask(&self, method: Method, path: &str) -> Result<Ask<'static>, Error> {
        let name = &self.repository.name;
        let url = self.remote.url(&format!("/v2/{name}/{path}"))?;
        Ok(self.asked(method, url, format!("{name}/{path}")))
    }

    pub fn asked(&self, method: Method, url: Url, what: String) -> Ask<'static> {
        Ask { method, url, scope: "", headers: vec![(HEADER, self.header.clone())], body: Bytes::new(), what }
    }

    /// A repository of the same account, besides this one, that has a layer: it may be there at the destination too.
    pub fn beside(&self, layer: &Digest) -> Option<String> {
        let state = self.server.store.read();
        let account = AccountId::parse(&self.repository.account)?;
        let prefix = longshore_model::registry::key(account.as_str(), "");
        let others = state.repositories.scan(&prefix).map(|(_, row)| row).take(LOOKED_AT);
        let mut others = others.filter(|row| row.id != self.repository.id);
        others.find(|row| state.layer(&row.id, layer.as_str()).is_some()).map(|row| row.name.clone())
    }
}

/// Repositories that are looked at for a layer.
const LOOKED_AT: usize = 1000;

pub(super) fn digest(text: &str) -> Result<Digest, Failure> {
    Digest::parse(text).map_err(|_| Failure::Other(format!("{text} is no digest")))
}

/// Does what waits for the disk, away from the threads that serve.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, blobs::Error> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Failure::Other("reading broke off".to_owned()))?.map_err(Failure::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, said: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        Error::Status { host: "h".to_owned(), status, said: said.to_owned() }
    }

    #[test]
    fn a_refusal_is_known_by_its_code() {
        assert!(says(&status(400, " (TAG_INVALID: no)"), "TAG_INVALID"));
        assert!(!says(&status(400, " (OTHER: TAG_INVALID)"), "TAG_INVALID"));
        assert!(!says(&Error::Late { host: "h".to_owned() }, "TAG_INVALID"));
    }

    #[test]
    fn a_key_that_is_not_taken_is_no_reason_to_come_back() {
        let denied = |outcome| matches!(outcome, Outcome::Refused { code: DENIED, .. });
        assert!(denied(not_let_in(&status(400, " (The security token included in the request is invalid)"))));
        assert!(!denied(not_let_in(&status(503, ""))));
        assert!(!denied(not_let_in(&Error::Late { host: "h".to_owned() })));
    }
}
