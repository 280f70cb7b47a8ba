//! Each container parameter acts, seen from inside a real container or on its cgroup.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

use common::{Task, named, output, run, shell, side, task, texts};
use longshore_supervisor::cgroup::Layout;
use longshore_supervisor::protocol::{Command, ContainerPhase, Reply, StopCode};
use longshore_supervisor::spec::{ContainerSpec, LogConfig, Network, TaskCpu, TaskSpec, Ulimit};

/// The text of a file of a running container's cgroup.
fn cgroup_file(task: &Task, container: &str, controller: &str, v1: &str, v2: &str) -> String {
    let layout = Layout::detect().unwrap();
    let file = if matches!(layout, Layout::V1(_)) { v1 } else { v2 };
    let group =
        if container.is_empty() { task.spec.cgroup.clone() } else { format!("{}/{container}", task.spec.cgroup) };
    fs::read_to_string(layout.directory(controller, &group).unwrap().join(file)).unwrap().trim().to_string()
}

#[test]
fn a_container_does_not_see_where_its_cgroup_is() {
    let said = output(shell("cat /proc/self/cgroup"));
    assert!(said.lines().count() > 0 && said.lines().all(|line| line.ends_with(":/")), "{said}");
}

#[test]
fn working_directory_is_made_if_missing() {
    let container = |cwd: &str| ContainerSpec { cwd: cwd.into(), ..shell("pwd") };
    assert_eq!(output(container("")), "/\n");
    assert_eq!(output(container("/srv/made/deep")), "/srv/made/deep\n");
}

#[test]
fn user_is_looked_up_in_the_image() {
    let script = "id -u; id -g; id -G; echo $HOME; echo out > /dev/stdout; echo err > /dev/stderr";
    let said = |user: &str| output(ContainerSpec { user: user.into(), ..shell(script) });
    assert_eq!(said(""), "0\n0\n0\n/root\nout\nerr\n");
    assert_eq!(said("web"), "101\n102\n102 200\n/srv\nout\nerr\n");
    assert_eq!(said("1234:logs"), "1234\n200\n200\n/\nout\nerr\n");
}

#[test]
fn an_unknown_user_fails_the_task() {
    let mut task = Task::start(task(vec![ContainerSpec { user: "nobody-here".into(), ..shell("true") }]));
    task.until_stopped();
    let cause = task.status.stop.clone().unwrap();
    assert_eq!(cause.code, StopCode::TaskFailedToStart);
    assert!(cause.reason.contains("unable to find user nobody-here"), "{}", cause.reason);
}

#[test]
fn environment_is_given() {
    let env = texts(&["A=1", "B=two words", "EMPTY=", "LINES=a\nb"]);
    let said = output(ContainerSpec { env, ..shell("echo \"$A|$B|$EMPTY|$LINES|$PATH|$HOSTNAME\"") });
    assert_eq!(said, "1|two words||a\nb|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin|test-host\n");
}

#[test]
fn ulimits_are_set() {
    let limit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
    let ulimits = vec![limit("nofile", 1000, 2000), limit("core", 0, 0), limit("nproc", 500, 600)];
    let said = output(ContainerSpec { ulimits, ..shell("ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -Su; ulimit -Hu") });
    assert_eq!(said, "1000\n2000\n0\n500\n600\n");
}

#[test]
fn open_files_default_to_fargates_number_or_what_the_host_gives() {
    let (_, most) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    let said: u64 = output(shell("ulimit -n")).trim().parse().unwrap();
    assert!(said == 65_535 || (said == most && most < 65_535), "{said} of {most}");
}

#[test]
fn an_init_is_the_first_process() {
    let script = "cat /proc/1/cmdline | tr '\\0' ' '; echo; (sleep 0.1 & echo $! > /tmp/orphan); \
        while [ -e /proc/$(cat /tmp/orphan) ]; do sleep 0.05; done; \
        cat /proc/[0-9]*/stat | grep -c ' Z ' ; trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut task = Task::start(task(vec![ContainerSpec { init: true, ..shell(script) }]));
    task.until_said("main", "\nready");
    task.stop();
    task.until_stopped();
    assert_eq!(task.container("main").exit_code, Some(9), "the signal and the exit code go through");
    let said = task.log("main");
    assert!(said.starts_with("/dev/init -- /bin/sh -c "), "{said}");
    assert!(said.contains("\n0\nready\ngot\n"), "orphans are reaped: {said}");
}

#[test]
fn an_init_finds_programs_by_path_and_says_when_there_is_none() {
    let args = texts(&["echo", "found"]);
    assert_eq!(output(ContainerSpec { init: true, args, ..shell("") }), "found\n");
    let (code, said) = run(ContainerSpec { init: true, args: texts(&["no-such"]), ..shell("") });
    assert_eq!((code, said.as_str()), (Some(127), "init: cannot run no-such\n"));
}

