//! A registry as a source of images: tokens by `oci-client`, then plain requests whose answers are bounded in size and
//! whose media type can be seen.
//!
//! Each pull has a registry of its own with its own credentials, so nobody ever uses what another has signed in for.
//! Redirects are followed (registries keep blobs elsewhere); credentials do not go along to another host. Plain HTTP is
//! spoken to this machine only.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};
use tokio::sync::OnceCell;

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

/// Credentials for a registry. Their text never shows in logs.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum Auth {
    /// None.
    #[default]
    Anonymous,
    /// User name and password.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// A token made elsewhere.
    Bearer(String),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

/// One repository of a registry, with the credentials of one caller.
pub(super) struct Registry {
    name: Name,
    auth: Auth,
    tokens: oci_client::Client,
    http: reqwest::Client,
    token: OnceCell<Option<String>>,
}

/// A manifest or an index as it was served.
pub(super) struct Served {
    pub(super) bytes: Bytes,
    pub(super) media_type: Option<String>,
}

impl Registry {
    pub(super) fn new(name: Name, auth: Auth) -> Result<Self, Error> {
        let protocol = if name.is_loopback() {
            ClientProtocol::Http
        } else {
            ClientProtocol::Https
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_WITHIN),
            read_timeout: Some(SILENT_AT_MOST),
            user_agent: concat!("longshore/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let tokens = oci_client::Client::try_from(config).map_err(|error| from_oci(&error))?;
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(SILENT_AT_MOST)
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed("build", "", &error))?;
        Ok(Self {
            name,
            auth,
            tokens,
            http,
            token: OnceCell::new(),
        })
    }

    /// The manifest or index that `version` (a tag or a digest) names.
    ///
    /// # Errors
    /// `Mismatch` when it is not what the digest says, `Malformed` when it is larger than a manifest may be.
    pub(super) async fn document(&self, version: &str) -> Result<Served, Error> {
        let fetching = async {
            let accept = MANIFESTS
                .into_iter()
                .chain(INDEXES)
                .collect::<Vec<_>>()
                .join(", ");
            let response = self.get("manifests", version, &[(ACCEPT, accept)]).await?;
            let headers = response.headers().clone();
            let bytes = bounded(response, LARGEST_MANIFEST).await?;
            check_digest(&bytes, version, &headers)?;
            Ok(Served {
                bytes,
                media_type: media_type(&headers),
            })
        };
        let late = |_| Error::Registry {
            message: "the manifest took longer than a minute".to_owned(),
            retryable: true,
        };
        tokio::time::timeout(MANIFEST_WITHIN, fetching)
            .await
            .map_err(late)?
    }

    /// A blob, from `offset` where the registry can do that, else from its beginning.
    pub(super) async fn blob(&self, digest: &Digest, offset: u64) -> Result<Blob, Error> {
        let range = (offset > 0).then(|| (RANGE, format!("bytes={offset}-")));
        let response = self.get("blobs", digest.as_str(), range.as_slice()).await?;
        let offset = if response.status() == StatusCode::PARTIAL_CONTENT {
            offset
        } else {
            0
        };
        let url = plain_url(&response);
        let bytes = response
            .bytes_stream()
            .map(move |part| part.map_err(|error| failed("Get", &url, &error)));
        Ok(Blob {
            offset,
            bytes: bytes.boxed(),
        })
    }

    async fn get(
        &self,
        kind: &str,
        what: &str,
        headers: &[(reqwest::header::HeaderName, String)],
    ) -> Result<Response, Error> {
        let reference = self.reference();
        let scheme = if self.name.is_loopback() {
            "http"
        } else {
            "https"
        };
        let url = format!(
            "{scheme}://{}/v2/{}/{kind}/{what}",
            reference.resolve_registry(),
            self.name.repository()
        );
        let mut request = self.http.get(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = match (self.token().await?, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Auth::Basic { user, password }) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let response = request
            .send()
            .await
            .map_err(|error| failed("Get", &url, &error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response, what).await)
        }
    }

    /// The token of this repository, asked for once.
    async fn token(&self) -> Result<Option<&str>, Error> {
        let auth = match &self.auth {
            Auth::Anonymous => RegistryAuth::Anonymous,
            Auth::Basic { user, password } => RegistryAuth::Basic(user.clone(), password.clone()),
            Auth::Bearer(token) => RegistryAuth::Bearer(token.clone()),
        };
        let ask = || async {
            self.tokens
                .auth(&self.reference(), &auth, RegistryOperation::Pull)
                .await
        };
        let token = self
            .token
            .get_or_try_init(ask)
            .await
            .map_err(|error| from_oci(&error))?;
        Ok(token.as_deref())
    }

