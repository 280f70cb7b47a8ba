//! Signing in to a registry, with what it asks for. Credentials go to a token server over TLS only, or to one on this machine.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use longshore_login::Challenge;
use reqwest::{RequestBuilder, StatusCode, Url};

use super::error::Error;
use super::registry::{bounded, client, failed, server_message};

/// Largest answer of a token server.
const LARGEST_TOKEN: u64 = 64 * 1024;

/// Credentials for a registry. Their text never shows in logs.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub enum Auth {
    /// None of the caller's own: the node's are shown, where it has some for the registry.
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

impl Auth {
    /// What a token of ECR's GetAuthorizationToken says: base64 of `user:password`.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64_STANDARD.decode(token).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), password: password.to_owned() })
    }

    /// Puts these credentials on a request.
    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Anonymous => request,
            Self::Basic { user, password } => request.basic_auth(user, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

/// What to come back with, given what the caller has; `None` when the caller has nothing more to show.
pub(super) async fn answer(challenge: &Challenge, auth: &Auth, repository: &str) -> Result<Option<Auth>, Error> {
    match (challenge, auth) {
        (_, Auth::Bearer(_)) | (Challenge::Basic, Auth::Anonymous) => Ok(None),
        (Challenge::Basic, Auth::Basic { .. }) => Ok(Some(auth.clone())),
        (Challenge::Bearer { realm, service, scope }, _) => {
            let pull = format!("repository:{repository}:pull");
            let scope = scope.as_deref().unwrap_or(&pull);
            let url = token_url(realm, service.as_deref(), scope)?;
            fetch_token(url, auth).await.map(|token| Some(Auth::Bearer(token)))
        }
    }
}

fn token_url(realm: &str, service: Option<&str>, scope: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Registry {
        message: format!("failed to fetch oauth token: the realm {realm:?} {reason}"),
        retryable: false,
    };
    let mut url = Url::parse(realm).map_err(|_| refuse("is not a URL"))?;
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() != "https" && !(url.scheme() == "http" && here) {
        return Err(refuse("is not safe for credentials"));
    }
    url.query_pairs_mut().append_pair("scope", scope);
    if let Some(service) = service {
        url.query_pairs_mut().append_pair("service", service);
    }
    Ok(url)
}

async fn fetch_token(url: Url, auth: &Auth) -> Result<String, Error> {
    let place = url.origin().ascii_serialization();
    let request = auth.sign(client(url.scheme() == "http")?.get(url));
    let response = request.send().await.map_err(|error| failed("Get", &place, &error))?;
    let status = response.status();
    let bytes = bounded(response, LARGEST_TOKEN).await?;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(Error::Denied(server_message(&bytes)));
    }
    let token = longshore_login::token(&bytes).filter(|_| status.is_success());
    token.ok_or_else(|| Error::Registry {
        message: format!("failed to fetch oauth token: unexpected status: {status}"),
        retryable: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_safe_token_servers_only() {
        for (realm, safe) in [
            ("https://auth.example/token", true),
            ("http://127.0.0.1:5001/token", true),
            ("http://localhost/token", true),
            ("http://auth.example/token", false),
            ("http://127.0.0.1.example/token", false),
            ("file:///etc/passwd", false),
            ("token", false),
        ] {
            assert_eq!(token_url(realm, Some("s"), "repository:a:pull").is_ok(), safe, "{realm}");
        }
        let url = token_url("https://a/t?x=1", Some("s&s"), "repository:a:pull").unwrap();
        assert_eq!(url.as_str(), "https://a/t?x=1&scope=repository%3Aa%3Apull&service=s%26s");
    }

    #[test]
    fn credentials_do_not_show() {
        let auth = Auth::Basic { user: "u".to_owned(), password: "secret".to_owned() };
        assert_eq!(format!("{auth:?} {:?}", Auth::Bearer("secret".to_owned())), "Basic Bearer");
    }
}
