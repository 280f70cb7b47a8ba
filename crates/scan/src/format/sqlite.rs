//! Databases of SQLite, as rpm has its packages in the table `Packages` of one (`rpmdb.sqlite`).
//!
//! ```text
//!     page 1      100 bytes of head (magic, size of a page at 16, bytes at each end that are not used at 20), then as others
//!     inner       kind 5, cells at 3, last child at 8, where each cell begins; a cell: CHILD KEY
//!     leaf        kind 13, cells at 3, where each cell begins; a cell: LENGTH KEY │ record … │ [where it goes on]
//!     overflow    where it goes on, bytes
//!     record      LENGTH TYPE … │ value …                    one type and one value for each column
//! ```
//! Numbers have the highest byte first; those in capitals but CHILD are of seven bits a byte. Page 1 begins the table of tables.
//!
//! An image's database may hold anything: views, columns that are computed, statistics that SQLite reads before all else, pages that
//! many others lead to. SQLite itself can be kept busy by each of them. Here no statement or expression of it is looked at, each page
//! is read once at most, whatever leads to it, and rows have no more bytes than the file.

use std::borrow::Cow;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of page 1 before what other pages begin with.
const HEAD: usize = 100;
/// SQLite makes no page of which it uses fewer bytes.
const LEAST_USED: usize = 480;

const INNER: u8 = 5;
const LEAF: u8 = 13;

/// Types of values: none, and the first of those of bytes; of texts it is one more. Both grow by two for each byte.
const NULL: u64 = 0;
const BLOB: u64 = 12;

const TABLE: &[u8] = b"Packages";

/// Gives each package to `take`: rows are of a number, which is the row's key and not stored with it, and what rpm knows.
///
/// # Errors
/// What is wrong with the database.
pub(super) fn read(bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), &'static str> {
    let mut pages = Pages::open(bytes)?;
    let root = pages.root()?;
    pages.walk(root, |record| match columns(record) {
        Some([(NULL, _), (kind, package)]) if kind >= BLOB && kind % 2 == 0 => {
            take(package);
            Ok(())
        }
        _ => Err("a row of its table of packages is not as rpm makes it"),
    })
}

struct Pages<'a> {
    bytes: &'a [u8],
    size: usize,
    /// Of a page, from its beginning.
    used: usize,
    is_read: Vec<bool>,
    /// How many bytes there can be in rows still.
    left: usize,
}

