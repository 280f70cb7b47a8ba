//! Gives memory back once a task runs.
//!
//! The supervisor is one entry of a large program. While it starts, the kernel maps much of that program around what is
//! touched; none of it is needed to wait. Its pages are dropped from this process; those that are needed again come back
//! from the page cache, unread from disk.

use std::fs;

/// One line of mapped memory with what is counted of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
    /// Of a file and not writable.
    constant: bool,
    /// Holds pages that differ from the file (relocated addresses), in memory or swapped out.
    changed: bool,
}

/// Drops all pages that are as they are in their file.
pub fn trim() {
    let Ok(text) = fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for mapping in parse(&text).iter().filter(|mapping| mapping.constant && !mapping.changed) {
        drop_pages(mapping);
    }
}

fn parse(text: &str) -> Vec<Mapping> {
    let mut list: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(mapping) = header(line) {
            list.push(mapping);
        } else if let Some(last) = list.last_mut() {
            let differs = line.starts_with("Anonymous:") || line.starts_with("Swap:");
            last.changed |= differs && line.split_whitespace().nth(1) != Some("0");
        }
    }
    list
}

/// A line like `55d0c0a00000-55d0c0b00000 r-xp 00100000 fe:00 1234   /usr/bin/longshore`.
fn header(line: &str) -> Option<Mapping> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let number = |digits| usize::from_str_radix(digits, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    let permissions = fields.next()?;
    let file = fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let constant = file && permissions.starts_with("r-") && permissions.ends_with('p');
    Some(Mapping { start, end, constant, changed: false })
}

fn drop_pages(mapping: &Mapping) {
    // SAFETY: a private mapping of a file that nobody can write to through it and of which no page was changed: each
    // page that is touched again is read from the file, the same as before.
    #[expect(unsafe_code, reason = "no safe wrapper")]
    unsafe {
        libc::madvise(mapping.start as *mut libc::c_void, mapping.end - mapping.start, libc::MADV_DONTNEED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "55d0c0a00000-55d0c0b00000 r--p 00000000 fe:00 1234  /usr/bin/longshore\n\
        Size:               1024 kB\nPrivate_Dirty:         8 kB\nAnonymous:             0 kB\n\
        55d0c0b00000-55d0c0c00000 r--p 00100000 fe:00 1234  /usr/bin/longshore\n\
        Private_Dirty:       400 kB\nAnonymous:           400 kB\nSwap: 0 kB\nVmFlags: rd mr mw me\n\
        55d0c0c00000-55d0c0d00000 rw-p 00200000 fe:00 1234  /usr/bin/longshore\nAnonymous: 0 kB\n\
        55d0c0d00000-55d0c0e00000 r--p 00300000 fe:00 1234  /usr/bin/longshore\n\
        Anonymous: 0 kB\nSwap: 4 kB\nSwapPss: 4 kB\n\
        7f0000000000-7f0000001000 r--p 00000000 00:00 0 \nAnonymous: 0 kB\n\
        7f0000002000-7f0000003000 r-xs 00000000 fe:00 9  /shared\nAnonymous: 0 kB\n";

    #[test]
    fn only_unchanged_constant_pages_of_files_go() {
        let list = parse(SMAPS);
        let going: Vec<_> = list.iter().map(|mapping| mapping.constant && !mapping.changed).collect();
        assert_eq!(going, [true, false, false, false, false, false]);
        assert_eq!((list[0].start, list[0].end), (0x55d0_c0a0_0000, 0x55d0_c0b0_0000));
    }

    #[test]
    fn everything_works_after_a_trim() {
        let before = SMAPS.len();
        trim();
        assert_eq!(SMAPS.len(), before);
        assert_eq!(parse(SMAPS).len(), 6);
    }
}
