//! CreateService.

use longshore_api::ecs;
use longshore_model::cluster::Cluster;
use longshore_model::definition::TaskDefinition;
use longshore_model::service::{Service, ServiceStatus, key};
use longshore_model::{Change, Mint, Place, State};
use longshore_wire::{Fault, Timestamp};

use super::extras::{self, Extras};
use super::{Rollout, balancers, check, configuration, deployment, role_arn};
use crate::Context;
use crate::ecs::resolve::{self, DefinitionRef};
use crate::ecs::task::launch::{self, Capacity};
use crate::ecs::task::token::{self, Used};
use crate::ecs::{cluster, definition, describe, fault, tag};

const CLIENT_TOKEN: usize = 36;

/// CreateService: the service is written down with its first deployment; a loop starts its tasks.
///
/// # Errors
/// `InvalidParameterException` when the name is taken by a service that is ACTIVE or DRAINING, and for contradictions;
/// `ClientException` for a task definition that cannot be run; `UnsupportedFeatureException` for what is not built yet.
pub fn create(
    context: &mut Context<'_>,
    request: ecs::CreateServiceRequest,
) -> Result<ecs::CreateServiceResponse, Fault> {
    let place = context.place.clone();
    let (principal, now) = (context.principal.clone(), context.now);
    let asked = Asked::read(&place, request)?;
    let service = context.transact(|state, changes, mint| {
        let key = key(&place.account, &asked.cluster, &asked.name);
        if let Some(there) = asked.existing(state, &key, now)? {
            return Ok(describe::service(state, &place, there, true));
        }
        let found = Found::find(state, changes, &place, &asked)?;
        let service = record(&asked, &found, &place, &principal, now, mint);
        let shown = describe::service(state, &place, &service, true);
        changes.push(service.into());
        if let Some(token) = asked.token.clone() {
            changes.push(token.record(vec![place.service(&asked.cluster, &asked.name)], now).into());
        }
        Ok::<_, Fault>(shown)
    })?;
    Ok(ecs::CreateServiceResponse { service: Some(service) })
}

/// The request, as far as it can be checked by itself.
struct Asked {
    cluster: String,
    name: String,
    definition: DefinitionRef,
    desired_count: i32,
    configuration: ecs::DeploymentConfiguration,
    platform_version: String,
    tags: Vec<ecs::Tag>,
    token: Option<Used>,
    request: ecs::CreateServiceRequest,
}

impl Asked {
    fn read(place: &Place, mut request: ecs::CreateServiceRequest) -> Result<Self, Fault> {
        let cluster = resolve::cluster_name(place, request.cluster.as_deref())?;
        let name = request.service_name.clone().unwrap_or_default();
        if !resolve::is_name(&name) {
            return Err(fault::invalid_parameter(
                "Service name must be 1 to 255 letters, numbers, underscores, and hyphens.",
            ));
        }
        check_options(&request)?;
        let desired = request.desired_count.ok_or_else(|| fault::invalid_parameter("Desired count cannot be null."))?;
        let definition = request.task_definition.as_deref().filter(|given| !given.is_empty());
        let definition = definition.ok_or_else(|| fault::invalid_parameter("TaskDefinition can not be blank."))?;
        let definition = resolve::definition_ref(place, definition)?;
        let configuration = configuration::read(request.deployment_configuration.as_ref(), None)?;
        let platform_version = launch::platform_version(request.platform_version.as_deref())?;
        let tags = tag::check_given(request.tags.as_deref())?;
        let given = request.client_token.take();
        request.cluster = Some(cluster.clone());
        let token = token::read(&place.account, &cluster, "CreateService", given.as_deref(), CLIENT_TOKEN, &request)?;
        let desired_count = check::desired_count(desired)?;
        Ok(Self { cluster, name, definition, desired_count, configuration, platform_version, tags, token, request })
    }

    /// The service that this very request made before. A name that is taken otherwise is an error.
    fn existing<'a>(&self, state: &'a State, key: &str, now: Timestamp) -> Result<Option<&'a Service>, Fault> {
        let made = self.token.as_ref().map(|token| token.made(state, now)).transpose()?.flatten();
        let Some(there) = state.services.get(key) else { return Ok(None) };
        match there.status {
            ServiceStatus::Inactive => Ok(None),
            ServiceStatus::Draining => {
                Err(fault::invalid_parameter("Unable to Start a service that is still Draining."))
            }
            ServiceStatus::Active if made.is_some() => Ok(Some(there)),
            ServiceStatus::Active => Err(fault::invalid_parameter("Creation of service was not idempotent.")),
        }
    }
}

fn check_options(request: &ecs::CreateServiceRequest) -> Result<(), Fault> {
    check::scheduling(request.scheduling_strategy, request.desired_count)?;
    check::controller(request.deployment_controller.as_ref())?;
    check::grace_period(request.health_check_grace_period_seconds)?;
    let balancers = request.load_balancers.as_deref().unwrap_or_default();
    balancers::check_role(request.role.as_deref(), balancers)?;
    balancers::check(balancers)
}

