//! TLS on listeners of both kinds of balancers.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore_link::edge::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::*;

fn certificate(names: &[&str]) -> Certificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    Certificate { chain: made.cert.pem(), private_key: made.signing_key.serialize_pem() }
}

/// A configuration whose listener speaks TLS with these certificates, the first being the default.
fn secured(kind: BalancerKind, target: SocketAddr, certificates: &[&Certificate]) -> EdgeConfiguration {
    let mut configuration = configuration(kind, own_address(), &[target]);
    let listener = &mut configuration.balancers[0].listeners[0];
    listener.protocol = if kind == BalancerKind::Network { ListenerProtocol::Tls } else { ListenerProtocol::Https };
    listener.ssl_policy = Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into());
    for (number, certificate) in certificates.iter().enumerate() {
        listener.certificates.push(number.to_string());
        configuration.certificates.insert(number.to_string(), (*certificate).clone());
    }
    configuration
}

/// Connects as a client that trusts only this certificate.
async fn connect(to: SocketAddr, name: &str, trusted: &Certificate) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(trusted.chain.as_bytes()).expect("a certificate");
    roots.add(certificate).expect("a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
}

async fn get(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("the edge reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer and a proper end");
    answer
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let backend = Backend::named("hello").await;
    let (first, wild) = (certificate(&["first.test"]), certificate(&["*.wild.test"]));
    let (_edge, to) = serve(&secured(BalancerKind::Application, backend.address, &[&first, &wild])).await;
    for (name, trusted) in [("first.test", &first), ("a.wild.test", &wild)] {
        let mut stream = connect(to, name, trusted).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(body(&get(&mut stream).await), "hello");
    }
    // An unknown name is shown the default, whose name it is not.
    let error = connect(to, "unknown.test", &first).await.expect_err("another's name").to_string();
    assert!(error.contains("not valid for name"), "{error}");
    assert!(connect(to, "first.test", &wild).await.is_err());
    let seen = backend.seen.lock()[0].to_lowercase();
    assert!(seen.contains("x-forwarded-proto: https\r\n"), "{seen}");
}

#[tokio::test]
async fn what_is_no_handshake_is_turned_away_and_others_go_on() {
    let backend = Backend::named("hello").await;
    let certificate = certificate(&["a.test"]);
    let (_edge, to) = serve(&secured(BalancerKind::Application, backend.address, &[&certificate])).await;
    let mut junk = TcpStream::connect(to).await.expect("a connection");
    junk.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    let mut alert = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, junk.read_to_end(&mut alert)).await.expect("the end");
    assert!(!alert.starts_with(b"HTTP"));
    let mut stream = connect(to, "a.test", &certificate).await.expect("a handshake");
    assert_eq!(status(&get(&mut stream).await), "200");
    assert_eq!(backend.count(), 1);
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_connections_go_on() {
    let backend = Backend::named("hello").await;
    let (old, new) = (certificate(&["a.test"]), certificate(&["a.test"]));
    let mut configuration = secured(BalancerKind::Application, backend.address, &[&old]);
    let (edge, to) = serve(&configuration).await;
    let mut before = connect(to, "a.test", &old).await.expect("a handshake");
    configuration.generation = 2;
    configuration.certificates.insert("0".into(), new.clone());
    edge.apply(configuration).await.expect("a configuration");
    assert!(connect(to, "a.test", &old).await.is_err());
    let mut after = connect(to, "a.test", &new).await.expect("a handshake");
    assert_eq!((status(&get(&mut before).await), status(&get(&mut after).await)), ("200", "200"));
}

#[tokio::test]
async fn tls_ends_at_a_network_load_balancer() {
    let backend = Backend::named("hello").await;
    let certificate = certificate(&["a.test"]);
    let (_edge, to) = serve(&secured(BalancerKind::Network, backend.address, &[&certificate])).await;
    let mut stream = connect(to, "a.test", &certificate).await.expect("a handshake");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    let mut answer = vec![0; ok("hello").len()];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(String::from_utf8(answer).expect("text"), ok("hello"));
}

#[tokio::test]
async fn a_listener_without_a_usable_certificate_is_reported() {
    let backend = Backend::named("hello").await;
    let edge = longshore_edge::Edge::new();
    edge.apply(secured(BalancerKind::Application, backend.address, &[])).await.expect("a configuration");
    assert_eq!(edge.report().await.problems[0].problem, "it has no certificate");
}

#[tokio::test]
async fn a_listener_whose_new_certificate_is_of_no_use_goes_on_with_what_it_has() {
    let (old, new) = (Backend::named("old").await, Backend::named("new").await);
    let own = certificate(&["a.test"]);
    let mut configuration = secured(BalancerKind::Application, old.address, &[&own]);
    let (edge, to) = serve(&configuration).await;
    for (generation, backend, chain, problems) in [(2, &new, "", 1), (3, &old, "", 1), (4, &new, &own.chain, 0)] {
        configuration.generation = generation;
        configuration.certificates.get_mut("0").expect("a certificate").chain = chain.to_owned();
        group(&mut configuration).targets = vec![Target::new(backend.address)];
        edge.apply(configuration.clone()).await.expect("a configuration");
        assert_eq!(edge.whole_report().await.problems.len(), problems);
        let mut stream = connect(to, "a.test", &own).await.expect("a handshake");
        let expected = if generation == 3 { "old" } else { "new" };
        assert_eq!(body(&get(&mut stream).await), expected);
    }
}

/// A target that speaks TLS by a certificate that nobody knows, and says in it what it hears.
async fn encrypted() -> SocketAddr {
    let own = certificate(&["whoever.test"]);
    let chain = vec![CertificateDer::from_pem_slice(own.chain.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(own.private_key.as_bytes()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a server");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (mut reads, mut writes) = tokio::io::split(stream);
                let _ = tokio::io::copy(&mut reads, &mut writes).await;
                let _ = writes.shutdown().await;
            });
        }
    });
    address
}

/// A target that greets before anything is said, and not by TLS.
async fn blunt() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.write_all(b"220 hello\r\n").await;
        }
    });
    address
}

#[tokio::test]
async fn what_a_network_load_balancer_decrypts_it_encrypts_anew_for_targets_of_tls() {
    let own = certificate(&["a.test"]);
    let (good, plain) = (encrypted().await, blunt().await);
    let mut configuration = secured(BalancerKind::Network, good, &[&own]);
    group(&mut configuration).protocol = GroupProtocol::Tls;
    let (edge, to) = serve(&configuration).await;
    let mut stream = connect(to, "a.test", &own).await.expect("a handshake");
    stream.write_all(b"there and back").await.expect("the edge reads");
    stream.shutdown().await.expect("an end");
    let mut heard = String::new();
    stream.read_to_string(&mut heard).await.expect("an answer and a proper end");
    assert_eq!(heard, "there and back");
    configuration.generation = 2;
    group(&mut configuration).targets = vec![Target::new(plain)];
    edge.apply(configuration).await.expect("a configuration");
    let mut stream = connect(to, "a.test", &own).await.expect("a handshake");
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut heard = String::new();
    assert!(stream.read_to_string(&mut heard).await.is_err() && heard.is_empty(), "{heard}");
    let metrics = edge.take_metrics().await;
    assert_eq!(metrics.series[0].values["TargetTLSNegotiationErrorCount"], 1);
    assert_eq!(metrics.series[0].values["NewFlowCount_TLS"], 2);
}
