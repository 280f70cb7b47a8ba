//! Target groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{MOST_GROUPS, Map, TargetGroup, key, listener_key, targets_prefix};
use longshore_model::{Change, Mint, Place, State, TableName, network};
use longshore_wire::{Fault, Timestamp};

use super::health::{Checked, Wanted};
use super::{fault, form, page, resolve, tag};
use crate::Context;

/// Targets that go in one transaction.
const AT_ONCE: usize = 100;

/// The same settings again answer the group that they made.
///
/// # Errors
/// `ValidationError`, `DuplicateTargetGroupName`, `TooManyTargetGroups`, those of [`tag::made`], and what is not built.
pub fn create(
    context: &mut Context<'_>,
    request: api::CreateTargetGroupInput,
) -> Result<api::CreateTargetGroupOutput, Fault> {
    let (place, now) = (context.place.clone(), context.now);
    let shown = context.transact(|state, changes, mint| {
        let wanted = wanted(&place, request, now, mint)?;
        if !state.vpcs.contains(&network::key(&place.account, &wanted.vpc)) {
            return Err(fault::invalid(format!("The VPC ID '{}' is not found", wanted.vpc)));
        }
        if let Some(known) = state.target_groups.get(&wanted.key()) {
            return same(known, wanted).map(|row| shown(state, &place, &row));
        }
        if state.target_groups.scan(&format!("{}/", place.account)).count() >= MOST_GROUPS {
            let message = format!("The limit of '{MOST_GROUPS}' target groups is reached");
            return Err(fault::too_many_groups(message));
        }
        let answer = shown(state, &place, &wanted);
        changes.push(wanted.into());
        Ok(answer)
    })?;
    Ok(api::CreateTargetGroupOutput { target_groups: Some(vec![shown]) })
}

/// The record that is asked for.
fn wanted(
    place: &Place,
    request: api::CreateTargetGroupInput,
    now: Timestamp,
    mint: &mut Mint,
) -> Result<TargetGroup, Fault> {
    let name = request.name.unwrap_or_default();
    form::name("Target group", &name)?;
    let target_type = target_type(request.target_type)?;
    if request.ip_address_type == Some(api::TargetGroupIpAddressTypeEnum::Ipv6) {
        return Err(fault::not_built("target groups of IPv6 addresses"));
    }
    if request.target_control_port.is_some() {
        return Err(fault::not_built("target control ports"));
    }
    let protocol = protocol(request.protocol)?;
    let port = request.port.ok_or_else(|| fault::invalid("A port must be specified"))?;
    let vpc = request.vpc_id.ok_or_else(|| fault::invalid("A VPC ID must be specified"))?;
    let http = matches!(protocol, api::ProtocolEnum::Http | api::ProtocolEnum::Https);
    let version = version(http, request.protocol_version)?;
    let checks = Wanted {
        enabled: request.health_check_enabled,
        protocol: request.health_check_protocol,
        port: request.health_check_port,
        path: request.health_check_path,
        interval_seconds: request.health_check_interval_seconds,
        timeout_seconds: request.health_check_timeout_seconds,
        healthy_threshold: request.healthy_threshold_count,
        unhealthy_threshold: request.unhealthy_threshold_count,
        matcher: request.matcher,
    };
    let check = Checked { http, version: version.as_deref(), target_type }.made(checks)?;
    Ok(TargetGroup {
        account: place.account.to_string(),
        name,
        id: form::id(mint),
        created_at: now,
        target_type,
        protocol,
        version,
        port,
        vpc,
        check,
        attributes: Map::new(),
        tags: tag::made(request.tags)?,
    })
}

fn target_type(asked: Option<api::TargetTypeEnum>) -> Result<api::TargetTypeEnum, Fault> {
    match asked.unwrap_or(api::TargetTypeEnum::Instance) {
        api::TargetTypeEnum::Lambda => Err(fault::not_built("target groups of functions")),
        api::TargetTypeEnum::Alb => Err(fault::not_built("target groups of load balancers")),
        built => Ok(built),
    }
}

fn protocol(asked: Option<api::ProtocolEnum>) -> Result<api::ProtocolEnum, Fault> {
    use api::ProtocolEnum as Protocol;
    match asked.ok_or_else(|| fault::invalid("A protocol must be specified"))? {
        Protocol::Geneve => Err(fault::not_built("target groups of gateway load balancers")),
        Protocol::Quic | Protocol::TcpQuic => Err(fault::not_built("QUIC")),
        built => Ok(built),
    }
}

