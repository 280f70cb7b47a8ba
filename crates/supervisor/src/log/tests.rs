//! The whole pump against a small CloudWatch Logs on loopback that can be made to fail.

#[path = "../../tests/common/address.rs"]
mod address;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::spec::{AwsLogs, LogMode};
use address::{free_address, listen};

/// Nothing takes as long; but a busy machine may take long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the server is to do with the next PutLogEvents calls; then it behaves.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Store the batch and close the connection without an answer.
    LoseAnswer,
    /// Close before storing.
    LoseRequest,
    Throttle,
    Error500,
    /// Answer and then close, without saying so.
    CloseAfter,
    /// Forget group and stream before this call.
    Forget,
    RefuseForGood,
    Deny,
}

#[derive(Default)]
struct Store {
    groups: HashSet<String>,
    streams: HashSet<String>,
    events: Vec<(u64, String)>,
    batches: HashSet<String>,
    faults: Vec<Fault>,
    calls: BTreeMap<String, u32>,
    authorization: Option<String>,
}

struct Server {
    address: String,
    store: Arc<Mutex<Store>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start(address: &str, store: Arc<Mutex<Store>>) -> Server {
        let listener = listen(address);
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ending) = (store.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !ending.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => serve(stream, &shared, &ending),
                    Err(_) => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
        Server { address, store, stop, thread: Some(thread) }
    }

    fn end(mut self) -> String {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        self.address.clone()
    }
}

fn serve(stream: TcpStream, store: &Mutex<Store>, stop: &AtomicBool) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut reader = BufReader::new(stream);
    loop {
        match reader.fill_buf() {
            Ok([]) => return,
            Ok(_) => {}
            Err(_) if stop.load(Ordering::SeqCst) => return,
            Err(_) => continue,
        }
        reader.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        let (headers, body) = read_request(&mut reader);
        reader.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (answer, close) = store.lock().unwrap().handle(&headers, &body);
        if let Some((status, text)) = answer {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{text}", text.len());
            reader.get_mut().write_all(head.as_bytes()).unwrap();
        }
        if close {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> (BTreeMap<String, String>, Value) {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "POST / HTTP/1.1\r\n");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_string());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (headers, serde_json::from_slice(&body).unwrap())
}

type Answer = (Option<(u16, String)>, bool);

fn fault(status: u16, code: &str) -> Answer {
    (Some((status, format!("{{\"__type\":\"com.x#{code}\",\"message\":\"no\"}}"))), false)
}

impl Store {
    fn handle(&mut self, headers: &BTreeMap<String, String>, body: &Value) -> Answer {
        let operation = headers["x-amz-target"].strip_prefix("Logs_20140328.").unwrap().to_string();
        assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
        *self.calls.entry(operation.clone()).or_default() += 1;
        self.authorization = headers.get("authorization").cloned();
        let group = body["logGroupName"].as_str().unwrap().to_string();
        let stream = body["logStreamName"].as_str().unwrap_or_default().to_string();
        match operation.as_str() {
            "CreateLogGroup" if !self.groups.insert(group.clone()) => fault(400, "ResourceAlreadyExistsException"),
            "CreateLogStream" if !self.groups.contains(&group) => fault(400, "ResourceNotFoundException"),
            "CreateLogStream" if !self.streams.insert(stream.clone()) => fault(400, "ResourceAlreadyExistsException"),
            "PutLogEvents" => self.put(&stream, headers, body),
            _ => (Some((200, "{}".into())), false),
        }
    }

    fn put(&mut self, stream: &str, headers: &BTreeMap<String, String>, body: &Value) -> Answer {
        let wrong = if self.faults.is_empty() { None } else { Some(self.faults.remove(0)) };
        match wrong {
            Some(Fault::LoseRequest) => return (None, true),
            Some(Fault::Throttle) => return fault(400, "ThrottlingException"),
            Some(Fault::Error500) => return fault(500, "ServiceUnavailableException"),
            Some(Fault::RefuseForGood) => return fault(400, "InvalidParameterException"),
            Some(Fault::Deny) => return fault(400, "AccessDeniedException"),
            Some(Fault::Forget) => {
                self.groups.clear();
                self.streams.clear();
            }
            _ => {}
        }
        if !self.streams.contains(stream) {
            return fault(400, "ResourceNotFoundException");
        }
        self.store_once(&headers["x-longshore-batch"], body);
        match wrong {
            Some(Fault::LoseAnswer) => (None, true),
            Some(Fault::CloseAfter) => (Some((200, "{}".into())), true),
            _ => (Some((200, "{}".into())), false),
        }
    }

