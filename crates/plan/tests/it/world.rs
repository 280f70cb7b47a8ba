//! A small installation in memory: two zones, nodes, one service, a virtual clock. Every change that is applied is checked
//! against the laws.

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::network::{SecurityGroup, Subnet};
use longshore_model::node::Node;
use longshore_model::service::{Deployment, Service, ServiceStatus};
use longshore_model::task::{Task, TaskStatus};
use longshore_model::{Change, Mint, State};
use longshore_plan::report::{self, TaskReport};
use longshore_plan::{MAX_CHANGES, Plan, check, reconcile};
use longshore_wire::Timestamp;

pub const ACCOUNT: &str = "000000000000";
pub const KEY: &str = "000000000000/prod/web";

pub struct World {
    pub state: State,
    pub now: Timestamp,
    pub mint: Mint,
    /// Why planners did or did not act.
    pub reasons: Vec<String>,
}

impl World {
    /// Two subnets, one node with room for 64 tasks of 256/512, a task definition `web:1`.
    pub fn new() -> Self {
        let mut world = Self {
            state: State::default(),
            now: Timestamp::from_millis(1_800_000_000_000),
            mint: Mint::new(1),
            reasons: Vec::new(),
        };
        for (index, zone) in ["a", "b"].into_iter().enumerate() {
            world.put(subnet(zone, &format!("172.31.{}.0/20", index * 16)));
        }
        world.put(SecurityGroup {
            account: ACCOUNT.into(),
            id: "sg-default".into(),
            vpc: "vpc-1".into(),
            name: "default".into(),
            description: "default".into(),
        });
        world.put(node("n1", "a", 64 * 256, 64 * 512));
        world.put(definition(1, false));
        world
    }

    pub fn put(&mut self, change: impl Into<Change>) {
        self.apply(vec![change.into()]);
    }

    /// Apply changes as the store would, and check every law.
    pub fn apply(&mut self, changes: Vec<Change>) {
        let before = self.state.clone();
        for change in &changes {
            self.state.apply(change);
        }
        let mut broken = check::state(&self.state);
        broken.extend(check::step(&before, &self.state));
        assert!(broken.is_empty(), "{broken:#?}");
    }

    pub fn pass(&mut self, seconds: i64) {
        self.now = Timestamp::from_millis(self.now.millis() + seconds * 1000);
    }

    pub fn service(&self) -> &Service {
        self.state.services.get(KEY).expect("the service is there")
    }

    /// Change the service's record.
    pub fn edit(&mut self, change: impl FnOnce(&mut Service)) {
        let mut service = self.service().clone();
        change(&mut service);
        self.put(service);
    }

    /// Change a node's record.
    pub fn edit_node(&mut self, id: &str, change: impl FnOnce(&mut Node)) {
        let mut node = Node::clone(self.state.nodes.get(id).expect("the node is there"));
        change(&mut node);
        self.put(node);
    }

    /// A new primary deployment of `web:REVISION`.
    pub fn deploy(&mut self, revision: i32) -> String {
        let id = format!("ecs-svc/{}", self.mint.decimal19());
        let new = deployment(&id, revision, self.now);
        self.edit(|service| {
            service.deployments.iter_mut().for_each(|old| old.primary = false);
            service.deployments.insert(0, new);
        });
        id
    }

    /// One turn of the planner, applied.
    pub fn turn(&mut self) -> Plan {
        let plan = reconcile::service(&self.state, KEY, self.now, &mut self.mint);
        assert!(plan.changes.len() <= MAX_CHANGES, "{}", plan.changes.len());
        self.reasons.extend(plan.reasons.iter().cloned());
        self.apply(plan.changes.clone());
        plan
    }

    /// Turns until the planner has nothing to add. Returns the last plan.
    pub fn settle(&mut self) -> Plan {
        for _ in 0..200 {
            let plan = self.turn();
            if plan.changes.is_empty() {
                return plan;
            }
        }
        panic!("the planner does not come to rest: {:#?}", self.reasons);
    }

    /// Live tasks of the service, in key order.
    pub fn live(&self) -> Vec<Task> {
        let keys = self.state.index.service_tasks(KEY);
        keys.map(|key| Task::clone(self.state.tasks.get(key).expect("indexed tasks exist"))).collect()
    }

    pub fn report(&mut self, task: &str, report: &TaskReport) {
        let applied = report::task(&self.state, task, None, report, self.now, &mut self.mint);
        self.apply(applied.expect("the report is taken"));
    }

    pub fn report_status(&mut self, task: &str, status: TaskStatus) {
        self.report(task, &TaskReport { status: Some(status), ..TaskReport::default() });
    }

    pub fn report_health(&mut self, task: &str, health: ecs::HealthStatus) {
        let applied = report::health(&self.state, task, None, &[("web".to_owned(), health)]);
        self.apply(applied.expect("the report is taken"));
    }

    /// Connected nodes do what they are told: what is wanted runs, what is not stops.
    pub fn obey(&mut self) {
        for task in self.live() {
            if self.is_away(&task) {
                continue;
            }
            match (task.ordered(), task.last) {
                (TaskStatus::Stopped, _) => self.report_status(&task.key(), TaskStatus::Stopped),
                (_, last) if last < TaskStatus::Running => self.report_status(&task.key(), TaskStatus::Running),
                _ => {}
            }
        }
    }

    pub fn is_away(&self, task: &Task) -> bool {
        let node = task.node.as_deref().and_then(|node| self.state.nodes.get(node));
        node.is_some_and(|node| !node.connected)
    }

