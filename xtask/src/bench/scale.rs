//! Scale: simulated nodes over the real agent connection on loopback, the store durable.
//!
//! ```text
//! RunTask (count 10, many connections) ──► placed, committed ──► PayloadMessage ──► AckRequest
//!                                                            ◄── SubmitTaskStateChange RUNNING ── accepted: durable
//! ```
//! The clock runs from the first RunTask until the last report of RUNNING is accepted. One account's default VPC holds
//! about 12,000 addresses, so tasks are spread over accounts (permissive mode names them by access key). Load generator
//! and control plane share the machine; the control plane's own processor time is told beside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Row;
use super::fleet::{Caller, Fleet};
use super::instance::Instance;
use super::stats::{cpu_time, millis, resident_mb};
use super::table::Unit;

/// Tasks of one RunTask.
const BATCH: usize = 10;

/// Connections that call RunTask.
const CALLERS: usize = 32;

/// Tasks of one account: what its default VPC has room for, with some to spare.
const PER_ACCOUNT: usize = 10_000;

/// Tasks of a step of the curve, and how often.
const MORE: usize = 1_000;
const MORE_ROUNDS: usize = 3;

/// Tasks of the service whose node dies: one a node, and what ECS allows.
const SERVICE: usize = 5_000;

/// After so long the tasks of a node that is away are started elsewhere.
const AWAY: Duration = Duration::from_secs(60);

/// How long any one step may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(900);

/// What one fill cost.
struct Fill {
    tasks: usize,
    /// Until the last RunTask was answered: placed and committed.
    placed: Duration,
    /// Until the last task's report of RUNNING was accepted.
    running: Duration,
    /// Processor time of the control plane.
    cpu: Duration,
    /// Processor time of the nodes and callers, which share the machine with it.
    load: Duration,
}

/// A control plane with nodes in session.
struct World {
    instance: Instance,
    pid: u32,
    fleet: Fleet,
    runtime: tokio::runtime::Runtime,
    accounts: Vec<(String, String)>,
    /// RUNNING reports so far.
    running: u64,
}

/// 100,000 tasks on 5,000 nodes, and the death of one of them.
pub fn run() -> Result<Vec<Row>> {
    let (nodes, tasks) = size()?;
    let mut world = World::new("scale", nodes, tasks)?;
    let fill = world.fill(tasks)?;
    let seconds = fill.running.as_secs_f64();
    eprintln!(
        "bench: {tasks} tasks placed after {:.1} s, run after {seconds:.1} s; {:.0} CPU-µs each, and {:.0} of nodes and callers",
        fill.placed.as_secs_f64(),
        fill.cpu_us(),
        fill.load.as_secs_f64() * 1e6 / tasks as f64
    );
    let mut rows = vec![
        Row::new("100,000 tasks on 5,000 nodes, until all are durably RUNNING", Unit::Seconds, seconds)
            .at_most(10.0)
            .cpu_us(fill.cpu_us())
            .simulated(),
        Row::new("placed and committed a second, of these", Unit::PerSecond, fill.rate())
            .at_least(16_000.0)
            .simulated(),
    ];
    rows.extend(world.death()?);
    Ok(rows)
}

/// The cost of one more task at a thousand, ten thousand, a hundred thousand and a million, and what a million take.
pub fn million() -> Result<Vec<Row>> {
    let mut world = World::new("million", 6_000, 1_010_000)?;
    let mut rows = Vec::new();
    for size in [1_000, 10_000, 100_000, 1_000_000] {
        let fill = world.fill(size - world.running as usize)?;
        let resident = resident_mb(world.pid)?;
        eprintln!("bench: {size} tasks, {:.0} CPU-µs each of the last, {resident:.0} MB", fill.cpu_us());
        let more = (0..MORE_ROUNDS).map(|_| world.fill(MORE)).collect::<Result<Vec<_>>>()?;
        let each: Vec<f64> = more.iter().map(|fill| millis(fill.running) / MORE as f64).collect();
        let cpu = more.iter().map(Fill::cpu_us).sum::<f64>() / more.len() as f64;
        let figure = format!("one more task among {size}, of {MORE} at once");
        rows.push(Row::new(figure, Unit::Millis, each).cpu_us(cpu).simulated());
        if size == 1_000_000 {
            let figure = "control plane with 1,000,000 tasks on 6,000 nodes, resident";
            rows.push(Row::new(figure, Unit::Megabytes, resident).at_most(4096.0 * 1.048_576).simulated());
        }
    }
    Ok(rows)
}

/// Nodes and tasks: `LONGSHORE_BENCH_SCALE=NODES,TASKS` makes a smaller run, to look for what costs; its table says 5,000
/// and 100,000 all the same.
fn size() -> Result<(usize, usize)> {
    let Ok(text) = std::env::var("LONGSHORE_BENCH_SCALE") else { return Ok((5_000, 100_000)) };
    let (nodes, tasks) = text.split_once(',').context("LONGSHORE_BENCH_SCALE is NODES,TASKS")?;
    Ok((nodes.parse()?, tasks.parse()?))
}

impl Fill {
    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.tasks as f64
    }

    /// Tasks placed and committed a second.
    fn rate(&self) -> f64 {
        self.tasks as f64 / self.placed.as_secs_f64()
    }
}

