//! Services at rest and under mishaps: starting, replacing, scaling, draining, being throttled.

use longshore_api::ecs;
use longshore_model::iam::Role;
use longshore_model::service::ServiceStatus;
use longshore_model::task::TaskStatus;
use longshore_plan::agenda::Agenda;
use longshore_plan::reconcile::Roles;
use longshore_plan::report::{ContainerReport, TaskReport};

use crate::world::{ACCOUNT, KEY, World, definition, node, service, steady};

#[test]
fn a_new_service_starts_its_tasks_and_is_steady_as_soon_as_they_run() {
    let mut world = World::new();
    world.put(service(2, 100, 200, world.now));
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 PROVISIONING");
    world.obey();
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 RUNNING");
    assert_eq!(
        world.events(),
        [
            "(service web) has started 2 tasks: (task ID) (task ID).",
            "(service web) (deployment ecs-svc/ID) deployment completed.",
            "(service web) has reached a steady state.",
        ]
    );
    let primary = &world.service().deployments[0];
    assert_eq!(primary.rollout_reason, "ECS deployment ecs-svc/1 completed.");
    let tasks = world.live();
    assert_eq!(tasks[0].started_by.as_deref(), Some("ecs-svc/1"));
    assert_eq!(tasks[0].group.as_deref(), Some("service:web"));
    assert_ne!(tasks[0].zone, tasks[1].zone, "tasks spread over zones");
}

#[test]
fn a_task_that_dies_is_replaced_at_once_and_steadiness_is_told_again() {
    let mut world = steady(2, 100, 200);
    let gone = world.live()[0].key();
    world.report_status(&gone, TaskStatus::Stopped);
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING, 1 x web:1 RUNNING");
    world.run(2);
    let events = world.events();
    assert_eq!(
        events[events.len() - 2..],
        ["(service web) has started 1 tasks: (task ID).", "(service web) has reached a steady state."]
    );
    let stopped = world.state.tasks.get(&gone).unwrap();
    assert_eq!(stopped.stop_code, Some(ecs::TaskStopCode::EssentialContainerExited));
}

#[test]
fn scaling_in_stops_from_the_fuller_zone_and_the_oldest_first() {
    let mut world = steady(1, 100, 200);
    world.edit(|service| service.desired_count = 3);
    world.run(2);
    let oldest = world.live().iter().map(|task| task.created_at).min().unwrap();
    let zone = world.live().iter().find(|task| task.created_at == oldest).unwrap().zone.clone();
    world.edit(|service| service.desired_count = 2);
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 DEACTIVATING stopping, 2 x web:1 RUNNING");
    let stopping = world.live().into_iter().find(|task| task.desired == TaskStatus::Stopped).unwrap();
    let in_zone = |zone: &Option<String>| world.live().iter().filter(|task| task.zone == *zone).count();
    assert_eq!(in_zone(&stopping.zone), 2, "the fuller zone gives");
    assert!(stopping.created_at == oldest || zone != stopping.zone);
    assert_eq!(stopping.stop_code, Some(ecs::TaskStopCode::ServiceSchedulerInitiated));
    assert_eq!(stopping.stopped_reason.as_deref(), Some("Scaling activity initiated by (deployment ecs-svc/1)"));
    world.run(2);
    assert_eq!(world.picture(), "2 x web:1 RUNNING");
}

#[test]
fn a_large_service_is_started_and_stopped_in_bounded_turns() {
    let mut world = steady(0, 100, 200);
    world.put(node("n1", "a", 500 * 256, 500 * 512));
    world.edit(|service| service.desired_count = 300);
    world.settle();
    assert_eq!(world.picture(), "300 x web:1 PROVISIONING");
    world.obey();
    world.edit(|service| service.desired_count = 0);
    world.settle();
    assert_eq!(world.picture(), "300 x web:1 DEACTIVATING stopping");
}

#[test]
fn a_deleted_service_drains_and_becomes_inactive() {
    let mut world = steady(2, 100, 200);
    world.edit(|service| {
        service.status = ServiceStatus::Draining;
        service.desired_count = 0;
    });
    world.settle();
    assert_eq!(world.picture(), "2 x web:1 DEACTIVATING stopping");
    assert_eq!(world.service().status, ServiceStatus::Draining);
    world.obey();
    world.settle();
    assert_eq!(world.service().status, ServiceStatus::Inactive);
    assert_eq!(world.service().inactive_at, Some(world.now));
    assert!(world.service().deployments.is_empty());
}

