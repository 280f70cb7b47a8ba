//! The supervisor of one task: joins the state machine to the world.
//!
//! One thread waits for everything (children, clients, timers, the log threads) and never for a single thing, save for
//! what the OCI runtime needs a few milliseconds for. What happened goes into the machine, what comes out is done; the
//! difference of the records before and after goes to the clients and to `DIR/state.json`.
//!
//! Left out: what the task means (the agent's); exec sessions.

mod act;
mod bundle;
mod pause;
mod process;
mod resident;
mod secret;
mod server;
mod slot;
mod storage;

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use crate::cgroup::{Layout, Limits};
use crate::error::{Error, Result};
use crate::lock;
use crate::log::{Endpoint, Log, Wake};
use crate::machine::{Input, Machine, Now};
use crate::mount;
use crate::protocol::{Command, Message, Reply, Request, StopCause, StopCode, TaskPhase, TaskStatus};
use crate::runtime::Driver;
use crate::spec::{Network, TaskSpec};
use crate::time;
use pause::Pause;
use server::Server;
use slot::Slot;
use storage::Storage;

/// What an agent writes, what a supervisor writes, where it listens.
pub const SPEC_FILE: &str = "task.json";
pub const STATE_FILE: &str = "state.json";
pub const SOCKET_FILE: &str = "sock";

/// After the last container the logs have this long before the task counts as stopped.
const DRAIN_MS: u64 = 5_000;
/// After the release, logs are given up that the server has answered this long without taking them.
const GIVE_UP_MS: u64 = 30_000;
/// And those that a server which is away has not taken by then: no agent finds a released supervisor any more.
const LONGEST_MS: u64 = 3_600_000;
/// A start is over by then; what only it needed need not stay in memory.
const TRIM_AFTER_MS: u64 = 400;
/// Longest sleep while something of the log pump is waited for.
const DRAIN_TICK_MS: u64 = 500;

/// Runs the supervisor of a task directory until its task is released. Only returns early if it cannot begin.
pub fn run(dir: &Path) -> Result<()> {
    let wake = Arc::new(process::settle()?);
    let dir = dir.canonicalize().map_err(Error::file("find", dir))?;
    let _held = lock::take(&dir)?;
    let mut supervisor = Supervisor::new(dir, wake)?;
    supervisor.begin();
    supervisor.serve()
}

/// What a child of this process is.
#[derive(Clone, Copy, Debug)]
enum Child {
    /// The runtime, starting a container.
    Starter(usize),
    /// A container's first process.
    Container(usize),
    /// The runtime, starting a health check.
    CheckStarter(usize),
    /// A health check's command.
    Check(usize),
    /// What holds the namespace of processes that the containers share.
    Pause,
}

/// How long after the last container the logs are waited for.
#[derive(Clone, Copy, Debug)]
struct LogPatience {
    /// [`DRAIN_MS`], unless a client wants it shorter.
    drain_ms: u64,
    /// After the last container, as a client wants it: whether the server has answered or not.
    give_up_ms: Option<u64>,
}

struct Supervisor {
    dir: PathBuf,
    task: TaskSpec,
    machine: Machine,
    /// As last told.
    shown: TaskStatus,
    sequence: u64,
    slots: Vec<Slot>,
    children: HashMap<i32, Child>,
    /// Ended before it was known what they were.
    early: HashMap<i32, i32>,
    driver: Driver,
    layout: Layout,
    network: Option<OwnedFd>,
    pause: Option<Pause>,
    storage: Option<Storage>,
    endpoint: Endpoint,
    server: Server,
    wake: Arc<EventFd>,
    begun: u64,
    /// When the pages of the start are to be given back.
    trim_at: Option<u64>,
    log_patience: LogPatience,
    /// When the last container ended.
    drain_since: Option<u64>,
    /// When an agent released the task.
    released: Option<u64>,
}

