//! The life of a task on real containers: order, exits, stops, restarts, health.

mod common;

use common::{PATIENCE, Task, held, named, output, run, shell, side, task};
use longshore_supervisor::protocol::{Command, ContainerPhase, Health, Message, Reply, StopCode, TaskPhase};
use longshore_supervisor::spec::{
    Condition, ContainerSpec, Dependency, HealthCheck, RestartPolicy, RuntimeKind, RuntimeSpec, TaskSpec,
};
use longshore_supervisor::{is_held, reap, runtime};
use std::time::{Duration, Instant};

fn after(other: &str, condition: Condition, container: ContainerSpec) -> ContainerSpec {
    let depends_on = vec![Dependency { container: other.into(), condition }];
    ContainerSpec { depends_on, ..container }
}

const FOREVER: &str = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";

#[test]
fn a_task_runs_and_its_end_is_told() {
    let mut task = Task::start(task(vec![shell(&held("echo hello; exit 7"))]));
    task.until_running();
    task.go("main");
    task.until_stopped();
    let container = task.container("main");
    assert_eq!((container.exit_code, container.status), (Some(7), ContainerPhase::Stopped));
    assert!(container.started_at <= container.finished_at);
    let cause = task.status.stop.clone().unwrap();
    assert_eq!(cause.code, StopCode::EssentialContainerExited);
    assert_eq!(cause.reason, "Essential container in task exited");
    assert_eq!(task.log("main"), "hello\n");
}

#[test]
fn command_and_entry_point_are_run_as_given() {
    let args = ["echo", "a b", "$HOME", "*"].map(str::to_string).to_vec();
    assert_eq!(output(ContainerSpec { args, ..shell("") }), "a b $HOME *\n");
}

#[test]
fn what_cannot_start_fails_the_task() {
    let args = vec!["/no/such/program".to_string()];
    let mut task = Task::start(task(vec![ContainerSpec { args, ..shell("") }]));
    task.until_stopped();
    let cause = task.status.stop.clone().unwrap();
    assert_eq!(cause.code, StopCode::TaskFailedToStart);
    assert!(cause.reason.starts_with("CannotStartContainerError: "), "{}", cause.reason);
    assert!(cause.reason.contains("/no/such/program"), "{}", cause.reason);
    assert_eq!(task.container("main").exit_code, None);
}

#[test]
fn many_short_containers_all_tell_their_end() {
    let containers = (0..8).map(|n| side(named(&format!("c{n}"), shell(&format!("exit {n}"))))).collect::<Vec<_>>();
    let mut all = containers;
    all.push(named("main", shell("sleep 1000")));
    let mut task = Task::start(task(all));
    task.until("eight ends", |t| t.containers[..8].iter().all(|c| c.status == ContainerPhase::Stopped));
    for n in 0..8 {
        assert_eq!(task.container(&format!("c{n}")).exit_code, Some(n));
    }
}

#[test]
fn an_essential_exit_stops_the_others_with_their_signal() {
    let other = named("other", shell(FOREVER));
    let main = after("other", Condition::Start, shell(&held("exit 0")));
    let mut task = Task::start(task(vec![other, main]));
    task.until_running();
    task.until_said("other", "ready");
    task.go("main");
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(0));
    assert_eq!(task.container("other").exit_code, Some(0));
    assert_eq!(task.log("other"), "ready\nbye\n");
}

#[test]
fn a_side_container_that_exits_does_not_end_the_task() {
    let mut task = Task::start(task(vec![side(named("aside", shell("exit 3"))), shell(FOREVER)]));
    task.until("the end of the side container", |t| t.containers[0].status == ContainerPhase::Stopped);
    task.until_running();
    assert_eq!(task.container("main").status, ContainerPhase::Running);
}

#[test]
fn start_is_waited_for() {
    let first = side(named("first", shell("sleep 5")));
    let mut task = Task::start(task(vec![after("first", Condition::Start, shell("exit 0")), first]));
    task.until_stopped();
    assert!(task.container("first").started_at <= task.container("main").started_at);
}

#[test]
fn complete_is_waited_for_whatever_the_code() {
    let first = side(named("first", shell("sleep 0.3; exit 9")));
    let mut task = Task::start(task(vec![after("first", Condition::Complete, shell("exit 0")), first]));
    task.until_stopped();
    assert!(task.container("first").finished_at <= task.container("main").started_at);
    assert_eq!(task.container("main").exit_code, Some(0));
}

#[test]
fn success_is_waited_for_and_its_absence_ends_the_task() {
    let make = |code: u32| {
        let first = side(named("first", shell(&format!("exit {code}"))));
        Task::start(task(vec![after("first", Condition::Success, shell("exit 0")), first]))
    };
    let mut good = make(0);
    good.until_stopped();
    assert_eq!(good.container("main").exit_code, Some(0));
    let mut bad = make(1);
    bad.until_stopped();
    assert_eq!(bad.container("main").exit_code, None);
    assert_eq!(bad.status.stop.clone().unwrap().code, StopCode::TaskFailedToStart);
}

