//! Stopping what is too much or is to go, above the floor.

use longshore_api::ecs;

use super::count::Count;
use super::{PER_TURN, Turn};
use crate::behind::{self, Judge, Verdict};
use crate::event::Event;
use crate::place::{Peers, Tally};
use crate::view::{Member, Standing, belongs};
use crate::{MAX_CHANGES, breaker};

impl Turn<'_> {
    /// Scale in: more tasks keep than are wanted.
    pub(super) fn stop_surplus<'m>(&mut self, members: Vec<Member<'m>>, count: Count) -> (Vec<Member<'m>>, Count) {
        let surplus = count.surplus();
        if surplus == 0 {
            return (members, count);
        }
        let (keeping, mut rest): (Vec<_>, Vec<_>) = members.into_iter().partition(Member::keeps);
        let (going, staying) = choose_to_stop(keeping, surplus.min(self.stops()), |_| false);
        self.stop(&going);
        rest.extend(going.into_iter().map(|member| Member { standing: Standing::Stopping, serving: false, ..member }));
        rest.extend(staying);
        let count = Count::of(&self.service, &rest);
        (rest, count)
    }

    /// Stop what is to go: at once what serves nobody, the rest as it is replaced; tasks of deployments that were never
    /// complete before those of one that was.
    pub(super) fn stop_leavers(&mut self, members: &[Member<'_>], count: &Count) -> usize {
        let (idle, unhealthy) = self.idle_leavers(members, count);
        self.stop(&idle);
        self.stop(&unhealthy);
        self.count_unhealthy(&unhealthy);
        let idle_stopped = (idle.len() + unhealthy.len()) as i64;
        let serving: Vec<_> = members.iter().filter(|member| member.leaves_serving()).copied().collect();
        let allowed = serving_stops(count, idle_stopped).min((self.stops() as i64 - idle_stopped).max(0)) as usize;
        let (going, _) = choose_to_stop(serving, allowed, |member| self.has_completed(member));
        self.stop(&going);
        idle_stopped as usize + going.len()
    }

    /// Tasks of the primary deployment that are replaced because of their health count for the circuit breaker.
    fn count_unhealthy(&mut self, unhealthy: &[Member<'_>]) {
        let failures = unhealthy.iter().filter(|member| member.primary).count();
        if failures > 0
            && let Some(primary) = self.service.to_mut().primary_mut()
        {
            breaker::count(primary, failures as i32);
        }
    }

    /// Leavers that serve nobody and may stop now; those that fail their health check apart.
    fn idle_leavers<'m>(&self, members: &[Member<'m>], count: &Count) -> (Vec<Member<'m>>, Vec<Member<'m>>) {
        let replaced = count.keeping_serving >= count.desired;
        let settled = count.stopping == 0 && count.keeping == count.keeping_serving;
        let blocked = settled && count.missing() > 0 && count.room() == 0;
        let mut unhealthy_allowed = if replaced { usize::MAX } else { usize::from(blocked) };
        let old_alive = members.iter().filter(|member| !member.primary && member.standing >= Standing::Pending).count();
        let mut spare_old = (old_alive as i64 - count.old_needed()).max(0);
        let (mut idle, mut unhealthy) = (Vec::new(), Vec::new());
        for member in members.iter().filter(|member| member.leaves_idle()).take(self.stops()) {
            let needed = match member.standing {
                Standing::Unhealthy if member.primary => {
                    let allowed = unhealthy_allowed > 0;
                    unhealthy_allowed = unhealthy_allowed.saturating_sub(1);
                    !allowed
                }
                Standing::Pending if !member.primary && self.has_completed(member) => {
                    spare_old -= 1;
                    spare_old < 0
                }
                _ => false,
            };
            match (needed, member.standing) {
                (true, _) => {}
                (false, Standing::Unhealthy) => unhealthy.push(*member),
                (false, _) => idle.push(*member),
            }
        }
        (idle, unhealthy)
    }

    /// Whether the deployment that started the task was ever complete: if not, its tasks are no use to the floor.
    fn has_completed(&self, member: &Member<'_>) -> bool {
        let mut deployments = self.service.deployments.iter().filter(|deployment| belongs(member.task, deployment));
        deployments.any(|deployment| deployment.rollout == ecs::DeploymentRolloutState::Completed)
    }

    /// Most tasks to stop at once.
    pub(super) fn stops(&self) -> usize {
        let groups =
            self.service.deployments.iter().map(|deployment| deployment.load_balancers.len()).max().unwrap_or(0);
        let room = MAX_CHANGES - PER_TURN - 1;
        PER_TURN.min(room / 2 / (1 + groups))
    }

    pub(super) fn stop(&mut self, members: &[Member<'_>]) {
        if members.is_empty() {
            return;
        }
        let (mut draining, mut groups) = (0, Vec::new());
        for member in members {
            let reason = self.why(member);
            let code = ecs::TaskStopCode::ServiceSchedulerInitiated;
            let Some(stop) = behind::stop(self.state, member.task, code, &reason, self.now) else { continue };
            draining += usize::from(stop.task.drains_until().is_some());
            groups.extend(stop.groups.iter().cloned());
            self.plan.changes.extend(stop.changes());
        }
        behind::leaving(draining, &groups).into_iter().for_each(|event| self.tell(event));
        let (ran, pending): (Vec<&Member<'_>>, Vec<_>) =
            members.iter().partition(|member| member.task.started_at.is_some());
        if !ran.is_empty() {
            self.tell(Event::Stopped(ran.iter().map(|member| member.task.id.clone()).collect()));
        }
        if !pending.is_empty() {
            self.tell(Event::StoppedPending(pending.len()));
        }
    }

    /// The reason that the task shows. One that is unhealthy is told of.
    fn why(&mut self, member: &Member<'_>) -> String {
        if member.standing != Standing::Unhealthy {
            let primary = self.service.primary().map(|primary| primary.id.as_str()).unwrap_or_default();
            return format!("Scaling activity initiated by (deployment {primary})");
        }
        let by_container = member.task.health == Some(ecs::HealthStatus::Unhealthy);
        match Judge::new(self.state).complaint(member.task).filter(|_| !by_container) {
            Some(complaint) => {
                let reason = format!("Task failed ELB health checks in (target-group {})", complaint.group);
                self.tell(Event::FailedTarget(complaint));
                reason
            }
            None => {
                self.tell(Event::Unhealthy(member.task.id.clone()));
                "Task failed container health checks".to_owned()
            }
        }
    }
}

/// How many tasks that serve, but are to go, may stop now.
fn serving_stops(count: &Count, idle_stopped: i64) -> i64 {
    let replaced = count.leaving_serving - (count.desired - count.keeping_serving).max(0);
    let blocked = count.missing() > 0 && count.room() == 0;
    let to_make_room = if blocked { count.missing() - count.stopping - idle_stopped } else { 0 };
    replaced.max(to_make_room).clamp(0, count.bounds.may_stop(count.serving()))
}

/// Split off `count` members to stop: worst standing first, then those whose targets are not healthy, then those that are not
/// `dear`, then from the zone with most
/// tasks, from the node with most, then the oldest.
fn choose_to_stop<'m>(
    mut members: Vec<Member<'m>>,
    count: usize,
    dear: impl Fn(&Member<'_>) -> bool,
) -> (Vec<Member<'m>>, Vec<Member<'m>>) {
    let mut peers = Peers::of(members.iter().map(|member| &**member.task));
    let mut going = Vec::with_capacity(count);
    while going.len() < count && !members.is_empty() {
        let tally = |counts: &Tally, name: &Option<String>| {
            name.as_ref().and_then(|name| counts.get(name)).copied().unwrap_or(0)
        };
        let rank = |member: &Member<'_>| {
            let zone = tally(&peers.zones, &member.task.zone);
            let node = tally(&peers.nodes, &member.task.node);
            let serves = member.verdict.is_none_or(|verdict| verdict == Verdict::Healthy);
            (member.standing, serves, dear(member), -zone, -node, member.task.created_at)
        };
        let first = (0..members.len()).min_by_key(|index| (rank(&members[*index]), &members[*index].task.id));
        let member = members.swap_remove(first.unwrap_or(0));
        peers.remove(&member.task.zone, &member.task.node);
        going.push(member);
    }
    (going, members)
}
