//! Each row of semantics.md's section on the life of a task, as a small play: inputs in, actions out.

use super::*;
use crate::spec::{Condition, ContainerSpec, Dependency, HealthCheck, RestartPolicy};

fn at(ms: u64) -> Now {
    Now { monotonic: ms, wall: 1_700_000_000_000 + ms }
}

fn container(name: &str) -> ContainerSpec {
    ContainerSpec { name: name.into(), id: format!("id-{name}"), ..ContainerSpec::default() }
}

fn after(name: &str, other: &str, condition: Condition) -> ContainerSpec {
    let depends_on = vec![Dependency { container: other.into(), condition }];
    ContainerSpec { depends_on, ..container(name) }
}

fn side(spec: ContainerSpec) -> ContainerSpec {
    ContainerSpec { essential: false, ..spec }
}

fn machine(containers: Vec<ContainerSpec>) -> Machine {
    Machine::new(&TaskSpec { containers, ..TaskSpec::default() }, 1).unwrap()
}

fn started(container: usize) -> Input {
    Input::Started { container, pid: 100 + container as u32 }
}

fn exited(container: usize, code: i32) -> Input {
    Input::Exited { container, code: Some(code), out_of_memory: false }
}

fn stop(timeout_ms: Option<u64>) -> Input {
    let cause = StopCause { code: StopCode::Requested, reason: "asked".into() };
    Input::Stop { cause, timeout_ms }
}

/// Plays `(time, input, expected actions)` rows.
fn check(machine: &mut Machine, rows: Vec<(u64, Input, Vec<Action>)>) {
    for (row, (time, input, expected)) in rows.into_iter().enumerate() {
        assert_eq!(machine.step(at(time), input.clone()), expected, "row {row}: {input:?} at {time}");
    }
}

use Action::{Check, Drain, Kill, Signal, Start};

#[test]
fn a_task_runs_when_its_essential_containers_have_started() {
    let mut task = machine(vec![container("a"), side(container("b"))]);
    check(&mut task, vec![(0, Input::Tick, vec![Start(0), Start(1)])]);
    assert_eq!(task.phase(), TaskPhase::Activating);
    check(&mut task, vec![(5, started(0), vec![])]);
    assert_eq!(task.phase(), TaskPhase::Running);
    assert_eq!(task.status().started_at, Some(at(5).wall));
}

#[test]
fn an_essential_exit_stops_the_others_whatever_the_code() {
    for code in [0, 1, 137] {
        let mut task = machine(vec![container("a"), side(container("b"))]);
        check(
            &mut task,
            vec![
                (0, Input::Tick, vec![Start(0), Start(1)]),
                (1, started(0), vec![]),
                (1, started(1), vec![]),
                (9, exited(0, code), vec![Signal(1)]),
                (10, exited(1, 143), vec![Drain]),
                (11, Input::Drained, vec![]),
            ],
        );
        let status = task.status();
        assert_eq!(status.phase, TaskPhase::Stopped);
        assert_eq!(status.stop.unwrap().code, StopCode::EssentialContainerExited);
        assert_eq!(status.containers[0].exit_code, Some(code));
        assert_eq!(status.execution_stopped_at, Some(at(10).wall));
    }
}

#[test]
fn a_side_container_may_exit_without_end_of_the_task() {
    let mut task = machine(vec![container("a"), side(container("b"))]);
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0), Start(1)]),
            (1, started(0), vec![]),
            (1, started(1), vec![]),
            (9, exited(1, 1), vec![]),
        ],
    );
    assert_eq!(task.phase(), TaskPhase::Running);
}

#[test]
fn conditions_hold_back_until_met() {
    let rows: Vec<(Condition, Vec<Input>, Vec<Input>)> = vec![
        (Condition::Start, vec![], vec![started(0)]),
        (Condition::Complete, vec![started(0)], vec![exited(0, 3)]),
        (Condition::Success, vec![started(0)], vec![exited(0, 0)]),
    ];
    for (condition, before, then) in rows {
        let mut task = machine(vec![side(container("a")), after("b", "a", condition)]);
        assert_eq!(task.step(at(0), Input::Tick), vec![Start(0)]);
        for input in before {
            assert_eq!(task.step(at(1), input), vec![], "{condition:?}");
        }
        for input in then {
            assert_eq!(task.step(at(2), input), vec![Start(1)], "{condition:?}");
        }
    }
}

#[test]
fn success_that_can_no_longer_come_ends_the_task() {
    let mut task = machine(vec![side(container("a")), after("b", "a", Condition::Success)]);
    check(&mut task, vec![(0, Input::Tick, vec![Start(0)]), (1, started(0), vec![]), (2, exited(0, 7), vec![Drain])]);
    let cause = task.status().stop.unwrap();
    assert_eq!(cause.code, StopCode::TaskFailedToStart);
    assert_eq!(cause.reason, "dependency container a exited with code 7, SUCCESS was needed");
}

