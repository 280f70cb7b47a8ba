//! Datagrams through a network load balancer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use longshore_edge::Edge;
use longshore_link::edge::*;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::support::*;

/// A target that says its name and what it hears, and takes connections of checks on the same port.
struct Speaker {
    address: SocketAddr,
    checks: JoinHandle<()>,
}

async fn speaker(name: &'static str) -> Speaker {
    let (listener, socket) = loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        // Somebody else may have the port of the other transport.
        if let Ok(socket) = UdpSocket::bind(address).await {
            break (listener, socket);
        }
    };
    let address = listener.local_addr().expect("an address");
    let checks = tokio::spawn(async move {
        loop {
            let _ = listener.accept().await;
        }
    });
    tokio::spawn(async move {
        let mut room = [0; 2048];
        loop {
            let (count, from) = socket.recv_from(&mut room).await.expect("a datagram");
            let said = [name.as_bytes(), &room[..count]].concat();
            socket.send_to(&said, from).await.expect("it is sent");
        }
    });
    Speaker { address, checks }
}

fn datagrams(targets: &[SocketAddr]) -> EdgeConfiguration {
    let mut configuration = configuration(BalancerKind::Network, own_address(), targets);
    configuration.balancers[0].listeners[0].protocol = ListenerProtocol::Udp;
    group(&mut configuration).protocol = GroupProtocol::Udp;
    configuration
}

/// A client that hears this address alone.
async fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    socket.connect(to).await.expect("an address");
    socket
}

async fn ask(client: &UdpSocket, text: &str) -> String {
    let mut room = [0; 2048];
    client.send(text.as_bytes()).await.expect("it is sent");
    let count = tokio::time::timeout(PATIENCE, client.recv(&mut room)).await.expect("an answer").expect("a datagram");
    String::from_utf8(room[..count].to_vec()).expect("text")
}

