//! Services: as many tasks as wanted, of the revision wanted, never fewer or more than floor and ceiling allow.
//!
//! ```text
//! ACTIVE    surplus tasks stop; missing ones start within the ceiling; what is to go (older deployments, unhealthy
//!           tasks, draining nodes) stops when its replacement serves, or when the ceiling leaves no other way and the
//!           floor allows it; then the deployment is COMPLETED, and the service steady
//! DRAINING  every task stops, then INACTIVE
//! ```
//! Starting comes before stopping wherever the ceiling has room, so that capacity never dips without need. A task of an
//! older deployment that dies while the floor needs it is replaced with its own revision, as long as that deployment had
//! once completed. Tasks on a node that is away are started elsewhere within the ceiling and stop when they come back.
//! A service's first deployment is steady as soon as its tasks run; the time a task must have proven itself
//! ([`PROVEN_MILLIS`](crate::view)) only holds back the stopping of the tasks it replaces.

use std::borrow::Cow;
use std::collections::BTreeMap;

use longshore_api::ecs;
use longshore_model::service::{Deployment, Service, ServiceStatus};
use longshore_model::task::Task;
use longshore_model::{Change, Mint, State};
use longshore_wire::Timestamp;

use crate::event::Event;
use crate::launch::{self, Launch};
use crate::place::{Draft, Peers};
use crate::rollout::{Bounds, bounds};
use crate::view::{Member, Standing, View, belongs, has_health_check, view};
use crate::{Plan, strategy, throttle};

/// Most tasks started and most tasks stopped in one turn: with the service itself they stay within
/// [`MAX_CHANGES`](crate::MAX_CHANGES).
const PER_TURN: usize = 40;

/// Plan the next turn of the service with this key. Planning again after the changes adds nothing until time or the
/// state moves on.
pub fn service(state: &State, key: &str, now: Timestamp, mint: &mut Mint) -> Plan {
    let Some(service) = state.services.get(key) else {
        return Plan::default();
    };
    let mut turn = Turn {
        state,
        now,
        mint,
        service: Cow::Borrowed(service),
        plan: Plan::default(),
    };
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
    plan: Plan,
}

/// How many tasks stand how.
struct Count {
    desired: i64,
    bounds: Bounds,
    /// Every live task.
    existing: i64,
    stopping: i64,
    /// Tasks that are meant to stay, and those of them that are proven.
    keeping: i64,
    keeping_serving: i64,
    leaving_serving: i64,
}

impl Count {
    fn of(service: &Service, members: &[Member<'_>]) -> Self {
        let count = |test: &dyn Fn(&Member<'_>) -> bool| {
            members.iter().filter(|member| test(member)).count() as i64
        };
        Self {
            desired: i64::from(service.desired_count),
            bounds: bounds(
                service.desired_count,
                service.api.deployment_configuration.as_ref(),
            ),
            existing: members.len() as i64,
            stopping: count(&|member| member.standing == Standing::Stopping),
            keeping: count(&|member| member.keeps()),
            keeping_serving: count(&|member| member.keeps() && member.serving),
            leaving_serving: count(&|member| member.leaves_serving()),
        }
    }

    fn missing(&self) -> i64 {
        (self.desired - self.keeping).max(0)
    }

    fn room(&self) -> i64 {
        self.bounds.may_start(self.existing)
    }

    fn serving(&self) -> i64 {
        self.keeping_serving + self.leaving_serving
    }

    /// Tasks of older deployments that the floor still needs.
    fn old_needed(&self) -> i64 {
        (self.bounds.lower - self.keeping_serving).max(0)
    }
}

impl<'a> Turn<'a> {
    fn finish(mut self) -> Plan {
        if let Cow::Owned(service) = self.service {
            self.plan.changes.push(service.into());
        }
        self.plan
    }

    fn active(&mut self) {
        let View {
            members,
            changes_at,
            proven_at,
        } = view(self.state, &self.service, self.now);
        let count = Count::of(&self.service, &members);
        let replacing = members.iter().any(|member| !member.keeps());
        for at in changes_at
            .into_iter()
            .chain(proven_at.filter(|_| replacing))
        {
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
            self.settle(&members, &count);
        }
    }

