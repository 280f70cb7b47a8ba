//! What happened, line by line: a hash of everything, and the last lines for whoever looks for a cause.

use std::collections::VecDeque;
use std::fmt;

/// Lines kept for a failure's report.
const KEPT: usize = 60;

#[derive(Debug)]
pub struct Trace {
    hash: u64,
    last: VecDeque<String>,
    print: bool,
}

impl Trace {
    pub fn new(print: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, last: VecDeque::new(), print }
    }

    pub fn note(&mut self, now: i64, what: fmt::Arguments<'_>) {
        let line = format!("{now:>8} {what}");
        self.digest(line.as_bytes());
        if self.print {
            println!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Take in what is too long for a line (FNV-1a).
    pub fn digest(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The newest lines.
    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}