#[test]
fn tasks_that_never_start_are_tried_ever_more_slowly_until_one_runs() {
    let mut world = World::new();
    world.put(service(1, 100, 200, world.now));
    let mut gaps = Vec::new();
    for _ in 0..5 {
        let plan = world.settle();
        assert!(plan.not_before.is_none_or(|at| at > world.now));
        let key = world.live()[0].key();
        world.pass(5);
        let reason = Some("CannotPullContainerError: no such image".to_owned());
        world.report(&key, &TaskReport { status: Some(TaskStatus::Stopped), reason, ..TaskReport::default() });
        let stopped = world.state.tasks.get(&key).unwrap();
        assert_eq!(stopped.stop_code, Some(ecs::TaskStopCode::TaskFailedToStart));
        let until = world.service().deployments[0].throttle.not_before;
        gaps.push(until.map_or(0, |until| (until.millis() - world.now.millis()) / 1000));
        if let Some(until) = until {
            assert_eq!(world.settle().not_before, Some(until), "the planner names the time of its next try");
            assert!(world.live().is_empty());
            world.now = until;
        }
    }
    assert_eq!(gaps[0], 0);
    for (gap, middle) in gaps[1..].iter().zip([10, 20, 40, 80]) {
        assert!((middle * 8 / 10 - 1..=middle * 12 / 10).contains(gap), "{gaps:?}");
    }
    assert_eq!(world.service().deployments[0].failed_tasks, 5);
    let struggling = world.events().into_iter().filter(|text| text.contains("unable to consistently start")).count();
    assert_eq!(struggling, 1, "a repeated message is left out");
    world.settle();
    world.obey();
    assert_eq!(world.service().deployments[0].throttle, Default::default());
}

#[test]
fn a_new_deployment_is_not_held_back_by_the_failures_of_the_last() {
    let mut world = World::new();
    world.put(service(1, 100, 200, world.now));
    for _ in 0..2 {
        world.settle();
        let key = world.live()[0].key();
        world.report_status(&key, TaskStatus::Stopped);
    }
    assert!(world.service().deployments[0].throttle.not_before.is_some());
    world.put(definition(2, false));
    world.deploy(2);
    world.settle();
    assert_eq!(world.picture(), "1 x web:2 PROVISIONING");
    world.run(2);
    assert_eq!(world.service().deployments.len(), 1, "the deployment that never ran is over");
}

#[test]
fn a_task_that_ran_a_while_and_failed_is_not_throttled() {
    let mut world = steady(1, 100, 200);
    for _ in 0..5 {
        world.pass(10);
        let key = world.live()[0].key();
        let exited = ContainerReport { name: "web".into(), exit_code: Some(1), ..ContainerReport::default() };
        let report =
            TaskReport { status: Some(TaskStatus::Stopped), containers: vec![exited], ..TaskReport::default() };
        world.report(&key, &report);
        world.settle();
        world.obey();
        world.settle();
        assert_eq!(world.picture(), "1 x web:1 RUNNING");
    }
    assert_eq!(world.service().deployments[0].failed_tasks, 0);
}

#[test]
fn what_cannot_run_stops_at_once_says_why_and_is_not_tried_in_a_loop() {
    let mut world = World::new();
    let mut secret = definition(1, false);
    if let Some(container) = secret.api.container_definitions.as_mut().and_then(|list| list.first_mut()) {
        container.environment_files = Some(vec![ecs::EnvironmentFile::default()]);
    }
    world.put(secret);
    world.put(service(3, 100, 200, world.now));
    let plan = world.settle();
    assert!(world.live().is_empty());
    let stopped: Vec<_> = world.state.tasks.iter().map(|(_, task)| task.clone()).collect();
    assert_eq!(stopped.len(), 1);
    assert_eq!(stopped[0].stop_code, Some(ecs::TaskStopCode::TaskFailedToStart));
    assert_eq!(
        stopped[0].stopped_reason.as_deref(),
        Some(
            "ResourceInitializationError: environmentFiles of container web are not supported by this version of Longshore"
        )
    );
    assert!(plan.not_before.is_some_and(|at| at > world.now));
}

