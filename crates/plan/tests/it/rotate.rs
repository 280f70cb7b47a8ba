//! Secrets that are rotated by tasks, from one window to the next.

use std::collections::BTreeMap;

use longshore_api::ecs;
use longshore_model::cluster::Cluster;
use longshore_model::definition::TaskDefinition;
use longshore_model::secret::{CURRENT, PENDING, PREVIOUS, Rotation, Secret, SecretVersion};
use longshore_model::task::{Task, TaskStatus};
use longshore_plan::rotate::{ATTEMPTS, LONGEST_MILLIS, PAUSE_MILLIS, SCARCE_MILLIS, SECRET_ID, TOKEN, TOO_LONG, turn};
use longshore_wire::{Blob, Timestamp};
use proptest::prelude::*;

use crate::world::{self, ACCOUNT, World};

const DAY: i64 = 24 * 60 * 60;

/// A secret whose window of a day opens now.
struct Rotated(World);

impl Rotated {
    fn new() -> Self {
        let mut world = World::new();
        world.put(definition(7, ecs::TaskDefinitionStatus::Active));
        world.put(Cluster {
            account: ACCOUNT.into(),
            name: "default".into(),
            api: ecs::Cluster { status: Some("ACTIVE".into()), ..Default::default() },
        });
        let now = world.now;
        world.apply(vec![secret(Some(rotation(now))).into(), version("v0").into()]);
        Self(world)
    }

    fn secret(&self) -> &Secret {
        self.0.state.secrets.get(&format!("{ACCOUNT}/s")).expect("the secret is there")
    }

    fn rotation(&self) -> &Rotation {
        self.secret().rotation.as_ref().expect("it is rotated")
    }

    fn edit(&mut self, change: impl FnOnce(&mut Secret)) {
        let mut secret = self.secret().clone();
        change(&mut secret);
        self.0.put(secret);
    }

    /// Turn until nothing changes; how many changes there were.
    fn turn(&mut self) -> usize {
        let mut changes = 0;
        loop {
            let plan = turn(&self.0.state, "us-east-1", self.0.now, &mut self.0.mint);
            if plan.changes.is_empty() {
                return changes;
            }
            changes += plan.changes.len();
            self.0.apply(plan.changes);
        }
    }

    fn tasks(&self) -> Vec<Task> {
        self.0.state.tasks.iter().map(|(_, task)| Task::clone(task)).collect()
    }

    /// The task that runs for it.
    fn task(&self) -> Task {
        let running = self.rotation().running.as_ref().expect("an attempt is made");
        let task = self.0.state.tasks.get(&running.task_key(ACCOUNT)).expect("its task is there");
        Task::clone(task)
    }

    fn stop(&mut self) {
        let key = self.task().key();
        self.0.report_status(&key, TaskStatus::Stopped);
    }

    /// What the task does: the version, and AWSCURRENT to it.
    fn finish(&mut self) {
        let token = self.secret().stages[PENDING].clone();
        self.0.put(version(&token));
        self.edit(|secret| {
            let old = secret.stages.insert(CURRENT.into(), token);
            secret.stages.insert(PREVIOUS.into(), old.unwrap_or_default());
        });
    }

    fn at(&self, seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(self.0.now.millis() + seconds * 1000))
    }
}

fn version(id: &str) -> SecretVersion {
    SecretVersion {
        account: ACCOUNT.into(),
        secret: "uid".into(),
        id: id.into(),
        created_at: Timestamp::default(),
        accessed_at: None,
        kms_key: None,
        text: true,
        sealed: Blob(vec![1]),
    }
}

fn rotation(now: Timestamp) -> Rotation {
    Rotation {
        function: format!("arn:aws:ecs:us-east-1:{ACCOUNT}:task-definition/rotate"),
        enabled: true,
        after_days: Some(1),
        duration: None,
        schedule: None,
        rotated_at: None,
        next_at: Some(now),
        try_at: None,
        failures: 0,
        running: None,
    }
}

fn secret(rotation: Option<Rotation>) -> Secret {
    Secret {
        account: ACCOUNT.into(),
        name: "s".into(),
        suffix: "abcdef".into(),
        uid: "uid".into(),
        created_at: Timestamp::default(),
        changed_at: None,
        accessed_at: None,
        description: None,
        kind: None,
        kms_key: None,
        tags: BTreeMap::new(),
        policy: None,
        stages: BTreeMap::from([(CURRENT.into(), "v0".into())]),
        deleted_at: None,
        delete_at: None,
        rotation,
    }
}

fn definition(revision: i32, status: ecs::TaskDefinitionStatus) -> TaskDefinition {
    let mut definition = world::definition(revision, false);
    definition.family = "rotate".into();
    definition.api.status = Some(status);
    definition.api.compatibilities = Some(vec![ecs::Compatibility::Fargate]);
    definition
}

