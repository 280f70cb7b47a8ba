//! Extended headers: records of a key and a value, which say more of the entry that follows than its header has room for.

use std::io;

use crate::Refused;

/// What an extended header says that matters here.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) sparse: Sparse,
    /// Names of extended attributes of the file.
    pub(crate) attributes: Vec<Vec<u8>>,
}

/// What is said of a sparse file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sparse {
    /// Whether anything is.
    is_meant: bool,
    pub(crate) name: Option<Vec<u8>>,
    major: Option<Vec<u8>>,
    minor: Option<Vec<u8>>,
    /// Whether it is said where its pieces are.
    has_map: bool,
}

const SPARSE: &[u8] = b"GNU.sparse.";
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

impl Records {
    /// Refused are records that do not read, and those of a name or a number that are there twice or empty: which of them
    /// counts, and whether none is meant, readers do not agree about.
    pub(crate) fn read(text: &[u8]) -> io::Result<Self> {
        let mut found = Self::default();
        for (key, value) in records(text)? {
            found.take(key, value)?;
        }
        Ok(found)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        match key {
            b"path" => once(&mut self.path, name(value)?),
            b"linkpath" => once(&mut self.link, name(value)?),
            b"size" => once(&mut self.size, number(value)?),
            b"uid" => once(&mut self.uid, number(value)?),
            b"gid" => once(&mut self.gid, number(value)?),
            _ if key.starts_with(SPARSE) => self.sparse.take(&key[SPARSE.len()..], value),
            _ => {
                self.attributes.extend(key.strip_prefix(ATTRIBUTE).map(<[u8]>::to_vec));
                Ok(())
            }
        }
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.is_meant = true;
        match key {
            b"name" => once(&mut self.name, name(value)?),
            b"major" => once(&mut self.major, value.to_vec()),
            b"minor" => once(&mut self.minor, value.to_vec()),
            b"map" | b"offset" => {
                self.has_map = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether the entry is a sparse file.
    pub(crate) fn is_one(&self) -> io::Result<bool> {
        let is_known = match (self.major.as_deref(), self.minor.as_deref()) {
            (Some(b"0"), Some(b"0" | b"1")) => self.has_map,
            (Some(b"1"), Some(b"0")) => true,
            (None, None) => self.has_map,
            _ => false,
        };
        if self.is_meant && !is_known {
            return Err(Refused("a sparse file is of no form that is known").into());
        }
        Ok(self.is_meant)
    }
}

/// Refuses a global header that speaks of what an entry is called or how long it is: containerd passes over it, and not
/// every other reader does.
pub(crate) fn check_global(text: &[u8]) -> io::Result<()> {
    let places = |key: &[u8]| matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(SPARSE);
    match records(text)?.iter().any(|(key, _)| places(key)) {
        true => Err(Refused("a global extended header speaks of names or sizes").into()),
        false => Ok(()),
    }
}

pub(crate) fn once<T>(place: &mut Option<T>, value: T) -> io::Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refused("an entry has two extended headers of one kind").into()),
    }
}

fn name(value: &[u8]) -> io::Result<Vec<u8>> {
    match value.is_empty() || value.contains(&0) {
        true => Err(Refused("an extended header has a name that is none").into()),
        false => Ok(value.to_vec()),
    }
}

fn number(value: &[u8]) -> io::Result<u64> {
    let number = decimal(value).filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Refused("an extended header has a number that does not read").into())
}

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// `LENGTH KEY=VALUE\n`, one after the other; the length is that of the whole record, whatever bytes are in it.
fn records(mut text: &[u8]) -> io::Result<Vec<Record<'_>>> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (record, rest) = record(text).ok_or(Refused("an extended header does not read"))?;
        found.push(record);
        text = rest;
    }
    Ok(found)
}

fn record(text: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = text.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&text[..space])?).ok()?;
    let inside = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = inside.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0)?;
    let (key, value) = (&inside[..equals], &inside[equals + 1..]);
    (!key.contains(&0)).then_some(((key, value), &text[length..]))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let number = digits.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    });
    number.filter(|_| !digits.is_empty())
}
