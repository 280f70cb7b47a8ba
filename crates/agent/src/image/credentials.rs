//! The node's credentials for registries: a file in the form of Docker's `config.json`, `DATA/registries.json`.
//!
//! ```json
//! {"auths": {"registry.example:5000": {"auth": "base64 of user:password"}}}
//! ```
//!
//! It is read anew at each pull, so a change acts at once. Nobody but its owner may have access to it, else it is
//! refused. Failures never quote it.
//!
//! Left out: credential helpers and stores, which are programs to run, and identity tokens; an entry with one of those
//! is refused. Entries for a part of a registry are passed over.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use longshore_login::private_file;
use serde::Deserialize;

use super::auth::Auth;
use super::error::Error;

/// Where the credentials of a node are.
#[derive(Debug, Clone)]
pub(super) struct Credentials(PathBuf);

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

/// One registry, as Docker writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
    #[serde(rename = "registrytoken")]
    registry_token: String,
}

impl Credentials {
    pub(super) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// What to show to `registry` (`docker.io`, `localhost:5000`); `Anonymous` without a file or an entry.
    ///
    /// # Errors
    /// `Credentials` when the file is not readable, not private, or not in its form.
    pub(super) async fn find(&self, registry: &str) -> Result<Auth, Error> {
        let (path, registry) = (self.0.clone(), registry.to_owned());
        let finding = tokio::task::spawn_blocking(move || {
            let refuse = |reason: String| Error::Credentials(format!("{}: {reason}", path.display()));
            match private_file(&path).map_err(refuse)? {
                Some(text) => choose(&text, &registry).map_err(refuse),
                None => Ok(Auth::Anonymous),
            }
        });
        finding.await.map_err(|error| Error::Credentials(error.to_string()))?
    }
}

fn choose(text: &[u8], registry: &str) -> Result<Auth, String> {
    // The words of the parser may quote what it read.
    let place = |error: serde_json::Error| {
        format!("not in the form of a config.json: line {}, column {}", error.line(), error.column())
    };
    let document: Document = serde_json::from_slice(text).map_err(place)?;
    let mut entries = document.auths.into_iter();
    match entries.find(|(key, _)| host(key).is_some_and(|host| host.eq_ignore_ascii_case(registry))) {
        Some((_, entry)) => entry.auth().map_err(|reason| format!("the entry for {registry} {reason}")),
        None => Ok(Auth::Anonymous),
    }
}

/// The registry a key is for: `https://index.docker.io/v1/` is Docker's own name for `docker.io`. A key with any other
/// path is for a part of a registry only.
fn host(key: &str) -> Option<&str> {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    match (host, path.trim_end_matches('/')) {
        ("index.docker.io" | "registry-1.docker.io", "" | "v1" | "v2") => Some("docker.io"),
        (host, "" | "v1" | "v2") => Some(host),
        _ => None,
    }
}

impl Entry {
    fn auth(self) -> Result<Auth, &'static str> {
        if !self.identity_token.is_empty() {
            return Err("has an identity token, which is not supported");
        }
        if !self.registry_token.is_empty() {
            return Ok(Auth::Bearer(self.registry_token));
        }
        if self.auth.is_empty() {
            return Err("has no auth");
        }
        let bytes = BASE64_STANDARD.decode(self.auth.trim()).map_err(|_| "is not base64")?;
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        let (user, password) = text.split_once(':').ok_or("is not user:password")?;
        Ok(Auth::Basic { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(user: &str, password: &str) -> Result<Auth, String> {
        Ok(Auth::Basic { user: user.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn the_entry_of_a_registry_is_found() {
        let text = br#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmE6Yg=="},
            "registry.example:5000": {"auth": "bWU6cHc="},
            "https://TLS.example": {"auth": "bWU6cHc="},
            "part.example/team": {"auth": "bWU6cHc="},
            "token.example": {"registrytoken": "t0ken"}
        }, "credsStore": "desktop", "HttpHeaders": {}}"#;
        for (registry, expected) in [
            ("docker.io", basic("hub", "a:b")),
            ("registry.example:5000", basic("me", "pw")),
            ("registry.example", Ok(Auth::Anonymous)),
            ("tls.example", basic("me", "pw")),
            ("part.example", Ok(Auth::Anonymous)),
            ("token.example", Ok(Auth::Bearer("t0ken".to_owned()))),
        ] {
            assert_eq!(choose(text, registry), expected, "{registry}");
        }
        assert_eq!(choose(b"{}", "docker.io"), Ok(Auth::Anonymous));
    }

    #[test]
    fn what_does_not_read_is_refused_and_not_quoted() {
        for (text, expected) in [
            ("", "line 1, column 0"),
            ("secret", "line 1, column 1"),
            (r#"{"auths": {"r": {"auth": 77}}}"#, "line 1"),
            (r#"{"auths": {"r": "secret"}}"#, "line 1"),
            (r#"{"auths": {"r": {}}}"#, "the entry for r has no auth"),
            (r#"{"auths": {"r": {"auth": "secret!"}}}"#, "the entry for r is not base64"),
            (r#"{"auths": {"r": {"auth": "c2VjcmV0"}}}"#, "the entry for r is not user:password"),
            (r#"{"auths": {"r": {"auth": "//79"}}}"#, "the entry for r is not UTF-8"),
            (r#"{"auths": {"r": {"identitytoken": "secret"}}}"#, "identity token"),
        ] {
            let reason = choose(text.as_bytes(), "r").unwrap_err();
            assert!(reason.contains(expected) && !reason.contains("secret"), "{text}: {reason}");
        }
    }
}
