"""What a user needs of EC2 and STS to fill in a network configuration."""

import ipaddress

import pytest

from account import container
from refusal import check_refused, refused


def test_the_default_network_is_there(account):
    vpc = account.ec2.describe_vpcs()["Vpcs"][0]
    assert vpc["CidrBlock"] == "172.31.0.0/16" and vpc["IsDefault"] and vpc["State"] == "available"
    subnets = account.ec2.describe_subnets()["Subnets"]
    zones = account.ec2.describe_availability_zones()["AvailabilityZones"]
    assert sorted(subnet["AvailabilityZone"] for subnet in subnets) == sorted(zone["ZoneName"] for zone in zones)
    networks = [ipaddress.ip_network(subnet["CidrBlock"]) for subnet in subnets]
    whole = ipaddress.ip_network(vpc["CidrBlock"])
    assert all(network.prefixlen == 20 and network.subnet_of(whole) for network in networks)
    assert len(set(networks)) == len(subnets) >= 3
    assert {subnet["VpcId"] for subnet in subnets} == {vpc["VpcId"]}
    assert all(subnet["SubnetArn"].endswith(subnet["SubnetId"]) and subnet["DefaultForAz"] for subnet in subnets)
    groups = account.ec2.describe_security_groups()["SecurityGroups"]
    assert [(group["GroupName"], group["VpcId"]) for group in groups] == [("default", vpc["VpcId"])]
    assert [region["RegionName"] for region in account.ec2.describe_regions()["Regions"]] == ["us-east-1"]


def test_filters_and_ids_choose(account):
    subnets, groups = account.places
    describe = account.ec2.describe_subnets
    assert [one["SubnetId"] for one in describe(SubnetIds=subnets[1:2])["Subnets"]] == subnets[1:2]
    zone = describe(SubnetIds=subnets[:1])["Subnets"][0]["AvailabilityZone"]
    by_zone = describe(Filters=[{"Name": "availability-zone", "Values": [zone, "nowhere"]}])["Subnets"]
    assert [one["SubnetId"] for one in by_zone] == subnets[:1]
    assert describe(Filters=[{"Name": "vpc-id", "Values": ["vpc-0"]}])["Subnets"] == []
    default = [{"Name": "group-name", "Values": ["def*"]}]
    assert [one["GroupId"] for one in account.ec2.describe_security_groups(Filters=default)["SecurityGroups"]] == groups
    check_refused("InvalidParameterValue", "", describe, Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


MISSING = [
    ("describe_vpcs", "VpcIds", "vpc-00000000000000000", "InvalidVpcID.NotFound"),
    ("describe_subnets", "SubnetIds", "subnet-00000000000000000", "InvalidSubnetID.NotFound"),
    ("describe_security_groups", "GroupIds", "sg-00000000000000000", "InvalidGroup.NotFound"),
    ("describe_network_interfaces", "NetworkInterfaceIds", "eni-00000000000000000",
     "InvalidNetworkInterfaceID.NotFound"),
]


@pytest.mark.parametrize("operation,member,id,code", MISSING)
def test_an_id_that_is_nobodys_is_not_found(account, operation, member, id, code):
    check_refused(code, f"'{id}' does not exist", getattr(account.ec2, operation), **{member: [id]})


def test_free_addresses_and_interfaces_follow_the_tasks(account):
    subnet = account.places[0][0]

    def free():
        return account.ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"]

    before = free()
    assert before == 4096 - 5
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    cluster = account.cluster()
    tasks = account.run(cluster, account.define(container()), count=3, networkConfiguration=network)
    assert free() == before - 3
    interfaces = account.ec2.describe_network_interfaces(Filters=[{"Name": "subnet-id", "Values": [subnet]}])
    assert len(interfaces["NetworkInterfaces"]) == 3
    assert all(one["Status"] == "in-use" and one["RequesterManaged"] for one in interfaces["NetworkInterfaces"])
    for task in tasks:
        account.ecs.stop_task(cluster=cluster, task=task["taskArn"])
        account.until(cluster, task["taskArn"], "STOPPED")
    assert free() == before
    assert account.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_the_caller_is_the_accounts_root(account):
    identity = account.sts.get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (account.id, f"arn:aws:iam::{account.id}:root")
    assert identity["UserId"] == account.id


def test_what_is_not_built_says_so(account):
    for call, given, name in [
        (account.ec2.run_instances, {"MinCount": 1, "MaxCount": 1}, "ec2:RunInstances"),
        (account.sts.get_access_key_info, {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE"}, "sts:GetAccessKeyInfo"),
    ]:
        code, message = refused(call, **given)
        assert code.startswith("UnsupportedOperation") and f"does not implement {name}" in message
