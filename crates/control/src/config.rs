//! How a control plane is set up.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use longshore_model::AccountId;
use longshore_services::ecr::cache::Upstream;
use longshore_store::blobs;
use reqwest::Url;

/// What the gateway does with signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Signatures name the caller.
    Enforce,
    /// Any signature is taken; an access key id of twelve digits names its account; `POST /_longshore/reset` works.
    Permissive,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub region: String,
    pub account: AccountId,
    pub auth: Auth,
    /// A node that has been away for so long is deregistered.
    pub node_lost_hours: u32,
    /// MiB of audit records that are kept; beyond them the oldest go.
    pub audit_mib: u32,
    /// How often audit records are delivered to trails.
    pub trail_seconds: u64,
    /// Where load balancers answer by their names, beside the loopback address of each.
    pub balancer_address: IpAddr,
    /// Where the bytes of images are kept: the URL of a bucket; none for the data directory.
    pub registry_url: Option<String>,
    /// A file that says which registries images can be copied to; none for the one in the data directory.
    pub registry_peers: Option<PathBuf>,
    /// Whether calls are throttled as AWS does.
    pub throttle: bool,
    /// Registries that images may be fetched from, beside those that ECR knows.
    pub upstreams: Vec<Upstream>,
}

/// Reads `HOST`, which answers over TLS, or `HOST=URL`.
///
/// # Errors
/// What is wrong with it.
pub fn upstream(text: &str) -> Result<Upstream, String> {
    let (host, url) = text.split_once('=').unwrap_or((text, ""));
    let in_host = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':');
    if host.is_empty() || !host.bytes().all(in_host) {
        return Err(format!(
            "{host:?} is no host: it has lower-case letters, digits, dots and hyphens, and may have a port"
        ));
    }
    let url = if url.is_empty() { format!("https://{host}") } else { url.to_owned() };
    let bare = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match Url::parse(&url).is_ok_and(|url| bare(&url)) {
        true => Ok(Upstream { host: host.to_owned(), url }),
        false => Err(format!("{url:?} is no URL of a registry: http or https, a host, and perhaps a port")),
    }
}

/// [`Config::trail_seconds`] where nothing is said: about as often as AWS.
pub const TRAIL_SECONDS: u64 = 300;

/// [`Config::audit_mib`] where nothing is said.
pub const AUDIT_MIB: u32 = 1024;

/// [`Config::node_lost_hours`] where nothing is said.
pub const NODE_LOST_HOURS: u32 = 24;

/// Zones of the region.
const ZONES: [char; 3] = ['a', 'b', 'c'];

impl Config {
    pub fn zones(&self) -> Vec<String> {
        ZONES.iter().map(|letter| format!("{}{letter}", self.region)).collect()
    }

    pub fn database(&self) -> PathBuf {
        self.data_dir.join("state.db")
    }

    pub fn log_store(&self) -> PathBuf {
        self.data_dir.join("logs")
    }

    /// `installation` says whose the bytes are.
    pub fn blobs(&self, installation: i64) -> blobs::Options {
        let (url, owner) = (self.registry_url.clone(), format!("{installation:016x}"));
        blobs::Options { url, owner, ..blobs::Options::of(self.data_dir.join("registry")) }
    }

    pub fn audit_log(&self) -> PathBuf {
        audit_log(&self.data_dir)
    }
}

/// Where the audit log of a data directory lies.
pub fn audit_log(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_host_and_where_it_answers() {
        let check = |text: &str, wanted: Option<(&str, &str)>| {
            let read = upstream(text).ok();
            assert_eq!(read.as_ref().map(|read| (read.host.as_str(), read.url.as_str())), wanted, "{text}");
        };
        check("harbor.test", Some(("harbor.test", "https://harbor.test")));
        check("here:5000=http://127.0.0.1:5000", Some(("here:5000", "http://127.0.0.1:5000")));
        check("quay.io=https://mirror.test/", Some(("quay.io", "https://mirror.test/")));
        for text in [
            "",
            "Harbor.test",
            "a/b",
            "https://harbor.test",
            "a=ftp://b",
            "a=http://u:p@b",
            "a=http://b/path",
            "a=b",
            "a=http://b?x",
            "a b",
        ] {
            check(text, None);
        }
    }
}
