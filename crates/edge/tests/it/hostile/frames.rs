//! A client of HTTP/2 that sends any frame, over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore_edge::Edge;
use longshore_link::edge::{Attributes, Certificate, EdgeConfiguration, ListenerProtocol};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::script::{self, Script};
use crate::support::{self, PATIENCE};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Codes of errors.
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const CALM: u32 = 11;

/// Makes the listener one of HTTPS, for a server of these names; what a client must trust.
pub fn secure(configuration: &mut EdgeConfiguration, names: &[&str]) -> RootCertStore {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    let made = made.expect("a certificate");
    let listener = &mut configuration.balancers[0].listeners[0];
    listener.protocol = ListenerProtocol::Https;
    listener.ssl_policy = Some("ELBSecurityPolicy-TLS13-1-2-2021-06".into());
    listener.certificates.push(names[0].into());
    let certificate = Certificate { chain: made.cert.pem(), private_key: made.signing_key.serialize_pem() };
    configuration.certificates.insert(names[0].into(), certificate);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("PEM")).expect("a certificate");
    roots
}

/// An edge whose listener speaks HTTP/2, and how to speak to it.
pub struct Site {
    _edge: Edge,
    to: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Site {
    pub async fn before(target: &Script) -> Self {
        Self::with(target, |_| {}).await
    }

    /// With other attributes of the balancer.
    pub async fn with(target: &Script, attributes: impl FnOnce(&mut Attributes)) -> Self {
        let mut configuration = script::configuration(target);
        attributes(&mut configuration.balancers[0].attributes);
        let roots = secure(&mut configuration, &["a.test"]);
        let (edge, to) = support::serve(&configuration).await;
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { _edge: edge, to, config: Arc::new(config) }
    }

    /// A connection that has begun.
    pub async fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.to).await.expect("a connection");
        let name = ServerName::try_from("a.test").expect("a name");
        let stream = TlsConnector::from(self.config.clone()).connect(name, stream).await.expect("a handshake");
        let mut peer = Peer { stream };
        peer.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("the edge reads");
        peer.send(SETTINGS, 0, 0, &[]).await;
        peer
    }
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this code.
    Status(u16),
    /// It was reset.
    Reset(u32),
    /// The connection was given up.
    Away(u32),
    /// The connection was closed.
    Closed,
}

pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One side of a connection.
pub struct Peer {
    stream: TlsStream<TcpStream>,
}

impl Peer {
    /// Sends a frame, unless the edge has closed the connection; says whether it has not.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send_raw(&frame(kind, flags, stream, payload)).await
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Asks with these fields; `end` is that there is no body.
    pub async fn ask(&mut self, stream: u32, fields: &Fields, end: bool) {
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        let block = block(fields);
        // More than a frame holds goes on in others.
        let (first, rest) = block.split_at(block.len().min(16_000));
        let parts: Vec<&[u8]> = rest.chunks(16_000).collect();
        let flags_of = |last: bool, flags: u8| if last { flags } else { flags & !END_HEADERS };
        self.send(HEADERS, flags_of(parts.is_empty(), flags), stream, first).await;
        for (number, part) in parts.iter().enumerate() {
            self.send(CONTINUATION, flags_of(number + 1 == parts.len(), END_HEADERS), stream, part).await;
        }
    }

    /// The next frame; `None` if the connection has ended.
    pub async fn frame(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; usize::try_from(length).expect("a length")];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
        };
        let frame = tokio::time::timeout(PATIENCE, read).await.expect("a frame, or the end")?;
        if frame.kind == PING && frame.flags == 0 {
            self.send(PING, 1, 0, &frame.payload).await;
        }
        Some(frame)
    }

    /// What becomes of a stream.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.frame().await {
            let number = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().expect("four bytes"));
            match frame.kind {
                HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(number(0)),
                GOAWAY => return Outcome::Away(number(4)),
                _ => {}
            }
        }
        Outcome::Closed
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK has them, each written out whole.
pub fn block(fields: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// A length in seven bits, or more.
fn integer(block: &mut Vec<u8>, mut number: usize) {
    if number < 127 {
        return block.push(u8::try_from(number).expect("seven bits"));
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push(u8::try_from(number % 128).expect("seven bits") | 128);
        number /= 128;
    }
    block.push(u8::try_from(number).expect("seven bits"));
}

/// The status that a block begins with: one of the table, or three digits in Huffman's code.
fn status(block: &[u8]) -> u16 {
    const TABLE: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    // Changes of the table's size come first.
    let at = block.iter().position(|byte| byte & 0xe0 != 0x20).expect("a field");
    match block[at] {
        index @ 0x88..=0x8e => TABLE[usize::from(index - 0x88)],
        0x48 if block[at + 1] & 0x80 != 0 => digits(&block[at + 2..]),
        0x48 => std::str::from_utf8(&block[at + 2..at + 5]).expect("digits").parse().expect("digits"),
        other => panic!("no status: {other:#x}"),
    }
}

fn digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1))).collect();
    let value = |bits: &[u16]| bits.iter().fold(0, |value, bit| value * 2 + bit);
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        // 0, 1 and 2 have five bits, the others six.
        let short = value(&bits[at..at + 5]);
        let (digit, length) = if short < 3 { (short, 5) } else { (value(&bits[at..at + 6]) - 22, 6) };
        number = number * 10 + digit;
        at += length;
    }
    number
}

/// A request as it should be.
pub fn get(path: &str) -> Fields {
    fields(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", path)])
}

pub fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

#[test]
fn codes_of_three_digits_read() {
    // 464 and 502 as HPACK has them.
    assert_eq!(status(&[0x48, 0x83, 0x69, 0xc6, 0x9f]), 464);
    assert_eq!(status(&[0x20, 0x48, 0x82, 0x6c, 0x02]), 502);
    assert_eq!((status(&[0x88]), status(&[0x48, 3, b'4', b'0', b'5'])), (200, 405));
}
