//! Tasks that are shown the clients of an edge.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use longshore_agent::network::TaskNet;
use longshore_edge::{Dialer, Ends, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::host::*;

const PORT: u16 = 8080;

/// Of a balancer, that clients outside reach, and that tasks reach.
const DOOR: Ipv4Addr = HOST;
const INSIDE: Ipv4Addr = Ipv4Addr::new(240, 64, 0, 1);

/// Tells every caller whom it sees, over both transports, and then what it hears.
fn witness(netns: &OwnedFd) {
    let listener = inside(netns, || TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("listen"));
    let socket = inside(netns, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).expect("a socket"));
    std::thread::spawn(move || {
        while let Ok((mut stream, caller)) = listener.accept() {
            std::thread::spawn(move || {
                stream.write_all(format!("{caller:>24}").as_bytes()).ok();
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    std::thread::spawn(move || {
        let mut room = [0; 64];
        while let Ok((_, caller)) = socket.recv_from(&mut room) {
            socket.send_to(format!("{caller:>24}").as_bytes(), caller).ok();
        }
    });
}

fn parse(said: &[u8]) -> SocketAddr {
    std::str::from_utf8(said).unwrap().trim().parse().unwrap()
}

fn at(ip: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

fn of(task: &TaskNet) -> SocketAddr {
    at(task.eni.private_ip, PORT)
}

/// A connection to a task for a client, and whom the task sees.
async fn dial(
    dialer: &Dialer,
    client: SocketAddr,
    local: Ipv4Addr,
    task: &TaskNet,
) -> (tokio::net::TcpStream, SocketAddr) {
    let ends = Ends { transport: Transport::Tcp, client, local: at(local, 80) };
    let dialled = tokio::time::timeout(Duration::from_secs(5), dialer.connect(of(task), Some(ends)));
    let mut stream = dialled.await.expect("in time").expect("a connection");
    let mut said = [0; 24];
    stream.read_exact(&mut said).await.expect("whom the task sees");
    (stream, parse(&said))
}

async fn echoes(stream: &mut tokio::net::TcpStream) {
    stream.write_all(b"!").await.expect("it is sent");
    let heard = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await.expect("an echo in time");
    assert_eq!(heard.expect("an echo"), b'!');
}

/// Whom a task sees by a flow of datagrams for a client, and the flow.
async fn flow(
    dialer: &Dialer,
    client: SocketAddr,
    local: Ipv4Addr,
    task: &TaskNet,
) -> (tokio::net::UdpSocket, SocketAddr) {
    let ends = Ends { transport: Transport::Udp, client, local: at(local, 80) };
    let socket = dialer.datagrams(of(task), Some(ends)).expect("a socket");
    let seen = ask(&socket).await;
    (socket, seen)
}

async fn ask(socket: &tokio::net::UdpSocket) -> SocketAddr {
    socket.send(b"who?").await.expect("it is sent");
    let mut room = [0; 24];
    tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut room)).await.expect("in time").expect("an answer");
    parse(&room)
}

#[test]
fn a_task_sees_the_client_that_it_is_shown() {
    on_a_host(|| async {
        let _outside = outside();
        let network = start(INSTANCE).await;
        let tasks = [attach(&network, eni(0, 10)).await, attach(&network, eni(1, 11)).await];
        tasks.iter().for_each(|task| witness(&task.netns));
        let dialer = network.dialer().expect("a dialer");
        let gateway = |task: &TaskNet| task.eni.gateway;
        for task in &tasks {
            let neighbour = Ipv4Addr::from(u32::from(task.eni.private_ip) + 1);
            let far = tasks.iter().find(|other| other.eni.id != task.eni.id).unwrap().eni.private_ip;
            for (client, local, seen) in [
                (OUTSIDE, DOOR, OUTSIDE),
                (HOST, DOOR, HOST),
                (Ipv4Addr::new(10, 200, 0, 9), DOOR, Ipv4Addr::new(10, 200, 0, 9)),
                (far, INSIDE, far),
                (far, DOOR, gateway(task)),
                (neighbour, INSIDE, gateway(task)),
                (task.eni.private_ip, INSIDE, gateway(task)),
                (Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 64, 0, 1), gateway(task)),
            ] {
                let (mut stream, by_tcp) = dial(&dialer, at(client, 4242), local, task).await;
                let (_socket, by_udp) = flow(&dialer, at(client, 4242), local, task).await;
                assert_eq!((by_tcp.ip(), by_udp.ip()), (seen.into(), seen.into()), "{client} by {local}");
                if client == seen {
                    assert_eq!((by_tcp.port(), by_udp.port()), (4242, 4242), "{client} by {local}");
                }
                echoes(&mut stream).await;
            }
        }
        let mut plain = dialer.connect(of(&tasks[0]), None).await.expect("a connection");
        let mut said = [0; 24];
        plain.read_exact(&mut said).await.expect("whom the task sees");
        assert_eq!(parse(&said).ip(), gateway(&tasks[0]));
    });
}

#[test]
fn one_port_of_a_client_leads_to_one_task_by_several_ways() {
    on_a_host(|| async {
        let outside = outside();
        let network = start(INSTANCE).await;
        let task = attach(&network, public_eni(&network, 0, 10)).await;
        witness(&task.netns);
        let pool = network.public_pool();
        inside(&outside, || command(&format!("ip route add {pool} via {HOST}")));
        let dialer = network.dialer().expect("a dialer");
        let public = at(task.eni.public_ip.unwrap(), PORT);
        for direct_first in [true, false] {
            let client = at(OUTSIDE, 4242 + u16::from(direct_first));
            let early = direct_first.then(|| connect_from(&outside, client, public));
            let (mut one, seen) = dial(&dialer, client, DOOR, &task).await;
            let (mut other, elsewhere) = dial(&dialer, client, DOOR, &task).await;
            assert_eq!((seen.ip(), elsewhere.ip()), (OUTSIDE.into(), OUTSIDE.into()));
            assert_ne!(seen, elsewhere);
            let mut direct = early.unwrap_or_else(|| connect_from(&outside, client, public));
            for _ in 0..3 {
                direct.write_all(b"?").expect("it is sent");
                let mut heard = [0];
                direct.read_exact(&mut heard).expect("an echo");
                assert_eq!(heard, *b"?");
                echoes(&mut one).await;
                echoes(&mut other).await;
            }
        }
        let client = at(OUTSIDE, 4242);
        let (one, seen) = flow(&dialer, client, DOOR, &task).await;
        let (_other, elsewhere) = flow(&dialer, client, DOOR, &task).await;
        assert_eq!((seen, elsewhere.ip()), (client, OUTSIDE.into()));
        assert_ne!(seen, elsewhere);
        assert_eq!(ask(&one).await, client);
    });
}

/// A connection from an address within a namespace that has heard whom the task sees.
fn connect_from(netns: &OwnedFd, from: SocketAddr, to: SocketAddr) -> TcpStream {
    let stream = inside(netns, || {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(from).expect("an address");
        tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime")
            .block_on(socket.connect(to))
            .expect("a connection")
            .into_std()
            .expect("a stream")
    });
    stream.set_nonblocking(false).expect("an option");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("an option");
    let mut stream = stream;
    stream.read_exact(&mut [0; 24]).expect("whom the task sees");
    stream
}

#[test]
fn a_task_that_refuses_is_heard() {
    on_a_host(|| async {
        let network = start(INSTANCE).await;
        let task = attach(&network, eni(0, 10)).await;
        let dialer = network.dialer().expect("a dialer");
        let client = at(OUTSIDE, 4242);
        let ends = |transport| Ends { transport, client, local: at(DOOR, 80) };
        let refused =
            tokio::time::timeout(Duration::from_secs(5), dialer.connect(of(&task), Some(ends(Transport::Tcp))));
        let error = refused.await.expect("in time").expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let socket = dialer.datagrams(of(&task), Some(ends(Transport::Udp))).expect("a socket");
        socket.send(b"who?").await.expect("it is sent");
        let heard = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut [0; 8])).await.expect("in time");
        assert_eq!(heard.expect_err("nobody is there").kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

/// Whatever the host's settings are when the router is made; they are inherited.
#[test]
fn a_task_sees_the_client_beside_strict_filters_of_paths() {
    on_a_host(|| async {
        for key in ["rp_filter", "src_valid_mark"] {
            for of in ["all", "default"] {
                fs::write(format!("/proc/sys/net/ipv4/conf/{of}/{key}"), "1").expect("a setting");
            }
        }
        let network = start(INSTANCE).await;
        let netns = format!("longshore-{INSTANCE}");
        for key in ["all/rp_filter", "vpc0/rp_filter", "all/src_valid_mark"] {
            let words = ["netns", "exec", &netns, "sh", "-c", &format!("echo 1 > /proc/sys/net/ipv4/conf/{key}")];
            assert!(Command::new("ip").args(words).status().expect("ip").success(), "{key}");
        }
        let task = attach(&network, eni(0, 10)).await;
        witness(&task.netns);
        let dialer = network.dialer().expect("a dialer");
        let client = at(OUTSIDE, 4242);
        assert_eq!(dial(&dialer, client, DOOR, &task).await.1, client);
        assert_eq!(flow(&dialer, client, DOOR, &task).await.1, client);
    });
}

/// An `nft` that a kernel without marks of connections would make of the real one.
const LACKING: &str = r#"#!/bin/sh
script=$(cat)
case "$script" in *"ct mark"*) echo "Could not process rule: Operation not supported" >&2; exit 1;; esac
echo "$script" | exec /run/real-nft "$@"
"#;

#[test]
fn a_machine_that_cannot_show_clients_shows_the_gateway() {
    on_a_host(|| async {
        let nft = command("which nft");
        fs::copy(nft.trim(), "/run/real-nft").expect("a copy");
        fs::write("/run/nft", LACKING).expect("a program");
        fs::set_permissions("/run/nft", fs::Permissions::from_mode(0o755)).expect("a program");
        command(&format!("mount --bind /run/nft {}", nft.trim()));
        let network = start(INSTANCE).await;
        let task = attach(&network, eni(0, 10)).await;
        witness(&task.netns);
        let dialer = network.dialer().expect("a dialer");
        let client = at(OUTSIDE, 4242);
        assert_eq!(dial(&dialer, client, DOOR, &task).await.1.ip(), task.eni.gateway);
        assert_eq!(flow(&dialer, client, DOOR, &task).await.1.ip(), task.eni.gateway);
    });
}
