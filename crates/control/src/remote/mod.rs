//! Another registry, as its client: what a rule of a pull-through cache fetches from.
//!
//! ```text
//!     ask ──► 2xx
//!      │ 401, and a way to come back (auth) ──► ask again, once
//!      │ 307 …, of GET and HEAD ──► over TLS or to the same place, without credentials elsewhere
//!      └ else ──► Error, in the other's own words, within bounds
//! ```
//! Where a registry answers is configured, never taken from what another says. Answers are bounded in size and time; the
//! bytes of a blob come as a stream that the caller verifies.

mod auth;
mod error;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use longshore_login::Challenge;
use longshore_store::blobs::{Algorithm, Digest, digest_of};
use reqwest::{Client, Response, Url};
use tokio::sync::Mutex;

use auth::Shown;

pub(crate) use auth::Credentials;
pub(crate) use error::Error;

/// Bytes of a manifest: ECR's and the specification's bound.
pub(crate) const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long nothing may arrive.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);

/// The same of one that is being pushed to.
const BUSY_AT_MOST: Duration = Duration::from_secs(300);

/// For a manifest, or any other small answer, to come.
const SMALL_WITHIN: Duration = Duration::from_secs(60);

/// Bytes of a refusal that are read.
const LARGEST_REFUSAL: usize = 16 * 1024;

/// Redirects of one request.
const MOST_REDIRECTS: usize = 5;

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The manifests and indexes that are asked for.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                        application/vnd.docker.distribution.manifest.list.v2+json, \
                        application/vnd.docker.distribution.manifest.v2+json";

/// Another registry, for one caller.
pub(crate) struct Remote {
    /// Scheme, host and port.
    base: Url,
    credentials: Credentials,
    /// What it has asked to see, by scope.
    shown: Mutex<HashMap<String, Shown>>,
}

/// A request to it.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub method: Method,
    pub url: Url,
    /// What is wanted of it, in the words of token servers: `repository:NAME:pull`.
    pub scope: &'a str,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
    /// What it is about, for who reads of a failure.
    pub what: String,
}

/// A manifest or an index as it was served. Its digest is that of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub bytes: Bytes,
    pub media_type: Option<String>,
    pub digest: Digest,
}

impl Remote {
    pub fn new(base: Url, credentials: Credentials) -> Self {
        Self { base, credentials, shown: Mutex::default() }
    }

    /// `HOST:PORT`
    pub fn host(&self) -> String {
        plain(&self.base)
    }

    /// The URL of a path, which may have a query.
    ///
    /// # Errors
    /// [`Error::Wrong`] for one that leads to another place.
    pub fn url(&self, path: &str) -> Result<Url, Error> {
        let url = self.base.join(path).ok().filter(|url| url.origin() == self.base.origin());
        url.ok_or_else(|| Error::wrong(&self.base, "names a place that is not its own"))
    }

