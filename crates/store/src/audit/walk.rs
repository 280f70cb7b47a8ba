//! Reading a segment line by line.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Bytes of a line that are looked at; a longer one is none of ours.
pub(super) const LONGEST_LINE: u64 = 1024 * 1024;

/// The lines of a segment.
pub(super) struct Lines {
    reader: BufReader<File>,
    buffer: Vec<u8>,
    /// Where the next line begins.
    pub offset: u64,
}

/// What lies between two line feeds.
pub(super) struct Raw<'a> {
    /// Without the line feed.
    pub bytes: &'a [u8],
    /// Whether there was a line feed.
    pub whole: bool,
}

impl Lines {
    pub fn open(path: &Path) -> io::Result<Self> {
        let reader = BufReader::with_capacity(256 * 1024, File::open(path)?);
        Ok(Self { reader, buffer: Vec::new(), offset: 0 })
    }

    /// The next line; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<Raw<'_>>> {
        self.buffer.clear();
        let read = self.reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.buffer)?;
        self.offset += read as u64;
        let whole = self.buffer.last() == Some(&b'\n');
        let bytes = &self.buffer[..self.buffer.len() - usize::from(whole)];
        Ok((read > 0).then_some(Raw { bytes, whole }))
    }

    /// Bytes from the current place to the end of the file.
    pub fn rest(&mut self) -> io::Result<u64> {
        let here = self.offset;
        Ok(self.reader.seek(SeekFrom::End(0))?.saturating_sub(here))
    }
}
