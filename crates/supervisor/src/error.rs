//! The one error of this crate.

use std::path::PathBuf;

/// What can go wrong in a supervisor. The text is what ends up in a container's `reason` or in the supervisor's log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operation on a file or directory of the host.
    #[error("{action} {path}: {source}", path = path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    /// A system call without a path.
    #[error("{action}: {source}")]
    System { action: &'static str, source: std::io::Error },
    /// `task.json`, `state.json` or a line of the protocol.
    #[error("{what} is not readable: {source}")]
    Json { what: &'static str, source: serde_json::Error },
    /// A container parameter that cannot be honoured; the words are for the user.
    #[error("{0}")]
    Parameter(String),
    /// The OCI runtime refused; its own words.
    #[error("{0}")]
    Runtime(String),
}

impl Error {
    /// For `map_err` on operations with a path.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }

    /// For `map_err` on system calls without one.
    pub fn system<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::System { action, source: source.into() }
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
