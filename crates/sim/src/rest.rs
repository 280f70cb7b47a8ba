//! Trouble, and the end of it: faults while they last, then the system must come to rest and stay there.

use std::collections::BTreeSet;

use longshore_model::State;
use longshore_model::service::{Service, ServiceStatus};
use longshore_model::task::TaskStatus;
use longshore_plan::agenda::Agenda;

use crate::operator::{ACTIVE, DRAINING};
use crate::world::{Event, World};

/// As many tasks as wanted run so long after the last fault and the last call, or after a throttle's end.
const CONVERGES_WITHIN: i64 = 60_000;

/// And so long after that every roll-out is over.
const RESTS_WITHIN: i64 = 45 * 60_000;

/// Rest is looked at again after so long.
const STAYS_FOR: i64 = 90_000;

/// Each of six services may move a task from zone to zone once or twice before it stays.
const MOST_STIRS: u32 = 12;

/// How far the way to rest is.
#[derive(Debug, Default)]
pub struct Rest {
    /// The next trouble is a crash of the control plane.
    crash_next: bool,
    /// Since when nobody asks for anything.
    quiet: Option<i64>,
    /// Services of which as many tasks ran as were wanted, since then.
    converged: BTreeSet<String>,
    /// Since when all is at rest.
    rests: Option<i64>,
    /// How often that was not the end.
    stirs: u32,
    over: bool,
}

impl Rest {
    pub fn crash_next(&mut self) {
        self.crash_next = true;
    }

    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl World<'_> {
    pub fn make_trouble(&mut self) {
        if !self.trouble {
            return;
        }
        if std::mem::take(&mut self.rest.crash_next) {
            return self.crash_plane("at a bad moment");
        }
        let machine = self.dice.index(self.machines.len());
        match self.dice.between(0, 99) {
            0..=17 => self.crash_plane("a fault"),
            18..=20 => {
                self.trace.note(self.now, format_args!("the disk is full"));
                self.disk.fill();
                let full = self.dice.between(500, 8_000);
                self.after(full, Event::Space);
            }
            21..=24 => {
                let kept = self.dice.chance(500);
                self.trace.note(self.now, format_args!("the next sync fails, kept {kept}"));
                self.disk.fail_next_sync(kept);
            }
            25..=59 => {
                let open: Vec<u64> = self.machines.iter().filter_map(|it| it.agent.as_ref()?.connection).collect();
                if let Some(id) = self.dice.pick(&open).copied() {
                    self.cut(id);
                }
            }
            60..=69 => {
                let status = if self.dice.chance(400) { DRAINING } else { ACTIVE };
                self.wish(machine, status);
            }
            70..=84 => {
                self.crash_agent(machine);
                let away = self.dice.between(100, 20_000);
                self.after(away, Event::AgentStart { machine });
            }
            85..=88 => {
                let days = self.dice.between(-1, 1);
                self.set_wall_clock(days);
            }
            _ => {
                self.cut_power(machine);
                let away = self.dice.between(1_000, 90_000);
                self.after(away, Event::AgentStart { machine });
            }
        }
        let pause = self.dice.between(300, 12_000);
        self.after(pause, Event::Trouble);
    }

    /// Faults end: whatever is away comes back, clients wind up.
    pub fn calm_down(&mut self) {
        self.trace.note(self.now, format_args!("calm"));
        self.trouble = false;
        self.disk.heal();
        self.notice_cuts();
        self.after(0, Event::PlaneStart);
        for machine in 0..self.machines.len() {
            self.after(1_000, Event::AgentStart { machine });
        }
        for machine in 0..self.machines.len() {
            self.wish(machine, ACTIVE);
        }
        for client in &mut self.clients {
            client.closing = true;
        }
        self.after(1_000, Event::Look);
    }

    /// Look whether all is at rest by now.
    pub fn look_for_rest(&mut self) {
        self.after(1_000, Event::Look);
        if self.rest.quiet.is_none() {
            let clients_done = self.clients.iter().all(crate::client::Client::is_done);
            let duties_done = self.machines.iter().all(|machine| machine.duty.is_done());
            if clients_done && duties_done && self.all_in_session() && self.plane.is_some() {
                self.rest.quiet = Some(self.now);
                self.trace.note(self.now, format_args!("quiet"));
            }
            return;
        }
        let Some(plane) = self.plane.take() else { return };
        self.look_at(&plane.store.read());
        self.plane = Some(plane);
    }

