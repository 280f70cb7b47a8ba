//! What many clients that do nothing hold of the edge's memory, which is this process's: no other test is in it. The clients
//! are a process of their own, which this test starts.

#[allow(dead_code, reason = "it uses a part of it")]
#[path = "it/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use longshore_link::edge::*;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::*;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const CONNECTIONS: usize = 10_000;

/// What all of them may hold together, whether they have asked or not. What is on its way of a request and its answer they
/// have given back.
const MOST_MIB: usize = 48;

/// Where the clients connect to, and what each of them says first.
const TO: &str = "LONGSHORE_TEST_TO";
const SAYS: &str = "LONGSHORE_TEST_SAYS";

/// Mebibytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

/// Lets this process open as many files as it may.
fn open_many() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(most > CONNECTIONS as u64 + 500, "{most} files may be open");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a limit");
}

struct Clients(Child);

impl Drop for Clients {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Clients {
    /// Starts clients, and waits until all have been answered.
    async fn start(to: SocketAddr, says: &str) -> Self {
        let own = std::env::current_exe().expect("this program");
        let mut command = Command::new(own);
        command.args(["--ignored", "--exact", "clients", "--nocapture"]).env(TO, to.to_string()).env(SAYS, says);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let out = child.stdout.take().expect("its output");
        let clients = Self(child);
        let out = tokio::process::ChildStdout::from_std(out).expect("its output");
        let mut lines = BufReader::new(out).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await.expect("a line") {
                if line.contains("all are there") {
                    return;
                }
            }
            panic!("the clients ended");
        };
        tokio::time::timeout(6 * PATIENCE, ready).await.expect("all clients");
        clients
    }
}

/// The other process: holds connections until its input ends.
#[tokio::test]
#[ignore = "the other tests start it as a process of its own"]
async fn clients() {
    open_many();
    let to: SocketAddr = std::env::var(TO).expect("where to").parse().expect("an address");
    let says = std::env::var(SAYS).expect("what to say");
    let mut held = Vec::new();
    for number in 0..CONNECTIONS {
        if number % 100 == 0 {
            // More at once than the kernel's queue takes would be tried again, a second later.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut client = TcpStream::connect(to).await.expect("a connection");
        client.write_all(says.as_bytes()).await.expect("the edge reads");
        if says.ends_with("\r\n\r\n") {
            let mut came = Vec::new();
            message(&mut client, &mut came).await.expect("an answer");
        }
        held.push(client);
    }
    println!("all are there");
    let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
    drop(held);
}

#[tokio::test]
async fn h12_ten_thousand_connections_that_do_nothing_hold_little() {
    open_many();
    let large = ok(&"x".repeat(20_000));
    let backend = Backend::start(move |_| large.clone()).await;
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[backend.address]);
    let conditions = vec![Condition::PathPattern { values: vec!["/own".into()] }];
    let action = Action::FixedResponse { status: 503, content_type: None, body: None };
    configuration.balancers[0].listeners[0].rules = vec![Rule { arn: "r".into(), priority: 1, conditions, action }];
    configuration.balancers[0].attributes.idle_timeout_seconds = 600;
    let (_edge, to) = serve(&configuration).await;
    let half = "GET /own HTTP/1.1\r\nHost: a\r\n";
    let own = format!("{half}\r\n");
    // A check's name is not kept by this target.
    let relayed = "GET / HTTP/1.1\r\nHost: a\r\nX: ELB-HealthChecker\r\n\r\n";
    let body = format!("4000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x4000));
    let uploaded =
        format!("{}Transfer-Encoding: chunked\r\n\r\n{body}", relayed.trim_end().replace("GET", "POST") + "\r\n");
    let before = resident();
    for says in ["", half, &own, relayed, &uploaded] {
        let _clients = Clients::start(to, says).await;
        // An honest client is served beside them.
        assert_eq!(status(&get(to, "/own").await), "503");
        let held = resident().saturating_sub(before);
        println!("{:?}: {held} MiB", says.get(..60).unwrap_or(says));
        assert!(held <= MOST_MIB, "{held} MiB");
    }
}
