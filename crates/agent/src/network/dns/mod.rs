//! The VPC's resolver: a forwarder that tasks reach at the VPC's base address plus two and at 169.254.169.253.
//!
//! Its listening sockets live in the router namespace, those towards the host's nameservers in the host's. Every query goes
//! out from a socket of its own, so that its port cannot be guessed, and an answer counts only if it has the query's id and
//! question. Nameservers are asked in the host's order; with none, or none answering, the task gets SERVFAIL instead of a
//! silence. Queries under way are bounded; those beyond get SERVFAIL at once.
//!
//! Names of load balancers it answers itself ([`Names`]). Left out: a cache, and other names of the VPC's own (`ip-172-31-…`,
//! service discovery).

mod message;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longshore_edge::Places;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::{Doing, Error};
use super::router::ResolverSockets;
use message::{is_answer_to, is_query, servfail};
use upstream::Upstreams;

/// Queries under way at once.
const QUERIES: usize = 512;
/// TCP connections at once.
const CONNECTIONS: usize = 128;
/// How long one nameserver may take; glibc gives up after five seconds, so that two fit.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a TCP connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer taken over UDP.
const UDP_LIMIT: usize = 8192;
/// How long to rest when a socket fails, so that a lasting failure does not spin.
const REST: Duration = Duration::from_millis(100);

/// A running resolver. Dropping it stops it.
pub(super) struct Resolver {
    _tasks: JoinSet<()>,
}

/// Names of load balancers, once there is an edge that knows them. Clones share them.
#[derive(Clone, Default)]
pub struct Names(Arc<Known>);

#[derive(Default)]
struct Known {
    places: OnceLock<Places>,
    turn: AtomicUsize,
}

impl Names {
    /// From now on these are answered here, as the edge has them at each time. What is said first counts.
    pub fn know(&self, places: Places) {
        self.0.places.get_or_init(|| places);
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let mut addresses = self.0.places.get()?.of(&message::name(query)?)?;
        // Most clients take the first.
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed).checked_rem(addresses.len());
        addresses.rotate_left(turn.unwrap_or(0));
        Some(message::answer(query, &addresses))
    }
}

struct Forwarder {
    names: Names,
    upstreams: Upstreams,
    queries: Semaphore,
    connections: Arc<Semaphore>,
}

/// How to reach a nameserver.
#[derive(Clone, Copy)]
enum Transport {
    Udp,
    Tcp,
}

impl Resolver {
    /// Serves the sockets on the calling runtime, forwarding to the nameservers that `resolv_conf` names
    /// what is none of `names`.
    pub(super) fn start(sockets: ResolverSockets, resolv_conf: PathBuf, names: Names) -> Result<Self, Error> {
        let forwarder = Arc::new(Forwarder {
            names,
            upstreams: Upstreams::new(resolv_conf),
            queries: Semaphore::new(QUERIES),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
        });
        let mut tasks = JoinSet::new();
        let doing = || "hand the resolver's sockets to the runtime".to_owned();
        for socket in sockets.udp {
            let socket = UdpSocket::from_std(socket).doing(doing)?;
            tasks.spawn(forwarder.clone().serve_udp(Arc::new(socket)));
        }
        for listener in sockets.tcp {
            let listener = TcpListener::from_std(listener).doing(doing)?;
            tasks.spawn(forwarder.clone().serve_tcp(listener));
        }
        Ok(Resolver { _tasks: tasks })
    }
}

impl Forwarder {
    async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut under_way = JoinSet::new();
        let mut buffer = vec![0; UDP_LIMIT];
        loop {
            while under_way.try_join_next().is_some() {}
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            if !is_query(&buffer[..length]) {
                continue;
            }
            let query = buffer[..length].to_vec();
            under_way.spawn(self.clone().reply_udp(socket.clone(), client, query));
        }
    }

    async fn reply_udp(self: Arc<Self>, socket: Arc<UdpSocket>, client: SocketAddr, query: Vec<u8>) {
        let answer = self.resolve(&query, Transport::Udp).await;
        if let Err(error) = socket.send_to(&answer, client).await {
            tracing::debug!(%error, %client, "a DNS answer was not sent");
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            while open.try_join_next().is_some() {}
            let Ok(permit) = self.connections.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let forwarder = self.clone();
                    open.spawn(async move {
                        forwarder.converse(stream).await;
                        drop(permit);
                    });
                }
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    }

    /// Answers the queries of one TCP connection, one after the other, until it closes, errs or falls silent.
    async fn converse(&self, mut stream: TcpStream) {
        while let Ok(Ok(query)) = timeout(IDLE_TIMEOUT, read_message(&mut stream)).await {
            if !is_query(&query) {
                return;
            }
            let answer = self.resolve(&query, Transport::Tcp).await;
            if !matches!(timeout(IDLE_TIMEOUT, write_message(&mut stream, &answer)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// The first valid answer of a nameserver, or SERVFAIL.
    async fn resolve(&self, query: &[u8], transport: Transport) -> Vec<u8> {
        if let Some(answer) = self.names.answer(query) {
            return answer;
        }
        let Ok(_permit) = self.queries.try_acquire() else {
            return servfail(query);
        };
        for upstream in self.upstreams.current() {
            let asked = async {
                match transport {
                    Transport::Udp => ask_udp(query, upstream).await,
                    Transport::Tcp => ask_tcp(query, upstream).await,
                }
            };
            match timeout(UPSTREAM_TIMEOUT, asked).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(error)) => tracing::debug!(%error, %upstream, "a nameserver failed"),
                Err(_) => tracing::debug!(%upstream, "a nameserver did not answer in time"),
            }
        }
        servfail(query)
    }
}

async fn ask_udp(query: &[u8], upstream: SocketAddr) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(upstream::any_address(upstream)).await?;
    socket.connect(upstream).await?;
    socket.send(query).await?;
    let mut answer = vec![0; UDP_LIMIT];
    loop {
        let length = socket.recv(&mut answer).await?;
        if is_answer_to(query, &answer[..length]) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_tcp(query: &[u8], upstream: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    write_message(&mut stream, query).await?;
    let answer = read_message(&mut stream).await?;
    if is_answer_to(query, &answer) { Ok(answer) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// Over TCP a message follows its length, two bytes.
async fn read_message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| std::io::ErrorKind::InvalidData)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).await
}