    fn look_at(&mut self, state: &State) {
        let quiet = self.rest.quiet.unwrap_or(self.now);
        let genesis = self.site().now.millis() - self.now;
        for (key, service) in state.services.iter().filter(|(_, service)| service.is_active()) {
            let running = running(state, key);
            let deadline =
                throttled_until(service).map_or(quiet, |until| quiet.max(until - genesis)) + CONVERGES_WITHIN;
            if running >= i64::from(service.desired_count) {
                self.rest.converged.insert(key.to_string());
            } else if self.now > deadline && !self.rest.converged.contains(&**key) {
                let desired = service.desired_count;
                self.laws.break_with(format!("service {key} wants {desired} tasks and has {running} long after"));
            }
        }
        match (self.unrest(state), self.rest.rests) {
            (Some(why), None) if self.now > quiet + RESTS_WITHIN => {
                self.laws.break_with(format!("the system does not come to rest: {why}"));
            }
            (Some(_), None) => {}
            (Some(why), Some(_)) => self.stir(&why),
            (None, None) => self.rest.rests = Some(self.now),
            (None, Some(since)) if self.now > since + STAYS_FOR => self.finish(state),
            (None, Some(_)) => {}
        }
    }

    /// Something moves again: zones are made even once a service is steady, but not for ever.
    fn stir(&mut self, why: &str) {
        self.trace.note(self.now, format_args!("stirs: {why}"));
        self.rest.rests = None;
        self.rest.stirs += 1;
        if self.rest.stirs > MOST_STIRS {
            self.laws.break_with(format!("the system does not stay at rest: {why}"));
        }
    }

    /// Why the system is not at rest, if so.
    fn unrest(&self, state: &State) -> Option<String> {
        for (key, service) in state.services.iter() {
            let live = state.index.service_tasks(key).count() as i64;
            let settled = match service.status {
                ServiceStatus::Active => {
                    let wanted = i64::from(service.desired_count);
                    service.deployments.len() == 1 && live == wanted && running(state, key) == wanted
                }
                ServiceStatus::Draining => false,
                ServiceStatus::Inactive => live == 0,
            };
            if !settled {
                let (wants, runs, deployments) =
                    (service.desired_count, running(state, key), service.deployments.len());
                return Some(format!(
                    "service {key} is {:?}, wants {wants} tasks, has {live} of which {runs} run, of {deployments} deployments",
                    service.status
                ));
            }
        }
        let mut live = BTreeSet::new();
        for (key, task) in state.tasks.iter().filter(|(_, task)| !task.is_stopped()) {
            if task.desired == TaskStatus::Stopped || task.last != TaskStatus::Running {
                return Some(format!("task {key} is {} and wants {}", task.last, task.desired));
            }
            live.insert(key.to_string());
        }
        let containers = self.machines.iter().flat_map(|machine| machine.containers.keys());
        let containers: BTreeSet<String> = containers.map(|arn| crate::law::task_key(arn)).collect();
        if containers != live {
            return Some(format!("{containers:?} run, {live:?} are wanted"));
        }
        let busy = |machine: &crate::machine::Machine| machine.disk.len() != machine.containers.len();
        self.machines.iter().any(busy).then(|| "a machine has not let go of what ended".to_owned())
    }

    /// At rest nothing is planned, and what was told adds up.
    fn finish(&mut self, state: &State) {
        let mut agenda = Agenda::new(state);
        let site = self.site();
        let mut mint = longshore_model::Mint::new(1);
        while let Some((key, plan)) = agenda.next(state, site.now, &mut mint) {
            if !plan.changes.is_empty() {
                self.laws.break_with(format!("at rest {} changes are planned for service {key}", plan.changes.len()));
            }
        }
        self.laws.finished(state);
        state.records().for_each(|record| self.trace.digest(&record.to_bytes()));
        self.rest.over = true;
    }
}

fn running(state: &State, service: &str) -> i64 {
    let tasks = state.index.service_tasks(service).filter_map(|key| state.tasks.get(key));
    tasks.filter(|task| task.last == TaskStatus::Running && task.desired == TaskStatus::Running).count() as i64
}

fn throttled_until(service: &Service) -> Option<i64> {
    service.primary()?.throttle.until().map(|until| until.millis())
}