    /// Whether it is a registry that lets the caller in.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self) -> Result<(), Error> {
        let ask = Ask::get(self.url("/v2/")?, "", "an API for images");
        within(&self.base, self.ask(&ask)).await.map(drop)
    }

    /// The manifest or index that `reference` (a tag or a digest) names.
    ///
    /// # Errors
    /// [`Error::Wrong`] when it is not what the digest says, or larger than a manifest may be.
    pub async fn manifest(&self, repository: &str, reference: &str) -> Result<Served, Error> {
        let scope = pull(repository);
        let mut ask = Ask::get(self.manifest_url(repository, reference)?, &scope, named(repository, reference));
        ask.headers.push((ACCEPT, ACCEPTED.to_owned()));
        let fetching = async {
            let response = self.ask(&ask).await?;
            let headers = response.headers().clone();
            let bytes = bounded(response, LARGEST_MANIFEST).await?;
            self.served(bytes, reference, &headers)
        };
        within(&self.base, fetching).await
    }

    /// The digest of what a tag leads to, where the registry can tell without sending it.
    ///
    /// # Errors
    /// As of [`Self::manifest`].
    pub async fn digest(&self, repository: &str, tag: &str) -> Result<Digest, Error> {
        let scope = pull(repository);
        let mut ask = Ask::get(self.manifest_url(repository, tag)?, &scope, named(repository, tag));
        ask.method = Method::HEAD;
        ask.headers.push((ACCEPT, ACCEPTED.to_owned()));
        let said = within(&self.base, self.ask(&ask)).await.map(|response| said_digest(response.headers()));
        match said {
            Ok(Some(digest)) => Ok(digest),
            // A refusal of HEAD has no words; that of GET has.
            Ok(None) | Err(Error::Denied { .. } | Error::Status { .. }) => {
                self.manifest(repository, tag).await.map(|served| served.digest)
            }
            Err(error) => Err(error),
        }
    }

    /// The bytes of a blob. Nobody has verified them.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn blob(&self, repository: &str, digest: &Digest) -> Result<Response, Error> {
        let url = self.url(&format!("/v2/{repository}/blobs/{digest}"))?;
        let scope = pull(repository);
        let ask = Ask::get(url, &scope, format!("the layer {digest} of {repository}"));
        within(&self.base, self.ask(&ask)).await
    }

    fn manifest_url(&self, repository: &str, reference: &str) -> Result<Url, Error> {
        self.url(&format!("/v2/{repository}/manifests/{reference}"))
    }

    /// What is asked for by digest must have it; what is asked for by tag must have that which the registry says it has.
    fn served(&self, bytes: Bytes, reference: &str, headers: &HeaderMap) -> Result<Served, Error> {
        let asked = Digest::parse(reference).ok();
        let algorithm = asked.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = digest_of(algorithm, &bytes);
        let wanted = asked.or_else(|| said_digest(headers)).filter(|wanted| wanted.algorithm() == algorithm);
        if wanted.is_some_and(|wanted| wanted != digest) {
            return Err(Error::wrong(&self.base, "sends a manifest that does not have the digest it should have"));
        }
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
        Ok(Served { bytes, media_type, digest })
    }

    /// Sends a request, and signs in when the registry wants that. The answer is of a status that is a success.
    ///
    /// # Errors
    /// Any other status, and what broke on the way.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Response, Error> {
        let shown = self.shown.lock().await.get(ask.scope).cloned().unwrap_or_default();
        let response = self.send(ask, &shown, None).await?;
        let challenge = match response.status() {
            StatusCode::UNAUTHORIZED if response.url().origin() == self.base.origin() => {
                Challenge::find(response.headers())
            }
            _ => None,
        };
        let Some(challenge) = challenge else { return settled(ask, response).await };
        match self.sign_in(&challenge, ask.scope, &shown).await? {
            Some(shown) => settled(ask, self.send(ask, &shown, None).await?).await,
            None => settled(ask, response).await,
        }
    }

    /// Sends bytes that cannot be sent twice, with what an earlier request of the same scope has shown.
    ///
    /// # Errors
    /// As of [`Self::ask`].
    pub async fn pour(&self, ask: &Ask<'_>, body: reqwest::Body) -> Result<Response, Error> {
        let shown = self.shown.lock().await.get(ask.scope).cloned().unwrap_or_default();
        settled(ask, self.send(ask, &shown, Some(body)).await?).await
    }

    /// What to show after `shown` was refused. Of several requests refused at once, one signs in for all.
    async fn sign_in(&self, challenge: &Challenge, scope: &str, shown: &Shown) -> Result<Option<Shown>, Error> {
        let mut known = self.shown.lock().await;
        let now = known.get(scope).cloned().unwrap_or_default();
        if now != *shown {
            return Ok(Some(now));
        }
        let answer = auth::answer(challenge, client, &self.base, &self.credentials, scope).await?;
        let Some(answer) = answer.filter(|answer| answer != shown) else { return Ok(None) };
        known.insert(scope.to_owned(), answer.clone());
        Ok(Some(answer))
    }

    async fn send(&self, ask: &Ask<'_>, shown: &Shown, body: Option<reqwest::Body>) -> Result<Response, Error> {
        let mut url = ask.url.clone();
        let mut body = body.or_else(|| (!ask.body.is_empty()).then(|| ask.body.clone().into()));
        for _ in 0..=MOST_REDIRECTS {
            let sends = matches!(ask.method, Method::PUT | Method::PATCH);
            let http = if sends { patient(&url)? } else { client(&url)? };
            let mut request = http.request(ask.method.clone(), url.clone());
            for (name, value) in &ask.headers {
                request = request.header(name, value);
            }
            if let Some(body) = body.take() {
                request = request.body(body);
            }
            if url.origin() == self.base.origin() {
                request = self.credentials.show(shown, request);
            }
            let response = request.send().await.map_err(|error| Error::sent(&url, &error))?;
            let may_follow = matches!(ask.method, Method::GET | Method::HEAD) && response.status().is_redirection();
            match may_follow {
                true => url = self.redirected(&url, response.headers())?,
                false => return Ok(response),
            }
        }
        Err(Error::wrong(&self.base, "redirects without end"))
    }

    /// Where an answer leads: over TLS, or to the registry itself.
    fn redirected(&self, from: &Url, headers: &HeaderMap) -> Result<Url, Error> {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let to = to.filter(|to| to.scheme() == "https" || to.origin() == self.base.origin());
        to.ok_or_else(|| Error::wrong(&self.base, "redirects to what is neither asked over TLS nor its own"))
    }
}

