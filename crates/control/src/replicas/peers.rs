//! The registries that images can be copied to: where each is, and what opens it. An operator says so, in a file that nobody
//! else may read:
//!
//! ```text
//! {"222222222222/eu-west-1": {"url": "https://…", "accessKeyId": "…", "secretAccessKey": "…"}}
//! ```
//! A key is the account and the region of a registry. Another account of the same installation is a peer like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, Method};
use longshore_login::private_file;
use longshore_model::AccountId;
use longshore_model::registry::{Destination, Digest};
use longshore_wire::sigv4::Signer;
use longshore_wire::{Timestamp, TimestampFormat};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::remote::{Ask, Credentials, Error, Remote, bounded};
use crate::{Server, clock};

/// The file, in the data directory, where none is named.
pub(crate) const FILE: &str = "registry-peers.json";

/// Peers in it.
const MOST: usize = 1000;

/// Bytes of the answer that has the token.
const LARGEST_ANSWER: usize = 64 * 1024;

/// How long a token is used, which is good for twelve hours.
const GOOD_MILLIS: i64 = 6 * 3600 * 1000;

#[derive(Debug, Default)]
pub(crate) struct Peers(BTreeMap<Destination, Arc<Peer>>);

/// One of them.
pub(crate) struct Peer {
    pub at: Destination,
    url: Url,
    key: Key,
    /// Its registry as whoever has a token of it, and since when.
    signed_in: Mutex<Option<(Arc<Remote>, Timestamp)>>,
    /// The upload that is not finished: of one image at a time there is one at most. The next try goes on with it.
    pub begun: parking_lot::Mutex<Option<Begun>>,
}

/// An upload of a layer to a repository.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub repository: String,
    pub layer: Digest,
    pub url: Url,
}

/// What opens it. Never shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Key {
    url: String,
    access_key_id: String,
    secret_access_key: String,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Peer").field("at", &self.at).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Peers {
    /// Those of the file that is named, or else of the one in the data directory, if it is there.
    ///
    /// # Errors
    /// What is wrong with the file, in words for the operator.
    pub fn open(named: Option<&Path>, data_dir: &Path) -> Result<Self, String> {
        let path: PathBuf = named.map_or_else(|| data_dir.join(FILE), Path::to_owned);
        let refuse = |reason: String| format!("{}: {reason}", path.display());
        match private_file(&path).map_err(refuse)? {
            Some(text) => Self::parse(&text).map_err(refuse),
            None if named.is_none() => Ok(Self::default()),
            None => Err(refuse("there is no such file".to_owned())),
        }
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        // The words of the parser may quote what it read.
        let place = |error: serde_json::Error| {
            format!("it is not in the form of a list of peers: line {}, column {}", error.line(), error.column())
        };
        let keys: BTreeMap<String, Key> = serde_json::from_slice(text).map_err(place)?;
        if keys.len() > MOST {
            return Err(format!("it has more than {MOST} peers"));
        }
        let peer = |(name, key): (String, Key)| {
            let at = named(&name).ok_or_else(|| format!("{name:?} is no peer; one is named ACCOUNT/REGION"))?;
            let url = address(&key.url).map_err(|why| format!("the URL of {name} {why}"))?;
            Ok((at.clone(), Arc::new(Peer { at, url, key, signed_in: Mutex::default(), begun: Default::default() })))
        };
        keys.into_iter().map(peer).collect::<Result<_, String>>().map(Self)
    }

    pub fn get(&self, at: &Destination) -> Option<&Arc<Peer>> {
        self.0.get(at)
    }

    pub fn places(&self) -> BTreeSet<Destination> {
        self.0.keys().cloned().collect()
    }
}

fn named(text: &str) -> Option<Destination> {
    let (account, region) = text.split_once('/')?;
    let is_region = !region.is_empty()
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let registry = AccountId::parse(account).filter(|_| is_region)?.to_string();
    Some(Destination { region: region.to_owned(), registry })
}

/// Secrets go over TLS, or stay on this machine.
fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is none")?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_bare || !url.username().is_empty() || url.password().is_some() {
        return Err("must be https://HOST or https://HOST:PORT, and no more");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if url.host_str().is_some_and(is_loopback) => Ok(url),
        _ => Err("must begin with https:// unless it leads to this machine"),
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost", |address| address.is_loopback())
}

/// The part of GetAuthorizationToken's answer that is needed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: Vec<Authorization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: String,
}

impl Peer {
    /// Its registry, open to the key's holder.
    ///
    /// # Errors
    /// Why there is no token.
    pub async fn sign_in(&self) -> Result<Arc<Remote>, Error> {
        let mut known = self.signed_in.lock().await;
        let now = clock::now();
        if let Some((remote, since)) = known.as_ref()
            && now.millis().saturating_sub(since.millis()) < GOOD_MILLIS
        {
            return Ok(remote.clone());
        }
        let remote = Arc::new(Remote::new(self.url.clone(), self.token().await?));
        *known = Some((remote.clone(), now));
        Ok(remote)
    }

    /// The token is none any more.
    pub async fn sign_out(&self) {
        self.signed_in.lock().await.take();
    }