    /// Let the planner and the nodes go on, a second at a time.
    pub fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.settle();
            self.obey();
            self.pass(1);
        }
        self.settle();
    }

    /// Live tasks by `deployment status desired`, sorted, as text: `1 RUNNING`, `1 DEACTIVATING stopping`, `2 PROVISIONING`.
    pub fn picture(&self) -> String {
        let mut counts = std::collections::BTreeMap::<String, i32>::new();
        for task in self.live() {
            let stopping = if task.desired == TaskStatus::Stopped { " stopping" } else { "" };
            *counts.entry(format!("web:{} {}{stopping}", task.revision, task.last)).or_default() += 1;
        }
        counts.iter().map(|(what, count)| format!("{count} x {what}")).collect::<Vec<_>>().join(", ")
    }

    /// Messages of the service's events, oldest first, ids of tasks and deployments left out.
    pub fn events(&self) -> Vec<String> {
        let messages = self.service().events.iter().rev().filter_map(|event| event.message.clone());
        messages.map(|message| strip(&message)).collect()
    }
}

fn strip(message: &str) -> String {
    let mut out = String::new();
    for word in message.split(' ') {
        let id = word.trim_end_matches(['.', ')']);
        let tail = &word[id.len()..];
        let is_task = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let shown = match () {
            () if is_task => "ID",
            () if id.starts_with("ecs-svc/") => "ecs-svc/ID",
            () => id,
        };
        out.push_str(if out.is_empty() { "" } else { " " });
        out.push_str(shown);
        out.push_str(tail);
    }
    out
}

pub fn subnet(zone: &str, cidr: &str) -> Subnet {
    Subnet {
        account: ACCOUNT.into(),
        id: format!("subnet-{zone}"),
        vpc: "vpc-1".into(),
        cidr: cidr.into(),
        zone: format!("us-east-1{zone}"),
        zone_id: format!("use1-az{zone}"),
        is_default: true,
        map_public_ip: true,
    }
}

pub fn node(id: &str, zone: &str, cpu: i32, memory_mib: i32) -> Node {
    Node {
        id: id.into(),
        account: ACCOUNT.into(),
        cluster: None,
        arn: format!("arn:aws:ecs:us-east-1:{ACCOUNT}:container-instance/longshore.fargate/{id}"),
        status: "ACTIVE".into(),
        fargate: true,
        zone: format!("us-east-1{zone}"),
        cpu,
        memory_mib,
        public_pool: Some("198.19.7.0/24".into()),
        attributes: Vec::new(),
        version_info: None,
        connected: true,
        epoch: 1,
        registered_at: Timestamp::from_millis(0),
        owner: None,
        disconnected_at: None,
        tags: Vec::new(),
    }
}

/// `web:REVISION` of 256/512 with one container, with or without a health check.
pub fn definition(revision: i32, health_check: bool) -> TaskDefinition {
    let check = ecs::HealthCheck { command: Some(vec!["CMD".into(), "true".into()]), ..Default::default() };
    let container = ecs::ContainerDefinition {
        name: Some("web".into()),
        image: Some("web:latest".into()),
        essential: Some(true),
        health_check: health_check.then_some(check),
        ..Default::default()
    };
    TaskDefinition {
        account: ACCOUNT.into(),
        family: "web".into(),
        revision,
        api: ecs::TaskDefinition {
            cpu: Some("256".into()),
            memory: Some("512".into()),
            container_definitions: Some(vec![container]),
            ..Default::default()
        },
        tags: Vec::new(),
    }
}

pub fn network(public: bool) -> ecs::AwsVpcConfiguration {
    ecs::AwsVpcConfiguration {
        subnets: Some(vec!["subnet-a".into(), "subnet-b".into()]),
        security_groups: None,
        assign_public_ip: Some(if public { ecs::AssignPublicIp::Enabled } else { ecs::AssignPublicIp::Disabled }),
    }
}

pub fn deployment(id: &str, revision: i32, now: Timestamp) -> Deployment {
    Deployment {
        id: id.into(),
        primary: true,
        family: "web".into(),
        revision,
        rollout: ecs::DeploymentRolloutState::InProgress,
        rollout_reason: String::new(),
        launch_type: Some(ecs::LaunchType::Fargate),
        capacity_provider_strategy: Vec::new(),
        platform_version: Some("1.4.0".into()),
        network: Some(ecs::NetworkConfiguration { awsvpc_configuration: Some(network(false)) }),
        pins: Vec::new(),
        load_balancers: Vec::new(),
        service_connect: None,
        volumes: Vec::new(),
        monitoring: None,
        storage_key: None,
        failed_tasks: 0,
        baking_since: None,
        rollback: false,
        throttle: Default::default(),
        created_at: now,
        updated_at: now,
    }
}

/// A service `web` of `web:1` with these percentages.
pub fn service(desired: i32, minimum: i32, maximum: i32, now: Timestamp) -> Service {
    let configuration = ecs::DeploymentConfiguration {
        minimum_healthy_percent: Some(minimum),
        maximum_percent: Some(maximum),
        ..Default::default()
    };
    Service {
        account: ACCOUNT.into(),
        cluster: "prod".into(),
        name: "web".into(),
        status: ServiceStatus::Active,
        desired_count: desired,
        api: Box::new(ecs::Service { deployment_configuration: Some(configuration), ..Default::default() }),
        deployments: vec![deployment("ecs-svc/1", 1, now)],
        last_completed: None,
        rebalancing: false,
        events: Vec::new(),
        created_at: now,
        inactive_at: None,
    }
}

/// A world with a steady service.
pub fn steady(desired: i32, minimum: i32, maximum: i32) -> World {
    let mut world = World::new();
    world.put(service(desired, minimum, maximum, world.now));
    world.run(2);
    world.pass(100);
    assert_eq!(world.service().deployments.len(), 1);
    assert_eq!(world.service().deployments[0].rollout, ecs::DeploymentRolloutState::Completed);
    world
}
