//! Settings from flags, environment and the configuration file, in falling order of weight.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum, value_parser};
use longshore_agent::image::Cleanup;
use longshore_control::{AUDIT_MIB, NODE_LOST_HOURS, TRAIL_SECONDS};
use serde::Deserialize;

/// What a signature is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// Signatures name the caller
    Enforce,
    /// Any signature is taken; an access key id of twelve digits names its account (development, CI)
    Permissive,
}

/// What tasks run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Real containers
    Containerd,
    /// Tasks follow their lifecycle without containers
    Simulated,
}

/// Which instance a command speaks of.
#[derive(Clone, Debug, Default, Args)]
pub struct Instance {
    /// Where everything is kept [default: /var/lib/longshore for root, else the user's state directory]
    #[arg(long, env = "LONGSHORE_DATA_DIR", value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// The address of the API [default: 127.0.0.1:4566]
    #[arg(long, env = "LONGSHORE_LISTEN", value_name = "HOST:PORT", global = true)]
    pub listen: Option<SocketAddr>,
    /// Configuration file [default: longshore.toml in the data directory, if there]
    #[arg(long, env = "LONGSHORE_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// How the control plane and the node behave.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Behaviour {
    /// Region [default: us-east-1]
    #[arg(long, env = "LONGSHORE_REGION")]
    pub region: Option<String>,
    /// Account: twelve digits [default: 000000000000]
    #[arg(long, env = "LONGSHORE_ACCOUNT_ID", value_name = "N")]
    pub account_id: Option<String>,
    /// Signatures [default: enforce]
    #[arg(long, env = "LONGSHORE_AUTH", value_enum)]
    pub auth: Option<Auth>,
    /// Containers [default: containerd]
    #[arg(long, env = "LONGSHORE_ENGINE", value_enum)]
    pub engine: Option<Engine>,
    /// Socket of a containerd to use instead of a private one
    #[arg(long, env = "LONGSHORE_CONTAINERD", value_name = "SOCKET")]
    pub containerd: Option<PathBuf>,
    /// OCI runtime to use instead of the one found (crun, then runc)
    #[arg(long, env = "LONGSHORE_RUNTIME", value_name = "FILE")]
    pub runtime: Option<PathBuf>,
    /// CPU units that this node offers; 1024 are one vCPU [default: 4096 for each processor]
    #[arg(long, env = "LONGSHORE_CPU", value_name = "UNITS")]
    pub cpu: Option<i32>,
    /// Memory in MiB that this node offers [default: what the machine has]
    #[arg(long, env = "LONGSHORE_MEMORY", value_name = "MIB")]
    pub memory: Option<i32>,
    /// Hours that a node may be away before it is deregistered and its tasks end [default: 24]
    #[arg(long, env = "LONGSHORE_NODE_LOST_HOURS", value_name = "HOURS")]
    pub node_lost_hours: Option<u32>,
    /// MiB of audit records that are kept; beyond them the oldest go [default: 1024]
    #[arg(long, env = "LONGSHORE_AUDIT_MIB", value_name = "MIB", value_parser = value_parser!(u32).range(1..))]
    pub audit_mib: Option<u32>,
    /// How often audit records are delivered to trails [default: 300]
    #[arg(long, env = "LONGSHORE_TRAIL_INTERVAL", value_name = "SECONDS", value_parser = value_parser!(u64).range(1..))]
    pub trail_interval: Option<u64>,
    /// A bucket for the layers of images that are pushed, s3://BUCKET/PREFIX for one; credentials are taken from the
    /// environment [default: the data directory]
    #[arg(long, env = "LONGSHORE_REGISTRY_URL", value_name = "URL")]
    pub registry_url: Option<String>,
    /// A file that says which registries images can be replicated to, and by which keys [default: registry-peers.json in the
    /// data directory, if there]
    #[arg(long, env = "LONGSHORE_REGISTRY_PEERS", value_name = "FILE")]
    pub registry_peers: Option<PathBuf>,
    /// A registry that pull through cache rules may name, beside those that ECR knows; with a URL where it answers elsewhere,
    /// or in plain HTTP. May be given more than once
    #[arg(
        long = "upstream-registry",
        env = "LONGSHORE_UPSTREAM_REGISTRIES",
        value_name = "HOST[=URL]",
        value_delimiter = ','
    )]
    pub upstream_registries: Option<Vec<String>>,
    /// Where load balancers answer by their names, beside the loopback address of each: an address of the edges' machines
    /// [default: 127.0.0.1]
    #[arg(long, env = "LONGSHORE_BALANCER_ADDRESS", value_name = "IP")]
    pub balancer_address: Option<IpAddr>,
    /// Refuse what an account calls too often, as AWS does for ECS [default: false]
    #[arg(long, env = "LONGSHORE_THROTTLE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub throttle: Option<bool>,
    /// How often the node lets go of images that were pulled and are not used [default: 1800]
    #[arg(long, env = "LONGSHORE_IMAGE_CLEANUP_INTERVAL", value_name = "SECONDS", value_parser = value_parser!(u64).range(1..))]
    pub image_cleanup_interval: Option<u64>,
    /// How long a task must not have used such an image [default: 3600]
    #[arg(long, env = "LONGSHORE_IMAGE_MINIMUM_AGE", value_name = "SECONDS")]
    pub image_minimum_age: Option<u64>,
    /// How many of them go at a time; 0 keeps all [default: 5]
    #[arg(long, env = "LONGSHORE_IMAGES_PER_CLEANUP", value_name = "N")]
    pub images_per_cleanup: Option<usize>,
}

