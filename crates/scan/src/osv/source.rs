//! Where advisories are read from: files of JSON, archives of them as OSV publishes them (`all.zip`), directories of both.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::Error;

/// Of one advisory.
const LARGEST_ENTRY: u64 = 32 * 1024 * 1024;
/// In one archive, or directories together.
const MOST_ENTRIES: u64 = 4_000_000;
const DEEPEST: usize = 16;

/// What is done with each entry: its name and its bytes, or why they could not be read.
pub(super) type Each<'a> = dyn FnMut(&str, Result<&[u8], String>) -> Result<(), Error> + 'a;

/// Shows every entry of a file or directory.
///
/// # Errors
/// Of `each`; when the path cannot be read, or holds nothing that could be an advisory.
pub(super) fn read(path: &Path, each: &mut Each<'_>) -> Result<(), Error> {
    let is_directory = std::fs::metadata(path).map_err(|source| of_file(path, source))?.is_dir();
    if !is_directory {
        return read_file(path, each);
    }
    let mut files = Vec::new();
    list(path, path, 0, &mut files)?;
    if files.is_empty() {
        return Err(Error::NothingToImport { path: path.to_owned() });
    }
    files.sort_unstable();
    files.iter().try_for_each(|file| read_file(file, each))
}

/// Files below a directory that are named like advisories or archives. Links are not followed.
fn list(root: &Path, directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let entries = std::fs::read_dir(directory).map_err(|source| of_file(directory, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| of_file(directory, source))?;
        let kind = entry.file_type().map_err(|source| of_file(&entry.path(), source))?;
        let path = entry.path();
        let is_named = path.extension().is_some_and(|end| end == "json" || end == "zip");
        if kind.is_file() && is_named {
            files.push(path);
        } else if kind.is_dir() && depth < DEEPEST {
            list(root, &path, depth + 1, files)?;
        }
        if files.len() as u64 > MOST_ENTRIES {
            return Err(Error::TooManyAdvisories { path: root.to_owned(), most: MOST_ENTRIES });
        }
    }
    Ok(())
}

fn read_file(path: &Path, each: &mut Each<'_>) -> Result<(), Error> {
    let mut file = File::open(path).map_err(|source| of_file(path, source))?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(|source| of_file(path, source))?;
    let file = File::open(path).map_err(|source| of_file(path, source))?;
    if magic == b"PK" {
        return read_archive(path, file, each);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match take(file) {
        Ok(bytes) => each(&name, bytes.as_deref().map_err(Clone::clone)),
        Err(source) => Err(of_file(path, source)),
    }
}

fn read_archive(path: &Path, file: File, each: &mut Each<'_>) -> Result<(), Error> {
    let broken = |error: zip::result::ZipError| Error::Archive { path: path.to_owned(), reason: error.to_string() };
    let mut archive = ZipArchive::new(std::io::BufReader::new(file)).map_err(broken)?;
    if archive.len() as u64 > MOST_ENTRIES {
        return Err(Error::TooManyAdvisories { path: path.to_owned(), most: MOST_ENTRIES });
    }
    for number in 0..archive.len() {
        let read = archive.by_index(number).map_err(|error| error.to_string());
        let mut name = format!("entry {number}");
        let bytes = read.and_then(|file| {
            name = String::from_utf8_lossy(file.name_raw()).into_owned();
            if file.is_dir() { Ok(Vec::new()) } else { take(file).map_err(|error| error.to_string()).flatten() }
        });
        if name.ends_with(".json") || bytes.is_err() {
            each(&name, bytes.as_deref().map_err(Clone::clone))?;
        }
    }
    Ok(())
}

/// An entry whole, or that it is too large. What an archive says of its size is not believed.
fn take(from: impl Read) -> std::io::Result<Result<Vec<u8>, String>> {
    let mut bytes = Vec::new();
    from.take(LARGEST_ENTRY + 1).read_to_end(&mut bytes)?;
    let is_whole = bytes.len() as u64 <= LARGEST_ENTRY;
    Ok(if is_whole { Ok(bytes) } else { Err(format!("it is larger than {LARGEST_ENTRY} bytes")) })
}

fn of_file(path: &Path, source: std::io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