fn checked(command: &[&str], interval: u32, container: ContainerSpec) -> ContainerSpec {
    let health_check = Some(HealthCheck {
        command: command.iter().map(|c| c.to_string()).collect(),
        interval_seconds: interval,
        timeout_seconds: 60,
        retries: 1,
        start_period_seconds: 0,
    });
    ContainerSpec { health_check, ..container }
}

#[test]
fn healthy_is_waited_for() {
    let mut db = checked(&["CMD-SHELL", "test -f /tmp/ready"], 1, named("db", shell("touch /tmp/ready; sleep 600")));
    db.health_check.as_mut().unwrap().retries = 10;
    let mut task = Task::start(task(vec![side(db), after("db", Condition::Healthy, shell("exit 0"))]));
    task.until("healthy", |t| t.containers[0].health == Health::Healthy);
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(0));
}

/// The filter of system calls is handed to one runtime finished, and compiled by the other.
#[test]
fn containers_and_their_checks_are_filtered_by_every_runtime() {
    let filtered = "grep -q 'Seccomp:.*2' /proc/self/status && ! unshare -U true 2>/dev/null";
    let runtimes = runtime::detect().into_iter().filter(|runtime| runtime.kind != RuntimeKind::Runsc);
    let runtimes: Vec<_> = runtimes.map(|found| RuntimeSpec { kind: found.kind, path: found.path }).collect();
    assert_eq!(runtimes.len(), 2, "crun and runc are both tried: {runtimes:?}");
    for runtime in runtimes {
        let main = checked(&["CMD-SHELL", filtered], 1, shell(&format!("{filtered} && sleep 1000")));
        let mut task = Task::start(TaskSpec { runtime, ..task(vec![main]) });
        task.until("healthy", |t| t.health == Health::Healthy);
        task.stop();
        task.until_stopped();
    }
}

#[test]
fn health_follows_the_checks() {
    let main = checked(&["CMD", "/bin/test", "-f", "/tmp/ok"], 1, shell("touch /tmp/ok; sleep 1000"));
    let mut task = Task::start(task(vec![main]));
    task.until("healthy", |t| t.health == Health::Healthy);
    std::fs::remove_file(task.inside("main", "tmp/ok")).unwrap();
    task.until("unhealthy", |t| t.health == Health::Unhealthy);
    assert_eq!(task.status.phase, TaskPhase::Running);
}

#[test]
fn a_check_that_hangs_is_a_failure_and_is_killed() {
    let mut main = checked(&["CMD-SHELL", "sleep 1000"], 1, shell("sleep 600"));
    main.health_check.as_mut().unwrap().timeout_seconds = 1;
    let mut task = Task::start(task(vec![main]));
    task.until("unhealthy", |t| t.health == Health::Unhealthy);
    std::thread::sleep(Duration::from_secs(3));
    let layout = longshore_supervisor::cgroup::Layout::detect().unwrap();
    let sleeping =
        |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().contains("1000");
    let left = || layout.processes(&task.spec.cgroup).into_iter().filter(sleeping).count();
    // For a moment there may be one that ends beside one that begins.
    let one = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        left() <= 1
    });
    assert!(one, "no more than a check that is under way, but {}", left());
}

#[test]
fn a_start_timeout_ends_the_task() {
    let first = ContainerSpec { start_timeout_seconds: Some(1), ..side(named("first", shell("sleep 60"))) };
    let first = ContainerSpec { stop_timeout_seconds: Some(0), ..first };
    let mut task = Task::start(task(vec![first, after("first", Condition::Complete, shell("exit 0"))]));
    task.until_stopped();
    let cause = task.status.stop.clone().unwrap();
    assert_eq!(cause.code, StopCode::TaskFailedToStart);
    assert!(cause.reason.contains("start timeout"), "{}", cause.reason);
}

#[test]
fn a_stop_is_gentle_and_ordered() {
    let db = named("db", shell(FOREVER));
    let main = after("db", Condition::Start, shell(FOREVER));
    let mut task = Task::start(task(vec![db, main]));
    task.until_running();
    task.until_said("main", "ready");
    task.until_said("db", "ready");
    task.stop();
    task.until_stopped();
    assert!(task.container("main").finished_at <= task.container("db").finished_at);
    assert_eq!(task.log("db"), "ready\nbye\n");
    let cause = task.status.stop.clone().unwrap();
    assert_eq!((cause.code, cause.reason.as_str()), (StopCode::Requested, "Task stopped by request"));
}

