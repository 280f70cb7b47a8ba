//! Histories of clients, with crashes and full disks, checked for linearizability.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_model::{Change, State};
use longshore_store::{Full, Revision, Store, Unsettled, Writer};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, manual, put, value};
use crate::linear::{Input, Operation, Outcome, REGISTERS, Registers, linearizable};

const NAMES: [&str; REGISTERS] = ["a", "b", "c"];

fn registers(state: &State) -> Registers {
    NAMES.map(|name| value(state, name).unwrap_or(0))
}

/// Carry out an operation as a transaction, or as a read.
fn carry_out(store: &Store, input: Input) -> Result<(Outcome, Revision), Full> {
    if input == Input::Read {
        let state = store.read();
        return Ok((Outcome::Seen(registers(&state)), state.revision()));
    }
    store.transact(|state, changes: &mut Vec<Change>| {
        let before = registers(state);
        let mut after = before;
        let outcome = input.run(&mut after);
        let changed = (0..REGISTERS).filter(|index| before[*index] != after[*index]);
        changes.extend(changed.map(|index| put(NAMES[index], after[index])));
        Ok(outcome)
    })
}

fn input() -> impl Strategy<Value = Input> {
    let register = || 0..REGISTERS;
    prop_oneof![
        4 => Just(Input::Read),
        2 => (register(), 1..4_u64).prop_map(|(register, value)| Input::Write { register, value }),
        2 => (register(), 0..4_u64, 1..4_u64).prop_map(|(register, old, value)| Input::Swap { register, old, value }),
        2 => register().prop_map(|register| Input::Add { register }),
        2 => (register(), register()).prop_map(|(from, to)| Input::Copy { from, to }),
    ]
}

#[derive(Clone, Debug)]
enum Action {
    Begin(Input),
    /// Commit at most so much.
    Step(usize),
    /// The process dies and another takes over.
    Crash,
    /// Another takes over, and the first does not know.
    TakeOver,
    Fill(bool),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        10 => input().prop_map(Action::Begin),
        5 => (1..4_usize).prop_map(Action::Step),
        1 => Just(Action::Crash),
        1 => Just(Action::TakeOver),
        1 => any::<bool>().prop_map(Action::Fill),
    ];
    prop::collection::vec(action, 1..48)
}

/// An operation that waits for its revision.
struct Waiting {
    operation: usize,
    outcome: Outcome,
    revision: Revision,
}

struct Schedule<F: Fixture> {
    fixture: F,
    store: Store,
    writer: Writer,
    /// Writers that others took over from.
    old: Vec<(Store, Writer)>,
    waiting: Vec<Waiting>,
    history: Vec<Operation>,
    /// Operations that were undone: nothing of them happened.
    undone: Vec<usize>,
    time: u64,
}

impl<F: Fixture> Schedule<F> {
    fn new() -> Self {
        let fixture = F::new();
        let (store, writer) = manual(&fixture);
        let none = || Vec::new();
        Self { fixture, store, writer, old: vec![], waiting: vec![], history: vec![], undone: none(), time: 0 }
    }

    fn act(&mut self, action: &Action) {
        self.time += 1;
        match action {
            Action::Begin(input) => self.begin(*input),
            Action::Step(most) => self.step(*most),
            Action::Crash => self.replace(false),
            Action::TakeOver => self.replace(true),
            Action::Fill(full) => self.fixture.set_full(*full),
        }
        self.settle();
    }

    fn begin(&mut self, input: Input) {
        if let Ok((outcome, revision)) = carry_out(&self.store, input) {
            self.waiting.push(Waiting { operation: self.history.len(), outcome, revision });
            self.history.push(Operation { input, began: self.time, ended: None });
        }
    }

    fn step(&mut self, most: usize) {
        self.writer.step_at_most(most).unwrap();
        for (store, writer) in &mut self.old {
            let before = store.durable_revision();
            let _ = writer.step();
            assert_eq!(store.durable_revision(), before, "an older writer acknowledges nothing");
        }
    }

    /// Whoever waits learns nothing more.
    fn replace(&mut self, lives: bool) {
        self.waiting.clear();
        self.fixture.set_full(false);
        let (store, writer) = manual(&self.fixture);
        let old = (std::mem::replace(&mut self.store, store), std::mem::replace(&mut self.writer, writer));
        if lives {
            self.old.push(old);
        }
    }

    fn settle(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for one in waiting {
            if self.store.is_durable(one.revision) {
                self.history[one.operation].ended = Some((self.time, one.outcome));
            } else if self.store.is_undone(one.revision) {
                self.undone.push(one.operation);
            } else {
                self.waiting.push(one);
            }
        }
    }

    /// Everything that is durable, seen at the end.
    fn finish(mut self) -> Vec<Operation> {
        self.act(&Action::Crash);
        self.act(&Action::Begin(Input::Read));
        assert!(self.history.last().unwrap().ended.is_some(), "what was loaded is durable");
        let undone = self.undone;
        self.history.into_iter().enumerate().filter(|(index, _)| !undone.contains(index)).map(|(_, one)| one).collect()
    }
}

pub fn histories_with_crashes_are_linearizable<F: Fixture>(cases: u32) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let outcome = runner.run(&actions(), |actions| {
        let mut schedule = Schedule::<F>::new();
        actions.iter().for_each(|action| schedule.act(action));
        let history = schedule.finish();
        prop_assert!(linearizable(&history), "{history:#?}");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Several clients with threads of their own, each doing one thing after the other, answered when it is durable.
pub fn histories_of_clients_at_once_are_linearizable<F: Fixture>(cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    let clients = prop::collection::vec(prop::collection::vec(input(), 1..8), 2..5);
    let outcome = runner.run(&clients, |clients| {
        let store = Store::open(F::new().open()).unwrap();
        let clock = Arc::new(AtomicU64::new(0));
        let running: Vec<_> =
            clients.into_iter().map(|inputs| runtime.spawn(client(store.clone(), clock.clone(), inputs))).collect();
        let mut history = Vec::new();
        for client in running {
            history.extend(runtime.block_on(client).unwrap());
        }
        prop_assert!(linearizable(&history), "{history:#?}");
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

async fn client(store: Store, clock: Arc<AtomicU64>, inputs: Vec<Input>) -> Vec<Operation> {
    let mut history = Vec::new();
    for input in inputs {
        let began = clock.fetch_add(1, Ordering::SeqCst);
        let (outcome, revision) = carry_out(&store, input).unwrap();
        store.durable(revision).await.unwrap_or_else(|why: Unsettled| panic!("{why}"));
        history.push(Operation { input, began, ended: Some((clock.fetch_add(1, Ordering::SeqCst), outcome)) });
    }
    history
}
