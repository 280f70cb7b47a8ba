//! What a launch is checked for, whether RunTask or a service asks for it: who provides the capacity, which platform,
//! which network.
//!
//! Left out: placement on container instances. Asking for it is refused, in AWS's words where a cluster has none.

use longshore_api::ecs::{self, fault as def};
use longshore_model::AccountId;
use longshore_model::State;
use longshore_model::cluster::Cluster;
use longshore_model::definition::TaskDefinition;
use longshore_model::network;
use longshore_plan::launch::PLATFORM_VERSION;
use longshore_wire::Fault;

use crate::ecs::cluster::strategy;
use crate::ecs::{fault, resolve};

/// Subnets and security groups of one network configuration.
const SUBNETS: usize = 16;
const SECURITY_GROUPS: usize = 5;

/// Who provides the capacity: a launch type or a strategy, never both.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    LaunchType(ecs::LaunchType),
    Strategy(Vec<ecs::CapacityProviderStrategyItem>),
}

impl Capacity {
    pub fn launch_type(&self) -> Option<ecs::LaunchType> {
        match self {
            Self::LaunchType(launch_type) => Some(*launch_type),
            Self::Strategy(_) => None,
        }
    }

    pub fn strategy(&self) -> &[ecs::CapacityProviderStrategyItem] {
        match self {
            Self::LaunchType(_) => &[],
            Self::Strategy(items) => items,
        }
    }
}

