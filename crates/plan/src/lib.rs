//! What happens next: pure functions of the state, the time and a source of identifiers.
//!
//! A planner reads the [`State`](longshore_model::State) and answers with a [`Plan`]: changes to commit, the earliest time
//! at which it would answer otherwise ("not before T", the only timer there is), and why it did or did not act. It holds
//! nothing between turns, so the next turn is the retry, and planning again after the changes were applied adds nothing.
//!
//! * [`place`] chooses a node, a subnet and addresses; [`strategy`] chooses the capacity provider; [`launch`] makes a task.
//! * [`reconcile`] moves a service towards what is wanted; [`rollout`] is the arithmetic of its floor and ceiling.
//! * [`report`] applies what a node saw; [`throttle`] slows restarts that never succeed, [`pace`] those
//!   that succeed only for moments; [`event`] words what happened.
//! * [`breaker`] gives a deployment up whose tasks keep failing; [`pin`] keeps a deployment on one version of its images.
//! * [`orders`] is what sessions write: nodes that come and go, orders that arrive.
//! * [`heal`] ends tasks whose node is gone; [`reap`] forgets what ended long ago; [`expire`] what a policy ends;
//!   [`prune`] layers that no image needs. [`lifecycle`] lets images go by the policies of their repositories.
//! * [`replicate`] says which images are copied to other registries now, and what becomes of a copy that was tried.
//! * [`rotate`] has secrets rotated by tasks, by a [`schedule`].
//! * [`agenda`] remembers which services a loop must look at and when.
//! * [`balancer`] gives load balancers their addresses.
//! * [`behind`] registers tasks with target groups, has them drain before they stop, and judges them by their targets.
//! * [`steady`] is the time that planners are given: the wall clock without its jumps.
//! * [`check`] is for tests: the laws every state must obey.
//!
//! Left out so far: daemons, task sets, blue/green, scaling, placement on container instances.

pub mod agenda;
pub mod balancer;
pub mod behind;
pub mod breaker;
pub mod check;
pub mod event;
pub mod expire;
pub mod heal;
pub mod launch;
pub mod lifecycle;
pub mod orders;
pub mod pace;
pub mod pin;
pub mod place;
pub mod prune;
pub mod quota;
pub mod rate;
pub mod reap;
pub mod reconcile;
pub mod replicate;
pub mod report;
pub mod rollout;
pub mod rotate;
pub mod scan;
pub mod schedule;
pub mod steady;
pub mod strategy;
pub mod throttle;
mod view;

use longshore_model::Change;
use longshore_wire::Timestamp;

pub use longshore_model::MAX_CHANGES;

/// What a planner decided.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub changes: Vec<Change>,
    /// The planner would answer otherwise at this time, even if nothing else happens.
    pub not_before: Option<Timestamp>,
    /// Something could not be placed: worth another try as soon as a node or its capacity changes.
    pub starved: bool,
    /// Why, in sentences for the log.
    pub reasons: Vec<String>,
}

impl Plan {
    /// Ask for another turn at `at`, or earlier.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.not_before = Some(self.not_before.map_or(at, |known| known.min(at)));
    }
}

/// `at` plus `millis` milliseconds.
pub(crate) fn after(at: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(at.millis().saturating_add(millis))
}
