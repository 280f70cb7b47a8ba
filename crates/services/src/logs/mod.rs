//! Amazon CloudWatch Logs: groups, streams, events, retention, tags, and the filter pattern language.
//!
//! A group is a record of the state; its streams and events lie in the log store under the group's uid. So deleting a
//! group is one change, and [`Upkeep`] forgets later what it held. What a caller is told has become durable before: the
//! gateway waits for the tickets that handlers leave in the [`Context`](crate::Context).
//!
//! Left out: Insights queries, live tail, metric and subscription filters, encryption by KMS, data protection.

mod event;
mod fault;
mod filter;
mod group;
pub mod pattern;
pub(crate) mod resolve;
mod retention;
mod stream;
mod tag;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod token;
mod upkeep;

use longshore_wire::Writer;
use longshore_wire::protocol::Output;

use crate::{Service, operations};

pub use upkeep::Upkeep;

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::logs::SERVICE,
    blocking: true,
    operations: operations! {
        "CreateLogGroup" => group::create,
        "CreateLogStream" => stream::create,
        "DeleteLogGroup" => group::delete,
        "DeleteLogStream" => stream::delete,
        "DeleteRetentionPolicy" => retention::delete,
        "DescribeLogGroups" => group::describe,
        "DescribeLogStreams" => stream::describe,
        "FilterLogEvents" => filter::filter,
        "GetLogEvents" => event::get,
        "ListTagsForResource" => tag::list,
        "ListTagsLogGroup" => tag::list_of_group,
        "PutLogEvents" => event::put,
        "PutRetentionPolicy" => retention::put,
        "TagLogGroup" => tag::tag_group,
        "TagResource" => tag::tag,
        "UntagLogGroup" => tag::untag_group,
        "UntagResource" => tag::untag,
    },
};

/// The output of operations that have none.
#[derive(Debug)]
struct Done;

impl Output for Done {
    fn write_to(&self, _: &mut dyn Writer) {}
}
