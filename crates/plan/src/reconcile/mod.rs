//! Services: as many tasks as wanted, of the revision wanted, never fewer or more than floor and ceiling allow.
//!
//! ```text
//! ACTIVE    surplus tasks stop; missing ones start within the ceiling; what is to go (older deployments, unhealthy
//!           tasks, draining nodes) stops when its replacement serves, or when the ceiling leaves no other way and the
//!           floor allows it; then the deployment is COMPLETED, and the service steady
//! DRAINING  every task stops, then INACTIVE
//! ```
//! Tasks behind load balancers are looked after before all that (`tend`): what has drained is told to its node, what is
//! healthy for the first time is noted. Such a task serves once its targets are healthy, and is replaced when they are not.
//! A deployment whose tasks fail too often is given up first ([`breaker`](crate::breaker)).
//! Starting comes before stopping wherever the ceiling has room, so that capacity never dips without need. A task of an
//! older deployment that dies while the floor needs it is replaced with its own revision, as long as that deployment had
//! once completed. Tasks on a node that is away are started elsewhere within the ceiling and stop when they come back.
//! A service's first deployment is steady as soon as its tasks run; the time a task must have proven itself
//! ([`PROVEN_MILLIS`](crate::view)) only holds back the stopping of the tasks it replaces.

mod balance;
mod count;
mod early;
mod start;
mod stop;
mod template;
mod tend;

use std::borrow::Cow;

use longshore_api::ecs;
use longshore_model::service::{Deployment, Service, ServiceStatus};
use longshore_model::{Change, Mint, State};
use longshore_wire::Timestamp;

use crate::behind::Verdict;
use crate::event::Event;
use crate::view::{Member, Standing, View, belongs, has_health_check, view};
use crate::{Plan, breaker};
use count::Count;

/// Most tasks started and most tasks stopped in one turn, and again stopped as surplus: with the service itself they stay
/// within [`MAX_CHANGES`](crate::MAX_CHANGES). Behind load balancers fewer are stopped, because their targets change with them.
const PER_TURN: usize = 40;

/// Which roles tasks may be started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roles {
    /// Any: nobody asks policies.
    #[default]
    Any,
    /// Those that exist and are lent to tasks ([`longshore_model::task_role`]).
    Lent,
}

/// Plan the next turn of the service with this key. Planning again after the changes adds nothing until time or the
/// state moves on.
pub fn service(state: &State, key: &str, now: Timestamp, mint: &mut Mint) -> Plan {
    service_with(state, key, Roles::Any, now, mint)
}

/// As [`service`], where roles may matter.
pub fn service_with(state: &State, key: &str, roles: Roles, now: Timestamp, mint: &mut Mint) -> Plan {
    let Some(service) = state.services.get(key) else {
        return Plan::default();
    };
    let mut turn = Turn { state, now, mint, service: Cow::Borrowed(service), roles, plan: Plan::default() };
    match service.status {
        ServiceStatus::Active => turn.active(),
        ServiceStatus::Draining => turn.draining(),
        ServiceStatus::Inactive => {}
    }
    turn.finish()
}

struct Turn<'a> {
    state: &'a State,
    now: Timestamp,
    mint: &'a mut Mint,
    service: Cow<'a, Service>,
    roles: Roles,
    plan: Plan,
}

impl<'a> Turn<'a> {
    fn finish(mut self) -> Plan {
        if let Cow::Owned(service) = self.service {
            self.plan.changes.push(service.into());
        }
        self.plan
    }

    fn active(&mut self) {
        self.watch_failures();
        let View { members, changes_at, proven_at } = view(self.state, &self.service, self.now);
        if self.tend(&members) {
            return;
        }
        self.end_move(&members);
        let count = Count::of(&self.service, &members);
        let replacing = self.service.rebalancing || members.iter().any(|member| !member.keeps());
        for at in changes_at.into_iter().chain(proven_at.filter(|_| replacing)) {
            self.plan.wake(at);
        }
        let (members, count) = self.stop_surplus(members, count);
        let (count, started) = self.start_missing(&members, count);
        let stopped = self.stop_leavers(&members, &count);
        if started == 0 && stopped == 0 {
            self.notice_stuck(&members, &count);
        }
        self.forget_deployments(&members);
        if self.plan.changes.is_empty() {
            self.settle(&members, &count, proven_at);
        }
    }

    /// Give the primary deployment up when too many of its tasks failed, and go back to the last complete one where that
    /// is wanted.
    fn watch_failures(&mut self) {
        if !breaker::has_tripped(&self.service) {
            return;
        }
        let (state, now) = (self.state, self.now);
        let Some(failed) = breaker::fail(self.service.to_mut(), now) else { return };
        self.plan.reasons.push(format!("service {}: deployment {failed} is given up", self.service.name));
        self.tell(Event::Failed(failed));
        if breaker::rolls_back(&self.service)
            && let Some(target) = breaker::roll_back(state, self.service.to_mut(), now)
        {
            self.tell(Event::RollingBack(target));
        }
    }