/// `HTTP1` unless another is asked for; none for groups of network balancers.
fn version(http: bool, asked: Option<String>) -> Result<Option<String>, Fault> {
    match (http, asked) {
        (true, None) => Ok(Some("HTTP1".to_owned())),
        (true, Some(version)) if ["HTTP1", "HTTP2", "GRPC"].contains(&version.as_str()) => Ok(Some(version)),
        (false, None) => Ok(None),
        (_, Some(version)) => Err(fault::invalid(format!("Protocol version '{version:.64}' is not supported"))),
    }
}

/// The group of this name, if it is as it is wanted.
fn same(known: &TargetGroup, wanted: TargetGroup) -> Result<TargetGroup, Fault> {
    let message = format!("A target group with the same name '{}' exists, but with different settings", known.name);
    let alike = TargetGroup {
        id: known.id.clone(),
        created_at: known.created_at,
        attributes: known.attributes.clone(),
        tags: known.tags.clone(),
        ..wanted
    };
    if alike == *known { Ok(alike) } else { Err(fault::duplicate_group(message)) }
}

/// # Errors
/// `TargetGroupNotFound`, `LoadBalancerNotFound`, `ValidationError`.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeTargetGroupsInput,
) -> Result<api::DescribeTargetGroupsOutput, Fault> {
    let place = context.place.clone();
    let filter = format!("{:?} {:?} {:?}", request.load_balancer_arn, request.target_group_arns, request.names);
    let state = context.read();
    let rows = rows(&state, &place, &request)?;
    let asked = page::Asked {
        operation: "DescribeTargetGroups",
        filter: &filter,
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    let target_groups = rows.iter().map(|row| shown(&state, &place, row)).collect();
    Ok(api::DescribeTargetGroupsOutput { target_groups: Some(target_groups), next_marker })
}

type Rows = Vec<(String, Arc<TargetGroup>)>;

/// Those of a balancer, or with these ARNs, or these names, or all.
fn rows(state: &State, place: &Place, request: &api::DescribeTargetGroupsInput) -> Result<Rows, Fault> {
    let arns = request.target_group_arns.as_deref().unwrap_or_default();
    let names = request.names.as_deref().unwrap_or_default();
    let ways = [request.load_balancer_arn.is_some(), !arns.is_empty(), !names.is_empty()];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        let message =
            "Target group names, target group ARNs, and a load balancer ARN cannot be specified at the same time";
        return Err(fault::invalid(message));
    }
    let absent = || fault::group_not_found("One or more target groups not found");
    let keyed = |row: Arc<TargetGroup>| (row.key(), row);
    if let Some(arn) = &request.load_balancer_arn {
        let balancer = resolve::balancer(state, place, arn)?;
        let groups = of_balancer(state, &balancer.account, &balancer.name);
        return Ok(groups.iter().filter_map(|key| state.target_groups.get(key)).cloned().map(keyed).collect());
    }
    if arns.is_empty() && names.is_empty() {
        let prefix = format!("{}/", place.account);
        return Ok(state.target_groups.scan(&prefix).map(|(_, row)| keyed(row.clone())).collect());
    }
    let by_arn =
        arns.iter().map(|arn| resolve::group(state, place, arn).map_err(|fault| unless_malformed(fault, absent())));
    let by_name =
        names.iter().map(|name| state.target_groups.get(&key(&place.account, name)).cloned().ok_or_else(absent));
    let mut rows: Rows = by_arn.chain(by_name).map(|row| row.map(keyed)).collect::<Result<_, _>>()?;
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| one.0 == other.0);
    Ok(rows)
}

fn unless_malformed(fault: Fault, absent: Fault) -> Fault {
    if fault.code == absent.code { absent } else { fault }
}

/// Keys of the groups that a balancer's listeners forward to.
pub fn of_balancer(state: &State, account: &str, balancer: &str) -> BTreeSet<String> {
    let prefix = listener_key(account, balancer, "");
    state.listeners.scan(&prefix).flat_map(|(_, row)| row.group_keys()).collect()
}