/// What was asked for, else the cluster's default strategy, else EC2. `cluster` is `None` for one that is yet to be made.
///
/// # Errors
/// `InvalidParameterException` for both at once, for a provider that is not the cluster's, and for EC2 without container
/// instances; `UnsupportedFeatureException` for capacity that Longshore does not have yet.
pub fn capacity(
    state: &State,
    cluster: Option<&Cluster>,
    launch_type: Option<ecs::LaunchType>,
    items: Option<&[ecs::CapacityProviderStrategyItem]>,
) -> Result<Capacity, Fault> {
    let items = items.unwrap_or_default();
    if launch_type.is_some() && !items.is_empty() {
        return Err(fault::invalid_parameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    if let Some(launch_type) = launch_type {
        return of_launch_type(state, cluster, launch_type);
    }
    let api = cluster.map(|cluster| &cluster.api);
    if !items.is_empty() {
        let attached = api.and_then(|api| api.capacity_providers.as_deref()).unwrap_or_default();
        return of_strategy(strategy::check(items, attached)?);
    }
    match api.and_then(|api| api.default_capacity_provider_strategy.as_ref()).filter(|items| !items.is_empty()) {
        Some(items) => of_strategy(items.clone()),
        None => of_launch_type(state, cluster, ecs::LaunchType::Ec2),
    }
}

fn of_strategy(items: Vec<ecs::CapacityProviderStrategyItem>) -> Result<Capacity, Fault> {
    match items.iter().all(|item| item.weight.unwrap_or(0) == 0) {
        true => Err(fault::invalid_parameter(
            "At least one capacity provider in the strategy must have a weight value greater than zero.",
        )),
        false => Ok(Capacity::Strategy(items)),
    }
}

fn of_launch_type(state: &State, cluster: Option<&Cluster>, launch_type: ecs::LaunchType) -> Result<Capacity, Fault> {
    match launch_type {
        ecs::LaunchType::Fargate => Ok(Capacity::LaunchType(launch_type)),
        ecs::LaunchType::Ec2 if !has_instances(state, cluster) => {
            Err(fault::invalid_parameter("No Container Instances were found in your cluster."))
        }
        other => Err(unsupported(format!("tasks of launch type {other}"))),
    }
}

fn has_instances(state: &State, cluster: Option<&Cluster>) -> bool {
    let Some(cluster) = cluster else { return false };
    state.nodes.iter().any(|(_, node)| {
        node.account == cluster.account && node.cluster.as_deref() == Some(&cluster.name) && node.status != "INACTIVE"
    })
}

/// The clear answer to what is not built yet.
pub fn unsupported(what: impl std::fmt::Display) -> Fault {
    fault::of(&def::UNSUPPORTED_FEATURE_EXCEPTION, format!("Longshore does not support {what} yet."))
}

/// Whether the definition can run on Fargate at all.
pub fn check_definition(definition: &TaskDefinition) -> Result<(), Fault> {
    match definition.suits_fargate() {
        true => Ok(()),
        false => Err(fault::invalid_parameter("Task definition does not support launch_type FARGATE.")),
    }
}

/// The platform version as tasks show it.
pub fn platform_version(given: Option<&str>) -> Result<String, Fault> {
    match given.unwrap_or("LATEST") {
        "" | "LATEST" => Ok(PLATFORM_VERSION.to_owned()),
        known @ ("1.3.0" | "1.4.0") => Ok(known.to_owned()),
        _ => Err(fault::of(&def::PLATFORM_UNKNOWN_EXCEPTION, "The specified platform does not exist.")),
    }
}

/// Placement is not for Fargate.
pub fn check_placement(
    constraints: Option<&[ecs::PlacementConstraint]>,
    strategy: Option<&[ecs::PlacementStrategy]>,
) -> Result<(), Fault> {
    let refuse = |what: &str| {
        Err(fault::invalid_parameter(format!("Placement {what} are not supported with FARGATE launch type.")))
    };
    match (constraints.unwrap_or_default(), strategy.unwrap_or_default()) {
        ([], []) => Ok(()),
        ([], _) => refuse("strategies"),
        _ => refuse("constraints"),
    }
}

/// The network of an `awsvpc` task, every subnet and group known, with defaults filled in.
///
/// # Errors
/// `InvalidParameterException`, in the words in which ECS passes on EC2's refusals.
pub fn network(
    state: &State,
    account: &AccountId,
    given: Option<&ecs::NetworkConfiguration>,
) -> Result<ecs::NetworkConfiguration, Fault> {
    let missing = "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
    let given = given.and_then(|given| given.awsvpc_configuration.as_ref());
    let given = given.ok_or_else(|| fault::invalid_parameter(missing))?;
    let subnets = given.subnets.as_deref().unwrap_or_default();
    let groups = given.security_groups.as_deref().unwrap_or_default();
    match () {
        () if subnets.is_empty() => return Err(fault::invalid_parameter("subnets can not be empty.")),
        () if subnets.len() > SUBNETS => return Err(fault::too_many("subnets", SUBNETS)),
        () if groups.len() > SECURITY_GROUPS => return Err(fault::too_many("securityGroups", SECURITY_GROUPS)),
        () => {}
    }
    let vpc = check_subnets(state, account, subnets)?;
    check_groups(state, account, groups, &vpc)?;
    Ok(ecs::NetworkConfiguration {
        awsvpc_configuration: Some(ecs::AwsVpcConfiguration {
            subnets: Some(subnets.to_vec()),
            security_groups: Some(groups.to_vec()),
            assign_public_ip: Some(given.assign_public_ip.unwrap_or(ecs::AssignPublicIp::Disabled)),
        }),
    })
}

/// The VPC of the subnets, which must be one.
fn check_subnets(state: &State, account: &AccountId, subnets: &[String]) -> Result<String, Fault> {
    let mut vpc: Option<&str> = None;
    for id in subnets {
        let Some(subnet) = state.subnets.get(&network::key(account, id)) else {
            let id = resolve::shown(id);
            return Err(fault::invalid_parameter(format!(
                "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist \
                 (ErrorCode: InvalidSubnetID.NotFound)"
            )));
        };
        if vpc.is_some_and(|vpc| vpc != subnet.vpc) {
            return Err(fault::invalid_parameter("subnets must all belong to the same VPC."));
        }
        vpc = Some(&subnet.vpc);
    }
    Ok(vpc.unwrap_or_default().to_owned())
}

fn check_groups(state: &State, account: &AccountId, groups: &[String], vpc: &str) -> Result<(), Fault> {
    for id in groups {
        let shown = resolve::shown(id);
        let group = state.security_groups.get(&network::key(account, id)).ok_or_else(|| {
            fault::invalid_parameter(format!(
                "Error retrieving security group information for [{shown}]: The security group '{shown}' does not \
                 exist (ErrorCode: InvalidGroup.NotFound)"
            ))
        })?;
        if group.vpc != vpc {
            return Err(fault::invalid_parameter(format!(
                "Security Group {shown} does not appear to belong to the same VPC as the input subnets."
            )));
        }
    }
    Ok(())
}
