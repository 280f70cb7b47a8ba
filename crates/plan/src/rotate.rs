//! Rotating secrets: a window opens, AWSPENDING says which version is to come, and a task of the secret's task definition
//! makes it, sees that it works and moves AWSCURRENT to it.
//!
//! ```text
//!            window opens / RotateSecret            task is made            task has stopped
//!  waiting ───────────────────────────► to be tried ───────────► running ──┬─ AWSCURRENT is at the version ─► waiting
//!             AWSPENDING at a version         ▲                            └─ it is not
//!                                             └──── after a pause, or when the next window opens ◄───┘
//! ```
//! All of it is in the secret's record, and the task is written together with the record that names it: a crash at any moment
//! neither loses an attempt nor makes a second one. What counts is where AWSCURRENT is when the task has stopped, whatever
//! its containers exited with: once it has moved, everybody reads the new value. A task that never ends is stopped.
//!
//! Tasks run in the account's cluster `default` and in the subnets of its default VPC, without a public address.

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::secret::{Attempt, CURRENT, PENDING, Rotation, Secret};
use longshore_model::task::Task;
use longshore_model::{AccountId, Mint, Place, State, cluster};
use longshore_wire::Timestamp;

use crate::launch::{self, Launch, PLATFORM_VERSION};
use crate::place::{Draft, Peers};
use crate::schedule::{DAY_MILLIS, Schedule};
use crate::{MAX_CHANGES, Plan, after};

/// `startedBy` of the tasks.
pub const STARTED_BY: &str = "secretsmanager";

/// The cluster that the tasks run in.
pub const CLUSTER: &str = "default";

/// What a task is told: ARN of the secret, id of the version that is to be made.
pub const SECRET_ID: &str = "ROTATION_SECRET_ID";
pub const TOKEN: &str = "ROTATION_CLIENT_REQUEST_TOKEN";

/// As long as a Lambda function may run.
pub const LONGEST_MILLIS: i64 = 15 * 60 * 1000;

/// Attempts of one window.
pub const ATTEMPTS: i32 = 5;

/// Before an attempt that failed is made again; twice as long each time.
pub const PAUSE_MILLIS: i64 = 60 * 1000;

/// Before a task is looked a place for again.
pub const SCARCE_MILLIS: i64 = 5 * 1000;

/// Rotations at the same time, of all accounts.
const AT_ONCE: usize = 50;

/// What one secret may add to a plan: its own record and its task.
const CHANGES: usize = 2;

/// Why a task is stopped that takes too long.
pub const TOO_LONG: &str = "The rotation of the secret took longer than 15 minutes";

/// When the next window of a rotation opens, if the last one was at `now`.
pub fn next_window(rotation: &Rotation, now: Timestamp) -> Option<Timestamp> {
    let days = rotation.after_days.map(|days| Schedule::Every(days.saturating_mul(DAY_MILLIS)));
    days.or_else(|| Schedule::parse(rotation.schedule.as_deref()?))?.next(now)
}

/// Plan one turn: see to the rotations that run, and begin those that are due.
pub fn turn(state: &State, region: &str, now: Timestamp, mint: &mut Mint) -> Plan {
    let mut turn =
        Turn { state, region, now, mint, draft: Draft::new(state), peers: Peers::default(), plan: Plan::default() };
    let mut running = 0;
    for (due, key) in state.index.ages.rotations() {
        if due > now {
            turn.plan.wake(due);
            break;
        }
        if running == AT_ONCE || turn.plan.changes.len() + CHANGES > MAX_CHANGES {
            break;
        }
        let Some(secret) = state.secrets.get(key) else { continue };
        running += usize::from(turn.look_after(secret));
    }
    turn.plan
}

struct Turn<'a, 'm> {
    state: &'a State,
    region: &'a str,
    now: Timestamp,
    mint: &'m mut Mint,
    draft: Draft<'a>,
    peers: Peers,
    plan: Plan,
}

impl Turn<'_, '_> {
    /// Returns whether a task runs for the secret afterwards.
    fn look_after(&mut self, known: &Secret) -> bool {
        let mut secret = known.clone();
        let Some(mut rotation) = secret.rotation.take() else { return false };
        match rotation.running.clone() {
            Some(attempt) => self.follow(&mut secret, &mut rotation, &attempt),
            None => self.begin(&mut secret, &mut rotation),
        }
        let runs = rotation.running.is_some();
        secret.rotation = Some(rotation);
        if secret != *known {
            self.plan.changes.push(secret.into());
        }
        runs
    }

    /// See whether an attempt has ended, and how.
    fn follow(&mut self, secret: &mut Secret, rotation: &mut Rotation, attempt: &Attempt) {
        let task = self.state.tasks.get(&attempt.task_key(&secret.account));
        if let Some(task) = task.filter(|task| !task.is_stopped()) {
            return self.limit(task, attempt);
        }
        rotation.running = None;
        match secret.stages.get(CURRENT) == Some(&attempt.token) {
            true => self.succeeded(secret, rotation),
            false => {
                let why = task.and_then(|task| task.stopped_reason.clone()).unwrap_or_default();
                self.failed(secret, rotation, &format!("task {} stopped: {why}", attempt.task));
            }
        }
    }

