//! The documents of the endpoint, in the members and words of Amazon's. Pure.

use longshore_link::credentials::RoleCredentials;
use longshore_link::{acs, docker};
use longshore_supervisor::protocol::{ContainerPhase, ContainerStatus, Health, TaskPhase, TaskStatus};
use serde_json::{Map, Value, json};

use crate::clock::rfc3339;
use crate::engine::runner::Pulled;
use crate::translate::{cluster_arn, interface};

/// Version of the endpoint: later ones tell more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    V2,
    V3,
    V4,
}

/// A task as it is now.
pub(super) struct View<'a> {
    pub(super) task: &'a acs::Task,
    pub(super) status: &'a TaskStatus,
    pub(super) pulled: &'a Pulled,
    pub(super) level: Level,
}

impl View<'_> {
    /// The document of the task with all its containers.
    pub(super) fn task(&self) -> Value {
        let task = self.task;
        let mut document = json!({
            "Cluster": cluster_arn(&task.arn),
            "TaskARN": task.arn,
            "Family": task.family,
            "Revision": task.version,
            "DesiredStatus": self.desired(),
            "KnownStatus": self.known(),
            "Containers": self.containers(),
            "AvailabilityZone": task.availability_zone,
        });
        if task.cpu > 0.0 || task.memory > 0 {
            document["Limits"] = json!({ "CPU": task.cpu, "Memory": task.memory });
        }
        let times = [
            ("PullStartedAt", self.pulled.started_at),
            ("PullStoppedAt", self.pulled.stopped_at),
            ("ExecutionStoppedAt", self.status.execution_stopped_at),
        ];
        for (member, time) in times {
            if let Some(time) = time {
                document[member] = rfc3339(time).into();
            }
        }
        if self.level == Level::V4 {
            self.add_v4(&mut document);
        }
        document
    }

    fn add_v4(&self, document: &mut Value) {
        document["LaunchType"] = self.task.launch_type.as_str().into();
        document["ClockDrift"] = json!({ "ClockErrorBound": 0.0, "ClockSynchronizationStatus": "NOT_SYNCHRONIZED" });
        document["FaultInjectionEnabled"] = false.into();
        if let Some(gib) = self.task.ephemeral_storage_gib {
            document["EphemeralStorageMetrics"] = json!({ "Utilized": 0, "Reserved": i64::from(gib) * 1024 });
        }
        let texts = [("ServiceName", &self.task.service_name), ("VPCID", &self.task.vpc_id)];
        for (member, text) in texts {
            if let Some(text) = text {
                document[member] = text.as_str().into();
            }
        }
    }

    fn containers(&self) -> Vec<Value> {
        self.status.containers.iter().filter_map(|container| self.container(&container.name)).collect()
    }

    /// The document of one container.
    pub(super) fn container(&self, name: &str) -> Option<Value> {
        let order = self.task.containers.iter().find(|container| container.name == name)?;
        let status = self.status.containers.iter().find(|container| container.name == name)?;
        let config: docker::Config = parse(order.docker_config.config.as_deref());
        let host: docker::HostConfig = parse(order.docker_config.host_config.as_deref());
        let mut document = json!({
            "DockerId": status.id,
            "Name": name,
            "DockerName": name,
            "Image": order.image,
            "ImageID": self.pulled.digests.get(name).cloned().unwrap_or_default(),
            "Labels": self.labels(name, config.labels),
            "DesiredStatus": self.desired(),
            "KnownStatus": known(status.status),
            "Limits": { "CPU": order.cpu, "Memory": order.memory },
            "Type": "NORMAL",
            "Networks": [self.network()],
        });
        self.add_progress(&mut document, status);
        self.add_ports(&mut document, order);
        if self.level == Level::V4 {
            add_log(&mut document, &host.log_config);
            document["ContainerARN"] = order.container_arn.clone().into();
            document["Snapshotter"] = "overlayfs".into();
            if order.restart_policy.as_ref().is_some_and(|policy| policy.enabled) {
                document["RestartCount"] = status.restart_count.into();
            }
        }
        Some(document)
    }

    fn add_progress(&self, document: &mut Value, status: &ContainerStatus) {
        let times =
            [("CreatedAt", status.created_at), ("StartedAt", status.started_at), ("FinishedAt", status.finished_at)];
        for (member, time) in times {
            if let Some(time) = time {
                document[member] = rfc3339(time).into();
            }
        }
        if let Some(code) = status.exit_code {
            document["ExitCode"] = code.into();
        }
        if status.health != Health::Unknown {
            let word = if status.health == Health::Healthy { "HEALTHY" } else { "UNHEALTHY" };
            document["Health"] = json!({ "status": word });
        }
    }

    fn add_ports(&self, document: &mut Value, order: &acs::Container) {
        let port = |port: &acs::PortMapping| json!({ "ContainerPort": port.container_port, "Protocol": port.protocol, "HostPort": port.container_port });
        if !order.port_mappings.is_empty() {
            document["Ports"] = order.port_mappings.iter().map(port).collect();
        }
    }

    fn labels(&self, name: &str, own: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
        let mut labels: Map<String, Value> = own.into_iter().map(|(label, value)| (label, value.into())).collect();
        let ecs = [
            ("cluster", cluster_arn(&self.task.arn)),
            ("container-name", name.to_owned()),
            ("task-arn", self.task.arn.clone()),
            ("task-definition-family", self.task.family.clone()),
            ("task-definition-version", self.task.version.clone()),
        ];
        labels.extend(ecs.map(|(label, value)| (format!("com.amazonaws.ecs.{label}"), value.into())));
        labels
    }

    fn network(&self) -> Value {
        let mut document = json!({ "NetworkMode": self.task.network_mode });
        let Some(interface) = interface(self.task) else { return document };
        let addresses: Vec<&str> =
            interface.ipv4_addresses.iter().map(|address| address.private_address.as_str()).collect();
        document["IPv4Addresses"] = addresses.into();
        if self.level == Level::V4 {
            let gateway = interface.subnet_gateway_ipv4_address.as_str();
            document["AttachmentIndex"] = 0.into();
            document["MACAddress"] = interface.mac_address.as_str().into();
            document["IPv4SubnetCIDRBlock"] = subnet(gateway).into();
            document["PrivateDNSName"] = interface.private_dns_name.clone().into();
            document["SubnetGatewayIpv4Address"] = gateway.into();
            if !interface.domain_name_servers.is_empty() {
                document["DomainNameServers"] = interface.domain_name_servers.clone().into();
            }
        }
        document
    }

    /// A member for each container's id.
    pub(super) fn by_id(&self, value: impl Fn(&str) -> Value) -> Value {
        let member = |container: &ContainerStatus| (container.id.clone(), value(&container.name));
        Value::Object(self.status.containers.iter().map(member).collect())
    }

    fn desired(&self) -> &'static str {
        if self.status.phase >= TaskPhase::Stopping { "STOPPED" } else { "RUNNING" }
    }

    fn known(&self) -> &'static str {
        match self.status.phase {
            TaskPhase::Activating => "PENDING",
            TaskPhase::Running | TaskPhase::Stopping => "RUNNING",
            TaskPhase::Stopped => "STOPPED",
        }
    }
}

fn known(phase: ContainerPhase) -> &'static str {
    match phase {
        ContainerPhase::Pending => "CREATED",
        ContainerPhase::Running => "RUNNING",
        ContainerPhase::Stopped => "STOPPED",
    }
}

fn add_log(document: &mut Value, log: &docker::LogConfig) {
    if !log.kind.is_empty() {
        document["LogDriver"] = log.kind.as_str().into();
        document["LogOptions"] = json!(log.config);
    }
}

/// Credentials as SDKs read them.
pub(super) fn credentials(of: &RoleCredentials) -> Value {
    json!({
        "RoleArn": of.role_arn,
        "AccessKeyId": of.access_key_id,
        "SecretAccessKey": of.secret_access_key,
        "Token": of.session_token,
        "Expiration": of.expiration,
    })
}

/// The subnet of a gateway with its prefix length.
fn subnet(gateway: &str) -> Option<String> {
    let net: ipnet::Ipv4Net = gateway.parse().ok()?;
    Some(net.trunc().to_string())
}

fn parse<T: serde::de::DeserializeOwned + Default>(text: Option<&str>) -> T {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}
