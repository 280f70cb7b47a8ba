//! Amazon EC2, as far as a user needs it to say where tasks run: VPCs, subnets, security groups, network interfaces,
//! zones. Read only.
//!
//! Every account begins with a default network ([`defaults()`]); network interfaces are those of `awsvpc` tasks and live
//! as long as their task. Each kind has one list of its filters, and [`list`] does what all descriptions share: ids that
//! must exist, filters, pages.
//!
//! Left out: making and changing any of it, instances, rules of security groups beyond those every new group has.

mod defaults;
mod fault;
mod interface;
mod list;
mod security_group;
mod subnet;
#[cfg(test)]
mod tests;
mod vpc;
mod zone;

use crate::{Service, operations};

pub use defaults::defaults;

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::ec2::SERVICE,
    blocking: false,
    operations: operations! {
        "DescribeAvailabilityZones" => zone::describe,
        "DescribeNetworkInterfaces" => interface::describe,
        "DescribeRegions" => zone::regions,
        "DescribeSecurityGroups" => security_group::describe,
        "DescribeSubnets" => subnet::describe,
        "DescribeVpcs" => vpc::describe,
    },
};
