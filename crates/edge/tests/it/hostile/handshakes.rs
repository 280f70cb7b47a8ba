//! H13: handshakes of TLS that no honest client sends.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use longshore_edge::Edge;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore};

use super::frames::secure;
use super::script::{self, Script};
use crate::support::{self, PATIENCE};

/// An edge whose default certificate is for an address and a name, and another for other names.
struct Site {
    _edge: Edge,
    to: SocketAddr,
    default: RootCertStore,
    other: RootCertStore,
    target: Script,
}

impl Site {
    async fn start() -> Self {
        let target = Script::ok().await;
        let mut configuration = script::configuration(&target);
        let default = secure(&mut configuration, &["default.test", "127.0.0.1"]);
        let other = secure(&mut configuration, &["other.test"]);
        let (edge, to) = support::serve(&configuration).await;
        Self { _edge: edge, to, default, other, target }
    }

    /// An honest client is served.
    async fn serves(&self) {
        let mut stream = connect(self.to, name("other.test"), &self.other, &[]).await.expect("a handshake");
        get(&mut stream).await;
    }

    /// Sends bytes, and reads what comes until the connection ends; an honest client is served after it.
    async fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.to).await.expect("a connection");
        stream.write_all(bytes).await.expect("the edge reads");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.expect("the edge closes the connection").expect("no reset");
        self.serves().await;
        answer
    }

    fn heard(&self) -> usize {
        self.target.requests().concat().len()
    }
}

fn name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).expect("a name")
}

fn config(trusted: &RootCertStore, protocols: &[Vec<u8>]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder().with_root_certificates(trusted.clone()).with_no_client_auth();
    config.alpn_protocols = protocols.to_vec();
    Arc::new(config)
}

async fn connect(
    to: SocketAddr,
    name: ServerName<'static>,
    trusted: &RootCertStore,
    protocols: &[Vec<u8>],
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(to).await?;
    TlsConnector::from(config(trusted, protocols)).connect(name, stream).await
}

async fn get<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.expect("the edge reads");
    stream.flush().await.expect("the edge reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert_eq!(support::status(&answer), "200", "{answer}");
}

/// The first bytes of a client that asks for a server.
fn hello(server: &str) -> Vec<u8> {
    let mut client = ClientConnection::new(config(&RootCertStore::empty(), &[]), name(server)).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("a hello");
    bytes
}

/// A hello whose server is called otherwise, with as many bytes.
fn hello_to(server: &[u8]) -> Vec<u8> {
    let honest = "x".repeat(server.len() - 5) + ".test";
    let mut bytes = hello(&honest);
    let at = bytes.windows(honest.len()).position(|window| window == honest.as_bytes()).expect("the name");
    bytes[at..at + server.len()].copy_from_slice(server);
    bytes
}

/// A fatal alert, and nothing before or after it.
fn alert(answer: &[u8]) -> Option<AlertDescription> {
    match answer {
        [21, 3, _, 0, 2, 2, code] => Some(AlertDescription::from(*code)),
        _ => None,
    }
}

/// A hello of the first versions: no extensions, two suites.
fn old_hello(minor: u8) -> Vec<u8> {
    let body = [&[3, minor][..], &[7; 32], &[0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]].concat();
    let length = u8::try_from(body.len()).expect("a length");
    [&[22, 3, minor, 0, length + 4, 1, 0, 0, length][..], &body].concat()
}

#[tokio::test]
async fn h13_without_a_name_a_client_is_shown_the_default_certificate() {
    let site = Site::start().await;
    let address = ServerName::from("127.0.0.1".parse::<IpAddr>().expect("an address"));
    let mut stream = connect(site.to, address, &site.default, &[]).await.expect("a handshake");
    get(&mut stream).await;
    // Case is none of a name's business.
    let mut stream = connect(site.to, name("OTHER.test"), &site.other, &[]).await.expect("a handshake");
    get(&mut stream).await;
    let error = connect(site.to, name("unknown.test"), &site.default, &[]).await.expect_err("another's name");
    assert!(error.to_string().contains("not valid for name"), "{error}");
    assert_eq!(site.heard(), 2);
}

