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
/// Of what a toolchain calls itself.
const LONGEST_TOOLCHAIN: usize = 256;
pub(super) const CHUNK: usize = 256 * 1024;

/// Looks through a program, a piece of it in memory at a time. Returns why it cannot be read, if it is Go's and cannot.
pub(super) fn read_program(program: &mut impl Read, shelf: &mut Shelf<'_>) -> io::Result<Option<String>> {
    let mut piece = Vec::new();
    program.by_ref().take(ELF.len() as u64).read_to_end(&mut piece)?;
    if piece != ELF {
        return Ok(None);
    }
    let finder = memmem::Finder::new(MAGIC);
    let (mut from, mut is_end) = (0, false);
    loop {
        if let Some(at) = finder.find(&piece[from..]) {
            from += at;
            // Bytes are moved once for all that is found in as many: the magic may be there again and again.
            if piece.len() - from < LARGEST_INFO && !is_end {
                piece.drain(..std::mem::take(&mut from));
                is_end = fill(program, &mut piece, 2 * LARGEST_INFO)?;
            }
            if let Some(found) = read_info(&piece[from..], shelf) {
                return Ok(found.err());
            }
            from += MAGIC.len();
        } else if is_end {
            return Ok(None);
        } else {
            // The magic may lie across two pieces.
            piece.drain(..piece.len().saturating_sub(MAGIC.len()).max(from));
            from = 0;
            is_end = fill(program, &mut piece, CHUNK)?;
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
    let version = toolchain(text(&mut rest)?)?;
    let modules = text(&mut rest)?;
    // The list lies between two marks of sixteen bytes.
    let modules = modules.get(16..modules.len().checked_sub(16)?).and_then(|text| std::str::from_utf8(text).ok());
    match release(version) {
        Some(release) => shelf.add(Kind::Go, "stdlib", &release),
        // Built by something between two releases.
        None => shelf.refuse(),
    }
    read_modules(modules.unwrap_or_default(), shelf);
    Some(Ok(()))
}

/// What a toolchain calls itself: `go1.22.1`, `devel go1.23-abcdef`.
fn toolchain(text: &[u8]) -> Option<&str> {
    let is_one = text.len() <= LONGEST_TOOLCHAIN && (text.starts_with(b"go") || text.starts_with(b"devel"));
    std::str::from_utf8(text).ok().filter(|_| is_one)
}

/// The version of a toolchain's standard library, as advisories write it: `1.22.0-rc.1` of `go1.22rc1`.
fn release(toolchain: &str) -> Option<String> {
    let version = toolchain.strip_prefix("go")?.split([' ', '-']).next()?;
    let (numbers, before) = version.split_at(version.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(version.len()));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !numbers.split('.').all(is_number) {
        return None;
    }
    let stage = ["rc", "beta"].into_iter().find_map(|stage| Some((stage, before.strip_prefix(stage)?)));
    match stage {
        None => before.is_empty().then(|| numbers.to_owned()),
        Some((stage, count)) => {
            let missing = ".0".repeat(2_usize.saturating_sub(numbers.matches('.').count()));
            is_number(count).then(|| format!("{numbers}{missing}-{stage}.{count}"))
        }
    }
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
