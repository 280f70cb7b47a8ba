use longshore_api::ec2::*;
use longshore_model::network::Block;
use longshore_model::task::{Eni, Task, TaskStatus};
use longshore_model::{AccountId, Change, Record, network};
use longshore_wire::{Fault, Timestamp};

use super::*;
use crate::logs::testing::Bench;

const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

fn zones() -> Vec<String> {
    ZONES.map(str::to_owned).to_vec()
}

/// An account with its default network.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.apply(defaults(&bench.account, "us-east-1", &zones()));
    bench
}

fn filter(name: &str, values: &[&str]) -> Option<Vec<Filter>> {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Some(vec![Filter { name: Some(name.to_owned()), values: Some(values) }])
}

fn code<T>(outcome: Result<T, Fault>) -> &'static str {
    outcome.err().expect("a fault").code
}

fn subnets(bench: &Bench, request: DescribeSubnetsRequest) -> Result<Vec<Subnet>, Fault> {
    subnet::describe(&mut bench.context(), request).map(|answer| answer.subnets.unwrap())
}

#[test]
fn a_new_account_has_a_vpc_a_subnet_a_zone_and_a_security_group() {
    let bench = bench();
    let vpcs = vpc::describe(&mut bench.context(), DescribeVpcsRequest::default()).unwrap().vpcs.unwrap();
    assert_eq!(vpcs.len(), 1);
    assert_eq!(vpcs[0].cidr_block.as_deref(), Some("172.31.0.0/16"));
    assert_eq!(vpcs[0].is_default, Some(true));
    let mut subnets = subnets(&bench, DescribeSubnetsRequest::default()).unwrap();
    subnets.sort_by_key(|subnet| subnet.availability_zone.clone());
    let seen: Vec<_> = subnets
        .iter()
        .map(|subnet| {
            assert_eq!(subnet.vpc_id, vpcs[0].vpc_id);
            assert_eq!(subnet.available_ip_address_count, Some(4091));
            let text = |text: &Option<String>| text.clone().unwrap();
            (text(&subnet.availability_zone), text(&subnet.availability_zone_id), text(&subnet.cidr_block))
        })
        .collect();
    let wanted = [
        ("us-east-1a", "use1-az1", "172.31.0.0/20"),
        ("us-east-1b", "use1-az2", "172.31.16.0/20"),
        ("us-east-1c", "use1-az3", "172.31.32.0/20"),
    ];
    assert_eq!(seen, wanted.map(|(zone, id, cidr)| (zone.to_owned(), id.to_owned(), cidr.to_owned())));
    let groups = security_group::describe(&mut bench.context(), DescribeSecurityGroupsRequest::default());
    let groups = groups.unwrap().security_groups.unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].group_name.as_deref(), Some("default"));
    assert_eq!(groups[0].vpc_id, vpcs[0].vpc_id);
}

#[test]
fn the_default_network_is_the_same_each_time_and_another_for_each_account() {
    let keys = |account: &str, region: &str| {
        let account = AccountId::parse(account).unwrap();
        let changes = defaults(&account, region, &zones());
        changes.iter().map(Change::key).collect::<Vec<_>>()
    };
    let here = keys("123456789012", "us-east-1");
    assert_eq!(here, keys("123456789012", "us-east-1"));
    assert_ne!(here, keys("123456789012", "eu-west-1"));
    let ids = |keys: &[String]| keys.iter().map(|key| key[13..].to_owned()).collect::<Vec<_>>();
    assert!(ids(&here).iter().all(|id| !ids(&keys("999999999999", "us-east-1")).contains(id)));
}

#[test]
fn default_subnets_lie_apart_within_their_vpc_whatever_the_number_of_zones() {
    let account = AccountId::parse("123456789012").unwrap();
    let many: Vec<String> = (0..20).map(|index| format!("zone-{index}")).collect();
    let mut next = Block::parse("172.31.0.0/16").unwrap().base;
    for change in defaults(&account, "us-east-1", &many) {
        if let Change::Put(Record::Subnet(subnet)) = change {
            let block = Block::parse(&subnet.cidr).unwrap();
            assert_eq!(block.base, next);
            next += block.size() as u32;
        }
    }
    assert_eq!(next, Block::parse("172.32.0.0/16").unwrap().base);
}

#[test]
fn filters_narrow_and_unknown_ones_are_refused() {
    let bench = bench();
    let count = |filters| {
        let request = DescribeSubnetsRequest { filters, ..Default::default() };
        subnets(&bench, request).map(|subnets| subnets.len())
    };
    assert_eq!(count(filter("availability-zone", &["us-east-1a"])).unwrap(), 1);
    assert_eq!(count(filter("availability-zone", &["us-east-1a", "us-east-1b"])).unwrap(), 2);
    assert_eq!(count(filter("availability-zone", &["us-*"])).unwrap(), 3);
    assert_eq!(count(filter("cidr-block", &["172.31.??.0/20"])).unwrap(), 2);
    assert_eq!(count(filter("default-for-az", &["true"])).unwrap(), 3);
    assert_eq!(count(filter("default-for-az", &["false"])).unwrap(), 0);
    assert_eq!(count(filter("tag:Name", &["*"])).unwrap(), 0);
    assert_eq!(count(filter("vpc-id", &[])).unwrap(), 0);
    assert_eq!(code(count(filter("colour", &["red"]))), "InvalidParameterValue");
}

