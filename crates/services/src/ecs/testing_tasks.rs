//! What tests of tasks and services need beside the [`World`]: a network, a node, task definitions, and the loop that a
//! control plane runs.

use longshore_model::network::{SecurityGroup, Subnet};
use longshore_model::task::{Task, TaskStatus};
use longshore_model::{Change, Mint, State};
use longshore_plan::agenda::Agenda;
use longshore_plan::check;
use longshore_plan::report::{self, TaskReport};
use longshore_wire::{Fault, Timestamp};
use serde_json::{Value, json};

use super::testing::{ACCOUNT, World};

/// What tests do with tasks.
pub trait Tasks {
    /// A cluster `prod`, two subnets, a security group `sg-a`, the definitions `web`, `other`, `bridge`, and one connected
    /// node with room for `room` tasks of 256/512.
    fn prepare(&mut self, room: i32);
    /// Run the services' loop until it has nothing to do.
    fn turn(&mut self);
    /// The node does as it is told.
    fn obey(&mut self);
    /// The loop and the node go on for some seconds.
    fn go_on(&mut self, seconds: i64);
    /// Every task stops.
    fn finish_all(&mut self);
    /// Change the state past all checks of the API, and check the laws after.
    fn decide(&mut self, decide: impl FnOnce(&State, &mut Vec<Change>));
}

impl Tasks for World {
    fn prepare(&mut self, room: i32) {
        let subnet = |zone: &str, third: i32| Subnet {
            account: ACCOUNT.into(),
            id: format!("subnet-{zone}"),
            vpc: "vpc-1".into(),
            cidr: format!("172.31.{third}.0/20"),
            zone: format!("us-east-1{zone}"),
            zone_id: format!("use1-az{zone}"),
            is_default: true,
            map_public_ip: true,
        };
        let group = SecurityGroup {
            account: ACCOUNT.into(),
            id: "sg-a".into(),
            vpc: "vpc-1".into(),
            name: "default".into(),
            description: "default".into(),
        };
        self.put([subnet("a", 0).into(), subnet("b", 16).into(), group.into()]);
        self.ok("CreateCluster", json!({"clusterName": "prod"}));
        self.ok("RegisterTaskDefinition", definition("web", json!([{"key": "from", "value": "definition"}])));
        self.ok("RegisterTaskDefinition", definition("other", json!([])));
        self.ok(
            "RegisterTaskDefinition",
            json!({"family": "bridge", "containerDefinitions": [{"name": "web", "image": "web", "memory": 128}]}),
        );
        self.ok("RegisterContainerInstance", registration(room));
        self.decide(|state, changes| {
            for (_, node) in state.nodes.iter() {
                let mut node = node.as_ref().clone();
                node.connect();
                changes.push(node.into());
            }
        });
    }

    fn turn(&mut self) {
        let now = Timestamp::from_millis(self.now);
        let mut agenda = Agenda::new(&self.store.read());
        let mut mint = Mint::new(now.millis() as u64);
        for _ in 0..1000 {
            let mut planned = None;
            self.decide(|state, changes| {
                planned = agenda.next(state, now, &mut mint).map(|(_, plan)| plan.changes);
                changes.extend(planned.iter().flatten().cloned());
            });
            match planned {
                Some(changes) => agenda.note(&self.store.read(), &changes),
                None => return,
            }
        }
        panic!("the services do not come to rest");
    }

    fn obey(&mut self) {
        each_live(self, |task| match task.ordered() {
            TaskStatus::Stopped => TaskStatus::Stopped,
            _ => TaskStatus::Running,
        });
    }

    fn go_on(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.turn();
            self.obey();
            self.now += 1000;
        }
        self.turn();
    }

    fn finish_all(&mut self) {
        each_live(self, |_| TaskStatus::Stopped);
    }

    fn decide(&mut self, decide: impl FnOnce(&State, &mut Vec<Change>)) {
        let before = self.store.read().clone();
        let decided = self.store.transact(|state, changes| {
            decide(state, changes);
            Ok::<_, Fault>(())
        });
        decided.unwrap();
        let after = self.store.read();
        let mut broken = check::state(&after);
        broken.extend(check::step(&before, &after));
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

fn each_live(world: &mut World, status: impl Fn(&Task) -> TaskStatus) {
    let now = Timestamp::from_millis(world.now);
    let keys: Vec<String> = world.store.read().tasks.iter().map(|(key, _)| key.to_string()).collect();
    for key in keys {
        world.decide(|state, changes| {
            let task = state.tasks.get(&key).unwrap();
            let report = TaskReport { status: Some(status(task)), ..TaskReport::default() };
            changes.extend(report::task(state, &key, None, &report, now, &mut Mint::new(9)).unwrap());
        });
    }
}

/// A container `web` with further members.
pub fn container(extra: Value) -> Value {
    let mut container = json!({"name": "web", "image": "web:latest", "essential": true});
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    container
}

fn definition(family: &str, tags: Value) -> Value {
    let mut definition = json!({
        "family": family, "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
        "containerDefinitions": [container(json!({}))],
    });
    if tags != json!([]) {
        definition["tags"] = tags;
    }
    definition
}

/// A Fargate node with room for `room` tasks of 256/512.
pub fn registration(room: i32) -> Value {
    json!({
        "cluster": "longshore.fargate",
        "totalResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": room * 256},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": room * 512},
        ],
        "attributes": [
            {"name": "longshore.fargate"},
            {"name": "longshore.public-pool", "value": "198.19.7.0/24"},
            {"name": "ecs.cpu-architecture", "value": "x86_64"},
        ],
    })
}

/// A request of Fargate for this definition in `prod`.
pub fn fargate(definition: &str) -> Value {
    json!({
        "cluster": "prod", "taskDefinition": definition, "launchType": "FARGATE",
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-a", "subnet-b"]}},
    })
}
