//! Flows through a network load balancer.

use std::net::SocketAddr;
use std::time::Duration;

use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

/// A target that says its name and then what it hears, byte by byte.
async fn echo(name: &'static str) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let (mut reads, mut writes) = stream.split();
                if writes.write_all(name.as_bytes()).await.is_ok() {
                    let _ = tokio::io::copy(&mut reads, &mut writes).await;
                }
            });
        }
    });
    (address, task)
}

async fn balance(targets: &[SocketAddr]) -> (longshore_edge::Edge, SocketAddr, EdgeConfiguration) {
    let configuration = configuration(BalancerKind::Network, own_address(), targets);
    let (edge, to) = serve(&configuration).await;
    (edge, to, configuration)
}

async fn connect(to: SocketAddr) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    let mut name = [0; 1];
    stream.read_exact(&mut name).await.expect("the target's name");
    (stream, String::from_utf8_lossy(&name).into_owned())
}

async fn echoes(stream: &mut TcpStream) -> bool {
    let mut heard = [0; 5];
    stream.write_all(b"hello").await.is_ok() && stream.read_exact(&mut heard).await.is_ok() && heard == *b"hello"
}

#[tokio::test]
async fn flows_are_spread_over_targets_and_stay_there() {
    let ((one, _), (other, _)) = (echo("1").await, echo("2").await);
    let (_edge, to, _) = balance(&[one, other]).await;
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let (mut stream, name) = connect(to).await;
        assert!(echoes(&mut stream).await);
        names.insert(name);
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn a_side_that_has_ended_still_hears_the_other() {
    let (target, _) = echo("1").await;
    let (_edge, to, _) = balance(&[target]).await;
    let (mut stream, _) = connect(to).await;
    stream.write_all(b"last words").await.expect("the edge reads");
    stream.shutdown().await.expect("the end");
    assert_eq!(rest(&mut stream).await, "last words");
}

#[tokio::test]
async fn the_client_is_named_by_the_proxy_protocol() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut configuration = configuration(BalancerKind::Network, own_address(), &[address]);
    group(&mut configuration).proxy_protocol = true;
    // The check's connection would come before the client's.
    group(&mut configuration).health_check.port = Some(9);
    let (_edge, to) = serve(&configuration).await;
    let mut client = TcpStream::connect(to).await.expect("a connection");
    let from = client.local_addr().expect("an address");
    client.write_all(b"hi").await.expect("the edge reads");
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut header = [0; 30];
    stream.read_exact(&mut header).await.expect("the header");
    let octets = |address: SocketAddr| match address {
        SocketAddr::V4(address) => address.ip().octets(),
        SocketAddr::V6(_) => unreachable!("loopback of the old internet"),
    };
    let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    expected.extend(octets(from));
    expected.extend(octets(to));
    expected.extend(from.port().to_be_bytes());
    expected.extend(to.port().to_be_bytes());
    expected.extend(b"hi");
    assert_eq!(header.to_vec(), expected);
}

#[tokio::test]
async fn a_flow_outlives_its_targets_registration_unless_the_group_ends_it() {
    for ends in [false, true] {
        let ((old, _), (new, _)) = (echo("1").await, echo("2").await);
        let mut configuration = configuration(BalancerKind::Network, own_address(), &[old]);
        group(&mut configuration).deregistration_delay_seconds = 1;
        group(&mut configuration).terminate_on_deregistration = ends;
        let (edge, to) = serve(&configuration).await;
        let (mut flow, _) = connect(to).await;
        configuration.generation = 2;
        group(&mut configuration).targets[0].draining_since = Some(millis());
        group(&mut configuration).targets.push(Target::new(new));
        edge.apply(configuration).await.expect("a configuration");
        for _ in 0..8 {
            assert_eq!(connect(to).await.1, "2");
        }
        let mut byte = [0; 1];
        // The delay is over long before either wait.
        let wait = if ends { PATIENCE } else { Duration::from_secs(2) };
        let read = tokio::time::timeout(wait, flow.read(&mut byte)).await;
        match ends {
            true => assert_eq!(read.expect("an end").expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset),
            false => assert!(read.is_err() && echoes(&mut flow).await),
        }
    }
}

#[tokio::test]
async fn a_flow_outlives_that_its_target_is_registered_again() {
    let ((one, _), (other, _)) = (echo("1").await, echo("2").await);
    let (edge, to, mut configuration) = balance(&[one, other]).await;
    for port in [one.port(), other.port()] {
        until(&edge, port, TargetState::Healthy).await;
    }
    let mut flows = vec![connect(to).await.0, connect(to).await.0, connect(to).await.0];
    configuration.generation = 2;
    group(&mut configuration).targets[0].registered_at = 7;
    edge.apply(configuration.clone()).await.expect("a configuration");
    configuration.generation = 3;
    group(&mut configuration).targets[1].registered_at = 7;
    until(&edge, one.port(), TargetState::Healthy).await;
    edge.apply(configuration).await.expect("a configuration");
    until(&edge, other.port(), TargetState::Healthy).await;
    for flow in &mut flows {
        assert!(echoes(flow).await);
    }
}

