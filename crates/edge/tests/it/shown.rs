//! Targets that are shown the client. On loopback every socket may have every address, so that nothing but the edge decides.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::*;
use longshore_edge::{Dialer, Edge, Ends, Transport};
use longshore_link::edge::*;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

/// Whoever cannot be shown.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 8);

fn make(transport: Transport) -> io::Result<OwnedFd> {
    let kind = match transport {
        Transport::Tcp => SockType::Stream,
        Transport::Udp => SockType::Datagram,
    };
    Ok(socket(AddressFamily::Inet, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?)
}

fn dialer(make: impl Fn(Transport) -> io::Result<OwnedFd> + Send + Sync + 'static) -> Dialer {
    Dialer::here().showing(|ends, _| ends.client.ip() != STRANGER, make)
}

/// A target that tells whom it sees, over both transports.
async fn witness() -> SocketAddr {
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        // Somebody else may have the port of the other transport.
        if let Ok(socket) = UdpSocket::bind(listener.local_addr().expect("an address")).await {
            break (listener, socket);
        }
    };
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, from) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let _ = stream.write_all(format!("{from}\n").as_bytes()).await;
                let _ = stream.read(&mut [0; 1]).await;
            });
        }
    });
    tokio::spawn(async move {
        loop {
            let (_, from) = socket.recv_from(&mut [0; 16]).await.expect("a datagram");
            socket.send_to(from.to_string().as_bytes(), from).await.expect("it is sent");
        }
    });
    address
}

/// An edge with a listener of both transports for these targets, and where it listens.
async fn balance(target: SocketAddr, preserve: bool, dialer: Dialer) -> (Edge, SocketAddr) {
    let mut configuration = configuration(BalancerKind::Network, own_address(), &[target]);
    configuration.balancers[0].listeners[0].protocol = ListenerProtocol::TcpUdp;
    let group = group(&mut configuration);
    (group.protocol, group.preserve_client_ip) = (GroupProtocol::TcpUdp, preserve);
    let edge = Edge::reaching(dialer);
    edge.apply(configuration.clone()).await.expect("a configuration");
    assert_eq!(edge.report().await.problems, []);
    (edge, SocketAddr::new(configuration.balancers[0].addresses[0].ip, PORT))
}

/// Connects from an address; the connection, and whom the target sees.
async fn connect(from: SocketAddr, to: SocketAddr) -> (TcpStream, SocketAddr, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option");
    socket.bind(from).expect("an address");
    let mut stream = socket.connect(to).await.expect("a connection");
    let mut said = Vec::new();
    while said.last() != Some(&b'\n') {
        said.push(stream.read_u8().await.expect("whom the target sees"));
    }
    let seen = String::from_utf8(said).expect("text").trim().parse().expect("an address");
    let own = stream.local_addr().expect("an address");
    (stream, own, seen)
}

/// Whom the target sees when a datagram comes from an address.
async fn speak(from: SocketAddr, to: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind(from).await.expect("a socket");
    socket.connect(to).await.expect("an address");
    ask(&socket).await
}

async fn ask(socket: &UdpSocket) -> SocketAddr {
    socket.send(b"who?").await.expect("it is sent");
    let mut room = [0; 64];
    let count = tokio::time::timeout(PATIENCE, socket.recv(&mut room)).await.expect("an answer").expect("a datagram");
    std::str::from_utf8(&room[..count]).expect("text").parse().expect("an address")
}

fn any_port(ip: Ipv4Addr) -> SocketAddr {
    SocketAddr::from((ip, 0))
}

#[tokio::test]
async fn a_target_sees_the_client_and_its_port_if_the_group_says_so() {
    let target = witness().await;
    let (_edge, to) = balance(target, true, dialer(make)).await;
    let (_stream, own, seen) = connect(any_port(CLIENT), to).await;
    assert_eq!((own.ip(), seen), (CLIENT.into(), own));
    // The client itself has the port here.
    assert_eq!(speak(any_port(CLIENT), to).await.ip(), CLIENT);
    let (_edge, to) = balance(target, false, dialer(make)).await;
    assert_eq!(connect(any_port(CLIENT), to).await.2.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(speak(any_port(CLIENT), to).await.ip(), Ipv4Addr::LOCALHOST);
}

#[tokio::test]
async fn a_target_sees_the_balancer_where_the_client_cannot_be_shown() {
    let target = witness().await;
    let (_edge, to) = balance(target, true, dialer(make)).await;
    assert_eq!(connect(any_port(STRANGER), to).await.2.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(speak(any_port(STRANGER), to).await.ip(), Ipv4Addr::LOCALHOST);
    let refused = |_| Err(io::ErrorKind::PermissionDenied.into());
    let (_edge, to) = balance(target, true, dialer(refused)).await;
    assert_eq!(connect(any_port(CLIENT), to).await.2.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(speak(any_port(CLIENT), to).await.ip(), Ipv4Addr::LOCALHOST);
    let (_edge, to) = balance(target, true, Dialer::here()).await;
    assert_eq!(connect(any_port(CLIENT), to).await.2.ip(), Ipv4Addr::LOCALHOST);
}

#[tokio::test]
async fn two_connections_of_one_port_to_one_target_have_two_ports_there() {
    let target = witness().await;
    let (_one, first) = balance(target, true, dialer(make)).await;
    let (_other, second) = balance(target, true, dialer(make)).await;
    let (_stream, own, seen) = connect(any_port(CLIENT), first).await;
    assert_eq!(seen, own);
    let (_stream, _, seen) = connect(own, second).await;
    assert_eq!(seen.ip(), CLIENT);
    assert_ne!(seen.port(), own.port());
    // To another target it is the same port.
    let (_third, third) = balance(witness().await, true, dialer(make)).await;
    assert_eq!(connect(own, third).await.2, own);
}

#[tokio::test]
async fn two_flows_of_one_port_to_one_target_have_an_answer_each() {
    let target = witness().await;
    let (_one, first) = balance(target, true, dialer(make)).await;
    let (_other, second) = balance(target, true, dialer(make)).await;
    let socket = UdpSocket::bind(any_port(CLIENT)).await.expect("a socket");
    let mut seen = Vec::new();
    for to in [first, second, first] {
        socket.connect(to).await.expect("an address");
        seen.push(ask(&socket).await);
    }
    assert!(seen.iter().all(|seen| seen.ip() == CLIENT), "{seen:?}");
    assert!(seen[0] != seen[1] && seen[0] == seen[2], "{seen:?}");
}

#[tokio::test]
async fn a_target_that_refuses_the_client_is_not_asked_for_the_balancer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let by = Dialer::by(move |transport| {
        counted.fetch_add(1, Ordering::Relaxed);
        make(transport)
    });
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let (client, local) = (any_port(CLIENT), any_port(CLIENT));
    let ends = Ends { transport: Transport::Tcp, client, local };
    let error = by.showing(|_, _| true, make).connect(nobody, Some(ends)).await.expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}
