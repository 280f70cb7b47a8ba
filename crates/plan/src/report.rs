//! What a node saw, applied to the state.
//!
//! `lastStatus` only moves forward, STOPPED is final, every timestamp is set once and none lies before an earlier one's;
//! a report that says nothing new changes nothing. Why a task stopped is settled here: a stop that was asked for keeps
//! its code and reason; otherwise a task that never ran failed to start, and one that ran lost an essential container.
//! A service task's failure, success or quick exit counts for its deployment's throttle and circuit breaker, and what its
//! images led to is kept with the deployment, in the same transaction. So are its targets: a task that runs is registered
//! with its target groups.

use longshore_api::ecs::{self, HealthStatus};
use longshore_model::service::{Deployment, Service};
use longshore_model::task::{Container, Task, TaskStatus};
use longshore_model::{Change, Mint, State};
use longshore_wire::Timestamp;

use crate::behind::{self, Revive};
use crate::event::Event;
use crate::view::{checked, has_health_check};
use crate::{breaker, pace, pin, throttle};

/// The reason of a task whose essential container ended, when the node gave none.
pub const ESSENTIAL_EXITED: &str = "Essential container in task exited";

/// What a node says about a container. Absent means nothing new.
#[derive(Clone, Debug, Default)]
pub struct ContainerReport {
    pub name: String,
    pub status: Option<TaskStatus>,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub image_digest: Option<String>,
    pub runtime_id: Option<String>,
    pub network_bindings: Option<Vec<ecs::NetworkBinding>>,
}

/// What a node says about a task. Absent means nothing new.
#[derive(Clone, Debug, Default)]
pub struct TaskReport {
    pub status: Option<TaskStatus>,
    pub reason: Option<String>,
    pub containers: Vec<ContainerReport>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
}

/// Why a report is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    UnknownTask,
    /// The task is another node's.
    ForeignTask,
}

/// The status of a task or container in a node's words. Amazon's agent has steps of its own before RUNNING.
pub fn status(text: &str) -> Option<TaskStatus> {
    match text {
        "NONE" | "MANIFEST_PULLED" | "PULLED" => Some(TaskStatus::Pending),
        "CREATED" => Some(TaskStatus::Activating),
        "RESOURCES_PROVISIONED" => Some(TaskStatus::Running),
        other => other.parse().ok(),
    }
}

/// Apply a report on the task with this key. `node` is the reporting node, where it is known.
///
/// # Errors
/// [`Refused`] if the task is unknown or another node's; nothing changes then.
pub fn task(
    state: &State,
    key: &str,
    node: Option<&str>,
    report: &TaskReport,
    now: Timestamp,
    mint: &mut Mint,
) -> Result<Vec<Change>, Refused> {
    let old = state.tasks.get(key).ok_or(Refused::UnknownTask)?;
    if node.is_some() && old.node.as_deref() != node {
        return Err(Refused::ForeignTask);
    }
    if old.is_stopped() {
        return Ok(Vec::new());
    }
    let mut task = Task::clone(old);
    apply(state, &mut task, report, now);
    if task == **old {
        return Ok(Vec::new());
    }
    task.version += 1;
    let service = account_for(state, old, &task, now, mint);
    let (mut changes, events) = targets(state, old, &task, now);
    let service = behind::told(state, &task, service, &events, now, mint);
    changes.push(task.into());
    changes.extend(service.map(Change::from));
    Ok(changes)
}

/// A task that runs is registered with its target groups; one that ends by itself leaves them.
fn targets(state: &State, old: &Task, new: &Task, now: Timestamp) -> (Vec<Change>, Vec<Event>) {
    let began = old.last < TaskStatus::Running && new.last == TaskStatus::Running;
    let ends = old.last <= TaskStatus::Running && new.last > TaskStatus::Running;
    let wanted = new.desired != TaskStatus::Stopped;
    match () {
        () if new.seats().is_empty() => (Vec::new(), Vec::new()),
        () if new.is_stopped() => {
            let left = behind::end(state, new);
            (left.changes, behind::leaving(0, &left.groups))
        }
        () if began && wanted => {
            let made = behind::register(state, new, Revive::All, now);
            (made.changes, behind::joining(&made.groups))
        }
        () if ends && wanted => {
            let left = behind::leave(state, new, now);
            (left.changes, behind::leaving(0, &left.groups))
        }
        () => (Vec::new(), Vec::new()),
    }
}

