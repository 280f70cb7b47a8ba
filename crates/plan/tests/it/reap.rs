//! What is forgotten, and when; what ends with its node.

use longshore_api::ecs;
use longshore_model::node_key::{JoinToken, NodeKey};
use longshore_model::service::ServiceStatus;
use longshore_model::setting::Token;
use longshore_model::task::Task;
use longshore_model::{Change, TableName};
use longshore_plan::reap::STOPPED_KEPT;
use longshore_plan::{MAX_CHANGES, Plan, check, expire, heal, reap};
use longshore_wire::Timestamp;

use crate::world::{ACCOUNT, World, definition, node, steady};

const HOUR: i64 = 3600;

/// Seconds after which a node is given up in these tests.
const LOST: i64 = 24 * HOUR;

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
        until: None,
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

fn healed(world: &mut World) -> Plan {
    let plan = heal::turn(&world.state, world.now, LOST);
    assert!(plan.changes.len() <= MAX_CHANGES);
    world.apply(plan.changes.clone());
    plan
}

#[test]
fn a_token_of_tasks_that_a_flood_washed_away_still_lasts_an_hour() {
    let mut world = flooded(0, STOPPED_KEPT + 2);
    let key = |index: usize| format!("{ACCOUNT}/prod/{index:031}x");
    let made = (0..2).map(|index| format!("arn:aws:ecs:us-east-1:{ACCOUNT}:task/prod/{index:031}x")).collect();
    let token = Token {
        account: ACCOUNT.into(),
        operation: "RunTask".into(),
        cluster: "prod".into(),
        token: "flood".into(),
        request: String::new(),
        made,
        created_at: world.now,
        until: None,
    };
    world.state.apply(&token.into());
    let token = |world: &World| world.state.tokens.iter().next().map(|(_, token)| Token::clone(token));
    let ended = world.state.tasks.get(&key(1)).unwrap().stopped_at.unwrap();
    let plan = reap::turn(&world.state, world.now, 60);
    plan.changes.iter().for_each(|change| world.state.apply(change));
    assert!(!world.state.tasks.contains(&key(0)) && !world.state.tasks.contains(&key(1)));
    let left = token(&world).expect("the token is there without its tasks");
    assert!(!reap::expired(&world.state, &left, world.now));
    assert_eq!(left.end().millis(), ended.millis() + HOUR * 1000);
    world.pass(HOUR + 1);
    assert!(reap::expired(&world.state, &left, world.now));
    let deleted = |plan: &Plan| plan.changes.iter().any(|change| change.table() == TableName::Token);
    while let Some(left) = token(&world) {
        let plan = reap::turn(&world.state, world.now, 60);
        assert!(!plan.changes.is_empty() && (deleted(&plan) || plan.not_before == Some(world.now)), "{left:?}");
        plan.changes.iter().for_each(|change| world.state.apply(change));
    }
}

#[test]
fn a_deregistered_node_that_is_there_stops_its_tasks_itself() {
    let mut world = steady(3, 100, 200);
    assert!(healed(&mut world).changes.is_empty());
    world.edit_node("n1", |node| node.status = "INACTIVE".into());
    assert_eq!(healed(&mut world).changes.len(), 3);
    assert_eq!(world.picture(), "3 x web:1 DEACTIVATING stopping");
    assert!(healed(&mut world).changes.is_empty());
    let held = |world: &World| world.state.index.subnet("000000000000/subnet-a").map_or(0, |used| used.taken.len());
    let before = held(&world);
    world.pass(100 * HOUR);
    assert!(healed(&mut world).changes.is_empty(), "it is for the node to say that they have stopped");
    assert_eq!((held(&world), before > 0), (before, true));
    world.obey();
    assert_eq!((held(&world), world.live().len()), (0, 0));
}

#[test]
fn a_deregistered_node_that_goes_away_is_given_up_after_ten_minutes() {
    let mut world = steady(3, 100, 200);
    world.edit_node("n1", |node| node.status = "INACTIVE".into());
    healed(&mut world);
    let now = world.now;
    world.edit_node("n1", |node| assert!(node.disconnect(1, now)));
    let plan = healed(&mut world);
    assert_eq!((plan.changes.len(), plan.not_before.map(|at| at.millis() - now.millis())), (0, Some(600_000)));
    world.pass(600);
    assert_eq!(healed(&mut world).changes.len(), 3);
    assert!(world.live().is_empty() && healed(&mut world).changes.is_empty());
    assert!(world.state.tasks.iter().all(|(_, task)| task.stopped_reason.as_deref() == Some(heal::DEREGISTERED)));
}

