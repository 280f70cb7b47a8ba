//! One small process a task: drives the OCI runtime, pumps logs, keeps exit codes.

pub mod cgroup;
pub mod error;
mod log;
pub mod machine;
mod mount;
mod oci;
pub mod protocol;
mod rootfs;
pub mod spec;
pub mod stats;
mod time;
mod user;