#[tokio::test]
async fn a_target_that_turns_unhealthy_loses_its_flows() {
    let (target, task) = echo("1").await;
    let (spare, _) = echo("2").await;
    let (edge, to, _) = balance(&[target, spare]).await;
    for port in [target.port(), spare.port()] {
        until(&edge, port, TargetState::Healthy).await;
    }
    let mut flow = loop {
        let (flow, name) = connect(to).await;
        if name == "1" {
            break flow;
        }
    };
    task.abort();
    until(&edge, target.port(), TargetState::Unhealthy).await;
    let mut byte = [0; 1];
    let read = tokio::time::timeout(PATIENCE, flow.read(&mut byte)).await.expect("an end");
    assert_eq!(read.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    for _ in 0..8 {
        assert_eq!(connect(to).await.1, "2");
    }
}

#[tokio::test]
async fn without_a_target_a_client_is_reset() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    for targets in [vec![], vec![nobody]] {
        let (_edge, to, _) = balance(&targets).await;
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        let mut byte = [0; 1];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.expect("an end");
        assert_eq!(read.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_reset_of_one_side_resets_the_other_and_is_counted() {
    let (target, _) = echo("1").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut configuration = configuration(BalancerKind::Network, own_address(), &[target]);
    let second = listener.local_addr().expect("an address");
    let (edge, to) = serve(&configuration).await;
    let (stream, _) = connect(to).await;
    stream.set_zero_linger().expect("an option");
    drop(stream);
    counted(&edge, "TCP_Client_Reset_Count", 1).await;
    configuration.generation = 2;
    group(&mut configuration).targets = vec![Target::new(second)];
    // The check's connection would come before the client's.
    group(&mut configuration).health_check.port = Some(9);
    edge.apply(configuration).await.expect("a configuration");
    let mut stream = TcpStream::connect(to).await.expect("a connection");
    stream.write_all(b"x").await.expect("the edge reads");
    let (mut other, _) = listener.accept().await.expect("a connection");
    other.read_exact(&mut [0; 1]).await.expect("the byte");
    other.set_zero_linger().expect("an option");
    drop(other);
    let mut byte = [0; 1];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.expect("an end");
    assert_eq!(read.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    counted(&edge, "TCP_Target_Reset_Count", 1).await;
}

/// Waits until the balancer's counter has come to this.
async fn counted(edge: &longshore_edge::Edge, name: &str, most: u64) {
    let mut sum = 0;
    let counted = async {
        while sum < most {
            let series = edge.take_metrics().await.series;
            sum += series.iter().filter_map(|series| series.values.get(name)).sum::<u64>();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect(name);
    assert_eq!(sum, most, "{name}");
}

#[tokio::test]
async fn a_flow_on_which_nothing_moves_is_reset() {
    let (target, _) = echo("1").await;
    let mut configuration = configuration(BalancerKind::Network, own_address(), &[target]);
    configuration.balancers[0].listeners[0].tcp_idle_timeout_seconds = 1;
    let (edge, to) = serve(&configuration).await;
    let (mut stream, _) = connect(to).await;
    assert!(echoes(&mut stream).await);
    let mut byte = [0; 1];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await.expect("an end");
    assert_eq!(read.expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
    counted(&edge, "TCP_ELB_Reset_Count", 2).await;
}

#[tokio::test]
async fn an_address_gives_nothing_to_targets_of_other_zones_unless_flows_cross_them() {
    let ((one, _), (other, _), (everywhere, _)) = (echo("1").await, echo("2").await, echo("3").await);
    let mut configuration = configuration(BalancerKind::Network, own_address(), &[one, other, everywhere]);
    for (target, zone) in group(&mut configuration).targets.iter_mut().zip(["a", "b"]) {
        target.zone = Some(zone.into());
    }
    let second = Address { ip: own_address(), zone: "b".into(), inside: false };
    configuration.balancers[0].addresses.push(second.clone());
    let (edge, first) = serve(&configuration).await;
    for target in [one, other, everywhere] {
        until(&edge, target.port(), TargetState::Healthy).await;
    }
    let reached = async |to: SocketAddr| {
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..48 {
            names.insert(connect(to).await.1);
        }
        names.into_iter().collect::<String>()
    };
    let second = SocketAddr::new(second.ip, PORT);
    assert_eq!((reached(first).await, reached(second).await), ("13".to_owned(), "23".to_owned()));
    configuration.generation = 2;
    group(&mut configuration).cross_zone = Some(true);
    edge.apply(configuration).await.expect("a configuration");
    assert_eq!((reached(first).await, reached(second).await), ("123".to_owned(), "123".to_owned()));
}

#[tokio::test]
async fn targets_of_tcp_may_be_checked_by_http() {
    let closing = |status: &'static str| {
        Backend::start(move |_| {
            format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{status:.3}")
        })
    };
    let (well, ill) = (closing("200 OK").await, closing("500 Oh").await);
    let mut configuration = configuration(BalancerKind::Network, own_address(), &[well.address, ill.address]);
    group(&mut configuration).health_check.protocol = GroupProtocol::Http;
    let (edge, to) = serve(&configuration).await;
    until(&edge, well.address.port(), TargetState::Healthy).await;
    let found = until(&edge, ill.address.port(), TargetState::Unhealthy).await;
    assert_eq!(found.reason, Some(Reason::ResponseCodeMismatch));
    for _ in 0..8 {
        assert_eq!(body(&get(to, "/").await), "200");
    }
    let metrics = edge.take_metrics().await;
    let group = metrics.series.iter().find(|series| series.target_group.as_deref() == Some("g")).expect("the group's");
    assert_eq!((group.values["HealthyHostCount"], group.values["UnHealthyHostCount"]), (1, 1));
}
