//! Services whose tasks run and end at once: replaced without delay at first, then ever more slowly, never given up.

use longshore_model::task::TaskStatus;
use longshore_wire::Timestamp;
use proptest::prelude::*;

use crate::world::{World, definition, service};

/// Run the service's tasks until each ends by itself after the next life of `lives` (ms), for `seconds`.
/// Returns the times of all launches, in ms.
fn crash_loop(world: &mut World, lives: &[i64], seconds: i64) -> Vec<i64> {
    let end = world.now.millis() + seconds * 1000;
    let mut lives = lives.iter().cycle();
    let mut exits: Vec<(i64, String)> = Vec::new();
    loop {
        let plan = world.settle();
        assert!(world.state.tasks.len() < 2_000, "it is not paced at all");
        for task in world.live().iter().filter(|task| task.last < TaskStatus::Running) {
            world.report_status(&task.key(), TaskStatus::Running);
            exits.push((world.now.millis() + lives.next().unwrap(), task.key()));
        }
        exits.sort();
        let next = exits.first().map(|(at, _)| *at);
        let timer = plan.not_before.map(|at| at.millis()).filter(|at| *at > world.now.millis());
        let next_at = next.into_iter().chain(timer).min().expect("something is always to come");
        if next_at >= end {
            return world.state.tasks.iter().map(|(_, task)| task.created_at.millis()).collect();
        }
        world.now = Timestamp::from_millis(next_at);
        if next == Some(next_at) {
            let (_, key) = exits.remove(0);
            world.report_status(&key, TaskStatus::Stopped);
        }
    }
}

fn fresh(desired: i32) -> World {
    let mut world = World::new();
    world.put(service(desired, 100, 200, world.now));
    world
}

/// How long after each of a row of exits the replacement comes, in ms, if the tasks live as long as this.
#[track_caller]
fn waits(lives: &[i64], want: &[i64]) {
    let mut world = fresh(1);
    let mut waits = Vec::new();
    world.settle();
    world.obey();
    for life in lives {
        let key = world.live()[0].key();
        world.now = Timestamp::from_millis(world.now.millis() + life);
        world.report_status(&key, TaskStatus::Stopped);
        let (exited, plan) = (world.now, world.settle());
        if world.live().is_empty() {
            world.now = plan.not_before.expect("the planner names the time of its next try");
            world.settle();
        }
        waits.push(world.now.millis() - exited.millis());
        world.obey();
    }
    assert_eq!(waits, want, "{lives:?}");
    assert_eq!(world.service().deployments[0].failed_tasks, 0);
    assert!(world.events().iter().all(|text| !text.contains("unable to consistently start")));
}

#[test]
fn how_long_a_replacement_waits() {
    waits(&[0, 0, 0], &[0, 0, 1_000]);
    waits(&[9_999; 9], &[0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    waits(&[10_000; 5], &[0; 5]);
    waits(&[50, 50, 50, 50, 10_000, 50, 50, 50], &[0, 0, 1_000, 2_000, 0, 0, 0, 1_000]);
    waits(&[50, 50, 10_000, 50, 50, 600_000, 50, 50], &[0; 8]);
}

#[test]
fn a_killed_task_is_replaced_in_the_same_turn() {
    let mut world = fresh(3);
    world.settle();
    world.obey();
    world.pass(1);
    for round in 0..2 {
        for task in world.live() {
            world.report_status(&task.key(), TaskStatus::Stopped);
            world.turn();
            assert_eq!(world.live().len(), 3, "round {round}");
        }
        world.pass(1);
        world.obey();
    }
    assert_eq!(world.service().deployments[0].throttle.quick_exits, 2, "a wave counts once");
}

#[test]
fn a_task_that_was_asked_to_stop_is_no_quick_exit() {
    let mut world = fresh(1);
    for _ in 0..5 {
        world.settle();
        world.obey();
        let mut task = world.live()[0].clone();
        task.request_stop(longshore_api::ecs::TaskStopCode::UserInitiated, "by hand", world.now);
        world.put(task);
        world.obey();
    }
    assert_eq!(world.service().deployments[0].throttle, Default::default());
}

#[test]
fn a_new_deployment_starts_fresh() {
    let mut world = fresh(1);
    crash_loop(&mut world, &[50], 60);
    let task = world.live().first().map(|task| task.key());
    task.into_iter().for_each(|key| world.report_status(&key, TaskStatus::Stopped));
    assert!(world.service().deployments[0].throttle.until().is_some_and(|until| until > world.now));
    world.settle();
    assert_eq!(world.picture(), "");
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    assert_eq!(world.picture(), "1 x web:2 PROVISIONING");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_looping_service_is_launched_at_most_eight_times_over_in_any_minute(
        desired in 1..6_i32,
        lives in prop::collection::vec(prop_oneof![1..200_i64, 1..10_000_i64], 1..20),
    ) {
        let mut world = fresh(desired);
        let mut launches = crash_loop(&mut world, &lives, 240);
        launches.sort_unstable();
        for start in &launches {
            let minute = launches.iter().filter(|at| (*start..start + 60_000).contains(at)).count();
            prop_assert!(minute <= 8 * desired as usize, "{} from {}", minute, start);
        }
        world.pass(30);
        world.settle();
        prop_assert_eq!(world.live().len(), desired as usize, "it is never given up");
    }
}
