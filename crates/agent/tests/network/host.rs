//! A host of its own for each test: a fresh network namespace with a fresh `/run`, in which everything the agent does to
//! "the host" happens, so that the machine the tests run on is not touched. Tests run one at a time, so that file
//! descriptors can be counted and times compared.

use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use longshore_agent::network::{EniSpec, Network, NetworkConfig, TaskNet};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::io::AsyncWriteExt;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub const INSTANCE: &str = "0a1b2c3d";
pub const SECOND_INSTANCE: &str = "0a1b2c3e";

/// Runs a test on a host of its own.
pub fn on_a_host<F, T>(test: F)
where
    F: FnOnce() -> T + Send,
    T: Future<Output = ()>,
{
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces, which take root");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private mounts");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("a fresh /run");
        fs::create_dir("/run/netns").expect("a place for pins");
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("a host that forwards nothing");
        command("ip link set lo up");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(test());
        runtime.shutdown_timeout(Duration::from_secs(5));
    };
    let ended = thread::scope(|scope| scope.spawn(run).join());
    if let Err(cause) = ended {
        std::panic::resume_unwind(cause);
    }
}

/// Starts an instance with the default VPC's block and two of its subnets.
pub async fn start(instance: &str) -> Network {
    Network::start(config(instance)).await.expect("the network starts")
}

/// Attaches an ENI, which must work.
pub async fn attach(network: &Network, spec: EniSpec) -> TaskNet {
    network.attach(spec).await.expect("attach")
}

pub fn config(instance: &str) -> NetworkConfig {
    let subnets = ["172.31.0.0/20", "172.31.16.0/20"].map(|subnet| subnet.parse().unwrap());
    let state = PathBuf::from(format!("/run/state-{instance}"));
    let mut config = NetworkConfig::new(instance, "172.31.0.0/16".parse().unwrap(), subnets.into(), state);
    config.resolv_conf = "/run/resolv.conf".into();
    config.warm = 4;
    config
}

/// The ENI with the last number `n` in the first or second subnet.
pub fn eni(subnet: u8, n: u8) -> EniSpec {
    let third = subnet * 16;
    EniSpec {
        id: format!("eni-{subnet}-{n}"),
        private_ip: Ipv4Addr::new(172, 31, third, n),
        prefix_len: 20,
        gateway: Ipv4Addr::new(172, 31, third, 1),
        mac: [0x02, 0, 0, 0, subnet, n],
        public_ip: None,
    }
}

/// The same with public address `n` of the instance's pool.
pub fn public_eni(network: &Network, subnet: u8, n: u8) -> EniSpec {
    let ip = Ipv4Addr::from(u32::from(network.public_pool().network()) + u32::from(n));
    EniSpec { public_ip: Some(ip), ..eni(subnet, n) }
}

/// Does something inside a namespace.
pub fn inside<T: Send>(netns: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    let entered = || {
        setns(netns, CloneFlags::CLONE_NEWNET).expect("enter a namespace");
        work()
    };
    thread::scope(|scope| scope.spawn(entered).join()).expect("work inside a namespace")
}

/// Runs a command, which must succeed, and returns what it wrote.
pub fn command(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap_or_else(|e| panic!("{line}: {e}"));
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Listens inside a namespace and tells every caller the address it is seen with.
pub fn tell_callers(netns: &OwnedFd, port: u16) {
    let listener = inside(netns, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).expect("listen"));
    listener.set_nonblocking(true).unwrap();
    answer_callers(tokio::net::TcpListener::from_std(listener).unwrap());
}

/// Tells every caller of a listener the address it is seen with.
pub fn answer_callers(listener: tokio::net::TcpListener) {
    tokio::spawn(async move {
        while let Ok((mut stream, caller)) = listener.accept().await {
            stream.write_all(caller.ip().to_string().as_bytes()).await.ok();
        }
    });
}

/// Calls an address from the host: what the other side said.
pub fn call_from_host(ip: Ipv4Addr, port: u16) -> io::Result<String> {
    let address = SocketAddr::V4(SocketAddrV4::new(ip, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

/// Calls an address from inside a namespace.
pub fn call(netns: &OwnedFd, ip: Ipv4Addr, port: u16) -> io::Result<String> {
    inside(netns, || call_from_host(ip, port))
}

/// The host's own namespace.
pub fn host_netns() -> OwnedFd {
    File::open("/proc/thread-self/ns/net").unwrap().into()
}

/// A machine outside, 203.0.113.2, joined to the host's 203.0.113.1; it has no route back to any of our addresses.
pub fn outside() -> OwnedFd {
    let netns: OwnedFd = thread::scope(|scope| {
        let made = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            command("ip link set lo up");
            host_netns()
        });
        made.join().unwrap()
    });
    command("ip link add out0 type veth peer name in0");
    inside_peer(&netns);
    command("ip address add 203.0.113.1/24 dev out0");
    command("ip link set out0 up");
    inside(&netns, || {
        command("ip address add 203.0.113.2/24 dev in0");
        command("ip link set in0 up");
    });
    netns
}

/// Moves `in0` into a namespace that has no name, by the thread of somebody inside.
fn inside_peer(netns: &OwnedFd) {
    let (tell, told) = std::sync::mpsc::channel();
    let (finish, finished) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            setns(netns, CloneFlags::CLONE_NEWNET).expect("enter a namespace");
            tell.send(nix::unistd::gettid()).unwrap();
            finished.recv().ok();
        });
        command(&format!("ip link set in0 netns {}", told.recv().unwrap()));
        finish.send(()).unwrap();
    });
}

pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
pub const HOST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// Everything about the host that an instance changes.
pub fn everything() -> String {
    let mut all = String::new();
    for line in [
        "ip -o link",
        "ip -o -4 address",
        "ip route show table all",
        "nft list ruleset",
        "find /run/netns /run/longshore",
    ] {
        let mut words = line.split_whitespace();
        let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
        all += &format!("{line}\n{}", String::from_utf8_lossy(&output.stdout));
    }
    all + "forwarding " + &fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()
}

/// Waits until something holds: the kernel removes namespaces in its own time.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}
