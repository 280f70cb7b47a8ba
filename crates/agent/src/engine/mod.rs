//! The tasks of a node: takes orders, keeps one actor a task, answers what is here.
//!
//! Which orders are acted on is decided by the [`Ledger`]; here is what is done about it. An order for another node, or
//! for what cannot be a task, is dropped and written to the log.
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

use std::collections::HashMap;
use std::sync::Arc;

use longshore_link::acs::{self, PayloadMessage, TaskIdentifier, TaskManifestMessage};
use longshore_link::ledger::{Ledger, Verdict, Wish};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::actor::Actor;
pub(crate) use self::health::Health;
use self::report::{Courier, Outbox};
use self::runner::{Pulled, Runner};

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
    tasks: Mutex<Tasks>,
    actors: Mutex<JoinSet<()>>,
}

struct Tasks {
    ledger: Ledger,
    /// What is wanted of each task here, for its actor.
    wishes: HashMap<String, watch::Sender<Wish>>,
}

impl<R: Runner> Engine<R> {
    pub(crate) fn new(runner: R, courier: Courier, region: &str) -> Arc<Self> {
        Arc::new(Self {
            runner: Arc::new(runner),
            courier: Arc::new(courier),
            health: Arc::default(),
            tasks: Mutex::new(Tasks { ledger: Ledger::new(region, R::REPEATABLE), wishes: HashMap::new() }),
            actors: Mutex::default(),
        })
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Goes on with a task that outlived the agent before.
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
        let mut tasks = self.tasks.lock();
        tasks.ledger.adopt(&task.arn);
        let wish = tasks.enter(&task.arn, Wish::Running);
        drop(tasks);
        self.actor(Arc::new(task), wish)
    }

    /// Applies the orders of a payload, each for itself.
    pub(crate) fn apply(self: &Arc<Self>, payload: PayloadMessage) -> Vec<Verdict> {
        let seq = payload.seq_num;
        payload.tasks.into_iter().map(|task| self.apply_one(task, seq)).collect()
    }

    fn apply_one(self: &Arc<Self>, task: acs::Task, seq: i64) -> Verdict {
        let mut tasks = self.tasks.lock();
        let verdict = tasks.ledger.order(&task, seq);
        let wish = match verdict {
            Verdict::Begin(wish) => tasks.enter(&task.arn, wish),
            Verdict::Lost => tasks.enter(&task.arn, Wish::Running),
            Verdict::Stop => {
                tasks.wish_stopped(&task.arn);
                return verdict;
            }
            Verdict::Stale => return verdict,
            Verdict::Refused(why) => {
                let arn: String = task.arn.chars().take(256).collect();
                tracing::warn!(task = ?arn, why, "an order was dropped");
                return verdict;
            }
        };
        drop(tasks);
        self.begin(task, wish, verdict);
        verdict
    }

    fn begin(self: &Arc<Self>, task: acs::Task, wish: watch::Receiver<Wish>, verdict: Verdict) {
        if verdict == Verdict::Begin(Wish::Running)
            && let Err(error) = self.runner.record(&task)
        {
            tracing::error!(task = task.arn, %error, "an order could not be written down");
        }
        let arn = task.arn.clone();
        let actor = self.actor(Arc::new(task), wish);
        match verdict {
            Verdict::Lost => self.spawn(arn, actor.mourn()),
            _ => self.spawn(arn, actor.run()),
        }
    }

    fn actor(&self, task: Arc<acs::Task>, desired: watch::Receiver<Wish>) -> Actor<R> {
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

    /// Tasks here that a manifest does not want running.
    pub(crate) fn candidates(&self, manifest: &TaskManifestMessage) -> Vec<TaskIdentifier> {
        self.tasks.lock().ledger.candidates(manifest)
    }

    /// Stops a task that the control plane has confirmed is not wanted.
    pub(crate) fn stop(&self, arn: &str) {
        let mut tasks = self.tasks.lock();
        if tasks.ledger.stop(arn) {
            tasks.wish_stopped(arn);
        }
    }

    /// Tasks that have not ended.
    pub(crate) fn count(&self) -> usize {
        self.tasks.lock().ledger.len()
    }

    /// Lets go of all tasks: what runs goes on without this agent.
    pub(crate) fn detach(&self) {
        self.actors.lock().abort_all();
    }
}

impl Tasks {
    fn enter(&mut self, arn: &str, wish: Wish) -> watch::Receiver<Wish> {
        let (sender, receiver) = watch::channel(wish);
        self.wishes.insert(arn.to_owned(), sender);
        receiver
    }

    fn wish_stopped(&self, arn: &str) {
        if let Some(wish) = self.wishes.get(arn) {
            wish.send_replace(Wish::Stopped);
        }
    }

    fn end(&mut self, arn: &str) {
        self.wishes.remove(arn);
        self.ledger.end(arn);
    }
}
