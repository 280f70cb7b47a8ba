//! How a machine becomes a node: it joins once, with a token, and has a key of its own from then on.
//!
//! The key is in `agent/node-key` of the data directory, for root alone, and nowhere else: no metadata endpoint serves it. It
//! speaks for this one node and may do nothing but be it. A join whose answer was lost is repeated with the client token that
//! was written down before, so that the token is not lost with the answer.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{CallError, ControlPlane};
use crate::config::{AccessKey, Config, Joins};
use crate::error::Error;
use crate::node::write_private;
use crate::random;

/// What is kept. A client token alone is a join that was begun.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Kept {
    client_token: String,
    access_key_id: String,
    secret_access_key: String,
}

impl Kept {
    fn key(&self) -> AccessKey {
        AccessKey { id: self.access_key_id.clone(), secret: self.secret_access_key.clone(), token: None }
    }
}

/// The answer of JoinNode.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Joined {
    access_key_id: String,
    secret_access_key: String,
    container_instance_arn: String,
}

/// A token to join with, and what it is for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JoinToken {
    pub join_token: String,
    /// The container instance that joins with it.
    pub container_instance_arn: String,
    /// Seconds since 1970.
    pub expires_at: f64,
}

/// The node's key, and how it gets one.
pub(crate) struct Identity {
    plane: ControlPlane,
    file: PathBuf,
    kept: Kept,
    joins_by: Option<Joins>,
    /// The control plane took the key in this life of the agent.
    taken: bool,
}

impl Identity {
    /// Reads the key, if there is one.
    pub(crate) fn open(config: &Config, plane: ControlPlane) -> Result<Self, Error> {
        let file = file(&config.data_dir);
        let kept = read(&file)?;
        Ok(Self { plane, file, kept, joins_by: config.joins_by.clone(), taken: false })
    }

    pub(crate) fn has_key(&self) -> bool {
        !self.kept.secret_access_key.is_empty()
    }

    /// The key is one that the control plane knows.
    pub(crate) fn taken(&mut self) {
        self.taken = true;
    }

    /// The control plane does not know the key: at a start the machine joins again, if it can.
    ///
    /// # Errors
    /// [`Error::Void`] if it cannot, or if the key was good before.
    pub(crate) fn renew(&mut self) -> Result<(), Error> {
        if self.taken || self.joins_by.is_none() {
            return Err(Error::Void);
        }
        tracing::warn!("the control plane does not know the key of this node; joining again");
        self.kept = Kept::default();
        Ok(())
    }

    /// Sees to it that there is something to join with, if there is no key.
    ///
    /// # Errors
    /// Says what to do.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.has_key() || self.joins_by.is_some() {
            return Ok(());
        }
        Err(Error::NoNode)
    }

    /// Joins, if there is no key. Returns the ARN of the node that the machine is from now on; `last` is that of the node
    /// that it was before.
    ///
    /// # Errors
    /// What the control plane says, or does not.
    pub(crate) async fn join(&mut self, last: Option<&str>) -> Result<Option<String>, Failed> {
        let (false, Some(joins_by)) = (self.has_key(), self.joins_by.clone()) else { return Ok(None) };
        if self.kept.client_token.is_empty() {
            self.kept.client_token = fresh().map_err(Error::file("/dev/urandom"))?;
            write(&self.file, &self.kept)?;
        }
        let token = match joins_by {
            Joins::Token(token) => token,
            Joins::Key(key) => make(&self.plane, &key, last).await?,
        };
        let joined: Joined = self.plane.join(&token, &json!({ "clientToken": self.kept.client_token })).await?;
        self.kept.access_key_id = joined.access_key_id;
        self.kept.secret_access_key = joined.secret_access_key;
        write(&self.file, &self.kept)?;
        self.plane.set_key(self.kept.key());
        tracing::info!(node = joined.container_instance_arn, "joined");
        Ok(Some(joined.container_instance_arn))
    }
}

/// Why a machine did not join.
pub(crate) enum Failed {
    Call(CallError),
    /// Of this machine's own.
    Here(Error),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

/// A token for this machine: for the node that it was, unless the control plane cannot have one of that name.
async fn make(plane: &ControlPlane, key: &AccessKey, last: Option<&str>) -> Result<String, CallError> {
    let made =
        match plane.create_join_token::<JoinToken>(key, &json!({ "containerInstance": last, "edge": true })).await {
            Err(CallError::Refused { code, .. }) if last.is_some() && code == "ValidationException" => {
                plane.create_join_token(key, &json!({ "edge": true })).await
            }
            made => made,
        };
    Ok(made?.join_token)
}

/// Makes a join token by `key`, which must belong to somebody who may `longshore:CreateJoinToken`, at the control plane that
/// `endpoint` (`host:port`) is. It is good for `seconds`, and for the container instance of this ARN or id, or a new one. With `edge` the
/// node carries the traffic of load balancers, too.
///
/// # Errors
/// What the control plane says, or does not.
pub async fn create_token(
    endpoint: &str,
    region: &str,
    key: &AccessKey,
    seconds: Option<u32>,
    node: Option<&str>,
    edge: bool,
) -> Result<JoinToken, Error> {
    let plane = ControlPlane::new(endpoint, region, "", AccessKey::default());
    let input = json!({ "expiresInSeconds": seconds, "containerInstance": node, "edge": edge });
    plane.create_join_token(key, &input).await.map_err(|error| Error::Token(error.to_string()))
}

/// The key of the node that has its data there; an empty one before it has joined.
pub(crate) fn key(data_dir: &Path) -> Result<AccessKey, Error> {
    Ok(read(&file(data_dir))?.key())
}

/// Whether the machine has a key of its own, or began to get one.
pub fn has_joined(data_dir: &Path) -> bool {
    file(data_dir).exists()
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("agent").join("node-key")
}

/// 128 bits that nobody can guess, in hexadecimal digits.
fn fresh() -> std::io::Result<String> {
    random::bytes::<16>().map(hex::encode)
}

fn read(file: &Path) -> Result<Kept, Error> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            // What it says instead is nobody's business.
            tracing::warn!(file = %file.display(), "the key of this node does not read; it must join again");
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
