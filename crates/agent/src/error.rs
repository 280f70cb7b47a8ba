//! What can end a node.

use std::path::PathBuf;

/// Why a node does not start, or cannot be taken down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be used.
    #[error("{what} cannot be used: {reason}")]
    Setting { what: &'static str, reason: String },
    /// A file or directory of the node's own.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Containerd(#[from] crate::containerd::Error),
    #[error("the network of the node: {0}")]
    Network(#[from] crate::network::Error),
    /// No OCI runtime of this machine works.
    #[error("no OCI runtime works on this machine: {0}")]
    Runtime(String),
    /// The control plane does not have this node.
    #[error("the control plane refuses this node: {0}")]
    Refused(#[from] crate::api::CallError),
    /// The control plane let go of this node: it was deregistered, or another machine joined in its name.
    #[error("the key of this node is void: it was deregistered, or another machine has joined in its name")]
    Void,
    /// The machine has no key and nothing to join with.
    #[error("this machine is no node yet: give it a token of `longshore join-token create`, by --join-token")]
    NoNode,
    /// No token could be made to join with.
    #[error("{0}")]
    Token(String),
    /// Taking a node down left something behind; all of it is listed.
    #[error("not everything could be removed: {0}")]
    Remains(String),
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
