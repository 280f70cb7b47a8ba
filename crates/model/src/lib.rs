//! What exists: identifiers, ARNs, records, [`State`], and the [`Change`]s that move it. Pure: no clock, no randomness,
//! no I/O; time, ids and chance come in as data.
//!
//! A record embeds the API's own structure where the caller's words are kept as they came, and holds beside it what
//! Longshore needs to act. Whatever can be derived (counts, ARNs, addresses in use) is not stored.

pub mod arn;
pub mod balancer;
pub mod certificate;
pub mod cluster;
pub mod definition;
mod definition_use;
pub mod iam;
pub mod ids;
pub mod index;
pub mod kms;
pub mod network;
mod newest;
pub mod node;
pub mod node_key;
pub mod parameter;
#[cfg(feature = "planted")]
pub mod planted;
pub mod policy;
pub mod registry;
pub mod secret;
pub mod service;
pub mod setting;
mod state;
pub mod table;
pub mod task;
pub mod task_role;
pub mod trail;

pub use arn::{Arn, Place};
pub use ids::{AccountId, Mint};
pub use state::{Change, Record, State, TableName, Unreadable};

/// Most changes that one transaction may hold: the smallest limit among the back ends (etcd's).
pub const MAX_CHANGES: usize = 128;
