//! The API's throughput: signed DescribeTasks on one core, and durable RegisterTaskDefinition with 128 clients; beside
//! moto's server and etcd in turn.
//!
//! For DescribeTasks the server is bound to one processor and the client to another where there are two. For registrations
//! both share the machine, as etcd and its clients do; the server's own processor time is told beside. Every request is
//! signed, by the root key if nothing else is said; the client is one thread that repeats it on each connection ([`Crowd`]).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Row;
use super::crowd::Crowd;
use super::etcd::Etcd;
use super::instance::Instance;
use super::moto::Moto;
use super::signed::Key;
use super::stats::{Samples, cpu_time, ratios};
use super::table::Unit;

/// Simulated tasks that are there while one of them is described.
const TASKS: usize = 1000;

/// Connections that describe.
const CONNECTIONS: usize = 32;

/// Bytes that a task's description has at least, and those of a task definition.
const DESCRIBED: usize = 1000;
const REGISTERED: usize = 500;

/// Clients that register at the same time.
pub const CLIENTS: usize = 128;

const ROUNDS: usize = 3;
const PERIOD: Duration = Duration::from_secs(3);

/// Rates a second and processor time an operation, round by round.
#[derive(Default)]
struct Found {
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
}

pub fn run() -> Result<Vec<Row>> {
    let (describe, register) = (Describe::new()?, Register::new()?);
    let moto = Moto::start()?;
    let etcd = Etcd::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut described, mut authorized) = (Found::default(), Found::default());
    let (mut registered, mut put) = (Found::default(), Found::default());
    let (mut moto_described, mut moto_registered) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        described.push(describe.measure(&describe.by_root)?);
        authorized.push(describe.measure(&describe.by_user)?);
        moto_described.push(moto.describe(PERIOD)?);
        registered.push(register.measure()?);
        moto_registered.push(moto.register(PERIOD)?);
        if let Some(etcd) = &etcd {
            put.push(runtime.block_on(etcd.put(CLIENTS, definition(0).to_string().len(), PERIOD))?);
        }
    }
    let described = described.row("signed DescribeTasks on one core, 1,000 tasks", 20_000.0, &moto_described);
    let authorized = authorized.row("the same by a user with three managed policies", 20_000.0, &moto_described);
    let mut durable = registered.row("durable RegisterTaskDefinition, 128 clients", 20_000.0, &moto_registered);
    let mut etcd = None;
    if !put.rates.is_empty() {
        durable = durable.beside(format!("{:.1} × etcd's puts", ratios(&registered.rates, &put.rates).median()));
        let (figure, cpu) = ("etcd: durable put of as many bytes, 128 clients", Samples::from(put.cpu_us).median());
        etcd = Some(Row::new(figure, Unit::PerSecond, put.rates).cpu_us(cpu));
    }
    let peers = [
        Row::new("moto's server: DescribeTasks", Unit::PerSecond, moto_described),
        Row::new("moto's server: RegisterTaskDefinition (not durable)", Unit::PerSecond, moto_registered),
    ];
    let own = [described.simulated(), authorized.simulated(), durable];
    Ok(own.into_iter().chain(peers).chain(etcd).collect())
}

impl Found {
    fn push(&mut self, (rate, cpu_us): (f64, f64)) {
        self.rates.push(rate);
        self.cpu_us.push(cpu_us);
    }

    fn row(&self, figure: &str, goal: f64, moto: &[f64]) -> Row {
        let ratio = ratios(&self.rates, moto).median();
        let cpu = Samples::from(self.cpu_us.clone()).median();
        let row = Row::new(figure, Unit::PerSecond, self.rates.clone()).at_least(goal).cpu_us(cpu);
        row.beside(format!("{ratio:.0} × moto's server"))
    }
}

/// A control plane on one processor with tasks to describe.
struct Describe {
    instance: Instance,
    pid: u32,
    by_root: Vec<u8>,
    by_user: Vec<u8>,
}

