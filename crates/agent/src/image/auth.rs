//! Signing in to a registry: credentials, what a registry asks for, and the token it wants to see.
//!
//! A registry that refuses says how to come back: with a name and a password (`Basic`), or with a token that another
//! server hands out for those or for nothing (`Bearer realm="…",service="…",scope="…"`). Credentials go to a token
//! server over TLS only, or to one on this machine.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;

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

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password.
    Basic,
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first challenge of a refusal that is understood, tokens before passwords.
    pub(super) fn find(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Self> = values.filter_map(Self::parse).collect();
        let tokens = |challenge: &Self| matches!(challenge, Self::Bearer { .. });
        let at = challenges.iter().position(tokens).unwrap_or_default();
        challenges.into_iter().nth(at)
    }

    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let realm = parameters.remove("realm")?;
        Some(Self::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
    }

    /// What to come back with, given what the caller has; `None` when the caller has nothing more to show.
    pub(super) async fn answer(&self, auth: &Auth, repository: &str) -> Result<Option<Auth>, Error> {
        match (self, auth) {
            (_, Auth::Bearer(_)) | (Self::Basic, Auth::Anonymous) => Ok(None),
            (Self::Basic, Auth::Basic { .. }) => Ok(Some(auth.clone())),
            (Self::Bearer { realm, service, scope }, _) => {
                let pull = format!("repository:{repository}:pull");
                let scope = scope.as_deref().unwrap_or(&pull);
                let url = token_url(realm, service.as_deref(), scope)?;
                fetch_token(url, auth).await.map(|token| Some(Auth::Bearer(token)))
            }
        }
    }
}

/// `name="value"` or `name=value`, separated by commas; a comma may stand in quotes.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        rest = left.trim_start_matches([',', ' ']);
    }
    found
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
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let place = url.origin().ascii_serialization();
    let request = auth.sign(client(url.scheme() == "http")?.get(url));
    let response = request.send().await.map_err(|error| failed("Get", &place, &error))?;
    let status = response.status();
    let bytes = bounded(response, LARGEST_TOKEN).await?;
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Err(Error::Denied(server_message(&bytes)));
    }
    let answer: Option<Answer> = serde_json::from_slice(&bytes).ok().filter(|_| status.is_success());
    let token = answer.and_then(|answer| answer.token.or(answer.access_token));
    token.ok_or_else(|| Error::Registry {
        message: format!("failed to fetch oauth token: unexpected status: {status}"),
        retryable: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) })
    }

    #[test]
    fn challenges_are_understood() {
        let rows = [
            (
                r#"Bearer realm="https://t/x",service="s",scope="repository:a:pull,push""#,
                bearer("https://t/x", Some("s"), Some("repository:a:pull,push")),
            ),
            (r#"bearer REALM=https://t , service="a b""#, bearer("https://t", Some("a b"), None)),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("BASIC", Some(Challenge::Basic)),
            ("Bearer service=x", None),
            ("Digest realm=x", None),
            ("", None),
            (r#"Bearer realm="unclosed"#, bearer("unclosed", None, None)),
        ];
        for (value, expected) in rows {
            assert_eq!(Challenge::parse(value), expected, "{value}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=https://t".parse().unwrap());
        assert_eq!(Challenge::find(&headers), bearer("https://t", None, None));
        headers.remove(WWW_AUTHENTICATE);
        assert_eq!(Challenge::find(&headers), None);
    }

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