#[test]
fn ids_must_exist_and_be_the_callers() {
    let bench = bench();
    let other = AccountId::parse("999999999999").unwrap();
    bench.apply(defaults(&other, "us-east-1", &zones()));
    let foreign = defaults(&other, "us-east-1", &zones())[0].key()[13..].to_owned();
    for id in ["subnet-0", "", "vpc-0123456789abcdef0", foreign.as_str()] {
        let request = DescribeSubnetsRequest { subnet_ids: Some(vec![id.to_owned()]), ..Default::default() };
        assert_eq!(code(subnets(&bench, request)), "InvalidSubnetID.NotFound", "{id}");
    }
    let ids = Some(vec!["vpc-1".to_owned()]);
    let request = DescribeVpcsRequest { vpc_ids: ids, ..Default::default() };
    assert_eq!(code(vpc::describe(&mut bench.context(), request)), "InvalidVpcID.NotFound");
    let request = DescribeSecurityGroupsRequest { group_ids: Some(vec!["sg-1".to_owned()]), ..Default::default() };
    assert_eq!(code(security_group::describe(&mut bench.context(), request)), "InvalidGroup.NotFound");
    let request = DescribeSecurityGroupsRequest { group_names: Some(vec!["web".to_owned()]), ..Default::default() };
    assert_eq!(code(security_group::describe(&mut bench.context(), request)), "InvalidGroup.NotFound");
    let ids = Some(vec!["eni-1".to_owned()]);
    let request = DescribeNetworkInterfacesRequest { network_interface_ids: ids, ..Default::default() };
    assert_eq!(code(interface::describe(&mut bench.context(), request)), "InvalidNetworkInterfaceID.NotFound");
    let request = DescribeVpcsRequest { dry_run: Some(true), ..Default::default() };
    assert_eq!(code(vpc::describe(&mut bench.context(), request)), "DryRunOperation");
}

#[test]
fn pages_hold_each_subnet_once_and_tokens_belong_to_their_request() {
    let bench = Bench::new();
    let many: Vec<String> = (0..12).map(|index| format!("zone-{index}")).collect();
    bench.apply(defaults(&bench.account, "us-east-1", &many));
    let page = |next_token, filters| {
        let request = DescribeSubnetsRequest { max_results: Some(5), next_token, filters, ..Default::default() };
        subnet::describe(&mut bench.context(), request)
    };
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let answer = page(token, None).unwrap();
        seen.extend(answer.subnets.unwrap().into_iter().map(|subnet| subnet.subnet_id.unwrap()));
        token = answer.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 12);
    assert!(seen.is_sorted_by(|one, other| one < other));
    let token = page(None, None).unwrap().next_token;
    assert_eq!(code(page(token, filter("vpc-id", &["*"]))), "InvalidNextToken");
    assert_eq!(code(page(Some("forged".to_owned()), None)), "InvalidNextToken");
    for max_results in [0, -1, 4, 1001, i32::MAX] {
        let request = DescribeSubnetsRequest { max_results: Some(max_results), ..Default::default() };
        assert_eq!(code(subnets(&bench, request)), "InvalidParameterValue", "{max_results}");
    }
    let ids = Some(vec![seen[0].clone()]);
    let request = DescribeSubnetsRequest { max_results: Some(5), subnet_ids: ids, ..Default::default() };
    assert_eq!(code(subnets(&bench, request)), "InvalidParameterCombination");
}

/// A task whose interface is in the first subnet.
fn task(id: &str, eni: &str, last: TaskStatus, subnet: &network::Subnet, group: &str) -> Task {
    Task {
        account: "123456789012".to_owned(),
        cluster: "default".to_owned(),
        id: id.to_owned(),
        family: "web".to_owned(),
        revision: 1,
        service: None,
        node: Some("node".to_owned()),
        zone: Some(subnet.zone.clone()),
        desired: TaskStatus::Running,
        last,
        version: 1,
        launch_type: longshore_api::ecs::LaunchType::Fargate,
        capacity_provider: None,
        platform_version: None,
        cpu: 256,
        memory_mib: 512,
        group: None,
        started_by: None,
        overrides: None,
        ephemeral_storage_gib: None,
        storage_key: None,
        enable_execute_command: false,
        eni: Some(Eni {
            id: eni.to_owned(),
            attachment: "11111111-2222-4333-8444-555555555555".to_owned(),
            subnet: subnet.id.clone(),
            security_groups: vec![group.to_owned()],
            private_ip: format!("172.31.0.{}", 10 + id.len()),
            mac: "02:00:00:00:00:01".to_owned(),
            public_ip: (last == TaskStatus::Running).then(|| "203.0.113.7".to_owned()),
        }),
        balanced: None,
        containers: Vec::new(),
        health: None,
        tags: Vec::new(),
        stop_code: None,
        stopped_reason: None,
        created_at: Timestamp::from_millis(1_000),
        connectivity_at: (last == TaskStatus::Running).then(|| Timestamp::from_millis(2_000)),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        stopping_at: None,
        execution_stopped_at: None,
        stopped_at: (last == TaskStatus::Stopped).then(|| Timestamp::from_millis(3_000)),
    }
}

