//! What must hold whatever happens, seen from outside: by clients, on machines, and of every state and step.
//!
//! * What was acknowledged is there after any crash, and what was told is never undone.
//! * One token has one effect; a task's container starts once, on one machine; no address is in use twice.
//! * A node acts on no order older than one it has seen, runs and stops only what durable state asks for.
//! * Floor and ceiling hold over every turn of the services' planner.
//! * Commits are told in order, none left out, none twice.
//! * The laws of [`longshore_plan::check`] hold in every state and over every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore_api::ecs::HealthStatus;
use longshore_model::State;
use longshore_model::task::{Task, TaskStatus};
use longshore_plan::behind::{Judge, Verdict};
use longshore_plan::check;
use longshore_plan::rollout::bounds;
use longshore_store::Commit;
use longshore_wire::Timestamp;

use crate::client::{Client, Established};
use crate::site::ACCOUNT;

/// A node away for this long has lost its tasks.
const LOST_MILLIS: i64 = 60_000;

/// What is known, and what was broken.
#[derive(Default)]
pub struct Laws {
    broken: Option<String>,
    /// Keys of tasks that were acknowledged, and of those whose stop was.
    tasks: BTreeSet<String>,
    stopped: BTreeSet<String>,
    definitions: BTreeSet<String>,
    nodes: BTreeSet<String>,
    /// Version and status that were told of a task.
    told: BTreeMap<String, (i64, TaskStatus)>,
    /// What each token asked for and made.
    asked: BTreeMap<String, i64>,
    made: BTreeMap<String, Vec<String>>,
    /// What the commits that were told add up to.
    shadow: State,
    /// The last of them, and the revision after which the next is expected: an undone write leaves a gap.
    last_told: u64,
    revision: u64,
    /// The state that was last looked at.
    before: State,
    looked: u64,
    /// Machine of every container that was ever started.
    started: BTreeMap<String, usize>,
    addresses: BTreeMap<(String, String), String>,
    /// Highest number that a machine has seen for a task.
    numbers: BTreeMap<(usize, String), i64>,
}

/// `arn:…:task/CLUSTER/ID` to the task's key.
pub fn task_key(arn: &str) -> String {
    let path = arn.split_once(":task/").map_or("", |(_, path)| path);
    format!("{ACCOUNT}/{path}")
}

/// `arn:…:task-definition/FAMILY:REVISION` to the definition's key.
fn definition_key(arn: &str) -> String {
    let path = arn.split_once(":task-definition/").map_or("", |(_, path)| path);
    let (family, revision) = path.split_once(':').unwrap_or((path, "0"));
    format!("{ACCOUNT}/{family}:{:010}", revision.parse::<i64>().unwrap_or_default())
}