/// What the request names, found in the state.
struct Found<'a> {
    definition: &'a TaskDefinition,
    capacity: Capacity,
    network: ecs::NetworkConfiguration,
    storage_key: Option<String>,
}

impl<'a> Found<'a> {
    fn find(state: &'a State, changes: &mut Vec<Change>, place: &Place, asked: &Asked) -> Result<Self, Fault> {
        let request = &asked.request;
        cluster::ensure_default(state, changes, place, &asked.cluster)?;
        let there: Option<&Cluster> = cluster::active(state, &place.account, &asked.cluster).ok().map(AsRef::as_ref);
        let definition = definition::runnable(state, &place.account, &asked.definition)?;
        let items = request.capacity_provider_strategy.as_deref();
        let capacity = launch::capacity(state, there, request.launch_type, items)?;
        launch::check_definition(definition)?;
        launch::check_placement(request.placement_constraints.as_deref(), request.placement_strategy.as_deref())?;
        let network = launch::network(state, &place.account, request.network_configuration.as_ref())?;
        let balancers = request.load_balancers.as_deref().unwrap_or_default();
        balancers::check_groups(state, place, balancers, &network)?;
        balancers::check_containers(balancers, definition)?;
        Extras::from(request).check(there)?;
        let volumes = request.volume_configurations.as_deref().unwrap_or_default();
        extras::check_volumes(volumes.iter().map(|volume| &volume.name), definition)?;
        Ok(Self { definition, capacity, network, storage_key: cluster::storage_key(there) })
    }
}

fn record(
    asked: &Asked,
    found: &Found<'_>,
    place: &Place,
    principal: &str,
    now: Timestamp,
    mint: &mut Mint,
) -> Service {
    let rollout = Rollout {
        family: &found.definition.family,
        revision: found.definition.revision,
        capacity: &found.capacity,
        platform_version: &asked.platform_version,
        network: &found.network,
        load_balancers: asked.request.load_balancers.as_deref().unwrap_or_default(),
        service_connect: asked.request.service_connect_configuration.as_ref(),
        volumes: asked.request.volume_configurations.as_deref().unwrap_or_default(),
        monitoring: asked.request.monitoring.as_ref(),
        storage_key: found.storage_key.clone(),
    };
    Service {
        account: place.account.to_string(),
        cluster: asked.cluster.clone(),
        name: asked.name.clone(),
        status: ServiceStatus::Active,
        desired_count: asked.desired_count,
        api: Box::new(api(asked, found, place, principal, now)),
        deployments: vec![deployment(&rollout, now, mint)],
        last_completed: None,
        rebalancing: false,
        events: Vec::new(),
        created_at: now,
        inactive_at: None,
    }
}

/// What the caller gave, with ECS's defaults.
fn api(asked: &Asked, found: &Found<'_>, place: &Place, principal: &str, now: Timestamp) -> ecs::Service {
    let request = &asked.request;
    let strategy = found.capacity.strategy();
    ecs::Service {
        service_arn: Some(place.service(&asked.cluster, &asked.name)),
        service_name: Some(asked.name.clone()),
        cluster_arn: Some(place.cluster(&asked.cluster)),
        load_balancers: Some(request.load_balancers.clone().unwrap_or_default()),
        service_registries: Some(Vec::new()),
        launch_type: found.capacity.launch_type(),
        capacity_provider_strategy: (!strategy.is_empty()).then(|| strategy.to_vec()),
        platform_version: Some(request.platform_version.clone().unwrap_or_else(|| "LATEST".to_owned())),
        platform_family: Some("Linux".to_owned()),
        task_definition: Some(place.task_definition(&found.definition.family, found.definition.revision)),
        deployment_configuration: Some(asked.configuration.clone()),
        role_arn: Some(role_arn(place)),
        created_at: Some(now),
        placement_constraints: Some(Vec::new()),
        placement_strategy: Some(Vec::new()),
        network_configuration: Some(found.network.clone()),
        health_check_grace_period_seconds: Some(request.health_check_grace_period_seconds.unwrap_or(0)),
        scheduling_strategy: Some(ecs::SchedulingStrategy::Replica),
        deployment_controller: Some(ecs::DeploymentController { r#type: Some(ecs::DeploymentControllerType::Ecs) }),
        tags: Some(asked.tags.clone()),
        created_by: Some(principal.to_owned()),
        enable_ecs_managed_tags: Some(request.enable_ecs_managed_tags.unwrap_or(false)),
        propagate_tags: Some(request.propagate_tags.unwrap_or(ecs::PropagateTags::None)),
        enable_execute_command: Some(request.enable_execute_command.unwrap_or(false)),
        availability_zone_rebalancing: Some(
            request.availability_zone_rebalancing.unwrap_or(ecs::AvailabilityZoneRebalancing::Enabled),
        ),
        resource_management_type: Some(ecs::ResourceManagementType::Customer),
        ..ecs::Service::default()
    }
}
