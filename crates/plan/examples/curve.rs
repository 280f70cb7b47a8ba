//! What one more task costs, by how many there are: placing, applying, two reports; memory a task; and a turn of a service.
//!
//! `cargo run --release -p longshore-plan --example curve -- [TASKS] [NODES]` (1,000,000 on 6,000 by default). Pure work on
//! one core, without requests, store or sessions: `cargo xtask bench` measures those.
#![expect(clippy::disallowed_methods, reason = "it measures, and measuring needs a clock and /proc")]

use std::hint::black_box;
use std::time::Instant;

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::network::{SecurityGroup, Subnet};
use longshore_model::node::Node;
use longshore_model::service::{Deployment, Service, ServiceStatus};
use longshore_model::task::TaskStatus;
use longshore_model::{Change, Mint, State};
use longshore_plan::launch::{self, Launch};
use longshore_plan::place::{Draft, Peers};
use longshore_plan::report::{self, ContainerReport, TaskReport};
use longshore_plan::{heal, reap, reconcile};
use longshore_wire::Timestamp;

const ACCOUNT: &str = "000000000000";
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: i64 = 86_400;

/// Nanoseconds, by what they were spent on.
#[derive(Default)]
struct Spent {
    place: u128,
    apply: u128,
    report: u128,
    apply_report: u128,
}

fn timed<T>(spent: &mut u128, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let outcome = work();
    *spent += start.elapsed().as_nanos();
    outcome
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let (tasks, nodes) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(6_000));
    let (mut state, mut mint) = (world(nodes, tasks / nodes + 8), Mint::new(1));
    let empty = resident_bytes();
    let (mut spent, mut counted) = (Spent::default(), 0);
    let mut next = 1_000.min(tasks);
    println!("   tasks | place ns | apply ns | two reports ns | apply them ns | bytes a task");
    for made in (10..=tasks).step_by(10) {
        ten_tasks(&mut state, &mut mint, &mut spent);
        counted += 10;
        if made >= next {
            let each = |nanos: u128| nanos / counted;
            let (place, apply) = (each(spent.place), each(spent.apply));
            let (report, apply_report) = (each(spent.report), each(spent.apply_report));
            let bytes = resident_bytes().saturating_sub(empty) / made as u64;
            println!("{made:>8} | {place:>8} | {apply:>8} | {report:>14} | {apply_report:>13} | {bytes:>12}");
            (spent, counted, next) = (Spent::default(), 0, (next * 10).min(tasks));
        }
    }
    rest(&mut state, nodes, &mut mint);
}

/// One RunTask of ten, and what their node reports until they run.
fn ten_tasks(state: &mut State, mint: &mut Mint, spent: &mut Spent) {
    let made = timed(&mut spent.place, || place(state, 10, mint));
    let keys: Vec<String> = made.iter().map(Change::key).collect();
    timed(&mut spent.apply, || made.iter().for_each(|change| state.apply(change)));
    drop(made);
    for key in keys {
        for status in [TaskStatus::Pending, TaskStatus::Running] {
            let report = told(&key, status);
            let reported = timed(&mut spent.report, || report::task(state, &key, None, &report, NOW, mint));
            let changes = reported.expect("the task is known");
            timed(&mut spent.apply_report, || changes.iter().for_each(|change| state.apply(change)));
        }
    }
}

fn place(state: &State, count: usize, mint: &mut Mint) -> Vec<Change> {
    let definition = state.definitions.iter().next().expect("a definition").1;
    let network = network();
    let launch = Launch {
        account: ACCOUNT,
        cluster: "production",
        definition,
        service: None,
        group: "family:web",
        started_by: None,
        overrides: None,
        capacity_provider: None,
        platform_version: "1.4.0",
        network: &network,
        enable_execute_command: false,
        tags: &[],
        pins: &[],
        storage_key: None,
    };
    let (mut draft, mut peers) = (Draft::new(state), Peers::default());
    (0..count).map(|_| launch::task(&launch, &mut draft, &mut peers, NOW, mint).expect("room").into()).collect()
}

fn told(key: &str, status: TaskStatus) -> TaskReport {
    let container = ContainerReport {
        name: "web".into(),
        status: Some(status),
        runtime_id: Some(format!("{}-web", key.rsplit('/').next().unwrap_or_default())),
        image_digest: Some(format!("sha256:{:064}", 0)),
        ..ContainerReport::default()
    };
    let containers = if status == TaskStatus::Running { vec![container] } else { Vec::new() };
    TaskReport { status: Some(status), containers, ..TaskReport::default() }
}