impl<'a> Ask<'a> {
    pub fn get(url: Url, scope: &'a str, what: impl Into<String>) -> Self {
        Self { method: Method::GET, url, scope, headers: Vec::new(), body: Bytes::new(), what: what.into() }
    }
}

fn pull(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn named(repository: &str, reference: &str) -> String {
    let joint = if reference.contains(':') { '@' } else { ':' };
    format!("{repository}{joint}{reference}")
}

/// `HOST:PORT` of a URL, for who reads of it.
fn plain(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The digest that a registry says a manifest has.
fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    Digest::parse(headers.get(DIGEST)?.to_str().ok()?).ok()
}

/// What must not take longer than a small answer does.
async fn within<T>(base: &Url, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Late { host: plain(base) };
    tokio::time::timeout(SMALL_WITHIN, work).await.map_err(late)?
}

async fn settled(ask: &Ask<'_>, response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let (url, headers) = (response.url().clone(), response.headers().clone());
    let text = bounded(response, LARGEST_REFUSAL).await.unwrap_or_default();
    Err(refused(&url, status, headers.get(RETRY_AFTER), &text, &ask.what))
}

fn refused(url: &Url, status: StatusCode, wait: Option<&HeaderValue>, text: &[u8], what: &str) -> Error {
    let host = plain(url);
    let said = error::words(text);
    match status {
        StatusCode::NOT_FOUND => Error::NotFound { host, what: what.to_owned() },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Error::Denied { host, status, said: said.unwrap_or_else(|| format!("it answers {status}")) }
        }
        StatusCode::TOO_MANY_REQUESTS => {
            let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok()).map(Duration::from_secs);
            Error::TooMany { host, said: said.unwrap_or_else(|| format!("it answers {status}")), wait }
        }
        _ => Error::Status { host, status, said: said.map(|said| format!(" ({said})")).unwrap_or_default() },
    }
}

/// The body of a response, at most `largest` bytes of it.
pub(crate) async fn bounded(mut response: Response, largest: usize) -> Result<Bytes, Error> {
    let url = response.url().clone();
    let mut bytes = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(|error| Error::sent(&url, &error))? {
        if bytes.len() + part.len() > largest {
            return Err(Error::wrong(&url, format!("sends more than {largest} bytes, which is too much")));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// As [`client`], for what takes its time: a registry that is sent much, or lays much away, answers late.
fn patient(url: &Url) -> Result<Client, Error> {
    static PLAIN: OnceLock<Result<Client, String>> = OnceLock::new();
    static TLS: OnceLock<Result<Client, String>> = OnceLock::new();
    let is_plain = url.scheme() == "http";
    let made = if is_plain { &PLAIN } else { &TLS }.get_or_init(|| make(is_plain, BUSY_AT_MOST));
    made.clone().map_err(Error::Client)
}

/// The client for a URL: those of plain HTTP (no proxy, no certificates needed), or for all else, share their connections.
fn client(url: &Url) -> Result<Client, Error> {
    static PLAIN: OnceLock<Result<Client, String>> = OnceLock::new();
    static TLS: OnceLock<Result<Client, String>> = OnceLock::new();
    let is_plain = url.scheme() == "http";
    let made = if is_plain { &PLAIN } else { &TLS }.get_or_init(|| make(is_plain, SILENT_AT_MOST));
    made.clone().map_err(Error::Client)
}

fn make(is_plain: bool, silence: Duration) -> Result<Client, String> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(silence)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")));
    let builder = if is_plain { builder.no_proxy().tls_certs_only([]) } else { builder };
    builder.build().map_err(|error| format!("{}; are CA certificates installed?", error::innermost(&error)))
}
