//! The entries of a layer, header by header, as Go's `archive/tar` reads them, which is containerd's reader.
//!
//! Refused is what would not be unpacked as it stands (types, owners beyond 32 bits, paths that are too long or deep), what
//! leaves the root (`..`), devices of the machine, sparse files of the old form, and what two readers might read
//! differently: a size that is not the size of the extended header, two extended headers for one entry, global ones that
//! speak of names or sizes.

use std::io::{self, Read};

use super::{Share, refused};

const BLOCK: usize = 512;
/// Longest extended header or long name, bytes.
const LONGEST_EXTENSION: u64 = 1024 * 1024;
/// Longest path, as Linux has it, and its most components.
const LONGEST_PATH: usize = 4095;
const LONGEST_COMPONENT: usize = 255;
const DEEPEST: usize = 256;
/// The largest user or group: the one above means "unchanged" to the kernel.
const LARGEST_ID: u64 = u32::MAX as u64 - 1;
/// Records of extended headers that speak of where an entry lies or how long it is.
const PLACING: [&[u8]; 3] = [b"path", b"linkpath", b"size"];

/// Reads entries until the archive says that it ends, or until there is nothing more.
pub(super) fn check(tar: &mut impl Read, share: &Share) -> io::Result<()> {
    let mut extension = Extension::default();
    while let Some(header) = next_header(tar)? {
        let size = header.size()?;
        match header.kind() {
            b'x' => extension.set_records(&body(tar, size)?)?,
            b'L' => set_once(&mut extension.long_name, text(body(tar, size)?))?,
            b'K' => set_once(&mut extension.long_link, text(body(tar, size)?))?,
            b'g' => check_global(&body(tar, size)?)?,
            kind => {
                share.take_entry()?;
                let entry = Entry { header: &header, extension: std::mem::take(&mut extension) };
                skip(tar, entry.check(kind, size, share)?)?;
            }
        }
    }
    match extension.is_empty() {
        true => Ok(()),
        false => Err(refused("the archive ends after an extended header")),
    }
}

/// What the headers before an entry say of it.
#[derive(Default)]
struct Extension {
    records: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// The records of an extended header that matter here; the last of a name counts.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    /// Of a sparse file.
    real_size: Option<u64>,
}

impl Extension {
    fn is_empty(&self) -> bool {
        self.records.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }

    fn set_records(&mut self, text: &[u8]) -> io::Result<()> {
        let mut found = Records::default();
        for (key, value) in records(text)? {
            // A record without a value leaves what the header says.
            if value.is_empty() {
                continue;
            }
            match key {
                b"path" | b"GNU.sparse.name" => found.path = Some(value.to_vec()),
                b"linkpath" => found.link = Some(value.to_vec()),
                b"size" => found.size = Some(decimal(value)?),
                b"uid" => found.uid = Some(decimal(value)?),
                b"gid" => found.gid = Some(decimal(value)?),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => found.real_size = Some(decimal(value)?),
                _ => {}
            }
        }
        set_once(&mut self.records, found)
    }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> io::Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(refused("an entry has two extended headers of one kind")),
    }
}

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// `LENGTH KEY=VALUE\n`, one after the other; the length is that of the whole record.
fn records(mut text: &[u8]) -> io::Result<Vec<Record<'_>>> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (record, rest) = record(text).ok_or_else(|| refused("an extended header does not read"))?;
        found.push(record);
        text = rest;
    }
    Ok(found)
}

fn record(text: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&text[..space]).ok()?).ok()?;
    let inside = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = inside.iter().position(|byte| *byte == b'=')?;
    Some(((&inside[..equals], &inside[equals + 1..]), &text[length..]))
}

/// A global header is passed over by containerd, and not by every other reader.
fn check_global(text: &[u8]) -> io::Result<()> {
    match records(text)?.iter().any(|(key, _)| PLACING.contains(key) || key.starts_with(b"GNU.sparse.")) {
        true => Err(refused("a global extended header speaks of names or sizes")),
        false => Ok(()),
    }
}

/// One entry, with what was said before it.
struct Entry<'a> {
    header: &'a Header,
    extension: Extension,
}

