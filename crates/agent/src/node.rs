//! Who this node is: its registration with the control plane, kept so that it comes back as the same one.
//!
//! ```text
//!   join, once in its life ──► key ──► register, at every start ──► sessions
//!     ▲                                  │
//!     └──── the key is void, at a start, and there is something to join with
//! ```

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use longshore_link::FARGATE_CLUSTER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::{CallError, ControlPlane};
use crate::backoff::{Backoff, chance};
use crate::config::Config;
use crate::error::Error;
use crate::join::{Failed, Identity};

/// Registrations without an answer, half a second of them, until it is told; nothing else is seen of an agent that has the wrong
/// address.
const TOLD: u32 = 5;

/// What a node can do, in the words of ECS.
const CAPABILITIES: [&str; 17] = [
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.ecr-auth",
    "com.amazonaws.ecs.capability.logging-driver.awslogs",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.task-iam-role",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.container-restart-policy",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.execution-role-ecr-pull",
    "ecs.capability.full-sync",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.secrets.ssm.bootstrap.log-driver",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.task-eni",
];

/// Where the control plane wants the sessions.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PollEndpoint {
    pub(crate) endpoint: String,
    pub(crate) telemetry_endpoint: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    container_instance_arn: Option<String>,
    /// Makes a registration that is repeated after a lost answer the same registration.
    client_token: String,
}

/// A node's registration.
pub(crate) struct Registrar {
    plane: ControlPlane,
    file: PathBuf,
    kept: Kept,
    identity: Identity,
    request: Value,
}

impl Registrar {
    /// Reads what was kept. `public_pool` is the range of public addresses that this node carries.
    pub(crate) fn open(config: &Config, plane: ControlPlane, public_pool: Option<String>) -> Result<Self, Error> {
        let directory = config.data_dir.join("agent");
        std::fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
        let file = directory.join("node.json");
        let mut kept = read(&file)?;
        if kept.client_token.is_empty() {
            kept.client_token = format!("{:016x}{:016x}", random(), random());
            write(&file, &kept)?;
        }
        let identity = Identity::open(config, plane.clone())?;
        let request = request(config, public_pool);
        Ok(Self { plane, file, kept, identity, request })
    }

    /// Registers, under the name of before if there was one, for as long as it takes the control plane to answer. Joins before,
    /// if it has no key.
    ///
    /// # Errors
    /// What the control plane refused for good; [`Error::Void`].
    pub(crate) async fn register(&mut self) -> Result<String, Error> {
        let mut backoff = Backoff::of_sessions(true);
        let mut repeated = 0;
        loop {
            self.identity.check()?;
            let error = match self.join_and_attempt().await {
                Ok(arn) => return self.keep(arn),
                Err(Failed::Here(error)) => return Err(error),
                Err(Failed::Call(error)) => error,
            };
            if error.is_transient() {
                repeated += 1;
                match repeated {
                    TOLD => tracing::warn!(%error, "this node is waiting for the control plane"),
                    _ => tracing::debug!(%error, "the registration will be repeated"),
                }
                backoff.wait().await;
            } else if !self.identity.has_key() {
                return Err(error.into());
            } else if error.is_of_void_key() {
                self.identity.renew()?;
            } else if self.kept.container_instance_arn.is_some() {
                tracing::warn!(%error, "the control plane does not know this node; registering as a new one");
                self.kept.container_instance_arn = None;
                self.kept.client_token = format!("{:016x}{:016x}", random(), random());
            } else {
                return Err(error.into());
            }
        }
    }

    /// A key is one node's: with one there is no other name to register under.
    async fn join_and_attempt(&mut self) -> Result<String, Failed> {
        if let Some(arn) = self.identity.join(self.kept.container_instance_arn.as_deref()).await? {
            self.kept.container_instance_arn = Some(arn);
            write(&self.file, &self.kept)?;
        }
        let arn = self.attempt().await?;
        self.identity.taken();
        Ok(arn)
    }

    async fn attempt(&self) -> Result<String, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Instance {
            container_instance_arn: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            container_instance: Instance,
        }
        let mut request = self.request.clone();
        request["clientToken"] = self.kept.client_token.as_str().into();
        if let Some(arn) = &self.kept.container_instance_arn {
            request["containerInstanceArn"] = arn.as_str().into();
        }
        let answer: Answer = self.plane.call("RegisterContainerInstance", &request).await?;
        Ok(answer.container_instance.container_instance_arn)
    }

    fn keep(&mut self, arn: String) -> Result<String, Error> {
        if self.kept.container_instance_arn.as_ref() != Some(&arn) {
            self.kept.container_instance_arn = Some(arn.clone());
            write(&self.file, &self.kept)?;
        }
        tracing::info!(node = arn, "registered with the control plane");
        Ok(arn)
    }
}

/// Asks where the sessions go.
pub(crate) async fn discover(plane: &ControlPlane, node: &str) -> Result<PollEndpoint, CallError> {
    plane.call("DiscoverPollEndpoint", &json!({ "containerInstance": node, "cluster": FARGATE_CLUSTER })).await
}

fn request(config: &Config, public_pool: Option<String>) -> Value {
    let mut attributes: Vec<Value> = CAPABILITIES.iter().map(|name| json!({ "name": name })).collect();
    attributes.push(json!({ "name": "longshore.fargate" }));
    attributes.push(json!({ "name": "longshore.zone", "value": config.zone }));
    attributes.push(json!({ "name": "ecs.os-type", "value": "linux" }));
    attributes.push(json!({ "name": "ecs.cpu-architecture", "value": architecture() }));
    if let Some(pool) = public_pool {
        attributes.push(json!({ "name": "longshore.public-pool", "value": pool }));
    }
    let ports: [&str; 0] = [];
    json!({
        "cluster": FARGATE_CLUSTER,
        "attributes": attributes,
        "totalResources": [
            { "name": "CPU", "type": "INTEGER", "integerValue": config.cpu },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": config.memory_mib },
            { "name": "PORTS", "type": "STRINGSET", "stringSetValue": ports },
            { "name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": ports },
        ],
        "versionInfo": {
            "agentVersion": env!("CARGO_PKG_VERSION"),
            "agentHash": "longshore",
            "dockerVersion": "containerd",
        },
    })
}

/// As ECS names processors.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

fn random() -> u64 {
    (chance() * (1u64 << 53) as f64) as u64
}

fn read(file: &Path) -> Result<Kept, Error> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(%error, file = %file.display(), "the node's identity does not read; it will be a new one");
            Kept::default()
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(Error::file(file)(error)),
    }
}

fn write(file: &Path, kept: &Kept) -> Result<(), Error> {
    let text = serde_json::to_vec(kept).map_err(|error| Error::file(file)(error.into()))?;
    write_private(file, &text)
}

/// Replaces the file as a whole and for good, readable by its owner alone.
pub(crate) fn write_private(file: &Path, text: &[u8]) -> Result<(), Error> {
    let fresh = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        open.write_all(text)?;
        open.sync_all()?;
        std::fs::rename(&fresh, file)?;
        file.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().map_err(Error::file(file))
}
