//! Hash databases of Berkeley DB, as rpm had its packages in them (`Packages`).
//!
//! ```text
//!     page 0    what the database is: magic, version, the size of its pages, the last of them
//!     others    26 bytes of head (next page at 16, entries at 20, length at 22, kind at 25), then
//!                 of a bucket:    where each entry begins, in turns a key and its value; entries lie from the end on
//!                 of an overflow: a part of a value that is too large for a bucket, and where the next part is
//! ```
//! Numbers are in the order of the machine that made it. Each page is read once at most, whatever points to it.

/// Of a database of this kind, in either order of bytes.
const MAGIC: u32 = 0x0006_1561;
/// Those whose pages are as above.
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;
const HEAD: usize = 26;

const KIND: usize = 25;
const BUCKET: u8 = 2;
const BUCKET_SORTED: u8 = 13;
const OVERFLOW: u8 = 7;
const ABOUT: u8 = 8;

/// Kinds of entries.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// Gives each value to `take`, but that of key 0, which is a counter of rpm's.
///
/// # Errors
/// What is wrong with the database.
pub(super) fn read(bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), &'static str> {
    let pages = Pages::open(bytes)?;
    let mut used = vec![false; pages.count];
    for page in (1..pages.count).filter_map(|number| pages.page(number)) {
        if !matches!(page[KIND], BUCKET | BUCKET_SORTED) {
            continue;
        }
        for pair in pages.entries(page).ok_or("one of its buckets is damaged")?.chunks(2) {
            let [key, value] = pair else { return Err("one of its keys has no value") };
            if pages.number(key)? == 0 {
                continue;
            }
            match value {
                [HERE, value @ ..] => take(value),
                [ELSEWHERE, ..] => take(&pages.value(value, &mut used).ok_or("one of its values is damaged")?),
                _ => return Err("one of its values is of an unknown kind"),
            }
        }
    }
    Ok(())
}

struct Pages<'a> {
    bytes: &'a [u8],
    is_big: bool,
    size: usize,
    count: usize,
}

impl<'a> Pages<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let magic = bytes.get(12..16).ok_or("it ends early")?;
        let is_big = match magic {
            magic if *magic == MAGIC.to_le_bytes() => false,
            magic if *magic == MAGIC.to_be_bytes() => true,
            _ => return Err("it is none of Berkeley DB's hash databases"),
        };
        let mut pages = Self { bytes, is_big, size: bytes.len(), count: 1 };
        let word = |at| pages.word(bytes, at).ok_or("it ends early");
        let (version, size, last) = (word(16)?, word(20)?, word(32)?);
        let (size, last) = (usize::try_from(size).unwrap_or_default(), usize::try_from(last).unwrap_or(usize::MAX));
        if !VERSIONS.contains(&version) || !(512..=65_536).contains(&size) || !size.is_power_of_two() {
            return Err("it is of an unknown version");
        }
        // Sealed, or with a sum in each page.
        if bytes[24..=26] != [0, ABOUT, 0] {
            return Err("it is sealed, or not as rpm makes it");
        }
        if last >= bytes.len() / size {
            return Err("it ends early");
        }
        (pages.size, pages.count) = (size, last + 1);
        Ok(pages)
    }

    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let begins = number.checked_mul(self.size)?;
        self.bytes.get(begins..begins.checked_add(self.size)?)
    }

    /// The entries of a bucket: each ends where the one before it begins.
    fn entries(&self, page: &'a [u8]) -> Option<Vec<&'a [u8]>> {
        let count = self.half(page, 20)?;
        let first = HEAD + 2 * count;
        let mut end = page.len();
        let next = |number| {
            let begins = self.half(page, HEAD + 2 * number)?;
            let entry = page.get(begins..end).filter(|entry| begins >= first && !entry.is_empty())?;
            end = begins;
            Some(entry)
        };
        (0..count).map(next).collect()
    }

    /// A key of rpm's: the number of a package.
    fn number(&self, key: &[u8]) -> Result<u32, &'static str> {
        let number = (key.len() == 5 && key[0] == HERE).then(|| self.word(key, 1)).flatten();
        number.ok_or("one of its keys is no number")
    }

    /// A value that lies on pages of its own: `_ _ _ _ FIRST-PAGE LENGTH`.
    fn value(&self, entry: &[u8], used: &mut [bool]) -> Option<Vec<u8>> {
        let (mut next, length) = (self.word(entry, 4)?, self.word(entry, 8)?);
        let mut value = Vec::new();
        while next != 0 {
            let number = usize::try_from(next).ok()?;
            if std::mem::replace(used.get_mut(number)?, true) {
                return None;
            }
            let page = self.page(number).filter(|page| page[KIND] == OVERFLOW)?;
            value.extend_from_slice(page.get(HEAD..HEAD + self.half(page, 22)?)?);
            next = self.word(page, 16)?;
        }
        (value.len() == usize::try_from(length).ok()?).then_some(value)
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }

    fn half(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let half = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(if self.is_big { u16::from_be_bytes(half) } else { u16::from_le_bytes(half) }))
    }
}