#[test]
fn an_impossible_dependency_of_a_side_container_ends_only_it() {
    let mut task = machine(vec![container("main"), side(container("a")), side(after("b", "a", Condition::Success))]);
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0), Start(1)]),
            (1, started(0), vec![]),
            (1, started(1), vec![]),
            (2, exited(1, 1), vec![]),
        ],
    );
    assert_eq!(task.phase(), TaskPhase::Running);
    assert_eq!(task.container(2).status, ContainerPhase::Stopped);
}

#[test]
fn a_dependency_beyond_its_start_timeout_stops_the_task() {
    let slow = ContainerSpec { start_timeout_seconds: Some(2), ..side(container("a")) };
    let mut task = machine(vec![slow, after("b", "a", Condition::Complete)]);
    check(&mut task, vec![(0, Input::Tick, vec![Start(0)]), (100, started(0), vec![])]);
    assert_eq!(task.deadline(), Some(2100));
    check(&mut task, vec![(2099, Input::Tick, vec![]), (2100, Input::Tick, vec![Signal(0)])]);
    assert_eq!(task.status().stop.unwrap().code, StopCode::TaskFailedToStart);
}

#[test]
fn containers_stop_in_reverse_order_and_are_killed_after_their_timeout() {
    let db = ContainerSpec { stop_timeout_seconds: Some(2), ..container("db") };
    let mut task = machine(vec![db, after("web", "db", Condition::Start)]);
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0)]),
            (1, started(0), vec![Start(1)]),
            (2, started(1), vec![]),
            (10, stop(None), vec![Signal(1)]),
            (29_000, Input::Tick, vec![]),
            (30_010, Input::Tick, vec![Kill(1)]),
            (30_011, exited(1, 137), vec![Signal(0)]),
            (32_010, Input::Tick, vec![]),
            (32_011, Input::Tick, vec![Kill(0)]),
            (32_012, exited(0, 137), vec![Drain]),
        ],
    );
    assert_eq!(task.status().stop.unwrap().code, StopCode::Requested);
}

#[test]
fn a_second_stop_only_shortens_the_wait() {
    let mut task = machine(vec![container("a")]);
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0)]),
            (1, started(0), vec![]),
            (10, stop(None), vec![Signal(0)]),
            (20, stop(Some(60_000)), vec![]),
            (30, stop(Some(1_000)), vec![]),
            (1_030, Input::Tick, vec![Kill(0)]),
        ],
    );
}

#[test]
fn a_stop_without_time_kills_at_once() {
    let mut task = machine(vec![container("a")]);
    check(
        &mut task,
        vec![(0, Input::Tick, vec![Start(0)]), (1, started(0), vec![]), (10, stop(Some(0)), vec![Kill(0)])],
    );
}

#[test]
fn a_stop_during_a_start_waits_for_the_start() {
    let mut task = machine(vec![container("a")]);
    check(&mut task, vec![(0, Input::Tick, vec![Start(0)]), (1, stop(None), vec![]), (2, started(0), vec![Signal(0)])]);
}

#[test]
fn an_essential_container_that_cannot_start_fails_the_task() {
    let mut task = machine(vec![container("a"), container("b")]);
    let failure = Input::StartFailed { container: 0, reason: "CannotStartContainerError: no".into() };
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0), Start(1)]),
            (1, started(1), vec![]),
            (2, failure, vec![Signal(1)]),
            (3, exited(1, 143), vec![Drain]),
        ],
    );
    let status = task.status();
    assert_eq!(status.stop.unwrap().code, StopCode::TaskFailedToStart);
    assert_eq!(status.started_at, None);
    assert_eq!(status.containers[0].exit_code, None);
}

#[test]
fn restart_policy_rows() {
    // (ran for ms, exit code, ignored, period s, restarts)
    let rows = [
        (60_000, 1, vec![], 60, true),
        (59_999, 1, vec![], 60, false),
        (60_000, 0, vec![], 60, true),
        (60_000, 0, vec![0], 60, false),
        (60_000, 2, vec![0, 2], 60, false),
        (299_999, 1, vec![], 300, false),
    ];
    for (ran, code, ignored, period, restarts) in rows {
        let policy = RestartPolicy {
            enabled: true,
            ignored_exit_codes: ignored.clone(),
            restart_attempt_period_seconds: period,
        };
        let mut task = machine(vec![ContainerSpec { restart_policy: Some(policy), ..container("a") }]);
        check(&mut task, vec![(0, Input::Tick, vec![Start(0)]), (7, started(0), vec![])]);
        let expected = if restarts { Start(0) } else { Drain };
        assert_eq!(task.step(at(7 + ran), exited(0, code)), vec![expected], "{ran} {code} {ignored:?} {period}");
        assert_eq!(task.container(0).restart_count, u32::from(restarts));
        let told = &task.status().containers[0];
        let expected = if restarts { (None, None) } else { (Some(code), Some(at(7 + ran).wall)) };
        assert_eq!((told.exit_code, told.finished_at), expected, "a new life knows nothing of the end of the last");
    }
}