#[test]
fn the_stop_signal_is_the_containers_own() {
    let script = "trap 'exit 42' USR1; trap 'exit 1' TERM; echo ready; while :; do sleep 0.05; done";
    let mut task = Task::start(task(vec![ContainerSpec { stop_signal: "SIGUSR1".into(), ..shell(script) }]));
    task.until_said("main", "ready");
    task.until_running();
    task.stop();
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(42));
}

#[test]
fn who_does_not_stop_is_killed_after_the_stop_timeout() {
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let mut task = Task::start(task(vec![ContainerSpec { stop_timeout_seconds: Some(2), ..shell(deaf) }]));
    task.until_said("main", "ready");
    let since = Instant::now();
    task.stop();
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(137));
    assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());
}

#[test]
fn a_restart_policy_starts_it_again_in_place() {
    let policy = RestartPolicy { enabled: true, ignored_exit_codes: vec![5], restart_attempt_period_seconds: 0 };
    let script =
        "n=$(cat /tmp/n 2>/dev/null); n=$((n+1)); echo $n > /tmp/n; echo life $n; [ $n = 3 ] && exit 5; exit 1";
    let mut task = Task::start(task(vec![ContainerSpec { restart_policy: Some(policy), ..shell(script) }]));
    task.until_stopped();
    let container = task.container("main");
    assert_eq!((container.restart_count, container.exit_code), (2, Some(5)));
    assert_eq!(task.log("main"), "life 1\nlife 2\nlife 3\n");
}

#[test]
fn an_agent_that_comes_back_gets_everything() {
    let mut task = Task::start(task(vec![shell(&held("echo done; exit 4"))]));
    task.until_running();
    task.disconnect();
    task.go("main");
    let since = Instant::now();
    while task.status.phase != TaskPhase::Stopped {
        assert!(since.elapsed() < PATIENCE, "what a new client is told first: {:#?}", task.status);
        std::thread::sleep(Duration::from_millis(20));
        task.connect();
    }
    assert_eq!(task.container("main").exit_code, Some(4));
    assert_eq!(task.log("main"), "done\n");
}

#[test]
fn sequences_have_no_gap_and_clients_see_the_same() {
    let mut task = Task::start(task(vec![side(named("aside", shell("exit 3"))), shell("sleep 0.3")]));
    let mut numbers = Vec::new();
    while task.status.phase != TaskPhase::Stopped {
        match task.next() {
            Message::Container { sequence, .. } | Message::Task { sequence, .. } => numbers.push(sequence),
            _ => {}
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    let before = task.status.clone();
    task.connect();
    assert_eq!(task.status, before);
}

#[test]
fn nonsense_on_the_socket_is_refused_and_harms_nothing() {
    use std::io::{BufRead, BufReader, Write};
    let mut task = Task::start(task(vec![shell(FOREVER)]));
    task.until_running();
    for line in ["{}", "null", "[1", "{\"id\":1,\"command\":\"burn\"}", "\u{0}"] {
        let mut stream = std::os::unix::net::UnixStream::connect(task.dir.join("sock")).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert!(lines.next().unwrap().unwrap().contains("snapshot"));
        assert!(lines.next().unwrap().unwrap().contains("refused"), "{line}");
    }
    let mut stream = std::os::unix::net::UnixStream::connect(task.dir.join("sock")).unwrap();
    let _ = stream.write_all(&vec![b'x'; 3 << 20]);
    assert!(matches!(task.ask(Command::Release), Reply::Refused { .. }), "not while it runs");
    assert_eq!(task.ask(Command::Snapshot), Reply::Done);
}

#[test]
fn stats_tell_of_real_use() {
    let mut task =
        Task::start(TaskSpec { memory_mib: Some(64), ..task(vec![shell("x=0; while :; do x=$((x+1)); done")]) });
    task.until_running();
    let sample = |task: &mut Task| match task.ask(Command::Stats) {
        Reply::Stats { containers } => containers["main"].clone(),
        other => panic!("{other:?}"),
    };
    let first = sample(&mut task).cpu_stats.cpu_usage.total_usage;
    let (mut stats, since) = (sample(&mut task), Instant::now());
    while stats.cpu_stats.cpu_usage.total_usage < first + 20_000_000 {
        assert!(since.elapsed() < PATIENCE, "a loop uses no processor: {:?}", stats.cpu_stats);
        std::thread::sleep(Duration::from_millis(100));
        stats = sample(&mut task);
        assert!(stats.cpu_stats.cpu_usage.total_usage > stats.precpu_stats.cpu_usage.total_usage);
    }
    assert!(stats.cpu_stats.system_cpu_usage > stats.precpu_stats.system_cpu_usage);
    assert!(stats.memory_stats.usage > 0);
    assert_eq!(stats.memory_stats.limit, 64 << 20);
    assert_eq!(stats.pids_stats.current, 1);
    assert_eq!(stats.read.len(), "2025-01-01T00:00:00.000000000Z".len());
}

#[test]
fn a_dead_supervisors_task_is_reaped() {
    let mut task = Task::start(task(vec![side(named("first", shell("exit 3"))), shell("sleep 1000")]));
    task.until_running();
    task.until("the first exit", |t| t.containers[0].status == ContainerPhase::Stopped);
    assert!(reap(&task.dir).is_err(), "not while it answers");
    let pid = task.container("main").pid.unwrap();
    task.kill_supervisor();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "containers outlive a killed supervisor");
    let remains = reap(&task.dir).unwrap();
    let status = remains.status.unwrap();
    assert_eq!(status.phase, TaskPhase::Stopped);
    assert_eq!(status.containers[0].exit_code, Some(3));
    assert_eq!(status.containers[1].exit_code, None);
    assert!(status.containers[1].reason.as_ref().unwrap().contains("unknown"));
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
}

#[test]
fn a_directory_has_one_supervisor_and_one_out_of_reach_is_ended() {
    let mut task = Task::start(task(vec![shell("sleep 1000")]));
    task.until_running();
    assert!(is_held(&task.dir));
    let program = env!("CARGO_BIN_EXE_longshore-supervise");
    let second = std::process::Command::new(program).arg(&task.dir).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("a supervisor runs in"), "{said}");
    assert!(reap(&task.dir).is_err(), "the first one answers still");
    std::fs::remove_file(task.dir.join("sock")).unwrap();
    assert_eq!(reap(&task.dir).unwrap().status.unwrap().phase, TaskPhase::Stopped);
    task.kill_supervisor();
}

