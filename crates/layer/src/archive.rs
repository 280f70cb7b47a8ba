//! The entries of a tar archive, header by header.
//!
//! ```text
//!   header ──┬─ x, L, K ──► said of the next one ──┐
//!            ├─ g ──► an entry without content     │
//!            └─ any other ◄────────────────────────┘ ──► an entry ──► its content ──► header
//! ```
//!
//! A header is kept, and up to one of each kind of extended header, of a megabyte each; nothing else.

use std::io::{self, Read};

use crate::Refused;
use crate::header::{BLOCK, FULL, Header, text};
use crate::pax::{self, Records};

/// Longest extended header or long name, bytes, as in Go.
const LONGEST_EXTENSION: u64 = 1024 * 1024;

/// An entry as it will be unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the archive has it: any bytes but zero.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Bytes of content in the archive.
    pub size: u64,
    /// Where a link of either sort leads to.
    pub link: Vec<u8>,
    /// The permissions' bits.
    pub mode: u64,
    pub uid: u64,
    pub gid: u64,
    /// Major and minor number.
    pub device: (u64, u64),
    /// Names of extended attributes.
    pub attributes: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    /// A file whose holes are not in the archive.
    SparseFile,
    HardLink,
    SymbolicLink,
    CharacterDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// A global extended header. containerd makes the directories above its name, and takes away what is there.
    Global,
    /// Some other type, which containerd refuses.
    Other(u8),
}

impl Kind {
    /// Whether content follows: links, directories and devices have none, whatever they say.
    fn has_content(self) -> bool {
        matches!(self, Self::File | Self::SparseFile | Self::Other(_))
    }
}

/// An archive that is read from its beginning to its end.
pub struct Archive<R> {
    reader: R,
    /// Bytes of the entry's content that were not read yet, and those that fill its last block.
    left: u64,
    padding: u64,
}

/// What the headers before an entry say of it.
#[derive(Default)]
struct Said {
    records: Option<Records>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Said {
    /// Refuses to have said anything.
    fn check_nothing(&self, why: &'static str) -> io::Result<()> {
        let is_nothing = self.records.is_none() && self.name.is_none() && self.link.is_none();
        if is_nothing { Ok(()) } else { Err(Refused(why).into()) }
    }
}

impl<R: Read> Archive<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0 }
    }

    /// The next entry; what was not read of the last one is passed over. `None` at the end, which two blocks of zeros mark or
    /// the end of the bytes.
    ///
    /// # Errors
    /// The reader's, and [`Refused`] for what is damaged or might be read differently by somebody else.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut said = Said::default();
        loop {
            self.pass_over()?;
            let Some(header) = self.header()? else {
                return said.check_nothing("the archive ends after an extended header").map(|()| None);
            };
            match header.kind() {
                b'x' => pax::once(&mut said.records, Records::read(&self.extension(&header)?)?)?,
                b'L' => pax::once(&mut said.name, long_name(&self.extension(&header)?)?)?,
                b'K' => pax::once(&mut said.link, long_name(&self.extension(&header)?)?)?,
                b'g' => {
                    said.check_nothing("a global extended header stands between an entry and what is said of it")?;
                    pax::check_global(&self.extension(&header)?)?;
                    return entry(&header, Said::default(), 0).map(Some);
                }
                _ => return self.begin(&header, said).map(Some),
            }
        }
    }

    /// Begins an entry that is no extended header.
    fn begin(&mut self, header: &Header, said: Said) -> io::Result<Entry> {
        let size = size(header, said.records.as_ref())?;
        let is_said = said.records.as_ref().and_then(|records| records.size).is_some_and(|size| size > 0);
        let mut entry = entry(header, said, size)?;
        if entry.kind == Kind::SparseFile && header.kind() == b'S' {
            self.skip_map(header)?;
        }
        if !entry.kind.has_content() {
            if is_said {
                return Err(Refused("what has no content is said to have some").into());
            }
            entry.size = 0;
        }
        self.set_content(entry.size);
        Ok(entry)
    }

    /// Passes over the blocks that say where a sparse file's pieces are; its content follows them.
    fn skip_map(&mut self, header: &Header) -> io::Result<()> {
        let mut goes_on = header.has_map()?;
        while goes_on {
            goes_on = self.block()?.ok_or_else(cut)?[504] != 0;
        }
        Ok(())
    }

    /// The content of an extended header.
    fn extension(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let size = header.size()?;
        if size > LONGEST_EXTENSION {
            return Err(Refused("an extended header is longer than 1048576 bytes").into());
        }
        self.set_content(size);
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn set_content(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn pass_over(&mut self) -> io::Result<()> {
        if self.discard(self.left)? < self.left {
            return Err(cut());
        }
        // As Go has it, the last block need not be filled.
        self.discard(self.padding)?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn discard(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let Some(block) = self.block()? else { return Ok(None) };
        if block != [0; BLOCK] {
            return Header::read(block).map(Some);
        }
        match self.block()? {
            Some(second) if second != [0; BLOCK] => Err(Refused("an empty header is followed by more").into()),
            _ => Ok(None),
        }
    }

    /// `None` at the end of the bytes.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(cut()),
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(block))
    }
}

