"""Services behind load balancers: tasks are targets while they run, serve by their targets' health, drain before they stop.
The engine only pretends that containers run, and its edge that every target is healthy."""

import re
import time

import pytest

from account import Account, container, eventually, unique
from conftest import Instance
from refusal import check_refused
from test_ecs_services import messages

WEB = container("web", portMappings=[{"containerPort": 80}, {"containerPort": 9000}])


@pytest.fixture(scope="module")
def instance():
    instance = Instance("--engine", "simulated").start()
    yield instance
    instance.remove()


class Balanced(Account):
    """An account with a cluster, and load balancers of its own."""

    def __init__(self, instance):
        super().__init__(instance)
        self.elb = instance.client("elbv2")
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.subnets, self.vpc = [subnet["SubnetId"] for subnet in subnets], subnets[0]["VpcId"]
        self.name = self.cluster()

    def group(self, delay=2, **fields):
        """ARN of a group whose targets drain for `delay` seconds."""
        given = {"Name": unique(), "Protocol": "HTTP", "Port": 80, "VpcId": self.vpc, "TargetType": "ip"}
        arn = self.elb.create_target_group(**given | fields)["TargetGroups"][0]["TargetGroupArn"]
        attributes = [{"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}]
        self.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=attributes)
        return arn

    def balance(self, *groups, subnets=None):
        """A load balancer with a listener for each of the groups."""
        made = self.elb.create_load_balancer(Name=unique(), Subnets=subnets or self.subnets)["LoadBalancers"][0]
        for port, group in enumerate(groups, 80):
            actions = [{"Type": "forward", "TargetGroupArn": group}]
            self.elb.create_listener(
                LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=port, DefaultActions=actions,
            )

    def behind(self, *groups, **fields):
        """The name of a service whose ports 80 and 9000 are of these groups."""
        entries = [entry(group, port) for group, port in zip(groups, (80, 9000))]
        return self.serve(self.name, self.define(WEB), **{"loadBalancers": entries} | fields)

    def health(self, group):
        """States of the group's targets by address and port."""
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {(one["Target"]["Id"], one["Target"]["Port"]): one["TargetHealth"]["State"] for one in found}

    def addresses(self, name, **fields):
        """Private addresses of the service's tasks."""
        arns = self.tasks(self.name, serviceName=name, **fields)
        tasks = self.ecs.describe_tasks(cluster=self.name, tasks=arns)["tasks"] if arns else []
        details = [one for task in tasks for one in task["attachments"][0]["details"]]
        return {one["value"] for one in details if one["name"] == "privateIPv4Address"}

    def until_complete(self, name):
        def check():
            service = self.service(self.name, name)
            [*others, last] = service["deployments"]
            return not others and last["rolloutState"] == "COMPLETED" and service
        return eventually(check)


def entry(group, port=80):
    return {"targetGroupArn": group, "containerName": "web", "containerPort": port}


@pytest.fixture(scope="module")
def site(instance):
    return Balanced(instance)


def test_a_web_service_by_the_cli(instance, site):
    def ecs(*words):
        return instance.aws("ecs", *words)

    group, admin = site.group(), site.group()
    site.balance(group, admin)
    first, second, name = site.define(WEB), site.define(WEB), unique()
    subnets = ",".join(site.subnets)
    made = ecs(
        "create-service", "--cluster", site.name, "--service-name", name, "--task-definition", first, "--desired-count",
        "2", "--launch-type", "FARGATE", "--network-configuration", f"awsvpcConfiguration={{subnets=[{subnets}]}}",
        "--health-check-grace-period-seconds", "30", "--load-balancers",
        f"targetGroupArn={group},containerName=web,containerPort=80",
        f"targetGroupArn={admin},containerName=web,containerPort=9000",
    )["service"]
    assert made["loadBalancers"] == [entry(group), entry(admin, 9000)]
    assert made["healthCheckGracePeriodSeconds"] == 30
    ecs("wait", "services-stable", "--cluster", site.name, "--services", name)
    old = site.addresses(name)
    assert site.health(group) == {(address, 80): "healthy" for address in old} and len(old) == 2
    assert site.health(admin) == {(address, 9000): "healthy" for address in old}
    site.until_complete(name)
    ecs("update-service", "--cluster", site.name, "--service", name, "--task-definition", second)
    service = site.until_complete(name)
    new = site.addresses(name)
    assert not new & old and service["runningCount"] == 2
    eventually(lambda: site.health(group) == {(address, 80): "healthy" for address in new})
    told = messages(service)
    # How many at a time is a matter of when which of them was healthy.
    for text, count in (
        (f"(service {name}) registered # targets in (target-group {group})", 4),
        (f"(service {name}) deregistered # targets in (target-group {admin})", 2),
        (f"(service {name}) has begun draining connections on # tasks.", 2),
    ):
        pattern = re.escape(text).replace(r"\#", r"(\d+)")
        found = [int(match[1]) for match in (re.fullmatch(pattern, message) for message in told) if match]
        assert sum(found) == count, (text, found, told)
    assert f"(service {name}) has reached a steady state." in told
    ecs("delete-service", "--cluster", site.name, "--service", name, "--force")
    ecs("wait", "services-inactive", "--cluster", site.name, "--services", name)
    eventually(lambda: not site.health(group) and not site.health(admin))


def test_a_stopped_task_drains_first(site):
    group = site.group(delay=5)
    site.balance(group)
    name = site.behind(group)
    site.until_complete(name)
    [arn] = site.tasks(site.name, serviceName=name)
    [address] = site.addresses(name)
    began = time.monotonic()
    task = site.ecs.stop_task(cluster=site.name, task=arn)["task"]
    assert (task["lastStatus"], task["desiredStatus"]) == ("DEACTIVATING", "STOPPED")
    assert site.health(group)[address, 80] == "draining"
    container = site.task(site.name, arn)["containers"][0]
    assert container["lastStatus"] == "RUNNING"
    site.until(site.name, arn, "STOPPED")
    assert time.monotonic() - began >= 5
    site.until_complete(name)


def test_a_task_that_ends_is_no_target_any_more(site):
    group = site.group(delay=300)
    site.balance(group)
    ends = WEB | {"dockerLabels": {"longshore.simulate.exit-after": "2"}}
    name = site.serve(site.name, site.define(ends), loadBalancers=[entry(group)])
    first = eventually(lambda: site.health(group))
    eventually(lambda: site.health(group) and not set(site.health(group)) & set(first))
    site.ecs.delete_service(cluster=site.name, service=name, force=True)


def test_other_load_balancers_roll_out(site):
    one, other = site.group(delay=0), site.group(delay=0)
    site.balance(one, other)
    name = site.behind(one)
    site.until_complete(name)
    update = {"cluster": site.name, "service": name}
    answer = site.ecs.update_service(**update, loadBalancers=[entry(other)])["service"]
    assert answer["loadBalancers"] == [entry(other)] and len(answer["deployments"]) == 2
    site.until_complete(name)
    eventually(lambda: not site.health(one))
    assert site.health(other) == {(address, 80): "healthy" for address in site.addresses(name)}
    answer = site.ecs.update_service(**update, healthCheckGracePeriodSeconds=9)["service"]
    assert len(answer["deployments"]) == 1 and answer["healthCheckGracePeriodSeconds"] == 9


def test_what_somebody_deregisters_is_registered_again(site):
    group = site.group(delay=1)
    site.balance(group)
    name = site.behind(group)
    site.until_complete(name)
    [(address, port)] = site.health(group)
    site.elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": address, "Port": port}])
    assert site.health(group) == {(address, port): "draining"}
    eventually(lambda: site.health(group) == {(address, port): "healthy"})


def test_a_service_in_a_zone_without_its_balancer_says_so(site):
    group = site.group(delay=0)
    probe = site.group(delay=0)
    site.balance(probe)
    name = site.behind(probe)
    site.until_complete(name)
    [arn] = site.tasks(site.name, serviceName=name)
    details = site.task(site.name, arn)["attachments"][0]["details"]
    [home] = [one["value"] for one in details if one["name"] == "subnetId"]
    site.balance(group, subnets=[subnet for subnet in site.subnets if subnet != home])
    network = {"awsvpcConfiguration": {"subnets": [home]}}
    name = site.behind(group, networkConfiguration=network)
    told = (
        f"(service {name}) (port 80) is unhealthy in (target-group {group}) due to (reason Target is in an Availability "
        "Zone that is not enabled for the load balancer)"
    )
    failed = f"Task failed ELB health checks in (target-group {group})"
    stopped = {"cluster": site.name, "serviceName": name, "desiredStatus": "STOPPED"}
    [arn, *_] = eventually(lambda: site.ecs.list_tasks(**stopped)["taskArns"])
    task = site.task(site.name, arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("ServiceSchedulerInitiated", failed)
    assert told in messages(site.service(site.name, name))
    site.ecs.delete_service(cluster=site.name, service=name, force=True)


REFUSED = {
    "no balancer": ("lonely", {}, "^The target group with targetGroupArn arn:[^ ]* does not have an associated load balancer.$"),
    "instances": ("instances", {}, "has target type instance, which is incompatible with the awsvpc network mode"),
    "container": ("web", {"containerName": "db"}, "^The container db does not exist in the task definition.$"),
    "port": ("web", {"containerPort": 81}, "^The container web did not have a container port 81 defined.$"),
}


@pytest.fixture(scope="module")
def groups(site):
    made = {"lonely": site.group(), "instances": site.group(TargetType="instance"), "web": site.group()}
    site.balance(made["web"])
    return made


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_balanced_is_refused(site, groups, name):
    group, members, words = REFUSED[name]
    given = {"serviceName": unique(), "loadBalancers": [entry(groups[group]) | members]}
    check_refused("InvalidParameterException", words, site.serve, site.name, site.define(WEB), **given)
    assert site.ecs.list_services(cluster=site.name)["serviceArns"].count(given["serviceName"]) == 0


def test_a_task_that_drains_stops_though_the_control_plane_was_killed():
    instance = Instance("--engine", "simulated").start()
    try:
        site = Balanced(instance)
        group = site.group(delay=4)
        site.balance(group)
        name = site.behind(group)
        site.until_complete(name)
        [arn] = site.tasks(site.name, serviceName=name)
        site.ecs.update_service(cluster=site.name, service=name, desiredCount=0)
        eventually(lambda: site.task(site.name, arn)["lastStatus"] == "DEACTIVATING")
        instance.kill()
        instance.start()
        site.until(site.name, arn, "STOPPED")
        eventually(lambda: not site.health(group))
    finally:
        instance.remove()