#[test]
fn a_supervisor_that_hangs_is_ended() {
    let mut task = Task::start(task(vec![shell("sleep 1000")]));
    task.until_running();
    let (pid, supervisor) = (task.container("main").pid.unwrap(), task.supervisor_pid() as i32);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(supervisor), nix::sys::signal::SIGSTOP).unwrap();
    assert_eq!(reap(&task.dir).unwrap().status.unwrap().phase, TaskPhase::Stopped);
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
    task.kill_supervisor();
}

#[test]
fn termination_of_the_supervisor_stops_the_task_gently() {
    let mut task = Task::start(task(vec![shell(FOREVER)]));
    task.until_said("main", "ready");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(task.supervisor_pid() as i32), nix::sys::signal::SIGTERM)
        .unwrap();
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(0));
}

#[test]
fn runc_works_as_well() {
    let runtime = RuntimeSpec { kind: RuntimeKind::Runc, path: "/usr/sbin/runc".into() };
    let main =
        checked(&["CMD-SHELL", "test -f /tmp/ok"], 1, shell(&format!("echo hi; touch /tmp/ok; {}", held("exit 6"))));
    let mut task = Task::start(TaskSpec { runtime: runtime.clone(), ..task(vec![main]) });
    task.until("healthy", |t| t.health == Health::Healthy);
    task.go("main");
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(6));
    assert_eq!(task.log("main"), "hi\n");
    drop(task);
    let args = vec!["/no/such/program".to_string()];
    let mut bad = Task::start(TaskSpec { runtime, ..common::task(vec![ContainerSpec { args, ..shell("") }]) });
    bad.until_stopped();
    assert!(bad.status.stop.clone().unwrap().reason.contains("/no/such/program"));
}

#[test]
fn signals_reach_containers_as_they_left_the_kernel() {
    let runc = RuntimeSpec { kind: RuntimeKind::Runc, path: "/usr/sbin/runc".into() };
    for runtime in [RuntimeSpec::default(), runc] {
        let args = ["grep", "Sig", "/proc/self/status"].map(str::to_string).to_vec();
        let look = ContainerSpec { args, ..shell("") };
        let mut task = Task::start(TaskSpec { runtime: runtime.clone(), ..task(vec![look]) });
        task.until_stopped();
        let said = task.log("main");
        let mask = |name: &str| {
            let line = said.lines().find(|line| line.starts_with(name)).unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        // 32 and 33 are the C library's own; it lets nobody change them.
        assert_eq!((mask("SigBlk"), mask("SigIgn") & !0x1_8000_0000), (0, 0), "{said}");
        drop(task);
        let mut task = Task::start(TaskSpec { runtime, ..common::task(vec![shell(FOREVER)]) });
        task.until_said("main", "ready");
        task.until_running();
        task.stop();
        task.until_stopped();
        assert_eq!(task.container("main").exit_code, Some(0));
    }
}

#[test]
fn last_words_are_kept() {
    let (code, text) =
        run(shell("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; printf end; kill -9 $$"));
    assert_eq!(code, Some(0), "a first process cannot kill itself");
    assert!(text.starts_with("line 0\n") && text.ends_with("line 1999\nend\n"), "{}", text.len());
}
