//! The tasks of a node: takes orders, keeps one actor a task, answers what is here.
//!
//! Which orders are acted on is decided by the [`Ledger`]; here is what is done about it. An order that this node does not
//! take (for what is no task of this region, or one that does not read) is acknowledged, and its task told of as stopped
//! with the reason: it would wait for ever.
//!
//! An actor that panics ends its task: what runs of it is ended, and it is told of as stopped. The others go on.
//!
//! A task is on record before its order is acknowledged. So an order that the control plane knows to be acknowledged, for
//! a task without a trace here, means that the task is over (`longshore down`, a lost disk): it is told of as stopped.

mod actor;
mod contained;
pub(crate) mod end;
mod eni;
mod health;
pub(crate) mod home;
pub(crate) mod link;
mod logs;
pub(crate) mod post;
pub(crate) mod real;
pub(crate) mod report;
pub(crate) mod runner;
pub(crate) mod simulated;
mod stage;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use longshore_link::acs::{self, PayloadMessage, TaskIdentifier, TaskManifestMessage};
use longshore_link::ledger::{Ledger, Verdict, Wish};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::actor::Actor;
pub(crate) use self::health::Health;
use self::post::Post;
use self::report::{Courier, Outbox, Report};
use self::runner::{Pulled, Runner};
use self::stage::Progress;
use crate::translate::Failure;

/// No ARN is longer.
const LONGEST_ARN: usize = 2048;

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

    /// Where a session that takes reports gets them.
    pub(crate) fn post(&self) -> &Post {
        self.courier.post()
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Goes on with a task that outlived the agent before.
    pub(crate) fn adopt(self: &Arc<Self>, found: Found<R>) {
        match found {
            Found::Begun { task, pulled, running } => {
                let actor = self.adopted(task);
                self.spawn(Arc::clone(&actor.task), actor.follow(running, pulled));
            }
            Found::Waiting(task) => {
                let actor = self.adopted(task);
                self.spawn(Arc::clone(&actor.task), actor.run());
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
                drop(tasks);
                self.refuse(&task.arn, why);
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
        let task = Arc::new(task);
        let actor = self.actor(Arc::clone(&task), wish);
        match verdict {
            Verdict::Lost => self.spawn(task, actor.mourn()),
            _ => self.spawn(task, actor.run()),
        }
    }

    /// Tells that a task will never start. A task that is here is no matter of an order that makes no sense.
    pub(crate) fn refuse(&self, arn: &str, why: &str) {
        let shown: String = arn.chars().take(256).collect();
        tracing::warn!(task = ?shown, why, "an order was refused");
        let here = self.tasks.lock().wishes.contains_key(arn);
        if here || arn.is_empty() || arn.len() > LONGEST_ARN {
            return;
        }
        let failure = Failure::resource(format!("the node does not take the order: {why}"));
        let (courier, report) = (Arc::clone(&self.courier), Report::refused(arn, &failure));
        self.actors.lock().spawn(async move { courier.deliver(report).await });
    }

    fn actor(&self, task: Arc<acs::Task>, desired: watch::Receiver<Wish>) -> Actor<R> {
        Actor {
            task,
            runner: Arc::clone(&self.runner),
            desired,
            outbox: Outbox::new(Arc::clone(&self.courier)),
            health: Arc::clone(&self.health),
            told: HashMap::new(),
            progress: Progress::new(Instant::now()),
            started: None,
        }
    }

    fn spawn(self: &Arc<Self>, task: Arc<acs::Task>, life: impl Future<Output = ()> + Send + 'static) {
        let entry = Entry { engine: Arc::clone(self), arn: task.arn.clone() };
        let mut actors = self.actors.lock();
        while let Some(ended) = actors.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "the end of a task was not seen through");
            }
        }
        actors.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(life).catch_unwind().await {
                entry.engine.bring_down(&task, words(&*panic)).await;
            }
        });
    }

    /// Ends a task whose actor has panicked, whatever there is of it.
    async fn bring_down(&self, task: &acs::Task, panic: &str) {
        tracing::error!(task = task.arn, panic, "the actor of a task panicked, and the task is ended");
        self.runner.abandon(task).await;
        let failure = Failure::broken();
        self.courier.deliver(Report::failed(task, Some(&failure), &Pulled::default())).await;
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

/// The entry of a task that has an actor, for as long as that lives.
struct Entry<R: Runner> {
    engine: Arc<Engine<R>>,
    arn: String,
}

impl<R: Runner> Drop for Entry<R> {
    fn drop(&mut self) {
        self.engine.tasks.lock().end(&self.arn);
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
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

#[cfg(test)]
mod tests;