/// What loops cost over all this, and a service as large as ECS has them.
fn rest(state: &mut State, nodes: usize, mint: &mut Mint) {
    let mut nanos = 0;
    timed(&mut nanos, || black_box(reap::turn(state, NOW, 3600)));
    timed(&mut nanos, || black_box(heal::turn(state, NOW, DAY)));
    println!("a turn of reap and one of heal with nothing to do: {} us", nanos / 1000);
    let desired = nodes.min(5_000) as i32;
    state.apply(&service(desired).into());
    let (mut nanos, mut turns) = (0, 0);
    let key = format!("{ACCOUNT}/production/web");
    loop {
        let plan = timed(&mut nanos, || reconcile::service(state, &key, NOW, mint));
        plan.changes.iter().for_each(|change| state.apply(change));
        if plan.changes.is_empty() {
            break;
        }
        turns += 1;
    }
    let made = state.index.service_tasks(&key).count();
    println!("a service of {made} tasks started in {turns} turns: {} us a task", nanos / 1000 / made.max(1) as u128);
    let mut nanos = 0;
    timed(&mut nanos, || black_box(reconcile::service(state, &key, NOW, mint)));
    println!("one more turn of it, with nothing to do: {} us", nanos / 1000);
}

fn world(nodes: usize, room: usize) -> State {
    let mut state = State::default();
    (0..nodes).for_each(|index| state.apply(&node(index, room as i32).into()));
    (0..3).for_each(|index| state.apply(&subnet(index).into()));
    let group = SecurityGroup {
        account: ACCOUNT.into(),
        id: "sg-0123456789abcdef0".into(),
        vpc: "vpc-1".into(),
        name: "default".into(),
        description: "default".into(),
    };
    state.apply(&group.into());
    state.apply(&definition().into());
    state
}

fn node(index: usize, room: i32) -> Node {
    let id = format!("{index:032x}");
    Node {
        account: ACCOUNT.into(),
        cluster: None,
        arn: format!("arn:aws:ecs:us-east-1:{ACCOUNT}:container-instance/longshore.fargate/{id}"),
        id,
        status: "ACTIVE".into(),
        fargate: true,
        zone: zone(index),
        cpu: 256 * room,
        memory_mib: 512 * room,
        public_pool: None,
        attributes: Vec::new(),
        version_info: None,
        connected: true,
        epoch: 1,
        registered_at: NOW,
        owner: None,
        disconnected_at: None,
        tags: Vec::new(),
    }
}

fn zone(index: usize) -> String {
    format!("us-east-1{}", ["a", "b", "c"][index % 3])
}

fn subnet(index: usize) -> Subnet {
    Subnet {
        account: ACCOUNT.into(),
        id: format!("subnet-{index:017x}"),
        vpc: "vpc-1".into(),
        cidr: format!("10.{}.0.0/11", 32 * index),
        zone: zone(index),
        zone_id: "use1-az1".into(),
        is_default: true,
        map_public_ip: true,
    }
}

fn network() -> ecs::AwsVpcConfiguration {
    let subnets = (0..3).map(|index| format!("subnet-{index:017x}")).collect();
    ecs::AwsVpcConfiguration { subnets: Some(subnets), security_groups: None, assign_public_ip: None }
}

fn definition() -> TaskDefinition {
    let container = ecs::ContainerDefinition {
        name: Some("web".into()),
        image: Some("my-web-app:latest".into()),
        essential: Some(true),
        ..Default::default()
    };
    let api = ecs::TaskDefinition {
        cpu: Some("256".into()),
        memory: Some("512".into()),
        container_definitions: Some(vec![container]),
        ..Default::default()
    };
    TaskDefinition { account: ACCOUNT.into(), family: "web".into(), revision: 1, api, tags: Vec::new() }
}

fn service(desired: i32) -> Service {
    let network = ecs::NetworkConfiguration { awsvpc_configuration: Some(network()) };
    let deployment = Deployment {
        id: "ecs-svc/1".into(),
        primary: true,
        family: "web".into(),
        revision: 1,
        launch_type: Some(ecs::LaunchType::Fargate),
        network: Some(network),
        ..longshore_wire::json::from_slice(br#"{"rollout":"IN_PROGRESS","throttle":{},"createdAt":0,"updatedAt":0}"#)
            .expect("a deployment")
    };
    Service {
        account: ACCOUNT.into(),
        cluster: "production".into(),
        name: "web".into(),
        status: ServiceStatus::Active,
        desired_count: desired,
        deployments: vec![deployment],
        ..longshore_wire::json::from_slice(br#"{"status":"ACTIVE","api":{},"createdAt":0}"#).expect("a service")
    }
}
