//! The tasks of a node: takes orders, keeps one actor a task, answers what is here.
//!
//! An order is a task with a sequence number. What was applied last is remembered for every task, also for a while
//! after it has ended, so that an order which comes again or late does nothing. What an order asks beyond that is
//! checked before anything is done: an order for another node, or for what cannot be a task, is dropped and written to
//! the log.
//!
//! A task is on record before its order is acknowledged. So an order that the control plane knows to be acknowledged, for
//! a task without a trace here, means that the task is over (`longshore down`, a lost disk): it is told of as stopped.

mod actor;
mod contained;
mod eni;
mod health;
pub(crate) mod home;
pub(crate) mod link;
pub(crate) mod real;
pub(crate) mod report;
pub(crate) mod runner;
pub(crate) mod simulated;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use longshore_link::acs::{self, PayloadMessage, TaskIdentifier, TaskManifestMessage};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::actor::{Actor, Desired};
pub(crate) use self::health::Health;
use self::report::{Courier, Outbox};
use self::runner::{Pulled, Runner};
use crate::translate::{cluster_arn, task_id};

/// Ended tasks whose last order is remembered.
const REMEMBERED: usize = 10_000;

/// A task found on the machine when the agent started.
pub(crate) enum Found<R: Runner> {
    /// It has been started, and may have ended since.
    Begun { task: acs::Task, pulled: Pulled, running: R::Running },
    /// Its order was acknowledged and nothing of it was ever started.
    Waiting(acs::Task),
}

/// The tasks of a node.
pub(crate) struct Engine<R: Runner> {
    runner: Arc<R>,
    courier: Arc<Courier>,
    health: Arc<Health>,
    region: String,
    tasks: Mutex<Tasks>,
    actors: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Tasks {
    here: HashMap<String, Known>,
    /// Number of the last order of tasks that have ended.
    ended: HashMap<String, i64>,
    /// The same, oldest first.
    order: VecDeque<String>,
}

struct Known {
    seq: i64,
    desired: watch::Sender<Desired>,
}

/// What became of one task of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken up: to be run, or to be told of as stopped.
    Started,
    Stopping,
    /// Known already, or older than what was applied.
    Stale,
    /// Not a task that this node could run.
    Refused,
}

