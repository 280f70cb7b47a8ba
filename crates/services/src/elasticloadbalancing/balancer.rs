//! Load balancers.

use std::sync::Arc;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{LoadBalancer, MOST_BALANCERS, Map, key, listener_key};
use longshore_model::{Change, Mint, Place, State, TableName};
use longshore_wire::{Fault, Timestamp};

use super::place::{self, Placed};
use super::{fault, form, page, resolve, tag};
use crate::Context;

/// Of the DNS zones that balancers' names are in, as AWS has them in us-east-1. Here names are in no such zone.
const ZONE_OF_APPLICATION: &str = "Z35SXDOTRQ7X7K";
const ZONE_OF_NETWORK: &str = "Z26RNL4JYFTOTI";

/// What is asked for, as far as it can be told without the state.
struct Asked {
    name: String,
    kind: api::LoadBalancerTypeEnum,
    scheme: api::LoadBalancerSchemeEnum,
    subnets: Vec<String>,
    security_groups: Vec<String>,
    tags: Map,
}

/// The same settings again answer the balancer that they made.
///
/// # Errors
/// `ValidationError`, `DuplicateLoadBalancerName`, `TooManyLoadBalancers`, those of [`place::placed`],
/// [`place::security_groups`] and [`tag::made`], and what is not built.
pub fn create(
    context: &mut Context<'_>,
    request: api::CreateLoadBalancerInput,
) -> Result<api::CreateLoadBalancerOutput, Fault> {
    let asked = read(request)?;
    let (place, now) = (context.place.clone(), context.now);
    let row = context.transact(|state, changes, mint| {
        let wanted = wanted(state, &place, asked, (now, mint))?;
        if let Some(known) = state.load_balancers.get(&wanted.key()) {
            return same(known, wanted);
        }
        let prefix = format!("{}/", place.account);
        let alike = state.load_balancers.scan(&prefix).filter(|(_, row)| row.kind == wanted.kind).count();
        let full = || fault::too_many_balancers(format!("The limit of '{MOST_BALANCERS}' load balancers is reached"));
        if alike >= MOST_BALANCERS {
            return Err(full());
        }
        let mut row = wanted;
        longshore_plan::balancer::give_addresses(state, &mut row, mint.next_u64()).ok_or_else(full)?;
        changes.push(row.clone().into());
        Ok(row)
    })?;
    Ok(api::CreateLoadBalancerOutput { load_balancers: Some(vec![shown(&place, &row)]) })
}

fn read(request: api::CreateLoadBalancerInput) -> Result<Asked, Fault> {
    let name = request.name.unwrap_or_default();
    form::name("The load balancer", &name)?;
    if name.starts_with("internal-") {
        return Err(fault::invalid(format!("The load balancer name '{name}' cannot begin with 'internal-'")));
    }
    let kind = request.r#type.unwrap_or(api::LoadBalancerTypeEnum::Application);
    if kind == api::LoadBalancerTypeEnum::Gateway {
        return Err(fault::not_built("gateway load balancers"));
    }
    if request.customer_owned_ipv4_pool.is_some() || request.ipam_pools.is_some() {
        return Err(fault::not_built("pools of addresses"));
    }
    place::only_ipv4(request.ip_address_type)?;
    place::no_source_nat(request.enable_prefix_for_ipv6_source_nat)?;
    Ok(Asked {
        name,
        kind,
        scheme: request.scheme.unwrap_or(api::LoadBalancerSchemeEnum::InternetFacing),
        subnets: place::subnet_ids(request.subnets, request.subnet_mappings)?,
        security_groups: request.security_groups.unwrap_or_default(),
        tags: tag::made(request.tags)?,
    })
}

/// The record that is asked for, its addresses still to be given.
fn wanted(
    state: &State,
    place: &Place,
    asked: Asked,
    (now, mint): (Timestamp, &mut Mint),
) -> Result<LoadBalancer, Fault> {
    let Placed { vpc, zones } = place::placed(state, place, asked.kind, &asked.subnets)?;
    let bare = asked.kind == api::LoadBalancerTypeEnum::Network && asked.security_groups.is_empty();
    let security_groups = match bare {
        true => Vec::new(),
        false => place::security_groups(state, place, &vpc, &asked.security_groups)?,
    };
    Ok(LoadBalancer {
        account: place.account.to_string(),
        name: asked.name,
        id: form::id(mint),
        created_at: now,
        kind: asked.kind,
        scheme: asked.scheme,
        vpc,
        zones,
        security_groups,
        private_link_rules: None,
        address: None,
        attributes: Map::new(),
        tags: asked.tags,
    })
}

