//! AWS CloudTrail: what was called, by whom, and what came of it.
//!
//! The gateway writes a [`Record`] of every call into the audit log ([`longshore_store::audit`]), whether there is a trail
//! or not, and of what happens on nodes' channels ([`node_event`]); LookupEvents reads it. Left out: event data stores and queries (CloudTrail Lake), channels, insights, data
//! events, organization trails, digest files (the log's own chain serves, by `longshore audit verify`).

pub mod deliver;
mod destination;
pub mod event;
mod fault;
mod identity;
mod lookup;
mod name;
pub mod node_event;
pub mod redact;
mod resource;
mod selector;
mod tag;
#[cfg(test)]
mod tests;
mod trail;

pub use event::Record;

use crate::{Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::cloudtrail::SERVICE,
    blocking: true,
    operations: operations! {
        "LookupEvents" => lookup::events,
        "CreateTrail" => trail::create,
        "UpdateTrail" => trail::update,
        "DeleteTrail" => trail::delete,
        "DescribeTrails" => trail::describe,
        "GetTrail" => trail::get,
        "ListTrails" => trail::list,
        "StartLogging" => trail::start,
        "StopLogging" => trail::stop,
        "GetTrailStatus" => trail::status,
        "PutEventSelectors" => selector::put,
        "GetEventSelectors" => selector::get,
        "AddTags" => tag::put,
        "RemoveTags" => tag::remove,
        "ListTags" => tag::list,
    },
};
