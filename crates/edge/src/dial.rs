//! Where connections to targets come from, and where listeners of their network are: this machine's own network, or another
//! network namespace.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{SockaddrIn, bind, setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::route::Ends;

/// Connections that wait to be accepted, as tokio has it.
const BACKLOG: u32 = 1024;

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Tcp,
    Udp,
}

type Make = dyn Fn(Transport) -> io::Result<OwnedFd> + Send + Sync;

/// Makes the sockets that lead to targets. A socket belongs to the network namespace that it was made in, so whoever makes
/// them says which network targets are in.
#[derive(Clone, Default)]
pub struct Dialer {
    make: Option<Arc<Make>>,
    shows: Option<Arc<Shows>>,
}

/// How a target is shown the client instead of the balancer.
struct Shows {
    can: Box<dyn Fn(Ends, SocketAddr) -> bool + Send + Sync>,
    make: Box<Make>,
}

impl Dialer {
    /// Targets are reached from the network namespace of this process.
    pub fn here() -> Self {
        Self::default()
    }

    /// Targets are reached by IPv4 sockets that `make` returns: not bound, not connected, non-blocking. It must not block.
    pub fn by(make: impl Fn(Transport) -> io::Result<OwnedFd> + Send + Sync + 'static) -> Self {
        Self { make: Some(Arc::new(make)), shows: None }
    }

    /// Targets can be shown a client where `can` says so of a flow and its target, by sockets that `make` returns: as those of
    /// [`Self::by`], and to be bound to any address.
    #[must_use]
    pub fn showing(
        self,
        can: impl Fn(Ends, SocketAddr) -> bool + Send + Sync + 'static,
        make: impl Fn(Transport) -> io::Result<OwnedFd> + Send + Sync + 'static,
    ) -> Self {
        Self { shows: Some(Arc::new(Shows { can: Box::new(can), make: Box::new(make) })), ..self }
    }

    /// A connection by which the target sees the client of `seen`, if there is one and it can be shown, else the balancer.
    /// It sees the client's port as well, unless a connection of before has it.
    ///
    /// # Errors
    /// Those of making the socket and of connecting it.
    pub async fn connect(&self, target: SocketAddr, seen: Option<Ends>) -> io::Result<TcpStream> {
        for own in self.shown(target, seen) {
            let socket = match self.bound(Transport::Tcp, own) {
                Ok(socket) => TcpSocket::from_std_stream(socket.into()),
                Err(error) => {
                    tracing::debug!(%error, %own, "a socket was not bound to a client's address");
                    continue;
                }
            };
            match socket.connect(target).await {
                Err(error) if is_taken(&error) => tracing::debug!(%own, %target, "a client's port is taken"),
                done => return done,
            }
        }
        let Some(make) = self.make.as_ref().filter(|_| target.is_ipv4()) else {
            return TcpStream::connect(target).await;
        };
        let socket = TcpSocket::from_std_stream(make(Transport::Tcp)?.into());
        socket.connect(target).await
    }

    /// Listens in the network of the targets.
    ///
    /// # Errors
    /// Those of making the socket and of binding it.
    pub fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        let socket = match self.make.as_ref().filter(|_| address.is_ipv4()) {
            Some(make) => TcpSocket::from_std_stream(make(Transport::Tcp)?.into()),
            None if address.is_ipv4() => TcpSocket::new_v4()?,
            None => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    }

    /// A socket for datagrams to this address, which is one of the network of the targets.
    ///
    /// # Errors
    /// Those of making the socket and of binding it.
    pub fn receive(&self, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = match self.make.as_ref().filter(|_| address.is_ipv4()) {
            Some(make) => {
                let socket = make(Transport::Udp)?;
                let SocketAddr::V4(own) = address else { return Err(io::ErrorKind::InvalidInput.into()) };
                bind(socket.as_raw_fd(), &SockaddrIn::from(own))?;
                std::net::UdpSocket::from(socket)
            }
            None => std::net::UdpSocket::bind(address)?,
        };
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }

    /// A socket whose datagrams go to this target and come from it alone. The target sees who [`Self::connect`] says.
    ///
    /// # Errors
    /// Those of making the socket.
    pub fn datagrams(&self, target: SocketAddr, seen: Option<Ends>) -> io::Result<UdpSocket> {
        for own in self.shown(target, seen) {
            match self.bound(Transport::Udp, own) {
                Ok(socket) => return connected(socket.into(), target),
                Err(error) => tracing::debug!(%error, %own, "a socket was not bound to a client's address"),
            }
        }
        let any = || match target {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = match self.make.as_ref().filter(|_| target.is_ipv4()) {
            Some(make) => std::net::UdpSocket::from(make(Transport::Udp)?),
            None => std::net::UdpSocket::bind((any(), 0))?,
        };
        connected(socket, target)
    }

    /// What a socket to the target is to be bound to, one after the other, so that the target sees the client: its address
    /// and port, or its address and any port. Nothing if it cannot.
    fn shown(&self, target: SocketAddr, seen: Option<Ends>) -> impl Iterator<Item = SocketAddrV4> + use<> {
        let can = |ends: &Ends| self.shows.as_ref().is_some_and(|shows| (shows.can)(*ends, target));
        let client = seen.filter(can).and_then(|ends| match ends.client.ip().to_canonical() {
            IpAddr::V4(ip) => Some((ip, ends.client.port())),
            IpAddr::V6(_) => None,
        });
        client.into_iter().flat_map(|(ip, port)| [port, 0].map(|port| SocketAddrV4::new(ip, port)))
    }

    /// A socket with a client's address. Of TCP it may have the port of a connection that is there, if that is of another
    /// target or closed; of UDP it may not: what comes from the target is for one of the two.
    fn bound(&self, transport: Transport, own: SocketAddrV4) -> io::Result<OwnedFd> {
        let shows = self.shows.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        let socket = (shows.make)(transport)?;
        if transport == Transport::Tcp {
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        }
        bind(socket.as_raw_fd(), &SockaddrIn::from(own))?;
        Ok(socket)
    }
}

fn connected(socket: std::net::UdpSocket, target: SocketAddr) -> io::Result<UdpSocket> {
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Whether there is such a connection already, or was until a minute ago.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.make.is_some() { "Dialer(elsewhere)" } else { "Dialer(here)" })
    }
}
