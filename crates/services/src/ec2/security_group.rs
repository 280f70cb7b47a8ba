//! DescribeSecurityGroups.
//!
//! Groups have the rules that a default group has at AWS: everything in from members of the group itself, everything out.

use longshore_api::ec2::{
    DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, IpPermission, IpRange, SecurityGroup, UserIdGroupPair,
};
use longshore_model::{Place, network};
use longshore_wire::Fault;

use super::fault;
use super::list::{self, Asked, Kind};
use crate::Context;

static KIND: Kind<network::SecurityGroup> = Kind {
    operation: "DescribeSecurityGroups",
    id: |group| &group.id,
    not_found: ("InvalidGroup.NotFound", "security group"),
    filters: &[
        ("description", |group| vec![group.description.clone()]),
        ("egress.ip-permission.cidr", |_| vec!["0.0.0.0/0".to_owned()]),
        ("egress.ip-permission.protocol", |_| vec!["-1".to_owned()]),
        ("group-id", |group| vec![group.id.clone()]),
        ("group-name", |group| vec![group.name.clone()]),
        ("ip-permission.group-id", |group| vec![group.id.clone()]),
        ("ip-permission.protocol", |_| vec!["-1".to_owned()]),
        ("ip-permission.user-id", |group| vec![group.account.clone()]),
        ("owner-id", |group| vec![group.account.clone()]),
        ("vpc-id", |group| vec![group.vpc.clone()]),
    ],
    page: (5, 1000),
};

/// # Errors
/// `InvalidGroup.NotFound`, and those of [`list::page`].
pub fn describe(
    context: &mut Context<'_>,
    request: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Fault> {
    let prefix = format!("{}/", context.account());
    let all: Vec<network::SecurityGroup> = {
        let state = context.read();
        state.security_groups.scan(&prefix).map(|(_, group)| group.as_ref().clone()).collect()
    };
    let all = by_names(request.group_names.as_deref(), all)?;
    let asked = Asked {
        ids: request.group_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        dry_run: request.dry_run,
    };
    let (groups, next_token) = list::page(context, &KIND, &asked, all)?;
    let groups = groups.iter().map(|group| shape(&context.place, group));
    Ok(DescribeSecurityGroupsResult { security_groups: Some(groups.collect()), next_token })
}

fn by_names(
    names: Option<&[String]>,
    mut all: Vec<network::SecurityGroup>,
) -> Result<Vec<network::SecurityGroup>, Fault> {
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Ok(all);
    };
    let missing = names.iter().find(|name| !all.iter().any(|group| group.name == **name));
    if let Some(name) = missing {
        let (code, noun) = KIND.not_found;
        return Err(fault::not_found(code, noun, name));
    }
    all.retain(|group| names.contains(&group.name));
    Ok(all)
}

fn shape(place: &Place, group: &network::SecurityGroup) -> SecurityGroup {
    let everything = || IpPermission {
        ip_protocol: Some("-1".to_owned()),
        user_id_group_pairs: Some(Vec::new()),
        ip_ranges: Some(Vec::new()),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        ..IpPermission::default()
    };
    let members = UserIdGroupPair {
        user_id: Some(group.account.clone()),
        group_id: Some(group.id.clone()),
        ..UserIdGroupPair::default()
    };
    let anywhere = IpRange { cidr_ip: Some("0.0.0.0/0".to_owned()), description: None };
    SecurityGroup {
        group_id: Some(group.id.clone()),
        group_name: Some(group.name.clone()),
        description: Some(group.description.clone()),
        owner_id: Some(group.account.clone()),
        vpc_id: Some(group.vpc.clone()),
        security_group_arn: Some(place.arn("ec2", &format!("security-group/{}", group.id))),
        ip_permissions: Some(vec![IpPermission { user_id_group_pairs: Some(vec![members]), ..everything() }]),
        ip_permissions_egress: Some(vec![IpPermission { ip_ranges: Some(vec![anywhere]), ..everything() }]),
        tags: None,
    }
}
