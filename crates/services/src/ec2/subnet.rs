//! DescribeSubnets.

use longshore_api::ec2::{DescribeSubnetsRequest, DescribeSubnetsResult, Subnet, SubnetState};
use longshore_model::State;
use longshore_model::network::{self, Block, RESERVED_HEAD};
use longshore_wire::Fault;

use super::list::{self, Asked, Kind};
use crate::Context;

/// A subnet, its ARN, and how many of its addresses are free.
struct Row {
    subnet: network::Subnet,
    arn: String,
    free: i32,
}

static KIND: Kind<Row> = Kind {
    operation: "DescribeSubnets",
    id: |row| &row.subnet.id,
    not_found: ("InvalidSubnetID.NotFound", "subnet ID"),
    filters: &[
        ("availability-zone", |row| vec![row.subnet.zone.clone()]),
        ("availabilityZone", |row| vec![row.subnet.zone.clone()]),
        ("availability-zone-id", |row| vec![row.subnet.zone_id.clone()]),
        ("availabilityZoneId", |row| vec![row.subnet.zone_id.clone()]),
        ("available-ip-address-count", |row| vec![row.free.to_string()]),
        ("cidr", |row| vec![row.subnet.cidr.clone()]),
        ("cidr-block", |row| vec![row.subnet.cidr.clone()]),
        ("cidrBlock", |row| vec![row.subnet.cidr.clone()]),
        ("default-for-az", |row| vec![row.subnet.is_default.to_string()]),
        ("defaultForAz", |row| vec![row.subnet.is_default.to_string()]),
        ("map-public-ip-on-launch", |row| vec![row.subnet.map_public_ip.to_string()]),
        ("owner-id", |row| vec![row.subnet.account.clone()]),
        ("state", |_| vec!["available".to_owned()]),
        ("subnet-arn", |row| vec![row.arn.clone()]),
        ("subnet-id", |row| vec![row.subnet.id.clone()]),
        ("vpc-id", |row| vec![row.subnet.vpc.clone()]),
    ],
    page: (5, 1000),
};

/// # Errors
/// `InvalidSubnetID.NotFound`, and those of [`list::page`].
pub fn describe(context: &mut Context<'_>, request: DescribeSubnetsRequest) -> Result<DescribeSubnetsResult, Fault> {
    let place = context.place.clone();
    let prefix = format!("{}/", place.account);
    let all = {
        let state = context.read();
        let rows = state.subnets.scan(&prefix).map(|(key, subnet)| Row {
            arn: place.arn("ec2", &format!("subnet/{}", subnet.id)),
            free: free(&state, key, subnet),
            subnet: subnet.as_ref().clone(),
        });
        rows.collect()
    };
    let asked = Asked {
        ids: request.subnet_ids.as_deref(),
        filters: request.filters.as_deref(),
        max_results: request.max_results,
        next_token: request.next_token.as_deref(),
        dry_run: request.dry_run,
    };
    let (rows, next_token) = list::page(context, &KIND, &asked, all)?;
    Ok(DescribeSubnetsResult { subnets: Some(rows.into_iter().map(shape).collect()), next_token })
}

/// Addresses of a subnet that are neither taken nor AWS's own.
fn free(state: &State, key: &str, subnet: &network::Subnet) -> i32 {
    let taken = state.index.subnet(key).map_or(0, |used| used.taken.len() as u64);
    let size = Block::parse(&subnet.cidr).map_or(0, |block| block.size());
    size.saturating_sub(RESERVED_HEAD + 1 + taken) as i32
}

fn shape(row: Row) -> Subnet {
    let Row { subnet, arn, free } = row;
    Subnet {
        subnet_id: Some(subnet.id),
        subnet_arn: Some(arn),
        owner_id: Some(subnet.account),
        vpc_id: Some(subnet.vpc),
        cidr_block: Some(subnet.cidr),
        availability_zone: Some(subnet.zone),
        availability_zone_id: Some(subnet.zone_id),
        available_ip_address_count: Some(free),
        default_for_az: Some(subnet.is_default),
        map_public_ip_on_launch: Some(subnet.map_public_ip),
        map_customer_owned_ip_on_launch: Some(false),
        assign_ipv6_address_on_creation: Some(false),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        state: Some(SubnetState::Available),
        ..Subnet::default()
    }
}
