//! Services: made, changed, described, listed, deleted. What a service does is decided by
//! [`longshore_plan::reconcile`]; here it is only written down what is wanted.
//!
//! ```text
//! CreateService -> ACTIVE -> (DeleteService) DRAINING -> INACTIVE -> forgotten after a day
//! ```
//! Left out, and refused when asked for: DAEMON, task sets (CODE_DEPLOY, EXTERNAL), blue/green and its kin. Classic Load
//! Balancers, service discovery, Service Connect and alarms do not exist yet, and naming one is answered as AWS answers
//! the name of one that does not exist.

mod balancers;
mod check;
mod configuration;
mod create;
mod delete;
pub mod extras;
mod list;
mod update;

#[cfg(test)]
mod balancer_tests;
#[cfg(test)]
mod tests;

use longshore_api::ecs;
use longshore_model::service::{Deployment, key};
use longshore_model::{Mint, Place};
use longshore_wire::{Fault, Timestamp};

use super::task::launch::Capacity;
use super::{cluster, describe as show, fault, resolve};
use crate::Context;

pub use create::create;
pub use delete::delete;
pub use list::list;
pub use update::update;

/// Most services of one DescribeServices.
const DESCRIBED: usize = 10;

/// DescribeServices. What is not there is a failure MISSING; a service that is INACTIVE still shows for a while.
pub fn describe(
    context: &mut Context<'_>,
    request: ecs::DescribeServicesRequest,
) -> Result<ecs::DescribeServicesResponse, Fault> {
    let place = context.place.clone();
    let cluster_name = resolve::cluster_name(&place, request.cluster.as_deref())?;
    let given = request.services.unwrap_or_default();
    match given.len() {
        0 => return Err(fault::invalid_parameter("Services cannot be empty.")),
        1..=DESCRIBED => {}
        _ => return Err(fault::too_many("services", DESCRIBED)),
    }
    let names = given.iter().map(|given| resolve::service_name(&place, &cluster_name, given));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let with_tags = request.include.unwrap_or_default().contains(&ecs::ServiceField::Tags);
    let state = context.read();
    cluster::active(&state, &place.account, &cluster_name)?;
    let (mut services, mut failures) = (Vec::with_capacity(names.len()), Vec::new());
    for name in names {
        match state.services.get(&key(&place.account, &cluster_name, &name)) {
            Some(service) => services.push(show::service(&state, &place, service, with_tags)),
            None => failures.push(show::failure(place.service(&cluster_name, &name), "MISSING")),
        }
    }
    Ok(ecs::DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

/// What a deployment rolls out.
struct Rollout<'a> {
    family: &'a str,
    revision: i32,
    capacity: &'a Capacity,
    platform_version: &'a str,
    network: &'a ecs::NetworkConfiguration,
    load_balancers: &'a [ecs::LoadBalancer],
    service_connect: Option<&'a ecs::ServiceConnectConfiguration>,
    volumes: &'a [ecs::ServiceVolumeConfiguration],
    monitoring: Option<&'a ecs::MonitoringConfiguration>,
    /// The cluster's key for Fargate's scratch space.
    storage_key: Option<String>,
}

/// A new primary deployment.
fn deployment(rollout: &Rollout<'_>, now: Timestamp, mint: &mut Mint) -> Deployment {
    let id = format!("ecs-svc/{}", mint.decimal19());
    Deployment {
        rollout_reason: format!("ECS deployment {id} in progress."),
        id,
        primary: true,
        family: rollout.family.to_owned(),
        revision: rollout.revision,
        rollout: ecs::DeploymentRolloutState::InProgress,
        launch_type: rollout.capacity.launch_type(),
        capacity_provider_strategy: rollout.capacity.strategy().to_vec(),
        platform_version: Some(rollout.platform_version.to_owned()),
        network: Some(rollout.network.clone()),
        pins: Vec::new(),
        load_balancers: rollout.load_balancers.to_vec(),
        service_connect: rollout.service_connect.cloned(),
        volumes: rollout.volumes.to_vec(),
        monitoring: rollout.monitoring.cloned(),
        storage_key: rollout.storage_key.clone(),
        failed_tasks: 0,
        baking_since: None,
        rollback: false,
        throttle: Default::default(),
        created_at: now,
        updated_at: now,
    }
}

/// The role that ECS acts as in an account.
fn role_arn(place: &Place) -> String {
    let account = &place.account;
    format!("arn:aws:iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS")
}