/// Apply what a node's health checks say. `health` holds containers by name.
///
/// # Errors
/// As [`task`].
pub fn health(
    state: &State,
    key: &str,
    node: Option<&str>,
    health: &[(String, HealthStatus)],
) -> Result<Vec<Change>, Refused> {
    let old = state.tasks.get(key).ok_or(Refused::UnknownTask)?;
    if node.is_some() && old.node.as_deref() != node {
        return Err(Refused::ForeignTask);
    }
    if old.is_stopped() {
        return Ok(Vec::new());
    }
    let mut task = Task::clone(old);
    for (name, status) in health {
        if let Some(container) = named(&mut task, name) {
            container.health = Some(*status);
        }
    }
    task.health = Some(overall(state, &task));
    if task == **old {
        return Ok(Vec::new());
    }
    task.version += 1;
    let got_healthy = task.health == Some(HealthStatus::Healthy) && old.health != task.health;
    // One behind load balancers is healthy only once its targets are.
    let service = if got_healthy && task.balanced.is_none() { forgiven(state, &task) } else { None };
    let mut changes = vec![Change::from(task)];
    changes.extend(service.map(Change::from));
    Ok(changes)
}

/// The worst of the essential containers that have a health check: UNHEALTHY, then UNKNOWN, then HEALTHY.
fn overall(state: &State, task: &Task) -> HealthStatus {
    let rank = |status: HealthStatus| match status {
        HealthStatus::Unhealthy => 2,
        HealthStatus::Unknown => 1,
        HealthStatus::Healthy => 0,
    };
    let healths = checked(state, task).map(|definition| {
        let container = task.containers.iter().find(|one| Some(&one.name) == definition.name.as_ref());
        container.and_then(|container| container.health).unwrap_or(HealthStatus::Unknown)
    });
    healths.max_by_key(|status| rank(*status)).unwrap_or(HealthStatus::Unknown)
}

fn named<'t>(task: &'t mut Task, name: &str) -> Option<&'t mut Container> {
    task.containers.iter_mut().find(|container| container.name == name)
}

fn apply(state: &State, task: &mut Task, report: &TaskReport, now: Timestamp) {
    for container in &report.containers {
        if let Some(known) = named(task, &container.name) {
            apply_container(known, container);
        }
    }
    // What a node tells of a start counts as no later than the order to stop, however late it is told.
    let latest = task.stopping_at.map_or(now, |stopping| stopping.min(now));
    let ever = |known: &mut Option<Timestamp>, told: Option<Timestamp>, floor: Timestamp| {
        if known.is_none() {
            *known = told.map(|told| told.clamp(floor, latest.max(floor)));
        }
    };
    if task.connectivity_at.is_none() {
        task.connectivity_at = Some(latest.max(task.created_at));
    }
    let floor = task.connectivity_at.unwrap_or(task.created_at);
    ever(&mut task.pull_started_at, report.pull_started_at, floor);
    ever(&mut task.pull_stopped_at, report.pull_stopped_at, task.pull_started_at.unwrap_or(floor));
    let Some(status) = report.status.filter(|status| *status > task.last) else {
        return;
    };
    match status {
        TaskStatus::Stopped => stop(state, task, report, now),
        status => advance(task, status, latest),
    }
}

fn advance(task: &mut Task, status: TaskStatus, now: Timestamp) {
    task.last = status;
    if status == TaskStatus::Running {
        let floor = task.pull_stopped_at.or(task.pull_started_at).unwrap_or(task.created_at);
        task.started_at.get_or_insert(now.max(floor));
    }
    if status > TaskStatus::Running {
        task.stopping_at.get_or_insert(now.max(task.started_at.unwrap_or(now)));
    }
}

fn apply_container(known: &mut Container, report: &ContainerReport) {
    if let Some(status) = report.status {
        known.last = known.last.max(status);
    }
    fn keep<T: Clone>(known: &mut Option<T>, told: &Option<T>) {
        if told.is_some() {
            known.clone_from(told);
        }
    }
    if known.exit_code.is_none() {
        known.exit_code = report.exit_code;
    }
    keep(&mut known.reason, &report.reason);
    keep(&mut known.image_digest, &report.image_digest);
    keep(&mut known.runtime_id, &report.runtime_id);
    if let Some(bindings) = &report.network_bindings {
        known.network_bindings.clone_from(bindings);
    }
}