    fn store_once(&mut self, batch: &str, body: &Value) {
        if !self.batches.insert(batch.to_string()) {
            return;
        }
        let list = body["logEvents"].as_array().unwrap();
        let times: Vec<u64> = list.iter().map(|e| e["timestamp"].as_u64().unwrap()).collect();
        assert!(times.is_sorted(), "events of a call are in order of time");
        assert!(list.len() <= 10_000);
        let events = list.iter().map(|e| e["message"].as_str().unwrap().to_string());
        self.events.extend(times.into_iter().zip(events));
    }
}

fn options() -> AwsLogs {
    AwsLogs { group: "/ecs/test".into(), stream: "a/b/c".into(), create_group: true, ..AwsLogs::default() }
}

fn endpoint(address: &str) -> Endpoint {
    let endpoint = Endpoint::default();
    let headers = BTreeMap::from([("Authorization".to_string(), "AWS4-HMAC-SHA256 x".to_string())]);
    endpoint.set(LogEndpoint { address: address.into(), headers });
    endpoint
}

fn open(options: AwsLogs, address: &str) -> Log {
    let config = LogConfig::Awslogs(options);
    Log::open(&config, Path::new("/"), "pump".into(), endpoint(address), Arc::new(|| {})).unwrap()
}

fn attach(log: &Log) -> std::fs::File {
    let (read, write) = nix::unistd::pipe().unwrap();
    log.attach(vec![(read, "stdout")]).unwrap();
    std::fs::File::from(write)
}

fn drained(log: &Log) {
    log.drain();
    until("the log drains", || log.is_idle());
}

fn texts(store: &Mutex<Store>) -> Vec<String> {
    store.lock().unwrap().events.iter().map(|(_, text)| text.clone()).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("line {n}")).collect()
}

#[test]
fn lines_arrive_once_and_in_order_whatever_goes_wrong() {
    let faults = [
        vec![],
        vec![Fault::LoseAnswer],
        vec![Fault::LoseRequest, Fault::LoseRequest],
        vec![Fault::Throttle, Fault::Error500],
        vec![Fault::CloseAfter, Fault::CloseAfter],
        vec![Fault::Forget],
        vec![Fault::LoseAnswer, Fault::Forget, Fault::LoseAnswer, Fault::Throttle, Fault::CloseAfter],
    ];
    for wrong in faults {
        let store = Arc::new(Mutex::new(Store { faults: wrong.clone(), ..Store::default() }));
        let server = Server::start(&free_address(), store.clone());
        let log = open(options(), &server.address);
        log.wait_ready(PATIENCE).unwrap();
        let mut pipe = attach(&log);
        for (count, line) in numbered(3000).iter().enumerate() {
            writeln!(pipe, "{line}").unwrap();
            if count % 1000 == 0 {
                thread::sleep(Duration::from_millis(250));
            }
        }
        drop(pipe);
        drained(&log);
        assert_eq!(texts(&server.store), numbered(3000), "{wrong:?}");
        assert_eq!(store.lock().unwrap().authorization.as_deref(), Some("AWS4-HMAC-SHA256 x"));
        server.end();
    }
}

#[test]
fn a_server_that_comes_back_gets_everything() {
    let store = Arc::new(Mutex::new(Store::default()));
    let server = Server::start(&free_address(), store.clone());
    let log = open(options(), &server.address);
    log.wait_ready(PATIENCE).unwrap();
    let mut pipe = attach(&log);
    writeln!(pipe, "before").unwrap();
    until("the first line arrives", || texts(&store) == ["before"]);
    let address = server.end();
    writeln!(pipe, "while away").unwrap();
    thread::sleep(Duration::from_millis(600));
    let server = Server::start(&address, store.clone());
    write!(pipe, "last words").unwrap();
    drop(pipe);
    drained(&log);
    assert_eq!(texts(&store), ["before", "while away", "last words"]);
    server.end();
}

