//! Archives of Java: `pom.properties` of what Maven built, also in archives inside of them.

use std::io::{Cursor, Read};

use memchr::memmem;
use zip::ZipArchive;

use super::shelf::Shelf;
use crate::package::Kind;

/// Of one `pom.properties`.
const LARGEST_POM: u64 = 64 * 1024;
/// Of an archive inside of another, unpacked; and of all of them together.
const LARGEST_INNER: u64 = 64 * 1024 * 1024;
const LARGEST_TOGETHER: u64 = 512 * 1024 * 1024;

type Told = Result<(), String>;

/// Reads what an archive and those in it say.
///
/// # Errors
/// What was not read, though other parts may have been.
pub(super) fn read(bytes: &[u8], shelf: &mut Shelf<'_>) -> Told {
    let mut walk = Walk { shelf, left: LARGEST_TOGETHER, silent: 0, broken: 0, deep: 0 };
    walk.read_archive(bytes, true)?;
    walk.told()
}

struct Walk<'a, 'b> {
    shelf: &'a mut Shelf<'b>,
    /// Bytes that may be unpacked still.
    left: u64,
    /// Archives that do not say what they are, that cannot be read, and that lie in one inside of another.
    silent: usize,
    broken: usize,
    deep: usize,
}

impl Walk<'_, '_> {
    fn read_archive(&mut self, bytes: &[u8], is_outer: bool) -> Told {
        check_end(bytes)?;
        let broken = |_| "it is no archive that can be read".to_owned();
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
        let mut says = false;
        for number in 0..archive.len() {
            let mut file = archive.by_index(number).map_err(broken)?;
            let name = String::from_utf8_lossy(file.name_raw()).into_owned();
            let is_inner = name.ends_with(".jar") || name.ends_with(".war");
            if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
                says = true;
                read_pom(&self.unpack(&mut file, LARGEST_POM)?, self.shelf);
            } else if is_inner && is_outer {
                says = true;
                let inner = self.unpack(&mut file, LARGEST_INNER)?;
                self.broken += usize::from(self.read_archive(&inner, false).is_err());
            } else if is_inner {
                says = true;
                self.deep += 1;
            }
        }
        self.silent += usize::from(!says);
        Ok(())
    }

    /// A file of an archive. What it says of its size is not believed.
    fn unpack(&mut self, file: &mut impl Read, most: u64) -> Result<Vec<u8>, String> {
        let most = most.min(self.left);
        let mut bytes = Vec::new();
        let read = file.take(most + 1).read_to_end(&mut bytes);
        let length = bytes.len() as u64;
        self.left = self.left.saturating_sub(length);
        if !self.shelf.pay_unpacked(length) {
            return Err("it unpacks to more than is read of an image".to_owned());
        }
        if read.is_err() {
            return Err("a file inside of it cannot be unpacked".to_owned());
        }
        if length > most {
            return Err(format!("a file inside of it is larger than the {most} bytes that are read"));
        }
        Ok(bytes)
    }

    fn told(&self) -> Told {
        let parts = [
            (self.silent, "do not say what they are"),
            (self.broken, "cannot be read"),
            (self.deep, "lie deeper than is read"),
        ];
        let told: Vec<String> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("of the archives that it is or holds {count} {what}"))
            .collect();
        if told.is_empty() { Ok(()) } else { Err(told.join(", ")) }
    }
}

/// Refuses an archive whose end leads to another (ZIP64), which may say of any number of entries: all of them would be in memory
/// before they are counted. Any other has fewer than 65,536.
fn check_end(bytes: &[u8]) -> Told {
    let is_large = |at: usize| {
        let is_full = |from: usize, to: usize| {
            bytes.get(at + from..at + to).is_some_and(|field| field.iter().all(|byte| *byte == 0xff))
        };
        is_full(10, 12) || is_full(12, 16) || is_full(16, 20)
    };
    match memmem::find_iter(bytes, b"PK\x05\x06").any(is_large) {
        true => Err("it has more than 65534 entries".to_owned()),
        false => Ok(()),
    }
}

fn read_pom(bytes: &[u8], shelf: &mut Shelf<'_>) {
    let text = String::from_utf8_lossy(bytes);
    let value = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.trim().split_once('='));
        values.find(|(found, _)| found.trim() == key).map(|(_, value)| value.trim()).unwrap_or_default()
    };
    let (group, artifact) = (value("groupId"), value("artifactId"));
    let is_named = !group.is_empty() && !artifact.is_empty();
    let name = if is_named { format!("{group}:{artifact}") } else { String::new() };
    shelf.add(Kind::Maven, &name, value("version"));
}
