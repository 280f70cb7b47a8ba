//! How far the back end has come, and what it did not take.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::{Closed, Full, Revision, Unsettled};

/// Refused stretches that are remembered one by one.
const REFUSED: usize = 1024;

/// What is known about revisions.
#[derive(Debug, Default)]
pub(crate) struct Mark {
    /// Everything up to here is durable, but for what was refused.
    durable: Revision,
    /// Revisions that were given out, and undone because the disk was full.
    refused: VecDeque<RangeInclusive<Revision>>,
    /// Up to here nobody remembers what was refused.
    forgotten: Revision,
    closed: bool,
}

impl Mark {
    pub fn at(durable: Revision) -> Self {
        Self { durable, ..Self::default() }
    }

    pub fn durable(&self) -> Revision {
        self.durable
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn advance(&mut self, durable: Revision) {
        self.durable = durable;
    }

    /// Everything that was given out and is not durable is refused; `next`, which follows it, is what was durable before.
    pub fn refuse_until(&mut self, next: Revision) {
        if self.durable + 1 < next {
            self.refused.push_back(self.durable + 1..=next - 1);
        }
        if self.refused.len() > REFUSED {
            self.forgotten = self.refused.pop_front().map_or(self.forgotten, |oldest| *oldest.end());
        }
        self.durable = next;
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// How it stands with a revision; `None` while that is open. What is not known for sure is not called durable.
    pub fn verdict(&self, revision: Revision) -> Option<Result<(), Unsettled>> {
        let refused = self.refused.iter().any(|range| range.contains(&revision));
        if refused || (1..=self.forgotten).contains(&revision) {
            return Some(Err(Full.into()));
        }
        if revision <= self.durable {
            return Some(Ok(()));
        }
        self.closed.then(|| Err(Closed.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_never_called_durable() {
        let mut mark = Mark::at(5);
        assert_eq!(mark.verdict(6), None);
        mark.refuse_until(9);
        assert_eq!(mark.verdict(5), Some(Ok(())));
        for revision in 6..9 {
            assert_eq!(mark.verdict(revision), Some(Err(Unsettled::Full(Full))), "{revision}");
        }
        assert_eq!(mark.verdict(9), Some(Ok(())));
        mark.advance(12);
        assert_eq!(mark.verdict(7), Some(Err(Unsettled::Full(Full))));
        mark.close();
        assert_eq!(mark.verdict(12), Some(Ok(())));
        assert_eq!(mark.verdict(13), Some(Err(Unsettled::Closed(Closed))));
    }

    #[test]
    fn what_nobody_remembers_is_not_called_durable() {
        let mut mark = Mark::at(0);
        for _ in 0..=REFUSED {
            mark.refuse_until(mark.durable() + 2);
        }
        assert_eq!(mark.refused.len(), REFUSED);
        assert_eq!(mark.verdict(0), Some(Ok(())));
        assert_eq!(mark.verdict(1), Some(Err(Unsettled::Full(Full))));
        assert_eq!(mark.verdict(2), Some(Ok(())));
    }
}
