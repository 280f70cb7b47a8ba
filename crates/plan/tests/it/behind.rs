//! Services behind load balancers: registered, judged by their targets, deregistered before they stop.

use longshore_api::ecs::{self, DeploymentRolloutState as Rollout, TaskStopCode};
use longshore_api::elasticloadbalancing as elb;
use longshore_model::balancer::{Health, LoadBalancer, MOST_TARGETS, Target};
use longshore_model::node::Node;
use longshore_model::task::{Task, TaskStatus};
use longshore_model::{Change, Record, TableName};
use longshore_plan::agenda::Agenda;
use longshore_plan::{MAX_CHANGES, balancer, behind, expire, heal};

use crate::front::{arn, balancers, group, listener, load_balancer};
use crate::world::{ACCOUNT, KEY, World, definition, deployment, node, service};

#[test]
fn balancers_of_before_are_given_an_address_in_each_zone_one_after_the_other() {
    let mut world = World::new();
    for (name, address) in [("one", "127.64.0.1"), ("two", "127.64.0.2")] {
        let mut row = LoadBalancer { name: name.into(), address: Some(address.into()), ..load_balancer(&["a", "b"]) };
        row.zones.iter_mut().for_each(|zone| zone.address = None);
        world.state.apply(&row.into());
    }
    for _ in 0..2 {
        let plan = expire::turn(&world.state, world.now);
        assert_eq!((plan.changes.len(), plan.not_before), (1, Some(world.now)));
        plan.changes.iter().for_each(|change| world.state.apply(change));
    }
    world.expire();
    let addresses = |name: &str| -> Vec<String> {
        let row = world.state.load_balancers.get(&format!("{ACCOUNT}/{name}")).unwrap();
        row.addresses().map(|(_, address)| address.to_string()).collect()
    };
    assert_eq!(addresses("one"), ["127.64.0.1", "127.64.0.3"]);
    assert_eq!(addresses("two"), ["127.64.0.2", "127.64.0.4"]);
    assert!(expire::turn(&world.state, world.now).changes.is_empty());
}

/// A service of `desired` tasks behind these groups of one balancer, 50/200 percent.
fn behind_groups(desired: i32, groups: &[&str], delay: i64) -> World {
    let mut world = World::new();
    world.put(load_balancer(&["a", "b"]));
    groups.iter().for_each(|name| world.put(group(name, delay)));
    world.put(listener(groups));
    let mut row = service(desired, 50, 200, world.now);
    row.deployments[0].load_balancers = balancers(groups);
    world.put(row);
    world
}

impl World {
    fn targets(&self) -> Vec<Target> {
        self.state.targets.iter().map(|(_, row)| Target::clone(row)).collect()
    }

    /// An edge finds the targets of these tasks so.
    fn find(&mut self, tasks: &[Task], state: elb::TargetHealthStateEnum, description: Option<&str>) {
        for task in tasks {
            let address = task.eni.as_ref().unwrap().private_ip.clone();
            for seat in task.seats() {
                let health = Health { state, reason: None, description: description.map(str::to_owned), at: self.now };
                let found = balancer::found(&self.state, &seat.group, &address, seat.port as u16, health);
                self.apply(found.into_iter().collect());
            }
        }
    }

    fn healthy(&mut self, tasks: &[Task]) {
        self.find(tasks, elb::TargetHealthStateEnum::Healthy, None);
    }

    fn ill(&mut self, tasks: &[Task]) {
        let words = "Health checks failed with these codes: [502]";
        self.find(tasks, elb::TargetHealthStateEnum::Unhealthy, Some(words));
    }

    fn of(&self, revision: i32) -> Vec<Task> {
        self.live().into_iter().filter(|task| task.revision == revision).collect()
    }

    fn expire(&mut self) {
        let plan = expire::turn(&self.state, self.now);
        self.apply(plan.changes);
    }

    fn rollout(&self) -> Rollout {
        self.service().primary().unwrap().rollout
    }
}

