use longshore_link::edge::{EdgeConfiguration, HealthCheck, UnhealthyRouting};
use serde_json::json;

use super::*;
use crate::dial::Dialer;
use crate::front::Means;
use crate::health::Outcome;
use crate::member::Key;
use crate::seal::Seal;

/// A listener in zone `a`.
fn front() -> Front {
    let document = json!({"balancers": [{
        "arn": "web",
        "kind": "application",
        "addresses": [{"ip": "127.0.0.1", "zone": "a"}],
        "listeners": [{
            "arn": "front",
            "port": 80,
            "protocol": "HTTP",
            "defaultAction": {"type": "forward", "groups": [{"targetGroup": "g", "weight": 1}]},
        }],
    }]});
    let read: EdgeConfiguration = serde_json::from_value(document).expect("a configuration");
    let balancer = &read.balancers[0];
    let seal = Arc::new(Seal::new(None));
    let means = Means { tls: None, seal, tally: Arc::default(), log: None };
    Front::new(balancer, &Arc::new(balancer.listeners[0].clone()), &balancer.addresses[0], &BTreeMap::new(), means)
}

/// A group of targets that are called by their ports, of which the first so many are those that it began with.
fn group(settings: TargetGroup, count: u16, first: u16) -> Group {
    let target = |port| Target { port, ..target_of(None) };
    let targets: Vec<Target> =
        if settings.targets.is_empty() { (0..count).map(target).collect() } else { settings.targets.clone() };
    let settings = TargetGroup { targets, ..settings };
    let pulse = Arc::<Pulse>::default();
    let member = |target: &Target| {
        let key = Key::new("g", &settings, target);
        Arc::new(Member::new(key, Dialer::here(), pulse.clone(), Arc::default(), target.port < first))
    };
    let members = settings.targets.iter().map(member).collect();
    Group::new("g", settings, members, pulse, Arc::default())
}

fn target_of(zone: Option<&str>) -> Target {
    Target { zone: zone.map(str::to_owned), ..Target::new(([127, 0, 0, 1], 0).into()) }
}

fn slow() -> TargetGroup {
    TargetGroup { slow_start_seconds: 100, ..TargetGroup::default() }
}

/// A check finds these targets well (`+`), ill (`-`), or does not look (`.`).
fn check(group: &Group, outcomes: &str) {
    let check = HealthCheck { healthy_threshold: 1, unhealthy_threshold: 1, ..HealthCheck::default() };
    for (member, outcome) in group.members.iter().zip(outcomes.chars()) {
        match outcome {
            '+' => drop(member.learn(&Outcome::Success, &check)),
            '-' => drop(member.learn(&Outcome::Failed, &check)),
            _ => {}
        }
    }
}