#[test]
fn a_window_that_opens_makes_a_label_and_a_task_that_knows_both() {
    let mut rotated = Rotated::new();
    rotated.0.put(definition(8, ecs::TaskDefinitionStatus::Inactive));
    assert_eq!(rotated.turn(), 2, "the secret and its task");
    let (task, token) = (rotated.task(), rotated.secret().stages[PENDING].clone());
    assert_eq!((task.cluster.as_str(), task.family.as_str(), task.revision), ("default", "rotate", 7));
    assert_eq!(task.started_by.as_deref(), Some("secretsmanager"));
    let overrides = task.overrides.expect("it is told something").container_overrides.expect("of a container");
    let told = overrides[0].environment.clone().expect("variables");
    let pairs: Vec<_> = told.iter().map(|pair| (pair.name.as_deref(), pair.value.as_deref())).collect();
    let arn = format!("arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:s-abcdef");
    assert_eq!(pairs, [(Some(SECRET_ID), Some(arn.as_str())), (Some(TOKEN), Some(token.as_str()))]);
    assert_eq!(rotated.rotation().next_at, rotated.at(DAY));
    rotated.0.pass(60);
    assert_eq!((rotated.turn(), rotated.tasks().len()), (0, 1), "one rotation of a secret at a time");
}

#[test]
fn it_has_succeeded_when_the_task_has_stopped_and_the_label_has_moved() {
    let mut rotated = Rotated::new();
    rotated.turn();
    rotated.0.pass(10);
    rotated.finish();
    assert_eq!(rotated.turn(), 0, "the task may have more to do");
    rotated.stop();
    rotated.turn();
    let (now, next) = (rotated.at(0), rotated.at(DAY));
    let rotation = rotated.rotation();
    assert_eq!((rotation.rotated_at, rotation.next_at, rotation.try_at), (now, next, None));
    assert!(rotation.running.is_none());
    assert!(!rotated.secret().stages.contains_key(PENDING));
    rotated.0.pass(DAY - 1);
    assert_eq!(rotated.turn(), 0);
    rotated.0.pass(1);
    rotated.turn();
    assert_eq!(rotated.tasks().len(), 2, "and again with the next window");
}

#[test]
fn an_attempt_that_fails_is_made_again_with_the_same_version_until_it_is_given_up() {
    let mut rotated = Rotated::new();
    rotated.edit(|secret| secret.rotation.as_mut().expect("it is rotated").after_days = Some(30));
    rotated.turn();
    let token = rotated.secret().stages[PENDING].clone();
    for failure in 1..=ATTEMPTS {
        assert_eq!(rotated.rotation().running.as_ref().map(|attempt| attempt.token.clone()), Some(token.clone()));
        rotated.stop();
        rotated.turn();
        assert_eq!((rotated.rotation().failures, &rotated.secret().stages[CURRENT]), (failure, &"v0".to_owned()));
        let pause = PAUSE_MILLIS / 1000 * (1 << (failure - 1));
        assert_eq!(rotated.rotation().try_at, rotated.at(pause).filter(|_| failure < ATTEMPTS));
        rotated.0.pass(pause - 1);
        assert_eq!(rotated.turn(), 0);
        rotated.0.pass(1);
        rotated.turn();
    }
    assert_eq!(rotated.tasks().len() as i32, ATTEMPTS);
    rotated.0.pass(30 * DAY);
    rotated.turn();
    assert_eq!(rotated.tasks().len() as i32, ATTEMPTS + 1, "the next window tries again");
    assert_eq!((&rotated.secret().stages[PENDING], rotated.rotation().failures), (&token, 0));
}

#[test]
fn who_takes_the_label_away_ends_the_attempts() {
    let mut rotated = Rotated::new();
    rotated.turn();
    rotated.stop();
    rotated.turn();
    rotated.edit(|secret| drop(secret.stages.remove(PENDING)));
    rotated.0.pass(60);
    rotated.turn();
    assert_eq!((rotated.tasks().len(), rotated.rotation().try_at), (1, None));
}

#[test]
fn a_task_that_never_ends_is_stopped() {
    let mut rotated = Rotated::new();
    rotated.turn();
    rotated.0.pass(LONGEST_MILLIS / 1000 - 1);
    assert_eq!(rotated.turn(), 0);
    rotated.0.pass(1);
    rotated.turn();
    let task = rotated.task();
    assert_eq!((task.desired, task.stopped_reason.as_deref()), (TaskStatus::Stopped, Some(TOO_LONG)));
}

