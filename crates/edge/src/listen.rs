//! Sockets that listen: opened and closed as configurations say, each with the front it serves now.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use longshore_link::edge::{ListenerProtocol, Stickiness};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use crate::count::Count;
use crate::counted::{Counted, What};
use crate::dial::{Dialer, Transport};
use crate::door::Others;
use crate::front::{Front, client_hash};
use crate::http::Peer;
use crate::slots::{Share, Slot, Slots};
use crate::{http, tcp, udp};

/// For a client's handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where a site listens. A listener of TCP and UDP has two.
pub type Place = (SocketAddr, Transport);

/// What a listener's protocol is spoken by.
pub fn transports(protocol: ListenerProtocol) -> &'static [Transport] {
    match protocol {
        ListenerProtocol::Udp => &[Transport::Udp],
        ListenerProtocol::TcpUdp => &[Transport::Tcp, Transport::Udp],
        _ => &[Transport::Tcp],
    }
}

/// Who serves a connection of TCP.
pub trait Serve: Clone + Send + 'static {
    /// Has the slot until the connection has ended.
    fn serve(self, stream: TcpStream, client: SocketAddr, slot: Slot) -> impl Future<Output = ()> + Send;

    /// A connection for which there is no slot.
    fn reject(&self, stream: TcpStream);
}

/// The way into a site, for connections that come to its own socket or by a door.
#[derive(Clone, Debug)]
pub struct Entry {
    front: Arc<ArcSwap<Front>>,
    stop: watch::Receiver<bool>,
    pub share: Share,
    /// By a door.
    pub others: Option<Others>,
}

impl Entry {
    /// To how many groups it leads to a healthy target.
    pub fn well(&self) -> usize {
        self.front.load().well()
    }

    /// A number for a client whose address says which target it gets; none for others.
    pub fn client_hash(&self, client: SocketAddr) -> Option<u64> {
        let now = self.front.load();
        let stays = now.groups.values().any(|group| group.group.stickiness == Stickiness::SourceIp);
        // Of other bits than those by which its target is chosen.
        stays.then(|| client_hash(client.ip()).rotate_left(32))
    }
}

impl Serve for Entry {
    async fn serve(self, stream: TcpStream, client: SocketAddr, slot: Slot) {
        serve(self, stream, client).await;
        drop(slot);
    }

    fn reject(&self, stream: TcpStream) {
        let front = self.front.load();
        front.tally.note(if front.is_web() { Count::RejectedConnection } else { Count::RejectedFlow });
        reset(&stream);
    }
}

/// The client learns at once that nobody listens, and nothing of the connection is left here.
pub fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// A socket with what it serves. Dropping it closes it; its connections end with the request they are at, those of TCP when
/// they end themselves, flows of UDP at once.
#[derive(Debug)]
pub struct Site {
    front: Arc<ArcSwap<Front>>,
    stop: watch::Sender<bool>,
    share: Share,
}

impl Site {
    /// Listens at `place`, in the network that sockets `of` this dialer are of.
    ///
    /// # Errors
    /// Those of binding the socket.
    pub fn open(place: Place, front: Arc<Front>, slots: &Slots, of: &Dialer) -> io::Result<Self> {
        let (address, transport) = place;
        let front = Arc::new(ArcSwap::new(front));
        let (stop, share) = (watch::Sender::new(false), slots.share());
        match transport {
            Transport::Tcp => {
                let listener = of.listen(address)?;
                tokio::spawn(accept(listener, entry(&front, &stop, &share), share.clone(), stop.subscribe()));
            }
            Transport::Udp => {
                let socket = of.receive(address)?;
                tokio::spawn(udp::serve(socket, front.clone(), slots.flows.clone(), stop.subscribe()));
            }
        }
        Ok(Self { front, stop, share })
    }

    pub fn entry(&self) -> Entry {
        entry(&self.front, &self.stop, &self.share)
    }

    /// What it serves, now and later.
    pub fn fronts(&self) -> Arc<ArcSwap<Front>> {
        self.front.clone()
    }

    /// What the next request is served by.
    pub fn swap(&self, front: Arc<Front>) {
        self.front.store(front);
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn entry(front: &Arc<ArcSwap<Front>>, stop: &watch::Sender<bool>, share: &Share) -> Entry {
    Entry { front: front.clone(), stop: stop.subscribe(), share: share.clone(), others: None }
}

/// Listens on `address` and serves connections by `by` until `stop` says that it is enough.
///
/// # Errors
/// Those of binding the socket.
pub async fn listen(address: SocketAddr, by: impl Serve, slots: &Slots, stop: watch::Receiver<bool>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(accept(listener, by, slots.share(), stop));
    Ok(())
}

async fn accept(listener: TcpListener, by: impl Serve, share: Share, mut stop: watch::Receiver<bool>) {
    loop {
        let next = tokio::select! {
            next = listener.accept() => next,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match next {
            Ok((stream, client)) => match share.take() {
                Some(slot) => {
                    tokio::spawn(by.clone().serve(stream, client, slot));
                }
                None => by.reject(stream),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Each way is boxed: a connection has the memory of its own way, not of the largest.
async fn serve(entry: Entry, stream: TcpStream, client: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let (is_web, tls, tally) = {
        let now = entry.front.load();
        (now.is_web(), now.tls.clone(), now.tally.clone())
    };
    let _open = is_web.then(|| {
        tally.note(Count::NewConnection);
        tally.open(Count::ActiveConnection)
    });
    match tls {
        Some(config) => Box::pin(secured(entry, stream, client, config)).await,
        None if is_web => {
            let peer = Peer { address: client, tls: None, others: entry.others };
            Box::pin(http::converse::serve(entry.front, Counted::new(stream, tally, WEB), peer, entry.stop)).await
        }
        None => Box::pin(tcp::serve(&entry.front, stream, client)).await,
    }
}

/// What is counted of a connection of HTTP.
const WEB: What = What { bytes: Some(Count::Processed), reset: None };

async fn secured(entry: Entry, stream: TcpStream, client: SocketAddr, config: Arc<ServerConfig>) {
    let Entry { front, stop, others, .. } = entry;
    let (is_web, tally) = {
        let now = front.load();
        (now.is_web(), now.tally.clone())
    };
    let accepted = Box::pin(tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream))).await;
    let failed = |why: String| {
        tracing::debug!(why, %client, "a client's handshake failed");
        tally.note(Count::ClientTlsError);
    };
    let stream = match accepted {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return failed(error.to_string()),
        Err(_) => return failed("it did not end".to_owned()),
    };
    if !is_web {
        return Box::pin(tcp::serve(&front, stream, client)).await;
    }
    let tls = front.load().log.is_some().then(|| agreed(stream.get_ref().1));
    let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let (stream, peer) = (Counted::new(stream, tally, WEB), Peer { address: client, tls, others });
    match is_two {
        true => Box::pin(http::streams::serve(front, stream, peer, stop)).await,
        false => Box::pin(http::converse::serve(front, stream, peer, stop)).await,
    }
}

/// What a client has agreed to, as OpenSSL calls it: protocol, cipher, and the server's name.
fn agreed(connection: &ServerConnection) -> [String; 3] {
    let protocol = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
    let cipher = match suite.strip_prefix("TLS13_") {
        Some(new) => format!("TLS_{new}"),
        None => suite.trim_start_matches("TLS_").replace("_WITH_", "-").replace('_', "-").replace("AES-", "AES"),
    };
    [protocol.to_owned(), cipher, connection.server_name().unwrap_or_default().to_owned()]
}
