//! Simulated nodes: one process that holds thousands of sessions with a control plane over the real agent connection.
//!
//! Each node registers, opens its ACS websocket, answers heartbeats, acknowledges manifests and payloads, and reports each
//! task by SubmitTaskStateChange on a kept-alive connection of its own, as `longshore agent --engine simulated` does. It
//! keeps nothing of a task but the report it owes; a report counts when the control plane has accepted it, which it does
//! once it is durable.
//!
//! Left out: TCS (health), signatures that verify, the time a start takes.

mod http;
mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

pub use http::Caller;

/// Registrations and handshakes under way at the same time.
const OPENING: usize = 64;

/// What the nodes have told so far.
#[derive(Default)]
pub struct Counters {
    /// RUNNING reports that were accepted.
    pub running: AtomicU64,
    /// STOPPED reports that were accepted.
    pub stopped: AtomicU64,
    /// Payload messages received.
    pub payloads: AtomicU64,
    /// Nodes whose session ended without being asked to.
    pub lost: AtomicU64,
}

/// Nodes in session. Dropping it ends every session.
pub struct Fleet {
    pub counters: Arc<Counters>,
    nodes: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Register `size` nodes, spread over the zones, and open their sessions.
    pub async fn open(address: &str, size: usize) -> Result<Self> {
        let counters = Arc::new(Counters::default());
        let slots = Arc::new(Semaphore::new(OPENING));
        let mut opening = JoinSet::new();
        for number in 0..size {
            let (slots, counters, address) = (slots.clone(), counters.clone(), address.to_owned());
            opening.spawn(async move {
                let _slot = slots.acquire_owned().await;
                node::open(&address, number, counters).await
            });
        }
        let mut nodes = Vec::with_capacity(size);
        while let Some(opened) = opening.join_next().await {
            nodes.push(opened??);
        }
        Ok(Self { counters, nodes })
    }

    /// Cut the connections of one node, as its death would.
    pub fn kill_one(&mut self) -> Result<()> {
        self.nodes.pop().context("no node is left")?.abort();
        Ok(())
    }

    /// Wait until `wanted` RUNNING reports were accepted.
    pub async fn wait_running(&self, wanted: u64, patience: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + patience;
        loop {
            let running = self.counters.running.load(Ordering::Relaxed);
            if running >= wanted {
                return Ok(());
            }
            let lost = self.counters.lost.load(Ordering::Relaxed);
            if tokio::time::Instant::now() > deadline || lost > 0 {
                bail!("{running} of {wanted} tasks run, {lost} sessions were lost");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for node in &self.nodes {
            node.abort();
        }
    }
}
