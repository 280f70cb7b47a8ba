//! How a control plane is set up.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use longshore_model::AccountId;
use longshore_store::blobs;

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

    pub fn blobs(&self) -> blobs::Options {
        blobs::Options { url: self.registry_url.clone(), ..blobs::Options::of(self.data_dir.join("registry")) }
    }

    pub fn audit_log(&self) -> PathBuf {
        audit_log(&self.data_dir)
    }
}

/// Where the audit log of a data directory lies.
pub fn audit_log(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}
