//! An edge, targets and clients on loopback, all of raw bytes.

pub mod h2;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use longshore_edge::Edge;
use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// For what must happen; only a test that fails waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const PORT: u16 = 28_080;

/// An address of this test alone, also beside other processes of tests. A process has 2048.
pub fn own_address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (process, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed) % 2048);
    let own = (1 + process % 250) << 16 | (process / 250 % 32) << 11 | next;
    IpAddr::V4(Ipv4Addr::from_bits(127 << 24 | own))
}

/// A task that ends with what holds it.
pub struct Task(tokio::task::JoinHandle<()>);

impl Task {
    pub fn spawn(does: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(does))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A target that serves one connection after the other, and each of them request by request.
pub struct Backend {
    pub address: SocketAddr,
    /// Heads and bodies that came, as they came.
    pub seen: Arc<parking_lot::Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
    _task: Task,
}

impl Backend {
    /// Answers each request with what `answer` makes of its head: `later` is to be asked again until it is something else,
    /// `never` nothing at all. A connection is closed after an answer with `connection: close`, and after one that is empty.
    pub async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (seen, connections) = (Arc::<parking_lot::Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (noted, counted, answer) = (seen.clone(), connections.clone(), Arc::new(answer));
        let task = Task::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                counted.fetch_add(1, Ordering::Relaxed);
                let (noted, answer) = (noted.clone(), answer.clone());
                tokio::spawn(async move { converse(stream, &noted, &*answer).await });
            }
        });
        Self { address, seen, connections, _task: task }
    }

    /// Answers 200 with its name.
    pub async fn named(name: &'static str) -> Self {
        Self::start(move |_| ok(name)).await
    }

    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// Waits until a request has come.
    pub async fn asked(&self) {
        let asked = async {
            while self.count() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("a request");
    }
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn converse(
    mut stream: TcpStream,
    seen: &parking_lot::Mutex<Vec<String>>,
    answer: &(dyn Fn(&str) -> String + Sync),
) {
    let mut came = Vec::new();
    while let Some(request) = message(&mut stream, &mut came).await {
        // Checks of health are no requests.
        if !request.contains("ELB-HealthChecker") {
            seen.lock().push(request.clone());
        }
        let mut given = answer(&request);
        while given == "later" {
            tokio::time::sleep(Duration::from_millis(5)).await;
            given = answer(&request);
        }
        let answer = given;
        if answer == "never" {
            tokio::time::sleep(PATIENCE).await;
        }
        let wrote = stream.write_all(answer.as_bytes()).await;
        if wrote.is_err() || answer.is_empty() || answer.contains("connection: close") {
            return;
        }
    }
}

/// The next whole message; `None` if the connection ended before one.
pub async fn message(stream: &mut TcpStream, came: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = message_end(came) {
            let message = came.drain(..end).collect();
            return String::from_utf8(message).ok();
        }
        let mut bytes = [0; 16 * 1024];
        let count = stream.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
        came.extend_from_slice(&bytes[..count]);
    }
}

fn message_end(came: &[u8]) -> Option<usize> {
    let head = came.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&came[..head]).to_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let length = came[head..].windows(5).position(|window| window == b"0\r\n\r\n")? + 5;
        return Some(head + length);
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
    let end = head + length.unwrap_or(0);
    (came.len() >= end).then_some(end)
}

/// A configuration with one listener and the group `g`.
pub fn configuration(kind: BalancerKind, ip: IpAddr, targets: &[SocketAddr]) -> EdgeConfiguration {
    let is_web = kind == BalancerKind::Application;
    let protocol = if is_web { ListenerProtocol::Http } else { ListenerProtocol::Tcp };
    let balancer = Balancer {
        name: "web.test".into(),
        addresses: vec![Address { ip, zone: "a".into(), inside: false }],
        listeners: vec![Listener::new("listener", PORT, protocol, Action::forward("g"))],
        ..Balancer::new("balancer", kind)
    };
    let targets = targets.iter().copied().map(Target::new).collect();
    let check = if is_web { GroupProtocol::Http } else { GroupProtocol::Tcp };
    let health_check =
        HealthCheck { protocol: check, unhealthy_threshold: 2, interval_seconds: 1, ..HealthCheck::default() };
    let group = TargetGroup { protocol: check, targets, health_check, ..TargetGroup::default() };
    EdgeConfiguration {
        generation: 1,
        balancers: vec![balancer],
        target_groups: [("g".to_owned(), group)].into(),
        ..EdgeConfiguration::default()
    }
}

pub fn group(configuration: &mut EdgeConfiguration) -> &mut TargetGroup {
    configuration.target_groups.get_mut("g").expect("the group")
}

pub fn millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    i64::try_from(since.as_millis()).expect("a time")
}

/// An edge that serves a configuration, and where.
pub async fn serve(configuration: &EdgeConfiguration) -> (Edge, SocketAddr) {
    let edge = Edge::new();
    edge.apply(configuration.clone()).await.expect("a configuration");
    let report = edge.report().await;
    assert_eq!(report.problems, []);
    (edge, SocketAddr::new(configuration.balancers[0].addresses[0].ip, PORT))
}

/// An edge for an application load balancer with these targets.
pub async fn balance(targets: &[SocketAddr]) -> (Edge, SocketAddr) {
    serve(&configuration(BalancerKind::Application, own_address(), targets)).await
}

/// Waits until a target has this state.
pub async fn until(edge: &Edge, port: u16, state: TargetState) -> TargetHealth {
    let found = async {
        loop {
            let health = edge.whole_report().await.health;
            if let Some(health) = health.into_iter().find(|health| health.port == port && health.state == state) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the target's state")
}

/// Sends bytes on a connection of their own and reads all that comes until it is closed.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.write_all(bytes).await.expect("the edge reads");
    rest(&mut stream).await
}

pub async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the edge closes the connection").expect("no reset");
    String::from_utf8(answer).expect("text")
}

/// A plain `GET`, after which the connection is closed.
pub async fn get(to: SocketAddr, path: &str) -> String {
    raw(to, format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await
}

pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}
