//! Availability Zone rebalancing: a steady service whose tasks are spread unevenly over its zones moves them one by one.
//!
//! ```text
//! steady, uneven by two or more, room below the ceiling -> one task more, in a zone with few
//! all of them serve -> one in the zone with most stops -> steady again
//! ```
//! The move is given up when a new deployment begins, when a task is lost on the way, or when the service is scaled out:
//! then the usual rules hold again. Nothing is moved where placement would not make it better.

use std::collections::BTreeMap;

use longshore_api::ecs::{AvailabilityZoneRebalancing, DeploymentRolloutState};
use longshore_model::service::Deployment;
use longshore_wire::Timestamp;

use super::Turn;
use super::count::Count;
use crate::event::Event;
use crate::view::Member;

/// Zones are even when none has so many tasks more than another.
const UNEVEN: i64 = 2;

impl Turn<'_> {
    /// Let the spare task go into the count again once all serve, or once there is nothing to move any more.
    pub(super) fn end_move(&mut self, members: &[Member<'_>]) {
        if !self.service.rebalancing {
            return;
        }
        let keeping = members.iter().filter(|member| member.keeps()).count() as i64;
        let serving = members.iter().filter(|member| member.keeps() && member.serving).count() as i64;
        let over = keeping <= i64::from(self.service.desired_count) || serving == keeping;
        if over || !self.moves_tasks() {
            self.service.to_mut().rebalancing = false;
        }
    }

    /// Start a task in an emptier zone, if the tasks of the steady service are spread unevenly.
    pub(super) fn begin_move(&mut self, members: &[Member<'_>], count: &Count, proven_at: Option<Timestamp>) {
        let Some(primary) = self.service.primary().filter(|_| self.moves_tasks()) else { return };
        let zones = self.zones(primary, members);
        let most = zones.values().copied().max().unwrap_or(0);
        if most - zones.values().copied().min().unwrap_or(0) < UNEVEN {
            return self.tell_balanced(zones);
        }
        if let Some(at) = proven_at {
            return self.plan.wake(at);
        }
        let primary = primary.clone();
        if count.room() == 0 || self.is_held_back(&primary) {
            return;
        }
        match self.draw(&primary, members) {
            Some(Ok(task)) if task.zone.as_ref().is_some_and(|zone| zones.get(zone).is_some_and(|n| n + 1 < most)) => {
                self.tell_once(Event::Unbalanced(zones.into_iter().collect()));
                self.record_started(&primary, vec![task]);
                self.service.to_mut().rebalancing = true;
            }
            // Worth another try when nodes change.
            _ => self.plan.starved = true,
        }
    }

    fn tell_balanced(&mut self, zones: BTreeMap<String, i64>) {
        let told = self.service.events.iter().filter_map(|event| event.message.as_deref());
        let last = told.into_iter().find(|message| message.contains(" AZ balanced "));
        if last.is_some_and(|message| message.contains(" is not AZ balanced ")) {
            self.tell(Event::Balanced(zones.into_iter().collect()));
        }
    }

    /// Whether tasks are to be moved at all now.
    fn moves_tasks(&self) -> bool {
        let wanted = self.service.api.availability_zone_rebalancing == Some(AvailabilityZoneRebalancing::Enabled);
        let complete = |primary: &Deployment| primary.rollout == DeploymentRolloutState::Completed;
        wanted && self.service.deployments.len() == 1 && self.service.primary().is_some_and(complete)
    }

    /// Tasks in each zone that the deployment has a subnet in.
    fn zones(&self, deployment: &Deployment, members: &[Member<'_>]) -> BTreeMap<String, i64> {
        let network = deployment.network.as_ref().and_then(|network| network.awsvpc_configuration.as_ref());
        let subnets = network.and_then(|network| network.subnets.as_deref()).unwrap_or_default();
        let keys = subnets.iter().map(|subnet| format!("{}/{subnet}", self.service.account));
        let found = keys.filter_map(|key| self.state.subnets.get(&key));
        let mut zones: BTreeMap<String, i64> = found.map(|subnet| (subnet.zone.clone(), 0)).collect();
        for zone in members.iter().filter_map(|member| member.task.zone.as_ref()) {
            *zones.entry(zone.clone()).or_default() += 1;
        }
        zones
    }
}
