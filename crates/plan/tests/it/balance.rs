//! Availability Zone rebalancing.

use longshore_api::ecs::AvailabilityZoneRebalancing as Rebalancing;
use longshore_model::task::TaskStatus;

use crate::world::{World, definition, node, service};

/// A steady service of four whose tasks are all in zone a, because the node of zone b was away; now it is back.
fn lopsided(maximum: i32, rebalancing: Rebalancing) -> World {
    let mut world = World::new();
    world.put(node("n2", "b", 64 * 256, 64 * 512));
    let now = world.now;
    world.edit_node("n2", |node| {
        node.disconnect(node.epoch, now);
    });
    let mut record = service(4, 50, maximum, world.now);
    record.api.availability_zone_rebalancing = Some(rebalancing);
    world.put(record);
    world.run(60);
    assert_eq!(zones(&world), (4, 0));
    world.edit_node("n2", |node| {
        node.connect();
    });
    world
}

/// Tasks in zones a and b.
fn zones(world: &World) -> (usize, usize) {
    let of = |zone: &str| world.live().iter().filter(|task| task.zone.as_deref() == Some(zone)).count();
    (of("us-east-1a"), of("us-east-1b"))
}

#[test]
fn tasks_move_one_by_one_to_the_emptier_zone() {
    let mut world = lopsided(200, Rebalancing::Enabled);
    world.settle();
    assert_eq!((zones(&world), world.service().rebalancing), ((4, 1), true));
    world.run(30);
    assert_eq!(zones(&world), (4, 1), "the new task has not proven itself");
    for _ in 0..150 {
        let serving = world.live().iter().filter(|task| task.desired == TaskStatus::Running).count();
        assert!((4..=5).contains(&serving));
        world.run(1);
    }
    assert_eq!((zones(&world), world.service().rebalancing), ((2, 2), false));
    let told: Vec<_> = world.events().into_iter().filter(|event| event.contains("AZ balanced")).collect();
    assert_eq!(
        told,
        [
            "(service web) is not AZ balanced with 4 tasks in us-east-1a and 0 tasks in us-east-1b. AZ Rebalancing in \
             progress.",
            "(service web) is not AZ balanced with 3 tasks in us-east-1a and 1 tasks in us-east-1b. AZ Rebalancing in \
             progress.",
            "(service web) is AZ balanced with 2 tasks in us-east-1a and 2 tasks in us-east-1b.",
        ]
    );
}

#[test]
fn nothing_moves_without_being_asked_for_room_or_a_better_place() {
    for mut world in [lopsided(200, Rebalancing::Disabled), lopsided(100, Rebalancing::Enabled)] {
        world.run(200);
        assert_eq!(zones(&world), (4, 0));
    }
    let mut full = lopsided(200, Rebalancing::Enabled);
    full.edit_node("n2", |node| node.cpu = 0);
    full.run(200);
    assert_eq!(zones(&full), (4, 0));
    full.edit_node("n2", |node| node.cpu = 64 * 256);
    full.run(200);
    assert_eq!(zones(&full), (2, 2));
}

#[test]
fn a_move_ends_with_a_new_deployment_or_a_lost_task() {
    let mut world = lopsided(200, Rebalancing::Enabled);
    world.settle();
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    assert!(!world.service().rebalancing);
    world.run(300);
    assert_eq!((zones(&world), world.live().len()), ((2, 2), 4));

    let mut world = lopsided(200, Rebalancing::Enabled);
    world.settle();
    let new = world.live().into_iter().find(|task| task.last < TaskStatus::Running).unwrap();
    world.report_status(&new.key(), TaskStatus::Stopped);
    world.turn();
    assert_eq!(world.service().deployments[0].throttle.failures, 1);
    world.run(200);
    assert_eq!(zones(&world), (2, 2));
}

#[test]
fn scaling_goes_on_during_a_move() {
    let mut world = lopsided(200, Rebalancing::Enabled);
    world.settle();
    world.edit(|service| service.desired_count = 2);
    world.run(200);
    assert_eq!(zones(&world), (1, 1));
    world.edit(|service| service.desired_count = 7);
    world.run(200);
    assert_eq!(world.live().len(), 7);
}