#[test]
fn the_attempt_period_counts_from_the_last_restart_and_ends_with_a_stop() {
    let policy = RestartPolicy { enabled: true, ignored_exit_codes: vec![], restart_attempt_period_seconds: 60 };
    let mut task = machine(vec![ContainerSpec { restart_policy: Some(policy), ..container("a") }]);
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0)]),
            (0, started(0), vec![]),
            (60_000, exited(0, 1), vec![Start(0)]),
            (60_001, started(0), vec![]),
            (120_001, exited(0, 1), vec![Start(0)]),
            (120_002, started(0), vec![]),
            (200_000, stop(None), vec![Signal(0)]),
            (200_001, exited(0, 143), vec![Drain]),
        ],
    );
    assert_eq!(task.container(0).restart_count, 2);
}

fn checked_task(retries: u32, start_period_seconds: u32) -> Machine {
    let health_check = Some(HealthCheck {
        command: vec!["CMD".into(), "true".into()],
        interval_seconds: 5,
        timeout_seconds: 2,
        retries,
        start_period_seconds,
    });
    let mut task = machine(vec![ContainerSpec { health_check, ..container("a") }]);
    check(&mut task, vec![(0, Input::Tick, vec![Start(0)]), (0, started(0), vec![])]);
    task
}

/// Runs one check at the time it is due and returns the health after it.
fn next_check(task: &mut Machine, passed: bool) -> Health {
    let due = task.deadline().unwrap();
    assert_eq!(task.step(at(due), Input::Tick), vec![Check(0)]);
    task.step(at(due + 10), Input::Checked { container: 0, passed });
    task.status().health
}

#[test]
fn health_counts_failures_in_a_row() {
    let mut task = checked_task(3, 0);
    let results = [(true, Health::Healthy), (false, Health::Healthy), (false, Health::Healthy)];
    for (passed, expected) in results {
        assert_eq!(next_check(&mut task, passed), expected);
    }
    assert_eq!(next_check(&mut task, false), Health::Unhealthy);
    assert_eq!(next_check(&mut task, true), Health::Healthy);
    assert_eq!(task.phase(), TaskPhase::Running, "a task does not stop by its health");
}

#[test]
fn failures_in_the_start_period_do_not_count_until_a_success() {
    let mut task = checked_task(1, 60);
    assert_eq!(next_check(&mut task, false), Health::Unknown);
    assert_eq!(next_check(&mut task, true), Health::Healthy);
    assert_eq!(next_check(&mut task, false), Health::Unhealthy);
}

#[test]
fn failures_after_the_start_period_count() {
    let mut task = checked_task(1, 8);
    assert_eq!(next_check(&mut task, false), Health::Unknown);
    assert_eq!(next_check(&mut task, false), Health::Unhealthy);
}

#[test]
fn healthy_is_waited_for() {
    let health_check = Some(HealthCheck { interval_seconds: 5, ..HealthCheck::default() });
    let db = ContainerSpec { health_check, ..container("db") };
    let mut task = machine(vec![db, after("web", "db", Condition::Healthy)]);
    check(
        &mut task,
        vec![
            (0, Input::Tick, vec![Start(0)]),
            (0, started(0), vec![]),
            (5_000, Input::Tick, vec![Check(0)]),
            (5_001, Input::Checked { container: 0, passed: true }, vec![Start(1)]),
        ],
    );
}

#[test]
fn out_of_memory_is_said() {
    let mut task = machine(vec![container("a")]);
    check(&mut task, vec![(0, Input::Tick, vec![Start(0)]), (0, started(0), vec![])]);
    task.step(at(1), Input::Exited { container: 0, code: Some(137), out_of_memory: true });
    assert_eq!(task.container(0).reason.as_deref(), Some(OUT_OF_MEMORY));
}

#[test]
fn cycles_and_unknown_names_are_refused() {
    let cycle = vec![after("a", "b", Condition::Start), after("b", "a", Condition::Start)];
    let unknown = vec![after("a", "nobody", Condition::Start)];
    for containers in [cycle, unknown, vec![]] {
        assert!(Machine::new(&TaskSpec { containers, ..TaskSpec::default() }, 1).is_err());
    }
}
