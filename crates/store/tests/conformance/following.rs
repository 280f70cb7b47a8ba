//! Watches: ordered, unique, complete, resumable; and what is forgotten is said to be.

use longshore_model::{Change, State};
use longshore_store::{Compacted, Missed, Store, Watch, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, contents, manual, put, write};

fn revisions(watch: &mut Watch) -> Vec<u64> {
    // One that goes round in a circle comes to an end too.
    std::iter::from_fn(|| watch.try_next().unwrap()).map(|commit| commit.revision).take(10_000).collect()
}

fn filled<F: Fixture>(commits: u64) -> (Store, Writer) {
    let (store, mut writer) = manual(&F::new());
    for number in 1..=commits {
        write(&store, put("a", number)).unwrap();
    }
    writer.step_at_most(usize::MAX).unwrap();
    (store, writer)
}

pub fn a_watch_resumes_where_another_was<F: Fixture>() {
    let (store, _writer) = filled::<F>(6);
    let mut watch = store.watch(0).unwrap();
    assert_eq!(watch.try_next().unwrap().unwrap().revision, 1);
    assert_eq!(watch.try_next().unwrap().unwrap().revision, 2);
    assert_eq!(watch.position(), 2);
    assert_eq!(revisions(&mut store.watch(watch.position()).unwrap()), [3, 4, 5, 6]);
    assert_eq!(revisions(&mut watch), [3, 4, 5, 6]);
    assert_eq!(revisions(&mut store.watch(6).unwrap()), [0_u64; 0]);
}

pub fn a_watch_waits_for_the_next_commit<F: Fixture>() {
    let store = Store::open(F::new().open()).unwrap();
    let mut watch = store.watch(0).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let seen = runtime.spawn(async move { watch.next().await.map(|commit| commit.revision) });
    write(&store, put("a", 1)).unwrap();
    assert_eq!(runtime.block_on(seen).unwrap(), Ok(1));
    let mut watch = store.watch(1).unwrap();
    let ended = runtime.spawn(async move { watch.next().await.map(|commit| commit.revision) });
    drop(store);
    assert!(matches!(runtime.block_on(ended).unwrap(), Err(Missed::Closed(_))));
}

pub fn what_is_compacted_is_not_yielded<F: Fixture>() {
    let (store, _writer) = filled::<F>(6);
    let mut behind = store.watch(2).unwrap();
    let mut ahead = store.watch(4).unwrap();
    store.compact(4);
    assert_eq!(store.watch(3).err(), Some(Compacted { floor: 4 }));
    assert_eq!(behind.try_next().err(), Some(Missed::Compacted(Compacted { floor: 4 })));
    assert_eq!(revisions(&mut ahead), [5, 6]);
    write(&store, put("a", 7)).unwrap();
    store.compact(100);
    assert_eq!(store.watch(5).err(), Some(Compacted { floor: 6 }), "what is not durable yet cannot be forgotten");
}

pub fn history_is_bounded<F: Fixture>() {
    let (store, mut writer) = filled::<F>(1);
    let mut watch = store.watch(1).unwrap();
    for number in 0..5000 {
        write(&store, put("a", number)).unwrap();
    }
    writer.step_at_most(usize::MAX).unwrap();
    let Err(Missed::Compacted(Compacted { floor })) = watch.try_next() else { panic!("5000 commits are kept") };
    let (_, mut afresh) = store.read_and_watch();
    assert_eq!(revisions(&mut afresh), [0_u64; 0]);
    assert_eq!(revisions(&mut store.watch(floor).unwrap()), (floor + 1..=5001).collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Action {
    Write(u8),
    Step(usize),
    /// Watch from so many revisions before the newest durable one.
    Watch(u64),
    /// The watch of this number, modulo how many there are, takes so many commits.
    Follow(usize, usize),
    /// It is replaced by one that resumes from its position.
    Resume(usize),
    /// Forget all but so many revisions.
    Compact(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => any::<u8>().prop_map(Action::Write),
        4 => (1..6_usize).prop_map(Action::Step),
        2 => (0..12_u64).prop_map(Action::Watch),
        5 => (0..8_usize, 1..6_usize).prop_map(|(watch, count)| Action::Follow(watch, count)),
        1 => (0..8_usize).prop_map(Action::Resume),
        1 => (0..12_u64).prop_map(Action::Compact),
    ];
    prop::collection::vec(action, 1..60)
}

/// A watch, and the state as it follows it.
struct Follower {
    watch: Watch,
    copy: State,
}

struct World {
    store: Store,
    writer: Writer,
    /// The state after each revision.
    states: Vec<State>,
    floor: u64,
    followers: Vec<Follower>,
}

impl World {
    fn act(&mut self, action: &Action) {
        match action {
            Action::Write(number) => {
                let change = put(&format!("k{}", number % 5), u64::from(*number));
                let mut state = self.states.last().unwrap().clone();
                state.apply(&change);
                self.states.push(state);
                assert_eq!(write(&self.store, change).unwrap() as usize, self.states.len() - 1);
            }
            Action::Step(most) => drop(self.writer.step_at_most(*most).unwrap()),
            Action::Watch(back) => self.watch(self.store.durable_revision().saturating_sub(*back)),
            Action::Compact(keep) => {
                let up_to = self.store.durable_revision().saturating_sub(*keep);
                self.store.compact(up_to);
                self.floor = self.floor.max(up_to);
            }
            Action::Resume(_) | Action::Follow(..) if self.followers.is_empty() => {}
            Action::Resume(number) => {
                let number = number % self.followers.len();
                let position = self.followers.swap_remove(number).watch.position();
                self.watch(position);
            }
            Action::Follow(number, count) => {
                let number = number % self.followers.len();
                for _ in 0..*count {
                    if !self.follow(number) {
                        return;
                    }
                }
            }
        }
    }

    fn watch(&mut self, from: u64) {
        match self.store.watch(from) {
            Ok(watch) => {
                assert!(from >= self.floor);
                self.followers.push(Follower { watch, copy: self.states[from as usize].clone() });
            }
            Err(Compacted { floor }) => assert!(from < self.floor && floor == self.floor),
        }
    }

    /// Take one commit; the copy must then be the state of its revision. Returns whether there was one.
    fn follow(&mut self, number: usize) -> bool {
        let follower = &mut self.followers[number];
        let before = follower.watch.position();
        match follower.watch.try_next() {
            Ok(Some(commit)) => {
                commit.changes.iter().for_each(|change: &Change| follower.copy.apply(change));
                assert_eq!(commit.revision, before + 1, "nothing is left out or doubled");
                assert!(self.store.is_durable(commit.revision));
                assert_eq!(contents(&follower.copy), contents(&self.states[commit.revision as usize]));
                true
            }
            Ok(None) => {
                assert_eq!(before, self.store.durable_revision(), "everything durable was yielded");
                false
            }
            Err(missed) => {
                assert_eq!(missed, Missed::Compacted(Compacted { floor: self.floor }));
                assert!(before < self.floor);
                self.followers.swap_remove(number);
                false
            }
        }
    }
}

pub fn every_watch_yields_what_became_durable_in_order_once_and_all<F: Fixture>(cases: u32) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let outcome = runner.run(&actions(), |actions| {
        let (store, writer) = manual(&F::new());
        let states = vec![State::default()];
        let mut world = World { store, writer, states, floor: 0, followers: Vec::new() };
        actions.iter().for_each(|action| world.act(action));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
