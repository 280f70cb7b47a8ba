//! Starting what is missing, within the ceiling and the throttle.

use std::collections::BTreeMap;

use longshore_api::ecs;
use longshore_model::definition::TaskDefinition;
use longshore_model::service::Deployment;
use longshore_model::task::Task;
use longshore_model::task_role::{is_lent, unable};
use longshore_model::{AccountId, Arn, Change, Place};

use super::count::Count;
use super::template::Template;
use super::{PER_TURN, Roles, Turn};
use crate::behind;
use crate::event::Event;
use crate::place::{Draft, Peers, Refusal};
use crate::view::{Member, Standing, belongs};
use crate::{breaker, launch, strategy, throttle};

impl<'a> Turn<'a> {
    /// Start what is missing, within the ceiling: first what the floor needs of older deployments, then the primary's.
    pub(super) fn start_missing(&mut self, members: &[Member<'_>], mut count: Count) -> (Count, usize) {
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
            let made = self.start(&primary, wanted.min(PER_TURN - started), members, &mut draft);
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
                && members.iter().filter(old).any(|member| belongs(member.task, deployment))
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
        let key = self.service.definition_key(deployment);
        let Some(definition) = self.state.definitions.get(&key) else {
            self.plan.reasons.push(format!("task definition {key} of service {} is gone", self.service.name));
            return 0;
        };
        if let Some(arn) = self.unlent(definition) {
            self.do_without(arn);
            return 0;
        }
        let staying = members.iter().filter(|member| member.standing > Standing::Lost).map(|member| &**member.task);
        let mut peers = Peers::of(staying);
        let mut placed = placed_by_provider(deployment, members);
        let template = Template::of(&self.service, deployment, definition);
        let (mut made, mut refused) = (Vec::new(), None);
        for _ in 0..wanted {
            let provider = strategy::next(&deployment.capacity_provider_strategy, &placed);
            let launch = template.launch(named(deployment, provider));
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

    /// One task of a deployment, placed and not yet recorded.
    pub(super) fn draw(&mut self, deployment: &Deployment, members: &[Member<'_>]) -> Option<Result<Task, Refusal>> {
        let definition = self.state.definitions.get(&self.service.definition_key(deployment))?;
        if self.unlent(definition).is_some() {
            return None;
        }
        let mut peers = Peers::of(members.iter().map(|member| &**member.task));
        let template = Template::of(&self.service, deployment, definition);
        let placed = placed_by_provider(deployment, members);
        let provider = strategy::next(&deployment.capacity_provider_strategy, &placed);
        let launch = template.launch(named(deployment, provider));
        Some(launch::task(&launch, &mut Draft::new(self.state), &mut peers, self.now, self.mint))
    }

    pub(super) fn is_held_back(&mut self, deployment: &Deployment) -> bool {
        let until = deployment.throttle.until().filter(|until| *until > self.now);
        if let Some(until) = until {
            self.plan.wake(until);
            self.plan.reasons.push(format!(
                "service {} starts no task before {} ms: {} failures and {} quick exits in a row",
                self.service.name,
                until.millis(),
                deployment.throttle.failures,
                deployment.throttle.quick_exits
            ));
        }
        until.is_some()
    }

    /// A role of the definition that tasks cannot have, where that matters.
    fn unlent(&self, definition: &TaskDefinition) -> Option<String> {
        let api = &definition.api;
        let mut roles = [&api.task_role_arn, &api.execution_role_arn].into_iter().flatten().peekable();
        if self.roles == Roles::Any || roles.peek().is_none() {
            return None;
        }
        let region = self.service.api.service_arn.as_deref().and_then(Arn::parse).map_or("", |arn| arn.region);
        let place = Place::new(region, &AccountId::parse(&self.service.account)?);
        let lent = |arn: &str| self.state.role(arn).is_some_and(|role| is_lent(role, &place));
        roles.find(|arn| !lent(arn)).cloned()
    }

    /// No task is started until a role changes.
    fn do_without(&mut self, arn: String) {
        self.plan.starved = true;
        self.plan.reasons.push(format!("service {}: {}", self.service.name, unable(&arn)));
        self.tell_once(Event::Unlent(arn));
    }

    fn starve(&mut self, refusal: &Refusal) {
        let reason = format!("{} ({})", refusal.reason(), refusal.detail());
        self.plan.starved = true;
        self.plan.reasons.push(format!("service {}: {reason}", self.service.name));
        self.tell_once(Event::Unplaced(reason));
    }

    pub(super) fn record_started(&mut self, deployment: &Deployment, mut made: Vec<Task>) -> usize {
        if made.is_empty() {
            return 0;
        }
        made.iter_mut().for_each(|task| task.balanced = behind::balanced(deployment));
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
        let same = |known: &&Deployment| known.id == deployment;
        let known = self.service.deployments.iter().find(same);
        let none_runs = known.is_some_and(|known| breaker::none_runs(self.state, &self.service, known));
        if let Some(deployment) = self.service.to_mut().deployment_mut(deployment) {
            breaker::count(deployment, if none_runs { stillborn as i32 } else { 0 });
            throttle::hopeless(&mut deployment.throttle, now, self.mint);
            if let Some(at) = deployment.throttle.not_before {
                self.plan.wake(at);
            }
        }
        self.tell_once(Event::Struggling);
    }
}

/// The name of the provider at this place of the deployment's strategy.
fn named(deployment: &Deployment, provider: Option<usize>) -> Option<&str> {
    provider.and_then(|index| deployment.capacity_provider_strategy[index].capacity_provider.as_deref())
}

fn placed_by_provider(deployment: &Deployment, members: &[Member<'_>]) -> Vec<i64> {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for member in members.iter().filter(|member| member.standing > Standing::Lost && belongs(member.task, deployment)) {
        *counts.entry(member.task.capacity_provider.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let items = deployment.capacity_provider_strategy.iter();
    items.map(|item| counts.get(item.capacity_provider.as_deref().unwrap_or_default()).copied().unwrap_or(0)).collect()
}
