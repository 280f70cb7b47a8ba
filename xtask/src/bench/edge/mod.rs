//! The edge beside HAProxy and nginx (Debian's `haproxy`, `nginx-light`, `wrk`, `nghttp2-client`, `iperf3`).
//!
//! ```text
//!   processor 1: wrk, h2load, iperf3 ──► processor 0: the edge, HAProxy or nginx ──► processor 1: nginx, iperf3
//! ```
//! Every proxy is one process with one thread, keeps connections alive on both sides, writes no access log, and adds
//! `X-Forwarded-For`, `-Proto` and `-Port`. They are measured in turn. What is compared is processor time: requests a second
//! of the proxy's own processor. The wall clock and the 99th percentile are those of all together.

mod load;
mod peers;

use std::time::Duration;

use anyhow::Result;

use super::Row;
use super::stats::{Samples, cpu_time, ratios, resident_mb};
use super::table::Unit;
use load::Outcome;
use peers::{Door, Peer, Site};

const ROUNDS: usize = 5;
const PERIOD: Duration = Duration::from_secs(3);

/// Connections of clients that say nothing.
const IDLE: usize = 10_000;

/// A load, and what its outcomes are called.
struct Case {
    figure: &'static str,
    door: Door,
    load: fn(&str) -> Result<Outcome>,
    path: &'static str,
    unit: Unit,
}

const CASES: &[Case] = &[
    Case { figure: "HTTP/1.1, 128 bytes", door: Door::Http, load: load::wrk, path: "/small", unit: Unit::PerSecond },
    Case { figure: "TLS 1.3, 128 bytes", door: Door::Https, load: load::wrk, path: "/small", unit: Unit::PerSecond },
    Case { figure: "HTTP/2, 128 bytes", door: Door::Https, load: load::h2load, path: "/small", unit: Unit::PerSecond },
    Case { figure: "HTTP/1.1, 1 MiB", door: Door::Http, load: load::wrk, path: "/large", unit: Unit::PerSecond },
    Case { figure: "TCP", door: Door::Tcp, load: load::iperf3, path: "", unit: Unit::MegabytesPerSecond },
];

/// What the rounds of a case found of one proxy.
#[derive(Default)]
struct Found {
    rates: Vec<f64>,
    p99s: Vec<f64>,
    cpu_us: Vec<f64>,
}

pub fn run() -> Result<Vec<Row>> {
    let site = Site::start()?;
    // First, because a proxy keeps the memory of a load that has been.
    let idle = site.peers.iter().map(idle).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for case in CASES {
        rows.extend(measure(&site, case)?);
    }
    Ok(rows.into_iter().chain(idle).collect())
}

fn measure(site: &Site, case: &Case) -> Result<Vec<Row>> {
    let peers: Vec<&Peer> = site.peers.iter().filter(|peer| peer.has(case.door)).collect();
    let mut found: Vec<Found> = peers.iter().map(|_| Found::default()).collect();
    for round in 0..ROUNDS {
        for step in 0..peers.len() {
            let place = (round + step) % peers.len();
            let before = cpu_time(peers[place].pid())?;
            let outcome = (case.load)(&peers[place].url(case.door, case.path))?;
            found[place].push(&outcome, cpu_time(peers[place].pid())? - before);
        }
    }
    let own = peers.iter().zip(&found).map(|(peer, found)| found.row(case, peer.name)).collect::<Vec<_>>();
    let beside = peers.iter().zip(&found).skip(1).flat_map(|(peer, theirs)| found[0].beside(case, peer.name, theirs));
    Ok(own.into_iter().chain(beside).collect())
}

impl Found {
    fn push(&mut self, outcome: &Outcome, cpu: Duration) {
        self.rates.push(outcome.rate);
        self.p99s.extend(outcome.p99_ms);
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / outcome.count);
    }

    fn row(&self, case: &Case, name: &str) -> Row {
        let cpu = Samples::from(self.cpu_us.clone()).median();
        let row = Row::new(format!("{}: {name}", case.figure), case.unit, self.rates.clone()).cpu_us(cpu);
        let p99 = Samples::from(self.p99s.clone());
        if p99.len() == 0 { row } else { row.beside(format!("p99 {:.2} ms", p99.median())) }
    }

    /// This one beside another of the same rounds: work for the same processor time, and the slowest answers.
    fn beside(&self, case: &Case, name: &str, theirs: &Self) -> Vec<Row> {
        let figure = format!("{}: beside {name}, a processor's second", case.figure);
        let mut rows = vec![Row::new(figure, Unit::Times, ratios(&theirs.cpu_us, &self.cpu_us)).at_least(1.0)];
        if !self.p99s.is_empty() {
            let figure = format!("{}: beside {name}, p99", case.figure);
            rows.push(Row::new(figure, Unit::Times, ratios(&self.p99s, &theirs.p99s)).at_most(1.0));
        }
        rows
    }
}

/// What idle connections, each of which has had one answer, add to the memory of a proxy.
fn idle(peer: &Peer) -> Result<Row> {
    let before = resident_mb(peer.pid())?;
    let crowd = load::idle(&peer.address(Door::Http), IDLE)?;
    let more = resident_mb(peer.pid())? - before;
    let kilobytes = more * 1e3 / crowd.len() as f64;
    let row = Row::new(format!("10,000 idle connections: {}", peer.name), Unit::Megabytes, more);
    Ok(row.beside(format!("{kilobytes:.1} kB each")))
}