/// How many of so many requests each target gets.
fn shares(group: &Group, requests: usize) -> Vec<usize> {
    let front = front();
    let mut shares = vec![0; group.members.len()];
    for _ in 0..requests {
        if let Some(busy) = group.choose(&front) {
            shares[usize::from(busy.member().key.port)] += 1;
        }
    }
    shares
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[test]
fn the_list_follows_health_and_registration() {
    let group = group(TargetGroup::default(), 3, 3);
    assert_eq!(shares(&group, 30), [10, 10, 10], "too few are healthy");
    check(&group, "++-");
    assert_eq!(shares(&group, 30), [15, 15, 0]);
    check(&group, "-.+");
    assert_eq!(shares(&group, 30), [0, 15, 15]);
    group.members[1].set_draining(true);
    assert_eq!(shares(&group, 30), [0, 0, 30]);
    group.members[2].set_draining(true);
    assert_eq!(shares(&group, 30), [30, 0, 0], "what is left is unhealthy");
    group.members[0].set_draining(true);
    assert_eq!(shares(&group, 30), [0, 0, 0]);
    group.members[1].set_draining(false);
    assert_eq!(shares(&group, 30), [0, 30, 0]);
}

#[test]
fn a_zone_has_a_list_of_its_own() {
    let targets = [(0, Some("a")), (1, Some("b")), (2, None)];
    let targets = targets.map(|(port, zone)| Target { port, ..target_of(zone) }).to_vec();
    let settings = TargetGroup { cross_zone: Some(false), targets, ..TargetGroup::default() };
    let group = group(settings, 3, 3);
    check(&group, "+++");
    assert_eq!(shares(&group, 30), [15, 0, 15]);
    let elsewhere = Front { zone: "c".into(), ..front() };
    assert_eq!(group.choose(&elsewhere).map(|busy| busy.member().key.port), Some(2));
    assert!(group.is_well(&elsewhere));
    check(&group, "..-");
    assert_eq!(shares(&group, 30), [30, 0, 0]);
    assert!(group.fails_open(&elsewhere) && !group.fails_open(&front()));
    assert!(!group.is_well(&elsewhere) && group.is_well(&front()));
}

#[test]
fn the_fewest_requests_win() {
    let settings = TargetGroup { algorithm: Algorithm::LeastOutstandingRequests, ..slow() };
    let group = group(settings, 3, 1);
    check(&group, "+++");
    let front = front();
    let busy: Vec<Busy> = (0..9).filter_map(|_| group.choose(&front)).collect();
    assert_eq!(group.members.iter().map(|member| member.outstanding()).collect::<Vec<_>>(), [3, 3, 3]);
    drop(busy);
    let _busy = (group.members[0].begin(), group.members[2].begin());
    assert_eq!(shares(&group, 30), [0, 30, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_target_beside_others_starts_slowly() {
    let group = group(slow(), 2, 1);
    check(&group, "++");
    let share = |seconds: usize| {
        let [_, new] = shares(&group, 4000)[..] else { panic!("two targets") };
        // What chance makes of it, with room to spare.
        let expected = 4000 * seconds / (100 + seconds);
        assert!(new.abs_diff(expected) < 200, "{new} after {seconds} seconds");
    };
    share(0);
    pass(25).await;
    share(25);
    pass(50).await;
    share(75);
    pass(25).await;
    assert_eq!(shares(&group, 4000), [2000, 2000]);
    // It leaves with its health and begins anew when it recovers.
    check(&group, ".-");
    assert_eq!(shares(&group, 4000), [4000, 0]);
    check(&group, ".+");
    share(0);
    pass(25).await;
    share(25);
}

#[tokio::test(start_paused = true)]
async fn the_first_targets_and_the_only_ones_have_their_whole_share() {
    let first = group(slow(), 2, 2);
    check(&first, "++");
    assert_eq!(shares(&first, 100), [50, 50]);
    check(&first, ".-");
    check(&first, ".+");
    assert!(shares(&first, 100)[1] < 50);
    let only = group(slow(), 3, 1);
    check(&only, "-++");
    assert_eq!(shares(&only, 100), [0, 50, 50]);
    let open = group(
        TargetGroup { unhealthy_routing: UnhealthyRouting { minimum_count: 3, minimum_percent: None }, ..slow() },
        3,
        1,
    );
    check(&open, "++-");
    assert_eq!(shares(&open, 30), [10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_unlike_the_others_gets_less_until_it_recovers() {
    let settings =
        TargetGroup { algorithm: Algorithm::WeightedRandom, anomaly_mitigation: true, ..TargetGroup::default() };
    let group = group(settings, 3, 3);
    check(&group, "+++");
    let front = front();
    let ask = |is_ill: bool| {
        let mut first = 0;
        for _ in 0..3000 {
            let busy = group.choose(&front).expect("a target");
            let is_first = busy.member().key.port == 0;
            busy.member().record.note(is_first && is_ill);
            first += usize::from(is_first);
        }
        first
    };
    // What chance makes of it, with room to spare: a third, then less, and all of it again.
    assert!(ask(true).abs_diff(1000) < 150);
    for _ in 0..4 {
        pass(10).await;
        ask(true);
    }
    assert!(ask(true) < 200);
    for _ in 0..5 {
        pass(10).await;
        ask(false);
    }
    assert!(ask(false).abs_diff(1000) < 150);
}