    /// Stop a task that takes too long.
    fn limit(&mut self, task: &Task, attempt: &Attempt) {
        if after(attempt.began_at, LONGEST_MILLIS) > self.now {
            return;
        }
        let mut task = task.clone();
        if task.request_stop(ecs::TaskStopCode::ServiceSchedulerInitiated, TOO_LONG, self.now) {
            self.plan.changes.push(task.into());
        }
    }

    fn succeeded(&mut self, secret: &mut Secret, rotation: &mut Rotation) {
        if secret.pending().is_none() {
            secret.stages.remove(PENDING);
        }
        rotation.rotated_at = Some(self.now);
        (rotation.try_at, rotation.failures) = (None, 0);
        rotation.next_at = next_window(rotation, self.now).filter(|_| rotation.enabled);
        self.plan.reasons.push(format!("secret {} of account {} is rotated", secret.name, secret.account));
    }

    /// Try again after a pause, but for a few times only until the next window opens.
    fn failed(&mut self, secret: &Secret, rotation: &mut Rotation, why: &str) {
        rotation.failures += 1;
        let again = rotation.enabled && rotation.failures < ATTEMPTS;
        let pause = PAUSE_MILLIS << (rotation.failures.clamp(1, ATTEMPTS) - 1);
        rotation.try_at = again.then(|| after(self.now, pause));
        let reason = format!("secret {} of account {} is not rotated: {why}", secret.name, secret.account);
        self.plan.reasons.push(reason);
    }

    /// Open a window, or try again what one began.
    fn begin(&mut self, secret: &mut Secret, rotation: &mut Rotation) {
        if rotation.next_at.is_some_and(|at| at <= self.now) {
            rotation.next_at = next_window(rotation, self.now);
            rotation.failures = 0;
            if secret.pending().is_none() {
                secret.stages.insert(PENDING.to_owned(), self.mint.uuid());
            }
        }
        rotation.try_at = None;
        // Whoever took the label away has given the rotation up.
        let Some(token) = secret.pending().cloned() else { return };
        match self.start(secret, rotation, &token) {
            Ok(task) => {
                let (cluster, id) = (task.cluster.clone(), task.id.clone());
                rotation.running = Some(Attempt { cluster, task: id, token, began_at: self.now });
                self.plan.changes.push(task.into());
            }
            Err(Hindrance::NoRoom) => rotation.try_at = Some(after(self.now, SCARCE_MILLIS)),
            Err(Hindrance::Wrong(why)) => self.failed(secret, rotation, why),
        }
    }

    /// A task that is to make the version.
    fn start(&mut self, secret: &Secret, rotation: &Rotation, token: &str) -> Result<Task, Hindrance> {
        let account = AccountId::parse(&secret.account).ok_or(Hindrance::Wrong("there is no such account"))?;
        let (family, revision) = rotation.definition().ok_or(Hindrance::Wrong("its task definition has no name"))?;
        let definition = self.state.definition_named(&account, family, revision);
        let definition = definition.filter(|definition| definition.is_active() && definition.suits_fargate());
        let definition = definition.ok_or(Hindrance::Wrong("there is no such task definition for Fargate"))?;
        let there = self.state.clusters.get(&cluster::key(&account, CLUSTER)).filter(|there| there.is_active());
        let there = there.ok_or(Hindrance::Wrong("there is no cluster default"))?;
        let network = network(self.state, &secret.account);
        let overrides = overrides(definition, &secret.arn(&Place::new(self.region, &account)), token);
        let launch = Launch {
            account: &secret.account,
            cluster: CLUSTER,
            definition,
            service: None,
            group: &format!("family:{family}"),
            started_by: Some(STARTED_BY),
            overrides: Some(&overrides),
            capacity_provider: None,
            platform_version: PLATFORM_VERSION,
            network: &network,
            enable_execute_command: false,
            tags: &[],
            pins: &[],
            storage_key: there.storage_key(),
        };
        let placed = launch::task(&launch, &mut self.draft, &mut self.peers, self.now, self.mint);
        placed.map_err(|_| Hindrance::NoRoom)
    }
}

/// Why a task was not made.
enum Hindrance {
    /// No node takes it now.
    NoRoom,
    /// Something has to be changed first.
    Wrong(&'static str),
}

/// The subnets of the default VPC.
fn network(state: &State, account: &str) -> ecs::AwsVpcConfiguration {
    let prefix = format!("{account}/");
    let subnets = state.subnets.scan(&prefix).map(|(_, subnet)| subnet).filter(|subnet| subnet.is_default);
    ecs::AwsVpcConfiguration {
        subnets: Some(subnets.map(|subnet| subnet.id.clone()).collect()),
        security_groups: None,
        assign_public_ip: Some(ecs::AssignPublicIp::Disabled),
    }
}

/// Tells every container what is to be rotated.
fn overrides(definition: &TaskDefinition, arn: &str, token: &str) -> ecs::TaskOverride {
    let pair = |name: &str, value: &str| ecs::KeyValuePair { name: Some(name.into()), value: Some(value.into()) };
    let told = vec![pair(SECRET_ID, arn), pair(TOKEN, token)];
    let containers = definition.containers().iter().map(|container| ecs::ContainerOverride {
        name: container.name.clone(),
        environment: Some(told.clone()),
        ..ecs::ContainerOverride::default()
    });
    ecs::TaskOverride { container_overrides: Some(containers.collect()), ..ecs::TaskOverride::default() }
}
