//! Laws of single planners, attacked by chance: the restart throttle, the capacity provider strategy, placement, and that a
//! planner at rest stays at rest until the time it names.

use std::collections::BTreeMap;

use longshore_api::ecs::{self, CapacityProviderStrategyItem as Item};
use longshore_model::Change;
use longshore_model::task::{Task, TaskStatus};
use longshore_plan::launch::{self, Launch};
use longshore_plan::place::{Draft, Peers};
use longshore_plan::{reconcile, strategy, throttle};
use longshore_wire::Timestamp;
use proptest::prelude::*;

use crate::world::{ACCOUNT, KEY, World, definition, network, node, service};

fn items(given: &[(i32, i32)]) -> Vec<Item> {
    let named = given.iter().enumerate();
    named
        .map(|(index, (base, weight))| Item {
            capacity_provider: Some(format!("P{index}")),
            base: Some(*base),
            weight: Some(*weight),
        })
        .collect()
}

/// Where `tasks` tasks go one after another, as far as they go.
fn distributed(items: &[Item], tasks: usize) -> Vec<i64> {
    let mut placed = vec![0; items.len()];
    for _ in 0..tasks {
        let Some(index) = strategy::next(items, &placed) else { break };
        placed[index] += 1;
    }
    placed
}

/// Live tasks of the service by provider.
fn by_provider(world: &World, items: &[Item]) -> Vec<i64> {
    let live = world.live();
    let of = |item: &Item| live.iter().filter(|task| task.capacity_provider == item.capacity_provider).count() as i64;
    items.iter().map(of).collect()
}

