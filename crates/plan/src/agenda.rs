//! Which services a loop must look at, and when.
//!
//! The agenda is told of every commit and hands out one service at a time; so a change of one service costs one turn of
//! that service, and nothing scans all of them. It holds nothing that cannot be found again: a new one looks at everything.

use std::collections::{BTreeMap, BTreeSet};

use longshore_model::{Change, Mint, Record, State, TableName};
use longshore_wire::Timestamp;

use crate::reconcile::Roles;
use crate::{Plan, reconcile};

/// The service whose task is the target with this key.
fn behind(state: &State, target: &str) -> Option<String> {
    state.tasks.get(state.index.balancing.task(target)?)?.service_key()
}

/// Services that have tasks behind load balancers: which of them a balancer's change is about is not worth an index.
fn balanced(state: &State) -> BTreeSet<String> {
    let tasks = state.index.balancing.tasks().filter_map(|(_, key)| state.tasks.get(key));
    tasks.filter_map(|task| task.service_key()).collect()
}

/// The services to look at.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    due: BTreeSet<String>,
    /// Service by the time it asked for.
    timers: BTreeMap<(Timestamp, String), ()>,
    timer_of: BTreeMap<String, Timestamp>,
    /// Services that wait for capacity, or for a role.
    starved: BTreeSet<String>,
    roles: Roles,
}

impl Agenda {
    /// Everything is due.
    pub fn new(state: &State) -> Self {
        let due = state.services.iter().map(|(key, _)| key.to_string()).collect();
        Self { due, ..Self::default() }
    }

    /// The same, where tasks are started with these roles.
    pub fn with_roles(self, roles: Roles) -> Self {
        Self { roles, ..self }
    }

    /// Take note of what was committed. `state` is the state after it.
    pub fn note(&mut self, state: &State, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Put(Record::Service(service)) => {
                    self.due.insert(service.key());
                }
                Change::Put(Record::Task(task)) => {
                    self.due.extend(task.service_key());
                    if task.is_stopped() {
                        self.feed();
                    }
                }
                Change::Put(Record::Node(node)) => {
                    let tasks = state.index.node(&node.id).into_iter().flat_map(|used| &used.tasks);
                    let tasks = tasks.filter_map(|key| state.tasks.get(key));
                    self.due.extend(tasks.filter_map(|task| task.service_key()));
                    self.feed();
                }
                Change::Put(Record::Target(target)) => self.due.extend(behind(state, &target.key())),
                Change::Delete(TableName::Target, key) => self.due.extend(behind(state, key)),
                Change::Put(Record::Listener(_) | Record::LoadBalancer(_))
                | Change::Delete(TableName::Listener | TableName::LoadBalancer, _) => self.due.extend(balanced(state)),
                Change::Put(Record::Role(_)) => self.feed(),
                _ => {}
            }
        }
    }

    /// Capacity may be there again.
    fn feed(&mut self) {
        self.due.append(&mut self.starved);
    }

    /// Plan the next due service, if any. Call again until `None`.
    pub fn next(&mut self, state: &State, now: Timestamp, mint: &mut Mint) -> Option<(String, Plan)> {
        self.ripen(now);
        let key = self.due.pop_first()?;
        let plan = reconcile::service_with(state, &key, self.roles, now, mint);
        if plan.starved {
            self.starved.insert(key.clone());
        }
        self.set_timer(&key, plan.not_before);
        Some((key, plan))
    }

    /// When a service is due though nothing happens. Now or earlier means at once.
    pub fn not_before(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.due.is_empty() {
            return Some(now);
        }
        self.timers.first_key_value().map(|((at, _), ())| *at)
    }

    fn ripen(&mut self, now: Timestamp) {
        while let Some(((at, _), ())) = self.timers.first_key_value() {
            if *at > now {
                return;
            }
            if let Some(((_, key), ())) = self.timers.pop_first() {
                self.timer_of.remove(&key);
                self.due.insert(key);
            }
        }
    }

    fn set_timer(&mut self, key: &str, at: Option<Timestamp>) {
        if let Some(old) = self.timer_of.remove(key) {
            self.timers.remove(&(old, key.to_owned()));
        }
        if let Some(at) = at {
            self.timer_of.insert(key.to_owned(), at);
            self.timers.insert((at, key.to_owned()), ());
        }
    }
}