impl<R: Runner> Engine<R> {
    pub(crate) fn new(runner: R, courier: Courier, region: &str) -> Arc<Self> {
        Arc::new(Self {
            runner: Arc::new(runner),
            courier: Arc::new(courier),
            health: Arc::default(),
            region: region.to_owned(),
            tasks: Mutex::default(),
            actors: Mutex::default(),
        })
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Goes on with a task that outlived the agent before. Numbers of orders rise from session to session, so those of
    /// sessions before this agent need not be known.
    pub(crate) fn adopt(self: &Arc<Self>, found: Found<R>) {
        match found {
            Found::Begun { task, pulled, running } => {
                let actor = self.adopted(task);
                self.spawn(actor.task.arn.clone(), actor.follow(running, pulled));
            }
            Found::Waiting(task) => {
                let actor = self.adopted(task);
                self.spawn(actor.task.arn.clone(), actor.run());
            }
        }
    }

    fn adopted(&self, task: acs::Task) -> Actor<R> {
        let desired = self.tasks.lock().enter(&task.arn, i64::MIN, Desired::Running);
        self.actor(Arc::new(task), desired)
    }

    /// Applies the orders of a payload, each for itself.
    pub(crate) fn apply(self: &Arc<Self>, payload: PayloadMessage) -> Vec<Outcome> {
        let seq = payload.seq_num;
        payload.tasks.into_iter().map(|task| self.apply_one(task, seq)).collect()
    }

    fn apply_one(self: &Arc<Self>, task: acs::Task, seq: i64) -> Outcome {
        let desired = match task.desired_status.as_str() {
            "RUNNING" => Desired::Running,
            "STOPPED" => Desired::Stopped,
            _ => return refuse(&task.arn, "it wants neither RUNNING nor STOPPED"),
        };
        if !is_task_arn(&task.arn, &self.region) {
            return refuse(&task.arn, "it does not name a task of this region");
        }
        let step = self.tasks.lock().order(&task.arn, seq, desired);
        match step {
            Step::Done(outcome) => outcome,
            Step::Begin(wish) => {
                self.begin(task, wish);
                Outcome::Started
            }
        }
    }

    fn begin(self: &Arc<Self>, task: acs::Task, wish: watch::Receiver<Desired>) {
        let wanted = *wish.borrow() == Desired::Running;
        let lost = wanted && task.known && !R::REPEATABLE;
        if wanted
            && !lost
            && let Err(error) = self.runner.record(&task)
        {
            tracing::error!(task = task.arn, %error, "an order could not be written down");
        }
        let arn = task.arn.clone();
        let actor = self.actor(Arc::new(task), wish);
        match lost {
            true => self.spawn(arn, actor.mourn()),
            false => self.spawn(arn, actor.run()),
        }
    }

    fn actor(&self, task: Arc<acs::Task>, desired: watch::Receiver<Desired>) -> Actor<R> {
        Actor {
            task,
            runner: Arc::clone(&self.runner),
            desired,
            outbox: Outbox::new(Arc::clone(&self.courier)),
            health: Arc::clone(&self.health),
            told: HashMap::new(),
            said_running: false,
        }
    }

    fn spawn(self: &Arc<Self>, arn: String, life: impl Future<Output = ()> + Send + 'static) {
        let engine = Arc::clone(self);
        let mut actors = self.actors.lock();
        while actors.try_join_next().is_some() {}
        actors.spawn(async move {
            life.await;
            engine.tasks.lock().end(&arn);
        });
    }

    /// Tasks here that a manifest does not want running: missing in it, or wanted stopped.
    pub(crate) fn candidates(&self, manifest: &TaskManifestMessage) -> Vec<TaskIdentifier> {
        let wanted = |task: &&TaskIdentifier| task.desired_status == "RUNNING";
        let wanted: std::collections::HashSet<&str> =
            manifest.tasks.iter().filter(wanted).map(|task| task.task_arn.as_str()).collect();
        let tasks = self.tasks.lock();
        let running = tasks.here.iter().filter(|(_, known)| *known.desired.borrow() == Desired::Running);
        running
            .filter(|(arn, _)| !wanted.contains(arn.as_str()))
            .map(|(arn, _)| TaskIdentifier {
                task_arn: arn.clone(),
                task_cluster_arn: cluster_arn(arn),
                desired_status: "STOPPED".to_owned(),
            })
            .collect()
    }

    /// Stops a task that the control plane has confirmed is not wanted.
    pub(crate) fn stop(&self, arn: &str) {
        if let Some(known) = self.tasks.lock().here.get(arn) {
            known.desired.send_replace(Desired::Stopped);
        }
    }

    /// Tasks that have not ended.
    pub(crate) fn count(&self) -> usize {
        self.tasks.lock().here.len()
    }

    /// Lets go of all tasks: what runs goes on without this agent.
    pub(crate) fn detach(&self) {
        self.actors.lock().abort_all();
    }
}

enum Step {
    Begin(watch::Receiver<Desired>),
    Done(Outcome),
}

impl Tasks {
    fn enter(&mut self, arn: &str, seq: i64, desired: Desired) -> watch::Receiver<Desired> {
        let (sender, receiver) = watch::channel(desired);
        self.here.insert(arn.to_owned(), Known { seq, desired: sender });
        receiver
    }

    fn order(&mut self, arn: &str, seq: i64, desired: Desired) -> Step {
        if let Some(known) = self.here.get_mut(arn) {
            return Step::Done(known.order(seq, desired));
        }
        match self.ended.get(arn) {
            None => Step::Begin(self.enter(arn, seq, desired)),
            Some(last) if *last >= seq => Step::Done(Outcome::Stale),
            // The control plane has not heard that it ended: it is told once more.
            Some(_) => Step::Begin(self.enter(arn, seq, Desired::Stopped)),
        }
    }

