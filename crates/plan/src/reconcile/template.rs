//! What a deployment's tasks are made from.

use longshore_api::ecs;
use longshore_model::service::{Deployment, Pin, Service};

use crate::launch::{self, Launch};

/// What all tasks of a deployment have in common.
pub struct Template<'a> {
    account: String,
    cluster: String,
    service: String,
    group: String,
    deployment: String,
    definition: &'a longshore_model::definition::TaskDefinition,
    platform_version: String,
    network: ecs::AwsVpcConfiguration,
    enable_execute_command: bool,
    tags: Vec<ecs::Tag>,
    pins: Vec<Pin>,
    storage_key: Option<String>,
}

impl<'a> Template<'a> {
    pub fn of(
        service: &Service,
        deployment: &Deployment,
        definition: &'a longshore_model::definition::TaskDefinition,
    ) -> Self {
        let network = deployment.network.as_ref().and_then(|network| network.awsvpc_configuration.clone());
        Self {
            account: service.account.clone(),
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            group: format!("service:{}", service.name),
            deployment: deployment.id.clone(),
            definition,
            platform_version: deployment.platform_version.clone().unwrap_or_else(|| launch::PLATFORM_VERSION.into()),
            network: network.unwrap_or_default(),
            enable_execute_command: service.api.enable_execute_command == Some(true),
            tags: tags(service, definition),
            pins: deployment.pins.clone(),
            storage_key: deployment.storage_key.clone(),
        }
    }

    pub fn launch<'t>(&'t self, capacity_provider: Option<&'t str>) -> Launch<'t> {
        Launch {
            account: &self.account,
            cluster: &self.cluster,
            definition: self.definition,
            service: Some(&self.service),
            group: &self.group,
            started_by: Some(&self.deployment),
            overrides: None,
            capacity_provider,
            platform_version: &self.platform_version,
            network: &self.network,
            enable_execute_command: self.enable_execute_command,
            tags: &self.tags,
            pins: &self.pins,
            storage_key: self.storage_key.as_deref(),
        }
    }
}

/// The tags of a service's task: propagated ones, and those that ECS manages.
fn tags(service: &Service, definition: &longshore_model::definition::TaskDefinition) -> Vec<ecs::Tag> {
    let mut tags = match service.api.propagate_tags {
        Some(ecs::PropagateTags::Service) => service.api.tags.clone().unwrap_or_default(),
        Some(ecs::PropagateTags::TaskDefinition) => definition.tags.clone(),
        _ => Vec::new(),
    };
    if service.api.enable_ecs_managed_tags == Some(true) {
        tags.extend(launch::managed_tags(&service.cluster, Some(&service.name)));
    }
    tags
}