impl Laws {
    /// The first law that was broken.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    pub fn break_with(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.break_with(what());
        }
    }

    /// A request with a token goes out.
    pub fn asks(&mut self, token: &str, count: i64) {
        self.asked.insert(token.to_owned(), count);
    }

    /// An answer reached its client.
    pub fn acknowledged(&mut self, established: Established) {
        match established {
            Established::Definition(arn) => {
                self.definitions.insert(definition_key(&arn));
            }
            Established::Ran(token, made) => self.ran(token, made),
            Established::Stopped(arn) => {
                self.stopped.insert(task_key(&arn));
            }
            Established::Seen(tasks) => tasks.into_iter().for_each(|(arn, version, status)| {
                let status = status.parse().unwrap_or(TaskStatus::Provisioning);
                self.told.insert(task_key(&arn), (version, status));
            }),
            Established::Service(_) | Established::Nothing => {}
        }
    }

    fn ran(&mut self, token: String, made: Vec<String>) {
        if made.is_empty() {
            return;
        }
        self.tasks.extend(made.iter().map(|arn| task_key(arn)));
        let before = self.made.entry(token.clone()).or_insert_with(|| made.clone()).clone();
        self.unless(before == made, || format!("token {token} was answered with {before:?} and then with {made:?}"));
    }

    /// A node knows that it is registered.
    pub fn registered(&mut self, id: &str) {
        self.nodes.insert(id.to_owned());
    }

    /// A commit was told.
    pub fn watched(&mut self, commit: &Arc<Commit>) {
        let (revision, last) = (commit.revision, self.revision);
        self.unless(revision == last + 1, || {
            format!("commit {revision} was told after {last}: one is missing or twice")
        });
        self.revision = revision;
        self.last_told = revision;
        for change in &commit.changes {
            self.shadow.apply(change);
        }
    }

    /// The control plane started again with this state, durable up to `revision`.
    pub fn restarted(&mut self, state: &State, revision: u64) {
        let last = self.last_told;
        self.unless(revision >= last, || format!("commit {last} was told and is gone: the store ends at {revision}"));
        (self.revision, self.last_told) = (revision, revision);
        self.shadow = state.clone();
        self.before = state.clone();
        self.looked = revision;
    }

    /// The disk had no space: what was not durable is undone, so the state is again what was told.
    pub fn undone(&mut self, state: &State, revision: u64) {
        self.finished(state);
        self.revision = revision;
        self.before = state.clone();
        self.looked = revision;
    }

    /// Look at the newest state, if it is new.
    pub fn look(&mut self, state: &State, revision: u64, clients: &[Client]) {
        if revision == self.looked {
            return;
        }
        let mut broken = check::state(state);
        broken.extend(check::step(&self.before, state));
        if let Some(violation) = broken.first() {
            self.break_with(violation.to_string());
        }
        self.before = state.clone();
        self.looked = revision;
        self.promises(state);
        self.tokens(state);
        for client in clients {
            self.services(state, client);
        }
    }

    fn promises(&mut self, state: &State) {
        let lost = |what: &str, key: &str| format!("{what} {key} was acknowledged and is gone");
        let gone =
            |table: &BTreeSet<String>, there: &dyn Fn(&str) -> bool| table.iter().find(|key| !there(key)).cloned();
        let task = |key: &str| state.tasks.get(key);
        let found = [
            ("task", gone(&self.tasks, &|key| state.tasks.contains(key))),
            ("task definition", gone(&self.definitions, &|key| state.definitions.contains(key))),
            ("node", gone(&self.nodes, &|key| state.nodes.contains(key))),
            ("stop of", gone(&self.stopped, &|key| task(key).is_none_or(|task| task.desired == TaskStatus::Stopped))),
        ];
        for (what, key) in found {
            if let Some(key) = key {
                self.break_with(lost(what, &key));
            }
        }
        let older = |(key, (version, status)): &(&String, &(i64, TaskStatus))| {
            task(key).is_none_or(|task| task.version < *version || task.last < *status)
        };
        if let Some((key, (version, status))) = self.told.iter().find(older) {
            let what = format!("task {key} was told of as version {version}, {status}, and that was undone");
            self.break_with(what);
        }
    }

    fn tokens(&mut self, state: &State) {
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (_, task) in state.tasks.iter().filter(|(_, task)| task.service.is_none()) {
            *counts.entry(task.started_by.as_deref().unwrap_or_default()).or_default() += 1;
        }
        for (token, count) in counts {
            let asked = self.asked.get(token).copied().unwrap_or(0);
            self.unless(count <= asked, || format!("token {token} asked for {asked} tasks and made {count}"));
        }
    }

    /// What a client knows of its services is what is there, unless it is changing it right now.
    fn services(&mut self, state: &State, client: &Client) {
        let changing = client.doing.as_ref().and_then(|doing| doing.service.as_deref());
        for (name, known) in client.services.iter().filter(|(name, _)| Some(name.as_str()) != changing) {
            let there = state.services.get(&format!("{ACCOUNT}/prod/{name}"));
            let holds = match (known.active, there) {
                (false, there) => there.is_none_or(|there| !there.is_active()),
                (true, None) => false,
                (true, Some(there)) => {
                    let primary = there.primary().map(|primary| there.definition_key(primary));
                    there.is_active()
                        && i64::from(there.desired_count) == known.desired
                        && (known.breaker || primary == Some(definition_key(&known.definition)))
                }
            };
            let now = there.map(|there| (there.status, there.desired_count, there.primary().map(|it| it.revision)));
            self.unless(holds, || format!("service {name} was acknowledged as {known:?} and is {now:?}"));
        }
    }

    /// One turn of the services' planner: floor and ceiling hold.
    pub fn turned(&mut self, before: &State, after: &State, service: &str, now: Timestamp) {
        let Some(row) = before.services.get(service).filter(|row| row.is_active()) else { return };
        let bounds = bounds(row.desired_count, row.api.deployment_configuration.as_ref());
        let live = |state: &State| state.index.service_tasks(service).count() as i64;
        let started = after.tasks.len() > before.tasks.len();
        let existing = live(after);
        self.unless(!started || existing <= bounds.upper, || {
            format!("service {service} has {existing} tasks, its ceiling is {}", bounds.upper)
        });
        let (was, is) = (serving(before, service, now), serving(after, service, now));
        let stopped = was.iter().any(|key| !is.contains(key));
        self.unless(!stopped || is.len() as i64 >= bounds.lower, || {
            format!("service {service} was left with {} tasks that serve, its floor is {}", is.len(), bounds.lower)
        });
    }

    /// A machine got an order for a task; `acts` says whether it does something about it.
    pub fn ordered(&mut self, machine: usize, arn: &str, number: i64, acts: bool) {
        let highest = self.numbers.entry((machine, arn.to_owned())).or_insert(i64::MIN);
        let (last, newer) = (*highest, number > *highest);
        *highest = last.max(number);
        self.unless(!acts || newer, || format!("machine {machine} acts on order {number} of {arn} after order {last}"));
    }

    /// A session that has just begun must be newer than what the node has seen.
    pub fn greeted(&mut self, machine: usize, taken: bool) {
        self.unless(taken, || format!("machine {machine} saw a new session with an old manifest"));
    }

    /// A machine runs a task: durable state must ask for it, of this node.
    pub fn may_run(&mut self, arn: &str, node: &str) {
        let task = self.shadow.tasks.get(&task_key(arn));
        let asked = task.is_some_and(|task| task.node.as_deref() == Some(node));
        self.unless(asked, || format!("{node} was ordered to run {arn}, which nothing durable asks for"));
    }

    /// A machine stops a task: durable state must not want it there.
    pub fn may_stop(&mut self, arn: &str, node: &str) {
        let task = self.shadow.tasks.get(&task_key(arn));
        let wanted =
            task.is_some_and(|task| task.ordered() != TaskStatus::Stopped && task.node.as_deref() == Some(node));
        self.unless(!wanted, || format!("{node} was told to stop {arn}, which is wanted there"));
    }

    pub fn started(&mut self, arn: &str, machine: usize, address: Option<&(String, String)>) {
        if let Some(other) = self.started.insert(arn.to_owned(), machine) {
            self.break_with(format!("{arn} was started on machine {machine} after machine {other}"));
        }
        if let Some(address) = address
            && let Some(other) = self.addresses.insert(address.clone(), arn.to_owned())
        {
            self.break_with(format!("{arn} has the address {address:?} of {other}"));
        }
    }

    /// A machine has no trace of a task any more. Only if the control plane has not heard that it was there may it start
    /// again.
    pub fn wiped(&mut self, arn: &str) {
        let task = self.shadow.tasks.get(&task_key(arn));
        if task.is_some_and(|task| task.last == TaskStatus::Provisioning) {
            self.started.remove(arn);
        }
    }

    pub fn ended(&mut self, address: Option<&(String, String)>) {
        if let Some(address) = address {
            self.addresses.remove(address);
        }
    }

    /// At the end: what was told adds up to what is there.
    pub fn finished(&mut self, state: &State) {
        let bytes = |state: &State| -> Vec<Vec<u8>> { state.records().map(|record| record.to_bytes()).collect() };
        let same = bytes(&self.shadow) == bytes(state);
        self.unless(same, || "the commits that were told do not add up to the state".to_owned());
    }
}

/// Tasks that serve, as an outsider sees it: they run, are to run, are not unhealthy, and their node is not lost.
fn serving(state: &State, service: &str, now: Timestamp) -> Vec<String> {
    let mut judge = Judge::new(state);
    let mut serves = |task: &Arc<Task>| {
        let node = task.node.as_deref().and_then(|node| state.nodes.get(node));
        let away = |since: Timestamp| now.millis() - since.millis() >= LOST_MILLIS;
        let lost = node.is_some_and(|node| !node.connected && node.disconnected_at.is_some_and(away));
        let ill = task.health == Some(HealthStatus::Unhealthy) || judge.verdict(task) == Some(Verdict::Unhealthy);
        task.desired == TaskStatus::Running && task.last == TaskStatus::Running && !lost && !ill
    };
    let tasks = state.index.service_tasks(service).filter_map(|key| state.tasks.get(key));
    tasks.filter(|task| serves(task)).map(|task| task.key()).collect()
}
