//! Where connections to targets come from, and where listeners of their network are: this machine's own network, or another
//! network namespace.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{SockaddrIn, bind};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

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
pub struct Dialer(Option<Arc<Make>>);

impl Dialer {
    /// Targets are reached from the network namespace of this process.
    pub fn here() -> Self {
        Self::default()
    }

    /// Targets are reached by IPv4 sockets that `make` returns: not bound, not connected, non-blocking. It must not block.
    pub fn by(make: impl Fn(Transport) -> io::Result<OwnedFd> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(make)))
    }

    /// # Errors
    /// Those of making the socket and of connecting it.
    pub async fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        let Some(make) = self.0.as_ref().filter(|_| target.is_ipv4()) else {
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
        let socket = match self.0.as_ref().filter(|_| address.is_ipv4()) {
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
        let socket = match self.0.as_ref().filter(|_| address.is_ipv4()) {
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

    /// A socket whose datagrams go to this target and come from it alone.
    ///
    /// # Errors
    /// Those of making the socket.
    pub fn datagrams(&self, target: SocketAddr) -> io::Result<UdpSocket> {
        let any = || match target {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = match self.0.as_ref().filter(|_| target.is_ipv4()) {
            Some(make) => std::net::UdpSocket::from(make(Transport::Udp)?),
            None => std::net::UdpSocket::bind((any(), 0))?,
        };
        socket.connect(target)?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Dialer(elsewhere)" } else { "Dialer(here)" })
    }
}
