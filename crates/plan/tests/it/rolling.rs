//! Rolling deployments, row by row of the table of floor and ceiling.

use longshore_api::ecs;
use longshore_model::task::TaskStatus;

use crate::world::{World, definition, steady};

/// The first move of a deployment of `web:2` on a steady service.
#[track_caller]
fn first_move(desired: i32, minimum: i32, maximum: i32, want: &str) -> World {
    let mut world = steady(desired, minimum, maximum);
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    assert_eq!(world.picture(), want, "desired {desired}, {minimum}/{maximum}");
    world
}

#[test]
fn the_first_move_follows_floor_and_ceiling() {
    first_move(4, 50, 200, "4 x web:1 RUNNING, 4 x web:2 PROVISIONING");
    first_move(2, 75, 200, "2 x web:1 RUNNING, 2 x web:2 PROVISIONING");
    first_move(1, 0, 100, "1 x web:1 DEACTIVATING stopping");
    first_move(4, 50, 100, "2 x web:1 DEACTIVATING stopping, 2 x web:1 RUNNING");
    first_move(4, 50, 125, "2 x web:1 DEACTIVATING stopping, 2 x web:1 RUNNING, 1 x web:2 PROVISIONING");
}

#[test]
fn a_deployment_that_floor_and_ceiling_block_says_so_once() {
    let mut world = first_move(3, 100, 125, "3 x web:1 RUNNING");
    world.run(3);
    let stuck = "(service web) was unable to stop or start tasks during a deployment because of the service deployment \
                 configuration. Update the minimumHealthyPercent or maximumPercent value and try again.";
    assert_eq!(world.events().iter().filter(|text| *text == stuck).count(), 1);
    first_move(1, 100, 150, "1 x web:1 RUNNING");
}

#[test]
fn an_empty_service_is_deployed_at_once() {
    let world = first_move(0, 100, 200, "");
    assert_eq!(world.service().deployments.len(), 1);
    assert_eq!(world.service().deployments[0].rollout, ecs::DeploymentRolloutState::Completed);
}

/// Run a deployment to its end, holding floor and ceiling at every second.
#[track_caller]
fn rolls_out(desired: i32, minimum: i32, maximum: i32) {
    let mut world = steady(desired, minimum, maximum);
    world.put(definition(2, false));
    world.deploy(2);
    let lower = (desired * minimum + 99) / 100;
    let upper = desired * maximum / 100;
    for _ in 0..400 {
        world.settle();
        let live = world.live();
        let wanted = live.iter().filter(|task| task.desired == TaskStatus::Running && task.last == TaskStatus::Running);
        assert!(wanted.count() as i32 >= lower, "floor {lower}: {}", world.picture());
        assert!(live.len() as i32 <= upper, "ceiling {upper}: {}", world.picture());
        world.obey();
        world.pass(1);
    }
    assert_eq!(world.picture(), format!("{desired} x web:2 RUNNING"));
    assert_eq!(world.service().deployments.len(), 1);
    assert_eq!(world.service().deployments[0].rollout, ecs::DeploymentRolloutState::Completed);
    let events = world.events();
    assert_eq!(events.last().map(String::as_str), Some("(service web) has reached a steady state."));
}

#[test]
fn deployments_hold_floor_and_ceiling_to_their_end() {
    for (desired, minimum, maximum) in [
        (2, 100, 200),
        (4, 50, 200),
        (4, 50, 100),
        (1, 0, 100),
        (10, 90, 110),
        (5, 60, 120),
        (7, 100, 150),
        (3, 0, 100),
    ] {
        rolls_out(desired, minimum, maximum);
    }
}

#[test]
fn old_tasks_stay_until_new_ones_have_proven_themselves() {
    let mut world = first_move(2, 100, 200, "2 x web:1 RUNNING, 2 x web:2 PROVISIONING");
    world.obey();
    let plan = world.settle();
    assert_eq!(world.picture(), "2 x web:1 RUNNING, 2 x web:2 RUNNING");
    assert_eq!(plan.not_before.map(|at| at.millis() - world.now.millis()), Some(40_000));
    world.pass(40);
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 DEACTIVATING stopping, 2 x web:2 RUNNING");
}

#[test]
fn with_a_health_check_it_is_health_that_proves() {
    let mut world = steady(1, 100, 200);
    world.put(definition(2, true));
    world.deploy(2);
    world.run(100);
    assert_eq!(world.picture(), "1 x web:1 RUNNING, 1 x web:2 RUNNING");
    let new = world.live().into_iter().find(|task| task.revision == 2).unwrap();
    world.report_health(&new.key(), ecs::HealthStatus::Healthy);
    world.run(2);
    assert_eq!(world.picture(), "1 x web:2 RUNNING");
    assert_eq!(world.service().deployments[0].rollout, ecs::DeploymentRolloutState::Completed);
}

