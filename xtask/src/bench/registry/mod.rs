//! The registry beside Debian's `docker-registry`, both on the file system.
//!
//! ```text
//!   processor 1: clients of our own ──► processor 0: longshore server │ docker-registry
//! ```
//! Longshore is shown a token at each request and judges it, docker-registry asks for nothing. They are measured in turn. What is
//! compared is processor time; the wall clock and the 99th percentile are those of all together.

mod peers;
mod wire;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::Row;
use super::stats::{Samples, cpu_time, millis, peak_mb, ratios};
use super::table::Unit;
use peers::Peer;
use wire::{Blob, Noise};

const ROUNDS: usize = 5;
const PERIOD: Duration = Duration::from_secs(3);
/// Clients that ask for manifests.
const CLIENTS: usize = 16;
/// Clients that pull at the same time.
const PULLS: usize = 50;

const MIB: usize = 1 << 20;
/// What is pulled and pushed in the rounds, and the layer of those who pull at the same time.
const BLOB: usize = 64 * MIB;
const LAYER: usize = 8 * MIB;
/// How often a blob is pulled in a round.
const TIMES: usize = 16;
/// The push during which memory is looked at: five blobs of a gibibyte.
const LARGE: usize = 1024 * MIB;
const LARGES: usize = 5;

/// A load: its name, what it counts, how many times better it is to be, what is made ready for a round, and a round, which gives
/// the amount.
struct Case {
    figure: &'static str,
    unit: Unit,
    goal: f64,
    ready: fn(u64) -> Vec<Blob>,
    round: fn(&Peer, &[Blob]) -> Result<f64>,
}

const CASES: &[Case] = &[
    Case { figure: "GET of a manifest", unit: Unit::PerSecond, goal: 10.0, ready: |_| Vec::new(), round: manifests },
    Case {
        figure: "pull of blobs",
        unit: Unit::MegabytesPerSecond,
        goal: 2.0,
        ready: |_| vec![Blob::noise(BLOB, 1)],
        round: pull,
    },
    Case { figure: "push of blobs", unit: Unit::MegabytesPerSecond, goal: 1.5, ready: unseen, round: push },
];

pub fn run() -> Result<Vec<Row>> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    sched_setaffinity(Pid::from_raw(0), &only(1)?)?;
    let rows = measure_all();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    rows
}

fn only(processor: usize) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    Ok(set)
}

fn measure_all() -> Result<Vec<Row>> {
    // First, because a process keeps the memory of a load that has been.
    let mut rows = Vec::new();
    for start in [peers::longshore, peers::docker_registry] {
        rows.push(memory(&start()?)?);
    }
    let peers = [peers::longshore()?, peers::docker_registry()?];
    for peer in &peers {
        peer.image(&Blob::noise(BLOB, 1), &Blob::noise(LAYER, 2))?;
    }
    for case in CASES {
        rows.extend(measure(&peers, case)?);
    }
    rows.extend(crowd(&peers)?);
    Ok(rows)
}

/// What the rounds of a case found of one peer.
#[derive(Default)]
struct Found {
    rates: Vec<f64>,
    /// An operation, or a megabyte.
    cpu_us: Vec<f64>,
}

fn measure(peers: &[Peer; 2], case: &Case) -> Result<Vec<Row>> {
    let mut found = [Found::default(), Found::default()];
    for round in 0..ROUNDS {
        for step in 0..peers.len() {
            let place = (round + step) % peers.len();
            let blobs = (case.ready)((round * 2 + place) as u64);
            let (began, before) = (Instant::now(), cpu_time(peers[place].pid)?);
            let amount = (case.round)(&peers[place], &blobs)?;
            found[place].rates.push(amount / began.elapsed().as_secs_f64());
            found[place].cpu_us.push((cpu_time(peers[place].pid)? - before).as_secs_f64() * 1e6 / amount);
        }
    }
    let row = |(peer, found): (&Peer, &Found)| {
        let cpu = Samples::from(found.cpu_us.clone()).median();
        Row::new(format!("{}: {}", case.figure, peer.name), case.unit, found.rates.clone()).cpu_us(cpu)
    };
    let beside = format!("{}: beside {}, a processor's second", case.figure, peers[1].name);
    let ratio = Row::new(beside, Unit::Times, ratios(&found[1].cpu_us, &found[0].cpu_us)).at_least(case.goal);
    Ok(peers.iter().zip(&found).map(row).chain([ratio]).collect())
}

/// Manifests by tag, for a while.
fn manifests(peer: &Peer, _: &[Blob]) -> Result<f64> {
    let until = Instant::now() + PERIOD;
    let asked = together(CLIENTS, |_| {
        let (mut client, mut asked) = (peer.connect()?, 0);
        while Instant::now() < until {
            client.manifest("1")?;
            asked += 1;
        }
        Ok(asked)
    })?;
    Ok(asked.iter().sum::<u64>() as f64)
}

fn pull(peer: &Peer, blobs: &[Blob]) -> Result<f64> {
    let mut client = peer.connect()?;
    let mut bytes = 0;
    for blob in std::iter::repeat_n(blobs, TIMES).flatten() {
        bytes += client.blob(&blob.digest)?;
    }
    Ok(megabytes(bytes))
}

fn unseen(round: u64) -> Vec<Blob> {
    (0..4).map(|number| Blob::noise(BLOB, 10_000 + round * 10 + number)).collect()
}

fn push(peer: &Peer, blobs: &[Blob]) -> Result<f64> {
    let mut client = peer.connect()?;
    for blob in blobs {
        client.push(blob)?;
    }
    Ok(megabytes(blobs.iter().map(|blob| blob.bytes.len() as u64).sum()))
}

/// Many who pull an image at the same time: its manifest and a layer each.
fn crowd(peers: &[Peer; 2]) -> Result<Vec<Row>> {
    let mut took = [Vec::new(), Vec::new()];
    let layer = Blob::noise(LAYER, 2).digest;
    for round in 0..ROUNDS {
        for step in 0..peers.len() {
            let place = (round + step) % peers.len();
            took[place].extend(together(PULLS, |_| {
                let began = Instant::now();
                let mut client = peers[place].connect()?;
                client.manifest("1")?;
                client.blob(&layer)?;
                Ok(millis(began.elapsed()))
            })?);
        }
    }
    let row = |(peer, took): (&Peer, &Vec<f64>)| {
        let figure = format!("{PULLS} pulls at the same time, 8 MiB each: {}", peer.name);
        Row::new(figure, Unit::Millis, took.clone()).percentile(99)
    };
    Ok(peers.iter().zip(&took).map(row).collect())
}

/// The most memory that a peer has had at any time, once it was pushed five gibibytes.
fn memory(peer: &Peer) -> Result<Row> {
    let mut client = peer.connect()?;
    for number in 0..LARGES {
        client.push_stream(LARGE, Noise::new(7000 + number as u64))?;
    }
    let row = Row::new(format!("memory while 5 GiB are pushed: {}", peer.name), Unit::Megabytes, peak_mb(peer.pid)?);
    Ok(if peer.is_ours { row.at_most(100.0) } else { row })
}

/// Runs `work` in so many threads.
fn together<T: Send>(threads: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                scope.spawn({
                    let work = &work;
                    move || work(number)
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().ok().context("a client panicked")?).collect()
    })
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
