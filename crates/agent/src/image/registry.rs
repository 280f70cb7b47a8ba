//! A registry as a source of images: plain requests whose answers are bounded in size and whose media type is seen.
//!
//! Each pull has a registry of its own with its own credentials, so nobody ever uses what another has signed in for.
//! Redirects are followed (registries keep blobs elsewhere); credentials do not go along to another host. Plain HTTP is
//! spoken to this machine only.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use longshore_login::Challenge;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::Mutex;

use super::auth::{self, Auth};
use super::document::{Digest, INDEXES, LARGEST_MANIFEST, MANIFESTS};
use super::error::Error;
use super::reference::Name;
use super::writer::Blob;

/// How long a manifest may take.
const MANIFEST_WITHIN: Duration = Duration::from_secs(60);
/// How long nothing may arrive.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How much of a refusal is read.
const LONGEST_REFUSAL: u64 = 16 * 1024;
/// How much of its words is told, characters: two ARNs and what is said of them.
const LONGEST_WORDS: usize = 600;

/// One repository of a registry, with the credentials of one caller.
pub(super) struct Registry {
    name: Name,
    auth: Auth,
    /// Scheme and host that it answers at.
    base: String,
    /// What its requests call it, where that is not the host that it answers at.
    called: Option<HeaderValue>,
    http: reqwest::Client,
    /// What the registry has asked to see, once it has asked.
    signed_in: Mutex<Auth>,
}

/// A manifest or an index as it was served.
pub(super) struct Served {
    pub(super) bytes: Bytes,
    pub(super) media_type: Option<String>,
}

impl Registry {
    /// The repository of `name`, for a caller with these credentials. The installation's `own` registry is not found by its
    /// name: it is at a host and port, in plain HTTP, wants to be called as said, and is shown the credentials at once.
    pub(super) fn new(name: Name, auth: Auth, own: Option<(&str, String)>) -> Result<Self, Error> {
        let http = client(own.is_some() || name.is_loopback())?;
        let signed_in = match &auth {
            Auth::Bearer(_) => auth.clone(),
            Auth::Basic { .. } if own.is_some() => auth.clone(),
            _ => Auth::Anonymous,
        };
        let base = own.as_ref().map_or_else(|| base(&name), |(at, _)| format!("http://{at}"));
        let called = own.and_then(|(_, called)| HeaderValue::try_from(called).ok());
        Ok(Self { name, auth, base, called, http, signed_in: Mutex::new(signed_in) })
    }

    /// Whether its caller has something to show.
    pub(super) fn has_credentials(&self) -> bool {
        self.auth != Auth::Anonymous
    }

    /// The manifest or index that `version` (a tag or a digest) names.
    ///
    /// # Errors
    /// `Mismatch` when it is not what the digest says, `Malformed` when it is larger than a manifest may be.
    pub(super) async fn document(&self, version: &str) -> Result<Served, Error> {
        let fetching = async {
            let response = self.ask(Method::GET, "manifests", version, &[accept()]).await?;
            let headers = response.headers().clone();
            let bytes = bounded(response, LARGEST_MANIFEST).await?;
            check_digest(&bytes, version, &headers)?;
            Ok(Served { bytes, media_type: media_type(&headers) })
        };
        let late =
            |_| Error::Registry { message: "the manifest took longer than a minute".to_owned(), retryable: true };
        tokio::time::timeout(MANIFEST_WITHIN, fetching).await.map_err(late)?
    }

    /// The digest of what `version` names, without fetching it where the registry can tell.
    pub(super) async fn digest(&self, version: &str) -> Result<Digest, Error> {
        let said = match self.ask(Method::HEAD, "manifests", version, &[accept()]).await {
            Ok(response) => said_digest(response.headers()).and_then(|said| Digest::parse(said).ok()),
            // A refusal of HEAD has no words; that of GET has.
            Err(Error::Registry { retryable: false, .. } | Error::Denied(_)) => None,
            Err(error) => return Err(error),
        };
        match said {
            Some(digest) => Ok(digest),
            None => Ok(Digest::of(&self.document(version).await?.bytes)),
        }
    }

