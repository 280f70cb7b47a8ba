//! The door: one address for all balancers, by name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longshore_edge::Edge;
use longshore_link::edge::{Action, Balancer, BalancerKind, Certificate, EdgeConfiguration, ListenerProtocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{self, PORT, configuration, own_address, raw, status};

/// A balancer of this name that answers with its status.
fn named(name: &str, status: u16) -> Balancer {
    let mut balancer = configuration(BalancerKind::Application, own_address(), &[]).balancers.remove(0);
    balancer.arn = name.to_owned();
    balancer.name = name.to_owned();
    balancer.listeners[0].arn = format!("listener of {name}");
    balancer.listeners[0].default_action = Action::FixedResponse { status, content_type: None, body: None };
    balancer
}

fn behind(balancers: Vec<Balancer>) -> EdgeConfiguration {
    EdgeConfiguration { generation: 1, balancers, door: Some(own_address()), ..EdgeConfiguration::default() }
}

/// An edge with a door, and where that is.
async fn serve(configuration: &EdgeConfiguration) -> (Edge, SocketAddr) {
    let edge = Edge::new();
    edge.apply(configuration.clone()).await.expect("a configuration");
    (edge, SocketAddr::new(configuration.door.expect("a door"), PORT))
}

async fn ask(door: SocketAddr, host: &str) -> String {
    let answer = raw(door, format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    status(&answer).to_owned()
}

#[tokio::test]
async fn a_name_leads_to_its_balancer_and_a_lone_listener_needs_none() {
    let mut given = behind(vec![named("One.test", 201)]);
    let (edge, door) = serve(&given).await;
    assert_eq!((ask(door, "one.test").await.as_str(), ask(door, "any").await.as_str()), ("201", "201"));
    given.generation = 2;
    given.balancers.push(named("two.test", 202));
    edge.apply(given.clone()).await.expect("a configuration");
    assert_eq!(ask(door, "one.TEST:80").await, "201");
    assert_eq!(ask(door, "two.test").await, "202");
    assert_eq!(ask(door, "three.test").await, "404");
    // One that is taken away takes its name along.
    given.generation = 3;
    given.balancers.remove(0);
    edge.apply(given.clone()).await.expect("a configuration");
    assert_eq!(ask(door, "one.test").await, "202");
    given.generation = 4;
    given.balancers.clear();
    edge.apply(given).await.expect("a configuration");
    let refused = async {
        while TcpStream::connect(door).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(support::PATIENCE, refused).await.expect("the door is closed");
}

#[tokio::test]
async fn a_door_of_this_machine_leads_to_internal_balancers_too() {
    let mut given = behind(vec![named("one.test", 201), named("two.test", 202)]);
    given.balancers[0].internal = true;
    let (_edge, door) = serve(&given).await;
    assert_eq!((ask(door, "one.test").await.as_str(), ask(door, "two.test").await.as_str()), ("201", "202"));
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_waited_for_and_arrives_whole() {
    let (_edge, door) = serve(&behind(vec![named("one.test", 201), named("two.test", 202)])).await;
    let mut stream = TcpStream::connect(door).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    for byte in b"GET / HTTP/1.1\r\nHost: two.test\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).await.expect("the edge reads");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(status(&support::rest(&mut stream).await), "202");
}

#[tokio::test]
async fn a_name_that_does_not_come_in_the_first_sixteen_kibibytes_is_not_waited_for() {
    let (_edge, door) = serve(&behind(vec![named("one.test", 201), named("two.test", 202)])).await;
    for (length, expected) in [(15, "202"), (16, "")] {
        let mut stream = TcpStream::connect(door).await.expect("a connection");
        let long = "x".repeat(length * 1024);
        let head = format!("GET / HTTP/1.1\r\nX: {long}\r\nHost: two.test\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut answer)).await;
        // Or by a reset: what it has sent is not read.
        let _ = ended.expect("the edge ends it");
        assert_eq!(String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default(), expected);
    }
}

#[tokio::test]
async fn a_door_that_somebody_else_has_is_opened_when_it_is_free() {
    let mut given = behind(vec![named("one.test", 201)]);
    let other = tokio::net::TcpListener::bind((given.door.unwrap(), PORT)).await.expect("a socket");
    let (edge, door) = serve(&given).await;
    assert_eq!(edge.whole_report().await.problems, []);
    let own = SocketAddr::new(given.balancers[0].addresses[0].ip, PORT);
    assert_eq!(ask(own, "one.test").await, "201");
    drop(other);
    given.generation = 2;
    edge.apply(given).await.expect("a configuration");
    assert_eq!(ask(door, "one.test").await, "201");
}

/// A listener of HTTPS with a certificate for the name.
fn secured(balancer: &mut Balancer) -> (String, Certificate) {
    let made = rcgen::generate_simple_self_signed([balancer.name.clone()]).expect("a certificate");
    let arn = format!("certificate of {}", balancer.name);
    balancer.listeners[0].protocol = ListenerProtocol::Https;
    balancer.listeners[0].certificates = vec![arn.clone()];
    (arn, Certificate { chain: made.cert.pem(), private_key: made.signing_key.serialize_pem() })
}

#[tokio::test]
async fn a_server_name_leads_to_its_balancers_certificate() {
    let mut balancers = vec![named("one.test", 201), named("two.test", 202)];
    let certificates: Vec<_> = balancers.iter_mut().map(secured).collect();
    let mut roots = RootCertStore::empty();
    for (_, certificate) in &certificates {
        let der = CertificateDer::from_pem_slice(certificate.chain.as_bytes()).expect("a certificate");
        roots.add(der).expect("a root");
    }
    let given = EdgeConfiguration { certificates: certificates.into_iter().collect(), ..behind(balancers) };
    let (_edge, door) = serve(&given).await;
    let connector =
        TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()));
    for (name, expected) in [("one.test", "201"), ("two.test", "202")] {
        let stream = TcpStream::connect(door).await.expect("a connection");
        let name = ServerName::try_from(name).expect("a name");
        let mut stream = connector.connect(name, stream).await.expect("its own certificate");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("the edge reads");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(status(&String::from_utf8_lossy(&answer)), expected);
    }
    let stream = TcpStream::connect(door).await.expect("a connection");
    let stranger = connector.connect(ServerName::try_from("three.test").expect("a name"), stream).await;
    assert!(stranger.is_err());
}

/// A client may take a connection to one server for one to another of the same address (RFC 9113, section 9.1.1).
#[tokio::test]
async fn a_request_for_another_balancer_than_its_connection_is_led_to_is_misdirected() {
    let mut balancers = vec![named("one.test", 201), named("Two.test", 202)];
    let (arn, certificate) = secured(&mut balancers[0]);
    let (other_arn, other) = secured(&mut balancers[1]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.chain.as_bytes()).expect("PEM")).expect("a root");
    let mut given = behind(balancers);
    given.certificates = [(arn, certificate), (other_arn, other)].into();
    let (edge, door) = serve(&given).await;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(door).await.expect("a connection");
    let name = ServerName::try_from("one.test").expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake");
    let (executor, stream) = (hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(stream));
    let (sender, driven) = hyper::client::conn::http2::handshake(executor, stream).await.expect("a handshake");
    tokio::spawn(driven);
    let ask = async |host: &str| {
        let asked = http::Request::builder().uri(format!("https://{host}/")).body(support::h2::full(""));
        let mut sender = sender.clone();
        sender.send_request(asked.expect("a request")).await.expect("an answer").status().as_u16()
    };
    for (host, expected) in
        [("one.test", 201), ("two.test", 421), ("TWO.test:28080", 421), ("one.test:28080", 201), ("www.test", 201)]
    {
        assert_eq!(ask(host).await, expected, "{host}");
    }
    // One that is alone answers to every name, and so it does when the other one has gone.
    (given.generation, given.balancers) = (2, vec![given.balancers.remove(0)]);
    edge.apply(given).await.expect("a configuration");
    assert_eq!(ask("two.test").await, 201);
}

#[tokio::test]
async fn a_later_request_of_a_connection_is_for_the_balancer_of_the_first() {
    let given = behind(vec![named("one.test", 201), named("two.test", 202)]);
    let (_edge, door) = serve(&given).await;
    let asked: String = ["one.test", "two.test", "ONE.test", "other.test"]
        .map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .concat();
    let answers = raw(door, format!("{asked}GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let statuses: Vec<&str> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["201", "421", "201", "201", "201"]);
    // At its own address a balancer takes every name.
    let own = SocketAddr::new(given.balancers[0].addresses[0].ip, PORT);
    assert_eq!(ask(own, "two.test").await, "201");
}
