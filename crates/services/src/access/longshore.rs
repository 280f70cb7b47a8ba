//! Longshore's own operations.

use super::{Access, NONE, Need, Table};

pub(super) static TABLE: Table = Table {
    service: "longshore",
    operations: &[
        Access::new("CreateJoinToken", &[Need::new("longshore:CreateJoinToken", &NONE, &[])]),
        // Who shows no join token is refused by the operation.
        Access::open("JoinNode"),
    ],
};
