//! UpdateService.
//!
//! What tasks are made of (definition, network, platform, load balancers, Service Connect, volumes, monitoring) is changed
//! by a new deployment, which supersedes the one before. All else changes in place, as AWS documents it: counts and
//! percentages at once; capacity, exec and tags for the tasks that are started from then on.

use longshore_api::ecs;
use longshore_model::definition::{self as record, TaskDefinition};
use longshore_model::service::{Deployment, Service, key};
use longshore_model::{Mint, Place, State};
use longshore_wire::{Fault, Timestamp};

use super::extras::{self, Extras};
use super::{Rollout, balancers, check, configuration, deployment};
use crate::Context;
use crate::ecs::resolve::{self, DefinitionRef};
use crate::ecs::task::launch::{self, Capacity};
use crate::ecs::{cluster, definition, describe, fault};

/// UpdateService.
///
/// # Errors
/// `ServiceNotFoundException`, `ServiceNotActiveException`, and those of CreateService.
pub fn update(
    context: &mut Context<'_>,
    request: ecs::UpdateServiceRequest,
) -> Result<ecs::UpdateServiceResponse, Fault> {
    let place = context.place.clone();
    let now = context.now;
    let asked = Asked::read(&place, request)?;
    let service = context.transact(|state, changes, mint| {
        cluster::active(state, &place.account, &asked.cluster)?;
        let there = state.services.get(&key(&place.account, &asked.cluster, &asked.name));
        let there = there.ok_or_else(fault::service_not_found)?;
        if !there.is_active() {
            return Err(fault::service_not_active());
        }
        let mut service = Service::clone(there);
        asked.apply(state, &place, &mut service, now, mint)?;
        let shown = describe::service(state, &place, &service, true);
        if service != **there {
            changes.push(service.into());
        }
        Ok(shown)
    })?;
    Ok(ecs::UpdateServiceResponse { service: Some(service) })
}

/// The request, as far as it can be checked by itself.
struct Asked {
    cluster: String,
    name: String,
    definition: Option<DefinitionRef>,
    platform_version: Option<String>,
    request: ecs::UpdateServiceRequest,
}

impl Asked {
    fn read(place: &Place, request: ecs::UpdateServiceRequest) -> Result<Self, Fault> {
        let cluster = resolve::cluster_name(place, request.cluster.as_deref())?;
        let name = resolve::service_name(place, &cluster, request.service.as_deref().unwrap_or_default())?;
        let definition = request.task_definition.as_deref().map(|given| resolve::definition_ref(place, given));
        let platform_version = request.platform_version.as_deref().map(|given| launch::platform_version(Some(given)));
        request.desired_count.map(check::desired_count).transpose()?;
        check::controller(request.deployment_controller.as_ref())?;
        check::grace_period(request.health_check_grace_period_seconds)?;
        balancers::check(request.load_balancers.as_deref().unwrap_or_default())?;
        launch::check_placement(request.placement_constraints.as_deref(), request.placement_strategy.as_deref())?;
        let (definition, platform_version) = (definition.transpose()?, platform_version.transpose()?);
        Ok(Self { cluster, name, definition, platform_version, request })
    }

    fn apply(
        &self,
        state: &State,
        place: &Place,
        service: &mut Service,
        now: Timestamp,
        mint: &mut Mint,
    ) -> Result<(), Fault> {
        self.apply_in_place(service)?;
        let Some(primary) = service.primary().cloned() else { return Err(fault::service_not_active()) };
        let next = self.next(state, place, service, &primary)?;
        let forced = self.request.force_new_deployment == Some(true);
        if forced || next.differs(&primary) {
            self.apply_to_tasks(service, place, &next);
            supersede(service, &next, now, mint);
        } else {
            use_capacity(service, &next.capacity);
        }
        Ok(())
    }

    /// What needs no new tasks.
    fn apply_in_place(&self, service: &mut Service) -> Result<(), Fault> {
        let request = &self.request;
        let api = &mut service.api;
        let old = api.deployment_configuration.as_ref();
        let configuration = configuration::read(request.deployment_configuration.as_ref(), old)?;
        api.deployment_configuration = Some(configuration);
        if let Some(count) = request.desired_count {
            service.desired_count = count;
        }
        if let Some(seconds) = request.health_check_grace_period_seconds {
            api.health_check_grace_period_seconds = Some(seconds);
        }
        fn keep<T: Copy>(known: &mut Option<T>, given: Option<T>) {
            *known = given.or(*known);
        }
        keep(&mut api.availability_zone_rebalancing, request.availability_zone_rebalancing);
        keep(&mut api.enable_execute_command, request.enable_execute_command);
        keep(&mut api.enable_ecs_managed_tags, request.enable_ecs_managed_tags);
        keep(&mut api.propagate_tags, request.propagate_tags);
        Ok(())
    }

    fn next(&self, state: &State, place: &Place, service: &Service, primary: &Deployment) -> Result<Next, Fault> {
        let cluster = cluster::active(state, &place.account, &service.cluster)?;
        Extras::from(&self.request).check(Some(cluster))?;
        let (family, revision) = self.revision(state, place, primary)?;
        let volumes = self.volumes(state, place, &family, revision, primary)?;
        let request = &self.request;
        let network = match &request.network_configuration {
            Some(given) => launch::network(state, &place.account, Some(given))?,
            None => primary.network.clone().unwrap_or_default(),
        };
        let load_balancers = self.balancers(state, place, (&family, revision), &network, primary)?;
        let platform_version = self.platform_version.clone().or_else(|| primary.platform_version.clone());
        Ok(Next {
            family,
            revision,
            network,
            platform_version: platform_version.unwrap_or_default(),
            capacity: self.capacity(state, place, service, primary)?,
            load_balancers,
            service_connect: request.service_connect_configuration.clone().or_else(|| primary.service_connect.clone()),
            volumes,
            monitoring: request.monitoring.clone().or_else(|| primary.monitoring.clone()),
            storage_key: cluster::storage_key(Some(cluster)),
        })
    }

