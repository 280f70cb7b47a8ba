//! Output of real containers arrives in CloudWatch Logs, whatever the control plane does.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::address::{free_address, listen};
use common::{PATIENCE, Task, shell, task};
use longshore_supervisor::protocol::{Command, Reply, StopCode};
use longshore_supervisor::spec::{AwsLogs, ContainerSpec, LogConfig, LogEndpoint, RestartPolicy, TaskSpec};
use serde_json::Value;

/// A CloudWatch Logs that knows one group and stores each batch once, and another that is never ready to take one.
struct Logs {
    address: String,
    messages: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Logs {
    fn start() -> Logs {
        Logs::start_at(&free_address())
    }

    fn start_at(address: &str) -> Logs {
        let listener = listen(address);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (store, ending) = (messages.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut batches = BTreeSet::new();
            while !ending.load(Ordering::SeqCst) {
                match listener.accept() {
                    // One call a connection: the pump has to open a new one each time.
                    // Who gives up on a call comes again.
                    Ok((stream, _)) => drop(serve(stream, &store, &mut batches)),
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        Logs { address, messages, stop, thread: Some(thread) }
    }

    fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(stream: TcpStream, store: &Mutex<Vec<String>>, batches: &mut BTreeSet<String>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut reader = BufReader::new(stream);
    let (mut length, mut batch, mut operation) = (0, String::new(), String::new());
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-longshore-batch" => batch = value.to_string(),
            "x-amz-target" => operation = value.to_string(),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let known = body["logGroupName"] == "/ecs/known";
    let put = operation.ends_with("PutLogEvents");
    let busy = body["logGroupName"] == "/ecs/busy";
    if known && put && batches.insert(batch) {
        let list = body["logEvents"].as_array().unwrap();
        store.lock().unwrap().extend(list.iter().map(|e| e["message"].as_str().unwrap().to_string()));
    }
    let answer = match known || busy {
        true if busy && put => "HTTP/1.1 503 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        true => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        false => "HTTP/1.1 400 X\r\nContent-Length: 38\r\n\r\n{\"__type\":\"ResourceNotFoundException\"}",
    };
    reader.get_mut().write_all(answer.as_bytes())
}

fn logged(group: &str, address: &str, container: ContainerSpec) -> TaskSpec {
    let options = AwsLogs { group: group.into(), stream: "a/main/b".into(), ..AwsLogs::default() };
    let log_endpoint = Some(LogEndpoint { address: address.into(), ..LogEndpoint::default() });
    TaskSpec { log_endpoint, ..task(vec![ContainerSpec { log: LogConfig::Awslogs(options), ..container }]) }
}

#[test]
fn all_output_arrives_before_the_task_counts_as_stopped() {
    let logs = Logs::start();
    let script = "seq 1 5000; echo to stderr >&2; printf 'last words'";
    let mut task = Task::start(logged("/ecs/known", &logs.address, shell(script)));
    task.until_stopped();
    let mut messages = logs.messages();
    let errors = messages.iter().position(|text| text == "to stderr").unwrap();
    messages.remove(errors);
    let expected = (1..=5000).map(|n| n.to_string()).chain(["last words".to_string()]);
    assert_eq!(messages, expected.collect::<Vec<_>>());
}

#[test]
fn output_of_all_lives_of_a_container_arrives() {
    let logs = Logs::start();
    let policy = RestartPolicy { enabled: true, ignored_exit_codes: vec![0], restart_attempt_period_seconds: 0 };
    let script = "echo life; [ -f /tmp/once ] && exit 0; touch /tmp/once; exit 1";
    let container = ContainerSpec { restart_policy: Some(policy), ..shell(script) };
    let mut task = Task::start(logged("/ecs/known", &logs.address, container));
    task.until_stopped();
    assert_eq!(logs.messages(), ["life", "life"]);
}

#[test]
fn a_terminals_output_arrives() {
    let logs = Logs::start();
    let container = ContainerSpec { tty: true, ..shell("echo one; echo two >&2") };
    let mut task = Task::start(logged("/ecs/known", &logs.address, container));
    task.until_stopped();
    assert_eq!(logs.messages(), ["one", "two"]);
}

#[test]
fn a_missing_group_fails_the_task_before_anything_runs() {
    let logs = Logs::start();
    let mut task = Task::start(logged("/ecs/unknown", &logs.address, shell("touch /tmp/ran")));
    task.until_stopped();
    let cause = task.status.stop.clone().unwrap();
    assert_eq!(cause.code, StopCode::TaskFailedToStart);
    assert!(
        cause.reason.starts_with("ResourceInitializationError: failed to validate logger args: "),
        "{}",
        cause.reason
    );
    assert!(cause.reason.contains("ResourceNotFoundException"), "{}", cause.reason);
    assert_eq!(task.container("main").started_at, None);
    assert!(!task.dir.join("c0/upper/tmp/ran").exists());
}

#[test]
fn a_task_ends_while_the_control_plane_is_away_and_its_lines_come_later() {
    let address = Logs::start().address.clone();
    let mut task = Task::start(logged("/ecs/known", &address, shell("echo patient")));
    let since = Instant::now();
    task.until_stopped();
    assert!(since.elapsed() >= Duration::from_secs(4), "{:?}", since.elapsed());
    assert_eq!(task.ask(Command::Release), Reply::Done);
    assert!(!task.dir.exists(), "released at once");
    let logs = Logs::start_at(&address);
    let until = Instant::now() + PATIENCE;
    while logs.messages().is_empty() {
        assert!(Instant::now() < until, "the lines do not come");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(logs.messages(), ["patient"]);
    task.wait_for_supervisor();
}

#[test]
fn no_line_is_lost_to_an_outage_that_began_long_before_the_release() {
    let address = Logs::start().address.clone();
    let mut task = Task::start(logged("/ecs/known", &address, shell("seq 1 100000")));
    task.until_stopped();
    std::thread::sleep(Duration::from_secs(35));
    assert_eq!(task.ask(Command::Release), Reply::Done);
    std::thread::sleep(Duration::from_secs(2));
    let logs = Logs::start_at(&address);
    task.wait_for_supervisor();
    let got = logs.messages();
    assert!(got.iter().cloned().eq((1..=100_000).map(|n| n.to_string())), "{} lines came", got.len());
}

#[test]
fn no_line_is_lost_to_an_outage_that_lasts_long_after_the_release() {
    let address = Logs::start().address.clone();
    let mut task = Task::start(logged("/ecs/known", &address, shell("seq 1 100000")));
    task.until_stopped();
    assert_eq!(task.ask(Command::Release), Reply::Done);
    std::thread::sleep(Duration::from_secs(35));
    let logs = Logs::start_at(&address);
    task.wait_for_supervisor();
    let got = logs.messages();
    assert!(got.iter().cloned().eq((1..=100_000).map(|n| n.to_string())), "{} lines came", got.len());
}

#[test]
fn a_server_that_answers_but_never_takes_is_given_up() {
    let logs = Logs::start();
    let mut task = Task::start(logged("/ecs/busy", &logs.address, shell("echo lost")));
    task.until_stopped();
    assert_eq!(task.ask(Command::Release), Reply::Done);
    let since = Instant::now();
    task.wait_for_supervisor();
    assert!(since.elapsed() >= Duration::from_secs(29), "{:?}", since.elapsed());
}

#[test]
fn logs_that_nobody_takes_are_given_up_when_asked() {
    let address = Logs::start().address.clone();
    let mut task = Task::start(logged("/ecs/known", &address, shell("echo lost; touch /tmp/said; sleep 1000")));
    task.until_running();
    let begun = Instant::now();
    while !task.dir.join("c0/upper/tmp/said").exists() {
        assert!(begun.elapsed() < PATIENCE, "the container says nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    let since = Instant::now();
    assert_eq!(task.ask(Command::GiveUpLogs { after_seconds: 1 }), Reply::Done);
    assert_eq!(task.ask(Command::GiveUpLogs { after_seconds: 60 }), Reply::Done, "which does not make it longer");
    task.ask(Command::Stop { reason: None, timeout_seconds: Some(0) });
    task.until_stopped();
    assert_eq!(task.ask(Command::Release), Reply::Done);
    task.wait_for_supervisor();
    assert!((1..50).contains(&since.elapsed().as_secs()), "{:?}", since.elapsed());
}

#[test]
fn a_bad_pattern_fails_the_task() {
    let mut spec = logged("/ecs/known", "127.0.0.1:9", shell("true"));
    if let LogConfig::Awslogs(options) = &mut spec.containers[0].log {
        options.multiline_pattern = Some("(".into());
    }
    let mut task = Task::start(spec);
    task.until_stopped();
    assert!(task.status.stop.clone().unwrap().reason.contains("not a regular expression"));
}
