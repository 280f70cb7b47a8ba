//! Clusters: made, described, changed, deleted.
//!
//! A deleted cluster becomes INACTIVE and stays describable; making one of its name again gives a new ACTIVE one. Counts
//! are never stored: they come from the tasks, services and nodes when a cluster is described.

mod configure;
mod describe;
pub mod strategy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use longshore_api::ecs;
use longshore_model::cluster::{Cluster, key};
use longshore_model::{AccountId, Change, Place, State};
use longshore_wire::Fault;

use super::{fault, resolve, setting, tag};
use crate::Context;

pub use configure::{put_capacity_providers, update, update_settings};
pub use describe::{describe, list};

/// The cluster, if it is ACTIVE.
///
/// # Errors
/// `ClusterNotFoundException`, which also says whether it once was.
pub fn active<'a>(state: &'a State, account: &AccountId, name: &str) -> Result<&'a Arc<Cluster>, Fault> {
    let found = state.clusters.get(&key(account, name)).ok_or_else(fault::cluster_not_found)?;
    match found.is_active() {
        true => Ok(found),
        false => Err(fault::cluster_inactive()),
    }
}

/// The key that the cluster has for Fargate's scratch space.
pub fn storage_key(cluster: Option<&Cluster>) -> Option<String> {
    cluster?.storage_key().map(str::to_owned)
}

/// Sees to it that the cluster is ACTIVE once `changes` are applied: `default` is made on demand, others must be there.
pub fn ensure_default(state: &State, changes: &mut Vec<Change>, place: &Place, name: &str) -> Result<(), Fault> {
    match active(state, &place.account, name) {
        Err(_) if name == resolve::DEFAULT_CLUSTER => {
            let insights = setting::default_value(state, &place.account, ecs::SettingName::ContainerInsights);
            changes.push(fresh(place, name, insights).into());
            Ok(())
        }
        outcome => outcome.map(drop),
    }
}

/// CreateCluster. A cluster of this name that is ACTIVE is answered as it is.
pub fn create(
    context: &mut Context<'_>,
    request: ecs::CreateClusterRequest,
) -> Result<ecs::CreateClusterResponse, Fault> {
    let name = new_name(request.cluster_name.as_deref())?;
    let wanted = wanted(&request)?;
    let (place, principal) = (context.place.clone(), context.principal.clone());
    let key = key(&place.account, &name);
    let cluster = context.transact(|state, changes, _| {
        if let Ok(there) = active(state, &place.account, &name) {
            return Ok(describe::whole(state, &key, &there.api));
        }
        let insights = setting::effective(state, &place.account, &principal, ecs::SettingName::ContainerInsights);
        let mut cluster = fresh(&place, &name, insights);
        wanted.apply(&mut cluster.api);
        let api = describe::whole(state, &key, &cluster.api);
        changes.push(cluster.into());
        Ok::<_, Fault>(api)
    })?;
    Ok(ecs::CreateClusterResponse { cluster: Some(cluster) })
}

/// A name that a new cluster may have; absent or empty is `default`. Unlike in other operations it is not an ARN.
fn new_name(given: Option<&str>) -> Result<String, Fault> {
    let name = given.filter(|name| !name.is_empty()).unwrap_or(resolve::DEFAULT_CLUSTER);
    match resolve::is_name(name) {
        true => Ok(name.to_owned()),
        false if name.len() > resolve::NAME_LENGTH => {
            Err(fault::invalid_parameter("Cluster name should not be longer than 255 characters."))
        }
        false => Err(fault::invalid_parameter("Cluster name contains invalid characters.")),
    }
}

/// What a CreateCluster request says beyond the name, checked.
struct Wanted {
    tags: Vec<ecs::Tag>,
    settings: Option<Vec<ecs::ClusterSetting>>,
    configuration: Option<ecs::ClusterConfiguration>,
    providers: Vec<String>,
    strategy: Vec<ecs::CapacityProviderStrategyItem>,
    connect: Option<ecs::ClusterServiceConnectDefaults>,
}

fn wanted(request: &ecs::CreateClusterRequest) -> Result<Wanted, Fault> {
    let providers = strategy::check_providers(request.capacity_providers.as_deref().unwrap_or_default())?;
    let items = request.default_capacity_provider_strategy.as_deref().unwrap_or_default();
    Ok(Wanted {
        tags: tag::check_given(request.tags.as_deref())?,
        settings: request.settings.as_deref().map(configure::check_settings).transpose()?,
        configuration: request.configuration.as_ref().map(configure::check_configuration).transpose()?,
        strategy: strategy::check(items, &providers)?,
        providers,
        connect: request.service_connect_defaults.as_ref().map(configure::check_connect).transpose()?,
    })
}

impl Wanted {
    fn apply(self, api: &mut ecs::Cluster) {
        api.tags = Some(self.tags);
        if let Some(settings) = self.settings {
            configure::put_settings(api, settings);
        }
        api.configuration = self.configuration;
        api.capacity_providers = Some(self.providers);
        api.default_capacity_provider_strategy = Some(self.strategy);
        api.service_connect_defaults = self.connect;
    }
}

/// An ACTIVE cluster without anything of the caller's.
fn fresh(place: &Place, name: &str, insights: String) -> Cluster {
    let insights =
        ecs::ClusterSetting { name: Some(ecs::ClusterSettingName::ContainerInsights), value: Some(insights) };
    let api = ecs::Cluster {
        cluster_arn: Some(place.cluster(name)),
        cluster_name: Some(name.to_owned()),
        status: Some("ACTIVE".to_owned()),
        tags: Some(Vec::new()),
        settings: Some(vec![insights]),
        capacity_providers: Some(Vec::new()),
        default_capacity_provider_strategy: Some(Vec::new()),
        ..ecs::Cluster::default()
    };
    Cluster { account: place.account.to_string(), name: name.to_owned(), api }
}

/// DeleteCluster.
///
/// # Errors
/// `ClusterContains…Exception` while it has container instances, services or tasks, in this order.
pub fn delete(
    context: &mut Context<'_>,
    request: ecs::DeleteClusterRequest,
) -> Result<ecs::DeleteClusterResponse, Fault> {
    let place = context.place.clone();
    let name = resolve::cluster_name(&place, request.cluster.as_deref())?;
    let cluster = context.transact(|state, changes, _| {
        let there = active(state, &place.account, &name)?;
        refuse_while_used(state, there)?;
        let mut cluster = Cluster::clone(there);
        cluster.api.status = Some("INACTIVE".to_owned());
        let api = describe::whole(state, &key(&place.account, &name), &cluster.api);
        changes.push(cluster.into());
        Ok::<_, Fault>(api)
    })?;
    Ok(ecs::DeleteClusterResponse { cluster: Some(cluster) })
}

fn refuse_while_used(state: &State, cluster: &Cluster) -> Result<(), Fault> {
    use ecs::fault as def;
    let counts = describe::Counts::of(state, &format!("{}/{}", cluster.account, cluster.name));
    let (fault, what) = match () {
        () if counts.instances > 0 => {
            (&def::CLUSTER_CONTAINS_CONTAINER_INSTANCES_EXCEPTION, "Container Instances are active or draining")
        }
        () if counts.active_services + counts.draining_services > 0 => {
            (&def::CLUSTER_CONTAINS_SERVICES_EXCEPTION, "Services are active")
        }
        () if counts.running + counts.pending > 0 => (&def::CLUSTER_CONTAINS_TASKS_EXCEPTION, "Tasks are active"),
        () => return Ok(()),
    };
    Err(fault::of(fault, format!("The Cluster cannot be deleted while {what}.")))
}