/// A steady service whose targets are all healthy.
fn steady(desired: i32, groups: &[&str], delay: i64) -> World {
    let mut world = behind_groups(desired, groups, delay);
    world.run(2);
    let tasks = world.live();
    world.healthy(&tasks);
    world.settle();
    assert_eq!(world.rollout(), Rollout::Completed);
    world
}

#[test]
fn a_task_is_registered_with_all_its_groups_as_it_runs() {
    let mut world = behind_groups(1, &["web", "admin"], 300);
    world.settle();
    assert!(world.targets().is_empty());
    let task = world.live().remove(0);
    world.report_status(&task.key(), TaskStatus::Activating);
    assert!(world.targets().is_empty());
    world.report_status(&task.key(), TaskStatus::Running);
    let targets = world.targets();
    let eni = task.eni.as_ref().unwrap();
    let zone = format!("us-east-1{}", eni.subnet.trim_start_matches("subnet-"));
    for (target, port) in targets.iter().zip([80, 81]) {
        assert_eq!((&target.id, target.port, target.zone.as_ref()), (&eni.private_ip, port, Some(&zone)));
        assert_eq!((target.registered_at, &target.draining, &target.health), (world.now, &None, &None));
    }
    assert_eq!(targets.len(), 2);
    let registered = |name: &str| format!("(service web) registered 1 targets in (target-group {})", arn(name));
    assert_eq!(&world.events()[1..], [registered("admin"), registered("web")]);
}

#[test]
fn a_service_is_steady_once_all_its_targets_are_healthy() {
    let mut world = behind_groups(2, &["web", "admin"], 300);
    world.run(100);
    assert_eq!((world.picture().as_str(), world.rollout()), ("2 x web:1 RUNNING", Rollout::InProgress));
    let tasks = world.live();
    world.healthy(&tasks[..1]);
    world.run(100);
    assert_eq!(world.rollout(), Rollout::InProgress);
    world.healthy(&tasks[1..]);
    world.settle();
    assert_eq!(world.rollout(), Rollout::Completed);
    assert_eq!(world.events().last().map(String::as_str), Some("(service web) has reached a steady state."));
}

#[test]
fn a_target_that_changes_wakes_its_service() {
    let mut world = behind_groups(1, &["web"], 300);
    world.run(2);
    let mut agenda = Agenda::new(&world.state);
    while agenda.next(&world.state, world.now, &mut world.mint).is_some() {}
    let target = world.targets().remove(0);
    agenda.note(&world.state, &[target.clone().into()]);
    assert_eq!(agenda.next(&world.state, world.now, &mut world.mint).unwrap().0, KEY);
    agenda.note(&world.state, &[Change::Delete(TableName::Target, target.key())]);
    assert_eq!(agenda.next(&world.state, world.now, &mut world.mint).unwrap().0, KEY);
    agenda.note(&world.state, &[listener(&["web"]).into()]);
    assert_eq!(agenda.next(&world.state, world.now, &mut world.mint).unwrap().0, KEY);
    agenda.note(&world.state, &[Change::Delete(TableName::LoadBalancer, "1/front".into())]);
    assert_eq!(agenda.next(&world.state, world.now, &mut world.mint).unwrap().0, KEY);
    let other = Target { id: "172.31.0.250".into(), ..target };
    agenda.note(&world.state, &[other.into()]);
    assert!(agenda.next(&world.state, world.now, &mut world.mint).is_none());
}

