//! Bytes to lines.

/// Largest line, so that it is one event: 256 KiB less the 26 bytes an event counts beside its text.
pub const LARGEST: usize = (256 << 10) - EVENT_OVERHEAD;
/// What CloudWatch Logs counts for an event beside its text.
pub const EVENT_OVERHEAD: usize = 26;

/// Cuts a stream of bytes at newlines; what is longer than [`LARGEST`] is cut there, between characters.
#[derive(Debug, Default)]
pub struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Feeds bytes, hands out the lines that are complete now (without their end).
    pub fn push(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            if self.partial.last() == Some(&b'\r') {
                self.partial.pop();
            }
            self.cut_oversize(&mut line);
            line(text(&self.partial));
            self.partial.clear();
            rest = &rest[end + 1..];
        }
        self.partial.extend_from_slice(rest);
        self.cut_oversize(&mut line);
        // A large line must not be paid for during the rest of the container's life.
        if self.partial.is_empty() && self.partial.capacity() > 64 << 10 {
            self.partial = Vec::new();
        }
    }

    /// The last line, if it had no end.
    pub fn finish(&mut self, line: impl FnOnce(String)) {
        if !self.partial.is_empty() {
            line(text(&self.partial));
            self.partial.clear();
        }
    }

    fn cut_oversize(&mut self, line: &mut impl FnMut(String)) {
        while self.partial.len() > LARGEST {
            let end = boundary(&self.partial, LARGEST);
            line(text(&self.partial[..end]));
            self.partial.drain(..end);
        }
    }
}

/// Cuts a text into pieces of at most `limit` bytes, between characters.
pub fn pieces(mut rest: &str, limit: usize) -> Vec<&str> {
    let mut list = Vec::new();
    while rest.len() > limit {
        let (piece, tail) = rest.split_at(boundary(rest.as_bytes(), limit));
        list.push(piece);
        rest = tail;
    }
    list.push(rest);
    list
}

/// The last place at or before `limit` that is not inside a UTF-8 character.
fn boundary(bytes: &[u8], limit: usize) -> usize {
    let starts = |at: usize| bytes[at] & 0xC0 != 0x80;
    (limit.saturating_sub(3)..=limit).rev().find(|&at| at > 0 && starts(at)).unwrap_or(limit)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line));
        }
        splitter.finish(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_cut() {
        let rows: &[(&[&[u8]], &[&str])] = &[
            (&[b"a\nb\n"], &["a", "b"]),
            (&[b"a", b"b\nc"], &["ab", "c"]),
            (&[b"a\r\n\r\n\n"], &["a", "", ""]),
            (&[b"a\r", b"\nb\rc\n"], &["a", "b\rc"]),
            (&[b"\xff\n"], &["\u{fffd}"]),
            (&[], &[]),
        ];
        for (chunks, expected) in rows {
            assert_eq!(split(chunks), *expected);
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = format!("x{}", "ä".repeat(LARGEST));
        let parts = split(&[line.as_bytes(), b"\nnext"]);
        assert_eq!(parts.len(), 4);
        assert!(parts[0].len() <= LARGEST && parts[0].len() > LARGEST - 3);
        assert_eq!(parts[..3].concat(), line);
        assert_eq!(parts[3], "next");
    }

    #[test]
    fn pieces_fit() {
        let list = pieces("aäöü", 3);
        assert_eq!(list, ["aä", "ö", "ü"]);
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "[a-zä\n]{0,200}", cuts in proptest::collection::vec(0usize..400, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&chunks), split(&[bytes]));
        }
    }
}
