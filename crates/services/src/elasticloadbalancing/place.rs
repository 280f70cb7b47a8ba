//! Where a balancer is: subnets, zones, security groups, addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{BalancerZone, LoadBalancer};
use longshore_model::{Place, State, network};
use longshore_wire::Fault;

use super::{fault, resolve};
use crate::Context;

/// Security groups of one balancer.
const MOST_SECURITY_GROUPS: usize = 5;

/// Subnets, one a zone, in one VPC.
pub struct Placed {
    pub vpc: String,
    pub zones: Vec<BalancerZone>,
}

/// What a request says of subnets.
///
/// # Errors
/// `ValidationError` unless it says it in one of the two ways; `AllocationIdNotFound`; what is not built.
pub fn subnet_ids(
    subnets: Option<Vec<String>>,
    mappings: Option<Vec<api::SubnetMapping>>,
) -> Result<Vec<String>, Fault> {
    let (subnets, mappings) = (subnets.unwrap_or_default(), mappings.unwrap_or_default());
    match (subnets.is_empty(), mappings.is_empty()) {
        (false, false) => Err(fault::invalid("You can specify either subnets or subnet mappings but not both")),
        (true, true) => Err(fault::invalid("At least one subnet must be specified")),
        (false, true) => Ok(subnets),
        (true, false) => mappings.into_iter().map(mapped).collect(),
    }
}

fn mapped(mapping: api::SubnetMapping) -> Result<String, Fault> {
    if let Some(id) = mapping.allocation_id {
        return Err(fault::allocation_not_found(format!("The allocation ID '{id}' does not exist")));
    }
    if mapping.private_ipv4_address.is_some() || mapping.ipv6_address.is_some() {
        return Err(fault::not_built("addresses of a load balancer that are given in subnet mappings"));
    }
    if mapping.source_nat_ipv6_prefix.is_some() {
        return Err(fault::not_built("IPv6 source NAT"));
    }
    mapping.subnet_id.ok_or_else(|| fault::invalid("A subnet ID must be specified in each subnet mapping"))
}