#[test]
fn old_tasks_serve_until_new_ones_are_healthy_and_their_requests_are_answered() {
    let mut world = steady(2, &["web"], 60);
    world.put(definition(2, false));
    world.deploy(2);
    world.edit(|service| service.deployments[0].load_balancers = balancers(&["web"]));
    world.run(100);
    assert_eq!(world.picture(), "2 x web:1 RUNNING, 2 x web:2 RUNNING");
    let new = world.of(2);
    world.healthy(&new);
    let began = world.now;
    let plan = world.settle();
    assert_eq!(world.picture(), "2 x web:1 DEACTIVATING stopping, 2 x web:2 RUNNING");
    let drained = began.millis() + 60_000;
    assert_eq!(plan.not_before.map(|at| at.millis()), Some(drained));
    for old in world.of(1) {
        assert_eq!((old.desired, old.ordered()), (TaskStatus::Stopped, TaskStatus::Running));
        let target = world.state.targets.get(&old.target_keys().next().unwrap()).unwrap();
        assert_eq!(target.draining.as_ref().map(|draining| draining.until.millis()), Some(drained));
    }
    let told = [
        "(service web) has begun draining connections on 2 tasks.".to_owned(),
        format!("(service web) deregistered 2 targets in (target-group {})", arn("web")),
        "(service web) has stopped 2 running tasks: (task ID) (task ID).".to_owned(),
    ];
    let events = world.events();
    assert_eq!(events[events.len() - 3..], told);
    world.run(59);
    assert_eq!(world.picture(), "2 x web:1 DEACTIVATING stopping, 2 x web:2 RUNNING");
    assert_eq!(world.rollout(), Rollout::InProgress);
    world.run(2);
    world.expire();
    assert_eq!((world.picture().as_str(), world.rollout()), ("2 x web:2 RUNNING", Rollout::Completed));
    assert_eq!(world.targets().len(), 2);
}

#[test]
fn floor_and_ceiling_hold_while_tasks_drain() {
    let mut world = steady(4, &["web"], 5);
    world.edit(|service| {
        let configuration = service.api.deployment_configuration.get_or_insert_default();
        (configuration.minimum_healthy_percent, configuration.maximum_percent) = (Some(75), Some(125));
    });
    world.put(definition(2, false));
    world.deploy(2);
    world.edit(|service| service.deployments[0].load_balancers = balancers(&["web"]));
    for _ in 0..200 {
        world.settle();
        let healthy = world.targets().iter().filter(|target| target.is_healthy()).count();
        assert!(healthy >= 3, "{}", world.picture());
        assert!(world.live().len() <= 5, "{}", world.picture());
        world.obey();
        let new = world.of(2);
        world.healthy(&new);
        world.expire();
        world.pass(1);
    }
    assert_eq!((world.picture().as_str(), world.rollout()), ("4 x web:2 RUNNING", Rollout::Completed));
}

/// How a task of such a service stands right after it was told to stop.
fn stopped(delay: i64, healthy: bool, used: bool) -> (TaskStatus, usize) {
    let mut world = behind_groups(1, &["web"], delay);
    world.run(2);
    let tasks = world.live();
    if healthy {
        world.healthy(&tasks);
        world.settle();
    }
    if !used {
        world.put(listener(&[]));
    }
    world.edit(|service| service.desired_count = 0);
    world.settle();
    let task = world.live().remove(0);
    assert_eq!(task.desired, TaskStatus::Stopped);
    (task.ordered(), world.targets().len())
}

#[test]
fn what_serves_nobody_stops_at_once() {
    use TaskStatus::{Running, Stopped};
    assert_eq!(stopped(300, true, true), (Running, 1));
    assert_eq!(stopped(300, false, true), (Stopped, 1), "it never was healthy");
    assert_eq!(stopped(0, true, true), (Stopped, 0), "its group has no delay");
    assert_eq!(stopped(300, true, false), (Stopped, 0), "nobody forwards to its group");
}

#[test]
fn one_that_was_healthy_once_drains_though_it_is_not_any_more() {
    let mut world = steady(1, &["web"], 300);
    let tasks = world.live();
    world.edit(|service| service.api.health_check_grace_period_seconds = Some(3600));
    world.ill(&tasks);
    world.edit(|service| service.desired_count = 0);
    world.settle();
    assert_eq!(world.live()[0].drains_until().map(|at| at.millis()), Some(world.now.millis() + 300_000));
}

