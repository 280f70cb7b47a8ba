//! One small process a task: drives the OCI runtime, pumps logs, keeps exit codes.

pub mod machine;
pub mod protocol;
pub mod spec;
pub mod stats;