/// The configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    listen: Option<SocketAddr>,
    /// Everything else. [`Behaviour`] refuses what it does not know.
    #[serde(flatten)]
    behaviour: toml::Table,
}

/// Every setting, decided.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub data_dir: PathBuf,
    pub listen: SocketAddr,
    pub region: String,
    pub account: String,
    pub auth: Auth,
    pub engine: Engine,
    pub containerd: Option<PathBuf>,
    pub runtime: Option<PathBuf>,
    pub cpu: Option<i32>,
    pub memory: Option<i32>,
    pub node_lost_hours: u32,
    pub audit_mib: u32,
    pub trail_interval: u64,
    pub registry_url: Option<String>,
    pub registry_peers: Option<PathBuf>,
    pub upstream_registries: Vec<String>,
    pub balancer_address: IpAddr,
    pub throttle: bool,
    pub image_cleanup: Cleanup,
}

pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4566);

impl Instance {
    /// The data directory: absolute, not necessarily there.
    pub fn data_dir(&self) -> Result<PathBuf> {
        let chosen = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => default_data_dir()?,
        };
        std::path::absolute(&chosen).with_context(|| format!("{} is no path", chosen.display()))
    }

    /// The address that was chosen, else the one the running instance wrote down, else the default.
    pub fn endpoint(&self) -> Result<SocketAddr> {
        if let Some(listen) = self.listen {
            return Ok(listen);
        }
        let written = std::fs::read_to_string(self.data_dir()?.join(ENDPOINT_FILE)).ok();
        Ok(written.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_LISTEN))
    }

    pub fn resolve(&self, flags: &Behaviour) -> Result<Resolved> {
        let data_dir = self.data_dir()?;
        let (file_listen, file) = self.file(&data_dir)?;
        let image_cleanup = cleanup(flags, &file);
        let account = flags.account_id.clone().or(file.account_id);
        let resolved = Resolved {
            listen: self.listen.or(file_listen).unwrap_or(DEFAULT_LISTEN),
            region: flags.region.clone().or(file.region).unwrap_or_else(|| "us-east-1".to_owned()),
            account: account.unwrap_or_else(|| "000000000000".to_owned()),
            auth: flags.auth.or(file.auth).unwrap_or(Auth::Enforce),
            engine: flags.engine.or(file.engine).unwrap_or(Engine::Containerd),
            containerd: flags.containerd.clone().or(file.containerd),
            runtime: flags.runtime.clone().or(file.runtime),
            cpu: flags.cpu.or(file.cpu),
            memory: flags.memory.or(file.memory),
            node_lost_hours: flags.node_lost_hours.or(file.node_lost_hours).unwrap_or(NODE_LOST_HOURS),
            // A file may say 0.
            audit_mib: flags.audit_mib.or(file.audit_mib).unwrap_or(AUDIT_MIB).max(1),
            throttle: flags.throttle.or(file.throttle).unwrap_or(false),
            registry_url: flags.registry_url.clone().or(file.registry_url),
            registry_peers: flags.registry_peers.clone().or(file.registry_peers),
            upstream_registries: flags.upstream_registries.clone().or(file.upstream_registries).unwrap_or_default(),
            trail_interval: flags.trail_interval.or(file.trail_interval).unwrap_or(TRAIL_SECONDS),
            balancer_address: flags.balancer_address.or(file.balancer_address).unwrap_or(Ipv4Addr::LOCALHOST.into()),
            image_cleanup,
            data_dir,
        };
        if !resolved.listen.ip().is_loopback() {
            bail!(
                "{} is not a loopback address; until identities are enforced only loopback may be listened on",
                resolved.listen
            );
        }
        if resolved.balancer_address.is_unspecified() {
            // Each balancer has its port on an address of its own already.
            bail!("{} is every address; say the one that load balancers are to answer at", resolved.balancer_address);
        }
        if !is_region(&resolved.region) {
            bail!("{:?} is no region; one is named like eu-west-1", resolved.region);
        }
        Ok(resolved)
    }

    fn file(&self, data_dir: &Path) -> Result<(Option<SocketAddr>, Behaviour)> {
        let path = self.config.clone().unwrap_or_else(|| data_dir.join("longshore.toml"));
        if self.config.is_none() && !path.exists() {
            return Ok((None, Behaviour::default()));
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let file: File = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let behaviour = Behaviour::deserialize(file.behaviour).with_context(|| format!("in {}", path.display()))?;
        Ok((file.listen, behaviour))
    }
}

