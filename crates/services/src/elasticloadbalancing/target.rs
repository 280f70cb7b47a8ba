//! Targets: registered, draining, and how they are.

use std::net::Ipv4Addr;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{
    Draining, LoadBalancer, MOST_TARGETS, MOST_TARGETS_OF_APPLICATION, MOST_TARGETS_OF_NETWORK, Target, TargetGroup,
    target_key, targets_prefix,
};
use longshore_model::network::{self, Block};
use longshore_model::{Change, Place, State, TableName};
use longshore_wire::{Fault, Timestamp};

use super::{attribute, fault, group, health, resolve};
use crate::Context;

/// Targets that are written in one transaction. Of more, those before are there when a later one is refused.
const AT_ONCE: usize = 100;

/// Private addresses beyond the VPC that targets may have.
const PRIVATE: &[&str] = &["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"];

/// # Errors
/// `TargetGroupNotFound`, `InvalidTarget`, `ValidationError`, `TooManyTargets`.
pub fn register(
    context: &mut Context<'_>,
    request: api::RegisterTargetsInput,
) -> Result<api::RegisterTargetsOutput, Fault> {
    let (place, arn, now) = (context.place.clone(), request.target_group_arn.unwrap_or_default(), context.now);
    let asked = some(request.targets)?;
    for few in asked.chunks(AT_ONCE) {
        context.transact(|state, changes, _| {
            let group = resolve::group(state, &place, &arn)?;
            let mut wanted = Vec::with_capacity(few.len());
            for target in few {
                add(&mut wanted, read(state, &place, &group, target, now)?);
            }
            wanted.retain(|target: &Target| {
                state.targets.get(&target.key()).is_none_or(|known| known.draining.is_some())
            });
            let new = wanted.iter().filter(|target| !state.targets.contains(&target.key())).count();
            within(state, &group, new)?;
            changes.extend(wanted.into_iter().map(Change::from));
            Ok::<_, Fault>(())
        })?;
    }
    Ok(api::RegisterTargetsOutput {})
}

/// Each target once.
fn add(targets: &mut Vec<Target>, target: Target) {
    if !targets.iter().any(|one| one.key() == target.key()) {
        targets.push(target);
    }
}

fn some(targets: Option<Vec<api::TargetDescription>>) -> Result<Vec<api::TargetDescription>, Fault> {
    let targets = targets.unwrap_or_default();
    match targets.len() {
        0 => Err(fault::invalid("At least one target must be specified")),
        count if count > MOST_TARGETS => {
            Err(fault::too_many_targets(format!("At most '{MOST_TARGETS}' targets can be specified")))
        }
        _ => Ok(targets),
    }
}

/// The record of a target that is asked for.
fn read(
    state: &State,
    place: &Place,
    group: &TargetGroup,
    asked: &api::TargetDescription,
    now: Timestamp,
) -> Result<Target, Fault> {
    let id = asked.id.clone().unwrap_or_default();
    if asked.quic_server_id.is_some() {
        return Err(fault::not_built("QUIC"));
    }
    if group.target_type == api::TargetTypeEnum::Instance {
        // There are no instances of EC2's here.
        let message = format!("The following targets are not in a running state and cannot be registered: '{id:.64}'");
        return Err(fault::target(message));
    }
    let zone = zone(state, place, group, &id, asked.availability_zone.as_deref())?;
    Ok(Target {
        account: group.account.clone(),
        group: group.id.clone(),
        id,
        port: asked.port.unwrap_or(group.port),
        zone: Some(zone),
        registered_at: now,
        draining: None,
        health: None,
    })
}

/// The zone that an address is in: its subnet's; `all` for one beyond the VPC.
fn zone(state: &State, place: &Place, group: &TargetGroup, id: &str, asked: Option<&str>) -> Result<String, Fault> {
    let malformed = |_| fault::invalid(format!("The IP address '{id:.64}' is not a valid IPv4 address"));
    let address: Ipv4Addr = id.parse().map_err(malformed)?;
    let vpc = state.vpcs.get(&network::key(&place.account, &group.vpc));
    let contains = |cidr: &str| Block::parse(cidr).is_some_and(|block| block.contains(address));
    if vpc.is_none_or(|vpc| !contains(&vpc.cidr)) {
        return beyond(id, asked, PRIVATE.iter().any(|cidr| contains(cidr)));
    }
    let prefix = format!("{}/", place.account);
    let mut subnets = state.subnets.scan(&prefix).map(|(_, row)| row).filter(|row| row.vpc == group.vpc);
    let Some(subnet) = subnets.find(|row| contains(&row.cidr)) else {
        return Err(fault::target(format!("The IP address '{id}' must be from a subnet of the VPC '{}'", group.vpc)));
    };
    match asked {
        Some("all") => Ok("all".to_owned()),
        Some(zone) if zone != subnet.zone => {
            let message = format!("The IP address '{id}' is not in the Availability Zone '{zone:.64}'");
            Err(fault::invalid(message))
        }
        _ => Ok(subnet.zone.clone()),
    }
}

/// The zone of an address beyond the VPC.
fn beyond(id: &str, asked: Option<&str>, private: bool) -> Result<String, Fault> {
    if !private {
        return Err(fault::target(format!("The IP address '{id}' must be from the VPC or a private range")));
    }
    if asked != Some("all") {
        let message = format!("The IP address '{id}' is outside the VPC: its Availability Zone must be 'all'");
        return Err(fault::invalid(message));
    }
    Ok("all".to_owned())
}

