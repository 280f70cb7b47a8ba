//! Bugs that were put in on purpose, for the simulation to find. Only with the feature `planted`, and then only while one
//! is chosen on this thread.

use std::cell::Cell;

/// A bug, and what is wrong then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The store says that a change is durable as soon as it is queued.
    AcknowledgeBeforeDurable,
    /// A client token that comes again is taken for a new one.
    DoubleLaunchOnRetriedToken,
    /// A node forgets the number of the last order of a task that has ended.
    StaleOrderApplied,
    /// A stop is not sent where a start was sent before.
    LostStop,
    /// A node takes more than it has.
    OverCommit,
    /// A roll-out stops more tasks than the floor allows.
    FloorBroken,
    /// An address is free as soon as its task is told to stop.
    AddressUsedTwice,
    /// Now and then a commit is not told.
    EventSkipped,
    /// A task that ends is a target for ever.
    TargetLeft,
    /// A node is told to stop a task while it drains.
    StoppedWhileDraining,
}

impl Bug {
    pub const ALL: [Bug; 10] = [
        Self::AcknowledgeBeforeDurable,
        Self::DoubleLaunchOnRetriedToken,
        Self::StaleOrderApplied,
        Self::LostStop,
        Self::OverCommit,
        Self::FloorBroken,
        Self::AddressUsedTwice,
        Self::EventSkipped,
        Self::TargetLeft,
        Self::StoppedWhileDraining,
    ];
}

thread_local! {
    static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Put a bug in, or take it out, for this thread.
pub fn plant(bug: Option<Bug>) {
    CHOSEN.set(bug);
}

/// Whether this bug is in.
pub fn is(bug: Bug) -> bool {
    CHOSEN.get() == Some(bug)
}
