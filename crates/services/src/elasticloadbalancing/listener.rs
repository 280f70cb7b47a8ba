//! Listeners.

use std::sync::Arc;

use longshore_api::elasticloadbalancing as api;
use longshore_model::balancer::{Listener, LoadBalancer, MOST_LISTENERS, Map, listener_key};
use longshore_model::{Change, Place, State, TableName};
use longshore_wire::Fault;

use super::action::{self, At};
use super::security::{Security, Settled};
use super::{fault, form, page, resolve, security, tag};
use crate::Context;

/// The same settings again answer the listener that they made.
///
/// # Errors
/// `LoadBalancerNotFound`, `ValidationError`, `DuplicateListener`, `TooManyListeners`, those of
/// [`Security::settle`], [`action::read`], [`action::within`] and [`tag::made`], and what is not built.
pub fn create(
    context: &mut Context<'_>,
    request: api::CreateListenerInput,
) -> Result<api::CreateListenerOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.load_balancer_arn.unwrap_or_default());
    let tags = tag::made(request.tags)?;
    let security = Security {
        policy: request.ssl_policy,
        certificates: request.certificates.unwrap_or_default(),
        alpn: request.alpn_policy.unwrap_or_default(),
        mutual: request.mutual_authentication,
    };
    let actions = request.default_actions.unwrap_or_default();
    let shown = context.transact(|state, changes, mint| {
        let balancer = resolve::balancer(state, &place, &arn)?;
        let protocol = protocol(&balancer, request.protocol)?;
        let port = request.port.ok_or_else(|| fault::invalid("A listener port must be specified"))?;
        let settled = security.settle(state, &place, protocol, None)?;
        let at = At { state, place: &place, balancer: &balancer, protocol };
        let actions = action::read(at, actions)?;
        let known = of(state, &balancer);
        if let Some(known) = known.iter().find(|row| row.port == port) {
            let same = known.protocol == protocol && known.actions == actions && settled.is_of(known);
            let twice = || duplicate(&arn);
            return same.then(|| shown(&place, &balancer, known)).ok_or_else(twice);
        }
        if known.len() >= MOST_LISTENERS {
            let message = format!("The limit of '{MOST_LISTENERS}' listeners of a load balancer is reached");
            return Err(fault::too_many_listeners(message));
        }
        action::within(at, &actions)?;
        let row = Listener {
            account: balancer.account.clone(),
            balancer: balancer.name.clone(),
            id: form::id(mint),
            port,
            protocol,
            certificates: settled.certificates,
            ssl_policy: settled.policy,
            alpn_policy: settled.alpn,
            actions,
            default_rule: form::id(mint),
            default_rule_tags: Map::new(),
            rules: Vec::new(),
            attributes: Map::new(),
            tags,
        };
        let shown = shown(&place, &balancer, &row);
        changes.push(row.into());
        Ok(shown)
    })?;
    Ok(api::CreateListenerOutput { listeners: Some(vec![shown]) })
}

fn duplicate(arn: &str) -> Fault {
    fault::duplicate_listener(format!("A listener already exists on this port for this load balancer '{arn}'"))
}

/// The protocol that a listener of this balancer may have.
fn protocol(balancer: &LoadBalancer, asked: Option<api::ProtocolEnum>) -> Result<api::ProtocolEnum, Fault> {
    use api::ProtocolEnum as Protocol;
    let asked = asked.ok_or_else(|| fault::invalid("A listener protocol must be specified"))?;
    let (good, wanted) = match balancer.is_application() {
        true => (matches!(asked, Protocol::Http | Protocol::Https), "HTTP, HTTPS"),
        false if matches!(asked, Protocol::Quic | Protocol::TcpQuic) => return Err(fault::not_built("QUIC")),
        false => (
            matches!(asked, Protocol::Tcp | Protocol::Tls | Protocol::Udp | Protocol::TcpUdp),
            "TCP, TCP_UDP, TLS, UDP",
        ),
    };
    match good {
        true => Ok(asked),
        false => Err(fault::invalid(format!("Listener protocol '{asked}' must be one of '{wanted}'"))),
    }
}

/// The listeners of a balancer.
pub fn of(state: &State, balancer: &LoadBalancer) -> Vec<Arc<Listener>> {
    let prefix = listener_key(&balancer.account, &balancer.name, "");
    state.listeners.scan(&prefix).map(|(_, row)| row.clone()).collect()
}