    fn reference(&self) -> Reference {
        let (registry, repository) = (
            self.name.registry().to_owned(),
            self.name.repository().to_owned(),
        );
        Reference::with_tag(registry, repository, "latest".to_owned())
    }

    async fn refused(&self, response: Response, what: &str) -> Error {
        let status = response.status();
        let url = plain_url(&response);
        let text = bounded(response, LONGEST_REFUSAL).await.unwrap_or_default();
        match status {
            StatusCode::NOT_FOUND if what == self.name.version() => {
                Error::NotFound(self.name.to_string())
            }
            StatusCode::NOT_FOUND => Error::NotFound(format!("{}@{what}", self.name)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Error::Denied(server_message(&text))
            }
            _ => Error::Registry {
                message: format!("unexpected status from GET request to {url}: {status}"),
                retryable: status.is_server_error()
                    || matches!(
                        status,
                        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                    ),
            },
        }
    }
}

/// The body of a response, at most `largest` bytes of it.
async fn bounded(mut response: Response, largest: u64) -> Result<Bytes, Error> {
    let url = plain_url(&response);
    let mut bytes = BytesMut::new();
    while let Some(part) = response
        .chunk()
        .await
        .map_err(|error| failed("Get", &url, &error))?
    {
        if (bytes.len() + part.len()) as u64 > largest {
            return Err(Error::malformed(
                "manifest",
                format!("it is larger than {largest} bytes"),
            ));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// A document asked for by digest must have it; one asked for by tag must have the digest the registry says it has.
fn check_digest(bytes: &[u8], version: &str, headers: &HeaderMap) -> Result<(), Error> {
    let actual = Digest::of(bytes);
    let said = headers
        .get("docker-content-digest")
        .and_then(|value| value.to_str().ok());
    let asked = Digest::parse(version).ok();
    if let Some(asked) = asked.filter(|asked| *asked != actual) {
        return Err(Error::Mismatch(asked.to_string()));
    }
    match said {
        Some(said) if said.starts_with("sha256:") && said != actual.as_str() => {
            Err(Error::Mismatch(said.to_owned()))
        }
        _ => Ok(()),
    }
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::to_str)?.ok()?;
    Some(
        value
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    )
}

/// The URL of a response without its query, which may hold a signature.
fn plain_url(response: &Response) -> String {
    let mut url = response.url().clone();
    url.set_query(None);
    url.to_string()
}

/// What a registry says in its refusal: `code: message`.
fn server_message(text: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    let part = |name: &str| {
        value["errors"][0][name]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect::<String>()
    };
    match (part("code"), part("message")) {
        (code, message) if code.is_empty() && message.is_empty() => {
            "authorization failed".to_owned()
        }
        (code, message) => format!("server message: {}: {message}", code.to_lowercase()),
    }
}

fn failed(verb: &str, url: &str, error: &reqwest::Error) -> Error {
    let mut reason = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    if reason.is_empty() {
        reason = if error.is_timeout() {
            "i/o timeout".to_owned()
        } else {
            "the connection failed".to_owned()
        };
    }
    let retryable = !error.is_builder() && !error.is_redirect();
    Error::Registry {
        message: format!("failed to do request: {verb} \"{url}\": {reason}"),
        retryable,
    }
}

fn from_oci(error: &OciDistributionError) -> Error {
    match error {
        OciDistributionError::AuthenticationFailure(text) => {
            Error::Denied(server_message(text.as_bytes()))
        }
        OciDistributionError::UnauthorizedError { .. } => {
            Error::Denied("authorization failed".to_owned())
        }
        OciDistributionError::RequestError(error) => {
            let url = error
                .url()
                .map(|url| url.origin().ascii_serialization())
                .unwrap_or_default();
            failed("Get", &url, error)
        }
        OciDistributionError::ServerError { code, .. } => Error::Registry {
            message: format!("failed to fetch oauth token: unexpected status: {code}"),
            retryable: *code >= 500 || *code == 429,
        },
        other => Error::Registry {
            message: format!("failed to authorize: {other}"),
            retryable: false,
        },
    }
}