impl Describe {
    fn new() -> Result<Self> {
        let mut instance = Instance::new("describe")?;
        let size = ["--cpu", "1000000", "--memory", "1000000"];
        let pid = instance.start_on(0, &[&["up", "--engine", "simulated"], &size[..]].concat())?;
        instance.wait_ready()?;
        let task = fill(&instance, TASKS)?;
        let body = json!({ "cluster": "bench", "tasks": [task] }).to_string();
        let by = |key: &Key| super::signed::ecs(key, &instance.address, "DescribeTasks", &body);
        let (by_root, by_user) = (by(&instance.key()?)?, by(&user(&instance)?)?);
        Ok(Self { instance, pid, by_root, by_user })
    }

    fn measure(&self, request: &[u8]) -> Result<(f64, f64)> {
        let client = || {
            let others = leave_first_processor();
            let requests = vec![request.to_vec(); CONNECTIONS];
            let crowd = Crowd::connect(&self.instance.address, requests, DESCRIBED)?;
            measure(self.pid, &mut if others { crowd.awake() } else { crowd })
        };
        // A thread of its own, because it stays bound to its processor.
        std::thread::scope(|scope| scope.spawn(client).join().expect("the client does not panic"))
    }
}

/// The key of a user who may use ECS, read images and write logs, by three of AWS's own policies.
fn user(instance: &Instance) -> Result<Key> {
    const POLICIES: [&str; 3] =
        ["AmazonEC2ContainerRegistryReadOnly", "CloudWatchLogsFullAccess", "AmazonECS_FullAccess"];
    let mut client = instance.client()?;
    client.iam("Action=CreateUser&UserName=bench")?;
    for policy in POLICIES {
        client.iam(&format!("Action=AttachUserPolicy&UserName=bench&PolicyArn=arn:aws:iam::aws:policy/{policy}"))?;
    }
    let made = client.iam("Action=CreateAccessKey&UserName=bench")?;
    let element = |name: &str| {
        let (_, rest) = made.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(text, _)| text.to_owned())
    };
    let (id, secret) = (element("AccessKeyId"), element("SecretAccessKey"));
    Ok(Key { id: id.context("an access key")?, secret: secret.context("a secret key")? })
}

/// Calls a second, and the server's processor time a call in microseconds.
fn measure(server: u32, crowd: &mut Crowd) -> Result<(f64, f64)> {
    let (began, before) = (Instant::now(), cpu_time(server)?);
    let count = crowd.run(began + PERIOD)? as f64;
    let cpu = cpu_time(server)? - before;
    Ok((count / began.elapsed().as_secs_f64(), cpu.as_secs_f64() * 1e6 / count))
}

/// Binds this thread to the processors that the server does not have, where there is more than one; whether it is.
fn leave_first_processor() -> bool {
    let mut others = CpuSet::new();
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let all_set = (1..count).all(|processor| others.set(processor).is_ok());
    count > 1 && all_set && sched_setaffinity(Pid::from_raw(0), &others).is_ok()
}

/// A control plane that registers.
struct Register {
    instance: Instance,
    pid: u32,
    requests: Vec<Vec<u8>>,
}

impl Register {
    fn new() -> Result<Self> {
        let mut instance = Instance::new("register")?;
        let pid = instance.start(&["server"])?;
        instance.wait("/healthz")?;
        let key = instance.key()?;
        let sign = |body: String| super::signed::ecs(&key, &instance.address, "RegisterTaskDefinition", &body);
        let requests = (0..CLIENTS).map(|number| sign(definition(number).to_string())).collect::<Result<_>>()?;
        Ok(Self { instance, pid, requests })
    }

    fn measure(&self) -> Result<(f64, f64)> {
        measure(self.pid, &mut Crowd::connect(&self.instance.address, self.requests.clone(), REGISTERED)?)
    }
}

/// The RegisterTaskDefinition input of client `number`.
pub fn definition(number: usize) -> Value {
    json!({
        "family": format!("bench-{number}"), "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512",
        "containerDefinitions": [{
            "name": "main", "image": "busybox:latest", "command": ["sleep", "3600"],
            "environment": [{ "name": "MODE", "value": "bench" }],
        }],
    })
}

/// Start `count` simulated tasks and return one ARN.
pub fn fill(instance: &Instance, count: usize) -> Result<String> {
    let mut client = instance.client()?;
    let input = client.sleeper(10)?;
    let mut last = None;
    for _ in 0..count / 10 {
        let answer = client.ecs("RunTask", &input)?;
        last = answer["tasks"][0]["taskArn"].as_str().map(str::to_owned);
    }
    last.context("no task was placed")
}