impl Supervisor {
    fn new(dir: PathBuf, wake: Arc<EventFd>) -> Result<Supervisor> {
        let file = dir.join(SPEC_FILE);
        let text = std::fs::read(&file).map_err(Error::file("read", &file))?;
        let mut task: TaskSpec =
            serde_json::from_slice(&text).map_err(|source| Error::Json { what: SPEC_FILE, source })?;
        mount::leave_host()?;
        secret::take(&dir, &mut task)?;
        let machine = Machine::new(&task, std::process::id()).map_err(Error::Parameter)?;
        let shown = machine.status();
        let client = task.client_fd.map(process::inherited).transpose()?;
        let network = open_network(&task.network)?;
        let mut server = Server::bind(&dir.join(SOCKET_FILE))?;
        if let Some(client) = client {
            server.adopt(UnixStream::from(client), &Message::Snapshot { sequence: 0, task: shown.clone() });
        }
        let endpoint = Endpoint::default();
        endpoint.set(task.log_endpoint.clone().unwrap_or_default());
        let storage = Storage::new(&dir, &task, time::now().monotonic);
        let mut supervisor = Supervisor {
            driver: Driver::new(task.runtime.clone(), secret::runtime_root(&dir, &task)),
            layout: Layout::detect()?,
            slots: Vec::new(),
            children: HashMap::new(),
            early: HashMap::new(),
            wake,
            begun: time::now().monotonic,
            trim_at: Some(time::now().monotonic + TRIM_AFTER_MS),
            log_patience: LogPatience { drain_ms: DRAIN_MS, give_up_ms: None },
            drain_since: None,
            released: None,
            sequence: 0,
            dir,
            task,
            machine,
            shown,
            network,
            pause: None,
            storage,
            endpoint,
            server,
        };
        supervisor.slots = (0..supervisor.task.containers.len()).map(|c| supervisor.open_slot(c)).collect();
        Ok(supervisor)
    }

    /// Opens the log first: its destination answers while the container is made.
    fn open_slot(&self, container: usize) -> Slot {
        let spec = &self.task.containers[container];
        let directory = bundle::directory(&self.dir, container);
        let event = self.wake.clone();
        let wake: Wake = Arc::new(move || {
            let _ = event.write(1);
        });
        let pump = format!("{}-{container}-{}", self.task.task_id, time::now().wall);
        let made = std::fs::create_dir_all(&directory).map_err(Error::file("create", &directory));
        let log = made.and_then(|()| Log::open(&spec.log, &directory, pump, self.endpoint.clone(), wake));
        Slot::new(directory, log.map_err(|e| e.to_string()))
    }

    /// Gives the task its cgroup and starts what may start. The state is written before: a directory without one is a
    /// task of which nothing was ever started.
    fn begin(&mut self) {
        self.save();
        let limits = Limits { cpu_units: self.task.cpu.units, memory_mib: self.task.memory_mib };
        match self.layout.create(&self.task.cgroup, limits) {
            Ok(()) => self.step(Input::Tick),
            Err(e) => {
                let cause = StopCause {
                    code: StopCode::TaskFailedToStart,
                    reason: format!("ResourceInitializationError: {e}"),
                };
                self.step(Input::Stop { cause, timeout_ms: None });
            }
        }
    }

    fn serve(&mut self) -> Result<()> {
        while !self.is_done(time::now()) {
            self.wait()?;
            // Resets the counter, before looking at what it was raised for; how often is no matter.
            let _ = self.wake.read();
            self.see_signals();
            self.see_children();
            self.server.flush();
            let snapshot = self.snapshot();
            self.server.accept(&snapshot);
            for (client, request) in self.server.requests() {
                self.answer(client, request);
            }
            self.end_late_checks();
            self.watch_storage();
            self.trim();
            self.see_logs();
            self.step(Input::Tick);
        }
        Ok(())
    }

