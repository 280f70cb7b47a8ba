//! UpdateCluster, UpdateClusterSettings and PutClusterCapacityProviders, and the rules for what they set.

use longshore_api::ecs;
use longshore_model::State;
use longshore_model::cluster::{Cluster, key};
use longshore_wire::Fault;

use super::{active, describe, strategy};
use crate::Context;
use crate::ecs::{fault, resolve};

/// The settings of a cluster, each with a value it may have.
pub fn check_settings(settings: &[ecs::ClusterSetting]) -> Result<Vec<ecs::ClusterSetting>, Fault> {
    for setting in settings {
        let value = setting.value.as_deref().unwrap_or_default();
        if setting.name.is_none() {
            return Err(fault::invalid_parameter("A cluster setting needs a name."));
        }
        if !["enabled", "disabled", "enhanced"].contains(&value) {
            return Err(fault::invalid_parameter(format!(
                "Invalid value '{}' for the cluster setting containerInsights. Valid values are enabled, disabled and \
                 enhanced.",
                resolve::shown(value)
            )));
        }
    }
    Ok(settings.to_vec())
}

/// Each setting takes the place of the one of its name.
pub fn put_settings(api: &mut ecs::Cluster, settings: Vec<ecs::ClusterSetting>) {
    let kept = api.settings.get_or_insert_default();
    for setting in settings {
        kept.retain(|old| old.name != setting.name);
        kept.push(setting);
    }
}

/// ECS Exec's log configuration goes with `OVERRIDE` and only with it.
pub fn check_configuration(given: &ecs::ClusterConfiguration) -> Result<ecs::ClusterConfiguration, Fault> {
    let exec = given.execute_command_configuration.as_ref();
    let overrides = exec.is_some_and(|exec| exec.logging == Some(ecs::ExecuteCommandLogging::Override));
    let configured = exec.is_some_and(|exec| exec.log_configuration.is_some());
    match (overrides, configured) {
        (true, false) => Err(fault::invalid_parameter("logConfiguration must be specified when logging is OVERRIDE.")),
        (false, true) => {
            Err(fault::invalid_parameter("logConfiguration can be specified only when logging is OVERRIDE."))
        }
        _ => Ok(given.clone()),
    }
}

/// The default namespace of Service Connect. An ARN cannot name one that exists: there is no Cloud Map yet.
pub fn check_connect(
    given: &ecs::ClusterServiceConnectDefaultsRequest,
) -> Result<ecs::ClusterServiceConnectDefaults, Fault> {
    let namespace = given.namespace.clone().unwrap_or_default();
    match () {
        () if namespace.starts_with("arn:") => {
            Err(fault::of(&ecs::fault::NAMESPACE_NOT_FOUND_EXCEPTION, "The specified namespace wasn't found."))
        }
        () if namespace.chars().count() > 1024 || namespace.chars().any(|c| !c.is_ascii_graphic()) => {
            Err(fault::invalid_parameter("Invalid namespace."))
        }
        () => Ok(ecs::ClusterServiceConnectDefaults { namespace: Some(namespace) }),
    }
}

/// UpdateCluster: what is given replaces what was there, what is not stays.
pub fn update(
    context: &mut Context<'_>,
    request: ecs::UpdateClusterRequest,
) -> Result<ecs::UpdateClusterResponse, Fault> {
    let settings = request.settings.as_deref().map(check_settings).transpose()?;
    let configuration = request.configuration.as_ref().map(check_configuration).transpose()?;
    let connect = request.service_connect_defaults.as_ref().map(check_connect).transpose()?;
    let cluster = change(context, request.cluster.as_deref(), |_, cluster| {
        put_settings(&mut cluster.api, settings.unwrap_or_default());
        if configuration.is_some() {
            cluster.api.configuration = configuration;
        }
        if let Some(connect) = connect {
            // An empty name takes the default namespace away.
            let named = connect.namespace.as_ref().is_some_and(|name| !name.is_empty());
            cluster.api.service_connect_defaults = named.then_some(connect);
        }
        Ok(())
    })?;
    Ok(ecs::UpdateClusterResponse { cluster: Some(cluster) })
}

/// UpdateClusterSettings
pub fn update_settings(
    context: &mut Context<'_>,
    request: ecs::UpdateClusterSettingsRequest,
) -> Result<ecs::UpdateClusterSettingsResponse, Fault> {
    let settings = check_settings(request.settings.as_deref().unwrap_or_default())?;
    let cluster = change(context, request.cluster.as_deref(), |_, cluster| {
        put_settings(&mut cluster.api, settings);
        Ok(())
    })?;
    Ok(ecs::UpdateClusterSettingsResponse { cluster: Some(cluster) })
}

/// PutClusterCapacityProviders: the whole list and the whole default strategy, anew.
///
/// # Errors
/// `ResourceInUseException` when a provider that is left out still carries tasks or is in a service's strategy.
pub fn put_capacity_providers(
    context: &mut Context<'_>,
    request: ecs::PutClusterCapacityProvidersRequest,
) -> Result<ecs::PutClusterCapacityProvidersResponse, Fault> {
    let providers = strategy::check_providers(request.capacity_providers.as_deref().unwrap_or_default())?;
    let items = request.default_capacity_provider_strategy.as_deref().unwrap_or_default();
    let items = strategy::check(items, &providers)?;
    let cluster = change(context, request.cluster.as_deref(), |state, cluster| {
        let old = cluster.api.capacity_providers.take().unwrap_or_default();
        let gone = old.into_iter().filter(|name| !providers.contains(name));
        if let Some(name) = gone.into_iter().find(|name| is_used(state, cluster, name)) {
            return Err(fault::of(
                &ecs::fault::RESOURCE_IN_USE_EXCEPTION,
                format!("The specified capacity provider {name} is in use and cannot be removed."),
            ));
        }
        cluster.api.capacity_providers = Some(providers);
        cluster.api.default_capacity_provider_strategy = Some(items);
        Ok(())
    })?;
    Ok(ecs::PutClusterCapacityProvidersResponse { cluster: Some(cluster) })
}

fn is_used(state: &State, cluster: &Cluster, provider: &str) -> bool {
    let prefix = format!("{}/{}/", cluster.account, cluster.name);
    let by_task = state
        .tasks
        .scan(&prefix)
        .any(|(_, task)| !task.is_stopped() && task.capacity_provider.as_deref() == Some(provider));
    let by_service =
        state.services.scan(&prefix).filter(|(_, service)| service.inactive_at.is_none()).any(|(_, service)| {
            let items = service.api.capacity_provider_strategy.iter().flatten();
            items.filter_map(|item| item.capacity_provider.as_deref()).any(|name| name == provider)
        });
    by_task || by_service
}

/// Changes an ACTIVE cluster and answers it whole.
fn change(
    context: &mut Context<'_>,
    asked: Option<&str>,
    edit: impl FnOnce(&State, &mut Cluster) -> Result<(), Fault>,
) -> Result<ecs::Cluster, Fault> {
    let place = context.place.clone();
    let name = resolve::cluster_name(&place, asked)?;
    context.transact(|state, changes, _| {
        let mut cluster = Cluster::clone(active(state, &place.account, &name)?);
        edit(state, &mut cluster)?;
        let api = describe::whole(state, &key(&place.account, &name), &cluster.api);
        changes.push(cluster.into());
        Ok(api)
    })
}
