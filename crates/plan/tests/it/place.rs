//! Where tasks go: zones, nodes, addresses, and why not.

use longshore_api::ecs;
use longshore_model::task::Task;
use longshore_model::{Change, TableName};
use longshore_plan::launch::{self, Launch};
use longshore_plan::place::{Draft, Peers, Refusal};

use crate::world::{ACCOUNT, World, definition, network, node, subnet};

/// Place `count` standalone tasks in one turn; `node zone private public` of each, then the first refusal's detail.
fn place(world: &mut World, count: usize, network: &ecs::AwsVpcConfiguration) -> (Vec<String>, Option<Refusal>) {
    let definition = definition(1, false);
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
        network,
        enable_execute_command: false,
        tags: &[],
        pins: &[],
        storage_key: None,
    };
    let state = world.state.clone();
    let (mut draft, mut peers) = (Draft::new(&state), Peers::default());
    let (mut placed, mut refused, mut changes) = (Vec::new(), None, Vec::new());
    for _ in 0..count {
        match launch::task(&launch, &mut draft, &mut peers, world.now, &mut world.mint) {
            Ok(task) => {
                let eni = task.eni.clone().unwrap();
                let public = eni.public_ip.unwrap_or_default();
                let (node, zone) = (task.node.clone().unwrap(), task.zone.clone().unwrap());
                placed.push(format!("{node} {zone} {} {public}", eni.private_ip).trim().to_owned());
                changes.push(task.into());
            }
            Err(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    world.apply(changes);
    (placed, refused)
}

#[test]
fn one_node_serves_every_zone_that_has_no_node() {
    let mut world = World::new();
    let (placed, _) = place(&mut world, 3, &network(false));
    assert_eq!(placed, ["n1 us-east-1a 172.31.0.4", "n1 us-east-1b 172.31.16.4", "n1 us-east-1a 172.31.0.5"]);
}

#[test]
fn tasks_spread_over_zones_and_nodes() {
    let mut world = World::new();
    world.put(node("n2", "a", 8 * 256, 8 * 512));
    world.put(node("n3", "b", 8 * 256, 8 * 512));
    let (placed, _) = place(&mut world, 4, &network(false));
    let nodes: Vec<&str> = placed.iter().map(|text| &text[..2]).collect();
    assert_eq!(nodes, ["n1", "n3", "n2", "n3"]);
}

#[test]
fn a_zone_whose_node_is_away_is_not_served_by_others() {
    let mut world = World::new();
    world.put(node("n2", "b", 256, 512));
    let now = world.now;
    world.edit_node("n2", |node| {
        node.disconnect(1, now);
    });
    let only_b = ecs::AwsVpcConfiguration { subnets: Some(vec!["subnet-b".into()]), ..network(false) };
    let (placed, refused) = place(&mut world, 1, &only_b);
    assert_eq!(
        (placed.len(), refused.map(|why| why.detail())),
        (0, Some("AGENT: no Fargate node is connected in us-east-1b".to_owned()))
    );
}

#[test]
fn refusals_name_the_cause_that_came_furthest() {
    let mut world = World::new();
    world.put(node("n1", "a", 512, 4096));
    world.put(node("n2", "a", 4096, 256));
    let (placed, refused) = place(&mut world, 3, &network(false));
    assert_eq!(placed.len(), 2);
    assert_eq!(
        refused.clone().map(|why| why.detail()).as_deref(),
        Some("RESOURCE:MEMORY: 512 MiB are wanted, at most 256 MiB are free on one node")
    );
    assert_eq!(
        refused.map(|why| why.reason()),
        Some("Capacity is unavailable at this time. Please try again later or in a different availability zone")
    );
    world.edit_node("n1", |node| node.connected = false);
    world.edit_node("n2", |node| node.connected = false);
    let (_, refused) = place(&mut world, 1, &network(false));
    assert_eq!(refused, Some(Refusal::Disconnected));
    world.edit_node("n1", |node| node.status = "INACTIVE".into());
    world.edit_node("n2", |node| node.status = "INACTIVE".into());
    assert_eq!(place(&mut world, 1, &network(false)).1, Some(Refusal::NoNode));
}

#[test]
fn a_subnet_gives_each_address_once_and_comes_round() {
    let mut world = World::new();
    world.put(subnet("a", "172.31.0.0/28"));
    let only_a = ecs::AwsVpcConfiguration { subnets: Some(vec!["subnet-a".into()]), ..network(false) };
    let (placed, refused) = place(&mut world, 12, &only_a);
    let last: Vec<&str> = placed.iter().filter_map(|text| text.rsplit('.').next()).collect();
    assert_eq!(last, ["4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"], "neither 0 to 3 nor the last");
    assert_eq!(refused.map(|why| why.reason()), Some("RESOURCE:ENI"));

    let free = |world: &mut World, address: &str| {
        let task = world.state.tasks.iter().map(|(_, task)| task.clone());
        let task = task
            .into_iter()
            .find(|task| !task.is_stopped() && task.eni.as_ref().is_some_and(|eni| eni.private_ip == address));
        world.report_status(&task.unwrap().key(), longshore_model::task::TaskStatus::Stopped);
    };
    free(&mut world, "172.31.0.5");
    free(&mut world, "172.31.0.9");
    let (placed, _) = place(&mut world, 1, &only_a);
    assert_eq!(placed, ["n1 us-east-1a 172.31.0.5"]);
    free(&mut world, "172.31.0.5");
    let (placed, _) = place(&mut world, 1, &only_a);
    assert_eq!(placed, ["n1 us-east-1a 172.31.0.9"], "the address freed last comes last");
}

#[test]
fn public_addresses_come_from_the_nodes_pool_without_its_edges() {
    let mut world = World::new();
    world.edit_node("n1", |node| node.public_pool = Some("198.19.7.248/29".into()));
    let (placed, refused) = place(&mut world, 8, &network(true));
    let public: Vec<&str> = placed.iter().filter_map(|text| text.rsplit(' ').next()).collect();
    let expected: Vec<String> = (248..=254).map(|last| format!("198.19.7.{last}")).collect();
    assert_eq!(public, expected);
    assert_eq!(refused, Some(Refusal::NoPublicAddress { node: "n1".into() }));

    let mut world = World::new();
    let (placed, _) = place(&mut world, 1, &network(true));
    assert!(placed[0].ends_with(" 198.19.7.2"), "{placed:?}");
}

#[test]
fn without_security_groups_the_default_one_is_used() {
    let mut world = World::new();
    place(&mut world, 1, &network(false));
    let task = world.state.tasks.iter().next().unwrap().1.clone();
    assert_eq!(task.eni.as_ref().unwrap().security_groups, ["sg-default"]);
}

#[test]
fn accounts_whose_networks_are_alike_share_a_node_without_sharing_an_address() {
    let mut world = World::new();
    let only_a = ecs::AwsVpcConfiguration { subnets: Some(vec!["subnet-a".into()]), ..network(false) };
    place(&mut world, 2, &only_a);
    for task in world.live() {
        world.put(Change::Delete(TableName::Task, task.key()));
        world.put(Task { account: "222222222222".to_owned(), ..task });
    }
    let (placed, _) = place(&mut world, 1, &only_a);
    assert_eq!(placed, ["n1 us-east-1a 172.31.0.6"]);
}

#[test]
fn after_a_reset_addresses_go_on_behind_those_that_may_still_be_in_use() {
    let mut world = World::new();
    let (before, _) = place(&mut world, 2, &network(true));
    let gone: Vec<Change> = world.state.records().map(|row| Change::Delete(row.table(), row.key())).collect();
    let kept: Vec<Change> =
        world.state.records().filter(|row| row.table() != TableName::Task).map(Change::Put).collect();
    gone.iter().chain(&kept).for_each(|change| world.state.apply(change));
    assert!(world.state.tasks.is_empty());
    let (after, _) = place(&mut world, 2, &network(true));
    assert_eq!(before, ["n1 us-east-1a 172.31.0.4 198.19.7.2", "n1 us-east-1b 172.31.16.4 198.19.7.3"]);
    assert_eq!(after, ["n1 us-east-1a 172.31.0.5 198.19.7.4", "n1 us-east-1b 172.31.16.5 198.19.7.5"]);
}
