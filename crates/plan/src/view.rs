//! How the tasks of a service stand, for the planner that moves it.

use std::sync::Arc;

use longshore_api::ecs::{ContainerDefinition, HealthStatus};
use longshore_model::State;
use longshore_model::service::{Deployment, Service};
use longshore_model::task::{Task, TaskStatus};
use longshore_wire::Timestamp;

use crate::after;
use crate::behind::{Judge, Verdict};

/// A task without a health check counts as healthy for the floor once it has run this long.
pub const PROVEN_MILLIS: i64 = 40_000;

/// A node away for this long has lost its service tasks: they are started elsewhere too.
pub const LOST_MILLIS: i64 = 60_000;

/// Where a live task stands. The order is the order in which tasks are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Told to stop, or found stopping.
    Stopping,
    /// Its node has been away too long.
    Lost,
    /// Its health check fails, or that of a target group.
    Unhealthy,
    /// Has not run yet.
    Pending,
    /// Runs, but its node is being emptied.
    Draining,
    Running,
}

/// A live task of the service.
#[derive(Clone, Copy)]
pub struct Member<'a> {
    pub task: &'a Arc<Task>,
    pub standing: Standing,
    /// Of the primary deployment.
    pub primary: bool,
    /// Counts for the floor.
    pub serving: bool,
    /// By its targets; none if no load balancer has to do with it.
    pub verdict: Option<Verdict>,
}

impl Member<'_> {
    /// Whether it is meant to stay.
    pub fn keeps(&self) -> bool {
        self.primary && matches!(self.standing, Standing::Pending | Standing::Running)
    }

    /// Whether it runs now but is to go.
    pub fn leaves_serving(&self) -> bool {
        self.serving && !self.keeps() && self.standing != Standing::Stopping
    }

    /// Whether it is to go and serves nobody.
    pub fn leaves_idle(&self) -> bool {
        let stays = self.keeps() || (self.primary && self.is_lost());
        !self.serving && !stays && self.standing != Standing::Stopping
    }

    pub fn is_lost(&self) -> bool {
        self.standing == Standing::Lost
    }
}

/// The live tasks of a service, and when time alone will change how they stand.
pub struct View<'a> {
    pub members: Vec<Member<'a>>,
    pub changes_at: Option<Timestamp>,
    /// When the next task will have proven itself: of interest only while something is being replaced.
    pub proven_at: Option<Timestamp>,
}

/// Look at every live task of `service`.
pub fn view<'a>(state: &'a State, service: &Service, now: Timestamp) -> View<'a> {
    let judge = Judge::new(state);
    let mut look = Look { state, service, now, judge, checked: Vec::new(), changes_at: None, proven_at: None };
    let key = service.key();
    let tasks = state.index.service_tasks(&key).filter_map(|key| state.tasks.get(key));
    let members = tasks.map(|task| look.member(task)).collect();
    View { members, changes_at: look.changes_at, proven_at: look.proven_at }
}

struct Look<'a, 's> {
    state: &'a State,
    service: &'s Service,
    now: Timestamp,
    judge: Judge<'a>,
    /// Whether a revision has a health check, once looked up.
    checked: Vec<(&'a str, i32, bool)>,
    changes_at: Option<Timestamp>,
    proven_at: Option<Timestamp>,
}

impl<'a> Look<'a, '_> {
    fn member(&mut self, task: &'a Arc<Task>) -> Member<'a> {
        let verdict = self.judge.verdict(task);
        let standing = self.standing(task, verdict);
        let primary = self.service.primary().is_some_and(|primary| belongs(task, primary));
        let serving = match standing {
            Standing::Running if primary => self.is_proven(task, verdict),
            Standing::Running | Standing::Draining => task.last == TaskStatus::Running,
            _ => false,
        };
        Member { task, standing, primary, serving, verdict }
    }

    fn standing(&mut self, task: &Task, verdict: Option<Verdict>) -> Standing {
        if task.desired == TaskStatus::Stopped || task.last > TaskStatus::Running {
            return Standing::Stopping;
        }
        // Only a node that is closed can make a difference; looking each one up would cost more than all the rest.
        let closed = task.node.as_deref().filter(|node| self.state.index.ages.is_closed(node));
        let node = closed.and_then(|node| self.state.nodes.get(node));
        let away = node.filter(|node| !node.connected).and_then(|node| node.disconnected_at);
        if away.is_some_and(|since| self.reached(after(since, LOST_MILLIS))) {
            return Standing::Lost;
        }
        let ill = task.health == Some(HealthStatus::Unhealthy) || verdict == Some(Verdict::Unhealthy);
        if ill && self.out_of_grace(task) {
            return Standing::Unhealthy;
        }
        match task.last < TaskStatus::Running {
            _ if node.is_some_and(|node| node.status == "DRAINING") => Standing::Draining,
            true => Standing::Pending,
            false => Standing::Running,
        }
    }

    /// Whether `at` has come; if not, the view will change then.
    fn reached(&mut self, at: Timestamp) -> bool {
        come(at, self.now, &mut self.changes_at)
    }

    fn out_of_grace(&mut self, task: &Task) -> bool {
        let grace = i64::from(self.service.api.health_check_grace_period_seconds.unwrap_or(0));
        let started = task.started_at.unwrap_or(task.created_at);
        grace == 0 || self.reached(after(started, grace * 1000))
    }

    fn is_proven(&mut self, task: &'a Task, verdict: Option<Verdict>) -> bool {
        let checked = self.has_health_check(task);
        let sound = !checked || task.health == Some(HealthStatus::Healthy);
        match verdict {
            Some(verdict) => sound && verdict == Verdict::Healthy,
            None if checked => sound,
            None => {
                let proven = after(task.started_at.unwrap_or(self.now), PROVEN_MILLIS);
                come(proven, self.now, &mut self.proven_at)
            }
        }
    }

    fn has_health_check(&mut self, task: &'a Task) -> bool {
        let of = |known: &&(&str, i32, bool)| (known.0, known.1) == (task.family.as_str(), task.revision);
        if let Some((_, _, known)) = self.checked.iter().find(of) {
            return *known;
        }
        let found = has_health_check(self.state, task);
        self.checked.push((&task.family, task.revision, found));
        found
    }
}

/// Whether `at` has come; if not, it is kept as `earliest` unless that is sooner.
fn come(at: Timestamp, now: Timestamp, earliest: &mut Option<Timestamp>) -> bool {
    if at > now {
        *earliest = Some(earliest.map_or(at, |known| known.min(at)));
    }
    at <= now
}

/// The essential containers of the task that have a health check: their health makes up the task's.
pub fn checked<'s>(state: &'s State, task: &Task) -> impl Iterator<Item = &'s ContainerDefinition> {
    let containers = state.definition_of(task).map(|definition| definition.containers()).unwrap_or_default();
    containers.iter().filter(|container| container.essential != Some(false) && container.health_check.is_some())
}

/// Whether an essential container of the task has a health check.
pub fn has_health_check(state: &State, task: &Task) -> bool {
    checked(state, task).next().is_some()
}

/// Whether `task` was started by `deployment`.
pub fn belongs(task: &Task, deployment: &Deployment) -> bool {
    task.started_by.as_deref() == Some(deployment.id.as_str())
}