/// # Errors
/// `SubnetNotFound`; `InvalidConfigurationRequest` for two subnets in one zone or of two VPCs; `ValidationError` for
/// an application balancer in one zone.
pub fn placed(
    state: &State,
    place: &Place,
    kind: api::LoadBalancerTypeEnum,
    subnets: &[String],
) -> Result<Placed, Fault> {
    let mut placed = Placed { vpc: String::new(), zones: Vec::new() };
    for id in subnets {
        let found = state.subnets.get(&network::key(&place.account, id));
        let subnet = found.ok_or_else(|| fault::subnet_not_found(format!("The subnet ID '{id}' does not exist")))?;
        if placed.zones.iter().any(|zone| zone.zone == subnet.zone) {
            return Err(fault::configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        if !placed.zones.is_empty() && placed.vpc != subnet.vpc {
            return Err(fault::configuration(format!("All subnets must belong to the same VPC: '{}'", placed.vpc)));
        }
        placed.vpc.clone_from(&subnet.vpc);
        placed.zones.push(BalancerZone { zone: subnet.zone.clone(), subnet: subnet.id.clone(), address: None });
    }
    if kind == api::LoadBalancerTypeEnum::Application && placed.zones.len() < 2 {
        return Err(fault::invalid("At least two subnets in two different Availability Zones must be specified"));
    }
    placed.zones.sort_by(|one, other| one.zone.cmp(&other.zone));
    Ok(placed)
}

/// Security groups of a VPC: those named, or its default one if none is.
///
/// # Errors
/// `InvalidSecurityGroup` for one that is not there; `InvalidConfigurationRequest` for too many, or another VPC's.
pub fn security_groups(state: &State, place: &Place, vpc: &str, named: &[String]) -> Result<Vec<String>, Fault> {
    if named.is_empty() {
        let prefix = format!("{}/", place.account);
        let mut own = state.security_groups.scan(&prefix).map(|(_, row)| row).filter(|row| row.vpc == vpc);
        return Ok(own.find(|row| row.name == "default").map(|row| row.id.clone()).into_iter().collect());
    }
    let distinct: BTreeSet<&String> = named.iter().collect();
    if distinct.len() > MOST_SECURITY_GROUPS {
        return Err(fault::configuration(format!(
            "At most '{MOST_SECURITY_GROUPS}' security groups can be specified for a load balancer"
        )));
    }
    for id in &distinct {
        let found = state.security_groups.get(&network::key(&place.account, id));
        let absent = || fault::security_group(format!("The security group '{id}' does not exist"));
        if found.ok_or_else(absent)?.vpc != vpc {
            return Err(fault::configuration(format!("The security group '{id}' does not belong to VPC '{vpc}'")));
        }
    }
    Ok(distinct.into_iter().cloned().collect())
}

/// # Errors
/// `InvalidSubnet`: no subnet has IPv6 addresses here.
pub fn only_ipv4(wanted: Option<api::IpAddressType>) -> Result<(), Fault> {
    match wanted {
        None | Some(api::IpAddressType::Ipv4) => Ok(()),
        Some(other) => {
            let message = format!("IP address type '{other}' needs subnets with an associated IPv6 CIDR block");
            Err(fault::subnet(message))
        }
    }
}

/// # Errors
/// What is not built.
pub fn no_source_nat(wanted: Option<api::EnablePrefixForIpv6SourceNatEnum>) -> Result<(), Fault> {
    match wanted {
        Some(api::EnablePrefixForIpv6SourceNatEnum::On) => Err(fault::not_built("IPv6 source NAT")),
        _ => Ok(()),
    }
}

/// As answers show them; each zone with the address that the balancer listens on there.
pub fn zones(balancer: &LoadBalancer) -> Vec<api::AvailabilityZone> {
    let addresses: BTreeMap<&str, Ipv4Addr> =
        balancer.addresses().map(|(zone, address)| (zone.zone.as_str(), address)).collect();
    let shown = |address: &Ipv4Addr| api::LoadBalancerAddress {
        ip_address: Some(address.to_string()),
        ..api::LoadBalancerAddress::default()
    };
    let zone = |zone: &BalancerZone| api::AvailabilityZone {
        zone_name: Some(zone.zone.clone()),
        subnet_id: Some(zone.subnet.clone()),
        load_balancer_addresses: Some(addresses.get(zone.zone.as_str()).map(shown).into_iter().collect()),
        ..api::AvailabilityZone::default()
    };
    balancer.zones.iter().map(zone).collect()
}

/// These zones, each with the address that a balancer has there already.
pub fn kept(zones: Vec<BalancerZone>, of: &LoadBalancer) -> Vec<BalancerZone> {
    let known = |zone: &BalancerZone| of.zones.iter().find(|one| one.zone == zone.zone)?.address.clone();
    zones.into_iter().map(|zone| BalancerZone { address: known(&zone), ..zone }).collect()
}

/// # Errors
/// `LoadBalancerNotFound`, those of [`placed`]; `InvalidConfigurationRequest` for another VPC.
pub fn set_subnets(context: &mut Context<'_>, request: api::SetSubnetsInput) -> Result<api::SetSubnetsOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    no_source_nat(request.enable_prefix_for_ipv6_source_nat)?;
    let subnets = subnet_ids(request.subnets, request.subnet_mappings)?;
    let row = context.transact(|state, changes, mint| {
        let mut row = LoadBalancer::clone(&*resolve::balancer(state, &place, &arn)?);
        row.settle();
        only_ipv4(request.ip_address_type)?;
        let placed = placed(state, &place, row.kind, &subnets)?;
        if placed.vpc != row.vpc {
            return Err(fault::configuration(format!("All subnets must belong to the same VPC: '{}'", row.vpc)));
        }
        row.zones = kept(placed.zones, &row);
        let none = || fault::configuration("There is no address left for another Availability Zone of a load balancer");
        longshore_plan::balancer::give_addresses(state, &mut row, mint.next_u64()).ok_or_else(none)?;
        changes.push(row.clone().into());
        Ok(row)
    })?;
    Ok(api::SetSubnetsOutput {
        availability_zones: Some(zones(&row)),
        ip_address_type: Some(api::IpAddressType::Ipv4),
        ..api::SetSubnetsOutput::default()
    })
}

/// # Errors
/// `LoadBalancerNotFound`, those of [`security_groups`]; `InvalidConfigurationRequest` where groups may not come or go.
pub fn set_security_groups(
    context: &mut Context<'_>,
    request: api::SetSecurityGroupsInput,
) -> Result<api::SetSecurityGroupsOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    let named = request.security_groups.unwrap_or_default();
    let enforced = request.enforce_security_group_inbound_rules_on_private_link_traffic;
    let row = context.transact(|state, changes, _| {
        let mut row = LoadBalancer::clone(&*resolve::balancer(state, &place, &arn)?);
        if named.is_empty() {
            return Err(fault::invalid("At least one security group must be specified"));
        }
        if row.security_groups.is_empty() {
            return Err(fault::configuration(
                "Security groups cannot be set for a network load balancer that was created without",
            ));
        }
        if enforced.is_some() && row.is_application() {
            return Err(fault::configuration(
                "Rules for PrivateLink traffic are not supported for load balancers with type 'application'",
            ));
        }
        row.security_groups = security_groups(state, &place, &row.vpc, &named)?;
        row.private_link_rules = enforced.map(|value| value.to_string()).or(row.private_link_rules);
        changes.push(row.clone().into());
        Ok(row)
    })?;
    Ok(api::SetSecurityGroupsOutput {
        security_group_ids: Some(row.security_groups),
        enforce_security_group_inbound_rules_on_private_link_traffic: row
            .private_link_rules
            .and_then(|value| value.parse().ok()),
    })
}

/// # Errors
/// `LoadBalancerNotFound`, those of [`only_ipv4`].
pub fn set_ip_address_type(
    context: &mut Context<'_>,
    request: api::SetIpAddressTypeInput,
) -> Result<api::SetIpAddressTypeOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    resolve::balancer(&context.read(), &place, &arn)?;
    only_ipv4(request.ip_address_type)?;
    Ok(api::SetIpAddressTypeOutput { ip_address_type: Some(api::IpAddressType::Ipv4) })
}
