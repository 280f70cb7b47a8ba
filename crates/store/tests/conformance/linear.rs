//! Whether a history could have happened one operation at a time.
//!
//! After Wing and Gong: look for an order of the operations that agrees with the times (what ended before another began
//! comes first) and in which each has the outcome it had. Operations without an outcome may have happened, or not. Where the
//! search has been is remembered, so that it ends soon.

use std::collections::HashSet;

pub const REGISTERS: usize = 3;

pub type Registers = [u64; REGISTERS];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// All registers at once.
    Read,
    Write {
        register: usize,
        value: u64,
    },
    /// Only if the register holds `old`.
    Swap {
        register: usize,
        old: u64,
        value: u64,
    },
    Add {
        register: usize,
    },
    /// Two registers in one transaction.
    Copy {
        from: usize,
        to: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Seen(Registers),
    Done,
    Swapped(bool),
    /// What it was before.
    Was(u64),
}

impl Input {
    /// What happens, one operation at a time: the specification.
    pub fn run(self, registers: &mut Registers) -> Outcome {
        match self {
            Self::Read => Outcome::Seen(*registers),
            Self::Write { register, value } => {
                registers[register] = value;
                Outcome::Done
            }
            Self::Swap { register, old, value } => {
                let holds = registers[register] == old;
                if holds {
                    registers[register] = value;
                }
                Outcome::Swapped(holds)
            }
            Self::Add { register } => {
                registers[register] += 1;
                Outcome::Was(registers[register] - 1)
            }
            Self::Copy { from, to } => {
                let value = registers[from];
                let was = std::mem::replace(&mut registers[to], value);
                Outcome::Was(was)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub input: Input,
    pub began: u64,
    /// When it ended and how, if it did.
    pub ended: Option<(u64, Outcome)>,
}

/// Whether there is such an order. At most 64 operations.
pub fn linearizable(history: &[Operation]) -> bool {
    assert!(history.len() <= 64);
    let mut been = HashSet::new();
    let mut open = vec![(0_u64, Registers::default())];
    let all_ended = history.iter().enumerate().filter(|(_, operation)| operation.ended.is_some());
    let ended = all_ended.fold(0, |mask, (index, _)| mask | 1 << index);
    while let Some((done, registers)) = open.pop() {
        if done & ended == ended {
            return true;
        }
        if been.insert((done, registers)) {
            open.extend(next(history, done, registers));
        }
    }
    false
}

/// The orders' next steps: operations that nothing left over must come before.
fn next(history: &[Operation], done: u64, registers: Registers) -> impl Iterator<Item = (u64, Registers)> {
    let left = move |(index, _): &(usize, &Operation)| done & (1 << index) == 0;
    let ends = history.iter().enumerate().filter(left).filter_map(|(_, operation)| operation.ended);
    let first_end = ends.map(|(at, _)| at).min().unwrap_or(u64::MAX);
    history.iter().enumerate().filter(left).filter_map(move |(index, operation)| {
        let mut after = registers;
        let outcome = operation.input.run(&mut after);
        let fits = operation.ended.is_none_or(|(_, seen)| seen == outcome);
        (operation.began <= first_end && fits).then_some((done | 1 << index, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(input: Input, began: u64, ended: Option<(u64, Outcome)>) -> Operation {
        Operation { input, began, ended }
    }

    const WRITE: Input = Input::Write { register: 0, value: 1 };

    #[test]
    fn a_read_after_a_write_sees_it() {
        let write = operation(WRITE, 0, Some((1, Outcome::Done)));
        let read = |began, seen| operation(Input::Read, began, Some((9, Outcome::Seen(seen))));
        assert!(linearizable(&[write, read(2, [1, 0, 0])]));
        assert!(!linearizable(&[write, read(2, [0, 0, 0])]), "stale");
        let slow = operation(WRITE, 0, Some((5, Outcome::Done)));
        assert!(linearizable(&[slow, read(2, [1, 0, 0])]));
        assert!(linearizable(&[slow, read(2, [0, 0, 0])]));
    }

    #[test]
    fn what_was_seen_cannot_be_unseen() {
        let write = operation(WRITE, 0, None);
        let read = |began: u64, seen| operation(Input::Read, began, Some((began + 1, Outcome::Seen(seen))));
        assert!(linearizable(&[write, read(2, [0, 0, 0]), read(4, [1, 0, 0])]));
        assert!(!linearizable(&[write, read(2, [1, 0, 0]), read(4, [0, 0, 0])]));
    }

    #[test]
    fn two_that_both_won_are_found() {
        let swap = |value, ended| {
            let input = Input::Swap { register: 0, old: 0, value };
            operation(input, 0, Some((ended, Outcome::Swapped(true))))
        };
        assert!(!linearizable(&[swap(1, 5), swap(2, 6)]));
        let add = |ended| operation(Input::Add { register: 1 }, 0, Some((ended, Outcome::Was(0))));
        assert!(!linearizable(&[add(5), add(6)]), "a lost update");
    }
}
