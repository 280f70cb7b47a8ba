//! A target of raw bytes that plays a script, and clients that send raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longshore_edge::Edge;
use longshore_link::edge::*;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::reader::{self, Request, Rest};
use crate::support::{self, PATIENCE, Task};

/// Where a connection to the target is.
pub struct Turn<'t> {
    /// Of those on which anything came, from 0.
    pub connection: usize,
    /// All that has come.
    pub came: &'t [u8],
    /// Whole requests in it.
    pub whole: usize,
    /// Things said so far.
    pub said: usize,
}

/// What a target says, and whether it closes the connection after it.
pub struct Say {
    pub bytes: Vec<u8>,
    pub close: bool,
}

impl Say {
    pub fn open(text: &str) -> Self {
        Self { bytes: text.into(), close: false }
    }
}

/// A target that says what its script says, and keeps what it hears. Health checks are connections without a byte.
pub struct Script {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    _task: Task,
}

#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    closed: bool,
}

type Play = dyn Fn(&Turn<'_>) -> Option<Say> + Send + Sync;

impl Script {
    /// Asks the script each time something came what is to be said now.
    pub async fn start(play: impl Fn(&Turn<'_>) -> Option<Say> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (kept, play) = (heard.clone(), Arc::new(play));
        let task = Task::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (kept, play) = (kept.clone(), play.clone());
                tokio::spawn(async move { converse(stream, &kept, &*play).await });
            }
        });
        Self { address, heard, _task: task }
    }

    /// Answers each whole request with the same bytes.
    pub async fn says(text: &str) -> Self {
        let text = text.to_owned();
        Self::start(move |turn| (turn.whole > turn.said).then(|| Say::open(&text))).await
    }

    pub async fn ok() -> Self {
        Self::says(&support::ok("hello")).await
    }

    /// What came, by connection.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().iter().map(|heard| heard.bytes.clone()).collect()
    }

    /// Whole requests, by connection; each connection must have carried nothing that is none.
    pub fn requests(&self) -> Vec<Vec<Request>> {
        let read = |bytes: Vec<u8>| {
            let reading = reader::read(&bytes);
            assert!(!matches!(reading.rest, Rest::Bad(_)), "{:?}: {}", reading.rest, bytes.escape_ascii());
            reading.requests
        };
        self.heard().into_iter().map(read).collect()
    }

    /// The only request there was.
    pub fn request(&self) -> Request {
        let all = self.requests().concat();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    /// Waits until the edge has closed every connection on which it said something.
    pub async fn closed(&self) {
        self.until("the edge closes its connections", |all| all.iter().all(|heard| heard.closed)).await;
    }

    /// Waits until the edge has closed the first connection on which it said something.
    pub async fn first_closed(&self) {
        self.until("the edge closes its first connection", |all| all.first().is_some_and(|heard| heard.closed)).await;
    }

    /// Waits until something has come that `is` true of.
    pub async fn hears(&self, is: impl Fn(&[u8]) -> bool) {
        self.until("the target hears it", |all| all.iter().any(|heard| is(&heard.bytes))).await;
    }

    async fn until(&self, what: &str, is: impl Fn(&[Heard]) -> bool) {
        let so = async {
            while !is(&self.heard.lock()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, so).await.expect(what);
    }
}

async fn converse(mut stream: TcpStream, kept: &Mutex<Vec<Heard>>, play: &Play) {
    let (mut place, mut said) = (None, 0);
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        let place = *place.get_or_insert_with(|| {
            let mut all = kept.lock();
            all.push(Heard::default());
            all.len() - 1
        });
        let came = {
            let heard = &mut kept.lock()[place].bytes;
            heard.extend_from_slice(&bytes[..count]);
            heard.clone()
        };
        let whole = reader::read(&came).requests.len();
        while let Some(say) = play(&Turn { connection: place, came: &came, whole, said }) {
            said += 1;
            if stream.write_all(&say.bytes).await.is_err() || say.close {
                kept.lock()[place].closed = true;
                return;
            }
        }
    }
    if let Some(place) = place {
        kept.lock()[place].closed = true;
    }
}

/// A configuration with this target, whose health is looked at by connecting, and seldom.
pub fn configuration(script: &Script) -> EdgeConfiguration {
    let ip = support::own_address();
    let mut configuration = support::configuration(BalancerKind::Application, ip, &[script.address]);
    let check = &mut support::group(&mut configuration).health_check;
    check.protocol = GroupProtocol::Tcp;
    check.interval_seconds = 300;
    configuration
}

/// An edge before this target.
pub async fn balance(script: &Script) -> (Edge, SocketAddr) {
    support::serve(&configuration(script)).await
}

/// An edge before this target that is impatient: its idle timeout is a second.
pub async fn hasty(script: &Script) -> (Edge, SocketAddr) {
    let mut configuration = configuration(script);
    configuration.balancers[0].attributes.idle_timeout_seconds = 1;
    support::serve(&configuration).await
}

/// Sends bytes and reads until the edge closes the connection.
pub async fn ask(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    // The edge may close before it has read all.
    let _ = stream.write_all(bytes).await;
    read_out(&mut stream).await
}

/// Sends bytes, then ends its side, and reads until the edge closes the connection.
pub async fn ask_and_end(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.write_all(bytes).await.expect("the edge reads");
    stream.shutdown().await.expect("the end");
    read_out(&mut stream).await
}

/// Reads until the edge closes the connection.
pub async fn read_out(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.expect("the edge closes the connection").expect("no reset");
    answer.iter().map(|byte| char::from(*byte)).collect()
}

/// The status codes of answers one after the other.
pub fn statuses(answers: &str) -> Vec<&str> {
    answers.match_indices("HTTP/1.").filter_map(|(at, _)| answers.get(at + 9..at + 12)).collect()
}

/// The balancer's own last page, and nothing else.
pub fn is_last_page(answer: &str, status: &str) -> bool {
    let own = answer.contains("\r\nserver: awselb/2.0\r\n") && answer.contains("\r\nconnection: close\r\n");
    statuses(answer) == [status] && own && answer.contains(&format!("<title>{status} "))
}

/// What the edge adds to each request.
const ADDED: &[&str] = &["x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"];

/// A request as the target got it, without what the edge adds to each: the line, headers in order of their names, the body.
pub fn shown(request: &Request) -> String {
    for name in ADDED {
        assert!(request.one(name).is_some(), "one {name}: {request:?}");
    }
    let own = request.headers.iter().filter(|(name, _)| !ADDED.contains(&name.as_str()));
    let mut lines: Vec<String> = own.map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
    lines.sort();
    format!("{} {} | {} | {}", request.method, request.target, lines.join(", "), request.body.escape_ascii())
}