/// Whether a group and its balancer have room for `new` targets.
fn within(state: &State, group: &TargetGroup, new: usize) -> Result<(), Fault> {
    let too_many = |most: usize, of: &str| {
        Err(fault::too_many_targets(format!("The limit of '{most}' targets of a {of} is reached")))
    };
    let own = state.index.balancing.targets(&group.account, &group.id);
    if new > 0 && own + new > MOST_TARGETS {
        return too_many(MOST_TARGETS, "target group");
    }
    let listener = state.index.balancing.listeners(&group.key()).next().and_then(|key| state.listeners.get(key));
    let balancer = listener.and_then(|listener| state.load_balancers.get(&listener.balancer_key()));
    let Some(balancer) = balancer.filter(|_| new > 0) else { return Ok(()) };
    let most = most_of(balancer);
    match of_balancer(state, balancer) + new > most {
        true => too_many(most, "load balancer"),
        false => Ok(()),
    }
}

/// Targets that a balancer may have.
pub fn most_of(balancer: &LoadBalancer) -> usize {
    if balancer.is_application() { MOST_TARGETS_OF_APPLICATION } else { MOST_TARGETS_OF_NETWORK }
}

/// Targets of all groups that a balancer forwards to.
fn of_balancer(state: &State, balancer: &LoadBalancer) -> usize {
    let groups = group::of_balancer(state, &balancer.account, &balancer.name);
    count(state, groups.iter())
}

/// Targets of the groups with these keys.
pub fn count<'a>(state: &State, groups: impl Iterator<Item = &'a String>) -> usize {
    let groups = groups.filter_map(|key| state.target_groups.get(key));
    groups.map(|group| state.index.balancing.targets(&group.account, &group.id)).sum()
}

/// A target that is not there is no error. One of a group in use drains for the group's deregistration delay.
///
/// # Errors
/// `TargetGroupNotFound`, `ValidationError`.
pub fn deregister(
    context: &mut Context<'_>,
    request: api::DeregisterTargetsInput,
) -> Result<api::DeregisterTargetsOutput, Fault> {
    let (place, arn, now) = (context.place.clone(), request.target_group_arn.unwrap_or_default(), context.now);
    let asked = some(request.targets)?;
    for few in asked.chunks(AT_ONCE) {
        context.transact(|state, changes, _| {
            let group = resolve::group(state, &place, &arn)?;
            let used = state.index.balancing.listeners(&group.key()).next().is_some();
            let delay = if used { attribute::deregistration_delay(&group) } else { 0 };
            let draining = Draining { since: now, until: Timestamp::from_millis(now.millis() + delay * 1000) };
            let keys = few.iter().map(|target| asked_key(&group, target));
            let keys: std::collections::BTreeSet<String> = keys.collect();
            let known = keys.iter().filter_map(|key| state.targets.get(key));
            changes.extend(known.filter(|target| target.draining.is_none()).map(|target| match delay {
                0 => Change::Delete(TableName::Target, target.key()),
                _ => Target { draining: Some(draining.clone()), ..Target::clone(target) }.into(),
            }));
            Ok::<_, Fault>(())
        })?;
    }
    Ok(api::DeregisterTargetsOutput {})
}

fn asked_key(group: &TargetGroup, asked: &api::TargetDescription) -> String {
    let id = asked.id.as_deref().unwrap_or_default();
    target_key(&group.account, &group.id, id, asked.port.unwrap_or(group.port))
}

/// All targets, or those asked for.
///
/// # Errors
/// `TargetGroupNotFound`, `ValidationError`.
pub fn describe_health(
    context: &mut Context<'_>,
    request: api::DescribeTargetHealthInput,
) -> Result<api::DescribeTargetHealthOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.target_group_arn.unwrap_or_default());
    let state = context.read();
    let group = resolve::group(&state, &place, &arn)?;
    let asked = request.targets.unwrap_or_default();
    let known = |target: &Target| api::TargetHealthDescription {
        target: Some(described(target)),
        health_check_port: Some(health::port(&group, target)),
        target_health: Some(health::of(&state, &group, target)),
        ..api::TargetHealthDescription::default()
    };
    let descriptions = match asked.is_empty() {
        true => {
            let prefix = targets_prefix(&group.account, &group.id);
            state.targets.scan(&prefix).map(|(_, target)| known(target)).collect()
        }
        false => {
            let one = |asked: api::TargetDescription| match state.targets.get(&asked_key(&group, &asked)) {
                Some(target) => known(target),
                None => unknown(&group, asked),
            };
            some(Some(asked))?.into_iter().map(one).collect()
        }
    };
    Ok(api::DescribeTargetHealthOutput { target_health_descriptions: Some(descriptions) })
}

fn unknown(group: &TargetGroup, asked: api::TargetDescription) -> api::TargetHealthDescription {
    let port = asked.port.unwrap_or(group.port);
    api::TargetHealthDescription {
        target: Some(api::TargetDescription { port: Some(port), ..asked }),
        target_health: Some(health::not_registered()),
        ..api::TargetHealthDescription::default()
    }
}

fn described(target: &Target) -> api::TargetDescription {
    api::TargetDescription {
        id: Some(target.id.clone()),
        port: Some(target.port),
        availability_zone: target.zone.clone(),
        quic_server_id: None,
    }
}
