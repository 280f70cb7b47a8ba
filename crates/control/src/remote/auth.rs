//! Signing in to another registry: what it asks for, and the token that it wants to see.
//!
//! A registry that refuses says how to come back: with a name and a password (`Basic`), or with a token that a server hands
//! out for those or for nothing (`Bearer realm="…",service="…",scope="…"`). That server is asked over TLS, or is on the
//! registry's own host: no registry sends this process, nor anybody's password, to where it likes.

use std::collections::HashMap;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::error::words;
use super::{Error, bounded, plain};

/// Bytes of a token server's answer.
const LARGEST_TOKEN: usize = 64 * 1024;

/// What a registry knows a caller by. Its text never shows in logs.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) enum Credentials {
    #[default]
    Anonymous,
    Basic {
        user: String,
        password: String,
    },
}

/// What is shown with a request.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) enum Shown {
    #[default]
    Nothing,
    Password,
    Token(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic",
        })
    }
}

impl Credentials {
    fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Anonymous => request,
            Self::Basic { user, password } => request.basic_auth(user, Some(password)),
        }
    }

    /// Puts on a request what is shown.
    pub(super) fn show(&self, shown: &Shown, request: RequestBuilder) -> RequestBuilder {
        match shown {
            Shown::Nothing => request,
            Shown::Password => self.sign(request),
            Shown::Token(token) => request.bearer_auth(token),
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
        let at = challenges.iter().position(|challenge| matches!(challenge, Self::Bearer { .. })).unwrap_or_default();
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

    /// What to come back with; `None` when there is nothing to show. `base` is the registry, `scope` what is wanted of it where
    /// it does not say so itself.
    pub(super) async fn answer(
        &self,
        http: impl Fn(&Url) -> Result<reqwest::Client, Error>,
        base: &Url,
        credentials: &Credentials,
        scope: &str,
    ) -> Result<Option<Shown>, Error> {
        match self {
            Self::Basic if *credentials == Credentials::Anonymous => Ok(None),
            Self::Basic => Ok(Some(Shown::Password)),
            Self::Bearer { realm, service, scope: asked } => {
                let scope = asked.as_deref().filter(|asked| !asked.is_empty()).unwrap_or(scope);
                let url = token_url(base, realm, service.as_deref(), scope)?;
                let request = credentials.sign(http(&url)?.get(url.clone()));
                fetch_token(&url, request).await.map(|token| Some(Shown::Token(token)))
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

fn token_url(base: &Url, realm: &str, service: Option<&str>, scope: &str) -> Result<Url, Error> {
    let refuse = |why: &str| Error::wrong(base, format!("names a token server {why}"));
    let mut url = Url::parse(realm).map_err(|_| refuse("that is not a URL"))?;
    let is_own = base.scheme() == "http" && url.scheme() == "http" && url.host() == base.host();
    if url.scheme() != "https" && !is_own {
        return Err(refuse("that is neither asked over TLS nor on its own host"));
    }
    let mut pairs = url.query_pairs_mut();
    if !scope.is_empty() {
        pairs.append_pair("scope", scope);
    }
    if let Some(service) = service {
        pairs.append_pair("service", service);
    }
    drop(pairs);
    Ok(url)
}

async fn fetch_token(url: &Url, request: RequestBuilder) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let response = request.send().await.map_err(|error| Error::sent(url, &error))?;
    let status = response.status();
    let bytes = bounded(response, LARGEST_TOKEN).await?;
    let host = plain(url);
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let said = words(&bytes).unwrap_or_else(|| "the credentials are not those of anybody it knows".to_owned());
        return Err(Error::Denied { host, status, said });
    }
    if !status.is_success() {
        return Err(super::refused(url, status, None, &bytes, "a token"));
    }
    let answer: Option<Answer> = serde_json::from_slice(&bytes).ok();
    let token = answer.and_then(|answer| answer.token.or(answer.access_token)).filter(|token| is_token(token));
    token.ok_or_else(|| Error::wrong(url, "gives a token that is none"))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
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
            ("Bearer service=x", None),
            ("Digest realm=x", None),
            ("", None),
        ];
        for (value, expected) in rows {
            assert_eq!(Challenge::parse(value), expected, "{value}");
        }
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=https://t".parse().unwrap());
        assert_eq!(Challenge::find(&headers), bearer("https://t", None, None));
    }

    #[test]
    fn a_registry_sends_nobody_where_it_likes() {
        let check = |base: &str, realm: &str, wanted: bool| {
            let url = token_url(&Url::parse(base).unwrap(), realm, Some("s"), "repository:a:pull");
            assert_eq!(url.is_ok(), wanted, "{base} {realm}");
        };
        check("https://a", "https://auth.example/token", true);
        check("https://a", "http://a/token", false);
        check("https://a", "http://127.0.0.1/token", false);
        check("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true);
        check("http://127.0.0.1:5000", "http://127.0.0.2:5001/token", false);
        check("http://127.0.0.1:5000", "http://169.254.169.254/latest", false);
        check("http://127.0.0.1:5000", "file:///etc/passwd", false);
        check("http://127.0.0.1:5000", "token", false);
        let url = token_url(&Url::parse("https://a").unwrap(), "https://a/t?x=1", Some("s&s"), "repository:a:pull");
        assert_eq!(url.unwrap().as_str(), "https://a/t?x=1&scope=repository%3Aa%3Apull&service=s%26s");
    }

    #[test]
    fn credentials_do_not_show() {
        let credentials = Credentials::Basic { user: "u".to_owned(), password: "secret".to_owned() };
        assert_eq!(format!("{credentials:?}"), "Basic");
    }
}