#[test]
fn the_interfaces_are_those_of_live_tasks() {
    let bench = bench();
    let (subnet, group) = {
        let state = bench.store.read();
        let subnet = state.subnets.iter().find(|(_, subnet)| subnet.cidr == "172.31.0.0/20").unwrap().1.clone();
        (subnet, state.security_groups.iter().next().unwrap().1.id.clone())
    };
    let running = task("a", "eni-1", TaskStatus::Running, &subnet, &group);
    let stopped = task("bb", "eni-2", TaskStatus::Stopped, &subnet, &group);
    let provisioning = task("ccc", "eni-3", TaskStatus::Provisioning, &subnet, &group);
    bench.apply([running, stopped, provisioning].map(Change::from).to_vec());
    let describe = |filters| {
        let request = DescribeNetworkInterfacesRequest { filters, ..Default::default() };
        interface::describe(&mut bench.context(), request).unwrap().network_interfaces.unwrap()
    };
    let all = describe(None);
    let ids: Vec<_> = all.iter().map(|eni| eni.network_interface_id.as_deref().unwrap()).collect();
    assert_eq!(ids, ["eni-1", "eni-3"]);
    assert_eq!(all[0].status, Some(NetworkInterfaceStatus::InUse));
    assert_eq!(all[1].status, Some(NetworkInterfaceStatus::Attaching));
    assert_eq!(all[0].vpc_id.as_deref(), Some(subnet.vpc.as_str()));
    assert_eq!(all[0].groups.as_ref().unwrap()[0].group_name.as_deref(), Some("default"));
    assert_eq!(all[0].private_dns_name.as_deref(), Some("ip-172-31-0-11.ec2.internal"));
    let public = all[0].association.as_ref().unwrap().public_ip.as_deref();
    assert_eq!(public, Some("203.0.113.7"));
    assert!(all[0].description.as_ref().unwrap().starts_with("arn:aws:ecs:us-east-1:123456789012:attachment/1111"));
    assert_eq!(describe(filter("association.public-ip", &["203.0.113.7"])).len(), 1);
    assert_eq!(describe(filter("status", &["in-use"])).len(), 1);
    assert_eq!(describe(filter("description", &["*attachment/11111111-*"])).len(), 2);
    let request = DescribeSubnetsRequest { subnet_ids: Some(vec![subnet.id.clone()]), ..Default::default() };
    assert_eq!(subnets(&bench, request).unwrap()[0].available_ip_address_count, Some(4089));
}

#[test]
fn there_is_one_region() {
    let bench = Bench::new();
    let describe = |request| zone::regions(&mut bench.context(), request).map(|it| it.regions.unwrap());
    let all = describe(DescribeRegionsRequest::default()).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].region_name.as_deref(), Some("us-east-1"));
    let request = DescribeRegionsRequest { filters: filter("region-name", &["eu-*"]), ..Default::default() };
    assert!(describe(request).unwrap().is_empty());
    let request = DescribeRegionsRequest { region_names: Some(vec!["eu-west-1".into()]), ..Default::default() };
    assert_eq!(code(describe(request)), "InvalidParameterValue");
}

#[test]
fn zones_come_from_the_settings() {
    let bench = Bench::new();
    let describe = |request| zone::describe(&mut bench.context(), request).map(|it| it.availability_zones.unwrap());
    let all = describe(DescribeAvailabilityZonesRequest::default()).unwrap();
    let names: Vec<_> = all.iter().map(|zone| zone.zone_name.as_deref().unwrap()).collect();
    assert_eq!(names, ["us-east-1a", "us-east-1b"]);
    let request = DescribeAvailabilityZonesRequest { zone_ids: Some(vec!["use1-az2".into()]), ..Default::default() };
    assert_eq!(describe(request).unwrap()[0].zone_name.as_deref(), Some("us-east-1b"));
    let request = DescribeAvailabilityZonesRequest { zone_names: Some(vec!["mars-1a".into()]), ..Default::default() };
    assert_eq!(code(describe(request)), "InvalidParameterValue");
}
