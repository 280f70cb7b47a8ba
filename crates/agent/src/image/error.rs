//! What can go wrong with images, in the words a stopped task shows.

use std::sync::Arc;

use containerd_client::tonic::{Code, Status};

/// A failure of an image operation. Cheap to clone, because all who wait for one pull get its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Not a reference to an image.
    #[error("invalid reference format: {reference:?}: {reason}")]
    Reference {
        /// The reference as given.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No such image here, or in the registry.
    #[error("{0}: not found")]
    NotFound(String),
    /// The registry asks for credentials, or for others.
    #[error("pull access denied, repository does not exist or may require authorization: {0}")]
    Denied(String),
    /// The node's credentials for registries cannot be used.
    #[error("registry credentials: {0}")]
    Credentials(String),
    /// The registry cannot be reached or answers with a failure.
    #[error("{message}")]
    Registry {
        /// What happened.
        message: String,
        /// Whether another try may help.
        retryable: bool,
    },
    /// A manifest, an index, a configuration or a layer list breaks the rules.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// Which rule.
        reason: String,
    },
    /// Bytes that are not what their digest or size says.
    #[error("content of {0} does not match its digest or size")]
    Mismatch(String),
    /// The image has nothing for this machine.
    #[error("image Manifest does not contain descriptor matching platform '{0}'")]
    Platform(String),
    /// The archive cannot be read.
    #[error("image archive: {0}")]
    Archive(String),
    /// containerd refused or failed.
    #[error("{doing}: {message}")]
    Containerd {
        /// What was asked of it.
        doing: &'static str,
        /// Its code.
        code: Code,
        /// Its message.
        message: String,
    },
    /// containerd could not be found or started.
    #[error("{0}")]
    Daemon(Arc<crate::containerd::Error>),
    /// A registry does not say what a reference leads to.
    #[error("failed to resolve ref {reference}: {reason}")]
    Unresolved {
        /// Full name of the image.
        reference: String,
        /// Why not.
        reason: Box<Error>,
    },
    /// A pull was given up.
    #[error("{step} has been retried {tries} time(s): {reason}")]
    Retried {
        /// `pull image manifest` or `ref pull`, as the ECS agent names the steps.
        step: &'static str,
        /// How many times it was tried.
        tries: u32,
        /// The last failure.
        reason: Box<Error>,
    },
    /// A pull took longer than all pulls may take.
    #[error("image pull exceeded its limit of {0} seconds")]
    TooLong(u64),
}

impl Error {
    /// The reason a task stops for when this failure kept its image away, as ECS words it.
    pub fn stopped_reason(&self) -> String {
        format!("CannotPullContainerError: {self}")
    }

    /// Whether the registry gives the caller nothing for what it has shown.
    pub(crate) fn is_denied(&self) -> bool {
        match self {
            Self::Denied(_) => true,
            Self::Unresolved { reason, .. } | Self::Retried { reason, .. } => reason.is_denied(),
            _ => false,
        }
    }

    pub(super) fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }

    /// Turns a status of containerd into a failure of `doing`. A status that has a source was made on our side of the
    /// connection, because the connection broke.
    pub(super) fn containerd(doing: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| {
            let broken = std::error::Error::source(&status).is_some();
            let code = if broken { Code::Unavailable } else { status.code() };
            Self::Containerd { doing, code, message: status.message().to_owned() }
        }
    }

    /// Whether another try may help: the network, a busy registry, a restarting containerd, a snapshot just collected.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Registry { retryable, .. } => *retryable,
            Self::Unresolved { reason, .. } | Self::Retried { reason, .. } => reason.is_retryable(),
            Self::Containerd { code, .. } => {
                matches!(code, Code::Unavailable | Code::Cancelled | Code::Aborted | Code::NotFound)
            }
            _ => false,
        }
    }

    pub(super) fn has_code(&self, wanted: Code) -> bool {
        matches!(self, Self::Containerd { code, .. } if *code == wanted)
    }
}

impl From<crate::containerd::Error> for Error {
    fn from(error: crate::containerd::Error) -> Self {
        Self::Daemon(Arc::new(error))
    }
}
