//! Signing in to another registry, with what it asks for.
//!
//! A server that hands out tokens is asked over TLS, or is on the registry's own host: no registry sends this process, nor
//! anybody's password, to where it likes.

use http::StatusCode;
use longshore_login::Challenge;
use reqwest::{RequestBuilder, Url};

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

/// What to come back with; `None` when there is nothing to show. `base` is the registry, `scope` what is wanted of it where
/// it does not say so itself.
pub(super) async fn answer(
    challenge: &Challenge,
    http: impl Fn(&Url) -> Result<reqwest::Client, Error>,
    base: &Url,
    credentials: &Credentials,
    scope: &str,
) -> Result<Option<Shown>, Error> {
    match challenge {
        Challenge::Basic if *credentials == Credentials::Anonymous => Ok(None),
        Challenge::Basic => Ok(Some(Shown::Password)),
        Challenge::Bearer { realm, service, scope: asked } => {
            let scope = asked.as_deref().filter(|asked| !asked.is_empty()).unwrap_or(scope);
            let url = token_url(base, realm, service.as_deref(), scope)?;
            let request = credentials.sign(http(&url)?.get(url.clone()));
            fetch_token(&url, request).await.map(|token| Some(Shown::Token(token)))
        }
    }
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
    longshore_login::token(&bytes).ok_or_else(|| Error::wrong(url, "gives a token that is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
