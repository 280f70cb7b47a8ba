//! The circuit breaker: what counts, when it trips, what it goes back to.

use longshore_api::ecs::{self, DeploymentRolloutState as Rollout, HealthStatus, ThresholdType};
use longshore_model::task::{Task, TaskStatus};
use longshore_plan::breaker;
use proptest::prelude::*;

use crate::world::{World, definition, steady};

type Breaker = ecs::DeploymentCircuitBreaker;

fn counting(failures: i32) -> ecs::ThresholdConfiguration {
    ecs::ThresholdConfiguration { r#type: Some(ThresholdType::Count), value: Some(failures) }
}

/// A breaker that trips at so many failures.
fn at(failures: i32, rollback: bool) -> Breaker {
    Breaker {
        enable: Some(true),
        rollback: Some(rollback),
        reset_on_healthy_task: None,
        threshold_configuration: Some(counting(failures)),
    }
}

fn set(world: &mut World, breaker: Breaker) {
    world.edit(|service| {
        service.api.service_arn = Some("arn:aws:ecs:us-east-1:000000000000:service/prod/web".into());
        let configuration = service.api.deployment_configuration.get_or_insert_default();
        configuration.deployment_circuit_breaker = Some(breaker);
    });
}

/// A steady service of `web:1` with this breaker, and `web:2` on its way.
fn deploying(desired: i32, breaker: Breaker, health_check: bool) -> World {
    let mut world = steady(desired, 100, 200);
    set(&mut world, breaker);
    world.put(definition(2, health_check));
    world.deploy(2);
    world.settle();
    world
}

fn of_revision(world: &World, revision: i32) -> Vec<Task> {
    world.live().into_iter().filter(|task| task.revision == revision).collect()
}

/// Every task of the revision that is on its way stops before it runs.
fn fail_starts(world: &mut World, revision: i32) {
    for task in of_revision(world, revision) {
        world.report_status(&task.key(), TaskStatus::Stopped);
    }
}

/// Whether any event says this.
fn tells(world: &World, words: &str) -> bool {
    world.events().iter().any(|event| event.contains(words))
}

#[test]
fn tasks_that_never_start_bring_the_last_complete_deployment_back() {
    let mut world = deploying(3, at(3, true), false);
    let old = world.service().deployments[1].id.clone();
    let failed = world.service().deployments[0].id.clone();
    assert_eq!(world.picture(), "3 x web:1 RUNNING, 3 x web:2 PROVISIONING");
    fail_starts(&mut world, 2);
    world.turn();
    let deployments = &world.service().deployments;
    assert_eq!((deployments[0].id.as_str(), deployments[0].primary), (old.as_str(), true));
    assert_eq!((deployments[1].id.as_str(), deployments[1].primary), (failed.as_str(), false));
    assert_eq!((deployments[1].rollout, deployments[1].failed_tasks), (Rollout::Failed, 3));
    assert_eq!(deployments[1].rollout_reason, "ECS deployment circuit breaker: tasks failed to start.");
    let definition = world.service().api.task_definition.clone();
    assert_eq!(definition.as_deref(), Some("arn:aws:ecs:us-east-1:000000000000:task-definition/web:1"));
    assert!(tells(&world, "(deployment ecs-svc/ID) deployment failed: tasks failed to start."));
    assert!(tells(&world, "(service web) rolling back to deployment ecs-svc/ID."));
    world.run(2);
    assert_eq!(world.picture(), "3 x web:1 RUNNING");
    let deployments = &world.service().deployments;
    assert_eq!((deployments.len(), deployments[0].rollout), (1, Rollout::Completed));
    assert_eq!(deployments[0].rollout_reason, format!("ECS deployment {old} completed."));
}

#[test]
fn a_rollback_says_so_while_it_is_in_progress_and_is_not_given_up() {
    let mut world = deploying(1, at(1, true), false);
    let old = world.service().deployments[1].id.clone();
    for task in of_revision(&world, 1) {
        world.report_status(&task.key(), TaskStatus::Stopped);
    }
    fail_starts(&mut world, 2);
    world.settle();
    let primary = &world.service().deployments[0];
    let reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {old}.");
    assert_eq!((primary.rollout, &primary.rollout_reason), (Rollout::InProgress, &reason));
    for _ in 0..4 {
        fail_starts(&mut world, 1);
        world.pass(200);
        world.settle();
    }
    let primary = &world.service().deployments[0];
    assert_eq!((primary.rollout, primary.failed_tasks), (Rollout::InProgress, 4));
    world.run(2);
    assert_eq!(world.picture(), "1 x web:1 RUNNING");
    assert_eq!(world.service().deployments[0].rollout, Rollout::Completed);
}

#[test]
fn the_last_complete_deployment_is_remembered_when_none_of_its_tasks_is_left() {
    let mut world = steady(1, 0, 100);
    set(&mut world, at(2, true));
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    world.obey();
    world.settle();
    assert_eq!(world.picture(), "1 x web:2 PROVISIONING");
    assert_eq!(world.service().deployments.len(), 1, "the old deployment has no tasks and is over");
    for _ in 0..2 {
        fail_starts(&mut world, 2);
        world.settle();
    }
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING");
    world.run(2);
    assert_eq!(world.service().deployments[0].rollout, Rollout::Completed);
    assert!(world.service().last_completed.is_none());
}

#[test]
fn without_rollback_or_anything_to_go_back_to_nothing_more_is_started() {
    let mut world = deploying(2, at(2, false), false);
    fail_starts(&mut world, 2);
    world.run(100);
    assert_eq!(world.picture(), "2 x web:1 RUNNING", "what works goes on");
    assert_eq!(world.service().deployments[0].rollout, Rollout::Failed);
    assert!(!tells(&world, "rolling back"));

    let mut first = World::new();
    first.put(crate::world::service(2, 100, 200, first.now));
    set(&mut first, at(2, true));
    first.settle();
    fail_starts(&mut first, 1);
    first.run(100);
    assert_eq!((first.picture(), first.service().deployments[0].rollout), (String::new(), Rollout::Failed));
    first.deploy(1);
    first.run(2);
    assert_eq!(first.picture(), "2 x web:1 RUNNING", "a new deployment starts anew");
}

#[test]
fn what_was_deleted_is_nothing_to_go_back_to() {
    let mut world = steady(1, 0, 100);
    set(&mut world, at(1, true));
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    world.obey();
    world.settle();
    let last = world.service().last_completed.clone().unwrap();
    world.edit(|service| {
        service.last_completed = Some(Box::new(longshore_model::service::Deployment { revision: 7, ..*last }));
    });
    fail_starts(&mut world, 2);
    world.settle();
    assert_eq!(world.service().deployments[0].rollout, Rollout::Failed);
    assert_eq!(world.picture(), "");
}

#[test]
fn tasks_replaced_for_their_health_count() {
    let mut world = deploying(1, at(3, true), true);
    for _ in 0..10 {
        world.obey();
        for task in of_revision(&world, 2) {
            world.report_health(&task.key(), HealthStatus::Unhealthy);
        }
        world.settle();
        world.pass(60);
        if world.service().deployments[0].revision == 1 {
            break;
        }
    }
    world.run(3);
    assert_eq!(world.picture(), "1 x web:1 RUNNING");
    assert!(tells(&world, "failed container health checks."));
    let replaced = world
        .state
        .tasks
        .iter()
        .filter(|(_, task)| task.stopped_reason.as_deref() == Some("Task failed container health checks"));
    assert_eq!(replaced.count(), 3);
}

#[test]
fn a_task_that_exits_after_it_ran_does_not_count() {
    let mut world = deploying(1, at(1, true), false);
    for _ in 0..5 {
        for task in of_revision(&world, 2) {
            world.report_status(&task.key(), TaskStatus::Running);
            world.report_status(&task.key(), TaskStatus::Stopped);
        }
        world.pass(60);
        world.settle();
    }
    let primary = &world.service().deployments[0];
    assert_eq!((primary.revision, primary.rollout, primary.failed_tasks), (2, Rollout::InProgress, 0));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Fail(usize),
    Run(usize),
    Health(usize, bool),
    Scale(i32),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<usize>().prop_map(Step::Fail),
        3 => any::<usize>().prop_map(Step::Run),
        4 => (any::<usize>(), prop::bool::weighted(0.3)).prop_map(|(index, good)| Step::Health(index, good)),
        1 => (1..9_i32).prop_map(Step::Scale),
        3 => (1..1700_i64).prop_map(Step::Pass),
    ]
}

