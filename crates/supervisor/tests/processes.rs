//! Containers that share a namespace of processes (`pidMode` `task`): what they see, how they end, what holds it.

mod common;

use std::fs;
use std::time::Duration;

use common::{Task, named, shell, side, task, texts};
use longshore_supervisor::protocol::{Command, ContainerPhase, Reply};
use longshore_supervisor::spec::{ContainerSpec, HealthCheck, RestartPolicy, TaskSpec};

fn shared(containers: Vec<ContainerSpec>) -> TaskSpec {
    TaskSpec { share_processes: true, ..task(containers) }
}

/// Waits until a shell condition holds. `ps` shows a script's own text too: no script spells out what another looks for.
fn until(condition: &str) -> String {
    format!("until {condition}; do sleep 0.02; done; ")
}

#[test]
fn containers_see_and_signal_each_other_and_their_exit_codes_are_known() {
    let other = side(named("other", shell("trap 'exit 9' TERM; n=27; while :; do sleep 0.0${n}1; done")));
    let script = until("ps | grep -q '[0]\\.0271'")
        + "cat /proc/1/cmdline; echo; kill -TERM $(ps | grep '[t]rap' | grep -v 'grep' | head -n 1 | awk '{print $1}'); exit 7";
    let mut task = Task::start_with(shared(vec![other, shell(&script)]), |layer| {
        std::os::unix::fs::symlink("busybox", layer.join("bin/awk")).unwrap();
    });
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(7), "{}", task.log("main"));
    assert_eq!(task.container("other").exit_code, Some(9));
    assert!(task.log("main").starts_with("/dev/init\0"), "{:?}", task.log("main"));
}

#[test]
fn what_a_container_leaves_behind_ends_with_it_and_the_others_go_on() {
    let leaving = side(named(
        "leaving",
        shell(&("n=12; sleep ${n}34 & sleep ${n}34 & ".to_string() + &until("ps | grep -q '[s]leep 77'"))),
    ));
    let script = until("ps | grep -q '[s]leep 1234'")
        + "n=7; sleep ${n}7 & "
        + &until("! ps | grep -q '[s]leep 1234'")
        + "echo gone; sleep 1000";
    let mut task = Task::start(shared(vec![shell(&script), leaving]));
    task.until_said("main", "gone");
    task.until("the end of one", |task| task.containers.iter().any(|c| c.status == ContainerPhase::Stopped));
    assert_eq!(task.container("leaving").exit_code, Some(0));
    assert_eq!(task.container("main").status, ContainerPhase::Running);
    task.ask(Command::Stop { reason: None, timeout_seconds: Some(0) });
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(137));
    let pause = pause_of(&task);
    assert_eq!(task.ask(Command::Release), Reply::Done);
    task.wait_for_supervisor();
    assert!(!fs::exists(format!("/proc/{pause}")).unwrap(), "what held the namespace is gone");
}

fn pause_of(task: &Task) -> i32 {
    fs::read_to_string(task.dir.join("pause/pid")).unwrap().trim().parse().unwrap()
}

#[test]
fn what_holds_the_namespace_reaps_and_cannot_be_killed_or_used() {
    let script = "(sleep 0.1 & echo $! > /tmp/orphan); while [ -e /proc/$(cat /tmp/orphan) ]; do sleep 0.05; done; \
        cat /proc/[0-9]*/stat | grep -c ' Z '; \
        for s in TERM KILL INT HUP STOP USR1; do kill -$s 1; done; sleep 0.1; kill -0 1 && echo alive; \
        ls /proc/1/root/bin /proc/1/root/etc 2>/dev/null; ls /proc/1/root/ | tr '\\n' ' '; grep CapEff /proc/1/status; \
        grep -c . /proc/1/root/run/longshore-test 2>/dev/null; ls /proc/1/fd | tr '\\n' ' '";
    let main = ContainerSpec { cap_add: texts(&["SYS_PTRACE"]), ..shell(script) };
    let mut task = Task::start(shared(vec![main]));
    task.until_stopped();
    assert_eq!(task.log("main"), "0\nalive\ndev proc sys CapEff:\t0000000000000000\n0 1 2 \n");
}

#[test]
fn restarts_and_health_checks_work_in_a_shared_namespace() {
    let restart_policy =
        RestartPolicy { enabled: true, ignored_exit_codes: vec![5], restart_attempt_period_seconds: 0 };
    let script = "n=43; sleep ${n}21 & until ps | grep -q \"[s]leep ${n}21\"; do sleep 0.02; done; \
        ps | grep -c \"[s]leep ${n}21\"; [ $(cat /lives 2>/dev/null | wc -l) = 2 ] && exit 5; \
        echo life >> /lives; exit 1";
    let again = side(named("again", ContainerSpec { restart_policy: Some(restart_policy), ..shell(script) }));
    let health_check = HealthCheck {
        command: texts(&["CMD-SHELL", "ps | grep -q '[s]leep 1000'"]),
        interval_seconds: 1,
        ..HealthCheck::default()
    };
    let main = ContainerSpec { health_check: Some(health_check), ..shell("sleep 1000") };
    let mut task = Task::start(shared(vec![again, main]));
    task.until("healthy", |task| format!("{:?}", task.health) == "Healthy");
    task.until("the last life", |task| task.containers[0].exit_code == Some(5));
    assert_eq!(task.log("again"), "1\n1\n1\n", "what one life leaves is gone in the next");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(task.container("main").status, ContainerPhase::Running);
}
