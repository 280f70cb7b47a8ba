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

/// What all of them may hold together. Of a connection that has asked once, hyper keeps a buffer for reading and one for
/// writing.
const MOST_MIB: usize = 64;
const MOST_ASKED_MIB: usize = 320;

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
    let mut configuration = configuration(BalancerKind::Application, own_address(), &[]);
    configuration.balancers[0].attributes.idle_timeout_seconds = 600;
    let (_edge, to) = serve(&configuration).await;
    let half = "GET / HTTP/1.1\r\nHost: a\r\n";
    let before = resident();
    for (says, most) in [("", MOST_MIB), (half, MOST_MIB), (&format!("{half}\r\n"), MOST_ASKED_MIB)] {
        let _clients = Clients::start(to, says).await;
        // An honest client is served beside them.
        assert_eq!(status(&get(to, "/").await), "503");
        let held = resident().saturating_sub(before);
        println!("{says:?}: {held} MiB");
        assert!(held <= most, "{says:?}: {held} MiB");
    }
}
