//! The network that every account begins with.

use aws_lc_rs::digest;
use longshore_model::network::{SecurityGroup, Subnet, Vpc};
use longshore_model::{AccountId, Change, Mint};

use super::zone;

/// Subnets that fit into the default VPC, a /20 each.
const MAX_ZONES: usize = 16;

/// The changes that give an account its default VPC 172.31.0.0/16, a /20 subnet in each of the first sixteen zones, and
/// the default security group. Ids follow from account and region, so that they are the same after every reset.
pub fn defaults(account: &AccountId, region: &str, zones: &[String]) -> Vec<Change> {
    let mut mint = Mint::new(seed(account, region));
    let vpc = Vpc {
        account: account.to_string(),
        id: format!("vpc-{}", mint.hex17()),
        cidr: "172.31.0.0/16".to_owned(),
        is_default: true,
        dhcp_options: format!("dopt-{}", mint.hex17()),
    };
    let group = SecurityGroup {
        account: account.to_string(),
        id: format!("sg-{}", mint.hex17()),
        vpc: vpc.id.clone(),
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
    };
    let subnets = zones.iter().take(MAX_ZONES).enumerate().map(|(index, name)| Subnet {
        account: account.to_string(),
        id: format!("subnet-{}", mint.hex17()),
        vpc: vpc.id.clone(),
        cidr: format!("172.31.{}.0/20", index * 16),
        zone: name.clone(),
        zone_id: zone::id(region, index),
        is_default: true,
        map_public_ip: true,
    });
    let mut changes: Vec<Change> = subnets.map(Change::from).collect();
    changes.push(vpc.into());
    changes.push(group.into());
    changes
}

fn seed(account: &AccountId, region: &str) -> u64 {
    let sum = digest::digest(&digest::SHA256, format!("network {account} {region}").as_bytes());
    let first = sum.as_ref().first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}