#[test]
fn an_unhealthy_task_goes_only_after_its_replacement_is_healthy() {
    let mut world = World::new();
    world.put(definition(1, true));
    world.put(service(2, 100, 200, world.now));
    world.settle();
    world.obey();
    world.settle();
    assert!(!world.events().iter().any(|text| text.contains("steady")), "not steady before it is healthy");
    for task in world.live() {
        world.report_health(&task.key(), ecs::HealthStatus::Healthy);
    }
    world.settle();
    assert!(world.events().iter().any(|text| text.contains("steady")));

    let sick = world.live()[0].key();
    world.report_health(&sick, ecs::HealthStatus::Unhealthy);
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING, 2 x web:1 RUNNING");
    world.obey();
    world.settle();
    assert_eq!(world.picture(), "3 x web:1 RUNNING", "it is not healthy yet");
    let fresh = world.live().into_iter().find(|task| task.health == Some(ecs::HealthStatus::Unknown)).unwrap();
    world.report_health(&fresh.key(), ecs::HealthStatus::Healthy);
    world.settle();
    let stopping = world.live().into_iter().find(|task| task.desired == TaskStatus::Stopped).unwrap();
    assert_eq!(stopping.key(), sick);
    assert_eq!(stopping.stopped_reason.as_deref(), Some("Task failed container health checks"));
    assert!(world.events().iter().any(|text| text == "(service web) (task ID) failed container health checks."));
}

#[test]
fn without_room_unhealthy_tasks_go_one_at_a_time() {
    let mut world = World::new();
    world.put(definition(1, true));
    world.put(service(3, 50, 100, world.now));
    world.settle();
    world.obey();
    for task in world.live() {
        world.report_health(&task.key(), ecs::HealthStatus::Unhealthy);
    }
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 DEACTIVATING stopping, 2 x web:1 RUNNING");
    world.obey();
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING, 2 x web:1 RUNNING");
}

#[test]
fn health_is_ignored_during_the_grace_period() {
    let mut world = World::new();
    world.put(definition(1, true));
    world.put(service(1, 100, 200, world.now));
    world.edit(|service| service.api.health_check_grace_period_seconds = Some(30));
    world.settle();
    world.obey();
    let key = world.live()[0].key();
    world.report_health(&key, ecs::HealthStatus::Unhealthy);
    let plan = world.settle();
    assert_eq!(world.picture(), "1 x web:1 RUNNING");
    assert_eq!(plan.not_before.map(|at| at.millis() - world.now.millis()), Some(30_000));
    world.pass(30);
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING, 1 x web:1 RUNNING");
}

#[test]
fn what_is_on_a_lost_node_is_started_elsewhere_and_the_surplus_goes_when_it_returns() {
    let mut world = World::new();
    world.put(node("n2", "b", 16 * 256, 16 * 512));
    world.put(service(2, 100, 200, world.now));
    world.run(2);
    let now = world.now;
    world.edit_node("n1", |node| {
        node.disconnect(1, now);
    });
    let plan = world.settle();
    assert_eq!(world.live().len(), 2, "a node may be away for a while");
    assert_eq!(plan.not_before.map(|at| at.millis() - world.now.millis()), Some(60_000));
    world.pass(60);
    world.run(2);
    assert_eq!(world.live().len(), 3);
    assert_eq!(world.live().iter().filter(|task| task.node.as_deref() == Some("n2")).count(), 2);
    world.edit_node("n1", |node| {
        node.connect();
    });
    world.run(2);
    assert_eq!(world.picture(), "2 x web:1 RUNNING");
}

#[test]
fn a_draining_node_is_emptied_by_replacement() {
    let mut world = World::new();
    world.put(node("n2", "a", 16 * 256, 16 * 512));
    world.put(service(2, 100, 200, world.now));
    world.run(2);
    world.edit_node("n1", |node| node.status = "DRAINING".into());
    world.settle();
    assert!(world.live().iter().all(|task| task.desired == TaskStatus::Running), "first the replacement");
    world.run(45);
    assert_eq!(world.picture(), "2 x web:1 RUNNING");
    assert!(world.live().iter().all(|task| task.node.as_deref() == Some("n2")));
}