/// The balancer of this name, if it is as it is wanted.
fn same(known: &LoadBalancer, wanted: LoadBalancer) -> Result<LoadBalancer, Fault> {
    let message = format!("A load balancer with the same name '{}' exists, but with different settings", known.name);
    let alike = LoadBalancer {
        id: known.id.clone(),
        created_at: known.created_at,
        private_link_rules: known.private_link_rules.clone(),
        address: known.address.clone(),
        zones: place::kept(wanted.zones, known),
        attributes: known.attributes.clone(),
        ..wanted
    };
    if alike == *known { Ok(alike) } else { Err(fault::duplicate_balancer(message)) }
}

/// # Errors
/// `LoadBalancerNotFound`, `ValidationError`.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeLoadBalancersInput,
) -> Result<api::DescribeLoadBalancersOutput, Fault> {
    let place = context.place.clone();
    let arns = request.load_balancer_arns.unwrap_or_default();
    let names = request.names.unwrap_or_default();
    let rows = rows(&context.read(), &place, &arns, &names)?;
    let filter = format!("{arns:?} {names:?}");
    let asked = page::Asked {
        operation: "DescribeLoadBalancers",
        filter: &filter,
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    let load_balancers = rows.iter().map(|row| shown(&place, row)).collect();
    Ok(api::DescribeLoadBalancersOutput { load_balancers: Some(load_balancers), next_marker })
}

type Rows = Vec<(String, Arc<LoadBalancer>)>;

/// Those with these ARNs, or these names, or all.
fn rows(state: &State, place: &Place, arns: &[String], names: &[String]) -> Result<Rows, Fault> {
    if !arns.is_empty() && !names.is_empty() {
        return Err(fault::invalid("Load balancer names and load balancer ARNs cannot be specified at the same time"));
    }
    if arns.is_empty() && names.is_empty() {
        let prefix = format!("{}/", place.account);
        return Ok(state.load_balancers.scan(&prefix).map(|(key, row)| (key.to_string(), row.clone())).collect());
    }
    let by_name = |name: &String| {
        let absent = || fault::balancer_not_found(format!("Load balancers '[{name}]' not found"));
        state.load_balancers.get(&key(&place.account, name)).cloned().ok_or_else(absent)
    };
    let by_arn = arns.iter().map(|arn| resolve::balancer(state, place, arn));
    let found: Vec<_> = by_arn.chain(names.iter().map(by_name)).collect::<Result<_, _>>()?;
    let mut rows: Rows = found.into_iter().map(|row| (row.key(), row)).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| one.0 == other.0);
    Ok(rows)
}

/// It goes with its listeners. One that is not there is no error.
///
/// # Errors
/// `ValidationError`; `OperationNotPermitted` where deletion protection is enabled.
pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteLoadBalancerInput,
) -> Result<api::DeleteLoadBalancerOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    context.transact(|state, changes, _| {
        let row = match resolve::balancer(state, &place, &arn) {
            Ok(row) => row,
            Err(absent) if absent.code == "LoadBalancerNotFound" => return Ok(()),
            Err(fault) => return Err(fault),
        };
        if row.attributes.get("deletion_protection.enabled").is_some_and(|value| value == "true") {
            let message = format!("Load balancer '{arn}' cannot be deleted because deletion protection is enabled");
            return Err(fault::not_permitted(message));
        }
        let prefix = listener_key(&row.account, &row.name, "");
        let listeners = state.listeners.scan(&prefix).map(|(key, _)| key.to_string());
        changes.extend(listeners.map(|key| Change::Delete(TableName::Listener, key)));
        changes.push(Change::Delete(TableName::LoadBalancer, row.key()));
        Ok(())
    })?;
    Ok(api::DeleteLoadBalancerOutput {})
}

fn shown(place: &Place, row: &LoadBalancer) -> api::LoadBalancer {
    let zone = if row.is_application() { ZONE_OF_APPLICATION } else { ZONE_OF_NETWORK };
    api::LoadBalancer {
        load_balancer_arn: Some(row.arn(place)),
        dns_name: Some(row.dns_name(&place.region)),
        canonical_hosted_zone_id: Some(zone.to_owned()),
        created_time: Some(row.created_at),
        load_balancer_name: Some(row.name.clone()),
        scheme: Some(row.scheme),
        vpc_id: Some(row.vpc.clone()),
        state: Some(api::LoadBalancerState { code: Some(api::LoadBalancerStateEnum::Active), reason: None }),
        r#type: Some(row.kind),
        availability_zones: Some(place::zones(row)),
        security_groups: (!row.security_groups.is_empty()).then(|| row.security_groups.clone()),
        ip_address_type: Some(api::IpAddressType::Ipv4),
        enforce_security_group_inbound_rules_on_private_link_traffic: row.private_link_rules.clone(),
        ..api::LoadBalancer::default()
    }
}