/// The content of the entry, piece by piece.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let length = self.reader.read(&mut buffer[..most])?;
        if length == 0 && most > 0 {
            return Err(cut());
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Bytes of what follows, if anything can. A header without room for it says nothing, or as much as it can.
fn size(header: &Header, records: Option<&Records>) -> io::Result<u64> {
    let size = header.size()?;
    match records.and_then(|records| records.size) {
        None => Ok(size),
        Some(extended) if matches!(size, 0 | FULL) || size == extended => Ok(extended),
        Some(_) => Err(Refused("an entry has two sizes").into()),
    }
}

fn entry(header: &Header, said: Said, size: u64) -> io::Result<Entry> {
    let records = said.records.unwrap_or_default();
    let is_sparse = records.sparse.is_one()?;
    let path = records.sparse.name.or(records.path);
    let short = header.name();
    let name = one(said.name, path)?.unwrap_or_else(|| short.clone());
    let kind = kind(header.kind(), &name, &short, size)?;
    if is_sparse && kind != Kind::File {
        return Err(Refused("what is no file is a sparse file").into());
    }
    Ok(Entry {
        kind: if is_sparse { Kind::SparseFile } else { kind },
        name,
        size,
        link: one(said.link, records.link)?.unwrap_or_else(|| header.link().to_vec()),
        mode: header.mode()?,
        uid: records.uid.map_or_else(|| header.uid(), Ok)?,
        gid: records.gid.map_or_else(|| header.gid(), Ok)?,
        device: header.device()?,
        attributes: records.attributes,
    })
}

/// What GNU's headers say or POSIX's.
fn one(long: Option<Vec<u8>>, extended: Option<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match (long, extended) {
        (Some(_), Some(_)) => Err(Refused("an entry has two long names").into()),
        (long, extended) => Ok(long.or(extended)),
    }
}

/// By its type, its name, and the one of its header.
fn kind(of: u8, name: &[u8], short: &[u8], size: u64) -> io::Result<Kind> {
    let is_directory = name.ends_with(b"/");
    match of {
        // Archives older than the type for directories mark them so.
        0 if is_directory && short.ends_with(b"/") && size == 0 => Ok(Kind::Directory),
        0 if short.ends_with(b"/") => Err(Refused("a file is named as directories are").into()),
        0 | b'0' | b'S' if is_directory => Err(Refused("a file is named as directories are").into()),
        0 | b'0' => Ok(Kind::File),
        b'1' => Ok(Kind::HardLink),
        b'2' => Ok(Kind::SymbolicLink),
        b'3' => Ok(Kind::CharacterDevice),
        b'4' => Ok(Kind::BlockDevice),
        b'5' => Ok(Kind::Directory),
        b'6' => Ok(Kind::Fifo),
        b'S' => Ok(Kind::SparseFile),
        b'g' => Ok(Kind::Global),
        other => Ok(Kind::Other(other)),
    }
}

fn long_name(content: &[u8]) -> io::Result<Vec<u8>> {
    match text(content) {
        b"" => Err(Refused("a long name is empty").into()),
        name => Ok(name.to_vec()),
    }
}

fn cut() -> io::Error {
    Refused("the archive is cut short").into()
}