    fn end(&mut self, arn: &str) {
        let Some(known) = self.here.remove(arn) else { return };
        if self.ended.insert(arn.to_owned(), known.seq).is_none() {
            self.order.push_back(arn.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }
}

impl Known {
    /// A task that was to stop never runs again.
    fn order(&mut self, seq: i64, desired: Desired) -> Outcome {
        if seq <= self.seq {
            return Outcome::Stale;
        }
        self.seq = seq;
        if desired == Desired::Running || *self.desired.borrow() == Desired::Stopped {
            return Outcome::Stale;
        }
        self.desired.send_replace(Desired::Stopped);
        Outcome::Stopping
    }
}

fn refuse(arn: &str, why: &str) -> Outcome {
    let arn: String = arn.chars().take(256).collect();
    tracing::warn!(task = ?arn, why, "an order was dropped");
    Outcome::Refused
}

/// `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`, with parts that may name directories and processes.
fn is_task_arn(arn: &str, region: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [head, _, "ecs", of, account, resource] = parts[..] else { return false };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let mut path = resource.split('/');
    let (kind, cluster, id) = (path.next(), path.next(), path.next());
    head == "arn"
        && of == region
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && (kind, path.next()) == (Some("task"), None)
        && cluster.is_some_and(|cluster| !cluster.is_empty() && cluster.len() <= 255 && plain(cluster))
        && id == Some(task_id(arn))
        && id.is_some_and(|id| (16..=64).contains(&id.len()) && plain(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn only_arns_of_tasks_of_this_region_are_tasks() {
        let arn = format!("arn:aws:ecs:us-east-1:123456789012:task/production/{ID}");
        assert!(is_task_arn(&arn, "us-east-1"));
        assert!(!is_task_arn(&arn, "eu-west-1"));
        for bad in [
            "",
            "arn:aws:ecs:us-east-1:123456789012:task/production",
            "arn:aws:ecs:us-east-1:123456789012:task/production/../../etc/passwd0123",
            "arn:aws:ecs:us-east-1:123456789012:task/production/..%2f..%2fetc%2fpasswd",
            "arn:aws:ecs:us-east-1:123456789012:task/../0123456789abcdef0123456789abcdef",
            "arn:aws:ecs:us-east-1:123456789012:task/production/short",
            "arn:aws:ecs:us-east-1:12345678901:task/production/0123456789abcdef0123456789abcdef",
            "arn:aws:ecs:us-east-1:123456789012:service/production/0123456789abcdef0123456789abcdef",
            "arn:aws:ecs:us-east-1:123456789012:task/a/b/0123456789abcdef0123456789abcdef",
            "arn:aws:iam:us-east-1:123456789012:task/production/0123456789abcdef0123456789abcdef",
        ] {
            assert!(!is_task_arn(bad, "us-east-1"), "{bad}");
        }
    }

    /// Applies orders (sequence number, wish) to one task and tells what became of each.
    fn orders(tasks: &mut Tasks, orders: &[(i64, Desired)]) -> Vec<Outcome> {
        let apply = |(seq, desired): &(i64, Desired)| match tasks.order("t", *seq, *desired) {
            Step::Done(outcome) => outcome,
            Step::Begin(_) => Outcome::Started,
        };
        orders.iter().map(apply).collect()
    }

    #[test]
    fn an_order_acts_once_and_an_older_one_never() {
        use Desired::{Running, Stopped};
        use Outcome::{Stale, Started, Stopping};
        let mut tasks = Tasks::default();
        assert_eq!(
            orders(&mut tasks, &[(5, Running), (5, Running), (4, Stopped), (5, Stopped)]),
            [Started, Stale, Stale, Stale]
        );
        assert_eq!(
            orders(&mut tasks, &[(6, Running), (7, Stopped), (8, Stopped), (9, Running)]),
            [Stale, Stopping, Stale, Stale]
        );
    }

    #[test]
    fn an_ended_task_does_not_start_again() {
        use Desired::{Running, Stopped};
        let mut tasks = Tasks::default();
        orders(&mut tasks, &[(5, Running)]);
        tasks.end("t");
        assert_eq!(orders(&mut tasks, &[(5, Running), (4, Stopped), (5, Stopped)]), [Outcome::Stale; 3]);
        for seq in [6, 7] {
            let Step::Begin(wish) = tasks.order("t", seq, Running) else { panic!("a newer order is answered") };
            assert_eq!(*wish.borrow(), Stopped, "the answer is that it has stopped");
            tasks.end("t");
        }
    }

    #[test]
    fn the_memory_of_ended_tasks_is_bounded() {
        let mut tasks = Tasks::default();
        for number in 0..REMEMBERED + 10 {
            tasks.enter(&number.to_string(), 1, Desired::Running);
            tasks.end(&number.to_string());
        }
        assert_eq!((tasks.ended.len(), tasks.order.len(), tasks.here.len()), (REMEMBERED, REMEMBERED, 0));
        assert!(!tasks.ended.contains_key("0"));
    }
}