fn stop(state: &State, task: &mut Task, report: &TaskReport, now: Timestamp) {
    if task.stop_code.is_none() {
        let given = report.reason.clone().filter(|reason| !reason.is_empty());
        let (code, reason) = match has_run(state, task) {
            true => (ecs::TaskStopCode::EssentialContainerExited, given.unwrap_or_else(|| ESSENTIAL_EXITED.into())),
            false => (ecs::TaskStopCode::TaskFailedToStart, given.unwrap_or_else(|| failure(task))),
        };
        task.stop_code = Some(code);
        task.stopped_reason = Some(reason);
    }
    let floor = [task.stopping_at, task.started_at, task.pull_stopped_at, task.pull_started_at, task.connectivity_at];
    let floor = floor.into_iter().flatten().max().unwrap_or(task.created_at);
    let now = now.max(floor);
    let stopping = *task.stopping_at.get_or_insert(now);
    let ended = report.execution_stopped_at.map_or(now, |ended| ended.clamp(stopping.min(now), now));
    task.execution_stopped_at.get_or_insert(ended);
    task.finish(now);
}

/// Whether the task was ever up: it was reported RUNNING, or an essential container came to its end without ever being
/// refused.
fn has_run(state: &State, task: &Task) -> bool {
    let definitions = state.definition_of(task).map(|definition| definition.containers()).unwrap_or_default();
    let is_essential =
        |name: &str| definitions.iter().any(|one| one.name.as_deref() == Some(name) && one.essential != Some(false));
    let refused = |container: &Container| container.reason.as_deref().is_some_and(|text| text.starts_with("Cannot"));
    let exited = |container: &Container| container.exit_code.is_some() && is_essential(&container.name);
    task.started_at.is_some() || (task.containers.iter().any(exited) && !task.containers.iter().any(refused))
}

/// The first container's reason for not starting.
fn failure(task: &Task) -> String {
    let reason = task.containers.iter().find_map(|container| container.reason.clone());
    reason.unwrap_or_else(|| "Task failed to start".into())
}

/// The service's record, where what the task did counts for its deployment.
fn account_for(state: &State, old: &Task, new: &Task, now: Timestamp, mint: &mut Mint) -> Option<Service> {
    let service = state.services.get(&new.service_key()?)?;
    let known = own_deployment(service, new)?;
    let mut deployment = known.clone();
    let mut held_back = false;
    let ended = new.is_stopped() && old.desired != TaskStatus::Stopped;
    let started = new.last == TaskStatus::Running && old.last < TaskStatus::Running;
    match () {
        () if ended && !has_run(state, new) => {
            let counts = breaker::none_runs(state, service, known);
            held_back = failed_to_start(&mut deployment, counts, new, now, mint);
        }
        () if ended => drop(pace::ended(&mut deployment.throttle, new, now)),
        () if started => ran(state, service, &mut deployment, new),
        () => {}
    }
    if digests(old).ne(digests(new)) {
        pin::learn(state, &mut deployment, new);
    }
    (deployment != *known).then(|| kept(service, deployment, held_back, now, mint))
}

fn own_deployment<'s>(service: &'s Service, task: &Task) -> Option<&'s Deployment> {
    let id = task.started_by.as_deref()?;
    service.deployments.iter().find(|deployment| deployment.id == id)
}

fn digests(task: &Task) -> impl Iterator<Item = &Option<String>> {
    task.containers.iter().map(|container| &container.image_digest)
}

fn failed_to_start(deployment: &mut Deployment, counts: bool, task: &Task, now: Timestamp, mint: &mut Mint) -> bool {
    breaker::count(deployment, i32::from(counts));
    deployment.updated_at = now;
    throttle::failed(&mut deployment.throttle, task.created_at, now, mint)
}

/// A task without any health check is as healthy as it gets once it runs.
fn ran(state: &State, service: &Service, deployment: &mut Deployment, task: &Task) {
    throttle::recovered(&mut deployment.throttle);
    if !has_health_check(state, task) && task.balanced.is_none() {
        breaker::forgive(service, deployment);
    }
}

fn with_deployment(service: &Service, deployment: Deployment) -> Service {
    let mut service = service.clone();
    if let Some(place) = service.deployment_mut(&deployment.id) {
        *place = deployment;
    }
    service
}

/// The service with this deployment in its place.
fn kept(service: &Service, deployment: Deployment, held_back: bool, now: Timestamp, mint: &mut Mint) -> Service {
    let mut service = with_deployment(service, deployment);
    if held_back && !Event::Struggling.is_repeated(&service, now) {
        Event::Struggling.tell(&mut service, now, mint);
    }
    service
}

/// The service's record, where a task that got healthy ends its deployment's row of failures.
fn forgiven(state: &State, task: &Task) -> Option<Service> {
    let service = state.services.get(&task.service_key()?)?;
    let mut deployment = own_deployment(service, task)?.clone();
    breaker::forgive(service, &mut deployment).then(|| with_deployment(service, deployment))
}
