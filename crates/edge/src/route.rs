//! Which target a flow has, and when it has to end.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use longshore_link::edge::{Action, Stickiness};
use tokio::net::{TcpStream, UdpSocket};

use crate::choose;
use crate::count::Count;
use crate::dial::Transport;
use crate::front::{Front, Group, flow_hash};
use crate::member::Busy;

/// A flow with its target.
#[derive(Debug)]
pub struct Route {
    pub front: Arc<Front>,
    pub group: Arc<Group>,
    pub busy: Busy,
    ends: Ends,
}

/// Both ends of a flow, as the client sees them.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub transport: Transport,
    pub client: SocketAddr,
    pub local: SocketAddr,
}

impl Route {
    /// The target of a flow, by a front that has not been changed meanwhile. `None` if there is none.
    pub fn choose(fronts: &ArcSwap<Front>, ends: Ends) -> Option<Self> {
        let mut front = fronts.load_full();
        loop {
            if let Some((group, busy)) = choose_by(&front, ends) {
                if !busy.member().is_healthy() {
                    front.tally.note(Count::UnhealthyRoutingFlow);
                }
                return Some(Self { front, group, busy, ends });
            }
            let now = fronts.load_full();
            if Arc::ptr_eq(&now, &front) {
                return None;
            }
            front = now;
        }
    }

    /// A connection to the target. It sees the client if the group preserves clients' addresses and this one can be.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        self.busy.member().connect_flow(self.seen()).await
    }

    /// A socket for datagrams to the target and from it; it sees who [`Self::connect`] says.
    pub fn datagrams(&self) -> io::Result<UdpSocket> {
        self.busy.member().datagrams(self.seen())
    }

    fn seen(&self) -> Option<Ends> {
        self.group.group.preserve_client_ip.then_some(self.ends)
    }

    /// Ends when the flow has to end: its target's deregistration delay has passed, if the group says so, or it has turned
    /// unhealthy, if `on_unhealthy`. Not while flows go to all targets because too few are healthy.
    pub async fn cut(&self, on_unhealthy: bool) {
        let member = self.busy.member();
        let over = async {
            member.ended().await;
            if !self.group.group.terminate_on_deregistration {
                future::pending::<()>().await;
            }
        };
        let unhealthy = async {
            loop {
                member.turned_unhealthy().await;
                if on_unhealthy && !self.group.fails_open(&self.front) {
                    return;
                }
            }
        };
        tokio::select! {
            () = over => {}
            () = unhealthy => {}
        }
    }
}

fn choose_by(front: &Front, ends: Ends) -> Option<(Arc<Group>, Busy)> {
    let Action::Forward { groups, .. } = &front.listener.default_action else { return None };
    let both = flow_hash(&Stickiness::None, ends);
    let group = front.groups.get(&choose::group(groups, both)?.target_group)?;
    let busy = group.choose_by(front, flow_hash(&group.group.stickiness, ends))?;
    Some((group.clone(), busy))
}
