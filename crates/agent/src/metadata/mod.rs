//! The task metadata endpoint: what a container may know of itself, at http://169.254.170.2.
//!
//! One listener in the router's namespace serves all tasks of the node, and the address of who asks says which task it is:
//! the bridge lets a task send from its own address only (see `network`). So nothing in a request chooses the task, the
//! `Host` header means nothing here. Ids in paths are those of the task's own containers and credentials; every other is
//! not found.
//!
//! ```text
//!   task ── default route ──► 169.254.170.2:80 ──► address ─(register)─► endpoint of the task ──► document
//!
//!   /v4/ID   /v4/ID/task   /v4/ID/taskWithTags   /v4/ID/stats   /v4/ID/task/stats
//!   /v3/ID   /v3/ID/task   /v3/ID/stats   /v3/ID/task/stats       /v2/metadata[/ID]   /v2/stats[/ID]
//!   /v2/credentials/ID   /v1/credentials?id=ID
//! ```
//!
//! The same address is a task's way to the API of the control plane, at port 4566, which it does not reach otherwise: the
//! host's own services are closed to it. What comes there is [relayed](relay) as it is, but for what only nodes and operators
//! call.
//!
//! Every connection to the endpoint carries one request and lives five seconds at most; a task has 40 requests a second with a burst
//! of 60. Credentials of the task's role come from the [wallet](crate::wallet); who asks before they are there waits for
//! them a little. Left out: task protection, fault injection.

mod document;
mod endpoint;
mod limit;
mod listener;
mod path;
mod register;
mod relay;
mod requests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use longshore_link::acs;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use self::endpoint::Endpoint;
use self::register::{Place, Register};
use crate::api::ControlPlane;
use crate::engine::link::Link;
use crate::engine::runner::Pulled;
use crate::wallet::{Held, Wallet};

/// How long a connection may last, from its first byte to its last.
const CONNECTION_WITHIN: Duration = Duration::from_secs(5);

/// The endpoint: what the documents of all tasks share, and which task has which address. Clones share it.
#[derive(Clone)]
pub(crate) struct Metadata {
    plane: ControlPlane,
    node: Arc<parking_lot::Mutex<Option<String>>>,
    wallet: Wallet,
    register: Register<Endpoint>,
}

impl Metadata {
    pub(crate) fn new(plane: ControlPlane) -> Self {
        Self { plane, node: Arc::default(), wallet: Wallet::default(), register: Register::default() }
    }

    /// Where the credentials of the tasks are.
    pub(crate) fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    pub(crate) fn plane(&self) -> &ControlPlane {
        &self.plane
    }

    /// Tells which node this is, for the tags of the container instance.
    pub(crate) fn set_node(&self, arn: &str) {
        *self.node.lock() = Some(arn.to_owned());
    }

    /// Takes connections from now on, those for the API to the control plane at `plane`. Tasks of an agent before should be
    /// known by then.
    pub(crate) fn listen(&self, listener: TcpListener, api: TcpListener, plane: SocketAddr) -> Listening {
        let accepting = tokio::spawn(listener::accept(listener, self.register.clone()));
        let relaying = tokio::spawn(relay::accept(api, plane, self.register.clone()));
        Listening([accepting.abort_handle(), relaying.abort_handle()])
    }

    /// Makes the task with that private address known; what it asks waits until it is [served](Served::answer).
    pub(crate) fn expect(&self, address: Ipv4Addr, credentials: Option<Held>) -> Served {
        Served { metadata: self.clone(), place: self.register.enter(address), credentials }
    }
}

/// The listeners; they close when this is dropped.
pub(crate) struct Listening([AbortHandle; 2]);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// The endpoint of one task; when this is dropped its connections end and its credentials are forgotten.
pub(crate) struct Served {
    metadata: Metadata,
    place: Place<Endpoint>,
    credentials: Option<Held>,
}

impl Served {
    /// Answers from now on.
    pub(crate) fn answer(&self, task: &Arc<acs::Task>, link: &Link, pulled: &Pulled) {
        let purse = self.credentials.as_ref().map(Held::purse);
        self.place.answer(Endpoint::new(&self.metadata, task, link, pulled, purse));
    }
}