fn capabilities(container: ContainerSpec) -> u64 {
    let said = output(ContainerSpec { args: texts(&["grep", "CapBnd", "/proc/self/status"]), ..container });
    u64::from_str_radix(said.split_whitespace().nth(1).unwrap(), 16).unwrap()
}

#[test]
fn capabilities_are_dockers_and_change() {
    const PTRACE: u64 = 1 << 19;
    let defaults = capabilities(shell(""));
    assert_eq!(defaults, 0xa80425fb);
    assert_eq!(capabilities(ContainerSpec { cap_add: texts(&["SYS_PTRACE"]), ..shell("") }), defaults | PTRACE);
    assert_eq!(capabilities(ContainerSpec { cap_drop: texts(&["ALL"]), ..shell("") }), 0);
    assert_eq!(capabilities(ContainerSpec { cap_drop: texts(&["CAP_NET_RAW"]), ..shell("") }), defaults & !(1 << 13));
}

#[test]
fn system_calls_are_filtered() {
    // A namespace of users would need no capability.
    let said = output(shell("grep Seccomp: /proc/self/status; unshare -U true 2>&1; true"));
    assert_eq!(said, "Seccomp:\t2\nunshare: unshare(0x10000000): Operation not permitted\n");
}

#[test]
fn privileged_lifts_the_filter() {
    let said = output(ContainerSpec {
        privileged: true,
        ..shell("grep Seccomp: /proc/self/status; mount -t tmpfs t /tmp && unshare -U echo mounted")
    });
    assert_eq!(said, "Seccomp:\t0\nmounted\n");
}

#[test]
fn system_controls_are_set() {
    let sysctls = BTreeMap::from([
        ("net.core.somaxconn".to_string(), "321".to_string()),
        ("kernel.msgmax".to_string(), "4242".to_string()),
    ]);
    let (network, _namespace) = own_network();
    let main = ContainerSpec { sysctls, ..shell("cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax") };
    let mut task = Task::start(TaskSpec { network, ..task(vec![main]) });
    task.until_stopped();
    assert_eq!(task.log("main"), "321\n4242\n");
}

#[test]
fn a_control_of_the_host_is_refused() {
    let sysctls = BTreeMap::from([("kernel.panic".to_string(), "1".to_string())]);
    let mut task = Task::start(task(vec![ContainerSpec { sysctls, ..shell("true") }]));
    task.until_stopped();
    assert!(task.status.stop.clone().unwrap().reason.contains("kernel.panic"));
}

#[test]
fn names_of_the_network_are_given() {
    let main = ContainerSpec {
        hostname: "ip-10-0-0-7".into(),
        hosts: "127.0.0.1 localhost\n10.1.2.3 somewhere\n".into(),
        resolv_conf: "nameserver 10.0.0.2\nsearch example.internal\n".into(),
        ..shell("hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf")
    };
    let expected = "ip-10-0-0-7\nip-10-0-0-7\n127.0.0.1 localhost\n10.1.2.3 somewhere\n\
        nameserver 10.0.0.2\nsearch example.internal\n";
    assert_eq!(output(main), expected);
}

#[test]
fn a_terminal_is_given() {
    let main =
        ContainerSpec { tty: true, stdin_open: true, ..shell("tty; [ -t 0 ] && [ -t 1 ] && echo yes; echo $TERM") };
    assert_eq!(output(main), "/dev/pts/0\nyes\nxterm\n");
    let quiet = ContainerSpec { tty: true, log: LogConfig::None, ..shell("seq 1 20000; exit 3") };
    assert_eq!(run(quiet).0, Some(3), "a terminal nobody listens to does not block");
}

#[test]
fn standard_input_stays_open_if_asked_for() {
    let mut open = Task::start(task(vec![ContainerSpec { stdin_open: true, ..shell("cat; echo ended") }]));
    open.until_running();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(open.container("main").status, ContainerPhase::Running);
    assert_eq!(output(shell("cat; echo ended")), "ended\n");
}

#[test]
fn too_much_memory_is_killed_and_said() {
    let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo never";
    let mut task = Task::start(task(vec![ContainerSpec {
        memory_mib: Some(32),
        ..shell(&format!("exec /bin/sh -c \"{}\"", script.replace('$', "\\$")))
    }]));
    task.until_stopped();
    let container = task.container("main");
    assert_eq!(container.exit_code, Some(137));
    assert_eq!(container.reason.as_deref(), Some("OutOfMemoryError: Container killed due to memory usage"));
}