impl<'a> Pages<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let head = bytes.get(..HEAD).filter(|head| head.starts_with(MAGIC)).ok_or("it is none of SQLite's")?;
        let size = match half(head, 16) {
            Some(1) => 65_536,
            size => size.unwrap_or_default(),
        };
        let used = size.saturating_sub(usize::from(head[20]));
        if size < 512 || !size.is_power_of_two() || used < LEAST_USED {
            return Err("its pages are of no size that SQLite has");
        }
        Ok(Self { bytes, size, used, is_read: vec![false; bytes.len() / size], left: bytes.len() })
    }

    /// Where the table of packages begins. Rows of the table of tables: kind, name, of which table, first page, statement.
    fn root(&mut self) -> Result<usize, &'static str> {
        let mut root = None;
        self.walk(1, |record| {
            let [kind, name, _, page, _] = columns(record).ok_or("its table of tables is damaged")?;
            if kind.1 == b"table" && name.1 == TABLE {
                root = Some(number(page.1));
            }
            Ok(())
        })?;
        // A view has none, nor has a table that is computed.
        root.filter(|page| *page != 0).ok_or("it has no table of packages")
    }

    /// Gives the record of each row of a table to `take`, in the order of their keys.
    fn walk<F>(&mut self, root: usize, mut take: F) -> Result<(), &'static str>
    where
        F: FnMut(&[u8]) -> Result<(), &'static str>,
    {
        let mut next = vec![self.page(root)?];
        while let Some(page) = next.pop() {
            let cells = page.cells().ok_or("one of its pages is damaged")?;
            match page.kind() {
                Some(LEAF) => cells.into_iter().try_for_each(|cell| take(&self.record(cell)?))?,
                Some(INNER) => {
                    let last = page.last_child().ok_or("one of its pages is damaged")?;
                    next.push(self.page(last)?);
                    for cell in cells.into_iter().rev() {
                        next.push(self.page(word(cell).ok_or("one of its pages is damaged")?)?);
                    }
                }
                _ => return Err("one of its pages is of an unknown kind"),
            }
        }
        Ok(())
    }

    /// What is used of a page that nothing led to before.
    fn page(&mut self, number: usize) -> Result<Page<'a>, &'static str> {
        let index = number.checked_sub(1).ok_or("one of its pages is damaged")?;
        let is_read = self.is_read.get_mut(index).ok_or("it ends early")?;
        if std::mem::replace(is_read, true) {
            return Err("its pages lead to each other");
        }
        let begins = index * self.size;
        Ok(Page { bytes: &self.bytes[begins..begins + self.used], head: if index == 0 { HEAD } else { 0 } })
    }

    fn record(&mut self, mut cell: &'a [u8]) -> Result<Cow<'a, [u8]>, &'static str> {
        let length = varint(&mut cell).and_then(|length| usize::try_from(length).ok());
        let (Some(length), Some(_key)) = (length, varint(&mut cell)) else { return Err("one of its rows is damaged") };
        self.left = self.left.checked_sub(length).ok_or("its rows lie on each other")?;
        let (here, mut rest) = cell.split_at_checked(self.here(length)).ok_or("one of its rows is damaged")?;
        let mut record = Cow::Borrowed(here);
        while record.len() < length {
            let page = self.page(word(rest).ok_or("one of its rows is damaged")?)?;
            let end = page.bytes.len().min(4 + length - record.len());
            record.to_mut().extend_from_slice(&page.bytes[4..end]);
            rest = page.bytes;
        }
        Ok(record)
    }

    /// How many bytes of a record of this length lie in its cell.
    fn here(&self, length: usize) -> usize {
        let most = self.used - 35;
        if length <= most {
            return length;
        }
        let least = (self.used - 12) * 32 / 255 - 23;
        let filled = least + (length - least) % (self.used - 4);
        if filled <= most { filled } else { least }
    }
}

struct Page<'a> {
    bytes: &'a [u8],
    /// Where its kind is told.
    head: usize,
}

impl<'a> Page<'a> {
    fn kind(&self) -> Option<u8> {
        self.bytes.get(self.head).copied()
    }

    fn last_child(&self) -> Option<usize> {
        word(self.bytes.get(self.head + 8..)?)
    }

    /// Each from its beginning to the end of the page.
    fn cells(&self) -> Option<Vec<&'a [u8]>> {
        let first = self.head + if self.kind()? == INNER { 12 } else { 8 };
        let cell = |number| self.bytes.get(half(self.bytes, first + 2 * number)?..);
        (0..half(self.bytes, self.head + 3)?).map(cell).collect()
    }
}

/// The types and values of a record that has so many columns.
fn columns<const COUNT: usize>(record: &[u8]) -> Option<[(u64, &[u8]); COUNT]> {
    let mut rest = record;
    let length = usize::try_from(varint(&mut rest)?).ok()?;
    let mut types = record.get(record.len() - rest.len()..length)?;
    let mut values = record.get(length..)?;
    let mut columns = [(NULL, &[][..]); COUNT];
    for column in &mut columns {
        let kind = varint(&mut types)?;
        let (value, rest) = values.split_at_checked(size(kind)?)?;
        *column = (kind, value);
        values = rest;
    }
    types.is_empty().then_some(columns)
}

/// Of a value of this type.
fn size(kind: u64) -> Option<usize> {
    match kind {
        // No value, 0 and 1.
        NULL | 8 | 9 => Some(0),
        1..=4 => usize::try_from(kind).ok(),
        5 => Some(6),
        6 | 7 => Some(8),
        10 | 11 => None,
        BLOB.. => usize::try_from((kind - BLOB) / 2).ok(),
    }
}

/// The number of a page, which is no larger than four bytes can be.
fn number(value: &[u8]) -> usize {
    match value.len() {
        ..=4 => value.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)),
        _ => 0,
    }
}

/// A number of seven bits a byte, of nine bytes at most; the ninth has eight.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 1..=9 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if place == 9 {
            return Some(value << 8 | u64::from(*byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(value)
}

fn word(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(*bytes.first_chunk()?)).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}