#[test]
fn a_second_deployment_supersedes_the_first() {
    let mut world = first_move(2, 100, 200, "2 x web:1 RUNNING, 2 x web:2 PROVISIONING");
    world.put(definition(3, false));
    world.deploy(3);
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 RUNNING, 2 x web:2 PROVISIONING stopping");
    assert!(world.events().contains(&"(service web) stopped 2 pending tasks.".to_owned()));
    let primaries = world.service().deployments.iter().filter(|deployment| deployment.primary).count();
    assert_eq!((primaries, world.service().deployments.len()), (1, 3));
    world.run(60);
    assert_eq!(world.picture(), "2 x web:3 RUNNING");
}

#[test]
fn what_never_proved_itself_goes_before_what_was_complete() {
    let mut world = first_move(2, 100, 200, "2 x web:1 RUNNING, 2 x web:2 PROVISIONING");
    world.run(5);
    world.put(definition(3, false));
    world.deploy(3);
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 RUNNING, 2 x web:2 DEACTIVATING stopping");
    world.run(60);
    assert_eq!(world.picture(), "2 x web:3 RUNNING");
}

#[test]
fn a_broken_revision_never_takes_the_old_one_down() {
    let mut world = steady(2, 100, 200);
    world.put(definition(2, false));
    world.deploy(2);
    for _ in 0..600 {
        world.settle();
        for task in world.live().into_iter().filter(|task| task.revision == 2) {
            world.report_status(&task.key(), TaskStatus::Stopped);
        }
        world.pass(1);
        assert_eq!(world.live().iter().filter(|task| task.revision == 1).count(), 2);
    }
    let failed = world.service().deployments[0].failed_tasks;
    assert!((8..40).contains(&failed), "{failed}");
    assert_eq!(world.service().deployments[0].rollout, ecs::DeploymentRolloutState::InProgress);
}

#[test]
fn an_old_task_that_dies_while_the_floor_needs_it_is_replaced_with_its_own_revision() {
    let mut world = first_move(2, 100, 200, "2 x web:1 RUNNING, 2 x web:2 PROVISIONING");
    let old = world.live().into_iter().find(|task| task.revision == 1).unwrap();
    world.report_status(&old.key(), TaskStatus::Stopped);
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING, 1 x web:1 RUNNING, 2 x web:2 PROVISIONING");
    world.run(60);
    assert_eq!(world.picture(), "2 x web:2 RUNNING");
}

#[test]
fn a_deployment_that_never_completed_is_not_kept_alive() {
    let mut world = World::new();
    world.put(crate::world::service(2, 100, 200, world.now));
    world.settle();
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 PROVISIONING stopping, 2 x web:2 PROVISIONING");
}

/// Seconds of `web:2`'s deployment until it is complete, and how many tasks of `web:1` there are then.
fn succeeds(percent: i32, cleanup: ecs::ServiceRevisionCleanup, bake_minutes: i32) -> (i32, usize) {
    let mut world = steady(4, 50, 100);
    world.edit(|service| {
        let criteria = ecs::DeploymentEarlySuccessCriteria {
            enable: Some(true),
            healthy_percent: Some(percent),
            source_service_revision_cleanup: Some(cleanup),
        };
        let configuration = service.api.deployment_configuration.get_or_insert_default();
        configuration.early_success_criteria = Some(criteria);
        configuration.bake_time_in_minutes = Some(bake_minutes);
    });
    world.put(definition(2, false));
    world.deploy(2);
    for seconds in 0..400 {
        world.run(1);
        if world.service().primary().unwrap().rollout == ecs::DeploymentRolloutState::Completed {
            let old = world.live().iter().filter(|task| task.revision == 1).count();
            world.run(200);
            assert_eq!(world.picture(), "4 x web:2 RUNNING");
            assert_eq!(world.service().primary().unwrap().baking_since, None);
            return (seconds, old);
        }
    }
    panic!("the deployment never completes");
}

#[test]
fn a_deployment_may_succeed_before_its_last_task_serves() {
    use ecs::ServiceRevisionCleanup::{Blocking, Deferred};
    let (early, old) = succeeds(50, Deferred, 0);
    assert!((40..50).contains(&early) && old == 2, "{early} {old}");
    let (blocking, old) = succeeds(50, Blocking, 0);
    assert!((40..55).contains(&blocking) && old == 0, "{blocking} {old}");
    let (whole, old) = succeeds(100, Blocking, 0);
    assert!(whole > blocking && old == 0, "{whole} {old}");
    let (baked, old) = succeeds(50, Deferred, 3);
    assert_eq!((baked, old), (early + 180, 0));
}