#[test]
fn an_unhealthy_task_is_replaced_once_its_grace_is_over() {
    let mut world = steady(1, &["web"], 0);
    world.edit(|service| service.api.health_check_grace_period_seconds = Some(30));
    let old = world.live();
    world.ill(&old);
    let plan = world.settle();
    assert_eq!(world.picture(), "1 x web:1 RUNNING");
    let over = old[0].started_at.unwrap().millis() + 30_000;
    assert_eq!(plan.not_before.map(|at| at.millis()), Some(over));
    world.pass(31);
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING, 1 x web:1 RUNNING", "the replacement is started first");
    world.obey();
    world.settle();
    assert_eq!(world.live().len(), 2, "it is not healthy yet");
    let new: Vec<Task> = world.live().into_iter().filter(|task| task.id != old[0].id).collect();
    world.healthy(&new);
    world.settle();
    let gone = world.state.tasks.get(&old[0].key()).unwrap();
    assert_eq!(gone.stop_code, Some(TaskStopCode::ServiceSchedulerInitiated));
    let reason = format!("Task failed ELB health checks in (target-group {})", arn("web"));
    assert_eq!(gone.stopped_reason, Some(reason));
    let told = format!(
        "(service web) (port 80) is unhealthy in (target-group {}) due to (reason Health checks failed with these \
         codes: [502])",
        arn("web")
    );
    assert!(world.events().contains(&told), "{:#?}", world.events());
}

#[test]
fn the_circuit_breaker_counts_tasks_that_fail_their_target_groups() {
    let mut world = steady(2, &["web"], 0);
    world.edit(|service| {
        let breaker = ecs::DeploymentCircuitBreaker { enable: Some(true), rollback: Some(true), ..Default::default() };
        service.api.deployment_configuration.get_or_insert_default().deployment_circuit_breaker = Some(breaker);
    });
    world.put(definition(2, false));
    let broken = world.deploy(2);
    world.edit(|service| service.deployments[0].load_balancers = balancers(&["web"]));
    for _ in 0..30 {
        world.run(1);
        let (old, new) = (world.of(1), world.of(2));
        world.healthy(&old);
        world.ill(&new);
    }
    assert_eq!(world.picture(), "2 x web:1 RUNNING");
    let told = |text: &str| world.events().iter().any(|event| event.contains(text));
    assert!(told("deployment failed") && told("rolling back"), "{:#?}", world.events());
    assert!(world.service().deployments.iter().all(|one| one.id != broken));
    assert_eq!(world.service().api.load_balancers, Some(balancers(&["web"])));
}

#[test]
fn the_first_time_that_a_task_is_healthy_ends_a_row_of_failures() {
    let mut world = behind_groups(2, &["web"], 0);
    world.edit(|service| service.deployments[0].failed_tasks = 2);
    world.run(2);
    assert_eq!(world.service().deployments[0].failed_tasks, 2, "to run is not to be healthy");
    let tasks = world.live();
    world.healthy(&tasks[..1]);
    world.settle();
    assert_eq!(world.service().deployments[0].failed_tasks, 0);
    assert_eq!(world.live()[0].balanced.as_ref().unwrap().healthy_at, Some(world.now));
    world.edit(|service| service.deployments[0].failed_tasks = 1);
    world.ill(&tasks[..1]);
    world.healthy(&tasks[..1]);
    world.settle();
    assert_eq!(world.service().deployments[0].failed_tasks, 1);
}

#[test]
fn a_task_that_ends_leaves_at_once() {
    let mut world = steady(1, &["web", "admin"], 300);
    let task = world.live().remove(0);
    world.report_status(&task.key(), TaskStatus::Stopped);
    assert!(world.targets().is_empty());
    let left = format!("(service web) deregistered 1 targets in (target-group {})", arn("web"));
    assert!(world.events().contains(&left));
    world.settle();
    assert_eq!(world.picture(), "1 x web:1 PROVISIONING");
}

#[test]
fn a_task_that_begins_to_end_gets_no_new_requests() {
    let mut world = steady(1, &["web"], 300);
    let task = world.live().remove(0);
    world.report_status(&task.key(), TaskStatus::Stopping);
    assert!(world.targets()[0].draining.is_some());
    world.report_status(&task.key(), TaskStatus::Stopped);
    assert_eq!(world.targets().len(), 1, "it shows that it drains until its time is over");
    world.pass(301);
    world.expire();
    assert!(world.targets().is_empty());
}

