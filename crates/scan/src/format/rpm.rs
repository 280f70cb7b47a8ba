//! Rpm's database: headers, one for each package, in a table of SQLite's ([`sqlite`]) or in what rpm had before ([`berkeley`], [`ndb`]).
//!
//! It is whatever an image holds: each kind has a reader of its own, whose work is bounded by the length of the file.

use super::shelf::Shelf;
use super::{berkeley, ndb, sqlite};
use crate::package::Kind;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const INT32: u32 = 4;
const STRING: u32 = 6;

pub(super) fn read(bytes: &[u8], shelf: &mut Shelf<'_>) -> Result<(), String> {
    told(sqlite::read(bytes, |header| add(header, shelf)))
}

/// Reads a database that rpm had before SQLite, of which there are two.
pub(super) fn read_older(bytes: &[u8], shelf: &mut Shelf<'_>) -> Result<(), String> {
    let add = |header: &[u8]| add(header, shelf);
    told(if bytes.starts_with(b"RpmP") { ndb::read(bytes, add) } else { berkeley::read(bytes, add) })
}

fn told(read: Result<(), &'static str>) -> Result<(), String> {
    read.map_err(|reason| format!("unsupported rpm database: {reason}"))
}

/// What a header says is refused where it is none.
fn add(header: &[u8], shelf: &mut Shelf<'_>) {
    let Header { name, version, source, architecture } = Header::read(header).unwrap_or_default();
    // Keys that signatures are verified with are kept as packages.
    if name != "gpg-pubkey" && !shelf.is_full() {
        let source = source.as_ref().map(|(name, version)| (name.as_str(), version.as_str()));
        shelf.add_whole(Kind::Rpm, &name, &version, source, architecture.as_deref());
    }
}

#[derive(Default)]
struct Header {
    name: String,
    version: String,
    source: Option<(String, String)>,
    architecture: Option<String>,
}

impl Header {
    /// Of the bytes that rpm keeps: how many entries and how many bytes of data (big endian), entries of tag, type, offset
    /// and count, data. `None` if they are not that.
    fn read(bytes: &[u8]) -> Option<Self> {
        let index = Index::read(bytes)?;
        let epoch = index.number(EPOCH).filter(|epoch| *epoch > 0).map(|epoch| format!("{epoch}:")).unwrap_or_default();
        let (name, version, release) = (index.text(NAME)?, index.text(VERSION)?, index.text(RELEASE)?);
        Some(Self {
            source: index.text(SOURCE_RPM).and_then(|file| source(&file, &epoch)),
            architecture: index.text(ARCHITECTURE).filter(|of| !of.is_empty()),
            version: format!("{epoch}{version}-{release}"),
            name,
        })
    }
}

/// `name-version-release.src.rpm` in two. The epoch is not in it; a package has that of its source nearly always.
fn source(file: &str, epoch: &str) -> Option<(String, String)> {
    let file = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = file.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some((name.to_owned(), format!("{epoch}{version}-{release}")))
}

struct Index<'a> {
    entries: &'a [u8],
    data: &'a [u8],
}

impl<'a> Index<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let count = usize::try_from(word(bytes, 0)?).ok()?;
        let length = usize::try_from(word(bytes, 4)?).ok()?;
        let begins = count.checked_mul(16)?.checked_add(8)?;
        let entries = bytes.get(8..begins)?;
        Some(Self { entries, data: bytes.get(begins..begins.checked_add(length)?)? })
    }

    /// Where the data of a tag of this type begins.
    fn find(&self, tag: u32, kind: u32) -> Option<&'a [u8]> {
        let entry = self.entries.chunks_exact(16).find(|entry| word(entry, 0) == Some(tag))?;
        let offset = usize::try_from(word(entry, 8)?).ok().filter(|_| word(entry, 4) == Some(kind))?;
        self.data.get(offset..)
    }

    fn text(&self, tag: u32) -> Option<String> {
        let data = self.find(tag, STRING)?;
        let end = data.iter().position(|byte| *byte == 0)?;
        String::from_utf8(data[..end].to_vec()).ok()
    }

    fn number(&self, tag: u32) -> Option<u32> {
        word(self.find(tag, INT32)?, 0)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
