//! A wall clock that jumps by a day changes nothing that becomes of a task.

use std::time::Duration;

use longshore_model::service::Throttle;
use longshore_model::setting::Token;
use longshore_model::task::TaskStatus;
use longshore_plan::steady::Steady;
use longshore_plan::{heal, reap};
use proptest::prelude::*;

use crate::world::{ACCOUNT, World, node, service, steady};

const DAY: i64 = 86_400;

/// A machine: its uptime in seconds and a wall clock that may jump.
struct Machine {
    uptime: i64,
    wall: i64,
    steady: Steady,
}

impl Machine {
    fn of(world: &World) -> Self {
        let (uptime, wall) = (1_000, world.now.millis() / 1000);
        let steady = Steady::new(seconds(uptime), seconds(wall), world.state.newest());
        Self { uptime, wall, steady }
    }

    /// A second passes.
    fn pass(&mut self, world: &mut World) {
        self.uptime += 1;
        self.wall += 1;
        world.now = self.steady.read(seconds(self.uptime), seconds(self.wall));
    }

    fn jump(&mut self, days: i64) {
        self.wall += days * DAY;
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds as u64)
}

/// How often a service is launched in half an hour whose tasks end after `life` seconds, with jumps in days at these seconds.
fn launches(jumps: &[(i64, i64)], life: i64, runs: bool) -> usize {
    let mut world = World::new();
    world.put(service(1, 100, 200, world.now));
    let mut machine = Machine::of(&world);
    let mut ends = Vec::new();
    for second in 0..1800 {
        jumps.iter().filter(|(at, _)| *at == second).for_each(|(_, days)| machine.jump(*days));
        machine.pass(&mut world);
        world.settle();
        for task in world.live().iter().filter(|task| task.last == TaskStatus::Provisioning) {
            let status = if runs { TaskStatus::Running } else { TaskStatus::Pending };
            world.report_status(&task.key(), status);
            ends.push((second + life, task.key()));
        }
        for (_, key) in ends.extract_if(.., |(at, _)| *at <= second) {
            world.report_status(&key, TaskStatus::Stopped);
        }
    }
    world.state.tasks.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn throttle_and_pacing_are_as_without_jumps(
        jumps in prop::collection::vec((0..1800_i64, prop::sample::select(vec![-1_i64, 1])), 1..5),
        life in 1..6_i64,
        runs in any::<bool>(),
    ) {
        let (without, with) = (launches(&[], life, runs) as i64, launches(&jumps, life, runs) as i64);
        // The pace of time may differ by an eighth.
        prop_assert!((with - without).abs() <= without / 7 + 1, "{} launches, not {}", with, without);
    }
}

#[test]
fn a_jump_loses_no_node_and_starts_nothing_elsewhere() {
    for days in [1, -1] {
        let mut world = steady(2, 100, 200);
        world.put(node("n2", "b", 2048, 4096));
        let mut machine = Machine::of(&world);
        let (now, before) = (world.now, world.state.tasks.len());
        world.edit_node("n1", |node| assert!(node.disconnect(1, now)));
        machine.jump(days);
        for _ in 0..50 {
            machine.pass(&mut world);
            world.settle();
            assert!(heal::turn(&world.state, world.now, DAY).changes.is_empty());
        }
        assert_eq!(world.state.tasks.len(), before, "it was away for 50 s only");
        for _ in 0..20 {
            machine.pass(&mut world);
        }
        world.settle();
        assert_eq!(world.state.tasks.len(), before + 2, "now it has been away for a minute and more");
    }
}

#[test]
fn a_jump_forgets_neither_tasks_nor_tokens() {
    for days in [1, -1] {
        let mut world = steady(1, 100, 200);
        let task = world.live()[0].key();
        world.report_status(&task, TaskStatus::Stopped);
        let token = Token {
            account: ACCOUNT.into(),
            operation: "CreateService".into(),
            cluster: "prod".into(),
            token: "t".into(),
            request: String::new(),
            made: Vec::new(),
            created_at: world.now,
            until: None,
        };
        world.put(token.clone());
        let mut machine = Machine::of(&world);
        machine.jump(days);
        for _ in 0..600 {
            machine.pass(&mut world);
            assert!(reap::turn(&world.state, world.now, 60).changes.is_empty());
        }
        assert!(!reap::expired(&world.state, &token, world.now));
    }
}

#[test]
fn over_a_restart_time_goes_on_from_the_newest_record() {
    let mut world = steady(1, 100, 200);
    let throttle = Throttle { counted_at: Some(world.now), ..Throttle::default() };
    world.edit(|service| service.deployments[0].throttle = throttle);
    let stopped_at = world.now.millis() / 1000;
    let set_back =
        Steady::new(seconds(5), seconds(stopped_at - DAY), world.state.newest()).read(seconds(6), seconds(0));
    assert!(set_back >= world.now, "what is counted next is counted later than what was counted");
}
