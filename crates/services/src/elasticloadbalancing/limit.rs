//! The quotas of an account.

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{
    MOST_BALANCERS, MOST_CERTIFICATES, MOST_GROUPS, MOST_GROUPS_OF_BALANCER, MOST_LISTENERS, MOST_RULES, MOST_TARGETS,
    MOST_TARGETS_OF_APPLICATION, MOST_TARGETS_OF_NETWORK,
};
use longshore_wire::Fault;

use super::{condition, page};
use crate::Context;

/// Quotas by the names that AWS gives them.
const LIMITS: &[(&str, usize)] = &[
    ("application-load-balancers", MOST_BALANCERS),
    ("certificates-per-application-load-balancer", MOST_CERTIFICATES),
    ("certificates-per-network-load-balancer", MOST_CERTIFICATES),
    ("condition-values-per-alb-rule", condition::MOST_VALUES),
    ("condition-wildcards-per-alb-rule", condition::MOST_WILDCARDS),
    ("listeners-per-application-load-balancer", MOST_LISTENERS),
    ("listeners-per-network-load-balancer", MOST_LISTENERS),
    ("network-load-balancers", MOST_BALANCERS),
    ("rules-per-application-load-balancer", MOST_RULES),
    ("target-groups", MOST_GROUPS),
    ("target-groups-per-action-on-application-load-balancer", 5),
    ("target-groups-per-action-on-network-load-balancer", 1),
    ("target-groups-per-application-load-balancer", MOST_GROUPS_OF_BALANCER),
    ("targets-per-application-load-balancer", MOST_TARGETS_OF_APPLICATION),
    ("targets-per-network-load-balancer", MOST_TARGETS_OF_NETWORK),
    ("targets-per-target-group", MOST_TARGETS),
];

/// # Errors
/// `ValidationError`
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeAccountLimitsInput,
) -> Result<api::DescribeAccountLimitsOutput, Fault> {
    let rows = LIMITS.iter().map(|limit| (limit.0.to_owned(), limit)).collect();
    let asked = page::Asked {
        operation: "DescribeAccountLimits",
        filter: "",
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    let shown = |(name, max): &(&str, usize)| api::Limit { name: Some((*name).to_owned()), max: Some(max.to_string()) };
    Ok(api::DescribeAccountLimitsOutput { limits: Some(rows.into_iter().map(shown).collect()), next_marker })
}