#[test]
fn what_finds_no_place_is_told_once_and_tried_again_when_there_is_room() {
    let mut world = World::new();
    world.put(node("n1", "a", 256, 512));
    world.put(service(2, 100, 200, world.now));
    let mut agenda = Agenda::new(&world.state);
    let mut starved = false;
    for _ in 0..5 {
        while let Some((_, plan)) = agenda.next(&world.state, world.now, &mut world.mint) {
            starved |= plan.starved;
            world.apply(plan.changes.clone());
            agenda.note(&world.state, &plan.changes);
        }
        world.obey();
        world.edit(|service| service.desired_count = 2);
        let changes = [longshore_model::Change::from(world.service().clone())];
        agenda.note(&world.state, &changes);
    }
    assert!(starved);
    assert_eq!(world.picture(), "1 x web:1 RUNNING");
    let unplaced: Vec<_> = world.events().into_iter().filter(|text| text.contains("unable to place")).collect();
    assert_eq!(
        unplaced,
        [
            "(service web) was unable to place a task. Reason: Capacity is unavailable at this time. Please try again later \
          or in a different availability zone (RESOURCE:CPU: 256 CPU units are wanted, at most 0 are free on one node)."
        ]
    );
    world.pass(6 * 60 * 60);
    world.settle();
    let again = world.events().into_iter().filter(|text| text.contains("unable to place")).count();
    assert_eq!(again, 2, "told again after six hours");

    let bigger = node("n2", "b", 1024, 2048);
    world.put(bigger.clone());
    agenda.note(&world.state, &[bigger.into()]);
    while let Some((key, plan)) = agenda.next(&world.state, world.now, &mut world.mint) {
        assert_eq!(key, KEY);
        world.apply(plan.changes.clone());
        agenda.note(&world.state, &plan.changes);
    }
    assert_eq!(world.live().len(), 2);
}

#[test]
fn a_role_that_is_not_lent_is_told_once_and_tasks_start_when_it_is() {
    let role = |service: &str| -> Role {
        let trust = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole",
                "Principal": {{"Service": "{service}.amazonaws.com"}}}}]}}"#
        );
        let text = format!(r#"{{"account": "{ACCOUNT}", "name": "App", "path": "/", "id": "AROA1", "createdAt": 1}}"#);
        Role { trust, ..longshore_wire::json::from_slice(text.as_bytes()).unwrap() }
    };
    let mut world = World::new();
    let mut lending = definition(1, false);
    let arn = format!("arn:aws:iam::{ACCOUNT}:role/App");
    lending.api.task_role_arn = Some(arn.clone());
    world.put(lending);
    world.put(role("ec2"));
    world.put(service(2, 100, 200, world.now));
    let mut agenda = Agenda::new(&world.state).with_roles(Roles::Lent);
    let mut work = |world: &mut World| {
        while let Some((_, plan)) = agenda.next(&world.state, world.now, &mut world.mint) {
            world.apply(plan.changes.clone());
            agenda.note(&world.state, &plan.changes);
        }
        let lent = longshore_model::Change::from(role("ecs-tasks"));
        world.put(lent.clone());
        agenda.note(&world.state, &[lent]);
        world.live().len()
    };
    assert_eq!(work(&mut world), 0);
    assert_eq!(
        world.events(),
        [format!("(service web) failed to launch a task with (error {}).", longshore_model::task_role::unable(&arn))]
    );
    assert_eq!(work(&mut world), 2);
}

#[test]
fn capacity_providers_share_the_tasks_by_base_and_weight() {
    let mut world = World::new();
    let item = |name: &str, base: i32, weight: i32| ecs::CapacityProviderStrategyItem {
        capacity_provider: Some(name.into()),
        base: Some(base),
        weight: Some(weight),
    };
    let mut record = service(10, 100, 200, world.now);
    record.deployments[0].launch_type = None;
    record.deployments[0].capacity_provider_strategy = vec![item("FARGATE", 2, 1), item("FARGATE_SPOT", 0, 3)];
    world.put(record);
    world.settle();
    let spot = world.live().iter().filter(|task| task.capacity_provider.as_deref() == Some("FARGATE_SPOT")).count();
    assert_eq!((spot, world.live().len()), (6, 10));
}

#[test]
fn the_agenda_wakes_a_held_back_service_when_its_time_has_come_and_not_before() {
    let mut world = World::new();
    world.put(service(1, 100, 200, world.now));
    for _ in 0..2 {
        world.settle();
        let key = world.live()[0].key();
        world.report_status(&key, TaskStatus::Stopped);
    }
    let until = world.service().deployments[0].throttle.not_before.unwrap();
    let mut agenda = Agenda::new(&world.state);
    assert_eq!(agenda.not_before(world.now), Some(world.now));
    let (_, plan) = agenda.next(&world.state, world.now, &mut world.mint).unwrap();
    assert!(plan.changes.is_empty());
    assert!(agenda.next(&world.state, world.now, &mut world.mint).is_none());
    assert_eq!(agenda.not_before(world.now), Some(until));
    let (_, plan) = agenda.next(&world.state, until, &mut world.mint).unwrap();
    assert!(plan.changes.iter().any(|change| change.table() == longshore_model::TableName::Task));
    assert_eq!(agenda.not_before(until), None);
}
