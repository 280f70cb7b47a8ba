//! TCP, in the clear or out of TLS, on a listener of a network load balancer: one client's connection to one target, chosen by
//! its flow.
//!
//! What a client of TLS says goes to targets of TCP in the clear, to those of TLS encrypted anew. A target sees the client's
//! address if the group preserves it and it can be (`docs/decisions/0035`), else the balancer's; the proxy protocol names the
//! client.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use arc_swap::ArcSwap;
use longshore_link::edge::{GroupProtocol, ListenerProtocol};
use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use crate::count::{Count, Tally};
use crate::counted::{Counted, What};
use crate::dial::Transport;
use crate::front::Front;
use crate::http::forward::CONNECT;
use crate::route::{Ends, Route};
use crate::trust;
use crate::tunnel::{self, End};

/// A connection whose bytes may be those of a socket or what TLS makes of them.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Wire for client::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Joins a client with a target until they end, or nothing moves for the listener's idle timeout. A client for whom there is
/// no target, or whose target is not there, is reset, as is one whose connection is ended from here; a reset of one side
/// resets the other.
pub async fn serve(fronts: &ArcSwap<Front>, client: impl Wire, peer: SocketAddr) {
    let Ok(local) = client.tcp().local_addr() else { return };
    let tally = fronts.load().tally.clone();
    let Some(route) = Route::choose(fronts, Ends { transport: Transport::Tcp, client: peer, local }) else {
        return refuse(&client, &tally);
    };
    let is_tls = route.front.listener.protocol == ListenerProtocol::Tls;
    let (new, active) = match is_tls {
        true => (Count::NewFlowTls, Count::ActiveFlowTls),
        false => (Count::NewFlowTcp, Count::ActiveFlowTcp),
    };
    tally.note(new);
    let _open = tally.open(active);
    let target = match connect(&route, peer, local).await {
        Ok(target) => target,
        Err(error) => {
            tracing::debug!(%error, target = %route.busy.member().address(), "a target was not reached");
            return refuse(&client, &tally);
        }
    };
    if route.group.group.protocol != GroupProtocol::Tls {
        return join(&route, client, target).await;
    }
    match trust::connect(target, route.busy.member().key.address, false).await {
        Ok(target) => join(&route, client, target).await,
        Err(error) => {
            tracing::debug!(%error, target = %route.busy.member().address(), "a target's handshake failed");
            tally.note(Count::TargetTlsError);
            refuse(&client, &tally);
        }
    }
}

async fn join(route: &Route, mut client: impl Wire, mut target: impl Wire) {
    let tally = &route.front.tally;
    let bytes = match route.front.listener.protocol {
        ListenerProtocol::Tls => Count::ProcessedTls,
        _ => Count::ProcessedTcp,
    };
    let idle = Duration::from_secs(u64::from(route.front.listener.tcp_idle_timeout_seconds.max(1)));
    let here = What { bytes: Some(bytes), reset: Some(Count::ClientReset) };
    let there = What { bytes: None, reset: Some(Count::TargetReset) };
    let end = {
        let one = Counted::new(&mut client, tally.clone(), here);
        let other = Counted::new(&mut target, tally.clone(), there);
        tunnel::join(one, other, idle, route.cut(route.group.group.terminate_on_unhealthy)).await
    };
    if matches!(end, End::Idle | End::Cut) {
        tally.add(Count::ElbReset, 2);
    }
    if end != End::Closed {
        reset(client.tcp());
        reset(target.tcp());
    }
}

async fn connect(route: &Route, peer: SocketAddr, local: SocketAddr) -> io::Result<TcpStream> {
    let mut target = tokio::time::timeout(CONNECT, route.connect()).await??;
    let _ = target.set_nodelay(true);
    if route.group.group.proxy_protocol {
        let mut header = Vec::new();
        let addresses = ProxiedAddress::stream(peer, local);
        ProxyHeader::with_address(addresses)
            .encode_v2(&mut header)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        target.write_all(&header).await?;
    }
    Ok(target)
}

/// A client that is not joined with anybody.
fn refuse(client: &impl Wire, tally: &Tally) {
    tally.note(Count::ElbReset);
    reset(client.tcp());
}

/// The other side learns at once that the connection is no more.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
