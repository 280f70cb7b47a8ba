//! TCP, in the clear or out of TLS, on a listener of a network load balancer: one client's connection to one target, chosen by its flow.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use longshore_link::edge::{Action, Stickiness};
use proxy_header::{ProxiedAddress, ProxyHeader};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::choose;
use crate::front::{Front, Group, flow_hash};
use crate::http::forward::CONNECT;
use crate::member::Busy;
use crate::tunnel::{self, End};

/// A client's connection, whose bytes may be those of a socket or what TLS makes of them.
pub trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Joins a client with a target until they end, or nothing moves for the listener's idle timeout. A client for whom there is
/// no target, or whose target is not there, is reset, as is one whose connection is ended from here.
pub async fn serve(fronts: &ArcSwap<Front>, mut client: impl Wire, peer: SocketAddr) {
    let Ok(local) = client.tcp().local_addr() else { return };
    let Some((front, group, busy)) = choose(fronts, peer, local) else { return reset(client.tcp()) };
    let mut target = match connect(&group, &busy, peer, local).await {
        Ok(target) => target,
        Err(error) => {
            tracing::debug!(%error, target = %busy.member().address(), "a target was not reached");
            return reset(client.tcp());
        }
    };
    let idle = Duration::from_secs(u64::from(front.listener.tcp_idle_timeout_seconds.max(1)));
    let end = tunnel::join(&mut client, &mut target, idle, cut(&front, &group, &busy)).await;
    if end != End::Closed {
        reset(client.tcp());
        reset(&target);
    }
}

/// The target of a flow, by a front that has not been changed meanwhile.
fn choose(fronts: &ArcSwap<Front>, peer: SocketAddr, local: SocketAddr) -> Option<(Arc<Front>, Arc<Group>, Busy)> {
    let mut front = fronts.load_full();
    loop {
        if let Some((group, busy)) = choose_by(&front, peer, local) {
            return Some((front, group, busy));
        }
        let now = fronts.load_full();
        if Arc::ptr_eq(&now, &front) {
            return None;
        }
        front = now;
    }
}

fn choose_by(front: &Front, peer: SocketAddr, local: SocketAddr) -> Option<(Arc<Group>, Busy)> {
    let Action::Forward { groups, .. } = &front.listener.default_action else { return None };
    let both = flow_hash(&Stickiness::None, peer, local);
    let group = front.groups.get(&choose::group(groups, both)?.target_group)?;
    let busy = group.choose_by(front, flow_hash(&group.group.stickiness, peer, local))?;
    Some((group.clone(), busy))
}

async fn connect(group: &Group, busy: &Busy, peer: SocketAddr, local: SocketAddr) -> io::Result<TcpStream> {
    let mut target = tokio::time::timeout(CONNECT, busy.member().connect(None)).await??;
    let _ = target.set_nodelay(true);
    if group.group.proxy_protocol {
        let mut header = Vec::new();
        let addresses = ProxiedAddress::stream(peer, local);
        ProxyHeader::with_address(addresses)
            .encode_v2(&mut header)
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        target.write_all(&header).await?;
    }
    Ok(target)
}

/// Ends when a connection has to end: its target's deregistration delay has passed, or it has turned unhealthy, if the group
/// says so. Not while requests go to all targets because too few are healthy.
async fn cut(front: &Front, group: &Group, busy: &Busy) {
    let over = async {
        busy.member().ended().await;
        if !group.group.terminate_on_deregistration {
            future::pending::<()>().await;
        }
    };
    let unhealthy = async {
        loop {
            busy.member().turned_unhealthy().await;
            if group.group.terminate_on_unhealthy && !group.fails_open(front) {
                return;
            }
        }
    };
    tokio::select! {
        () = over => {}
        () = unhealthy => {}
    }
}

/// The other side learns at once that the connection is no more.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