#[test]
fn a_stop_by_the_caller_drains_too() {
    let mut world = steady(1, &["web"], 20);
    let task = world.live().remove(0);
    let code = TaskStopCode::UserInitiated;
    let (state, now) = (world.state.clone(), world.now);
    let (told, changes) = behind::stop_one(&state, &task, code, "enough", now, &mut world.mint).unwrap();
    world.apply(changes);
    assert_eq!((told.last, told.ordered()), (TaskStatus::Deactivating, TaskStatus::Running));
    assert!(behind::stop_one(&world.state, &told, code, "again", now, &mut world.mint).is_none());
    assert!(world.events().contains(&"(service web) has begun draining connections on 1 tasks.".to_owned()));
    world.run(19);
    assert!(world.live().iter().any(|task| task.id == told.id));
    world.run(2);
    assert!(world.live().iter().all(|task| task.id != told.id));
    assert_eq!(world.state.tasks.get(&told.key()).unwrap().stopped_reason.as_deref(), Some("enough"));
}

#[test]
fn tasks_of_a_node_that_is_given_up_are_no_targets() {
    let mut world = steady(2, &["web"], 300);
    world.edit_node("n1", |node| node.status = "INACTIVE".to_owned());
    let plan = heal::turn(&world.state, world.now, 3600);
    world.apply(plan.changes);
    assert!(world.live().iter().all(|task| task.drains_until().is_some()), "a node that is there is waited for");
    let now = world.now;
    world.edit_node("n1", |node: &mut Node| {
        node.connected = false;
        node.disconnected_at = Some(now);
    });
    world.pass(601);
    let plan = heal::turn(&world.state, world.now, 3600);
    world.apply(plan.changes);
    assert!(world.live().is_empty());
    world.expire();
    assert!(world.targets().is_empty());
}

#[test]
fn the_end_of_many_tasks_of_a_node_is_told_in_whole_steps() {
    let mut world = behind_groups(60, &["a", "bb", "ccc", "dddd", "eeeee"], 300);
    world.run(3);
    assert_eq!(world.targets().len(), 300);
    let now = world.now;
    world.edit_node("n1", |node: &mut Node| {
        node.status = "INACTIVE".to_owned();
        node.connected = false;
        node.disconnected_at = Some(now);
    });
    world.pass(601);
    let mut steps = 0;
    while !world.live().is_empty() {
        let plan = heal::turn(&world.state, world.now, 3600);
        assert!(plan.changes.len() <= MAX_CHANGES && !plan.changes.is_empty());
        world.apply(plan.changes);
        steps += 1;
    }
    assert_eq!((steps, world.targets().len()), (3, 0));
}

#[test]
fn a_service_of_five_groups_stops_within_the_bounds_of_a_transaction() {
    let mut world = behind_groups(60, &["a", "bb", "ccc", "dddd", "eeeee"], 10);
    world.run(3);
    let tasks = world.live();
    world.healthy(&tasks);
    world.settle();
    world.edit(|service| service.desired_count = 0);
    world.settle();
    assert_eq!(world.picture(), "60 x web:1 DEACTIVATING stopping");
    world.run(12);
    assert_eq!(world.picture(), "");
}

#[test]
fn what_somebody_else_deregistered_is_registered_again() {
    let mut world = steady(1, &["web"], 300);
    let target = world.targets().remove(0);
    let draining = longshore_model::balancer::Draining { since: world.now, until: world.now };
    world.put(Target { draining: Some(draining), ..target.clone() });
    assert!(world.settle().changes.is_empty());
    assert!(world.targets()[0].draining.is_some(), "as long as it drains it stays");
    // A state that only DeregisterTargets leads to.
    world.state.apply(&Change::Delete(TableName::Target, target.key()));
    world.settle();
    assert_eq!(world.targets()[0], Target { health: None, registered_at: world.now, ..target });
    assert_eq!(world.picture(), "1 x web:1 RUNNING");
}