#[test]
fn the_tasks_memory_binds_its_containers() {
    let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo never";
    let mut task = Task::start(TaskSpec { memory_mib: Some(48), ..task(vec![shell(script)]) });
    task.until_stopped();
    assert!(task.container("main").reason.unwrap().starts_with("OutOfMemoryError"));
    assert_eq!(task.container("main").exit_code, Some(137));
}

#[test]
fn a_fork_bomb_ends_at_the_tasks_limit() {
    // Not a bomb without end: where nothing limits it, this test fails and the machine stays usable.
    let bomb = "(i=0; while [ $i -lt 3000 ]; do sleep 1000 & i=$((i+1)); done; echo never) 2>/dev/null; echo full; \
        exec sleep 1000";
    let mut task = Task::start(task(vec![shell(bomb)]));
    task.until_said("main", "full");
    let count = || cgroup_file(&task, "", "pids", "pids.current", "pids.current").parse::<u32>().unwrap();
    assert!((1000..=1024).contains(&count()), "{} processes", count());
    assert!(!task.log("main").contains("never"));
    assert_eq!(output(shell("echo alive")), "alive\n", "another task does not notice");
    assert!((1000..=1024).contains(&count()), "{} processes", count());
    task.ask(Command::Stop { reason: None, timeout_seconds: Some(0) });
    task.until_stopped();
    assert_eq!(task.ask(Command::Release), Reply::Done);
    task.wait_for_supervisor();
}

#[test]
fn limits_are_in_the_cgroups() {
    let main = ContainerSpec {
        cpu_shares: Some(512),
        memory_mib: Some(64),
        memory_reservation_mib: Some(32),
        ..shell("sleep 60")
    };
    let cpu = TaskCpu { units: Some(256) };
    let mut task = Task::start(TaskSpec { cpu, memory_mib: Some(128), ..task(vec![main]) });
    task.until_running();
    assert_eq!(cgroup_file(&task, "main", "cpu", "cpu.shares", "cpu.weight").parse::<u64>().unwrap() % 493, 19);
    assert_eq!(cgroup_file(&task, "main", "memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    assert_eq!(
        cgroup_file(&task, "main", "memory", "memory.soft_limit_in_bytes", "memory.low"),
        (32 << 20).to_string()
    );
    assert_eq!(cgroup_file(&task, "", "memory", "memory.limit_in_bytes", "memory.max"), (128 << 20).to_string());
    let quota = cgroup_file(&task, "", "cpu", "cpu.cfs_quota_us", "cpu.max");
    assert_eq!(quota.split(' ').next(), Some("25000"));
    assert_eq!(cgroup_file(&task, "", "pids", "pids.max", "pids.max"), "1024");
}

#[test]
fn processor_time_is_held_to_the_quota() {
    let cpu = TaskCpu { units: Some(256) };
    let mut task = Task::start(TaskSpec { cpu, ..task(vec![shell("while :; do :; done")]) });
    task.until_running();
    let before = throttled(&task);
    // On a busy machine the loop may not get its quarter for a while.
    let held = (0..1200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        throttled(&task) > before
    });
    assert!(held, "a quarter of a processor is less than a loop wants");
}

fn throttled(task: &Task) -> u64 {
    let stat = cgroup_file(task, "", "cpu", "cpu.stat", "cpu.stat");
    stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok()).unwrap()
}

/// A network namespace of this test's own, as a file.
fn own_network() -> (Network, fs::File) {
    let thread = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        fs::File::open("/proc/thread-self/ns/net").unwrap()
    });
    let file = thread.join().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    (Network::Path { path: path.into() }, file)
}

#[test]
fn containers_of_a_task_share_its_network_and_nothing_else() {
    let (network, namespace) = own_network();
    let other = side(named("other", shell("sleep 60")));
    let main = shell("ls -l /proc/self/ns | grep -o '[a-z]*:\\[[0-9]*\\]'; cat /proc/net/dev | grep -c :; sleep 60");
    let mut task = Task::start(TaskSpec { network, ..task(vec![other, main]) });
    task.until_running();
    task.until("the other one", |t| t.containers.iter().all(|c| c.pid.is_some()));
    let link = |pid: u32, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let (main, other) = (task.container("main").pid.unwrap(), task.container("other").pid.unwrap());
    let expected = fs::read_link(format!("/proc/self/fd/{}", namespace.as_raw_fd())).unwrap();
    assert_eq!((link(main, "net"), link(other, "net")), (expected.clone(), expected));
    task.until_said("main", "cgroup:[");
    for kind in ["pid", "ipc", "uts", "mnt", "cgroup"] {
        assert_ne!(link(main, kind), link(other, kind), "{kind}");
        assert_ne!(link(main, kind), fs::read_link(Path::new("/proc/self/ns").join(kind)).unwrap(), "{kind}");
    }
}
