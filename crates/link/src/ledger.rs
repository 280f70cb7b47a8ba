//! Which orders a node acts on: the decisions of an agent, without its effects.
//!
//! An order is a task with a sequence number. The number applied last is remembered for every task, also for a while after
//! it has ended, so that an order which comes again or late does nothing. A task that was to stop never runs again.
//!
//! ```text
//!   order ──► Begin(Running) ──► … ──► ended: a newer order is answered with Begin(Stopped), told of as stopped once more
//!         ──► Stop           what runs is to stop
//!         ──► Lost           acknowledged before, and nothing of it is here: over
//!         ──► Stale          known already, or older than what was applied
//!         ──► Refused        not a task of this node
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::acs::{self, TaskIdentifier, TaskManifestMessage};

/// Ended tasks whose last order is remembered.
const REMEMBERED: usize = 10_000;

/// What is wanted of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Running,
    Stopped,
}

/// What a node does about one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take the task up: run it, or tell of it as stopped.
    Begin(Wish),
    /// Tell of the task as stopped: it was acknowledged before, and there is no trace of it.
    Lost,
    /// Stop what runs.
    Stop,
    /// Known already, or older than what was applied.
    Stale,
    /// Not a task that this node could run, and why.
    Refused(&'static str),
}

/// The tasks of a node and the number of the last order of each.
#[derive(Clone, Debug)]
pub struct Ledger {
    region: String,
    /// Whether a task that was acknowledged and of which there is no trace may begin again: only where nothing runs.
    repeatable: bool,
    here: BTreeMap<String, Entry>,
    /// Number of the last order of tasks that have ended.
    ended: BTreeMap<String, i64>,
    /// The same, oldest first.
    oldest: VecDeque<String>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: i64,
    wish: Wish,
}

impl Ledger {
    pub fn new(region: &str, repeatable: bool) -> Self {
        Self {
            region: region.to_owned(),
            repeatable,
            here: BTreeMap::new(),
            ended: BTreeMap::new(),
            oldest: VecDeque::new(),
        }
    }

    /// Take note of a task found on the machine. Numbers of orders rise from session to session, so those of sessions
    /// before this agent need not be known.
    pub fn adopt(&mut self, arn: &str) {
        self.here.insert(arn.to_owned(), Entry { seq: i64::MIN, wish: Wish::Running });
    }

    /// Decide about the order for one task, and remember it.
    pub fn order(&mut self, task: &acs::Task, seq: i64) -> Verdict {
        let wish = match task.desired_status.as_str() {
            "RUNNING" => Wish::Running,
            "STOPPED" => Wish::Stopped,
            _ => return Verdict::Refused("it wants neither RUNNING nor STOPPED"),
        };
        if !is_task_arn(&task.arn, &self.region) {
            return Verdict::Refused("it does not name a task of this region");
        }
        match self.decide(&task.arn, seq, wish) {
            Verdict::Begin(Wish::Running) if task.known && !self.repeatable => Verdict::Lost,
            verdict => verdict,
        }
    }

    fn decide(&mut self, arn: &str, seq: i64, wish: Wish) -> Verdict {
        if let Some(entry) = self.here.get_mut(arn) {
            return entry.order(seq, wish);
        }
        let ended = self.ended.get(arn);
        #[cfg(feature = "planted")]
        let ended = ended.filter(|_| !longshore_model::planted::is(longshore_model::planted::Bug::StaleOrderApplied));
        let wish = match ended {
            None => wish,
            Some(last) if *last >= seq => return Verdict::Stale,
            // The control plane has not heard that it ended: it is told once more.
            Some(_) => Wish::Stopped,
        };
        self.here.insert(arn.to_owned(), Entry { seq, wish });
        Verdict::Begin(wish)
    }

    /// Stop a task that the control plane has confirmed is not wanted. Returns whether it is here.
    pub fn stop(&mut self, arn: &str) -> bool {
        let Some(entry) = self.here.get_mut(arn) else { return false };
        entry.wish = Wish::Stopped;
        true
    }

