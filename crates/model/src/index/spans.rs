//! A set of addresses kept as runs, so that the next free one is found in one step however many are taken in a row.

use std::collections::BTreeMap;

/// A set of 32-bit numbers: each run by its first, with its last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spans {
    runs: BTreeMap<u32, u32>,
    len: usize,
}

impl Spans {
    pub const fn new() -> Self {
        Self { runs: BTreeMap::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn contains(&self, number: u32) -> bool {
        self.run_of(number).is_some()
    }

    /// The last number of the run that holds `number`.
    pub fn end_of(&self, number: u32) -> Option<u32> {
        self.run_of(number).map(|(_, last)| last)
    }

    fn run_of(&self, number: u32) -> Option<(u32, u32)> {
        let (first, last) = self.runs.range(..=number).next_back()?;
        (number <= *last).then_some((*first, *last))
    }

    /// Returns whether it was not there yet.
    pub fn insert(&mut self, number: u32) -> bool {
        if self.contains(number) {
            return false;
        }
        let before = number.checked_sub(1).and_then(|before| self.run_of(before));
        let behind = number.checked_add(1).and_then(|behind| self.runs.remove(&behind));
        let first = before.map_or(number, |(first, _)| first);
        self.runs.insert(first, behind.unwrap_or(number));
        self.len += 1;
        true
    }

    /// Returns whether it was there.
    pub fn remove(&mut self, number: u32) -> bool {
        let Some((first, last)) = self.run_of(number) else { return false };
        self.runs.remove(&first);
        if first < number {
            self.runs.insert(first, number - 1);
        }
        if number < last {
            self.runs.insert(number + 1, last);
        }
        self.len -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn runs_hold_what_a_plain_set_holds() {
        let (mut spans, mut plain, mut random) = (Spans::default(), BTreeSet::new(), crate::Mint::new(5));
        for _ in 0..20_000 {
            let number = (random.next_u64() % 64) as u32;
            match random.next_u64() % 2 {
                0 => assert_eq!(spans.insert(number), plain.insert(number)),
                _ => assert_eq!(spans.remove(number), plain.remove(&number)),
            }
            assert_eq!(spans.len(), plain.len());
        }
        for number in 0..65 {
            let end = (number..).find(|number| !plain.contains(number)).map(|behind| behind.wrapping_sub(1));
            assert_eq!(spans.end_of(number), plain.contains(&number).then_some(end).flatten(), "{number}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_numbers_like_others() {
        let mut spans = Spans::default();
        assert!(spans.insert(u32::MAX) && spans.insert(u32::MAX - 1) && spans.insert(0));
        assert_eq!((spans.end_of(u32::MAX - 1), spans.end_of(0), spans.end_of(1)), (Some(u32::MAX), Some(0), None));
        assert!(spans.remove(u32::MAX) && !spans.contains(u32::MAX) && spans.contains(u32::MAX - 1));
    }
}
