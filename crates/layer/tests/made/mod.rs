//! Archives made from a seed: of headers that are right by themselves, in orders and with words that readers take differently.
//! Content is a header too: who takes it for one, or does not, finds other entries.

const BLOCK: usize = 512;

/// Small numbers out of a seed (xorshift).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The archive of a seed.
pub fn archive(seed: u64) -> Vec<u8> {
    let mut chance = Chance::new(seed);
    let mut bytes = Vec::new();
    for _ in 0..=chance.below(4) {
        for _ in 0..chance.one(&[0, 0, 1, 1, 2]) {
            bytes.extend(extension(&mut chance));
        }
        bytes.extend(entry(&mut chance));
    }
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

fn extension(chance: &mut Chance) -> Vec<u8> {
    match chance.below(8) {
        0 => special(b'L', chance.one(&[&b"long"[..], b"long/name\0", b"", b"\0", b"n\0x", b"dir/"])),
        1 => special(b'K', chance.one(&[&b"target"[..], b"", b"t\0"])),
        2 => special(
            b'g',
            &records(&[chance.one(&[("comment", "x"), ("comment", "x"), ("path", "p"), ("size", "512")])]),
        ),
        3 => header(b'g', chance.one(&["special", "a", "b/c", "d", "new/place"]), 0, b"ustar\x0000", ""),
        _ => {
            let many = 1 + chance.below(2);
            special(b'x', &records(&(0..many).map(|_| record(chance)).collect::<Vec<_>>()))
        }
    }
}

fn record(chance: &mut Chance) -> (&'static str, &'static str) {
    chance.one(&[
        ("path", "extended"),
        ("path", "extended/"),
        ("path", ""),
        ("linkpath", "there"),
        ("linkpath", ""),
        ("size", "0"),
        ("size", "3"),
        ("size", "512"),
        ("size", "1024"),
        ("size", ""),
        ("comment", "of\nno use"),
        ("mtime", "1.5"),
        ("GNU.sparse.name", "sparse"),
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.map", "0,3"),
        ("GNU.sparse.size", "3"),
    ])
}

/// `LENGTH KEY=VALUE\n`, one after the other.
fn records(records: &[(&str, &str)]) -> Vec<u8> {
    let mut text = String::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..).map(|digits| rest + digits).find(|all| all.to_string().len() + rest == *all).unwrap();
        text += &format!("{length} {key}={value}\n");
    }
    text.into_bytes()
}

fn special(kind: u8, content: &[u8]) -> Vec<u8> {
    let magic: &[u8; 8] = if matches!(kind, b'L' | b'K') { b"ustar  \0" } else { b"ustar\x0000" };
    [header(kind, "special", content.len(), magic, ""), padded(content.to_vec())].concat()
}

fn entry(chance: &mut Chance) -> Vec<u8> {
    let kind = chance.one(&[b'0', b'0', b'0', 0, 0, b'1', b'2', b'5', b'6']);
    let name = chance.one(&["a", "b/c", "d/", "e/f/", "./g", "h"]);
    let magic = chance.one(&[b"ustar\x0000", b"ustar\x0000", b"ustar\0\0\0", b"ustar  \0", b"\0\0\0\0\0\0\0\0"]);
    let prefix = if magic.starts_with(b"ustar\0") { chance.one(&["", "", "pre", "pre/fix"]) } else { "" };
    let has_content = matches!(kind, 0 | b'0');
    let size = if has_content { chance.one(&[0, 0, 3, 512, 1024]) } else { 0 };
    let content = || header(b'0', "hidden", 0, b"ustar\x0000", "");
    // What a size elsewhere may speak of follows, too.
    let follows = if has_content { chance.one(&[size, size, size.max(512)]) } else { 0 };
    let mut bytes = header(kind, name, size, magic, prefix);
    bytes.extend(padded(content().repeat(2)[..follows].to_vec()));
    bytes
}

fn header(kind: u8, name: &str, size: usize, magic: &[u8; 8], prefix: &str) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000755");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, if matches!(kind, b'1' | b'2') { b"link" } else { b"" });
    put(257, magic);
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn padded(mut content: Vec<u8>) -> Vec<u8> {
    content.resize(content.len().next_multiple_of(BLOCK), 0);
    content
}
