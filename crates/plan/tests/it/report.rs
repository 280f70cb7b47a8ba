//! Reports of nodes: forward only, once, and from the right node.

use longshore_api::ecs;
use longshore_model::task::{Task, TaskStatus};
use longshore_plan::report::{self, ContainerReport, Refused, TaskReport, status};
use longshore_wire::Timestamp;

use crate::world::{World, service};

fn started() -> (World, String) {
    let mut world = World::new();
    world.put(service(1, 100, 200, world.now));
    world.settle();
    let key = world.live()[0].key();
    (world, key)
}

fn task(world: &World, key: &str) -> Task {
    Task::clone(world.state.tasks.get(key).unwrap())
}

#[test]
fn a_status_only_moves_forward() {
    let (mut world, key) = started();
    for (told, seen) in [
        (TaskStatus::Pending, TaskStatus::Pending),
        (TaskStatus::Running, TaskStatus::Running),
        (TaskStatus::Activating, TaskStatus::Running),
        (TaskStatus::Stopping, TaskStatus::Stopping),
        (TaskStatus::Running, TaskStatus::Stopping),
        (TaskStatus::Deprovisioning, TaskStatus::Deprovisioning),
        (TaskStatus::Stopping, TaskStatus::Deprovisioning),
        (TaskStatus::Stopped, TaskStatus::Stopped),
        (TaskStatus::Running, TaskStatus::Stopped),
    ] {
        world.pass(1);
        world.report_status(&key, told);
        assert_eq!(task(&world, &key).last, seen, "after {told}");
    }
}

#[test]
fn what_says_nothing_new_changes_nothing() {
    let (mut world, key) = started();
    world.report_status(&key, TaskStatus::Running);
    let version = task(&world, &key).version;
    world.pass(5);
    let report = TaskReport { status: Some(TaskStatus::Running), ..TaskReport::default() };
    let again = report::task(&world.state, &key, Some("n1"), &report, world.now, &mut world.mint).unwrap();
    assert!(again.is_empty());
    assert_eq!(task(&world, &key).version, version);
}

#[test]
fn unknown_tasks_and_other_nodes_tasks_are_refused() {
    let (mut world, key) = started();
    let report = TaskReport { status: Some(TaskStatus::Stopped), ..TaskReport::default() };
    let mut tell = |key: &str, node| {
        report::task(&world.state, key, node, &report, world.now, &mut world.mint).map(|changes| changes.len())
    };
    assert_eq!(tell("000000000000/prod/none", None), Err(Refused::UnknownTask));
    assert_eq!(tell(&key, Some("n2")), Err(Refused::ForeignTask));
    assert!(tell(&key, Some("n1")).is_ok());
}

#[test]
fn timestamps_are_set_once_and_in_order_whatever_a_clock_says() {
    let (mut world, key) = started();
    world.pass(1);
    let wild = |millis: i64| Some(Timestamp::from_millis(millis));
    world.report(
        &key,
        &TaskReport {
            status: Some(TaskStatus::Running),
            pull_started_at: wild(9_999_999_999_999),
            pull_stopped_at: wild(1),
            ..TaskReport::default()
        },
    );
    let running = task(&world, &key);
    assert_eq!(running.started_at, Some(world.now));
    world.pass(1);
    world.report(
        &key,
        &TaskReport {
            status: Some(TaskStatus::Stopped),
            pull_started_at: wild(0),
            execution_stopped_at: wild(5),
            ..TaskReport::default()
        },
    );
    let stopped = task(&world, &key);
    assert_eq!(stopped.pull_started_at, running.pull_started_at);
    assert_eq!(stopped.stopped_at, Some(world.now));
}

#[test]
fn containers_keep_their_first_exit_code_and_their_digest() {
    let (mut world, key) = started();
    let container = |exit_code, digest: &str| ContainerReport {
        name: "web".into(),
        status: Some(TaskStatus::Running),
        exit_code,
        image_digest: Some(digest.into()),
        runtime_id: Some("r".into()),
        ..ContainerReport::default()
    };
    for report in [container(None, "sha256:1"), container(Some(3), "sha256:1"), container(Some(4), "sha256:1")] {
        world.report(&key, &TaskReport { containers: vec![report], ..TaskReport::default() });
    }
    let seen = task(&world, &key).containers[0].clone();
    assert_eq!((seen.exit_code, seen.image_digest.as_deref()), (Some(3), Some("sha256:1")));
}

/// How a task that ends like this is explained.
#[track_caller]
fn explains(ran: bool, asked: bool, container: ContainerReport, reason: Option<&str>, want: (ecs::TaskStopCode, &str)) {
    let (mut world, key) = started();
    if ran {
        world.report_status(&key, TaskStatus::Running);
    }
    if asked {
        let mut stopping = task(&world, &key);
        stopping.request_stop(ecs::TaskStopCode::UserInitiated, "by hand", world.now);
        world.put(stopping);
    }
    world.report(
        &key,
        &TaskReport {
            status: Some(TaskStatus::Stopped),
            reason: reason.map(str::to_owned),
            containers: vec![container],
            ..TaskReport::default()
        },
    );
    let stopped = task(&world, &key);
    assert_eq!((stopped.stop_code.unwrap(), stopped.stopped_reason.as_deref().unwrap()), want);
    let failed = world.service().deployments[0].failed_tasks;
    assert_eq!(failed, i32::from(want.0 == ecs::TaskStopCode::TaskFailedToStart));
}

#[test]
fn why_a_task_stopped_is_settled_here() {
    use ecs::TaskStopCode::{EssentialContainerExited, TaskFailedToStart, UserInitiated};
    let exit = |exit_code, reason: Option<&str>| ContainerReport {
        name: "web".into(),
        exit_code,
        reason: reason.map(str::to_owned),
        ..ContainerReport::default()
    };
    let pull = "CannotPullContainerError: not found";
    explains(true, false, exit(Some(0), None), None, (EssentialContainerExited, report::ESSENTIAL_EXITED));
    explains(false, false, exit(Some(3), None), None, (EssentialContainerExited, report::ESSENTIAL_EXITED));
    explains(true, false, exit(None, None), Some("Timeout"), (EssentialContainerExited, "Timeout"));
    explains(false, false, exit(None, Some(pull)), None, (TaskFailedToStart, pull));
    explains(
        false,
        false,
        exit(Some(128), Some("CannotStartContainerError: x")),
        Some("no"),
        (TaskFailedToStart, "no"),
    );
    explains(false, false, exit(None, None), None, (TaskFailedToStart, "Task failed to start"));
    explains(true, true, exit(Some(137), None), Some("killed"), (UserInitiated, "by hand"));
    explains(false, true, exit(None, None), None, (UserInitiated, "by hand"));
}

#[test]
fn the_words_of_amazons_agent_are_understood() {
    for (text, want) in [
        ("NONE", Some(TaskStatus::Pending)),
        ("MANIFEST_PULLED", Some(TaskStatus::Pending)),
        ("CREATED", Some(TaskStatus::Activating)),
        ("RESOURCES_PROVISIONED", Some(TaskStatus::Running)),
        ("RUNNING", Some(TaskStatus::Running)),
        ("STOPPED", Some(TaskStatus::Stopped)),
        ("running", None),
        ("", None),
    ] {
        assert_eq!(status(text), want, "{text}");
    }
}
