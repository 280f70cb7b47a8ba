//! Counters that `/metrics` shows in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_link::phase::LAUNCHES;
use longshore_model::State;
use parking_lot::Mutex;

use crate::balancing::Minutes;
use crate::clock;

/// Distinct (service, operation, status) rows kept; operations are a closed set, so this is never reached in practice.
const ROWS: usize = 4096;

#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
    pub refused: AtomicU64,
    /// Of load balancers.
    pub balancing: Minutes,
}

impl Metrics {
    pub fn answered(&self, service: &'static str, operation: &'static str, status: u16) {
        let mut requests = self.requests.lock();
        if requests.len() < ROWS || requests.contains_key(&(service, operation, status)) {
            *requests.entry((service, operation, status)).or_default() += 1;
        }
    }

    pub fn text(&self, state: &State, sessions: usize, revision: u64, full: bool) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "# TYPE longshore_api_requests_total counter");
        for ((service, operation, status), count) in self.requests.lock().iter() {
            let labels = format!("service=\"{service}\",operation=\"{operation}\",status=\"{status}\"");
            let _ = writeln!(text, "longshore_api_requests_total{{{labels}}} {count}");
        }
        let refused = self.refused.load(Ordering::Relaxed);
        let _ = writeln!(text, "# TYPE longshore_api_refused_total counter\nlongshore_api_refused_total {refused}");
        let stopped = state.index.stopped_count();
        for (name, value) in [
            ("longshore_clusters", state.clusters.len()),
            ("longshore_services", state.services.len()),
            ("longshore_tasks", state.tasks.len() - stopped),
            ("longshore_stopped_tasks", stopped),
            ("longshore_nodes", state.nodes.len()),
            ("longshore_node_sessions", sessions),
            ("longshore_store_revision", revision as usize),
            ("longshore_store_full", usize::from(full)),
        ] {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name} {value}");
        }
        text.push_str(&self.balancing.text(clock::wall().millis()));
        text.push_str(&LAUNCHES.text());
        text
    }
}