#[test]
fn a_new_endpoint_is_used() {
    let store = Arc::new(Mutex::new(Store::default()));
    let place = endpoint(&free_address());
    let config = LogConfig::Awslogs(options());
    let log = Log::open(&config, Path::new("/"), "pump".into(), place.clone(), Arc::new(|| {})).unwrap();
    assert_eq!(log.wait_ready(Duration::from_secs(1)), Ok(()), "not reachable is no reason to fail");
    let mut pipe = attach(&log);
    writeln!(pipe, "hello").unwrap();
    drop(pipe);
    let server = Server::start(&free_address(), store.clone());
    place.set(LogEndpoint { address: server.address.clone(), ..LogEndpoint::default() });
    drained(&log);
    assert_eq!(texts(&store), ["hello"]);
    server.end();
}

#[test]
fn a_missing_group_is_said_before_the_start() {
    let store = Arc::new(Mutex::new(Store::default()));
    let server = Server::start(&free_address(), store.clone());
    let log = open(AwsLogs { create_group: false, ..options() }, &server.address);
    let refusal = log.wait_ready(PATIENCE).unwrap_err();
    assert_eq!(refusal, "failed to create CloudWatch log stream: ResourceNotFoundException: no");
    drop(log);
    server.end();
}

#[test]
fn large_lines_are_split_and_nothing_is_lost() {
    let store = Arc::new(Mutex::new(Store::default()));
    let server = Server::start(&free_address(), store.clone());
    let log = open(AwsLogs { mode: LogMode::Blocking, ..options() }, &server.address);
    let mut pipe = attach(&log);
    let line: String = (0..3_000_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    pipe.write_all(line.as_bytes()).unwrap();
    writeln!(pipe, "\nend").unwrap();
    drop(pipe);
    drained(&log);
    let got = texts(&store);
    assert_eq!(got.last().unwrap(), "end");
    assert!(got.iter().all(|text| text.len() <= line::LARGEST));
    assert_eq!(got[..got.len() - 1].concat(), line);
    server.end();
}

#[test]
fn a_blocked_container_waits_and_loses_nothing() {
    let store = Arc::new(Mutex::new(Store::default()));
    let server = Server::start(&free_address(), store.clone());
    let address = server.end();
    let log = open(AwsLogs { mode: LogMode::Blocking, ..options() }, &address);
    let mut pipe = attach(&log);
    let line = "z".repeat(1000);
    let writer = thread::spawn(move || (0..6000).for_each(|n| writeln!(pipe, "{n} {line}").unwrap()));
    thread::sleep(Duration::from_millis(500));
    assert!(!writer.is_finished(), "six megabytes do not fit in the buffer");
    let server = Server::start(&address, store.clone());
    writer.join().unwrap();
    drained(&log);
    let numbers: Vec<String> = texts(&store).iter().map(|t| t.split(' ').next().unwrap().to_string()).collect();
    assert_eq!(numbers, (0..6000).map(|n| n.to_string()).collect::<Vec<_>>());
    server.end();
}

#[test]
fn a_container_that_does_not_wait_loses_the_oldest() {
    let store = Arc::new(Mutex::new(Store::default()));
    let server = Server::start(&free_address(), store.clone());
    let address = server.end();
    let limited = AwsLogs { max_buffer_bytes: Some(100_000), ..options() };
    let log = open(limited, &address);
    let mut pipe = attach(&log);
    let line = "z".repeat(974);
    (0..1000).for_each(|n| writeln!(pipe, "{n:04}{line}").unwrap());
    drop(pipe);
    until("all is read", || Arc::strong_count(&log.readers) == 1);
    let server = Server::start(&address, store.clone());
    drained(&log);
    let got = texts(&store);
    assert!(log.dropped() > 500);
    let told = |text: &String| -> Option<u64> {
        let count = text
            .strip_prefix("[longshore: ")?
            .strip_suffix(" earlier log events were dropped, the log buffer was full]")?;
        Some(count.parse().unwrap())
    };
    let notes: Vec<u64> = got.iter().filter_map(told).collect();
    assert!(got.last().unwrap().starts_with("0999"));
    assert_eq!(notes.iter().sum::<u64>(), log.dropped(), "{notes:?}");
    assert_eq!((got.len() - notes.len()) as u64 + log.dropped(), 1000);
    server.end();
}

#[test]
fn what_is_refused_for_good_is_given_up_and_counted() {
    let store = Arc::new(Mutex::new(Store { faults: vec![Fault::RefuseForGood], ..Store::default() }));
    let server = Server::start(&free_address(), store.clone());
    let log = open(options(), &server.address);
    let mut pipe = attach(&log);
    writeln!(pipe, "bad").unwrap();
    until("the refusal", || log.dropped() == 1);
    writeln!(pipe, "good").unwrap();
    drop(pipe);
    drained(&log);
    assert_eq!(texts(&store), ["good"]);
    assert_eq!(log.dropped(), 1);
    server.end();
}

#[test]
fn what_may_not_be_written_is_given_up_after_a_while_and_told_of() {
    let store = Arc::new(Mutex::new(Store { faults: vec![Fault::Deny; 10], ..Store::default() }));
    let server = Server::start(&free_address(), store.clone());
    let log = open(options(), &server.address);
    let mut pipe = attach(&log);
    writeln!(pipe, "denied").unwrap();
    until("the batch is given up", || log.dropped() == 1);
    writeln!(pipe, "allowed").unwrap();
    drop(pipe);
    drained(&log);
    let note = "[longshore: 1 earlier log events were dropped, their log stream could not be written to]";
    assert_eq!(texts(&store), [note, "allowed"]);
    // A denial that passes costs nothing.
    store.lock().unwrap().faults = vec![Fault::Deny; 2];
    let mut pipe = attach(&log);
    writeln!(pipe, "later").unwrap();
    drop(pipe);
    drained(&log);
    assert_eq!(texts(&store), [note, "allowed", "later"]);
    server.end();
}

#[test]
fn a_missing_group_that_may_not_be_made_blocks_nobody_for_ever() {
    let store = Arc::new(Mutex::new(Store { groups: HashSet::from(["/ecs/test".into()]), ..Store::default() }));
    let server = Server::start(&free_address(), store.clone());
    let log = open(AwsLogs { mode: LogMode::Blocking, create_group: false, ..options() }, &server.address);
    log.wait_ready(PATIENCE).unwrap();
    store.lock().unwrap().groups.clear();
    store.lock().unwrap().streams.clear();
    let mut pipe = attach(&log);
    let mut last = pipe.try_clone().unwrap();
    let line = "z".repeat(1000);
    let since = Instant::now();
    let writer = thread::spawn(move || (0..3500).for_each(|n| writeln!(pipe, "{n} {line}").unwrap()));
    while !writer.is_finished() {
        assert!(since.elapsed() < PATIENCE, "the container is stuck");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(since.elapsed() > Duration::from_secs(2), "a group may be gone for a moment: {:?}", since.elapsed());
    store.lock().unwrap().groups.insert("/ecs/test".into());
    writeln!(last, "end").unwrap();
    drop((last, writer.join().unwrap()));
    drained(&log);
    let got = texts(&store);
    let notes: Vec<&String> = got.iter().filter(|text| text.starts_with("[longshore: ")).collect();
    let dropped = log.dropped();
    assert!(dropped > 500);
    let note =
        format!("[longshore: {dropped} earlier log events were dropped, their log stream could not be written to]");
    assert_eq!(notes, [&note]);
    assert_eq!(got.len() as u64 - 1 + dropped, 3501, "each line has arrived or is counted");
    assert_eq!(got.last().unwrap(), "end");
    server.end();
}

#[test]
fn joined_lines_are_one_event() {
    let store = Arc::new(Mutex::new(Store::default()));
    let server = Server::start(&free_address(), store.clone());
    let with_format = AwsLogs { datetime_format: Some("%Y-%m-%d".into()), ..options() };
    let log = open(with_format, &server.address);
    let mut pipe = attach(&log);
    write!(pipe, "2025-01-01 a\n  b\n2025-01-02 c\n").unwrap();
    until("an event does not wait for ever", || texts(&store).len() == 2);
    assert_eq!(texts(&store), ["2025-01-01 a\n  b", "2025-01-02 c"]);
    drop(pipe);
    server.end();
}