    /// A task has ended and its last report has arrived.
    pub fn end(&mut self, arn: &str) {
        let Some(entry) = self.here.remove(arn) else { return };
        if self.ended.insert(arn.to_owned(), entry.seq).is_none() {
            self.oldest.push_back(arn.to_owned());
        }
        if self.oldest.len() > REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    /// Tasks here that a manifest does not want running: missing in it, or wanted stopped.
    pub fn candidates(&self, manifest: &TaskManifestMessage) -> Vec<TaskIdentifier> {
        let wanted = |task: &&TaskIdentifier| task.desired_status == "RUNNING";
        let wanted: BTreeSet<&str> = manifest.tasks.iter().filter(wanted).map(|task| task.task_arn.as_str()).collect();
        let running = self.here.iter().filter(|(_, entry)| entry.wish == Wish::Running);
        let unwanted = running.filter(|(arn, _)| !wanted.contains(arn.as_str()));
        let identifier = |arn: &String| TaskIdentifier {
            task_arn: arn.clone(),
            task_cluster_arn: cluster_arn(arn),
            desired_status: "STOPPED".to_owned(),
        };
        unwanted.map(|(arn, _)| identifier(arn)).collect()
    }

    /// Tasks that have not ended.
    pub fn len(&self) -> usize {
        self.here.len()
    }

    pub fn is_empty(&self) -> bool {
        self.here.is_empty()
    }
}

impl Entry {
    fn order(&mut self, seq: i64, wish: Wish) -> Verdict {
        if seq <= self.seq {
            return Verdict::Stale;
        }
        self.seq = seq;
        if wish == Wish::Running || self.wish == Wish::Stopped {
            return Verdict::Stale;
        }
        self.wish = Wish::Stopped;
        Verdict::Stop
    }
}

/// The last manifest that was taken: an older one is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Timeline(i64);

impl Default for Timeline {
    fn default() -> Self {
        Self(i64::MIN)
    }
}

impl Timeline {
    /// Whether a manifest is newer than every one before; it is remembered then.
    pub fn takes(&mut self, manifest: &TaskManifestMessage) -> bool {
        let newer = manifest.timeline > self.0;
        self.0 = self.0.max(manifest.timeline);
        newer
    }
}

/// ARN of the cluster that a task belongs to.
pub fn cluster_arn(task_arn: &str) -> String {
    let Some((head, rest)) = task_arn.split_once(":task/") else { return String::new() };
    let cluster = rest.split('/').next().unwrap_or_default();
    format!("{head}:cluster/{cluster}")
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

    fn task(status: &str) -> acs::Task {
        acs::Task {
            arn: format!("arn:aws:ecs:us-east-1:123456789012:task/production/{ID}"),
            desired_status: status.to_owned(),
            ..acs::Task::default()
        }
    }

    /// Gives orders (sequence number, wish) for one task and tells what became of each.
    fn orders(ledger: &mut Ledger, orders: &[(i64, &str)]) -> Vec<Verdict> {
        orders.iter().map(|(seq, status)| ledger.order(&task(status), *seq)).collect()
    }

    #[test]
    fn an_order_acts_once_and_an_older_one_never() {
        use Verdict::{Begin, Stale, Stop};
        let mut ledger = Ledger::new("us-east-1", false);
        assert_eq!(
            orders(&mut ledger, &[(5, "RUNNING"), (5, "RUNNING"), (4, "STOPPED"), (5, "STOPPED")]),
            [Begin(Wish::Running), Stale, Stale, Stale]
        );
        assert_eq!(
            orders(&mut ledger, &[(6, "RUNNING"), (7, "STOPPED"), (8, "STOPPED"), (9, "RUNNING")]),
            [Stale, Stop, Stale, Stale]
        );
    }

    #[test]
    fn an_ended_task_does_not_start_again() {
        let mut ledger = Ledger::new("us-east-1", false);
        orders(&mut ledger, &[(5, "RUNNING")]);
        ledger.end(&task("").arn);
        assert_eq!(orders(&mut ledger, &[(5, "RUNNING"), (4, "STOPPED"), (5, "STOPPED")]), [Verdict::Stale; 3]);
        for seq in [6, 7] {
            let verdict = ledger.order(&task("RUNNING"), seq);
            assert_eq!(verdict, Verdict::Begin(Wish::Stopped), "the answer is that it has stopped");
            ledger.end(&task("").arn);
        }
    }

    #[test]
    fn an_acknowledged_task_without_a_trace_is_lost_unless_nothing_really_runs() {
        let known = acs::Task { known: true, ..task("RUNNING") };
        assert_eq!(Ledger::new("us-east-1", false).order(&known, 1), Verdict::Lost);
        assert_eq!(Ledger::new("us-east-1", true).order(&known, 1), Verdict::Begin(Wish::Running));
        assert!(matches!(Ledger::new("eu-west-1", false).order(&known, 1), Verdict::Refused(_)));
        assert!(matches!(Ledger::new("us-east-1", false).order(&task("PENDING"), 1), Verdict::Refused(_)));
    }

    #[test]
    fn a_manifest_names_what_may_have_to_stop() {
        let mut ledger = Ledger::new("us-east-1", false);
        orders(&mut ledger, &[(5, "RUNNING")]);
        let arn = task("").arn;
        let wanted = |status: &str| TaskManifestMessage {
            tasks: vec![TaskIdentifier { task_arn: arn.clone(), desired_status: status.into(), ..Default::default() }],
            ..Default::default()
        };
        assert_eq!(ledger.candidates(&wanted("RUNNING")), []);
        assert_eq!(ledger.candidates(&wanted("STOPPED"))[0].task_arn, arn);
        assert_eq!(ledger.candidates(&TaskManifestMessage::default()).len(), 1);
        assert!(ledger.stop(&arn));
        assert_eq!(ledger.candidates(&TaskManifestMessage::default()), [], "what stops already is no candidate");
    }

    #[test]
    fn an_old_manifest_is_not_taken() {
        let mut timeline = Timeline::default();
        let at = |timeline| TaskManifestMessage { timeline, ..Default::default() };
        let taken: Vec<bool> = [5, 5, 4, 6].into_iter().map(|number| timeline.takes(&at(number))).collect();
        assert_eq!(taken, [true, false, false, true]);
    }

    #[test]
    fn the_memory_of_ended_tasks_is_bounded() {
        let mut ledger = Ledger::new("us-east-1", false);
        for number in 0..REMEMBERED + 10 {
            ledger.adopt(&number.to_string());
            ledger.end(&number.to_string());
        }
        assert_eq!((ledger.ended.len(), ledger.oldest.len(), ledger.len()), (REMEMBERED, REMEMBERED, 0));
        assert!(!ledger.ended.contains_key("0"));
    }
}