fn thresholds() -> impl Strategy<Value = Option<(ThresholdType, i32)>> {
    let kinds = prop::sample::select(ThresholdType::ALL.to_vec());
    prop_oneof![
        Just(None),
        (kinds, 1..=100_i32).prop_map(Some),
        (1..6_i32).prop_map(|n| Some((ThresholdType::Count, n)))
    ]
}

/// What an onlooker counts of the newest deployment.
struct Onlooker {
    failures: i32,
    resets: bool,
    checked: bool,
}

impl Onlooker {
    fn happen(&mut self, world: &mut World, step: Step) {
        let tasks = of_revision(world, 2);
        let chosen = |index: usize, wanted: fn(&Task) -> bool| {
            let fitting: Vec<&Task> = tasks.iter().filter(|task| wanted(task)).collect();
            (!fitting.is_empty()).then(|| fitting[index % fitting.len()].key())
        };
        let waits = |task: &Task| task.last < TaskStatus::Running && task.desired != TaskStatus::Stopped;
        let runs = |task: &Task| task.last == TaskStatus::Running;
        match step {
            Step::Fail(index) => {
                let Some(key) = chosen(index, waits) else { return };
                self.failures += i32::from(!tasks.iter().any(runs));
                world.report_status(&key, TaskStatus::Stopped);
            }
            Step::Run(index) => {
                let Some(key) = chosen(index, waits) else { return };
                world.report_status(&key, TaskStatus::Running);
                self.healthy(!self.checked);
            }
            Step::Health(index, good) => {
                let Some(key) = chosen(index, runs) else { return };
                let was = tasks.iter().find(|task| task.key() == key).and_then(|task| task.health);
                let health = if good { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
                world.report_health(&key, health);
                self.healthy(self.checked && good && was != Some(health));
            }
            Step::Scale(desired) => world.edit(|service| service.desired_count = desired),
            Step::Pass(seconds) => world.pass(seconds),
        }
    }

    fn healthy(&mut self, is: bool) {
        if is && self.resets {
            self.failures = 0;
        }
    }
}

/// Tasks of the newest deployment that were replaced because of their health.
fn replaced(world: &World) -> i32 {
    let unhealthy = |task: &Task| {
        task.revision == 2 && task.stopped_reason.as_deref() == Some("Task failed container health checks")
    };
    world.state.tasks.iter().filter(|(_, task)| unhealthy(task)).count() as i32
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_trips_at_the_threshold_and_never_below(
        desired in 1..9_i32,
        threshold in thresholds(),
        reset in prop::option::of(any::<bool>()),
        checked in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let given = threshold.map(|(kind, value)| ecs::ThresholdConfiguration {
            r#type: Some(kind),
            value: Some(value),
        });
        let breaker = Breaker {
            enable: Some(true),
            rollback: Some(false),
            reset_on_healthy_task: reset,
            threshold_configuration: given.clone(),
        };
        let mut world = deploying(desired, breaker, checked);
        let mut onlooker = Onlooker { failures: 0, resets: reset != Some(false), checked };
        let mut seen = 0;
        for step in steps {
            onlooker.happen(&mut world, step);
            world.settle();
            onlooker.failures += replaced(&world) - seen;
            seen = replaced(&world);
            let limit = breaker::threshold(given.as_ref(), world.service().desired_count);
            let primary = world.service().primary().unwrap();
            prop_assert_eq!(primary.failed_tasks, onlooker.failures, "{:?}", step);
            if primary.rollout == Rollout::Completed {
                break;
            }
            let tripped = primary.rollout == Rollout::Failed;
            prop_assert_eq!(tripped, onlooker.failures >= limit, "{} of {} after {:?}", onlooker.failures, limit, step);
            if tripped {
                let before = of_revision(&world, 2).len();
                world.run(3);
                prop_assert!(of_revision(&world, 2).len() <= before, "nothing more is started");
                break;
            }
        }
    }
}
