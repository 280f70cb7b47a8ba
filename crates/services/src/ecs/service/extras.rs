//! What a service names beside its tasks: how it is found, which volumes it brings. Load balancers are a matter of their own
//! ([`balancers`](super::balancers)).
//!
//! There is no Cloud Map and no VPC Lattice yet, so nothing that is named there exists, and the answer
//! is AWS's to that. What AWS takes without them is taken: empty lists, Service Connect that is not enabled, volumes that
//! are configured at launch (whose tasks then stop at once and say why).

use longshore_api::ecs::{self, fault as def};
use longshore_model::cluster::Cluster;
use longshore_model::definition::TaskDefinition;
use longshore_wire::Fault;

use crate::ecs::task::launch::unsupported;
use crate::ecs::{fault, resolve};

/// Registries of one service.
const REGISTRIES: usize = 1;

/// Volumes of one service that are configured at launch.
const VOLUMES: usize = 1;

/// These members of CreateService and UpdateService.
#[derive(Clone, Copy)]
pub struct Extras<'a> {
    registries: &'a [ecs::ServiceRegistry],
    connect: Option<&'a ecs::ServiceConnectConfiguration>,
    lattice: &'a [ecs::VpcLatticeConfiguration],
    gateways: &'a [ecs::GatewayConnector],
}

/// The [`Extras`] of a request.
macro_rules! extras {
    ($request:ident) => {
        impl<'a> From<&'a ecs::$request> for Extras<'a> {
            fn from(request: &'a ecs::$request) -> Self {
                Self {
                    registries: request.service_registries.as_deref().unwrap_or_default(),
                    connect: request.service_connect_configuration.as_ref(),
                    lattice: request.vpc_lattice_configurations.as_deref().unwrap_or_default(),
                    gateways: request.gateway_connectors.as_deref().unwrap_or_default(),
                }
            }
        }
    };
}

extras!(CreateServiceRequest);
extras!(UpdateServiceRequest);

impl Extras<'_> {
    /// # Errors
    /// `InvalidParameterException` for registries and VPC Lattice's target groups: they do not exist;
    /// `NamespaceNotFoundException` for a namespace; `UnsupportedFeatureException` for gateway connectors.
    pub fn check(&self, cluster: Option<&Cluster>) -> Result<(), Fault> {
        if self.registries.len() > REGISTRIES {
            return Err(fault::too_many("serviceRegistries", REGISTRIES));
        }
        self.registries.iter().try_for_each(registry)?;
        self.connect.map_or(Ok(()), |connect| service_connect(connect, cluster))?;
        if !self.lattice.is_empty() {
            return Err(fault::invalid_parameter("The specified target group does not exist."));
        }
        match self.gateways.is_empty() {
            true => Ok(()),
            false => Err(unsupported("gateway connectors")),
        }
    }
}

fn registry(given: &ecs::ServiceRegistry) -> Result<(), Fault> {
    let arn = given.registry_arn.as_deref().unwrap_or_default();
    Err(match arn.is_empty() {
        true => fault::invalid_parameter("registryArn cannot be empty."),
        false => fault::invalid_parameter(format!("The service registry {} does not exist.", resolve::shown(arn))),
    })
}

fn service_connect(given: &ecs::ServiceConnectConfiguration, cluster: Option<&Cluster>) -> Result<(), Fault> {
    if given.enabled != Some(true) {
        return Ok(());
    }
    let default = cluster.and_then(|cluster| cluster.api.service_connect_defaults.as_ref());
    let namespace = given.namespace.as_deref().or(default.and_then(|default| default.namespace.as_deref()));
    Err(match namespace.filter(|name| !name.is_empty()) {
        Some(name) => fault::of(
            &def::NAMESPACE_NOT_FOUND_EXCEPTION,
            format!("Failed to retrieve namespace for {}", resolve::shown(name)),
        ),
        None => fault::invalid_parameter(
            "Service Connect needs a namespace: specify one, or a default namespace of the cluster.",
        ),
    })
}

/// Each volume that is configured must be one that the definition leaves to the launch.
pub fn check_volumes<'v>(
    names: impl ExactSizeIterator<Item = &'v Option<String>>,
    definition: &TaskDefinition,
) -> Result<(), Fault> {
    if names.len() > VOLUMES {
        return Err(fault::too_many("volumeConfigurations", VOLUMES));
    }
    let volumes = definition.api.volumes.as_deref().unwrap_or_default();
    let is_left = |name: &Option<String>| {
        volumes.iter().any(|volume| volume.configured_at_launch == Some(true) && volume.name == *name)
    };
    match names.into_iter().all(is_left) {
        true => Ok(()),
        false => Err(fault::invalid_parameter(
            "Volume configuration provided but no matching configuredAtLaunch volume found in task definition.",
        )),
    }
}
