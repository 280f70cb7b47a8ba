//! Services and their deployments.

use longshore_api::ecs;
use longshore_wire::{Timestamp, record, string_enum};

use crate::definition::key_of;
use crate::ids::AccountId;

string_enum! {
    /// A service's life. A name is free again once INACTIVE.
    pub enum ServiceStatus {
        Active = "ACTIVE",
        Draining = "DRAINING",
        Inactive = "INACTIVE",
    }
}

record! {
    /// What holds a deployment's launches back: tasks that never ran, and tasks that ended right after they ran. The two are
    /// counted apart.
    #[derive(Default)]
    pub struct Throttle {
        pub failures: i32 = "failures",
        pub not_before: Option<Timestamp> = "notBefore",
        /// When the last failure was counted. Tasks made before it are of the same wave and count no more.
        pub counted_at: Option<Timestamp> = "countedAt",
        /// Quick exits in a row.
        pub quick_exits: i32 = "quickExits",
        /// The earliest next launch after a quick exit.
        pub quick_not_before: Option<Timestamp> = "quickNotBefore",
        /// As `counted_at`, of the last quick exit.
        pub quick_counted_at: Option<Timestamp> = "quickCountedAt",
    }
}

record! {
    /// What a container's image led to when a deployment's first task was started.
    pub struct Pin {
        /// The container's name.
        pub container: String = "container",
        /// `sha256:…`, as the node reported it.
        pub digest: String = "digest",
    }
}

record! {
    /// One deployment of a service: the revision it rolls out and how far it is. Counts are derived from the tasks.
    pub struct Deployment {
        /// `ecs-svc/NUMBER`; the tasks carry it in `startedBy`.
        pub id: String = "id",
        /// Exactly one deployment of an active service is primary.
        pub primary: bool = "primary",
        pub family: String = "family",
        pub revision: i32 = "revision",
        pub rollout: ecs::DeploymentRolloutState = "rollout",
        pub rollout_reason: String = "rolloutReason",
        pub launch_type: Option<ecs::LaunchType> = "launchType",
        pub capacity_provider_strategy: Vec<ecs::CapacityProviderStrategyItem> = "capacityProviderStrategy",
        pub platform_version: Option<String> = "platformVersion",
        pub network: Option<ecs::NetworkConfiguration> = "network",
        /// What every task after the first runs instead of its tag; without containers whose definition wants no
        /// version consistency.
        pub pins: Vec<Pin> = "pins",
        /// Target groups that its tasks are registered with.
        pub load_balancers: Vec<ecs::LoadBalancer> = "loadBalancers",
        pub service_connect: Option<ecs::ServiceConnectConfiguration> = "serviceConnect",
        pub volumes: Vec<ecs::ServiceVolumeConfiguration> = "volumes",
        pub monitoring: Option<ecs::MonitoringConfiguration> = "monitoring",
        /// The key that the cluster had for Fargate's scratch space when the deployment was made.
        pub storage_key: Option<String> = "storageKey",
        /// Failures that the circuit breaker counts: tasks that stopped before any of the deployment ran, and running
        /// ones that were replaced because of their health.
        pub failed_tasks: i32 = "failedTasks",
        /// Since when enough of its tasks serve for an early success: the bake time runs.
        pub baking_since: Option<Timestamp> = "bakingSince",
        /// The circuit breaker came back to this deployment; it does not give it up again.
        pub rollback: bool = "rollback",
        /// A deployment throttles only itself: a new one starts at once.
        pub throttle: Throttle = "throttle",
        pub created_at: Timestamp = "createdAt",
        pub updated_at: Timestamp = "updatedAt",
    }
}

record! {
    /// A service. `api` holds what the caller gave and DescribeServices returns; counts, deployments and events are
    /// filled in when it is described.
    pub struct Service {
        pub account: String = "account",
        pub cluster: String = "cluster",
        pub name: String = "name",
        pub status: ServiceStatus = "status",
        pub desired_count: i32 = "desiredCount",
        pub api: Box<ecs::Service> = "api",
        pub deployments: Vec<Deployment> = "deployments",
        /// The last deployment that was complete, once none of its tasks is left and while the one after it is not
        /// complete: what the circuit breaker comes back to.
        pub last_completed: Option<Box<Deployment>> = "lastCompleted",
        /// One task more than desired runs for a while, so that another may stop in a fuller zone.
        pub rebalancing: bool = "rebalancing",
        /// Newest first, at most 100.
        pub events: Vec<ecs::ServiceEvent> = "events",
        pub created_at: Timestamp = "createdAt",
        /// When it became INACTIVE; it is forgotten some time after.
        pub inactive_at: Option<Timestamp> = "inactiveAt",
    }
}

