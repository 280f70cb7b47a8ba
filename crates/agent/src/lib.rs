//! The node: takes orders from the control plane and runs tasks with their images, network, logs and metadata.
//!
//! ```text
//!   session (ACS) ──► engine ──► an actor a task ──► runner ──► images + network ──► supervisor process
//!   session (TCS) ◄── health ◄──┘     └──► reports ──► Submit…StateChange          (outlives the agent)
//! ```
//!
//! [`run`] is the node; [`down`] removes what a node left. The agent holds nothing that cannot be found again: its
//! registration is a file, each task is a directory with its order and a process with a socket. So it may die or be
//! replaced at any time while tasks go on.
//!
//! Left out: placement and everything else that decides (the control plane's), and running containers itself (the
//! supervisor's).

mod api;
mod backoff;
mod balance;
mod clock;
mod config;
pub mod containerd;
pub mod doctor;
mod down;
mod engine;
mod error;
mod executor;
pub mod image;
mod join;
mod metadata;
pub mod network;
mod node;
pub mod ps;
mod random;
mod run;
mod secret;
mod session;
mod sign;
mod translate;
mod wallet;

pub use api::CallError;
pub use config::{AccessKey, Config, EngineKind, Instance, Joins};
pub use down::down;
pub use error::Error;
pub use join::{JoinToken, create_token, has_joined};
pub use run::run;