    fn revision(&self, state: &State, place: &Place, primary: &Deployment) -> Result<(String, i32), Fault> {
        let Some(named) = &self.definition else { return Ok((primary.family.clone(), primary.revision)) };
        let found: &TaskDefinition = definition::runnable(state, &place.account, named)?;
        launch::check_definition(found)?;
        Ok((found.family.clone(), found.revision))
    }

    /// The volumes that were given, else the deployment's; the definition must leave them to the launch.
    fn volumes(
        &self,
        state: &State,
        place: &Place,
        family: &str,
        revision: i32,
        primary: &Deployment,
    ) -> Result<Vec<ecs::ServiceVolumeConfiguration>, Fault> {
        let volumes = self.request.volume_configurations.as_ref().unwrap_or(&primary.volumes).clone();
        if let Some(definition) = state.definitions.get(&record::key(&place.account, family, revision)) {
            extras::check_volumes(volumes.iter().map(|volume| &volume.name), definition)?;
        }
        Ok(volumes)
    }

    /// The load balancers that were given, else the deployment's; the definition must map their ports.
    fn balancers(
        &self,
        state: &State,
        place: &Place,
        (family, revision): (&str, i32),
        network: &ecs::NetworkConfiguration,
        primary: &Deployment,
    ) -> Result<Vec<ecs::LoadBalancer>, Fault> {
        if let Some(given) = &self.request.load_balancers {
            balancers::check_groups(state, place, given, network)?;
        }
        let balancers = self.request.load_balancers.as_ref().unwrap_or(&primary.load_balancers).clone();
        let changed = self.request.load_balancers.is_some() || self.definition.is_some();
        let definition = state.definitions.get(&record::key(&place.account, family, revision));
        if let Some(definition) = definition.filter(|_| changed) {
            balancers::check_containers(&balancers, definition)?;
        }
        Ok(balancers)
    }

    /// A strategy that was given (an empty one goes back to the cluster's default), else the deployment's.
    fn capacity(
        &self,
        state: &State,
        place: &Place,
        service: &Service,
        primary: &Deployment,
    ) -> Result<Capacity, Fault> {
        match (&self.request.capacity_provider_strategy, primary.launch_type) {
            (Some(items), _) => {
                let cluster = cluster::active(state, &place.account, &service.cluster)?;
                launch::capacity(state, Some(cluster), None, Some(items))
            }
            (None, Some(launch_type)) => Ok(Capacity::LaunchType(launch_type)),
            (None, None) => Ok(Capacity::Strategy(primary.capacity_provider_strategy.clone())),
        }
    }

    fn apply_to_tasks(&self, service: &mut Service, place: &Place, next: &Next) {
        let request = &self.request;
        let api = &mut service.api;
        api.task_definition = Some(place.task_definition(&next.family, next.revision));
        api.network_configuration = Some(next.network.clone());
        api.load_balancers = Some(next.load_balancers.clone());
        api.launch_type = next.capacity.launch_type();
        let strategy = next.capacity.strategy();
        api.capacity_provider_strategy = (!strategy.is_empty()).then(|| strategy.to_vec());
        if request.platform_version.is_some() {
            api.platform_version.clone_from(&request.platform_version);
        }
    }
}

/// What the service's tasks shall be made of from now on.
struct Next {
    family: String,
    revision: i32,
    network: ecs::NetworkConfiguration,
    platform_version: String,
    capacity: Capacity,
    load_balancers: Vec<ecs::LoadBalancer>,
    service_connect: Option<ecs::ServiceConnectConfiguration>,
    volumes: Vec<ecs::ServiceVolumeConfiguration>,
    monitoring: Option<ecs::MonitoringConfiguration>,
    storage_key: Option<String>,
}

impl Next {
    fn differs(&self, primary: &Deployment) -> bool {
        self.family != primary.family
            || self.revision != primary.revision
            || Some(&self.network) != primary.network.as_ref()
            || Some(&self.platform_version) != primary.platform_version.as_ref()
            || self.load_balancers != primary.load_balancers
            || self.service_connect != primary.service_connect
            || self.volumes != primary.volumes
            || self.monitoring != primary.monitoring
    }
}

/// The primary deployment's tasks run on this capacity from now on.
fn use_capacity(service: &mut Service, capacity: &Capacity) {
    let strategy = capacity.strategy();
    service.api.launch_type = capacity.launch_type();
    service.api.capacity_provider_strategy = (!strategy.is_empty()).then(|| strategy.to_vec());
    if let Some(primary) = service.primary_mut() {
        primary.launch_type = capacity.launch_type();
        primary.capacity_provider_strategy = strategy.to_vec();
    }
}

/// The tasks of every deployment so far are old ones from now on.
fn supersede(service: &mut Service, next: &Next, now: Timestamp, mint: &mut Mint) {
    for old in &mut service.deployments {
        old.primary = false;
        old.updated_at = now;
    }
    let rollout = Rollout {
        family: &next.family,
        revision: next.revision,
        capacity: &next.capacity,
        platform_version: &next.platform_version,
        network: &next.network,
        load_balancers: &next.load_balancers,
        service_connect: next.service_connect.as_ref(),
        volumes: &next.volumes,
        monitoring: next.monitoring.as_ref(),
        storage_key: next.storage_key.clone(),
    };
    service.deployments.insert(0, deployment(&rollout, now, mint));
}