/// Whether ARNs and signatures can hold it: small letters, digits and hyphens, a letter first.
fn is_region(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-')
}

/// When the node lets images go.
fn cleanup(flags: &Behaviour, file: &Behaviour) -> Cleanup {
    let usual = Cleanup::default();
    let seconds = |chosen: Option<u64>, usual: Duration| chosen.map_or(usual, Duration::from_secs);
    let every = flags.image_cleanup_interval.or(file.image_cleanup_interval);
    Cleanup {
        // A file may say 0.
        every: seconds(every, usual.every).max(Duration::from_secs(1)),
        least_age: seconds(flags.image_minimum_age.or(file.image_minimum_age), usual.least_age),
        per_cycle: flags.images_per_cleanup.or(file.images_per_cleanup).unwrap_or(usual.per_cycle),
    }
}

/// Where a running instance writes its address, inside the data directory.
pub const ENDPOINT_FILE: &str = "endpoint";

/// Where a node writes the socket of the containerd it was pointed at, inside the data directory.
pub const CONTAINERD_FILE: &str = "containerd-socket";

fn default_data_dir() -> Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/longshore"));
    }
    if let Some(state) = std::env::var_os("XDG_STATE_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(state).join("longshore"));
    }
    let home = std::env::var_os("HOME").context("neither XDG_STATE_HOME nor HOME is set; use --data-dir")?;
    Ok(PathBuf::from(home).join(".local/state/longshore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(file: &str, flags: &Behaviour) -> Result<Resolved> {
        let dir = std::env::temp_dir().join(format!("longshore-options-{}-{:p}", std::process::id(), flags));
        std::fs::create_dir_all(&dir)?;
        let config = dir.join("c.toml");
        std::fs::write(&config, file)?;
        let instance = Instance { data_dir: Some(dir.clone()), listen: None, config: Some(config) };
        let resolved = instance.resolve(flags);
        std::fs::remove_dir_all(&dir)?;
        resolved
    }

    #[test]
    fn flags_weigh_more_than_the_file_and_the_file_more_than_defaults() {
        let file = "region = 'eu-west-1'\nengine = 'simulated'\nlisten = '127.0.0.1:9'";
        let flags = Behaviour { region: Some("us-west-2".into()), ..Behaviour::default() };
        let resolved = resolve(file, &flags).unwrap();
        assert_eq!(resolved.region, "us-west-2");
        assert_eq!(resolved.engine, Engine::Simulated);
        assert_eq!(resolved.auth, Auth::Enforce);
        assert_eq!(resolved.listen.port(), 9);
    }

    #[test]
    fn images_go_as_on_ecs_unless_said_otherwise() {
        let resolved = resolve("image-minimum-age = 7", &Behaviour::default()).unwrap().image_cleanup;
        assert_eq!((resolved.every.as_secs(), resolved.least_age.as_secs(), resolved.per_cycle), (1800, 7, 5));
        let flags = Behaviour { images_per_cleanup: Some(0), ..Behaviour::default() };
        assert_eq!(resolve("images-per-cleanup = 9", &flags).unwrap().image_cleanup.per_cycle, 0);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(resolve("regoin = 'x'", &Behaviour::default()).is_err());
    }

    #[test]
    fn only_loopback_may_be_listened_on() {
        assert!(resolve("listen = '0.0.0.0:4566'", &Behaviour::default()).is_err());
        assert!(resolve("balancer-address = '0.0.0.0'", &Behaviour::default()).is_err());
        assert!(resolve("balancer-address = '192.0.2.7'", &Behaviour::default()).is_ok());
    }
}