#[test]
fn nothing_is_rotated_that_is_disabled_deleted_or_not_due() {
    for (what, change) in [
        ("disabled", (|secret| secret.rotation.as_mut().expect("it is rotated").enabled = false) as fn(&mut Secret)),
        ("not due", |secret| secret.rotation.as_mut().expect("it is rotated").next_at = None),
        ("deleted", |secret| {
            secret.deleted_at = Some(Timestamp::default());
            secret.delete_at = Some(Timestamp::default());
        }),
    ] {
        let mut rotated = Rotated::new();
        rotated.edit(change);
        rotated.0.pass(DAY);
        assert_eq!(rotated.turn(), 0, "{what}");
    }
}

#[test]
fn a_rotation_that_was_cancelled_while_its_task_ran_is_over_with_it() {
    let mut rotated = Rotated::new();
    rotated.turn();
    rotated.edit(|secret| {
        let rotation = secret.rotation.as_mut().expect("it is rotated");
        (rotation.enabled, rotation.next_at) = (false, None);
    });
    rotated.stop();
    rotated.turn();
    let rotation = rotated.rotation();
    assert_eq!((rotation.running.is_none(), rotation.try_at, rotation.next_at), (true, None, None));
}

#[test]
fn what_hinders_a_task_is_tried_again() {
    /// What is wrong, failures counted, the pause.
    type Row = (fn(&mut Rotated), i32, i64);
    let rows: [Row; 3] = [
        (|rotated| rotated.0.put(definition(7, ecs::TaskDefinitionStatus::Inactive)), 1, PAUSE_MILLIS),
        (
            |rotated| {
                let gone = ecs::Cluster { status: Some("INACTIVE".into()), ..Default::default() };
                rotated.0.put(Cluster { account: ACCOUNT.into(), name: "default".into(), api: gone });
            },
            1,
            PAUSE_MILLIS,
        ),
        (|rotated| rotated.0.edit_node("n1", |node| node.connected = false), 0, SCARCE_MILLIS),
    ];
    for (index, (spoil, failures, pause)) in rows.into_iter().enumerate() {
        let mut rotated = Rotated::new();
        spoil(&mut rotated);
        rotated.turn();
        let rotation = rotated.rotation();
        assert_eq!((rotation.failures, rotated.tasks().len()), (failures, 0), "{index}");
        assert_eq!(rotation.try_at, rotated.at(pause / 1000), "{index}");
        assert!(rotated.secret().pending().is_some(), "{index}");
    }
}

/// What may happen between two turns.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(i64),
    Stop,
    Finish,
    TakeLabelAway,
    Cancel,
    Ask,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => prop::sample::select(vec![1, 5, 60, 900, DAY]).prop_map(Event::Pass),
        3 => Just(Event::Stop),
        2 => Just(Event::Finish),
        1 => Just(Event::TakeLabelAway),
        1 => Just(Event::Cancel),
        1 => Just(Event::Ask),
    ]
}

impl Rotated {
    fn happen(&mut self, event: Event) {
        let now = self.0.now;
        let running = self.rotation().running.is_some();
        match event {
            Event::Pass(seconds) => self.0.pass(seconds),
            Event::Stop if running && !self.task().is_stopped() => self.stop(),
            Event::Finish if self.secret().pending().is_some() => self.finish(),
            Event::TakeLabelAway => self.edit(|secret| drop(secret.stages.remove(PENDING))),
            Event::Cancel => self.edit_rotation(|rotation| {
                (rotation.enabled, rotation.next_at, rotation.try_at) = (false, None, None);
            }),
            Event::Ask => self.edit_rotation(|rotation| (rotation.enabled, rotation.next_at) = (true, Some(now))),
            Event::Stop | Event::Finish => {}
        }
    }

    fn edit_rotation(&mut self, change: impl FnOnce(&mut Rotation)) {
        self.edit(|secret| change(secret.rotation.as_mut().expect("it is rotated")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_one_task_at_a_time_rotates_and_in_the_end_it_is_done(events in prop::collection::vec(event(), 0..40)) {
        let mut rotated = Rotated::new();
        for event in events {
            rotated.turn();
            rotated.happen(event);
            let live = rotated.tasks().iter().filter(|task| !task.is_stopped()).count();
            prop_assert!(live <= 1, "{live} tasks at once");
            prop_assert!(rotated.secret().stages.contains_key(CURRENT));
        }
        rotated.turn();
        for event in [Event::Stop, Event::Ask, Event::Pass(900), Event::Finish, Event::Stop] {
            rotated.happen(event);
            rotated.turn();
        }
        let rotation = rotated.rotation();
        prop_assert!(rotation.running.is_none() && rotation.rotated_at.is_some(), "{rotation:?}");
    }
}
