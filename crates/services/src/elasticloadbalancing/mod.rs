//! Elastic Load Balancing, version 2: application and network load balancers, their listeners and rules, target groups.
//!
//! Handlers write records of `longshore_model::balancer`. A balancer is `active` as soon as its answer is sent.
//!
//! Left out: gateway load balancers, QUIC, server certificates of IAM, actions that authenticate, regular expressions
//! in conditions, rewrites, trust stores, capacity reservations, IPv6, targets that are functions or balancers.

mod action;
mod attribute;
mod balancer;
mod certificate;
mod condition;
mod fault;
mod form;
mod group;
mod health;
mod limit;
mod listener;
mod page;
mod place;
mod policy;
mod resolve;
mod rule;
mod security;
mod tag;
mod target;
#[cfg(test)]
mod tests;

pub use tag::of_arn as tags_of;

use crate::{Service, operations};

/// The operations that are built, and their handlers.
pub static SERVICE: Service = Service {
    def: &longshore_api::elasticloadbalancing::SERVICE,
    blocking: false,
    operations: operations! {
        "CreateLoadBalancer" => balancer::create,
        "DescribeLoadBalancers" => balancer::describe,
        "DeleteLoadBalancer" => balancer::delete,
        "DescribeLoadBalancerAttributes" => attribute::describe_balancer,
        "ModifyLoadBalancerAttributes" => attribute::modify_balancer,
        "SetSubnets" => place::set_subnets,
        "SetSecurityGroups" => place::set_security_groups,
        "SetIpAddressType" => place::set_ip_address_type,
        "CreateTargetGroup" => group::create,
        "DescribeTargetGroups" => group::describe,
        "ModifyTargetGroup" => group::modify,
        "DeleteTargetGroup" => group::delete,
        "DescribeTargetGroupAttributes" => attribute::describe_group,
        "ModifyTargetGroupAttributes" => attribute::modify_group,
        "RegisterTargets" => target::register,
        "DeregisterTargets" => target::deregister,
        "DescribeTargetHealth" => target::describe_health,
        "CreateListener" => listener::create,
        "DescribeListeners" => listener::describe,
        "ModifyListener" => listener::modify,
        "DeleteListener" => listener::delete,
        "AddListenerCertificates" => certificate::add,
        "RemoveListenerCertificates" => certificate::remove,
        "DescribeListenerCertificates" => certificate::describe,
        "DescribeListenerAttributes" => attribute::describe_listener,
        "ModifyListenerAttributes" => attribute::modify_listener,
        "CreateRule" => rule::create,
        "DescribeRules" => rule::describe,
        "ModifyRule" => rule::modify,
        "DeleteRule" => rule::delete,
        "SetRulePriorities" => rule::set_priorities,
        "AddTags" => tag::add_to,
        "RemoveTags" => tag::remove_from,
        "DescribeTags" => tag::describe,
        "DescribeSSLPolicies" => policy::describe,
        "DescribeAccountLimits" => limit::describe,
    },
};
