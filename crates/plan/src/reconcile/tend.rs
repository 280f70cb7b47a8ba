//! Tasks behind load balancers, before anything is started or stopped.

use longshore_api::ecs;
use longshore_model::Change;
use longshore_model::task::{Balanced, Task, TaskStatus};
use longshore_wire::Timestamp;

use super::Turn;
use crate::behind::{self, Revive, Verdict};
use crate::event::Event;
use crate::view::{Member, has_health_check};
use crate::{MAX_CHANGES, after, breaker};

/// Most tasks that are looked after in a turn; one of them may be registered with five groups.
const PER_TURN: usize = MAX_CHANGES - 8;

/// Before a group that takes no task is tried again.
const AGAIN_MILLIS: i64 = 30_000;

impl Turn<'_> {
    /// Let nodes stop what has drained, register what is not registered, note what is healthy for the first time. Returns
    /// whether there was any of it: the rest is then the next turn's.
    pub(super) fn tend(&mut self, members: &[Member<'_>]) -> bool {
        for member in members.iter().filter(|member| member.task.balanced.is_some()) {
            if self.plan.changes.len() >= PER_TURN {
                break;
            }
            if let Some(at) = member.task.drains_until() {
                self.let_go(member, at);
            } else if member.verdict == Some(Verdict::Healthy) {
                self.note_health(member);
            } else if self.plan.changes.is_empty() {
                self.register(member);
            }
        }
        !self.plan.changes.is_empty()
    }

    /// The node is told to stop a task that has drained.
    fn let_go(&mut self, member: &Member<'_>, at: Timestamp) {
        match at > self.now {
            true => self.plan.wake(at),
            false => self.balance(member, |balanced| balanced.drains_until = None),
        }
    }

    /// The first time that a task is healthy ends its deployment's row of failures.
    fn note_health(&mut self, member: &Member<'_>) {
        let task = member.task;
        let known = task.balanced.as_ref().is_some_and(|balanced| balanced.healthy_at.is_some());
        if known || task.last != TaskStatus::Running {
            return;
        }
        if task.health != Some(ecs::HealthStatus::Healthy) && has_health_check(self.state, task) {
            return;
        }
        let now = self.now;
        self.balance(member, |balanced| balanced.healthy_at = Some(now));
        let of = task.started_by.as_deref().unwrap_or_default();
        let failed = |one: &&longshore_model::service::Deployment| one.id == of && one.failed_tasks > 0;
        let Some(mut deployment) = self.service.deployments.iter().find(failed).cloned() else { return };
        if breaker::forgive(&self.service, &mut deployment)
            && let Some(place) = self.service.to_mut().deployment_mut(of)
        {
            *place = deployment;
        }
    }

    /// A task that runs and is not registered: its group was full, or somebody deregistered it.
    fn register(&mut self, member: &Member<'_>) {
        let task = member.task;
        if task.last != TaskStatus::Running || task.desired == TaskStatus::Stopped {
            return;
        }
        let made = behind::register(self.state, task, Revive::None, self.now);
        self.plan.changes.extend(made.changes);
        behind::joining(&made.groups).into_iter().for_each(|event| self.tell(event));
        for (group, error) in made.refused {
            self.plan.wake(after(self.now, AGAIN_MILLIS));
            self.tell_once(Event::Unregistered(group, error));
        }
    }

    fn balance(&mut self, member: &Member<'_>, change: impl FnOnce(&mut Balanced)) {
        let mut task = Task::clone(member.task);
        if let Some(balanced) = &mut task.balanced {
            change(balanced);
        }
        task.version += 1;
        self.plan.changes.push(Change::from(task));
    }
}