#[test]
fn a_node_that_vanished_is_deregistered_after_a_day_and_its_tasks_end() {
    let mut world = steady(2, 100, 200);
    world.edit(|service| service.status = ServiceStatus::Draining);
    let now = world.now;
    world.edit_node("n1", |node| assert!(node.disconnect(1, now)));
    let plan = healed(&mut world);
    assert_eq!((plan.changes.len(), plan.not_before.map(|at| at.millis() - now.millis())), (0, Some(LOST * 1000)));
    world.pass(LOST - 1);
    assert!(healed(&mut world).changes.is_empty());
    world.pass(1);
    assert_eq!(healed(&mut world).changes.len(), 1);
    assert_eq!(world.state.nodes.get("n1").map(|node| node.status.as_str()), Some("INACTIVE"));
    assert_eq!(healed(&mut world).changes.len(), 2);
    world.settle();
    assert_eq!(world.service().status, ServiceStatus::Inactive);
    assert!(healed(&mut world).changes.is_empty());
}

fn key_of(node: &str, created_at: Timestamp) -> NodeKey {
    let (account, text) = (ACCOUNT.to_owned(), || "x".to_owned());
    NodeKey { node: node.to_owned(), account, edge: false, sealed: text(), joined_by: text(), created_at }
}

#[test]
fn a_node_that_is_given_up_has_no_key_any_more() {
    let mut world = steady(0, 100, 200);
    world.state.apply(&key_of("n1", world.now).into());
    world.state.apply(&key_of("n2", world.now).into());
    let now = world.now;
    world.edit_node("n1", |node| assert!(node.disconnect(1, now)));
    assert!(healed(&mut world).changes.is_empty());
    world.pass(LOST);
    assert_eq!(healed(&mut world).changes.len(), 2);
    assert!(world.state.node_keys.get("n1").is_none() && world.state.node_keys.get("n2").is_some());
}

#[test]
fn many_nodes_are_given_up_a_bounded_number_at_a_time() {
    let mut world = steady(0, 100, 200);
    for number in 0..100 {
        let mut gone = node(&format!("gone{number}"), "a", 256, 512);
        (gone.connected, gone.disconnected_at) = (false, Some(world.now));
        world.state.apply(&key_of(&gone.id, world.now).into());
        world.put(gone);
    }
    world.pass(LOST);
    let first = healed(&mut world);
    assert!(first.changes.len() <= MAX_CHANGES && first.not_before == Some(world.now));
    healed(&mut world);
    assert!(world.state.node_keys.is_empty());
}

#[test]
fn join_tokens_go_at_their_time_and_keys_that_nobody_came_with_after_a_day() {
    let mut world = steady(0, 100, 200);
    let (begun, text) = (world.now, || "x".to_owned());
    let token = |hash: &str, seconds: i64| JoinToken {
        hash: hash.to_owned(),
        edge: false,
        node: text(),
        made_by: text(),
        created_at: begun,
        expires_at: Timestamp::from_millis(begun.millis() + seconds * 1000),
        used_by: None,
    };
    let used = JoinToken { used_by: Some(text()), ..token("used", 60) };
    for change in [used.into(), token("long", 600).into(), key_of("n1", begun).into(), key_of("ghost", begun).into()] {
        world.state.apply(&change);
    }
    let expired = |world: &mut World, seconds: i64| {
        world.pass(seconds);
        let plan = expire::turn(&world.state, world.now);
        plan.changes.iter().for_each(|change| world.state.apply(change));
        let keys: Vec<String> = plan.changes.iter().map(Change::key).collect();
        (keys, plan.not_before.map(|at| (at.millis() - begun.millis()) / 1000))
    };
    assert_eq!(expired(&mut world, 59), (vec![], Some(60)));
    assert_eq!(expired(&mut world, 1), (vec!["used".to_owned()], Some(600)));
    assert_eq!(expired(&mut world, 540), (vec!["long".to_owned()], Some(86_400)));
    assert_eq!(expired(&mut world, 85_799), (vec![], Some(86_400)));
    assert_eq!(expired(&mut world, 1), (vec!["ghost".to_owned()], None));
    assert!(world.state.node_keys.get("n1").is_some());
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
    healed(&mut world);
    assert_eq!(reaped(&mut world).1, ["nodes"]);
}

fn delete_definition(world: &mut World, revision: i32) {
    let mut deleted = definition(revision, false);
    deleted.api.status = Some(ecs::TaskDefinitionStatus::DeleteInProgress);
    deleted.api.delete_requested_at = Some(world.now);
    world.put(deleted);
}

