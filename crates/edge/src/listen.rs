//! Sockets that listen: opened and closed as configurations say, each with the front it serves now.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use longshore_link::edge::{ListenerProtocol, Stickiness};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use crate::count::Count;
use crate::counted::{Counted, What};
use crate::dial::{Dialer, Transport};
use crate::front::{Front, client_hash};
use crate::{http, tcp, udp};

/// For a client's handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections of clients at one time; more wait in the kernel's queues.
const CONNECTIONS: usize = 32_768;

/// Flows of UDP at one time, each with a socket.
const FLOWS: usize = 16_384;

/// What all sites have together.
#[derive(Clone, Debug)]
pub struct Slots {
    connections: Arc<Semaphore>,
    flows: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { connections: Arc::new(Semaphore::new(CONNECTIONS)), flows: Arc::new(Semaphore::new(FLOWS)) }
    }
}

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
    fn serve(self, stream: TcpStream, client: SocketAddr) -> impl Future<Output = ()> + Send;
}

/// The way into a site, for connections that come to its own socket or by a door.
#[derive(Clone, Debug)]
pub struct Entry {
    front: Arc<ArcSwap<Front>>,
    stop: watch::Receiver<bool>,
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
    async fn serve(self, stream: TcpStream, client: SocketAddr) {
        serve(self.front, stream, client, self.stop).await;
    }
}

/// A socket with what it serves. Dropping it closes it; its connections end with the request they are at, those of TCP when
/// they end themselves, flows of UDP at once.
#[derive(Debug)]
pub struct Site {
    front: Arc<ArcSwap<Front>>,
    stop: watch::Sender<bool>,
}

impl Site {
    /// Listens at `place`, in the network that sockets `of` this dialer are of.
    ///
    /// # Errors
    /// Those of binding the socket.
    pub fn open(place: Place, front: Arc<Front>, slots: &Slots, of: &Dialer) -> io::Result<Self> {
        let (address, transport) = place;
        let front = Arc::new(ArcSwap::new(front));
        let stop = watch::Sender::new(false);
        match transport {
            Transport::Tcp => {
                let entry = Entry { front: front.clone(), stop: stop.subscribe() };
                let listener = of.listen(address)?;
                tokio::spawn(accept(listener, entry, slots.connections.clone(), stop.subscribe()));
            }
            Transport::Udp => {
                let socket = of.receive(address)?;
                tokio::spawn(udp::serve(socket, front.clone(), slots.flows.clone(), stop.subscribe()));
            }
        }
        Ok(Self { front, stop })
    }

    pub fn entry(&self) -> Entry {
        Entry { front: self.front.clone(), stop: self.stop.subscribe() }
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

/// Listens on `address` and serves connections by `by` until `stop` says that it is enough.
///
/// # Errors
/// Those of binding the socket.
pub async fn listen(address: SocketAddr, by: impl Serve, slots: &Slots, stop: watch::Receiver<bool>) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(accept(listener, by, slots.connections.clone(), stop));
    Ok(())
}

async fn accept(listener: TcpListener, by: impl Serve, slots: Arc<Semaphore>, mut stop: watch::Receiver<bool>) {
    loop {
        let next = tokio::select! {
            next = next(&listener, &slots) => next,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match next {
            Ok((slot, stream, client)) => {
                let by = by.clone();
                tokio::spawn(async move {
                    by.serve(stream, client).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The next connection, once there is a slot for it.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    // The semaphore is never closed.
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    listener.accept().await.map(|(stream, client)| (slot, stream, client))
}

/// Each way is boxed: a connection has the memory of its own way, not of the largest.
async fn serve(front: Arc<ArcSwap<Front>>, stream: TcpStream, client: SocketAddr, stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    let (is_web, tls, tally) = {
        let now = front.load();
        (now.is_web(), now.tls.clone(), now.tally.clone())
    };
    let _open = is_web.then(|| {
        tally.note(Count::NewConnection);
        tally.open(Count::ActiveConnection)
    });
    match tls {
        Some(config) => Box::pin(secured(front, stream, client, stop, config)).await,
        None if is_web => {
            Box::pin(http::converse::serve(front, Counted::new(stream, tally, WEB), (client, None), stop)).await
        }
        None => Box::pin(tcp::serve(&front, stream, client)).await,
    }
}

/// What is counted of a connection of HTTP.
const WEB: What = What { bytes: Some(Count::Processed), reset: None };

async fn secured(
    front: Arc<ArcSwap<Front>>,
    stream: TcpStream,
    client: SocketAddr,
    stop: watch::Receiver<bool>,
    config: Arc<ServerConfig>,
) {
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
    let agreed = front.load().log.is_some().then(|| agreed(stream.get_ref().1));
    let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = Counted::new(stream, tally, WEB);
    match is_two {
        true => Box::pin(http::streams::serve(front, stream, (client, agreed), stop)).await,
        false => Box::pin(http::converse::serve(front, stream, (client, agreed), stop)).await,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Nobody;

    impl Serve for Nobody {
        async fn serve(self, _: TcpStream, _: SocketAddr) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_closes_at_once_also_while_it_waits_for_a_slot() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stop = watch::Sender::new(false);
        let accepting = tokio::spawn(accept(listener, Nobody, Arc::new(Semaphore::new(0)), stop.subscribe()));
        tokio::task::yield_now().await;
        stop.send_replace(true);
        tokio::time::timeout(HANDSHAKE, accepting).await.expect("it ends").expect("no panic");
    }
}
