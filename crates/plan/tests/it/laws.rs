//! The laws of services, attacked by chance: whatever happens, floor and ceiling hold, nothing is given twice, and when
//! the trouble ends the service comes to rest.

use longshore_api::ecs::{self, AvailabilityZoneRebalancing as Rebalancing};
use longshore_model::task::{Task, TaskStatus};
use longshore_plan::rollout::bounds;
use proptest::prelude::*;

use crate::world::{World, definition, node, service};

/// Something that happens to the world.
#[derive(Clone, Debug)]
enum Event {
    Scale(i32),
    Deploy {
        health_check: bool,
    },
    /// A task, by index, does what it is told.
    Obey(usize),
    Fail(usize),
    Health(usize, bool),
    Disconnect(usize),
    Connect(usize),
    Drain(usize),
    Pass(i64),
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..8_i32).prop_map(Event::Scale),
        2 => any::<bool>().prop_map(|health_check| Event::Deploy { health_check }),
        12 => any::<usize>().prop_map(Event::Obey),
        3 => any::<usize>().prop_map(Event::Fail),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(index, good)| Event::Health(index, good)),
        1 => (0..3_usize).prop_map(Event::Disconnect),
        2 => (0..3_usize).prop_map(Event::Connect),
        1 => (0..3_usize).prop_map(Event::Drain),
        4 => (1..90_i64).prop_map(Event::Pass),
    ]
}

fn percentages() -> impl Strategy<Value = (i32, i32)> {
    prop::sample::select(vec![(100, 200), (0, 100), (0, 150), (50, 100), (50, 200), (66, 134)])
}

fn world(desired: i32, (minimum, maximum): (i32, i32), capacity: i32, moves: bool) -> World {
    let mut world = World::new();
    for (name, zone) in NODES.into_iter().zip(["a", "b", "b"]) {
        world.put(node(name, zone, capacity * 256, capacity * 512));
    }
    let mut service = service(desired, minimum, maximum, world.now);
    let rebalancing = if moves { Rebalancing::Enabled } else { Rebalancing::Disabled };
    service.api.availability_zone_rebalancing = Some(rebalancing);
    world.put(service);
    world
}

fn happen(world: &mut World, event: &Event, revision: &mut i32) {
    let live = world.live();
    let chosen = |index: usize| (!live.is_empty()).then(|| live[index % live.len()].clone());
    let now = world.now;
    match event {
        Event::Scale(desired) => world.edit(|service| service.desired_count = *desired),
        Event::Deploy { health_check } => {
            *revision += 1;
            world.put(definition(*revision, *health_check));
            world.deploy(*revision);
        }
        Event::Obey(index) => chosen(*index).into_iter().for_each(|task| obey(world, &task)),
        Event::Fail(index) => {
            chosen(*index).into_iter().for_each(|task| world.report_status(&task.key(), TaskStatus::Stopped));
        }
        Event::Health(index, good) => {
            let health = if *good { ecs::HealthStatus::Healthy } else { ecs::HealthStatus::Unhealthy };
            let running = chosen(*index).filter(|task| task.last == TaskStatus::Running);
            running.into_iter().for_each(|task| world.report_health(&task.key(), health));
        }
        Event::Disconnect(index) => world.edit_node(NODES[*index], |node| {
            node.disconnect(node.epoch, now);
        }),
        Event::Connect(index) => world.edit_node(NODES[*index], |node| {
            node.connect();
            node.status = "ACTIVE".into();
        }),
        Event::Drain(index) => world.edit_node(NODES[*index], |node| node.status = "DRAINING".into()),
        Event::Pass(seconds) => world.pass(*seconds),
    }
}

fn obey(world: &mut World, task: &Task) {
    match task.desired {
        TaskStatus::Stopped => world.report_status(&task.key(), TaskStatus::Stopped),
        _ => world.report_status(&task.key(), TaskStatus::Running),
    }
}

/// Tasks that serve, as an outsider sees it: they run, are to run, are not unhealthy and their node is not lost.
fn serving(world: &World) -> Vec<String> {
    let serves = |task: &Task| {
        let node = task.node.as_deref().and_then(|node| world.state.nodes.get(node));
        let lost = node.is_some_and(|node| {
            let away = |since: longshore_wire::Timestamp| world.now.millis() - since.millis() >= 60_000;
            !node.connected && node.disconnected_at.is_some_and(away)
        });
        let up = task.desired == TaskStatus::Running && task.last == TaskStatus::Running;
        up && task.health != Some(ecs::HealthStatus::Unhealthy) && !lost
    };
    world.live().iter().filter(|task| serves(task)).map(Task::key).collect()
}

/// One turn of the planner, with floor and ceiling checked. Returns whether it changed anything.
fn lawful_turn(world: &mut World) -> bool {
    let bounds = {
        let service = world.service();
        bounds(service.desired_count, service.api.deployment_configuration.as_ref())
    };
    let (tasks_before, serving_before) = (world.state.tasks.len(), serving(world));
    let plan = world.turn();
    let existing = world.live().len() as i64;
    let started = world.state.tasks.len() > tasks_before;
    assert!(!started || existing <= bounds.upper, "ceiling {}: {}", bounds.upper, world.picture());
    let serving_after = serving(world);
    let stopped = serving_before.iter().any(|key| !serving_after.contains(key));
    assert!(!stopped || serving_after.len() as i64 >= bounds.lower, "floor {}: {}", bounds.lower, world.picture());
    !plan.changes.is_empty()
}

fn come_to_rest(world: &mut World) {
    let turns = (0..100).take_while(|_| lawful_turn(world)).count();
    assert!(turns < 100, "the planner does not come to rest: {}", world.picture());
}

/// The trouble ends: nodes are back, tasks do as they are told and are healthy.
fn heal(world: &mut World) {
    for name in NODES {
        world.edit_node(name, |node| {
            if !node.connected {
                node.connect();
            }
            node.status = "ACTIVE".into();
        });
    }
    for _ in 0..120 {
        come_to_rest(world);
        for task in world.live() {
            obey(world, &task);
            if task.last == TaskStatus::Running && task.desired == TaskStatus::Running {
                world.report_health(&task.key(), ecs::HealthStatus::Healthy);
            }
        }
        world.pass(30);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_laws_hold_and_the_service_settles(
        desired in 0..8_i32,
        percentages in percentages(),
        capacity in 6..20_i32,
        moves in any::<bool>(),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = world(desired, percentages, capacity, moves);
        let mut revision = 1;
        for event in &events {
            come_to_rest(&mut world);
            happen(&mut world, event, &mut revision);
        }
        // Where floor and ceiling leave no move a deployment is stuck for good; more tasks loosen them.
        if matches!(world.service().desired_count, 1 | 2) {
            world.edit(|service| service.desired_count = 6);
        }
        heal(&mut world);
        let service = world.service();
        let wanted = service.desired_count;
        let picture = if wanted == 0 { String::new() } else { format!("{wanted} x web:{revision} RUNNING") };
        prop_assert_eq!(world.picture(), picture);
        prop_assert_eq!(service.deployments.len(), 1);
        prop_assert_eq!(service.deployments[0].rollout, ecs::DeploymentRolloutState::Completed);
    }

    #[test]
    fn no_address_or_capacity_is_given_twice(counts in prop::collection::vec(0..12_i32, 1..8), capacity in 1..8_i32) {
        let mut world = world(0, (0, 100), capacity, true);
        for count in counts {
            world.edit(|service| service.desired_count = count);
            world.settle();
            world.obey();
        }
        prop_assert!(world.live().len() as i32 <= capacity * 3);
    }
}
