//! Mutants: bytes changed, added, taken away, repeated, and put together of two.

/// A generator of numbers that is the same for the same seed (xorshift).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not nothing.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Bytes that readers treat in ways of their own.
const ODD: &[u8] = b"\0\t\n\r \"%&'()*+,-./:;=?@[\\]{}~\x7f\x80\xc3\xe2\xf0\xff";

/// Numbers at the edges of what readers count with.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "2147483648",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "-0",
    "NaN",
    "00000000000001",
];

/// One input of the corpus, changed in one to eight places.
pub fn mutant(random: &mut Random, corpus: &[Vec<u8>], words: &[&str], longest: usize) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(8) {
        let other = &corpus[random.below(corpus.len())];
        change(random, &mut input, other, words);
        input.truncate(longest);
    }
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, other: &[u8], words: &[&str]) {
    let at = random.below(input.len() + 1);
    match random.below(9) {
        0 => flip(random, input),
        1 => put(input, at, &[ODD[random.below(ODD.len())]]),
        2 => put(input, at, words[random.below(words.len())].as_bytes()),
        3 => put(input, at, NUMBERS[random.below(NUMBERS.len())].as_bytes()),
        4 => drop(input.drain(stretch(random, input.len()))),
        5 => repeat(random, input),
        6 => put(input, at, &other[stretch(random, other.len())]),
        7 => {
            let range = stretch(random, input.len());
            input.splice(range, words[random.below(words.len())].bytes());
        }
        _ => {
            input.truncate(at);
            input.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
    }
}

fn flip(random: &mut Random, input: &mut [u8]) {
    if !input.is_empty() {
        let at = random.below(input.len());
        input[at] ^= 1 << random.below(8);
    }
}

fn put(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// A stretch of so many bytes; short ones more often than long ones.
fn stretch(random: &mut Random, length: usize) -> std::ops::Range<usize> {
    let begin = random.below(length + 1);
    let most = 1 << random.below(9);
    begin..(begin + random.below(most + 1)).min(length)
}

fn repeat(random: &mut Random, input: &mut Vec<u8>) {
    let range = stretch(random, input.len());
    let (end, piece) = (range.end, input[range].to_vec());
    let times = 1 << random.below(8);
    put(input, end, &piece.repeat(times));
}
