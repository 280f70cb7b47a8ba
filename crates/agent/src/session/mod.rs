//! The sessions with the control plane: ACS for orders, TCS for health, one for the edge. Each is one websocket that the node
//! opens, and opens again for as long as it runs.
//!
//! ```text
//!   register ──► discover ──► connect ──► session ──► lost: wait a little, discover again
//!      ▲                         │           │
//!      └──── the control plane does not know this node (reset, deregistered)
//! ```
//!
//! A session in which nothing has been heard for one to two minutes is dead. Frames over 4 MiB end a session, but those of
//! configurations for the edge may have 256 MiB.

mod acs;
mod edge;
mod socket;
mod tcs;

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_link::MAX_CONFIGURATION;
use tokio::sync::watch;

use crate::api::ControlPlane;
use crate::backoff::Backoff;
use crate::balance::Balance;
use crate::engine::Engine;
use crate::engine::runner::Runner;
use crate::error::Error;
use crate::node::{PollEndpoint, Registrar, discover};
use crate::wallet::Wallet;

/// A session that lasted this long was a good one: the next is tried without delay.
const GOOD_SESSION: Duration = Duration::from_secs(60);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the control plane cannot be reached: {0}")]
    Unreachable(String),
    /// It does not know this node any more.
    #[error("the control plane does not know this node: {0}")]
    Unknown(String),
    /// The node may not open it.
    #[error("the control plane does not let this node: {0}")]
    Forbidden(String),
    #[error("the control plane closed the session: {0}")]
    Closed(String),
    #[error("nothing was heard from the control plane for {0:?}")]
    Silent(Duration),
}

/// A registered node and where its sessions go.
#[derive(Clone)]
struct Seat {
    node: String,
    endpoint: PollEndpoint,
}

/// Keeps all sessions open. Returns only when the control plane refuses the node for good.
pub(crate) async fn keep<R: Runner>(
    engine: Arc<Engine<R>>,
    plane: ControlPlane,
    registrar: Registrar,
    wallet: Wallet,
    balance: &Balance,
    local: bool,
    named: impl Fn(&str) + Send + Sync,
) -> Error {
    let (seat, seats) = watch::channel(None);
    let telemetry = keep_telemetry(&engine, &plane, local, seats.clone());
    let edge = keep_edge(balance, &plane, local, seats);
    tokio::select! {
        error = keep_orders(&engine, &plane, registrar, &wallet, local, &seat, named) => error,
        error = async {
            tokio::join!(telemetry, edge);
            std::future::pending().await
        } => error,
    }
}

async fn keep_orders<R: Runner>(
    engine: &Arc<Engine<R>>,
    plane: &ControlPlane,
    mut registrar: Registrar,
    wallet: &Wallet,
    local: bool,
    seat: &watch::Sender<Option<Seat>>,
    named: impl Fn(&str) + Send + Sync,
) -> Error {
    let mut backoff = Backoff::of_sessions(local);
    loop {
        let node = match registrar.register().await {
            Ok(node) => node,
            Err(error) => return error,
        };
        named(&node);
        let mut orders = acs::Orders::new(Arc::clone(engine), &node, wallet.clone());
        loop {
            let begun = Instant::now();
            let lost = orders_once(&mut orders, plane, &node, seat).await;
            tracing::info!(reason = %lost, "the session with the control plane ended");
            if begun.elapsed() > GOOD_SESSION {
                backoff.reset();
            }
            backoff.wait().await;
            if matches!(lost, Lost::Unknown(_)) {
                break;
            }
        }
    }
}

async fn orders_once<R: Runner>(
    orders: &mut acs::Orders<R>,
    plane: &ControlPlane,
    node: &str,
    seat: &watch::Sender<Option<Seat>>,
) -> Lost {
    let endpoint = match discover(plane, node).await {
        Ok(endpoint) => endpoint,
        Err(error) if error.is_transient() => return Lost::Unreachable(error.to_string()),
        Err(error) => return Lost::Unknown(error.to_string()),
    };
    let here = Seat { node: node.to_owned(), endpoint };
    seat.send_replace(Some(here.clone()));
    let query = [
        ("clusterArn", longshore_link::FARGATE_CLUSTER),
        ("containerInstanceArn", node),
        ("agentHash", "longshore"),
        ("agentVersion", env!("CARGO_PKG_VERSION")),
        ("seqNum", "1"),
        ("protocolVersion", "2"),
        ("dockerVersion", "containerd"),
        ("sendCredentials", "true"),
    ];
    match socket::open(&here.endpoint.endpoint, &query, plane).await {
        Ok(socket) => orders.session(socket).await,
        Err(lost) => lost,
    }
}

async fn keep_telemetry<R: Runner>(
    engine: &Arc<Engine<R>>,
    plane: &ControlPlane,
    local: bool,
    mut seats: watch::Receiver<Option<Seat>>,
) {
    let mut backoff = Backoff::of_sessions(local);
    loop {
        if seats.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let seat = seats.borrow().clone();
        let Some(Seat { node, endpoint }) = seat else { continue };
        let query = [("cluster", longshore_link::FARGATE_CLUSTER), ("containerInstance", node.as_str())];
        let begun = Instant::now();
        let lost = match socket::open(&endpoint.telemetry_endpoint, &query, plane).await {
            Ok(socket) => tcs::session(engine.health(), &node, socket).await,
            Err(lost) => lost,
        };
        tracing::debug!(reason = %lost, "the telemetry session ended");
        if begun.elapsed() > GOOD_SESSION {
            backoff.reset();
        }
        backoff.wait().await;
    }
}

async fn keep_edge(balance: &Balance, plane: &ControlPlane, local: bool, mut seats: watch::Receiver<Option<Seat>>) {
    let mut backoff = Backoff::of_sessions(local);
    loop {
        if seats.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let seat = seats.borrow().clone();
        let Some(Seat { node, .. }) = seat else { continue };
        let begun = Instant::now();
        let query = [("containerInstanceArn", node.as_str())];
        let lost = match socket::open_with(&plane.edge_endpoint(), &query, plane, MAX_CONFIGURATION).await {
            Ok(socket) => edge::session(balance, socket).await,
            Err(lost) => lost,
        };
        tracing::debug!(reason = %lost, "the session of the edge ended");
        if matches!(lost, Lost::Forbidden(_)) {
            tracing::info!("this node is no edge: it joined without");
            // It may be another node when it comes back.
            let _ = seats.wait_for(|now| now.as_ref().is_none_or(|now| now.node != node)).await;
        }
        if begun.elapsed() > GOOD_SESSION {
            backoff.reset();
        }
        backoff.wait().await;
    }
}