/// Asks until this target answers.
async fn until_from(client: &UdpSocket, name: &str) {
    let moved = async {
        while !ask(client, "?").await.starts_with(name) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.expect("another target");
}

/// A client whose flow this target has.
async fn client_of(to: SocketAddr, name: &str) -> UdpSocket {
    loop {
        let client = client(to).await;
        if ask(&client, "").await == name {
            return client;
        }
    }
}

async fn all_healthy(edge: &Edge, targets: &[SocketAddr]) {
    for target in targets {
        until(edge, target.port(), TargetState::Healthy).await;
    }
}

#[tokio::test]
async fn a_flow_has_one_target_and_flows_are_spread() {
    let (one, other) = (speaker("1").await, speaker("2").await);
    let (edge, to) = serve(&datagrams(&[one.address, other.address])).await;
    all_healthy(&edge, &[one.address, other.address]).await;
    let mut names = BTreeSet::new();
    // A client that is gone may leave its port, and so its flow, to the next.
    let mut clients = Vec::new();
    for _ in 0..48 {
        let client = client(to).await;
        let first = ask(&client, "hello").await;
        for _ in 0..3 {
            assert_eq!(ask(&client, "hello").await, first);
        }
        names.insert(first);
        clients.push(client);
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["1hello", "2hello"]);
    let metrics = edge.take_metrics().await;
    let values = &metrics.series.iter().find(|series| series.target_group.is_none()).expect("the balancer's").values;
    let bytes = 48 * 4 * ("hello".len() + "1hello".len()) as u64;
    for (name, expected) in [
        ("NewFlowCount", 48),
        ("NewFlowCount_UDP", 48),
        ("ActiveFlowCount_UDP", 48),
        ("ProcessedBytes", bytes),
        ("ProcessedBytes_UDP", bytes),
    ] {
        assert_eq!(values.get(name), Some(&expected), "{name}");
    }
}

#[tokio::test]
async fn a_sticky_client_has_one_target_from_all_its_ports() {
    let (one, other) = (speaker("1").await, speaker("2").await);
    let mut configuration = datagrams(&[one.address, other.address]);
    group(&mut configuration).stickiness = Stickiness::SourceIp;
    let (edge, to) = serve(&configuration).await;
    all_healthy(&edge, &[one.address, other.address]).await;
    let mut names = BTreeSet::new();
    for _ in 0..24 {
        names.insert(ask(&client(to).await, "").await);
    }
    assert_eq!(names.len(), 1);
}

#[tokio::test]
async fn a_flow_moves_when_its_target_turns_unhealthy() {
    let (one, other) = (speaker("1").await, speaker("2").await);
    let (edge, to) = serve(&datagrams(&[one.address, other.address])).await;
    all_healthy(&edge, &[one.address, other.address]).await;
    let client = client_of(to, "1").await;
    one.checks.abort();
    until(&edge, one.address.port(), TargetState::Unhealthy).await;
    until_from(&client, "2").await;
    assert_eq!(ask(&client_of(to, "2").await, "x").await, "2x");
    // With none healthy all are asked again.
    other.checks.abort();
    until(&edge, other.address.port(), TargetState::Unhealthy).await;
    assert_eq!(ask(&client_of(to, "1").await, "x").await, "1x");
}

#[tokio::test]
async fn a_flow_stays_with_a_draining_target_until_its_delay_is_over() {
    let (one, other) = (speaker("1").await, speaker("2").await);
    let mut configuration = datagrams(&[one.address]);
    group(&mut configuration).terminate_on_deregistration = true;
    let (edge, to) = serve(&configuration).await;
    let old = client_of(to, "1").await;
    configuration.generation = 2;
    group(&mut configuration).targets[0].draining_since = Some(millis());
    group(&mut configuration).targets.push(Target::new(other.address));
    edge.apply(configuration.clone()).await.expect("a configuration");
    for _ in 0..8 {
        assert_eq!(ask(&client(to).await, "new").await, "2new");
        assert_eq!(ask(&old, "old").await, "1old");
    }
    configuration.generation = 3;
    group(&mut configuration).targets.remove(0);
    edge.apply(configuration).await.expect("a configuration");
    until_from(&old, "2").await;
}

#[tokio::test]
async fn both_transports_are_served_on_one_port() {
    let target = speaker("1").await;
    let mut configuration = datagrams(&[target.address]);
    configuration.balancers[0].listeners[0].protocol = ListenerProtocol::TcpUdp;
    group(&mut configuration).protocol = GroupProtocol::TcpUdp;
    let (edge, to) = serve(&configuration).await;
    assert_eq!(ask(&client(to).await, "x").await, "1x");
    let stream = tokio::net::TcpStream::connect(to).await.expect("a connection");
    let counted = async {
        let mut flows = 0;
        while flows == 0 {
            let metrics = edge.take_metrics().await;
            flows += metrics.series.iter().filter_map(|series| series.values.get("NewFlowCount_TCP")).sum::<u64>();
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("a flow of TCP");
    drop(stream);
    configuration.generation = 2;
    configuration.balancers[0].listeners[0].protocol = ListenerProtocol::Tcp;
    edge.apply(configuration).await.expect("a configuration");
    assert!(tokio::net::TcpStream::connect(to).await.is_ok());
    let closed = async {
        let client = client(to).await;
        // The socket is closed by a task; then this machine says that nobody listens.
        while client.send(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("nobody listens");
}

#[tokio::test]
async fn without_a_target_a_datagram_is_rejected() {
    let (edge, to) = serve(&datagrams(&[])).await;
    let client = client(to).await;
    client.send(b"x").await.expect("it is sent");
    let rejected = async {
        loop {
            let metrics = edge.take_metrics().await;
            if let Some(series) = metrics.series.first() {
                return series.values.clone();
            }
        }
    };
    let values = tokio::time::timeout(PATIENCE, rejected).await.expect("it is counted");
    assert_eq!(values.into_iter().collect::<Vec<_>>(), [("RejectedFlowCount".to_owned(), 1)]);
}
