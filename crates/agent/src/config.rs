//! What a node is told from outside.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use crate::error::Error;
use crate::image::Cleanup;

/// How a machine that is no node yet becomes one.
#[derive(Clone)]
pub enum Joins {
    /// With a token that an administrator made for it.
    Token(String),
    /// With a token that it makes itself, by the key of somebody who may.
    Key(AccessKey),
}

impl std::fmt::Debug for Joins {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Token(_) => "Token",
            Self::Key(_) => "Key",
        })
    }
}

/// How the node carries out its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// Real containers, from images kept by containerd.
    Containerd,
    /// The lifecycle without containers.
    Simulated,
}

/// What somebody signs with.
#[derive(Clone, Default)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    /// Of temporary credentials.
    pub token: Option<String>,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Everything a node needs to know to run. Directories are created when missing.
#[derive(Clone, Debug)]
pub struct Config {
    /// Root of what survives a reboot: images, writable layers, the node's identity. Its path tells several instances on
    /// one machine apart (see [`Instance`]).
    pub data_dir: PathBuf,
    /// `host:port` of the control plane.
    pub endpoint: String,
    pub region: String,
    /// The installation's own account, twelve digits.
    pub account: String,
    /// Availability zone of the machine.
    pub zone: String,
    /// What the machine joins with, until it has a key of its own.
    pub joins_by: Option<Joins>,
    pub engine: EngineKind,
    /// Socket of a containerd that runs already; `None` starts a private one.
    pub containerd: Option<PathBuf>,
    /// OCI runtime to use; `None` takes the first one that works of crun and runc.
    pub runtime: Option<PathBuf>,
    /// When images that no task uses any more go.
    pub image_cleanup: Cleanup,
    /// Address range of the VPC that this node carries.
    pub vpc_cidr: Ipv4Net,
    /// Its subnets; each one's first address is the gateway.
    pub subnets: Vec<Ipv4Net>,
    /// CPU units on offer (1024 are one vCPU).
    pub cpu: i32,
    /// Memory on offer.
    pub memory_mib: i32,
    /// The binary that has the `supervise` command, normally this process's own.
    pub self_exe: PathBuf,
}

impl Config {
    /// A node with the usual settings: the default VPC 172.31.0.0/16 with its six subnets, all the machine's memory, and
    /// four times its processors (a task's CPU is a limit, and tasks rarely reach it at once); simulated tasks need
    /// nothing, so there is room for thousands. It joins with nothing.
    pub fn new(data_dir: &Path, endpoint: &str, region: &str, account: &str, engine: EngineKind) -> Self {
        let (cpu, memory_mib) = match engine {
            EngineKind::Containerd => (machine_processors().saturating_mul(4096), machine_memory_mib()),
            EngineKind::Simulated => (SIMULATED_CPU, SIMULATED_MEMORY_MIB),
        };
        Self {
            data_dir: data_dir.to_owned(),
            endpoint: endpoint.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            zone: format!("{region}a"),
            joins_by: None,
            engine,
            containerd: None,
            runtime: None,
            image_cleanup: Cleanup::default(),
            vpc_cidr: net(0, 16),
            subnets: (0..6).map(|number| net(number * 16, 20)).collect(),
            cpu,
            memory_mib,
            self_exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("longshore")),
        }
    }

    /// Address of the VPC's resolver: the base of the range plus two.
    pub(crate) fn resolver(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.vpc_cidr.network()).saturating_add(2))
    }
}

/// Sixteen thousand vCPUs with four GiB each.
const SIMULATED_CPU: i32 = 16_384 * 1024;
const SIMULATED_MEMORY_MIB: i32 = 16_384 * 4096;

/// Within 172.31.0.0/16.
fn net(third: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(172, 31, third, 0), prefix)
}

/// What tells the instances on one machine apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Eight hexadecimal digits of the data directory's path.
    pub id: String,
    /// The data directory, absolute and without links.
    pub data_dir: PathBuf,
    /// `/run/longshore/<id>`: short, because the path of a Unix socket holds 107 bytes.
    pub run_dir: PathBuf,
}

impl Instance {
    /// The instance of a data directory, which is made if it is missing.
    ///
    /// # Errors
    /// When a directory can neither be found nor made.
    pub fn of(data_dir: &Path) -> Result<Self, Error> {
        let socket = crate::containerd::Layout::of(data_dir)?.socket();
        let run_dir = socket.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned();
        let id = run_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let data_dir = data_dir.canonicalize().map_err(Error::file(data_dir))?;
        Ok(Self { id, data_dir, run_dir })
    }
}

fn machine_processors() -> i32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    i32::try_from(processors).unwrap_or(1)
}

fn machine_memory_mib() -> i32 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_mib_of(&text).unwrap_or(512)
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn memory_mib_of(meminfo: &str) -> Option<i32> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    i32::try_from(kib / 1024).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_in_mib() {
        assert_eq!(memory_mib_of("MemFree: 1 kB\nMemTotal:       16384000 kB\n"), Some(16000));
        assert_eq!(memory_mib_of("nothing here"), None);
        assert!(machine_memory_mib() > 0);
    }

    #[test]
    fn the_usual_node_carries_the_default_vpc() {
        let config = Config::new(Path::new("/d"), "127.0.0.1:4566", "eu-west-1", "000000000000", EngineKind::Simulated);
        assert_eq!(config.subnets[5].to_string(), "172.31.80.0/20");
        assert_eq!((config.resolver(), config.zone.as_str()), (Ipv4Addr::new(172, 31, 0, 2), "eu-west-1a"));
        assert!(config.cpu >= 4096);
    }
}