impl Entry<'_> {
    /// How many bytes of content follow.
    fn check(&self, kind: u8, size: u64, share: &Share) -> io::Result<u64> {
        let name = self.name();
        check_path(&name)?;
        self.check_owner(&name)?;
        match kind {
            0 if name.ends_with(b"/") => Ok(0),
            0 | b'0' => self.content(&name, size, share),
            b'1' => check_path(&self.link()).map(|()| 0),
            b'2' => check_text(&self.link()).map(|()| 0),
            b'3' => self.check_device(&name).map(|()| 0),
            b'4' => Err(about(&name, "is a block device")),
            b'5' | b'6' => Ok(0),
            b'S' => Err(about(&name, "is a sparse file of the old form")),
            other => Err(about(&name, &format!("is of the unknown type {:?}", char::from(other)))),
        }
    }

    fn content(&self, name: &[u8], size: u64, share: &Share) -> io::Result<u64> {
        let records = self.extension.records.as_ref();
        // The holes of a sparse file are written out.
        share.take_bytes(records.and_then(|records| records.real_size).unwrap_or(0))?;
        match records.and_then(|records| records.size) {
            None => Ok(size),
            // A header has no room for more than 8 GiB, and then says nothing.
            Some(extended) if size == 0 || size == extended => Ok(extended),
            Some(extended) => Err(about(name, &format!("has {size} bytes or {extended}"))),
        }
    }

    /// As Go has it: the extended header's, unless a long name stands before the entry as well.
    fn name(&self) -> Vec<u8> {
        let extended = self.extension.records.as_ref().and_then(|records| records.path.clone());
        self.extension.long_name.clone().or(extended).unwrap_or_else(|| self.header.name())
    }

    fn link(&self) -> Vec<u8> {
        let extended = self.extension.records.as_ref().and_then(|records| records.link.clone());
        self.extension.long_link.clone().or(extended).unwrap_or_else(|| text(self.header.0[157..257].to_vec()))
    }

    /// A number that the kernel would take for another one.
    fn check_owner(&self, name: &[u8]) -> io::Result<()> {
        let records = self.extension.records.as_ref();
        let given = [records.and_then(|records| records.uid), records.and_then(|records| records.gid)];
        for (given, at) in given.into_iter().zip([108, 116]) {
            let id = given.map_or_else(|| self.header.number(at, 8), Ok)?;
            if id > LARGEST_ID {
                return Err(about(name, &format!("belongs to {id}, which is nobody")));
            }
        }
        Ok(())
    }

    /// Those that every container has, terminals, and the mark of overlays for what is not there.
    fn check_device(&self, name: &[u8]) -> io::Result<()> {
        let device = (self.header.number(329, 8)?, self.header.number(337, 8)?);
        match device {
            (0, 0) | (1, 3 | 5 | 7..=9) | (4..=5, _) | (136..=143, _) => Ok(()),
            (major, minor) => Err(about(name, &format!("is the device {major}:{minor} of the machine"))),
        }
    }
}

/// An entry that stays below the root, and whose whiteout does.
fn check_path(path: &[u8]) -> io::Result<()> {
    check_text(path)?;
    let components = || path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    if components().any(|part| part == b"..") {
        return Err(about(path, "leads out of the layer"));
    }
    if components().count() > DEEPEST {
        return Err(about(path, &format!("lies more than {DEEPEST} directories deep")));
    }
    if components().any(|part| part.len() > LONGEST_COMPONENT) {
        return Err(about(path, "has a name that is too long"));
    }
    let hides = components().next_back().and_then(|last| last.strip_prefix(b".wh."));
    match hides {
        Some(b"" | b"." | b"..") => Err(about(path, "hides what is no entry")),
        _ => Ok(()),
    }
}

fn check_text(path: &[u8]) -> io::Result<()> {
    match path.len() > LONGEST_PATH || path.contains(&0) {
        true => Err(about(path, "is no path")),
        false => Ok(()),
    }
}

/// The beginning of a path, whatever its bytes, and what is wrong with it.
fn about(path: &[u8], what: &str) -> io::Error {
    let shown: String = String::from_utf8_lossy(path).chars().take(80).collect();
    refused(format!("{shown:?} {what}"))
}

/// A header block whose checksum is right.
struct Header([u8; BLOCK]);

impl Header {
    fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Bytes of content, which links, directories and devices have none of whatever they say.
    fn size(&self) -> io::Result<u64> {
        let size = self.number(124, 12)?;
        Ok(if matches!(self.kind(), b'1'..=b'6') { 0 } else { size })
    }

