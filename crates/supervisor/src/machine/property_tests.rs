//! Laws that hold for any task whatever happens to it.

use super::*;
use crate::spec::{Condition, ContainerSpec, Dependency, HealthCheck, RestartPolicy};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Start(usize),
    FailStart(usize),
    Exit(usize, i32),
    Check(usize, bool),
    Wait(u64),
    Stop(Option<u64>),
}

fn any_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Start), Just(Condition::Complete), Just(Condition::Success), Just(Condition::Healthy)]
}

prop_compose! {
    fn any_container(index: usize)(
        essential in any::<bool>(),
        arrows in proptest::collection::vec((0..index.max(1), any_condition()), 0..3),
        start_timeout in proptest::option::of(2u32..20),
        checked in any::<bool>(),
        restarts in any::<bool>(),
    ) -> ContainerSpec {
        let depends_on = if index == 0 { vec![] } else {
            arrows.into_iter().map(|(t, condition)| Dependency { container: format!("c{t}"), condition }).collect()
        };
        ContainerSpec {
            name: format!("c{index}"),
            essential: essential || index == 0,
            depends_on,
            start_timeout_seconds: start_timeout,
            health_check: checked.then(|| HealthCheck { interval_seconds: 5, ..HealthCheck::default() }),
            restart_policy: restarts.then(|| RestartPolicy {
                enabled: true, ignored_exit_codes: vec![0], restart_attempt_period_seconds: 60,
            }),
            ..ContainerSpec::default()
        }
    }
}

fn any_task() -> impl Strategy<Value = Vec<ContainerSpec>> {
    (any_container(0), any_container(1), any_container(2), any_container(3), 1usize..=4)
        .prop_map(|(a, b, c, d, count)| [a, b, c, d].into_iter().take(count).collect())
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0usize..4).prop_map(Event::Start),
        1 => (0usize..4).prop_map(Event::FailStart),
        2 => (0usize..4, 0i32..3).prop_map(|(c, code)| Event::Exit(c, code)),
        2 => (0usize..4, any::<bool>()).prop_map(|(c, ok)| Event::Check(c, ok)),
        3 => (1u64..70_000).prop_map(Event::Wait),
        1 => proptest::option::of(0u64..5_000).prop_map(Event::Stop),
    ]
}

/// The world as the supervisor would know it: what was asked and not answered.
struct World {
    machine: Machine,
    now: u64,
    starting: Vec<usize>,
    running: Vec<usize>,
    checking: Vec<usize>,
    drains: u32,
}

impl World {
    fn step(&mut self, input: Input) {
        let before = self.machine.status();
        let now = Now { monotonic: self.now, wall: self.now };
        for action in self.machine.step(now, input) {
            self.obey(action, &before);
        }
        let after = self.machine.status();
        assert!(after.phase >= before.phase, "the phase went back");
        if before.stop.is_some() {
            assert_eq!(before.stop, after.stop, "the first cause stays");
        }
        assert!(self.machine.deadline().is_none_or(|at| at > self.now), "a deadline in the past would spin");
    }

    fn obey(&mut self, action: Action, before: &TaskStatus) {
        match action {
            Action::Start(c) => {
                assert!(before.stop.is_none(), "nothing starts in a stopping task");
                assert!(!self.starting.contains(&c) && !self.running.contains(&c), "started twice");
                self.starting.push(c);
            }
            Action::Signal(c) | Action::Kill(c) => {
                assert!(self.running.contains(&c), "signal to a dead container")
            }
            Action::Check(c) => {
                assert!(self.running.contains(&c) && !self.checking.contains(&c));
                self.checking.push(c);
            }
            Action::Drain => {
                assert!(self.running.is_empty() && self.starting.is_empty(), "drained while something runs");
                self.drains += 1;
            }
        }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Start(c) if take(&mut self.starting, c) => {
                self.running.push(c);
                self.step(Input::Started { container: c, pid: 1 });
            }
            Event::FailStart(c) if take(&mut self.starting, c) => {
                self.step(Input::StartFailed { container: c, reason: "no".into() });
            }
            Event::Exit(c, code) if take(&mut self.running, c) => {
                take(&mut self.checking, c);
                self.step(Input::Checked { container: c, passed: false });
                self.step(Input::Exited { container: c, code: Some(code), out_of_memory: false });
            }
            Event::Check(c, passed) if take(&mut self.checking, c) => {
                self.step(Input::Checked { container: c, passed });
            }
            Event::Wait(ms) => {
                self.now += ms;
                self.step(Input::Tick);
            }
            Event::Stop(timeout_ms) => {
                let cause = StopCause { code: StopCode::Requested, reason: "asked".into() };
                self.step(Input::Stop { cause, timeout_ms });
            }
            _ => {}
        }
    }

    /// Answers everything until nothing is left to answer.
    fn settle(&mut self) {
        self.play(Event::Stop(Some(0)));
        for _ in 0..100 {
            if let Some(&c) = self.starting.first() {
                self.play(Event::Start(c));
            } else if let Some(&c) = self.running.first() {
                self.play(Event::Exit(c, 137));
            }
        }
        self.step(Input::Drained);
    }
}

fn take(list: &mut Vec<usize>, item: usize) -> bool {
    let found = list.iter().position(|&i| i == item);
    found.map(|place| list.remove(place)).is_some()
}

proptest! {
    #[test]
    fn every_task_ends_once_and_only_forward(
        containers in any_task(),
        events in proptest::collection::vec(any_event(), 0..60),
    ) {
        let spec = TaskSpec { containers, ..TaskSpec::default() };
        let machine = Machine::new(&spec, 1).unwrap();
        let mut world = World { machine, now: 0, starting: vec![], running: vec![], checking: vec![], drains: 0 };
        world.step(Input::Tick);
        for event in events {
            world.play(event);
        }
        world.settle();
        prop_assert_eq!(world.machine.phase(), TaskPhase::Stopped);
        prop_assert_eq!(world.drains, 1);
        prop_assert!(world.machine.status().stop.is_some());
    }
}
