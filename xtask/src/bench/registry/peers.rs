//! The registries, each on processor 0 with a directory of its own; both go when they are dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::wire::{Blob, Client, MANIFEST};
use crate::bench::instance::Instance;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A registry with the repository `bench`.
pub struct Peer {
    pub name: &'static str,
    pub is_ours: bool,
    pub pid: u32,
    address: String,
    /// What is shown at each request.
    authorization: Option<String>,
    _running: Running,
}

enum Running {
    Longshore(#[expect(dead_code, reason = "ends when it is dropped")] Instance),
    Debian { child: Child, directory: PathBuf },
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Debian { child, directory } = self {
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

pub fn longshore() -> Result<Peer> {
    let mut instance = Instance::new("registry")?;
    let pid = instance.start_on(0, &["server"])?;
    instance.wait("/healthz")?;
    let mut client = instance.client()?;
    client.ecr("CreateRepository", &json!({ "repositoryName": "bench" }))?;
    let answer: Value = client.ecr("GetAuthorizationToken", &json!({}))?;
    let token = answer["authorizationData"][0]["authorizationToken"].as_str().context("a token")?.to_owned();
    Ok(Peer {
        name: "Longshore",
        is_ours: true,
        pid,
        address: instance.address.clone(),
        authorization: Some(format!("Basic {token}")),
        _running: Running::Longshore(instance),
    })
}

pub fn docker_registry() -> Result<Peer> {
    let directory = std::env::temp_dir().join(format!("longshore-bench-docker-registry-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let config = directory.join("config.yml");
    std::fs::write(&config, configuration(&directory, &address))?;
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0", "docker-registry", "serve"]).arg(&config).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("docker-registry")?;
    let pid = child.id();
    let running = Running::Debian { child, directory };
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(&address).is_err() {
        if Instant::now() > deadline {
            bail!("docker-registry does not listen; is it installed?");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Peer { name: "docker-registry", is_ours: false, pid, address, authorization: None, _running: running })
}

fn configuration(directory: &Path, address: &str) -> String {
    let store = directory.join("store");
    format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nhttp: {{addr: \"{address}\"}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  cache: {{blobdescriptor: inmemory}}\n",
        store.display()
    )
}

impl Peer {
    pub fn connect(&self) -> Result<Client> {
        Client::connect(&self.address, self.authorization.as_deref())
    }

    /// Pushes an image of these layers as the tag `1`.
    pub fn image(&self, one: &Blob, other: &Blob) -> Result<()> {
        let config =
            Blob::of(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec());
        let mut client = self.connect()?;
        for blob in [&config, one, other] {
            client.push(blob)?;
        }
        let describe =
            |kind: &str, blob: &Blob| json!({"mediaType": kind, "digest": blob.digest, "size": blob.bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": describe(CONFIG, &config),
            "layers": [describe(LAYER, one), describe(LAYER, other)],
        });
        client.put_manifest("1", MANIFEST, &manifest.to_string())
    }
}
