//! Archives of Java: `pom.properties` of what Maven built, also in archives inside of them.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::shelf::Shelf;
use crate::package::Kind;

const MOST_ENTRIES: usize = 100_000;
/// Of one `pom.properties`.
const LARGEST_POM: u64 = 64 * 1024;
/// Of an archive inside of another, unpacked; and of all of them together.
const LARGEST_INNER: u64 = 64 * 1024 * 1024;
const LARGEST_TOGETHER: u64 = 512 * 1024 * 1024;

type Told = Result<(), String>;

pub(super) fn read(bytes: &[u8], shelf: &mut Shelf<'_>) -> Told {
    let mut left = LARGEST_TOGETHER;
    read_archive(bytes, shelf, &mut left, true)
}

fn read_archive(bytes: &[u8], shelf: &mut Shelf<'_>, left: &mut u64, is_outer: bool) -> Told {
    let broken = |_| "it is no archive that can be read".to_owned();
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > MOST_ENTRIES {
        return Err(format!("it has more than {MOST_ENTRIES} entries"));
    }
    for number in 0..archive.len() {
        let mut file = archive.by_index(number).map_err(broken)?;
        let name = String::from_utf8_lossy(file.name_raw()).into_owned();
        if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
            read_pom(&take(&mut file, LARGEST_POM.min(*left), left)?, shelf);
        } else if is_outer && name.ends_with(".jar") {
            let inner = take(&mut file, LARGEST_INNER.min(*left), left)?;
            read_archive(&inner, shelf, left, false)?;
        }
    }
    Ok(())
}

/// A file of an archive. What it says of its size is not believed.
fn take(file: &mut impl Read, most: u64, left: &mut u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    if read.is_err() {
        return Err("a file inside of it cannot be unpacked".to_owned());
    }
    if bytes.len() as u64 > most {
        return Err(format!("a file inside of it is larger than the {most} bytes that are read"));
    }
    *left -= bytes.len() as u64;
    Ok(bytes)
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