#[test]
fn a_full_group_takes_a_task_as_soon_as_it_has_room() {
    let mut world = behind_groups(1, &["web"], 300);
    let other = |index: usize| Target {
        account: ACCOUNT.into(),
        group: group("web", 0).id,
        id: format!("10.0.{}.{}", index / 200, index % 200),
        port: 80,
        zone: Some("all".into()),
        registered_at: Default::default(),
        draining: None,
        health: None,
    };
    world.apply((0..MOST_TARGETS).map(|index| other(index).into()).collect());
    world.settle();
    world.obey();
    let plan = world.settle();
    assert_eq!(plan.not_before.map(|at| at.millis() - world.now.millis()), Some(30_000));
    let told = format!(
        "(service web) failed to register targets in (target-group {}) with (error You have exceeded the maximum number \
         of targets)",
        arn("web")
    );
    world.pass(31);
    world.settle();
    assert_eq!(world.events().iter().filter(|event| **event == told).count(), 1, "{:#?}", world.events());
    // The law that a task is registered holds again after the planner's next turn.
    world.state.apply(&Change::Delete(TableName::Target, other(7).key()));
    world.settle();
    let task = world.live().remove(0);
    assert!(world.state.targets.contains(&task.target_keys().next().unwrap()));
}

#[test]
fn a_task_in_a_zone_that_the_balancer_is_not_in_is_unhealthy() {
    let mut world = steady(2, &["web"], 0);
    world.put(node("n2", "b", 1024, 2048));
    let zone = world.targets()[0].zone.clone().unwrap();
    let other = if zone.ends_with('a') { "b" } else { "a" };
    world.put(load_balancer(&[other]));
    world.settle();
    let told = "due to (reason Target is in an Availability Zone that is not enabled for the load balancer)";
    world.run(10);
    assert!(world.live().len() > 2 || world.events().iter().any(|event| event.ends_with(told)));
}

#[test]
fn without_a_listener_nothing_is_said_of_a_task() {
    let mut world = steady(1, &["web"], 300);
    let tasks = world.live();
    world.ill(&tasks);
    world.put(listener(&[]));
    world.run(5);
    assert_eq!(world.picture(), "1 x web:1 RUNNING", "it is not replaced");
    world.put(definition(2, false));
    world.deploy(2);
    world.edit(|service| service.deployments[0].load_balancers = balancers(&["web"]));
    world.run(100);
    assert_eq!(world.picture(), "1 x web:1 RUNNING, 1 x web:2 RUNNING", "nor is another taken for healthy");
}

#[test]
fn with_container_checks_both_must_be_healthy() {
    let mut world = steady(1, &["web"], 0);
    world.put(definition(2, true));
    world.deploy(2);
    world.edit(|service| service.deployments[0].load_balancers = balancers(&["web"]));
    world.run(2);
    let new = world.of(2);
    world.healthy(&new);
    world.run(60);
    assert_eq!(world.picture(), "1 x web:1 RUNNING, 1 x web:2 RUNNING");
    world.report_health(&new[0].key(), ecs::HealthStatus::Healthy);
    world.run(2);
    assert_eq!((world.picture().as_str(), world.rollout()), ("1 x web:2 RUNNING", Rollout::Completed));
}

#[test]
fn a_deployment_without_groups_leaves_those_of_before() {
    let mut world = steady(1, &["web"], 5);
    world.put(definition(2, false));
    let id = world.deploy(2);
    assert_eq!(deployment(&id, 2, world.now).load_balancers, []);
    world.run(60);
    world.expire();
    assert_eq!((world.picture().as_str(), world.targets().len()), ("1 x web:2 RUNNING", 0));
    assert_eq!(world.rollout(), Rollout::Completed);
}

#[test]
fn what_is_planned_rests_on_the_state_alone() {
    let mut world = steady(1, &["web"], 60);
    world.edit(|service| service.desired_count = 0);
    world.settle();
    world.pass(61);
    // As it is read from disk: a control plane that was killed knows nothing else.
    let records: Vec<Record> = world.state.records().collect();
    let mut read = longshore_model::State::default();
    for record in records {
        let bytes = record.to_bytes();
        read.apply(&Change::Put(Record::from_bytes(record.table(), &bytes).unwrap()));
    }
    world.state = read;
    world.settle();
    assert_eq!(world.live()[0].ordered(), TaskStatus::Stopped);
}
