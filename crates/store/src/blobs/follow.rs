//! Reading an upload while it comes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use bytes::Bytes;

use super::Error;
use super::seal::{FileKey, PLAIN, Span};

/// What has come of an upload, for who does not write it. It can be read when the upload has ended, too.
pub struct Follower {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// What it opens with, if it is sealed.
    pub(super) key: Option<FileKey>,
}

impl Follower {
    /// So many bytes from `at` on, of the `come` that have come so far. Of what is sealed the last 64 KiB are there when the
    /// upload has ended, and not before.
    ///
    /// # Errors
    /// [`Error::Missing`] if they have not come; [`Error::Damaged`]; [`Error::File`].
    pub fn read(&self, at: u64, length: usize, come: u64) -> Result<Bytes, Error> {
        if length == 0 || at.checked_add(length as u64).is_none_or(|end| end > come) {
            return Err(Error::Missing);
        }
        let Some(key) = &self.key else {
            let mut bytes = vec![0; length];
            self.fill(&mut bytes, at)?;
            return Ok(bytes.into());
        };
        let span = Span::of(at, length as u64, come, length / PLAIN + 2).ok_or(Error::Missing)?;
        let mut raw = vec![0; span.length];
        self.fill(&mut raw, span.at)?;
        key.open_span(&span, &mut raw)?;
        Ok(Bytes::from(raw).slice(span.skip..span.skip + span.wanted))
    }

    fn fill(&self, to: &mut [u8], at: u64) -> Result<(), Error> {
        self.file.read_exact_at(to, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::Missing,
            _ => Error::at(&self.path, error),
        })
    }
}
