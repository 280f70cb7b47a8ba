//! `go.mod`: what is required, with what stands in for it. Programs: what the linker wrote into them (`debug/buildinfo`).

use std::collections::HashMap;
use std::io::{self, Read};

use memchr::memmem;

use super::shelf::Shelf;
use crate::package::Kind;

pub(super) fn read(text: &str, shelf: &mut Shelf<'_>) {
    let mut required = Vec::new();
    let mut replaced = HashMap::new();
    let mut block = None;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or(line).trim();
        if line == ")" {
            block = None;
        } else if let Some(verb) = line.strip_suffix('(') {
            block = Some(verb.trim());
        } else {
            let (verb, rest) = match block {
                Some(verb) => (verb, line),
                None => line.split_once(char::is_whitespace).unwrap_or((line, "")),
            };
            let words: Vec<&str> = rest.split_whitespace().collect();
            match (verb, words.as_slice()) {
                ("require", [module, version]) => required.push((*module, *version)),
                ("replace", [module, "=>", to @ ..]) => drop(replaced.insert((*module, None), to.to_vec())),
                ("replace", [module, version, "=>", to @ ..]) => {
                    drop(replaced.insert((*module, Some(*version)), to.to_vec()));
                }
                _ => {}
            }
        }
    }
    for (module, version) in required {
        let stands_in = replaced.get(&(module, Some(version))).or_else(|| replaced.get(&(module, None)));
        match stands_in.map(Vec::as_slice) {
            Some([module, version]) => shelf.add(Kind::Go, module, version),
            // A directory stands in for it, whose version nobody knows.
            Some(_) => {}
            None => shelf.add(Kind::Go, module, version),
        }
    }
}

const ELF: &[u8] = b"\x7fELF";
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// What comes before the texts: the magic, the size of pointers, flags, space for pointers.
const HEADER: usize = 32;
const IS_INLINE: u8 = 2;
/// Of what the linker writes.
const LARGEST_INFO: usize = 2 * 1024 * 1024;
pub(super) const CHUNK: usize = 256 * 1024;

/// Looks through a program, a piece of it in memory at a time. Returns why it cannot be read, if it is Go's and cannot.
pub(super) fn read_program(program: &mut impl Read, shelf: &mut Shelf<'_>) -> io::Result<Option<String>> {
    let mut piece = Vec::new();
    program.by_ref().take(ELF.len() as u64).read_to_end(&mut piece)?;
    if piece != ELF {
        return Ok(None);
    }
    let finder = memmem::Finder::new(MAGIC);
    loop {
        let is_end = fill(program, &mut piece, CHUNK)?;
        if let Some(at) = finder.find(&piece) {
            piece.drain(..at);
            fill(program, &mut piece, LARGEST_INFO)?;
            if let Some(found) = read_info(&piece, shelf) {
                return Ok(found.err());
            }
            piece.drain(..MAGIC.len());
        } else if is_end {
            return Ok(None);
        } else {
            // The magic may lie across two pieces.
            piece.drain(..piece.len().saturating_sub(MAGIC.len()));
        }
    }
}

/// Reads on until there are so many bytes; whether the end was reached.
fn fill(program: &mut impl Read, piece: &mut Vec<u8>, size: usize) -> io::Result<bool> {
    let missing = size.saturating_sub(piece.len());
    Ok(program.take(missing as u64).read_to_end(piece)? < missing)
}

/// Reads what follows the magic; `None` if it is only the same bytes by chance.
fn read_info(bytes: &[u8], shelf: &mut Shelf<'_>) -> Option<Result<(), String>> {
    let (pointer, flags) = (*bytes.get(MAGIC.len())?, *bytes.get(MAGIC.len() + 1)?);
    if flags & IS_INLINE == 0 {
        let is_old = matches!(pointer, 4 | 8) && flags < IS_INLINE;
        return is_old.then(|| Err("a program that Go built before version 1.18, which is not read".to_owned()));
    }
    let mut rest = bytes.get(HEADER..)?;
    let version = std::str::from_utf8(text(&mut rest)?).ok()?.strip_prefix("go")?;
    let modules = text(&mut rest)?;
    // The list lies between two marks of sixteen bytes.
    let modules = modules.get(16..modules.len().checked_sub(16)?).and_then(|text| std::str::from_utf8(text).ok());
    let release = version.split([' ', '-']).next().unwrap_or(version);
    if release.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        shelf.add(Kind::Go, "stdlib", release);
    }
    read_modules(modules.unwrap_or_default(), shelf);
    Some(Ok(()))
}

/// A text behind its length, which is a number of seven bits a byte.
fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    for place in 0..4 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let (text, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            return Some(text);
        }
    }
    None
}

/// Lines of `dep`, module, version and sum; one of `=>` says what stands in for the one before it.
fn read_modules(text: &str, shelf: &mut Shelf<'_>) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split('\t').collect();
        let [verb @ ("mod" | "dep"), module, version, ..] = words.as_slice() else { continue };
        let stands_in = lines.next_if(|line| line.starts_with("=>\t"));
        let replaced: Vec<&str> = stands_in.unwrap_or_default().split('\t').collect();
        match replaced.as_slice() {
            [_, module, version, ..] if version.starts_with('v') => shelf.add(Kind::Go, module, version),
            // What was built in its own directory has no version.
            [_, _, ..] => {}
            _ if *verb == "mod" && !version.starts_with('v') => {}
            _ => shelf.add(Kind::Go, module, version),
        }
    }
}