#[tokio::test]
async fn h13_a_name_that_is_none_is_an_alert() {
    let site = Site::start().await;
    for server in [
        &b"a..b.test"[..],
        b"..",
        b"....................",
        b"a\0b.test",
        b"-a.test/../b",
        b"a b.test",
        b"\xff\xfe.test",
    ] {
        let server = if server.len() < 6 { b"......" } else { server };
        let answer = site.answer(&hello_to(server)).await;
        assert_eq!(alert(&answer), Some(AlertDescription::IllegalParameter), "{}: {answer:?}", server.escape_ascii());
    }
}

#[tokio::test]
async fn h13_unknown_protocols_are_an_alert_unless_a_known_one_is_among_them() {
    let site = Site::start().await;
    let junk = || vec![b"junk".to_vec(), b"\0\r\n".to_vec(), vec![b'x'; 255]];
    let error = connect(site.to, name("other.test"), &site.other, &junk()).await.expect_err("no protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    let known = [junk(), vec![b"http/1.1".to_vec()]].concat();
    let mut stream = connect(site.to, name("other.test"), &site.other, &known).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    get(&mut stream).await;
    let mut stream = connect(site.to, name("other.test"), &site.other, &[]).await.expect("a handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    get(&mut stream).await;
}

/// A stream that writes byte by byte.
struct Bytewise(TcpStream);

impl AsyncRead for Bytewise {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Bytewise {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, &bytes[..bytes.len().min(1)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn h13_a_long_hello_byte_by_byte_is_a_hello() {
    let site = Site::start().await;
    let mut protocols = vec![vec![b'x'; 255]; 64];
    protocols.push(b"http/1.1".to_vec());
    let stream = TcpStream::connect(site.to).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let connector = TlsConnector::from(config(&site.other, &protocols));
    let mut stream = connector.connect(name("other.test"), Bytewise(stream)).await.expect("a handshake");
    get(&mut stream).await;
    assert_eq!(site.heard(), 1);
}

#[tokio::test]
async fn h13_a_hello_of_megabytes_is_not_waited_for() {
    let site = Site::start().await;
    let record = |start: &[u8]| [&[22, 3, 1, 0x40, 0][..], start, &[0; 0x4000][start.len()..]].concat();
    let mut stream = TcpStream::connect(site.to).await.expect("a connection");
    // It is closed while there is more to read, which a client may see as a reset before it sees the alert.
    let _ = stream.write_all(&[record(&[1, 0xff, 0xff, 0xff]), record(&[]).repeat(100)].concat()).await;
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok() && (answer.is_empty() || alert(&answer).is_some()), "{answer:?}");
    site.serves().await;
}

#[tokio::test]
async fn h13_versions_below_1_2_are_an_alert() {
    let site = Site::start().await;
    for minor in 0..3 {
        let answer = site.answer(&old_hello(minor)).await;
        assert_eq!(alert(&answer), Some(AlertDescription::HandshakeFailure), "{minor}: {answer:?}");
    }
    // A hello of today that offers 1.1 and 1.0.
    let mut hello = hello("other.test");
    let offered = [0, 43, 0, 5, 4, 3, 4, 3, 3];
    let at = hello.windows(offered.len()).position(|window| window == offered).expect("the versions");
    hello[at + 5..at + 9].copy_from_slice(&[3, 2, 3, 1]);
    let answer = site.answer(&hello).await;
    assert_eq!(alert(&answer), Some(AlertDescription::ProtocolVersion), "{answer:?}");
}

#[tokio::test]
async fn h13_what_is_no_hello_is_an_alert() {
    let site = Site::start().await;
    let mut broken = hello("other.test");
    // The length of the session's id.
    broken[43] = 0xff;
    for (bytes, expected) in [
        (broken, Some(AlertDescription::DecodeError)),
        // An alert has no answer.
        (vec![21, 3, 3, 0, 2, 2, 99], None),
        ([&[23, 3, 3, 0, 5][..], b"hello"].concat(), Some(AlertDescription::UnexpectedMessage)),
        ([&[22, 3, 3, 0, 4, 20][..], &[0, 0, 0]].concat(), Some(AlertDescription::UnexpectedMessage)),
        (b"SSH-2.0-x\r\n".to_vec(), Some(AlertDescription::DecodeError)),
    ] {
        let answer = site.answer(&bytes).await;
        let start: Vec<u8> = bytes.iter().take(8).copied().collect();
        assert_eq!(alert(&answer), expected, "{start:?}: {answer:?}");
    }
}