#[test]
fn a_deleted_definition_goes_with_the_last_task_and_deployment_that_refers_to_it() {
    let mut world = steady(1, 0, 100);
    delete_definition(&mut world, 1);
    world.pass(HOUR);
    assert!(reaped(&mut world).1.is_empty(), "a task and a deployment refer to it");
    world.put(definition(2, false));
    world.deploy(2);
    world.run(5);
    assert_eq!((world.picture(), world.service().deployments.len()), ("1 x web:2 RUNNING".into(), 1));
    world.pass(HOUR / 2);
    assert!(reaped(&mut world).1.is_empty(), "its last task can still be described");
    world.pass(HOUR / 2);
    assert_eq!(reaped(&mut world).1, ["tasks"]);
    assert_eq!(reaped(&mut world).1, ["definitions"]);
    assert!(reaped(&mut world).1.is_empty());
    assert_eq!(world.state.definitions.len(), 1);
}

#[test]
fn a_deleted_definition_is_held_by_a_service_without_tasks_until_that_is_inactive() {
    let mut world = steady(0, 100, 200);
    delete_definition(&mut world, 1);
    world.pass(HOUR);
    assert!(reaped(&mut world).1.is_empty());
    world.edit(|service| service.status = ServiceStatus::Draining);
    assert!(reaped(&mut world).1.is_empty());
    world.run(1);
    assert_eq!(reaped(&mut world).1, ["definitions"]);
}

#[test]
fn unused_definitions_go_a_minute_after_they_were_deleted_so_many_a_turn() {
    let mut world = World::new();
    world.put(definition(999, false));
    (1..=MAX_CHANGES as i32 + 2).for_each(|revision| delete_definition(&mut world, revision));
    let (plan, gone) = reaped(&mut world);
    assert!(gone.is_empty());
    assert_eq!(plan.not_before.map(|at| at.millis() - world.now.millis()), Some(60_000));
    world.pass(60);
    let (plan, gone) = reaped(&mut world);
    assert_eq!((gone.len(), plan.not_before), (MAX_CHANGES, Some(world.now)), "the rest follows at once");
    assert_eq!(reaped(&mut world).1, ["definitions"; 2]);
    assert!(world.state.definitions.iter().all(|(_, row)| row.revision == 999));
}

/// A world with so many stopped tasks of a service and so many others, each a millisecond after the one before.
fn flooded(of_services: usize, others: usize) -> World {
    let mut world = stopped();
    let first = Task::clone(world.state.tasks.iter().next().unwrap().1);
    world.apply(vec![Change::Delete(TableName::Task, first.key())]);
    for index in 0..of_services.max(others) {
        let mut task = first.clone();
        let at = Timestamp::from_millis(world.now.millis() + index as i64);
        task.stopped_at = Some(at);
        task.id = format!("{index:031}s");
        if index < of_services {
            world.state.apply(&task.clone().into());
        }
        (task.id, task.service) = (format!("{index:031}x"), None);
        if index < others {
            world.state.apply(&task.into());
        }
    }
    world
}

#[test]
fn too_many_stopped_tasks_go_before_their_time_the_oldest_first() {
    for (of_services, others, want) in [
        (STOPPED_KEPT, STOPPED_KEPT, vec![]),
        (STOPPED_KEPT + 3, 1, vec!["1s", "2s", "s"]),
        (STOPPED_KEPT + 1, STOPPED_KEPT + 2, vec!["1x", "s", "x"]),
    ] {
        let mut world = flooded(of_services, others);
        let plan = reap::turn(&world.state, world.now, 60);
        plan.changes.iter().for_each(|change| world.state.apply(change));
        let tail = |change: &Change| {
            change.key().rsplit_once('/').map(|(_, id)| id.trim_start_matches('0').to_owned()).unwrap()
        };
        let mut gone: Vec<_> = plan.changes.iter().map(tail).collect();
        gone.sort();
        assert_eq!(gone, want);
        assert!(reap::turn(&world.state, world.now, 60).changes.is_empty());
    }
}

#[test]
fn a_flood_of_stopped_tasks_ebbs_in_bounded_turns() {
    let mut world = flooded(STOPPED_KEPT + 300, 0);
    let mut turns = Vec::new();
    loop {
        let plan = reap::turn(&world.state, world.now, 60);
        plan.changes.iter().for_each(|change| world.state.apply(change));
        turns.push(plan.changes.len());
        if plan.changes.is_empty() {
            break;
        }
        assert!(plan.changes.len() < MAX_CHANGES || plan.not_before == Some(world.now));
    }
    assert_eq!(turns, [128, 128, 44, 0]);
    assert!(check::state(&world.state).is_empty());
}