    /// A blob, from `offset` where the registry can do that, else from its beginning.
    pub(super) async fn blob(&self, digest: &Digest, offset: u64) -> Result<Blob, Error> {
        let range = (offset > 0).then(|| (RANGE, format!("bytes={offset}-")));
        let response = self.ask(Method::GET, "blobs", digest.as_str(), range.as_slice()).await?;
        let offset = if response.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 };
        let url = plain_url(&response);
        let bytes = response.bytes_stream().map(move |part| part.map_err(|error| failed("Get", &url, &error)));
        Ok(Blob { offset, bytes: bytes.boxed() })
    }

    /// Asks for something of the repository, and signs in when the registry wants that: at first, or again when a token
    /// has grown old.
    async fn ask(
        &self,
        method: Method,
        kind: &str,
        what: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Response, Error> {
        let url = format!("{}/v2/{}/{kind}/{what}", self.base, self.name.repository());
        let shown = self.signed_in.lock().await.clone();
        let response = self.send(&method, &url, headers, &shown).await?;
        let challenge = match response.status() {
            status if status.is_success() => return Ok(response),
            StatusCode::UNAUTHORIZED if self.is_own(&response) => Challenge::find(response.headers()),
            _ => None,
        };
        let Some(challenge) = challenge else {
            return Err(self.refused(&method, response, what).await);
        };
        let Some(auth) = self.sign_in(&challenge, &shown).await? else {
            return Err(self.refused(&method, response, what).await);
        };
        let response = self.send(&method, &url, headers, &auth).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.refused(&method, response, what).await) }
    }

    async fn send(
        &self,
        method: &Method,
        url: &str,
        headers: &[(HeaderName, String)],
        auth: &Auth,
    ) -> Result<Response, Error> {
        let mut request = self.http.request(method.clone(), url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(called) = &self.called {
            request = request.header(HOST, called);
        }
        let verb = if *method == Method::HEAD { "Head" } else { "Get" };
        auth.sign(request).send().await.map_err(|error| failed(verb, url, &error))
    }

    /// What to show after `shown` was refused. Of several requests refused at once, one signs in for all.
    async fn sign_in(&self, challenge: &Challenge, shown: &Auth) -> Result<Option<Auth>, Error> {
        let mut signed_in = self.signed_in.lock().await;
        if *signed_in == *shown {
            match auth::answer(challenge, &self.auth, self.name.repository()).await? {
                Some(auth) if auth != *shown => *signed_in = auth,
                _ => return Ok(None),
            }
        }
        Ok(Some(signed_in.clone()))
    }

    /// Whether a response comes from the registry itself and not from where it redirected to.
    fn is_own(&self, response: &Response) -> bool {
        reqwest::Url::parse(&self.base).is_ok_and(|base| base.origin() == response.url().origin())
    }

    async fn refused(&self, method: &Method, response: Response, what: &str) -> Error {
        let status = response.status();
        let url = plain_url(&response);
        let text = bounded(response, LONGEST_REFUSAL).await.unwrap_or_default();
        match status {
            StatusCode::NOT_FOUND if what == self.name.version() => Error::NotFound(self.name.to_string()),
            StatusCode::NOT_FOUND => Error::NotFound(format!("{}@{what}", self.name)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied(server_message(&text)),
            _ => Error::Registry {
                message: format!("unexpected status from {method} request to {url}: {status}{}", said(&text)),
                retryable: status.is_server_error()
                    || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT),
            },
        }
    }
}

/// Scheme and host of the registry of `name`. Docker's registry answers elsewhere than its name says.
fn base(name: &Name) -> String {
    let scheme = if name.is_loopback() { "http" } else { "https" };
    match name.registry() {
        "docker.io" => format!("{scheme}://registry-1.docker.io"),
        registry => format!("{scheme}://{registry}"),
    }
}

/// A client for plain HTTP (no proxy, no certificates needed), or for all else.
pub(super) fn client(plain: bool) -> Result<reqwest::Client, Error> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_WITHIN)
        .read_timeout(SILENT_AT_MOST)
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")));
    let builder = if plain { builder.no_proxy().tls_certs_only([]) } else { builder };
    builder.build().map_err(|error| Error::Registry {
        message: format!(
            "no connection to a registry is possible: {}; are CA certificates installed?",
            innermost(&error)
        ),
        retryable: false,
    })
}

/// The body of a response, at most `largest` bytes of it.
pub(super) async fn bounded(mut response: Response, largest: u64) -> Result<Bytes, Error> {
    let url = plain_url(&response);
    let mut bytes = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(|error| failed("Get", &url, &error))? {
        if (bytes.len() + part.len()) as u64 > largest {
            return Err(Error::malformed("manifest", format!("it is larger than {largest} bytes")));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// A document asked for by digest must have it; one asked for by tag must have the digest the registry says it has.
fn check_digest(bytes: &[u8], version: &str, headers: &HeaderMap) -> Result<(), Error> {
    let actual = Digest::of(bytes);
    let said = said_digest(headers);
    let asked = Digest::parse(version).ok();
    if let Some(asked) = asked.filter(|asked| *asked != actual) {
        return Err(Error::Mismatch(asked.to_string()));
    }
    match said {
        Some(said) if said.starts_with("sha256:") && said != actual.as_str() => Err(Error::Mismatch(said.to_owned())),
        _ => Ok(()),
    }
}

/// The digest a registry says a manifest has.
fn said_digest(headers: &HeaderMap) -> Option<&str> {
    headers.get("docker-content-digest")?.to_str().ok()
}

/// The manifests and indexes that are understood.
fn accept() -> (HeaderName, String) {
    (ACCEPT, MANIFESTS.into_iter().chain(INDEXES).collect::<Vec<_>>().join(", "))
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::to_str)?.ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// The URL of a response without its query, which may hold a signature.
fn plain_url(response: &Response) -> String {
    let mut url = response.url().clone();
    url.set_query(None);
    url.to_string()
}

/// What a registry says in its refusal: `code: message`.
pub(super) fn server_message(text: &[u8]) -> String {
    match words(text) {
        Some(words) => format!("server message: {words}"),
        None => "authorization failed".to_owned(),
    }
}

/// What is to stand behind the status of another refusal.
fn said(text: &[u8]) -> String {
    words(text).map(|words| format!(" - Server message: {words}")).unwrap_or_default()
}

fn words(text: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let part = |name: &str| {
        value["errors"][0][name].as_str().unwrap_or_default().chars().take(LONGEST_WORDS).collect::<String>()
    };
    match (part("code"), part("message")) {
        (code, message) if code.is_empty() && message.is_empty() => None,
        (code, message) => Some(format!("{}: {message}", code.to_lowercase())),
    }
}

pub(super) fn failed(verb: &str, url: &str, error: &reqwest::Error) -> Error {
    let reason = if error.is_timeout() { "i/o timeout".to_owned() } else { innermost(error) };
    let retryable = !error.is_builder() && !error.is_redirect();
    Error::Registry { message: format!("failed to do request: {verb} \"{url}\": {reason}"), retryable }
}

/// The last cause in a chain: what the system said, without the layers above.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
