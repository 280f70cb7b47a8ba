//! Shapes and operations of the AWS services Longshore answers for, generated from their models. No logic.
//!
//! `longshore_api::ecs::CreateClusterRequest`, `longshore_api::ecs::SERVICE`, `longshore_api::ecs::fault::…`; every member is
//! an `Option`. What may be absent is checked against the tables by `longshore_wire::validate` before a struct is made.

mod generated;

pub use generated::*;
use longshore_wire::ServiceDef;

/// Every service, in the order in which requests are matched.
pub static SERVICES: &[&ServiceDef] = &[
    &ecs::SERVICE,
    &logs::SERVICE,
    &sts::SERVICE,
    &ec2::SERVICE,
    &iam::SERVICE,
    &kms::SERVICE,
    &secretsmanager::SERVICE,
    &ssm::SERVICE,
    &cloudtrail::SERVICE,
    &elasticloadbalancing::SERVICE,
    &acm::SERVICE,
    &ecr::SERVICE,
];
