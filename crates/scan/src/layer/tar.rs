//! The entries of a tar archive, one after the other, by the rules of those that unpack images (Go's `archive/tar`).
//!
//! The `tar` crate reads the headers; the walk is our own, because that crate keeps long names and extended headers of any
//! length in memory, and because a scanner that finds other entries than the unpacker does can be told lies.

use std::io::{self, BufRead, BufReader, Read};

use tar::{EntryType, Header, PaxExtensions};

use super::budget::{Damaged, Exceeded};

const BLOCK: u64 = 512;
/// Of a long name, or of extended headers.
const LARGEST_EXTENSION: u64 = 1024 * 1024;
/// Extended headers before one entry.
const MOST_EXTENSIONS: u32 = 16;
const CHUNK: usize = 64 * 1024;

#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// As the archive has it.
    pub(super) path: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    /// Its bytes are not stored in one piece.
    pub(super) is_sparse: bool,
    /// Somebody may execute it.
    pub(super) is_executable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    /// Of either sort.
    Link,
    /// Devices and whatever else there may be.
    Other,
}

pub(super) struct Entries<R> {
    reader: BufReader<R>,
    /// Bytes of the entry's content that were not read yet.
    left: u64,
    padding: u64,
}

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extensions {
    long_name: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    size: Option<u64>,
    sparse_name: Option<Vec<u8>>,
    is_sparse: bool,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(CHUNK, reader), left: 0, padding: 0 }
    }

    /// The next entry; what was not read of the last one is passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        for _ in 0..=MOST_EXTENSIONS {
            self.skip(self.left.saturating_add(self.padding))?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            self.begin(content_size(&header, &extensions)?);
            match kind {
                EntryType::GNULongName => extensions.long_name = Some(until_nul(self.extension()?)),
                EntryType::GNULongLink => {}
                EntryType::XHeader => extensions.read(&self.extension()?)?,
                EntryType::XGlobalHeader => {}
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
        Err(Damaged("an entry has too many extended headers").into())
    }

    /// The content of the entry, which the caller has found to be of a size that it can hold.
    pub(super) fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(self.left).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != self.left {
            return Err(Damaged("it ends within a file").into());
        }
        self.left = 0;
        Ok(bytes)
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> io::Result<Entry> {
        let size = self.left;
        let is_old_sparse = header.entry_type() == EntryType::GNUSparse;
        if is_old_sparse {
            self.skip_sparse_map(header)?;
        }
        let is_sparse = is_old_sparse || extensions.is_sparse;
        let path = extensions.name().unwrap_or_else(|| header.path_bytes().into_owned());
        let is_executable = header.mode().is_ok_and(|mode| mode & 0o111 != 0);
        Ok(Entry { kind: kind(header.entry_type(), &path), path, size, is_sparse, is_executable })
    }

    /// Passes over the blocks that say where a sparse file's pieces are; its content follows them.
    fn skip_sparse_map(&mut self, header: &Header) -> io::Result<()> {
        let mut goes_on = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while goes_on {
            let block = self.block()?.ok_or(Damaged("it ends within a file"))?;
            goes_on = block[504] != 0;
        }
        Ok(())
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        if self.left > LARGEST_EXTENSION {
            return Err(Exceeded::Path.into());
        }
        self.content()
    }

    /// The next header; `None` at the end, which two blocks of zeros mark or the end of the bytes.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK as usize] {
            return match self.block()? {
                Some(second) if second != [0; BLOCK as usize] => Err(Damaged("it has a gap between entries").into()),
                _ => Ok(None),
            };
        }
        let header = Header::from_byte_slice(&block);
        if !is_sum_right(header, &block) {
            return Err(Damaged("it is no tar archive, or damaged").into());
        }
        Ok(Some(header.clone()))
    }

    /// `None` at the end of the bytes.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK as usize]>> {
        let mut block = Vec::with_capacity(BLOCK as usize);
        self.reader.by_ref().take(BLOCK).read_to_end(&mut block)?;
        match <[u8; BLOCK as usize]>::try_from(block) {
            Ok(block) => Ok(Some(block)),
            Err(rest) if rest.is_empty() => Ok(None),
            Err(_) => Err(Damaged("it ends within a header").into()),
        }
    }

    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            let length = self.reader.fill_buf()?.len();
            if length == 0 {
                return Err(Damaged("it ends within a file").into());
            }
            let taken = usize::try_from(bytes).map_or(length, |bytes| bytes.min(length));
            self.reader.consume(taken);
            bytes -= taken as u64;
        }
        Ok(())
    }
}

/// The content of the entry, piece by piece.
impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = self.reader.read(&mut buffer[..most])?;
        if length == 0 && most > 0 {
            return Err(Damaged("it ends within a file").into());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

impl Extensions {
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension.map_err(|_| Damaged("an extended header cannot be read"))?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.path = Some(value.to_vec()).filter(|path| !path.is_empty()),
                b"size" if value.is_empty() => self.size = None,
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or(Damaged("an extended header has a size that is none"))?);
                }
                b"GNU.sparse.name" => self.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.map" | b"GNU.sparse.major" | b"GNU.sparse.numblocks" => self.is_sparse = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn name(self) -> Option<Vec<u8>> {
        self.long_name.or(self.sparse_name.filter(|_| self.is_sparse)).or(self.path)
    }
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    name.truncate(end);
    name
}

/// How many bytes follow a header. Entries that can have no content have none, whatever they say.
fn content_size(header: &Header, extensions: &Extensions) -> io::Result<u64> {
    let kind = header.entry_type();
    let is_extension =
        matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader);
    let said = header.entry_size().map_err(|_| Damaged("a header has a size that is none"))?;
    let size = extensions.size.filter(|_| !is_extension).unwrap_or(said);
    if i64::try_from(size).is_err() {
        return Err(Damaged("a header has a size that is none").into());
    }
    let is_bare = matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    );
    Ok(if is_bare { 0 } else { size })
}

fn kind(kind: EntryType, path: &[u8]) -> EntryKind {
    match kind {
        // Archives older than the type for directories mark them so.
        EntryType::Regular if path.ends_with(b"/") => EntryKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => EntryKind::File,
        EntryType::Directory => EntryKind::Directory,
        EntryType::Link | EntryType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

/// Whether a header's checksum is right, with its bytes counted as unsigned or, as old archivers did, as signed.
fn is_sum_right(header: &Header, block: &[u8; BLOCK as usize]) -> bool {
    let Ok(said) = header.cksum() else { return false };
    let (before, rest) = block.split_at(148);
    let bytes = before.iter().copied().chain([b' '; 8]).chain(rest.iter().skip(8).copied());
    let unsigned: u32 = bytes.clone().map(u32::from).sum();
    let signed: i64 = bytes.map(|byte| i64::from(byte.cast_signed())).sum();
    said == unsigned || i64::from(said) == signed
}