impl World {
    fn new(name: &str, nodes: usize, tasks: usize) -> Result<Self> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        let mut instance = Instance::new(name)?;
        let pid = instance.start(&["server", "--auth", "permissive"])?;
        instance.wait("/healthz")?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let began = Instant::now();
        let fleet = runtime.block_on(Fleet::open(&instance.address, nodes))?;
        eprintln!("bench: {nodes} nodes in session after {:.1} s", began.elapsed().as_secs_f64());
        let accounts = (0..tasks.div_ceil(PER_ACCOUNT)).map(|number| format!("{:012}", number + 1));
        let accounts = accounts.map(|account| prepare(&instance, &account)).collect::<Result<_>>()?;
        Ok(Self { instance, pid, fleet, runtime, accounts, running: 0 })
    }

    /// Run `tasks` more tasks and wait until all of them are RUNNING.
    fn fill(&mut self, tasks: usize) -> Result<Fill> {
        let own = std::process::id();
        let (before, load, began) = (cpu_time(self.pid)?, cpu_time(own)?, Instant::now());
        let address = self.instance.address.clone();
        self.runtime.block_on(call_all(&address, &self.accounts, tasks / BATCH))?;
        let placed = began.elapsed();
        self.wait_for(tasks)?;
        let running = began.elapsed();
        Ok(Fill { tasks, placed, running, cpu: cpu_time(self.pid)? - before, load: cpu_time(own)? - load })
    }

    /// A service with a task on every node; then one node dies. How soon its task runs elsewhere after the time that a node
    /// may be away, and how long other calls take meanwhile.
    fn death(&mut self) -> Result<Vec<Row>> {
        let (account, input) = prepare(&self.instance, "999999999999")?;
        let mut client = self.instance.client_of(&account)?;
        let (before, began) = (cpu_time(self.pid)?, Instant::now());
        client.ecs("CreateService", &service(&input)?)?;
        self.wait_for(SERVICE)?;
        let filled = began.elapsed();
        let cpu = (cpu_time(self.pid)? - before).as_secs_f64() * 1e6 / SERVICE as f64;
        self.fleet.kill_one()?;
        let died = Instant::now();
        let target = self.running + 1;
        let mut calls = Vec::new();
        while self.fleet.counters.running.load(Ordering::Relaxed) < target {
            let began = Instant::now();
            client.ecs("DescribeClusters", &json!({ "clusters": ["bench"] }))?;
            calls.push(millis(began.elapsed()));
            if died.elapsed() > AWAY + Duration::from_secs(60) {
                bail!("the task of a dead node is not replaced");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let late = died.elapsed().saturating_sub(AWAY);
        Ok(vec![
            Row::new("a service of 5,000 tasks, until all are durably RUNNING", Unit::Seconds, filled.as_secs_f64())
                .cpu_us(cpu)
                .simulated(),
            Row::new("one node of 5,000 dies: its task runs elsewhere, after its minute", Unit::Millis, millis(late))
                .simulated(),
            Row::new("calls meanwhile", Unit::Millis, calls).percentile(99).simulated(),
        ])
    }

    fn wait_for(&mut self, more: usize) -> Result<()> {
        self.running += more as u64;
        self.runtime.block_on(self.fleet.wait_running(self.running, PATIENCE))
    }
}

/// The CreateService input that runs the tasks of a RunTask input.
fn service(run_task: &str) -> Result<Value> {
    let mut input: Value = serde_json::from_str(run_task)?;
    let fields = input.as_object_mut().context("a RunTask input")?;
    fields.remove("count");
    fields.insert("serviceName".to_owned(), json!("big"));
    fields.insert("desiredCount".to_owned(), json!(SERVICE));
    Ok(input)
}

/// Makes an account's cluster and task definition. Returns the account and its RunTask input.
fn prepare(instance: &Instance, account: &str) -> Result<(String, String)> {
    let input = instance.client_of(account)?.sleeper(BATCH as i32)?;
    Ok((account.to_owned(), input.to_string()))
}

/// Calls RunTask `calls` times, as often for each account as for any other.
async fn call_all(address: &str, accounts: &[(String, String)], calls: usize) -> Result<()> {
    let count = accounts.len();
    let share = |account: usize| calls / count + usize::from(account < calls % count);
    let left: Vec<_> = (0..count).map(|account| Arc::new(AtomicUsize::new(share(account)))).collect();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS.max(count) {
        let (account, input) = accounts[number % count].clone();
        callers.spawn(run_tasks(Caller::new(address, &account), input, left[number % count].clone()));
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Calls RunTask until nothing of the account's share is left.
async fn run_tasks(mut caller: Caller, input: String, left: Arc<AtomicUsize>) -> Result<()> {
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
    while take() {
        let answer = caller.ecs("RunTask", &input).await?;
        if occurrences(answer, b"\"taskArn\"") < BATCH {
            bail!("RunTask did not place all: {}", String::from_utf8_lossy(answer));
        }
    }
    Ok(())
}

/// How often `word` stands in `text`.
fn occurrences(text: &[u8], word: &[u8]) -> usize {
    text.windows(word.len()).filter(|window| *window == word).count()
}