fn strategies() -> impl Strategy<Value = Vec<(i32, i32)>> {
    prop::collection::vec((0..4_i32, 0..5_i32), 1..4).prop_filter("a weight", |given| given.iter().any(|one| one.1 > 0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_strategy_fills_its_bases_in_order_and_shares_the_rest_by_weight(given in strategies(), tasks in 0..200_usize) {
        let items = items(&given);
        let placed = distributed(&items, tasks);
        prop_assert_eq!(placed.iter().sum::<i64>(), tasks as i64);
        let bases: i64 = given.iter().map(|(base, _)| i64::from(*base)).sum();
        let weights: i64 = given.iter().map(|(_, weight)| i64::from(*weight)).sum();
        let mut left = tasks as i64;
        for ((base, weight), placed) in given.iter().zip(&placed) {
            let (base, weight) = (i64::from(*base), i64::from(*weight));
            let of_base = base.min(left);
            left -= of_base;
            let beyond = placed - of_base;
            let share = (tasks as i64 - bases).max(0) * weight / weights;
            prop_assert!(beyond >= share, "{placed} placed, {of_base} of them base, {share} by weight");
            prop_assert!(weight > 0 || beyond == 0, "a weight of zero takes nothing beyond its base");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_service_keeps_to_its_strategy_whichever_tasks_die(
        given in strategies(),
        desired in 1..20_i32,
        deaths in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let items = items(&given);
        let mut world = World::new();
        world.put(service(desired, 100, 200, world.now));
        world.edit(|service| service.deployments[0].capacity_provider_strategy = items.clone());
        world.run(1);
        let wanted = distributed(&items, desired as usize);
        prop_assert_eq!(by_provider(&world, &items), wanted.clone());
        for death in deaths {
            world.pass(60);
            let live = world.live();
            world.report_status(&live[death % live.len()].key(), TaskStatus::Stopped);
            world.run(1);
            prop_assert_eq!(by_provider(&world, &items), wanted.clone());
        }
    }

    #[test]
    fn a_service_that_never_starts_is_tried_ever_more_slowly_and_never_given_up(
        desired in 1..5_i32,
        lives in prop::collection::vec(1..40_i64, 1..8),
    ) {
        let mut world = World::new();
        world.put(service(desired, 100, 200, world.now));
        let (begin, mut lives) = (world.now.millis(), lives.into_iter().cycle());
        let mut ends: Vec<(i64, String)> = Vec::new();
        let mut launches: Vec<i64> = Vec::new();
        while world.now.millis() < begin + 3 * 3_600_000 {
            let plan = world.settle();
            for task in world.live().into_iter().filter(|task| task.last == TaskStatus::Provisioning) {
                launches.push(world.now.millis() - begin);
                ends.push((world.now.millis() + lives.next().unwrap_or(1) * 1000, task.key()));
                world.report_status(&task.key(), TaskStatus::Pending);
            }
            ends.sort();
            let end = ends.first().map(|(at, _)| *at);
            let timer = plan.not_before.map(|at| at.millis()).filter(|at| *at > world.now.millis());
            world.now = Timestamp::from_millis(end.into_iter().chain(timer).min().expect("it is never given up"));
            if end == Some(world.now.millis()) {
                world.report_status(&ends.remove(0).1, TaskStatus::Stopped);
            }
        }
        let (first, last) = launches.split_at(launches.partition_point(|at| *at < 3_600_000));
        prop_assert!(first.len() <= 12 * desired as usize, "{} in the first hour", first.len());
        prop_assert!(last.len() <= 7 * desired as usize, "{} in the next two", last.len());
        let longest = launches.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        prop_assert!(longest <= throttle::CAP_MILLIS + 41_000, "a pause of {longest} ms");
        prop_assert!(launches.last().is_some_and(|at| *at > 2 * 3_600_000), "still tried in the third hour");
    }
}

/// CPU in tasks of 256, memory in tasks of 512, and zone.
type Machine = (i32, i32, bool);

fn machines() -> impl Strategy<Value = Vec<Machine>> {
    prop::collection::vec((1..12_i32, 1..12_i32, any::<bool>()), 1..8)
}

/// Something that is asked of the placer.
#[derive(Clone, Debug)]
enum Ask {
    /// So many tasks of such a size, in tasks of 256/512.
    Run(usize, i32, i32),
    /// The task with this index ends.
    End(usize),
    Drain(usize, bool),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (1..11_usize, 1..5_i32, 1..5_i32).prop_map(|(count, cpu, memory)| Ask::Run(count, cpu, memory)),
        5 => any::<usize>().prop_map(Ask::End),
        1 => (0..8_usize, any::<bool>()).prop_map(|(node, drain)| Ask::Drain(node, drain)),
    ]
}

/// Run `count` tasks as one RunTask would. Returns how many found no place.
fn run(world: &mut World, count: usize, cpu: i32, memory: i32) -> usize {
    let mut definition = definition(1, false);
    (definition.api.cpu, definition.api.memory) = (Some((cpu * 256).to_string()), Some((memory * 512).to_string()));
    let network = network(false);
    let launch = Launch {
        account: ACCOUNT,
        cluster: "prod",
        definition: &definition,
        service: None,
        group: "family:web",
        started_by: None,
        overrides: None,
        capacity_provider: None,
        platform_version: "1.4.0",
        network: &network,
        enable_execute_command: false,
        tags: &[],
        pins: &[],
        storage_key: None,
    };
    let state = world.state.clone();
    let (mut draft, mut peers) = (Draft::new(&state), Peers::default());
    let made: Vec<Change> = (0..count)
        .filter_map(|_| launch::task(&launch, &mut draft, &mut peers, world.now, &mut world.mint).ok())
        .map(Change::from)
        .collect();
    let refused = count - made.len();
    world.apply(made);
    refused
}

/// Nodes that take tasks and have so much free, by their tasks and not by any index.
fn with_room(world: &World, cpu: i32, memory: i32) -> usize {
    let mut used: BTreeMap<&str, (i32, i32)> = BTreeMap::new();
    for (_, task) in world.state.tasks.iter().filter(|(_, task)| !task.is_stopped()) {
        let used = used.entry(task.node.as_deref().unwrap_or_default()).or_default();
        *used = (used.0 + task.cpu, used.1 + task.memory_mib);
    }
    let fits = |id: &str, (has_cpu, has_memory): (i32, i32)| {
        let (cpu_used, memory_used) = used.get(id).copied().unwrap_or_default();
        has_cpu - cpu_used >= cpu * 256 && has_memory - memory_used >= memory * 512
    };
    let nodes = world.state.nodes.iter().filter(|(_, node)| node.takes_tasks());
    nodes.filter(|(id, node)| fits(id, (node.cpu, node.memory_mib))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn placement_never_over_commits_and_refuses_only_what_fits_nowhere(
        machines in machines(),
        asked in prop::collection::vec(ask(), 1..40),
    ) {
        let mut world = World::new();
        for (index, (cpu, memory, zone)) in machines.iter().enumerate() {
            let zone = if *zone { "a" } else { "b" };
            world.put(node(&format!("n{}", index + 1), zone, cpu * 256, memory * 512));
        }
        for ask in asked {
            match ask {
                Ask::Run(count, cpu, memory) => {
                    // Every change that is applied is checked: no node is given more than it has.
                    let refused = run(&mut world, count, cpu, memory);
                    prop_assert!(refused == 0 || with_room(&world, cpu, memory) == 0, "{refused} of {count} refused");
                }
                Ask::End(index) => {
                    let live = world.state.tasks.iter().filter(|(_, task)| !task.is_stopped());
                    let live: Vec<String> = live.map(|(key, _)| key.to_string()).collect();
                    if !live.is_empty() {
                        world.report_status(&live[index % live.len()], TaskStatus::Stopped);
                    }
                }
                Ask::Drain(index, drain) if index < machines.len() => {
                    let status = if drain { "DRAINING" } else { "ACTIVE" };
                    world.edit_node(&format!("n{}", index + 1), |node| node.status = status.into());
                }
                Ask::Drain(..) => {}
            }
        }
    }
}

/// Something that happens to a service.
#[derive(Clone, Debug)]
enum Event {
    Scale(i32),
    Deploy(bool),
    /// The task with this index reports.
    Report(usize, TaskStatus),
    /// The node is there, or is not.
    Node(usize, bool),
    Pass(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let status = prop::sample::select(vec![TaskStatus::Running, TaskStatus::Running, TaskStatus::Stopped]);
    prop_oneof![
        1 => (0..7_i32).prop_map(Event::Scale),
        1 => any::<bool>().prop_map(Event::Deploy),
        8 => (any::<usize>(), status).prop_map(|(index, status)| Event::Report(index, status)),
        2 => (1..3_usize, any::<bool>()).prop_map(|(index, there)| Event::Node(index, there)),
        3 => (1..60_i64).prop_map(Event::Pass),
    ]
}

fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Scale(desired) => world.edit(|service| service.desired_count = *desired),
        Event::Deploy(health_check) => {
            let revision = world.service().deployments[0].revision + 1;
            world.put(definition(revision, *health_check));
            world.deploy(revision);
        }
        Event::Report(index, status) => {
            let live = world.live();
            let task = (!live.is_empty()).then(|| &live[index % live.len()]);
            task.map(Task::key).into_iter().for_each(|key| world.report_status(&key, *status));
        }
        Event::Node(index, there) => {
            let now = world.now;
            world.edit_node(&format!("n{index}"), |node| match there {
                true if !node.connected => drop(node.connect().to_string()),
                true => {}
                false => drop(node.disconnect(node.epoch, now).to_string()),
            });
        }
        Event::Pass(seconds) => world.pass(*seconds),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_planner_at_rest_plans_nothing_until_the_time_it_named(
        desired in 0..6_i32,
        percentages in prop::sample::select(vec![(100, 200), (0, 100), (50, 150), (100, 134)]),
        events in prop::collection::vec(event(), 0..40),
        between in 0..1000_i64,
    ) {
        let mut world = World::new();
        world.put(node("n2", "b", 8 * 256, 8 * 512));
        world.put(service(desired, percentages.0, percentages.1, world.now));
        for event in &events {
            world.settle();
            happen(&mut world, event);
            let plans = [(); 2].map(|()| reconcile::service(&world.state, KEY, world.now, &mut world.mint.clone()));
            prop_assert_eq!(format!("{:?}", plans[0]), format!("{:?}", plans[1]), "one state, one plan");
        }
        let rest = world.settle();
        let again = reconcile::service(&world.state, KEY, world.now, &mut world.mint);
        prop_assert!(again.changes.is_empty());
        prop_assert_eq!(again.not_before, rest.not_before);
        let now = world.now.millis();
        let until = rest.not_before.map_or(now + 7 * 24 * 3_600_000, |at| at.millis());
        prop_assert!(until > now, "a time to come");
        let then = Timestamp::from_millis(now + (until - 1 - now) * between / 1000);
        let then = reconcile::service(&world.state, KEY, then, &mut world.mint);
        prop_assert!(then.changes.is_empty(), "{:?} before {:?}", then.reasons, rest.not_before);
    }

    #[test]
    fn a_service_left_alone_settles_and_then_nothing_is_planned_any_more(
        desired in 0..6_i32,
        events in prop::collection::vec(event(), 0..40),
    ) {
        let mut world = World::new();
        world.put(node("n2", "b", 64 * 256, 64 * 512));
        world.put(service(desired, 50, 200, world.now));
        for event in &events {
            world.settle();
            happen(&mut world, event);
        }
        for index in 1..3 {
            happen(&mut world, &Event::Node(index, true));
        }
        for _ in 0..80 {
            world.settle();
            world.obey();
            let healthy = world.live().into_iter().filter(|task| task.last == TaskStatus::Running);
            let healthy: Vec<String> = healthy.map(|task| task.key()).collect();
            healthy.iter().for_each(|key| world.report_health(key, ecs::HealthStatus::Healthy));
            world.pass(30);
        }
        let rest = world.settle();
        let wanted = world.service().desired_count as usize;
        let running = |task: &Task| task.last == TaskStatus::Running && task.desired == TaskStatus::Running;
        prop_assert_eq!(world.live().iter().filter(|task| running(task)).count(), wanted);
        prop_assert_eq!(world.live().len(), wanted);
        world.pass(5 * 3_600);
        prop_assert!(world.turn().changes.is_empty());
        let again = rest.not_before.expect("a service tells every six hours that it is steady");
        prop_assert!(again > world.now, "nothing else is waited for");
        world.now = again;
        world.settle();
        let told = world.events().pop();
        prop_assert_eq!(told.as_deref(), Some("(service web) has reached a steady state."));
        prop_assert_eq!(world.service().events[0].created_at, Some(again));
    }
}