    /// With the prefix, in the forms that have one.
    fn name(&self) -> Vec<u8> {
        let name = text(self.0[..100].to_vec());
        let prefix = match &self.0[257..263] {
            b"ustar\0" if &self.0[508..512] == b"tar\0" => text(self.0[345..476].to_vec()),
            b"ustar\0" => text(self.0[345..500].to_vec()),
            _ => Vec::new(),
        };
        if prefix.is_empty() { name } else { [prefix, name].join(&b'/') }
    }

    /// Octal digits between spaces and zeros, or a number of base 256.
    fn number(&self, at: usize, length: usize) -> io::Result<u64> {
        let field = &self.0[at..at + length];
        let number = match field[0] & 0x80 {
            0 => octal(field),
            _ => binary(field),
        };
        number.ok_or_else(|| refused("a number of a header does not read"))
    }

    fn is_sound(&self) -> bool {
        let byte = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *byte };
        let bytes = || self.0.iter().enumerate().map(byte);
        let unsigned = || bytes().map(u64::from).sum::<u64>();
        let signed = || bytes().map(|byte| i64::from(byte as i8)).sum::<i64>();
        octal(&self.0[148..156]).is_some_and(|sum| sum == unsigned() || i64::try_from(sum) == Ok(signed()))
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let end = |byte: &u8| matches!(byte, b' ' | 0);
    let from = field.iter().position(|byte| !end(byte)).unwrap_or(field.len());
    let to = field.iter().rposition(|byte| !end(byte)).map_or(from, |last| last + 1);
    let digits = &field[from..to];
    let digits = digits.split(|byte| *byte == 0).next().unwrap_or_default();
    digits.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// None of those below zero.
fn binary(field: &[u8]) -> Option<u64> {
    let first = field[0] & 0x7f;
    if first & 0x40 != 0 {
        return None;
    }
    let bytes = std::iter::once(&first).chain(&field[1..]);
    let number =
        bytes.into_iter().try_fold(0u64, |number, byte| number.checked_mul(256)?.checked_add(u64::from(*byte)));
    number.filter(|number| i64::try_from(*number).is_ok())
}

fn decimal(text: &[u8]) -> io::Result<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse::<i64>().ok());
    number
        .and_then(|number| u64::try_from(number).ok())
        .ok_or_else(|| refused("a number of an extended header does not read"))
}

/// Up to the first zero.
fn text(mut field: Vec<u8>) -> Vec<u8> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    field.truncate(end);
    field
}

/// `None` at the end: two blocks of zeros, or nothing more.
fn next_header(tar: &mut impl Read) -> io::Result<Option<Header>> {
    let Some(block) = next_block(tar)? else { return Ok(None) };
    if block.iter().all(|byte| *byte == 0) {
        return match next_block(tar)? {
            Some(second) if second.iter().any(|byte| *byte != 0) => Err(refused("an empty header is followed by more")),
            _ => Ok(None),
        };
    }
    let header = Header(block);
    match header.is_sound() {
        true => Ok(Some(header)),
        false => Err(refused("it is no tar archive, or damaged")),
    }
}

fn next_block(tar: &mut impl Read) -> io::Result<Option<[u8; BLOCK]>> {
    let mut block = [0; BLOCK];
    let mut filled = 0;
    while filled < BLOCK {
        match tar.read(&mut block[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(cut()),
            length => filled += length,
        }
    }
    Ok(Some(block))
}

/// The content of an extended header.
fn body(tar: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > LONGEST_EXTENSION {
        return Err(refused(format!("an extended header is longer than {LONGEST_EXTENSION} bytes")));
    }
    let mut bytes = Vec::new();
    tar.take(size).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < size {
        return Err(cut());
    }
    discard(tar, padding(size))?;
    Ok(bytes)
}

/// Content and what fills its last block.
fn skip(tar: &mut impl Read, size: u64) -> io::Result<()> {
    let whole = size.checked_add(padding(size)).ok_or_else(cut)?;
    // As Go has it, the last block need not be filled.
    if discard(tar, whole)? >= size { Ok(()) } else { Err(cut()) }
}

fn discard(tar: &mut impl Read, size: u64) -> io::Result<u64> {
    io::copy(&mut tar.take(size), &mut io::sink())
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn cut() -> io::Error {
    refused("the archive is cut short")
}
