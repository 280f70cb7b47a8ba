//! What can go wrong in the task network, and in whose words.

use std::io;

/// An error of the task network. [`Error::Refused`] is the caller's doing; everything else is the machine's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked for cannot be: a bad address, a name in use, a configuration that contradicts itself.
    #[error("{0}")]
    Refused(String),
    /// The kernel refused a step.
    #[error("{doing}: {source}")]
    System { doing: String, source: io::Error },
    /// A command ran and failed; `said` is what it wrote to standard error.
    #[error("{command} failed: {said}")]
    Command { command: String, said: String },
    /// All 256 address slices of this machine are taken, by other instances or by existing routes.
    #[error("no slice of 198.18.0.0/15 is free: every one is held by another instance or an existing route")]
    NoSlice,
    /// No namespace could be made in time; `reason` is the last failure of the maker.
    #[error("no network namespace is ready: {reason}")]
    NoNamespace { reason: String },
    /// Several steps of a clean-up failed; all of them are listed, and all the others were done.
    #[error("clean-up left something behind: {}", .0.join("; "))]
    Leftovers(Vec<String>),
}

impl Error {
    /// Wraps a failed system call with what was being done.
    pub(super) fn system(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Error::System { doing: doing.into(), source: source.into() }
    }

    /// The error number of the kernel, where it was the kernel that refused.
    pub(super) fn errno(&self) -> Option<i32> {
        match self {
            Error::System { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// Adds what was being done to the error of a system call.
pub(super) trait Doing<T> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::system(doing(), source))
    }
}