    /// Feeds the machine, does what it asks, tells what changed.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for action in self.machine.step(time::now(), input) {
                inputs.extend(self.act(action));
            }
            self.tell();
        }
    }

    fn status(&self) -> TaskStatus {
        let mut status = self.machine.status();
        for (container, slot) in status.containers.iter_mut().zip(&self.slots) {
            container.dropped_lines = slot.log.as_ref().map_or(0, Log::dropped);
        }
        status
    }

    fn snapshot(&self) -> Message {
        Message::Snapshot { sequence: self.sequence, task: self.shown.clone() }
    }

    /// Every container that changed, then the task if anything of its own did.
    fn tell(&mut self) {
        let now = self.status();
        if now == self.shown {
            return;
        }
        let before = std::mem::replace(&mut self.shown, now.clone());
        self.save();
        for (container, known) in now.containers.iter().zip(&before.containers) {
            if container != known {
                self.sequence += 1;
                let message = Message::Container { sequence: self.sequence, container: container.clone() };
                self.server.broadcast(&message);
            }
        }
        if (TaskStatus { containers: Vec::new(), ..now.clone() }) != (TaskStatus { containers: Vec::new(), ..before }) {
            self.sequence += 1;
            self.server.broadcast(&Message::Task { sequence: self.sequence, task: now });
        }
    }

    /// For whoever finds the directory after this process died. A write that fails costs no task.
    fn save(&self) {
        if self.released.is_some() {
            return;
        }
        let file = self.dir.join(STATE_FILE);
        let fresh = file.with_extension("new");
        let written = serde_json::to_vec(&self.shown)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&fresh, text))
            .and_then(|()| std::fs::rename(&fresh, &file));
        if let Err(e) = written {
            eprintln!("{}: {e}", file.display());
        }
    }

    fn wait(&self) -> Result<()> {
        let read = PollFlags::POLLIN;
        let mut list = vec![PollFd::new(self.wake.as_fd(), read)];
        for (fd, writes) in self.server.interests() {
            list.push(PollFd::new(fd, if writes { read | PollFlags::POLLOUT } else { read }));
        }
        match poll(&mut list, self.timeout()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(Error::system("wait")(e)),
        }
    }

    fn timeout(&self) -> PollTimeout {
        let now = time::now().monotonic;
        let checks = self.slots.iter().filter_map(|slot| slot.check.map(|check| check.deadline));
        let logs = self.drain_since.filter(|_| self.waits_for_logs()).map(|_| now + DRAIN_TICK_MS);
        let storage = self.storage.as_ref().map(|storage| storage.next);
        let next = checks.chain(self.machine.deadline()).chain(logs).chain(self.trim_at).chain(storage).min();
        match next {
            None => PollTimeout::NONE,
            Some(at) => PollTimeout::try_from(Duration::from_millis(at.saturating_sub(now).min(3_600_000)))
                .unwrap_or(PollTimeout::ZERO),
        }
    }

    /// SIGTERM stops the task as a client would.
    fn see_signals(&mut self) {
        if process::was_terminated() {
            let cause = StopCause { code: StopCode::Requested, reason: "supervisor was terminated".into() };
            self.step(Input::Stop { cause, timeout_ms: None });
        }
    }

    /// Until there is too much; then the task stops, and there is nothing to watch any more.
    fn watch_storage(&mut self) {
        let over = self.machine.phase() >= TaskPhase::Stopped;
        let exceeded = self.storage.as_mut().is_some_and(|storage| !over && storage.is_exceeded(time::now().monotonic));
        if exceeded || over {
            self.storage = None;
        }
        if exceeded {
            let mib = self.task.storage_mib.unwrap_or_default();
            let size = if mib.is_multiple_of(1024) { format!("{} GiB", mib / 1024) } else { format!("{mib} MiB") };
            let reason =
                format!("OutOfStorageError: the containers wrote more than the task's {size} of ephemeral storage");
            let cause = StopCause { code: StopCode::EssentialContainerExited, reason };
            self.step(Input::Stop { cause, timeout_ms: None });
        }
    }

    fn trim(&mut self) {
        if self.trim_at.is_some_and(|at| time::now().monotonic >= at) {
            self.trim_at = None;
            resident::trim();
        }
    }

    fn waits_for_logs(&self) -> bool {
        self.released.is_some() || self.machine.phase() < TaskPhase::Stopped
    }

    fn logs_idle(&self) -> bool {
        self.slots.iter().all(|slot| slot.log.as_ref().map_or(true, Log::is_idle))
    }

    /// Released, and the logs are flushed or given up.
    fn is_done(&self, now: Now) -> bool {
        let Some(released) = self.released else {
            return false;
        };
        let drained = self.drain_since.unwrap_or(released);
        if self.logs_idle() {
            return true;
        }
        if let Some(limit) = self.log_patience.give_up_ms {
            return now.monotonic >= drained + limit;
        }
        let waited = now.monotonic.saturating_sub(drained.max(released));
        waited >= LONGEST_MS || (waited >= GIVE_UP_MS && self.logs_hopeless())
    }

    /// A server that is away is no reason to lose what it will take when it is back.
    fn logs_hopeless(&self) -> bool {
        let patience = Duration::from_millis(GIVE_UP_MS);
        self.slots.iter().filter_map(|slot| slot.log.as_ref().ok()).all(|log| log.is_hopeless(patience))
    }

    fn see_logs(&mut self) {
        let Some(since) = self.drain_since else {
            return;
        };
        let late = time::now().monotonic >= since + self.log_patience.drain_ms;
        if self.machine.phase() < TaskPhase::Stopped && (late || self.logs_idle()) {
            self.step(Input::Drained);
        }
    }

    fn answer(&mut self, client: u64, request: Request) {
        let reply = match request.command {
            Command::Stop { reason, timeout_seconds } => {
                let reason = reason.unwrap_or_else(|| "Task stopped by request".into());
                let cause = StopCause { code: StopCode::Requested, reason };
                let timeout_ms = timeout_seconds.map(|seconds| u64::from(seconds) * 1000);
                self.step(Input::Stop { cause, timeout_ms });
                Reply::Done
            }
            Command::Stats => Reply::Stats { containers: self.stats() },
            Command::Snapshot => {
                let snapshot = self.snapshot();
                self.server.send(client, &snapshot);
                Reply::Done
            }
            Command::LogEndpoint { endpoint } => {
                self.endpoint.set(endpoint);
                Reply::Done
            }
            Command::GiveUpLogs { after_seconds } => {
                let limit = u64::from(after_seconds) * 1000;
                let LogPatience { drain_ms, give_up_ms } = self.log_patience;
                let give_up_ms = Some(give_up_ms.map_or(limit, |known| known.min(limit)));
                self.log_patience = LogPatience { drain_ms: drain_ms.min(limit), give_up_ms };
                Reply::Done
            }
            Command::Release => self.release(),
        };
        self.server.send(client, &Message::Reply { id: request.id, reply });
    }

    fn release(&mut self) -> Reply {
        if self.released.is_some() {
            return Reply::Done;
        }
        if self.machine.phase() < TaskPhase::Stopped {
            return Reply::Refused { reason: "the task has not stopped".into() };
        }
        match self.clean_up() {
            Ok(()) => {
                self.released = Some(time::now().monotonic);
                Reply::Done
            }
            Err(e) => Reply::Refused { reason: e.to_string() },
        }
    }

    /// Removes all traces. What the runtime says is no matter, as its state goes too.
    fn clean_up(&mut self) -> Result<()> {
        for (slot, spec) in self.slots.iter_mut().zip(&self.task.containers) {
            if std::mem::take(&mut slot.known)
                && let Err(e) = self.driver.delete(&spec.id)
            {
                eprintln!("{}: {e}", spec.name);
            }
        }
        let processes = self.layout.kill_all(&self.task.cgroup, Duration::from_secs(5));
        if let Some(pause) = self.pause.take() {
            process::wait_for_children(Duration::from_secs(1));
            pause.end(&self.driver).unwrap_or_else(|e| eprintln!("pause: {e}"));
        }
        let mounts = mount::unmount_below(&self.dir);
        let groups = self.layout.remove(&self.task.cgroup);
        processes.and(mounts).and(groups)?;
        mount::remove_tree(&self.dir)
    }

    fn network_path(&self) -> Option<String> {
        let fd = self.network.as_ref()?;
        Some(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()))
    }
}

fn open_network(network: &Network) -> Result<Option<OwnedFd>> {
    match network {
        Network::Host => Ok(None),
        Network::Inherited { fd } => process::inherited(*fd).map(Some),
        Network::Path { path } => {
            let file = std::fs::File::open(path).map_err(Error::file("open network namespace", path))?;
            Ok(Some(file.into()))
        }
    }
}