/// # Errors
/// `TargetGroupNotFound`, `ValidationError`.
pub fn modify(
    context: &mut Context<'_>,
    request: api::ModifyTargetGroupInput,
) -> Result<api::ModifyTargetGroupOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.target_group_arn.unwrap_or_default());
    let wanted = Wanted {
        enabled: request.health_check_enabled,
        protocol: request.health_check_protocol,
        port: request.health_check_port,
        path: request.health_check_path,
        interval_seconds: request.health_check_interval_seconds,
        timeout_seconds: request.health_check_timeout_seconds,
        healthy_threshold: request.healthy_threshold_count,
        unhealthy_threshold: request.unhealthy_threshold_count,
        matcher: request.matcher,
    };
    let shown = context.transact(|state, changes, _| {
        let known = resolve::group(state, &place, &arn)?;
        let version = known.version.as_deref();
        let checked = Checked { http: known.is_http(), version, target_type: known.target_type };
        let check = checked.changed(known.check.clone(), wanted)?;
        let row = TargetGroup { check, ..TargetGroup::clone(&known) };
        let answer = shown(state, &place, &row);
        changes.push(row.into());
        Ok::<_, Fault>(answer)
    })?;
    Ok(api::ModifyTargetGroupOutput { target_groups: Some(vec![shown]) })
}

/// It goes with its targets: the last of them together with it, where they are many the others before. One that is not
/// there is no error.
///
/// # Errors
/// `ResourceInUse`, `ValidationError`.
pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteTargetGroupInput,
) -> Result<api::DeleteTargetGroupOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.target_group_arn.unwrap_or_default());
    loop {
        let done = context.transact(|state, changes, _| {
            let row = match resolve::group(state, &place, &arn) {
                Ok(row) => row,
                Err(absent) if absent.code == "TargetGroupNotFound" => return Ok(true),
                Err(fault) => return Err(fault),
            };
            if state.index.balancing.listeners(&row.key()).next().is_some() {
                let message = format!("Target group '{arn}' is currently in use by a listener or a rule");
                return Err(fault::in_use(message));
            }
            let prefix = targets_prefix(&row.account, &row.id);
            let mut targets = state.targets.scan(&prefix).map(|(key, _)| key.to_string());
            changes.extend(targets.by_ref().take(AT_ONCE).map(|key| Change::Delete(TableName::Target, key)));
            let last = targets.next().is_none();
            if last {
                changes.push(Change::Delete(TableName::TargetGroup, row.key()));
            }
            Ok(last)
        })?;
        if done {
            return Ok(api::DeleteTargetGroupOutput {});
        }
    }
}

fn shown(state: &State, place: &Place, row: &TargetGroup) -> api::TargetGroup {
    let listeners = state.index.balancing.listeners(&row.key()).filter_map(|key| state.listeners.get(key));
    let balancers: BTreeSet<String> = listeners.map(|listener| listener.balancer_key()).collect();
    let balancers = balancers.iter().filter_map(|key| state.load_balancers.get(key));
    let grpc = row.version.as_deref() == Some("GRPC");
    let matcher = row.check.codes.clone().map(|codes| match grpc {
        true => api::Matcher { grpc_code: Some(codes), http_code: None },
        false => api::Matcher { http_code: Some(codes), grpc_code: None },
    });
    api::TargetGroup {
        target_group_arn: Some(row.arn(place)),
        target_group_name: Some(row.name.clone()),
        protocol: Some(row.protocol),
        port: Some(row.port),
        vpc_id: Some(row.vpc.clone()),
        health_check_protocol: Some(row.check.protocol),
        health_check_port: Some(row.check.port.clone()),
        health_check_enabled: Some(true),
        health_check_interval_seconds: Some(row.check.interval_seconds),
        health_check_timeout_seconds: Some(row.check.timeout_seconds),
        healthy_threshold_count: Some(row.check.healthy_threshold),
        unhealthy_threshold_count: Some(row.check.unhealthy_threshold),
        health_check_path: row.check.path.clone(),
        matcher,
        load_balancer_arns: Some(balancers.map(|balancer| balancer.arn(place)).collect()),
        target_type: Some(row.target_type),
        protocol_version: row.version.clone(),
        ip_address_type: Some(api::TargetGroupIpAddressTypeEnum::Ipv4),
        ..api::TargetGroup::default()
    }
}