impl Throttle {
    /// The earliest next launch.
    pub fn until(&self) -> Option<Timestamp> {
        self.not_before.max(self.quick_not_before)
    }
}

/// Events kept for a service.
pub const EVENTS_KEPT: usize = 100;

/// `ACCOUNT/CLUSTER/NAME`
pub fn key(account: &AccountId, cluster: &str, name: &str) -> String {
    format!("{account}/{cluster}/{name}")
}

impl Deployment {
    /// The digest that a container of this name is to run.
    pub fn pin(&self, container: &str) -> Option<&str> {
        self.pins.iter().find(|pin| pin.container == container).map(|pin| pin.digest.as_str())
    }
}

impl Service {
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.account, self.cluster, self.name)
    }

    /// The key of the task definition that one of its deployments runs.
    pub fn definition_key(&self, deployment: &Deployment) -> String {
        key_of(&self.account, &deployment.family, deployment.revision)
    }

    pub fn is_active(&self) -> bool {
        self.status == ServiceStatus::Active
    }

    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.primary)
    }

    pub fn primary_mut(&mut self) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|deployment| deployment.primary)
    }

    pub fn deployment_mut(&mut self, id: &str) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|deployment| deployment.id == id)
    }

    /// Put an event on top. The caller decides whether a repeated message is wanted.
    pub fn push_event(&mut self, id: String, message: String, now: Timestamp) {
        let event = ecs::ServiceEvent { id: Some(id), created_at: Some(now), message: Some(message) };
        self.events.insert(0, event);
        self.events.truncate(EVENTS_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, TableName};

    fn deployment(id: &str) -> Deployment {
        let volume = ecs::ServiceVolumeConfiguration { name: Some("data".into()), managed_ebs_volume: None };
        Deployment {
            id: id.into(),
            primary: true,
            family: "web".into(),
            revision: 1,
            rollout: ecs::DeploymentRolloutState::InProgress,
            rollout_reason: String::new(),
            launch_type: Some(ecs::LaunchType::Fargate),
            capacity_provider_strategy: Vec::new(),
            platform_version: None,
            network: None,
            pins: vec![Pin { container: "web".into(), digest: "sha256:1".into() }],
            load_balancers: vec![ecs::LoadBalancer { container_port: Some(80), ..Default::default() }],
            service_connect: Some(ecs::ServiceConnectConfiguration { enabled: Some(false), ..Default::default() }),
            volumes: vec![volume],
            monitoring: Some(ecs::MonitoringConfiguration { metric_configurations: Some(Vec::new()) }),
            storage_key: Some("key".into()),
            failed_tasks: 2,
            baking_since: Some(Timestamp::from_millis(3)),
            rollback: true,
            throttle: Throttle { failures: 2, ..Throttle::default() },
            created_at: Timestamp::from_millis(1),
            updated_at: Timestamp::from_millis(2),
        }
    }

    #[test]
    fn a_service_is_read_as_it_was_written() {
        let alarms =
            ecs::DeploymentAlarms { alarm_names: Some(Vec::new()), rollback: Some(false), enable: Some(false) };
        let configuration = ecs::DeploymentConfiguration { alarms: Some(alarms), ..Default::default() };
        let service = Service {
            account: "000000000000".into(),
            cluster: "prod".into(),
            name: "web".into(),
            status: ServiceStatus::Active,
            desired_count: 3,
            api: Box::new(ecs::Service {
                deployment_configuration: Some(configuration),
                load_balancers: Some(Vec::new()),
                ..Default::default()
            }),
            deployments: vec![deployment("ecs-svc/2")],
            last_completed: Some(Box::new(deployment("ecs-svc/1"))),
            rebalancing: true,
            events: Vec::new(),
            created_at: Timestamp::from_millis(1),
            inactive_at: None,
        };
        let bytes = Record::from(service.clone()).to_bytes();
        let Ok(Record::Service(read)) = Record::from_bytes(TableName::Service, &bytes) else { panic!("{bytes:?}") };
        assert_eq!(*read, service);
        assert_eq!(read.deployments[0].pin("web"), Some("sha256:1"));
        assert_eq!(read.deployments[0].pin("sidecar"), None);
    }
}