    async fn token(&self) -> Result<Credentials, Error> {
        const BODY: &[u8] = b"{}";
        let asked = Remote::new(self.url.clone(), Credentials::Anonymous);
        let (host, timestamp) = (asked.host(), compact(clock::wall()));
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("host", host.as_str()),
            ("x-amz-date", timestamp.as_str()),
            ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
        ];
        let key = &self.key;
        let signer = Signer {
            secret_key: &key.secret_access_key,
            timestamp: &timestamp,
            region: &self.at.region,
            service: "ecr",
        };
        let authorization = signer.post_authorization(&key.access_key_id, &headers, BODY);
        let sent = headers.iter().filter(|(name, _)| name.starts_with("x-amz-"));
        let mut sent: Vec<_> = sent
            .filter_map(|(name, value)| Some((HeaderName::from_bytes(name.as_bytes()).ok()?, (*value).to_owned())))
            .collect();
        sent.push((CONTENT_TYPE, headers[0].1.to_owned()));
        sent.push((AUTHORIZATION, authorization));
        let ask = Ask {
            method: Method::POST,
            url: asked.url("/")?,
            scope: "",
            headers: sent,
            body: BODY.into(),
            what: "a token of its registry".to_owned(),
        };
        let answer = bounded(asked.ask(&ask).await?, LARGEST_ANSWER).await?;
        credentials(&answer).ok_or_else(|| Error::wrong(&self.url, "gives a token that is none"))
    }
}

fn credentials(answer: &[u8]) -> Option<Credentials> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let plain = STANDARD.decode(&answer.authorization_data.first()?.authorization_token).ok()?;
    let plain = String::from_utf8(plain).ok()?;
    let (user, password) = plain.split_once(':')?;
    Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() })
}

/// `20150125T080000Z`
fn compact(time: Timestamp) -> String {
    let seconds = Timestamp::from_millis(time.millis() / 1000 * 1000);
    seconds.format(TimestampFormat::Iso8601).chars().filter(|letter| !matches!(letter, '-' | ':')).collect()
}

impl Server {
    pub(crate) fn peer(&self, at: &Destination) -> Option<Arc<Peer>> {
        self.peers.get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, url: &str) -> Result<Peers, String> {
        let text = format!(r#"{{"{name}": {{"url": "{url}", "accessKeyId": "AKIA", "secretAccessKey": "hidden"}}}}"#);
        Peers::parse(text.as_bytes())
    }

    #[test]
    fn a_peer_has_a_place_an_address_and_a_key() {
        for url in [
            "https://a.example",
            "https://a.example:8443/",
            "http://127.0.0.1:4566",
            "http://[::1]:1",
            "http://localhost",
        ] {
            let peers = parse("222222222222/eu-west-1", url).unwrap();
            let at = Destination { region: "eu-west-1".to_owned(), registry: "222222222222".to_owned() };
            assert!(peers.get(&at).is_some() && peers.places().contains(&at), "{url}");
            assert!(!format!("{peers:?}").contains("hidden"));
        }
        assert!(Peers::parse(b"{}").unwrap().places().is_empty());
    }

    #[test]
    fn what_is_no_list_of_peers_is_refused_and_not_quoted() {
        for (name, url, why) in [
            ("2/eu-west-1", "https://a", "ACCOUNT/REGION"),
            ("222222222222", "https://a", "ACCOUNT/REGION"),
            ("222222222222/", "https://a", "ACCOUNT/REGION"),
            ("222222222222/EU", "https://a", "ACCOUNT/REGION"),
            ("222222222222/eu-west-1", "http://a.example", "https"),
            ("222222222222/eu-west-1", "http://127.0.0.1.example", "https"),
            ("222222222222/eu-west-1", "ftp://127.0.0.1", "https"),
            ("222222222222/eu-west-1", "https://u:p@a", "no more"),
            ("222222222222/eu-west-1", "https://a/v2", "no more"),
            ("222222222222/eu-west-1", "", "is none"),
        ] {
            let said = parse(name, url).unwrap_err();
            assert!(said.contains(why), "{name} {url}: {said}");
        }
        for text in
            ["", "[]", r#"{"a": 1}"#, r#"{"222222222222/eu-west-1": {"url": "https://a", "accessKeyId": "hidden"}}"#]
        {
            let said = Peers::parse(text.as_bytes()).unwrap_err();
            assert!(said.contains("line") && !said.contains("hidden"), "{said}");
        }
    }

    #[test]
    fn others_may_not_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = std::env::temp_dir().join(format!("longshore-peers-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        assert!(Peers::open(None, &directory).unwrap().places().is_empty());
        let path = directory.join(FILE);
        assert!(Peers::open(Some(&path), &directory).unwrap_err().contains("no such file"));
        std::fs::write(&path, "{}").unwrap();
        for (mode, good) in [(0o600, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Peers::open(None, &directory).is_ok(), good, "{mode:o}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_signature_has_its_time_without_marks() {
        assert_eq!(compact(Timestamp::from_millis(1_422_172_800_123)), "20150125T080000Z");
    }

    #[test]
    fn a_token_is_a_name_and_a_password() {
        let answer = |plain: &str| {
            let token = STANDARD.encode(plain);
            credentials(format!(r#"{{"authorizationData":[{{"authorizationToken":"{token}"}}]}}"#).as_bytes())
        };
        let known = Credentials::Basic { user: "AWS".to_owned(), password: "a:b".to_owned() };
        assert_eq!(answer("AWS:a:b"), Some(known));
        assert_eq!(answer("AWS"), None);
        for text in ["", "{}", r#"{"authorizationData":[]}"#, r#"{"authorizationData":[{"authorizationToken":"!"}]}"#] {
            assert_eq!(credentials(text.as_bytes()), None, "{text}");
        }
    }
}
