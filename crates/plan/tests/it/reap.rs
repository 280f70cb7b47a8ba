//! What is forgotten, and when; what ends with its node.

use longshore_model::service::ServiceStatus;
use longshore_model::setting::Token;
use longshore_plan::{Plan, heal, reap};

use crate::world::{ACCOUNT, World, node, steady};

const HOUR: i64 = 3600;

fn reaped(world: &mut World) -> (Plan, Vec<String>) {
    let plan = reap::turn(&world.state, world.now, 60);
    let gone = plan.changes.iter().map(|change| change.table().name().to_owned()).collect();
    world.apply(plan.changes.clone());
    (plan, gone)
}

fn stopped() -> World {
    let mut world = steady(1, 100, 200);
    world.edit(|service| {
        service.status = ServiceStatus::Draining;
        service.desired_count = 0;
    });
    world.run(1);
    world
}

#[test]
fn stopped_tasks_stay_an_hour_and_inactive_services_a_day() {
    let mut world = stopped();
    let (plan, gone) = reaped(&mut world);
    assert!(gone.is_empty());
    let wait = plan.not_before.map(|at| at.millis() - world.now.millis()).unwrap();
    assert!((HOUR - 5) * 1000 < wait && wait <= HOUR * 1000, "{wait}");
    world.pass(HOUR);
    assert_eq!(reaped(&mut world).1, ["tasks"]);
    world.pass(23 * HOUR);
    assert_eq!(reaped(&mut world).1, ["services"]);
    assert!(world.state.services.is_empty() && world.state.tasks.is_empty());
}

#[test]
fn a_token_lasts_a_day_or_an_hour_after_its_last_task() {
    let mut world = steady(1, 100, 200);
    let task = world.live()[0].clone();
    let token = |name: &str, made: Vec<String>| Token {
        account: ACCOUNT.into(),
        operation: "RunTask".into(),
        cluster: "prod".into(),
        token: name.into(),
        request: String::new(),
        made,
        created_at: world.now,
    };
    let arn = format!("arn:aws:ecs:us-east-1:{ACCOUNT}:task/prod/{}", task.id);
    let tokens = [token("task", vec![arn]), token("service", vec!["arn:aws:ecs:r:a:service/prod/web".into()])];
    for token in tokens {
        world.put(token);
    }
    world.pass(2 * HOUR);
    assert!(reaped(&mut world).1.is_empty(), "its task still runs");
    world.report_status(&task.key(), longshore_model::task::TaskStatus::Stopped);
    world.pass(HOUR);
    assert_eq!(reaped(&mut world).1, ["tasks", "tokens"]);
    world.pass(21 * HOUR);
    assert_eq!(reaped(&mut world).1, ["tokens"]);
}

#[test]
fn tasks_end_with_a_deregistered_node() {
    let mut world = steady(3, 100, 200);
    assert!(heal::turn(&world.state, world.now).changes.is_empty());
    world.edit_node("n1", |node| node.status = "INACTIVE".into());
    let plan = heal::turn(&world.state, world.now);
    world.apply(plan.changes);
    assert!(world.live().is_empty());
    assert!(heal::turn(&world.state, world.now).changes.is_empty());
}

#[test]
fn nodes_that_are_gone_or_never_came_are_forgotten_once_they_are_empty() {
    let mut world = steady(1, 100, 200);
    let mut ghost = node("ghost", "a", 256, 512);
    (ghost.connected, ghost.epoch, ghost.registered_at) = (false, 0, world.now);
    world.put(ghost);
    let now = world.now;
    world.edit_node("n1", |node| {
        node.disconnect(1, now);
        node.status = "INACTIVE".into();
    });
    assert!(reaped(&mut world).1.is_empty());
    world.pass(HOUR);
    assert_eq!(reaped(&mut world).1, ["nodes"], "n1 still holds a task");
    let plan = heal::turn(&world.state, world.now);
    world.apply(plan.changes);
    assert_eq!(reaped(&mut world).1, ["nodes"]);
}
