//! `loadBalancers` of a service: what is checked before its tasks are registered with target groups.

use longshore_api::{ecs, elasticloadbalancing as elb};
use longshore_model::balancer::{self, TargetGroup};
use longshore_model::definition::TaskDefinition;
use longshore_model::{Arn, Place, State, network};
use longshore_wire::Fault;

use crate::ecs::task::launch::unsupported;
use crate::ecs::{fault, resolve};

/// Target groups of one service.
const TARGET_GROUPS: usize = 5;

/// What is given, as far as it can be checked by itself: five at most, each a target group with a container's port, none
/// twice.
///
/// # Errors
/// `InvalidParameterException`, also for Classic Load Balancers, of which there are none; `UnsupportedFeatureException` for
/// what goes with blue/green deployments.
pub fn check(given: &[ecs::LoadBalancer]) -> Result<(), Fault> {
    if given.len() > TARGET_GROUPS {
        return Err(fault::too_many("loadBalancers", TARGET_GROUPS));
    }
    for (index, one) in given.iter().enumerate() {
        let arn = named(one)?;
        if one.advanced_configuration.is_some() {
            return Err(unsupported("advancedConfiguration of load balancers"));
        }
        if one.container_name.as_deref().unwrap_or_default().is_empty() {
            return Err(fault::invalid_parameter("Container Name can not be blank."));
        }
        let port = one.container_port.ok_or_else(|| fault::invalid_parameter("Container Port can not be blank."))?;
        let same = |other: &ecs::LoadBalancer| {
            other.target_group_arn.as_deref() == Some(arn) && other.container_port == Some(port)
        };
        if given[..index].iter().any(same) {
            let arn = resolve::shown(arn);
            let message = format!("The target group {arn} cannot be specified twice with the container port {port}.");
            return Err(fault::invalid_parameter(message));
        }
    }
    Ok(())
}

/// The ARN of the target group.
fn named(given: &ecs::LoadBalancer) -> Result<&str, Fault> {
    let text = |text: &'_ Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    match (text(&given.target_group_arn), text(&given.load_balancer_name)) {
        (true, true) => Err(fault::invalid_parameter("targetGroupArn and loadBalancerName cannot both be specified.")),
        (true, false) => Ok(given.target_group_arn.as_deref().unwrap_or_default()),
        (false, true) => {
            let name = resolve::shown(given.load_balancer_name.as_deref().unwrap_or_default());
            Err(fault::invalid_parameter(format!("The load balancer {name} does not exist.")))
        }
        (false, false) => {
            Err(fault::invalid_parameter("A target group ARN or a load balancer name must be specified."))
        }
    }
}

/// Each port must be one that the task definition maps.
///
/// # Errors
/// `InvalidParameterException`
pub fn check_containers(given: &[ecs::LoadBalancer], definition: &TaskDefinition) -> Result<(), Fault> {
    for one in given {
        let name = one.container_name.as_deref().unwrap_or_default();
        let port = one.container_port.unwrap_or_default();
        let shown = resolve::shown(name);
        let found = definition.containers().iter().find(|container| container.name.as_deref() == Some(name));
        let Some(container) = found else {
            let message = format!("The container {shown} does not exist in the task definition.");
            return Err(fault::invalid_parameter(message));
        };
        let mut mappings = container.port_mappings.iter().flatten();
        if !mappings.any(|mapping| mapping.container_port == Some(port)) {
            let message = format!("The container {shown} did not have a container port {port} defined.");
            return Err(fault::invalid_parameter(message));
        }
    }
    Ok(())
}

/// Each target group must be there, take addresses of the tasks' network, and have a load balancer.
///
/// # Errors
/// `InvalidParameterException`
pub fn check_groups(
    state: &State,
    place: &Place,
    given: &[ecs::LoadBalancer],
    network: &ecs::NetworkConfiguration,
) -> Result<(), Fault> {
    let vpc = vpc(state, place, network);
    for one in given {
        let group = group(state, place, one.target_group_arn.as_deref().unwrap_or_default());
        let group = group.ok_or_else(|| fault::invalid_parameter("The specified target group does not exist."))?;
        check_group(state, place, group, vpc)?;
    }
    Ok(())
}

fn group<'s>(state: &'s State, place: &Place, arn: &str) -> Option<&'s TargetGroup> {
    let parts = Arn::local(arn, place, "elasticloadbalancing", "targetgroup")?;
    let &[name, id] = parts.as_slice() else { return None };
    let found = state.target_groups.get(&balancer::key(&place.account, name))?;
    (found.id == id).then_some(found)
}

fn check_group(state: &State, place: &Place, group: &TargetGroup, vpc: Option<&str>) -> Result<(), Fault> {
    let arn = group.arn(place);
    let refuse = |message: String| Err(fault::invalid_parameter(message));
    match group.target_type {
        elb::TargetTypeEnum::Ip => {}
        other => {
            return refuse(format!(
                "The provided target group {arn} has target type {other}, which is incompatible with the awsvpc network \
                 mode specified in the task definition."
            ));
        }
    }
    if vpc.is_some_and(|vpc| vpc != group.vpc) {
        return refuse(format!("The target group {arn} does not belong to the VPC of the service's subnets."));
    }
    match state.index.balancing.listeners(&group.key()).next() {
        Some(_) => Ok(()),
        None => {
            refuse(format!("The target group with targetGroupArn {arn} does not have an associated load balancer."))
        }
    }
}

/// The VPC of the tasks' subnets, which are of one.
fn vpc<'s>(state: &'s State, place: &Place, given: &ecs::NetworkConfiguration) -> Option<&'s str> {
    let subnet = given.awsvpc_configuration.as_ref()?.subnets.as_ref()?.first()?;
    state.subnets.get(&network::key(&place.account, subnet)).map(|subnet| subnet.vpc.as_str())
}

/// A role is for services whose tasks have no interface of their own; ECS acts with its own role here.
///
/// # Errors
/// `InvalidParameterException`
pub fn check_role(role: Option<&str>, given: &[ecs::LoadBalancer]) -> Result<(), Fault> {
    match (role.filter(|role| !role.is_empty()), given.is_empty()) {
        (None, _) => Ok(()),
        (Some(_), true) => Err(fault::invalid_parameter("A role was passed, but no load balancers were present.")),
        (Some(_), false) => Err(fault::invalid_parameter(
            "You cannot specify an IAM role for services that require a service linked role.",
        )),
    }
}