/// # Errors
/// `ListenerNotFound`, `LoadBalancerNotFound`, `ValidationError`.
pub fn describe(
    context: &mut Context<'_>,
    request: api::DescribeListenersInput,
) -> Result<api::DescribeListenersOutput, Fault> {
    let place = context.place.clone();
    let arns = request.listener_arns.unwrap_or_default();
    let rows = rows(&context.read(), &place, request.load_balancer_arn.as_deref(), &arns)?;
    let filter = format!("{:?} {arns:?}", request.load_balancer_arn);
    let asked = page::Asked {
        operation: "DescribeListeners",
        filter: &filter,
        marker: request.marker.as_deref(),
        size: request.page_size,
    };
    let (rows, next_marker) = page::cut(context, &asked, rows)?;
    let listeners = rows.iter().map(|(balancer, row)| shown(&place, balancer, row)).collect();
    Ok(api::DescribeListenersOutput { listeners: Some(listeners), next_marker })
}

type Rows = Vec<(String, (Arc<LoadBalancer>, Arc<Listener>))>;

/// Those of a balancer, or with these ARNs.
fn rows(state: &State, place: &Place, balancer: Option<&str>, arns: &[String]) -> Result<Rows, Fault> {
    let found: Vec<_> = match (balancer, arns.is_empty()) {
        (Some(arn), true) => {
            let balancer = resolve::balancer(state, place, arn)?;
            of(state, &balancer).into_iter().map(|row| (balancer.clone(), row)).collect()
        }
        (None, false) => arns.iter().map(|arn| resolve::listener(state, place, arn)).collect::<Result<_, _>>()?,
        _ => return Err(fault::invalid("You must specify either listener ARNs or a load balancer ARN")),
    };
    let mut rows: Rows = found.into_iter().map(|found| (found.1.key(), found)).collect();
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| one.0 == other.0);
    Ok(rows)
}

/// # Errors
/// `ListenerNotFound`, and as [`create`].
pub fn modify(
    context: &mut Context<'_>,
    request: api::ModifyListenerInput,
) -> Result<api::ModifyListenerOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    let security = Security {
        policy: request.ssl_policy,
        certificates: request.certificates.unwrap_or_default(),
        alpn: request.alpn_policy.unwrap_or_default(),
        mutual: request.mutual_authentication,
    };
    let shown = context.transact(|state, changes, _| {
        let (balancer, known) = resolve::listener(state, &place, &arn)?;
        let mut row = Listener::clone(&known);
        row.protocol = protocol(&balancer, Some(request.protocol.unwrap_or(known.protocol)))?;
        row.port = request.port.unwrap_or(known.port);
        let Settled { certificates, policy, alpn } = security.settle(state, &place, row.protocol, Some(&known))?;
        (row.certificates, row.ssl_policy, row.alpn_policy) = (certificates, policy, alpn);
        if of(state, &balancer).iter().any(|other| other.id != row.id && other.port == row.port) {
            return Err(duplicate(&balancer.arn(&place)));
        }
        let at = At { state, place: &place, balancer: &balancer, protocol: row.protocol };
        // What it forwards to already must go with another protocol too.
        row.actions = action::read(at, request.default_actions.unwrap_or(row.actions))?;
        action::within(at, &row.actions)?;
        let shown = shown(&place, &balancer, &row);
        changes.push(row.into());
        Ok(shown)
    })?;
    Ok(api::ModifyListenerOutput { listeners: Some(vec![shown]) })
}

/// # Errors
/// `ListenerNotFound`, `ValidationError`.
pub fn delete(
    context: &mut Context<'_>,
    request: api::DeleteListenerInput,
) -> Result<api::DeleteListenerOutput, Fault> {
    let (place, arn) = (context.place.clone(), request.listener_arn.unwrap_or_default());
    context.transact(|state, changes, _| {
        let (_, row) = resolve::listener(state, &place, &arn)?;
        changes.push(Change::Delete(TableName::Listener, row.key()));
        Ok::<_, Fault>(())
    })?;
    Ok(api::DeleteListenerOutput {})
}

fn shown(place: &Place, balancer: &LoadBalancer, row: &Listener) -> api::Listener {
    api::Listener {
        listener_arn: Some(balancer.listener_arn(place, &row.id)),
        load_balancer_arn: Some(balancer.arn(place)),
        port: Some(row.port),
        protocol: Some(row.protocol),
        certificates: row.certificates.first().map(|arn| vec![security::shown(arn, None)]),
        ssl_policy: row.ssl_policy.clone(),
        alpn_policy: row.alpn_policy.clone().map(|policy| vec![policy]),
        mutual_authentication: (row.protocol == api::ProtocolEnum::Https).then(security::no_mutual),
        default_actions: Some(row.actions.clone()),
    }
}