    fn notice_stuck(&mut self, members: &[Member<'_>], count: &Count) {
        let replacing = members.iter().any(|member| member.leaves_serving());
        let waiting = count.stopping > 0 || count.keeping > count.keeping_serving;
        if replacing && count.missing() > 0 && count.room() == 0 && !waiting {
            self.plan.reasons.push(format!("service {}: floor and ceiling leave no move", self.service.name));
            self.tell_once(Event::Stuck);
        }
    }

    /// Older deployments without tasks are over. One that was given up shows until its rollback is complete, and the last
    /// one that was complete is remembered until the next one is.
    fn forget_deployments(&mut self, members: &[Member<'_>]) {
        let primary = self.service.primary();
        let in_progress = primary.is_some_and(|one| one.rollout != ecs::DeploymentRolloutState::Completed);
        let rolls_back = in_progress && primary.is_some_and(|primary| primary.rollback);
        let over = |deployment: &Deployment| {
            let shows = rolls_back && deployment.rollout == ecs::DeploymentRolloutState::Failed;
            !deployment.primary && !shows && !members.iter().any(|member| belongs(member.task, deployment))
        };
        let starting = self.plan.changes.iter().any(|change| matches!(change, Change::Put(record) if is_task(record)));
        if !starting && self.service.deployments.iter().any(over) {
            let service = self.service.to_mut();
            let completed = |one: &&Deployment| over(one) && one.rollout == ecs::DeploymentRolloutState::Completed;
            let completed = service.deployments.iter().find(completed).filter(|_| in_progress).cloned();
            let known = service.last_completed.as_ref().map(|known| known.created_at);
            if let Some(completed) = completed.filter(|one| known.is_none_or(|known| one.created_at > known)) {
                service.last_completed = Some(Box::new(completed));
            }
            service.deployments.retain(|deployment| !over(deployment));
        }
    }

    /// Whether everything is as wanted; if so, the deployment is complete and the service steady.
    fn settle(&mut self, members: &[Member<'_>], count: &Count, proven_at: Option<Timestamp>) {
        let steady = count.keeping == count.desired
            && count.existing == count.desired
            && members.iter().all(|member| member.standing == Standing::Running && self.is_sound(member));
        if self.succeeds(steady, members, count) {
            self.complete();
        }
        if steady {
            self.tell_once(Event::SteadyState);
            self.begin_move(members, count, proven_at);
        }
    }

    /// The primary deployment is complete, if it was in progress.
    fn complete(&mut self) {
        let now = self.now;
        let in_progress = |primary: &&Deployment| primary.rollout == ecs::DeploymentRolloutState::InProgress;
        if let Some(id) = self.service.primary().filter(in_progress).map(|primary| primary.id.clone()) {
            if let Some(primary) = self.service.to_mut().primary_mut() {
                primary.rollout = ecs::DeploymentRolloutState::Completed;
                primary.rollout_reason = format!("ECS deployment {id} completed.");
                primary.updated_at = now;
                primary.rollback = false;
            }
            self.service.to_mut().last_completed = None;
            self.tell(Event::Completed(id));
        }
    }

    fn is_sound(&self, member: &Member<'_>) -> bool {
        let checked = has_health_check(self.state, member.task);
        let healthy = !checked || member.task.health == Some(ecs::HealthStatus::Healthy);
        healthy && member.verdict.is_none_or(|verdict| verdict == Verdict::Healthy)
    }

    fn draining(&mut self) {
        let View { members, .. } = view(self.state, &self.service, self.now);
        if members.is_empty() {
            let service = self.service.to_mut();
            service.status = ServiceStatus::Inactive;
            service.inactive_at = Some(self.now);
            service.deployments.clear();
            service.last_completed = None;
            return;
        }
        if self.tend(&members) {
            return;
        }
        let alive = members.iter().filter(|member| member.standing != Standing::Stopping).take(self.stops());
        let alive: Vec<_> = alive.copied().collect();
        self.stop(&alive);
    }

    fn tell(&mut self, event: Event) {
        event.tell(self.service.to_mut(), self.now, self.mint);
    }

    /// Tell it unless that only repeats what is known; then there is a time at which it is worth telling again.
    fn tell_once(&mut self, event: Event) {
        match event.news_again(&self.service).filter(|at| *at > self.now) {
            Some(at) => self.plan.wake(at),
            None => self.tell(event),
        }
    }
}

fn is_task(record: &longshore_model::Record) -> bool {
    record.table() == longshore_model::TableName::Task
}
