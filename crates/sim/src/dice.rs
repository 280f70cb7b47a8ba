//! Chance, all of it from one seed.

use longshore_model::Mint;

/// Draws numbers. Two with the same seed draw the same.
#[derive(Debug)]
pub struct Dice(Mint);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Mint::new(seed.wrapping_mul(0x2545_F491_4F6C_DD1D) ^ 0x6C62_272E_07BB_0142))
    }

    pub fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let span = (most - least + 1).max(1) as u64;
        least + (self.0.next_u64() % span) as i64
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, thousandth: u64) -> bool {
        self.0.next_u64() % 1000 < thousandth
    }

    pub fn index(&mut self, length: usize) -> usize {
        (self.0.next_u64() % length.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.index(from.len())) }
    }
}
