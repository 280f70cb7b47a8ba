//! The quick search against trying every node.

use longshore_api::ecs::{Attribute, AwsVpcConfiguration};
use longshore_model::network::Subnet;
use longshore_model::node::Node;
use longshore_model::{Change, Mint, State};
use longshore_wire::Timestamp;
use proptest::prelude::*;

use super::{Draft, Peers, Want};

const ZONES: [&str; 3] = ["a", "b", "c"];

/// Zone, CPU and memory in tasks of 256/512, whether connected, whether ARM.
type Machine = (usize, i32, i32, bool, bool);

fn node(index: usize, (zone, cpu, memory, connected, arm): Machine) -> Node {
    let architecture = if arm { "arm64" } else { "x86_64" };
    let attribute = |name: &str, value: &str| Attribute {
        name: Some(name.into()),
        value: Some(value.into()),
        ..Attribute::default()
    };
    Node {
        id: format!("n{index:04}"),
        account: "1".into(),
        cluster: None,
        arn: String::new(),
        status: "ACTIVE".into(),
        fargate: true,
        zone: ZONES[zone].into(),
        cpu: cpu * 256,
        memory_mib: memory * 512,
        public_pool: None,
        attributes: vec![attribute("ecs.cpu-architecture", architecture)],
        version_info: None,
        connected,
        epoch: 1,
        registered_at: Timestamp::default(),
        owner: None,
        disconnected_at: None,
        tags: Vec::new(),
    }
}

fn subnet(zone: usize) -> Subnet {
    Subnet {
        account: "1".into(),
        id: format!("subnet-{}", ZONES[zone]),
        vpc: "vpc".into(),
        cidr: format!("10.{zone}.0.0/20"),
        zone: ZONES[zone].into(),
        zone_id: String::new(),
        is_default: true,
        map_public_ip: false,
    }
}

fn state(machines: &[Machine]) -> State {
    let mut state = State::default();
    (0..3).for_each(|zone| state.apply(&Change::from(subnet(zone))));
    machines.iter().enumerate().for_each(|(index, machine)| state.apply(&node(index, *machine).into()));
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_takes_the_node_that_trying_all_would_take(
        machines in prop::collection::vec((0..3_usize, 0..9_i32, 0..9_i32, prop::bool::weighted(0.9), any::<bool>()), 0..150),
        (cpu, memory, architecture) in (1..3_i32, 1..4_i32, prop::sample::select(vec![None, Some("ARM64"), Some("X86_64")])),
        tasks in 1..40_u32,
        restarts in any::<u64>(),
        from in 0..3_usize,
    ) {
        let state = state(&machines);
        let subnets: Vec<String> = (from..3).map(|zone| format!("subnet-{}", ZONES[zone])).collect();
        let network = AwsVpcConfiguration { subnets: Some(subnets), ..AwsVpcConfiguration::default() };
        let want = Want { account: "1", cpu: cpu * 256, memory_mib: memory * 512, architecture, network: &network };
        let (mut draft, mut peers, mut mint) = (Draft::new(&state), Peers::default(), Mint::new(1));
        for task in 0..tasks {
            // Another deployment: other peers over the same draft.
            if restarts >> task & 7 == 0 {
                peers = Peers::default();
            }
            let open = draft.subnets(&want).unwrap();
            let all = draft.candidates(&want, &open, &peers).ok();
            let wanted = all.and_then(|all| all.into_iter().next()).map(|best| best.rank);
            let found = draft.search(&want, &open, &mut peers).map(|found| found.rank);
            prop_assert_eq!(&found, &wanted);
            let placed = draft.place(&want, &mut peers, &mut mint);
            prop_assert_eq!(placed.is_ok(), wanted.is_some());
        }
    }
}