    /// Scale in: more tasks keep than are wanted.
    fn stop_surplus<'m>(
        &mut self,
        members: Vec<Member<'m>>,
        count: Count,
    ) -> (Vec<Member<'m>>, Count) {
        let surplus = (count.keeping - count.desired).max(0) as usize;
        if surplus == 0 {
            return (members, count);
        }
        let (keeping, mut rest): (Vec<_>, Vec<_>) = members.into_iter().partition(Member::keeps);
        let (going, staying) = choose_to_stop(keeping, surplus.min(PER_TURN));
        self.stop(&going, None);
        rest.extend(going.into_iter().map(|member| Member {
            standing: Standing::Stopping,
            serving: false,
            ..member
        }));
        rest.extend(staying);
        let count = Count::of(&self.service, &rest);
        (rest, count)
    }

    /// Start what is missing, within the ceiling: first what the floor needs of older deployments, then the primary's.
    fn start_missing(&mut self, members: &[Member<'_>], mut count: Count) -> (Count, usize) {
        let mut draft = Draft::new(self.state);
        let mut started = 0;
        if let Some((deployment, wanted)) = self.old_replacements(members, &count) {
            let wanted = wanted.min(count.room()).max(0) as usize;
            let made = self.start(&deployment, wanted.min(PER_TURN), members, &mut draft);
            count.existing += made as i64;
            started += made;
        }
        if let Some(primary) = self.service.primary().cloned() {
            let wanted = count.missing().min(count.room()) as usize;
            let made = self.start(
                &primary,
                wanted.min(PER_TURN - started),
                members,
                &mut draft,
            );
            count.existing += made as i64;
            count.keeping += made as i64;
            started += made;
        }
        (count, started)
    }

    /// The older deployment whose tasks the floor misses, and how many.
    fn old_replacements(&self, members: &[Member<'_>], count: &Count) -> Option<(Deployment, i64)> {
        let old = |member: &&Member<'_>| !member.primary && member.standing >= Standing::Pending;
        let missing = count.old_needed() - members.iter().filter(old).count() as i64;
        let completed = |deployment: &&Deployment| {
            !deployment.primary
                && deployment.rollout == ecs::DeploymentRolloutState::Completed
                && members
                    .iter()
                    .filter(old)
                    .any(|member| belongs(member.task, deployment))
        };
        let deployment = self.service.deployments.iter().find(completed)?;
        (missing > 0).then(|| (deployment.clone(), missing))
    }

    /// Start up to `wanted` tasks of a deployment. Returns how many were made.
    fn start(
        &mut self,
        deployment: &Deployment,
        wanted: usize,
        members: &[Member<'_>],
        draft: &mut Draft<'a>,
    ) -> usize {
        if wanted == 0 || self.is_held_back(deployment) {
            return 0;
        }
        let key = format!(
            "{}/{}:{:010}",
            self.service.account, deployment.family, deployment.revision
        );
        let Some(definition) = self.state.definitions.get(&key) else {
            self.plan.reasons.push(format!(
                "task definition {key} of service {} is gone",
                self.service.name
            ));
            return 0;
        };
        let staying = members
            .iter()
            .filter(|member| member.standing > Standing::Lost)
            .map(|member| &**member.task);
        let mut peers = Peers::of(staying);
        let mut placed = placed_by_provider(deployment, members);
        let template = Template::of(&self.service, deployment, definition);
        let (mut made, mut refused) = (Vec::new(), None);
        for _ in 0..wanted {
            let provider = strategy::next(&deployment.capacity_provider_strategy, &placed);
            let provider_name = provider.and_then(|index| {
                deployment.capacity_provider_strategy[index]
                    .capacity_provider
                    .as_deref()
            });
            let launch = template.launch(provider_name);
            match launch::task(&launch, draft, &mut peers, self.now, self.mint) {
                Ok(task) if task.is_stopped() => {
                    made.push(task);
                    break;
                }
                Ok(task) => made.push(task),
                Err(refusal) => {
                    refused = Some(refusal);
                    break;
                }
            }
            if let Some(index) = provider {
                placed[index] += 1;
            }
        }
        let started = self.record_started(deployment, made);
        if let Some(refusal) = refused {
            self.starve(&refusal);
        }
        started
    }

    fn is_held_back(&mut self, deployment: &Deployment) -> bool {
        let until = deployment
            .throttle
            .not_before
            .filter(|until| *until > self.now);
        if let Some(until) = until {
            self.plan.wake(until);
            self.plan.reasons.push(format!(
                "service {} starts no task before {} ms: {} failures in a row",
                self.service.name,
                until.millis(),
                deployment.throttle.failures
            ));
        }
        until.is_some()
    }

    fn starve(&mut self, refusal: &crate::place::Refusal) {
        let reason = format!("{} ({})", refusal.reason(), refusal.detail());
        self.plan.starved = true;
        self.plan
            .reasons
            .push(format!("service {}: {reason}", self.service.name));
        self.tell_once(Event::Unplaced(reason));
    }

    fn record_started(&mut self, deployment: &Deployment, made: Vec<Task>) -> usize {
        if made.is_empty() {
            return 0;
        }
        let ids = made.iter().map(|task| task.id.clone()).collect();
        let stillborn = made.iter().filter(|task| task.is_stopped()).count();
        let count = made.len();
        self.plan.changes.extend(made.into_iter().map(Change::from));
        self.tell(Event::Started(ids));
        if stillborn > 0 {
            self.record_stillborn(&deployment.id, stillborn);
        }
        count - stillborn
    }

    fn record_stillborn(&mut self, deployment: &str, stillborn: usize) {
        let now = self.now;
        if let Some(deployment) = self.service.to_mut().deployment_mut(deployment) {
            deployment.failed_tasks = deployment.failed_tasks.saturating_add(stillborn as i32);
            throttle::hopeless(&mut deployment.throttle, now, self.mint);
            if let Some(at) = deployment.throttle.not_before {
                self.plan.wake(at);
            }
        }
        self.tell_once(Event::Struggling);
    }

    /// Stop what is to go: at once what serves nobody, the rest as it is replaced.
    fn stop_leavers(&mut self, members: &[Member<'_>], count: &Count) -> usize {
        let (idle, unhealthy) = self.idle_leavers(members, count);
        self.stop(&idle, None);
        self.stop(&unhealthy, Some("Task failed container health checks"));
        let idle_stopped = (idle.len() + unhealthy.len()) as i64;
        let serving: Vec<_> = members
            .iter()
            .filter(|member| member.leaves_serving())
            .map(copy)
            .collect();
        let allowed = serving_stops(count, idle_stopped)
            .min((PER_TURN as i64 - idle_stopped).max(0)) as usize;
        let (going, _) = choose_to_stop(serving, allowed);
        self.stop(&going, None);
        idle_stopped as usize + going.len()
    }

    /// Leavers that serve nobody and may stop now; those that fail their health check apart.
    fn idle_leavers<'m>(
        &self,
        members: &[Member<'m>],
        count: &Count,
    ) -> (Vec<Member<'m>>, Vec<Member<'m>>) {
        let replaced = count.keeping_serving >= count.desired;
        let settled = count.stopping == 0 && count.keeping == count.keeping_serving;
        let blocked = settled && count.missing() > 0 && count.room() == 0;
        let mut unhealthy_allowed = if replaced {
            usize::MAX
        } else {
            usize::from(blocked)
        };
        let old_alive = members
            .iter()
            .filter(|member| !member.primary && member.standing >= Standing::Pending)
            .count();
        let mut spare_old = (old_alive as i64 - count.old_needed()).max(0);
        let (mut idle, mut unhealthy) = (Vec::new(), Vec::new());
        for member in members
            .iter()
            .filter(|member| member.leaves_idle())
            .take(PER_TURN)
        {
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
                (false, Standing::Unhealthy) => unhealthy.push(copy(member)),
                (false, _) => idle.push(copy(member)),
            }
        }
        (idle, unhealthy)
    }

    /// Whether the deployment that started the task was ever complete: if not, its tasks are no use to the floor.
    fn has_completed(&self, member: &Member<'_>) -> bool {
        let mut deployments = self
            .service
            .deployments
            .iter()
            .filter(|deployment| belongs(member.task, deployment));
        deployments.any(|deployment| deployment.rollout == ecs::DeploymentRolloutState::Completed)
    }

    fn stop(&mut self, members: &[Member<'_>], why: Option<&str>) {
        if members.is_empty() {
            return;
        }
        let primary = self
            .service
            .primary()
            .map(|primary| primary.id.clone())
            .unwrap_or_default();
        let reason = match why {
            Some(why) => why.to_owned(),
            None => format!("Scaling activity initiated by (deployment {primary})"),
        };
        for member in members {
            if member.standing == Standing::Unhealthy {
                self.tell(Event::Unhealthy(member.task.id.clone()));
            }
            let mut task = Task::clone(member.task);
            task.request_stop(
                ecs::TaskStopCode::ServiceSchedulerInitiated,
                &reason,
                self.now,
            );
            self.plan.changes.push(task.into());
        }
        self.tell(Event::Stopped(
            members
                .iter()
                .map(|member| member.task.id.clone())
                .collect(),
        ));
    }

    fn notice_stuck(&mut self, members: &[Member<'_>], count: &Count) {
        let replacing = members.iter().any(|member| member.leaves_serving());
        let waiting = count.stopping > 0 || count.keeping > count.keeping_serving;
        if replacing && count.missing() > 0 && count.room() == 0 && !waiting {
            self.plan.reasons.push(format!(
                "service {}: floor and ceiling leave no move",
                self.service.name
            ));
            self.tell_once(Event::Stuck);
        }
    }

    /// Older deployments without tasks are over.
    fn forget_deployments(&mut self, members: &[Member<'_>]) {
        let over = |deployment: &Deployment| {
            !deployment.primary
                && !members
                    .iter()
                    .any(|member| belongs(member.task, deployment))
        };
        let starting = self
            .plan
            .changes
            .iter()
            .any(|change| matches!(change, Change::Put(record) if is_task(record)));
        if !starting && self.service.deployments.iter().any(over) {
            self.service
                .to_mut()
                .deployments
                .retain(|deployment| !over(deployment));
        }
    }

    /// Whether everything is as wanted; if so, the deployment is complete and the service steady.
    fn settle(&mut self, members: &[Member<'_>], count: &Count) {
        let steady = count.keeping == count.desired
            && count.existing == count.desired
            && members
                .iter()
                .all(|member| member.standing == Standing::Running && self.is_sound(member));
        if !steady {
            return;
        }
        let now = self.now;
        let in_progress =
            |primary: &&Deployment| primary.rollout == ecs::DeploymentRolloutState::InProgress;
        if let Some(id) = self
            .service
            .primary()
            .filter(in_progress)
            .map(|primary| primary.id.clone())
        {
            if let Some(primary) = self.service.to_mut().primary_mut() {
                primary.rollout = ecs::DeploymentRolloutState::Completed;
                primary.rollout_reason = format!("ECS deployment {id} completed.");
                primary.updated_at = now;
            }
            self.tell(Event::Completed(id));
        }
        self.tell_once(Event::SteadyState);
    }

    fn is_sound(&self, member: &Member<'_>) -> bool {
        !has_health_check(self.state, member.task)
            || member.task.health == Some(ecs::HealthStatus::Healthy)
    }

    fn draining(&mut self) {
        let View { members, .. } = view(self.state, &self.service, self.now);
        if members.is_empty() {
            let service = self.service.to_mut();
            service.status = ServiceStatus::Inactive;
            service.inactive_at = Some(self.now);
            service.deployments.clear();
            return;
        }
        let alive = members
            .iter()
            .filter(|member| member.standing != Standing::Stopping)
            .take(PER_TURN);
        let alive: Vec<_> = alive.map(copy).collect();
        self.stop(&alive, None);
    }

    fn tell(&mut self, event: Event) {
        event.tell(self.service.to_mut(), self.now, self.mint);
    }

    fn tell_once(&mut self, event: Event) {
        if !event.is_repeated(&self.service, self.now) {
            self.tell(event);
        }
    }
}

fn is_task(record: &longshore_model::Record) -> bool {
    record.table() == longshore_model::TableName::Task
}

fn copy<'m>(member: &Member<'m>) -> Member<'m> {
    Member {
        task: member.task,
        standing: member.standing,
        primary: member.primary,
        serving: member.serving,
    }
}

/// How many tasks that serve, but are to go, may stop now.
fn serving_stops(count: &Count, idle_stopped: i64) -> i64 {
    let replaced = count.leaving_serving - (count.desired - count.keeping_serving).max(0);
    let blocked = count.missing() > 0 && count.room() == 0;
    let to_make_room = if blocked {
        count.missing() - count.stopping - idle_stopped
    } else {
        0
    };
    replaced
        .max(to_make_room)
        .clamp(0, count.bounds.may_stop(count.serving()))
}

/// Split off `count` members to stop: worst standing first, then from the zone with most tasks, from the node with most,
/// then the oldest.
fn choose_to_stop(
    mut members: Vec<Member<'_>>,
    count: usize,
) -> (Vec<Member<'_>>, Vec<Member<'_>>) {
    let mut peers = Peers::of(members.iter().map(|member| &**member.task));
    let mut going = Vec::with_capacity(count);
    while going.len() < count && !members.is_empty() {
        let tally = |counts: &BTreeMap<String, i32>, name: &Option<String>| {
            name.as_ref()
                .and_then(|name| counts.get(name))
                .copied()
                .unwrap_or(0)
        };
        let rank = |member: &Member<'_>| {
            let zone = tally(&peers.zones, &member.task.zone);
            let node = tally(&peers.nodes, &member.task.node);
            (member.standing, -zone, -node, member.task.created_at)
        };
        let first = (0..members.len())
            .min_by_key(|index| (rank(&members[*index]), &members[*index].task.id));
        let member = members.swap_remove(first.unwrap_or(0));
        peers.remove(&member.task.zone, &member.task.node);
        going.push(member);
    }
    (going, members)
}

fn placed_by_provider(deployment: &Deployment, members: &[Member<'_>]) -> Vec<i64> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for member in members
        .iter()
        .filter(|member| member.standing > Standing::Lost && belongs(member.task, deployment))
    {
        *counts
            .entry(member.task.capacity_provider.as_deref().unwrap_or_default())
            .or_default() += 1;
    }
    let items = deployment.capacity_provider_strategy.iter();
    items
        .map(|item| {
            counts
                .get(item.capacity_provider.as_deref().unwrap_or_default())
                .copied()
                .unwrap_or(0)
        })
        .collect()
}

/// What all tasks of a deployment have in common.
struct Template<'a> {
    account: String,
    cluster: String,
    service: String,
    group: String,
    deployment: String,
    definition: &'a longshore_model::definition::TaskDefinition,
    platform_version: String,
    network: ecs::AwsVpcConfiguration,
    enable_execute_command: bool,
    tags: Vec<ecs::Tag>,
}

impl<'a> Template<'a> {
    fn of(
        service: &Service,
        deployment: &Deployment,
        definition: &'a longshore_model::definition::TaskDefinition,
    ) -> Self {
        let network = deployment
            .network
            .as_ref()
            .and_then(|network| network.awsvpc_configuration.clone());
        Self {
            account: service.account.clone(),
            cluster: service.cluster.clone(),
            service: service.name.clone(),
            group: format!("service:{}", service.name),
            deployment: deployment.id.clone(),
            definition,
            platform_version: deployment
                .platform_version
                .clone()
                .unwrap_or_else(|| launch::PLATFORM_VERSION.into()),
            network: network.unwrap_or_default(),
            enable_execute_command: service.api.enable_execute_command == Some(true),
            tags: tags(service, definition),
        }
    }

    fn launch<'t>(&'t self, capacity_provider: Option<&'t str>) -> Launch<'t> {
        Launch {
            account: &self.account,
            cluster: &self.cluster,
            definition: self.definition,
            service: Some(&self.service),
            group: &self.group,
            started_by: Some(&self.deployment),
            overrides: None,
            capacity_provider,
            platform_version: &self.platform_version,
            network: &self.network,
            enable_execute_command: self.enable_execute_command,
            tags: &self.tags,
        }
    }
}

/// The tags of a service's task: propagated ones, and those that ECS manages.
fn tags(
    service: &Service,
    definition: &longshore_model::definition::TaskDefinition,
) -> Vec<ecs::Tag> {
    let mut tags = match service.api.propagate_tags {
        Some(ecs::PropagateTags::Service) => service.api.tags.clone().unwrap_or_default(),
        Some(ecs::PropagateTags::TaskDefinition) => definition.tags.clone(),
        _ => Vec::new(),
    };
    if service.api.enable_ecs_managed_tags == Some(true) {
        tags.extend(launch::managed_tags(&service.cluster, Some(&service.name)));
    }
    tags
}
