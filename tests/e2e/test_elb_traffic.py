"""Load balancers carry the traffic of real tasks: health, changes without a lost request, a control plane that is away."""

import gzip
import http.client
import threading
import time

import pytest

from account import container, eventually, short, unique
from balancing import Balancer, Load, ask
from disk import below, files
import half

# Tells its address, and is in bad health while /tmp/ill is there.
SCRIPT = """mkdir -p /www/cgi-bin
cat > /www/cgi-bin/health <<'END'
#!/bin/sh
[ -e /tmp/ill ] && printf 'Status: 500 Ill\\r\\n\\r\\n' || printf 'Status: 200 OK\\r\\n\\r\\nwell'
END
cat > /www/cgi-bin/ill <<'END'
#!/bin/sh
touch /tmp/ill; printf 'Status: 200 OK\\r\\n\\r\\n'
END
cat > /www/cgi-bin/well <<'END'
#!/bin/sh
rm -f /tmp/ill; printf 'Status: 200 OK\\r\\n\\r\\n'
END
cat > /www/cgi-bin/address <<'END'
#!/bin/sh
printf 'Status: 200 OK\\r\\n\\r\\n'; hostname -i
END
chmod +x /www/cgi-bin/*
exec httpd -f -p 80 -h /www
"""


def address(account, cluster, arn):
    details = account.task(cluster, arn)["attachments"][0]["details"]
    return next(one["value"] for one in details if one["name"] == "privateIPv4Address")


def run_web(account, cluster, count, **fields):
    """Addresses of so many tasks that serve HTTP, by their ids."""
    definition = account.define(container("web", **({"image": "my-web-app:latest"} | fields)))
    arns = [task["taskArn"] for task in account.run(cluster, definition, count=count)]
    for arn in arns:
        account.until(cluster, arn, "RUNNING")
    return {short(arn): address(account, cluster, arn) for arn in arns}


@pytest.fixture
def web(real):
    account = real.account()
    cluster, balancer = account.cluster(), Balancer(account)
    yield account, cluster, balancer
    for arn in account.tasks(cluster):
        account.ecs.stop_task(cluster=cluster, task=arn)
    balancer.remove()


def test_requests_go_round_all_healthy_targets(web):
    account, cluster, balancer = web
    eventually(lambda: balancer.ask()[0] == 503)
    tasks = run_web(account, cluster, 3)
    balancer.register(*tasks.values())
    balancer.until_healthy(3)
    answers = [balancer.ask() for _ in range(9)]
    expected = {f"Hello, World! from task {task}\n" for task in tasks}
    assert {status for status, _ in answers} == {200} and {body for _, body in answers} == expected
    # By any name, and on the next request: a rule is there as soon as it is told of.
    rule = balancer.elb.create_rule(
        ListenerArn=balancer.listener, Priority=1, Conditions=[{"Field": "path-pattern", "Values": ["/teapot*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "418", "MessageBody": "short"}}])
    eventually(lambda: balancer.ask("/teapot/1", host="any.example.com") == (418, "short"))
    assert balancer.ask("/tea")[0] == 200
    balancer.elb.delete_rule(RuleArn=rule["Rules"][0]["RuleArn"])
    eventually(lambda: balancer.ask("/teapot/1")[0] == 200)


def test_a_target_that_falls_ill_gets_no_requests_until_it_is_well(web):
    account, cluster, balancer = web
    balancer.elb.modify_target_group(TargetGroupArn=balancer.group, HealthCheckPath="/cgi-bin/health")
    busybox = {"image": "busybox:latest", "entryPoint": ["/bin/sh", "-c"], "command": [SCRIPT]}
    sick, sound = run_web(account, cluster, 2, **busybox).values()
    balancer.register(sick)
    balancer.until_healthy(1)
    assert balancer.ask("/cgi-bin/ill")[0] == 200
    eventually(lambda: balancer.health()[sick] == ("unhealthy", "Target.ResponseCodeMismatch"))
    # With nobody well the ill one is asked all the same.
    assert balancer.ask("/cgi-bin/health")[0] == 500
    balancer.register(sound)
    eventually(lambda: balancer.health()[sound] == ("healthy", None))
    assert {balancer.ask("/cgi-bin/health")[0] for _ in range(8)} == {200}
    balancer.deregister(sound)
    eventually(lambda: sound not in balancer.health())
    assert balancer.ask("/cgi-bin/well")[0] == 200
    eventually(lambda: balancer.health()[sick] == ("healthy", None))


def test_tasks_reach_a_balancer_by_its_name(web):
    account, cluster, balancer = web
    tasks = run_web(account, cluster, 1)
    balancer.register(*tasks.values())
    balancer.until_healthy(1)
    log = {"logDriver": "awslogs", "options": {
        "awslogs-group": "/e2e/inside", "awslogs-region": "us-east-1", "awslogs-stream-prefix": unique(),
        "awslogs-create-group": "true"}}
    ask = f"wget -q -O - http://{balancer.name}/ && ! wget -q -O - -T 2 http://{balancer.address}/"
    definition = account.define(
        container("ask", entryPoint=["/bin/sh", "-c"], command=[ask], logConfiguration=log),
        executionRoleArn="arn:aws:iam::000000000000:role/ecsTaskExecutionRole")
    arn = account.run(cluster, definition)[0]["taskArn"]
    stopped = account.until(cluster, arn, "STOPPED")
    stream = f"{log['options']['awslogs-stream-prefix']}/ask/{short(arn)}"
    said = eventually(lambda: account.lines("/e2e/inside", stream))
    assert (said[0], stopped["containers"][0]["exitCode"]) == (f"Hello, World! from task {list(tasks)[0]}", 0), said


class Zones:
    """A network load balancer in the first zones of the network, with a task in each of the first two."""

    PORT = 8_117

    def __init__(self, account, cluster):
        self.account, self.cluster = account, cluster
        subnets = sorted(account.ec2.describe_subnets()["Subnets"], key=lambda one: one["AvailabilityZone"])
        self.subnets = [subnet["SubnetId"] for subnet in subnets]
        self.elb = account.instance.client("elbv2", account.key)
        made = self.elb.create_load_balancer(Name=unique(), Type="network", Subnets=self.subnets[:2])["LoadBalancers"][0]
        self.arn, self.name = made["LoadBalancerArn"], made["DNSName"]
        self.group = self.elb.create_target_group(
            Name=unique(), Protocol="TCP", Port=80, VpcId=subnets[0]["VpcId"], TargetType="ip",
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"]
        self.elb.create_listener(LoadBalancerArn=self.arn, Protocol="TCP", Port=self.PORT, DefaultActions=[
            {"Type": "forward", "TargetGroupArn": self.group}])
        self.tasks = [self.run(subnet) for subnet in self.subnets[:2]]
        targets = [{"Id": address(account, cluster, arn)} for arn in self.tasks]
        self.elb.register_targets(TargetGroupArn=self.group, Targets=targets)
        eventually(lambda: self.states() == ["healthy", "healthy"])

    def run(self, subnet, *containers, **fields):
        """A task in this subnet, once it runs."""
        network = self.account.network(public=False)
        network["awsvpcConfiguration"]["subnets"] = [subnet]
        definition = self.account.define(*(containers or [container("web", image="my-web-app:latest")]), **fields)
        arn = self.account.run(self.cluster, definition, networkConfiguration=network)[0]["taskArn"]
        if not containers:
            self.account.until(self.cluster, arn, "RUNNING")
        return arn

    def remove(self):
        for arn in self.tasks:
            self.account.ecs.stop_task(cluster=self.cluster, task=arn)
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)
        self.elb.delete_target_group(TargetGroupArn=self.group)

    def addresses(self):
        """One of each zone."""
        zones = self.elb.describe_load_balancers(LoadBalancerArns=[self.arn])["LoadBalancers"][0]["AvailabilityZones"]
        return [one["IpAddress"] for zone in zones for one in zone["LoadBalancerAddresses"]]

    def states(self):
        health = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return sorted(one["TargetHealth"]["State"] for one in health)

    def cross(self, of, value):
        attribute = {"Key": "load_balancing.cross_zone.enabled", "Value": value}
        if of == "balancer":
            self.elb.modify_load_balancer_attributes(LoadBalancerArn=self.arn, Attributes=[attribute])
        else:
            self.elb.modify_target_group_attributes(TargetGroupArn=self.group, Attributes=[attribute])

    def reached(self, *places):
        """For each address which tasks answer twelve connections; `-` stands for none."""
        names = {f"Hello, World! from task {short(arn)}\n": str(index) for index, arn in enumerate(self.tasks)}

        def one(place):
            answers = [ask(http.client.HTTPConnection(place, self.PORT, timeout=30), "/", self.name) for _ in range(12)]
            return "".join(sorted({names[body] if status == 200 else "-" for status, body in answers}))
        return [one(place) for place in places]


@pytest.fixture
def zones(real):
    account = real.account()
    made = Zones(account, account.cluster())
    yield made
    made.remove()


def test_an_address_leads_to_its_zone_and_the_name_to_all(zones):
    first, second = zones.addresses()
    assert first != second
    assert zones.reached(first, second, "127.0.0.1") == ["0", "1", "01"]
    # A zone that comes has an address of its own, at which nobody serves while its targets are none.
    zones.account.instance.aws("elbv2", "set-subnets", "--load-balancer-arn", zones.arn, "--subnets", *zones.subnets[:3])
    *before, third = zones.addresses()
    assert before == [first, second]
    eventually(lambda: zones.reached(third) == ["-"])
    assert zones.reached("127.0.0.1") == ["01"]
    # The VPC's resolver leaves it out.
    log = {"logDriver": "awslogs", "options": {
        "awslogs-group": "/e2e/zones", "awslogs-region": "us-east-1", "awslogs-stream-prefix": unique(),
        "awslogs-create-group": "true"}}
    arn = zones.run(
        zones.subnets[0], container("ask", entryPoint=["nslookup", zones.name], logConfiguration=log),
        executionRoleArn="arn:aws:iam::000000000000:role/ecsTaskExecutionRole")
    zones.account.until(zones.cluster, arn, "STOPPED")
    stream = f"{log['options']['awslogs-stream-prefix']}/ask/{short(arn)}"
    said = eventually(lambda: zones.account.lines("/e2e/zones", stream))
    told = {line.split()[-1] for line in said if line.startswith("Address") and " 240." in line}
    assert told == {place.replace("127.", "240.", 1) for place in (first, second)}, said
    # The balancer's word, and the group's over it.
    zones.cross("balancer", "true")
    eventually(lambda: zones.reached(first, second, third) == ["01", "01", "01"])
    zones.cross("group", "false")
    eventually(lambda: zones.reached(first, second, third) == ["0", "1", "-"])
    zones.cross("group", "true")
    zones.cross("balancer", "false")
    eventually(lambda: zones.reached(first, second, third) == ["01", "01", "01"])
    # A zone that goes takes its address along, and has no requests for its targets.
    zones.elb.set_subnets(LoadBalancerArn=zones.arn, Subnets=zones.subnets[1:3])
    assert zones.addresses() == [second, third]
    eventually(lambda: zones.reached(first, second, third) == ["-", "1", "1"])
    assert zones.states() == ["healthy", "unused"]


def test_no_request_is_lost_while_targets_come_and_go(web):
    account, cluster, balancer = web
    tasks = run_web(account, cluster, 3)
    first, second, third = tasks.values()
    balancer.register(first, second)
    balancer.until_healthy(2)
    with Load(balancer) as load:
        for _ in range(5):
            balancer.register(third)
            eventually(lambda: balancer.health().get(third, ("",))[0] == "healthy")
            balancer.deregister(first)
            eventually(lambda: first not in balancer.health())
            balancer.register(first)
            eventually(lambda: balancer.health().get(first, ("",))[0] == "healthy")
            balancer.deregister(third)
            eventually(lambda: third not in balancer.health())
    assert not load.failures, load.failures[:5]
    assert len(load.bodies) == 3 and load.count > 100


def test_a_target_that_is_deregistered_gets_nothing_more_and_ends_what_it_has_begun(web):
    account, cluster, balancer = web
    script = SCRIPT.replace("touch /tmp/ill", "sleep 5")
    busybox = {"image": "busybox:latest", "entryPoint": ["/bin/sh", "-c"], "command": [script]}
    one, other = run_web(account, cluster, 2, **busybox).values()
    balancer.elb.modify_target_group(TargetGroupArn=balancer.group, HealthCheckPath="/cgi-bin/health")
    balancer.elb.modify_target_group_attributes(TargetGroupArn=balancer.group, Attributes=[
        {"Key": "deregistration_delay.timeout_seconds", "Value": "30"}])
    balancer.register(one)
    balancer.until_healthy(1)
    answers = []
    begun = threading.Thread(target=lambda: answers.append(balancer.ask("/cgi-bin/ill")))
    begun.start()
    balancer.register(other)
    eventually(lambda: balancer.health().get(other, ("",))[0] == "healthy")
    balancer.deregister(one)
    assert balancer.health()[one] == ("draining", "Target.DeregistrationInProgress")
    eventually(lambda: balancer.ask("/cgi-bin/address")[1].split() == [other])
    assert {balancer.ask("/cgi-bin/address")[1].strip() for _ in range(8)} == {other} and begun.is_alive()
    begun.join()
    assert answers == [(200, "")]


@pytest.fixture
def halves():
    with half.both("my-web-app") as halves:
        yield halves


def test_the_edge_serves_on_while_the_control_plane_is_away(halves):
    server, _ = halves
    account = server.account()
    cluster, balancer = account.cluster(), Balancer(account)
    tasks = run_web(account, cluster, 2)
    balancer.register(*tasks.values())
    balancer.until_healthy(2)
    with Load(balancer) as load:
        server.kill()
        asked = load.count
        eventually(lambda: load.count > asked + 200)
        server.start()
        balancer.deregister(list(tasks.values())[0])
        eventually(lambda: len(balancer.health()) == 1)
    assert not load.failures, load.failures[:5]
    assert {balancer.ask()[1] for _ in range(4)} == {f"Hello, World! from task {list(tasks)[1]}\n"}


def test_no_request_is_lost_while_thousands_of_targets_change(web):
    account, cluster, balancer = web
    tasks = run_web(account, cluster, 2)
    balancer.register(*tasks.values())
    balancer.until_healthy(2)
    # Of a network that nobody has: they are never healthy.
    away = [{"Id": f"10.255.{block}.{number}", "AvailabilityZone": "all"} for block in range(2) for number in range(1, 101)]
    with Load(balancer) as load:
        began = time.monotonic()
        for _ in range(10):
            for first in range(0, len(away), 100):
                balancer.elb.register_targets(TargetGroupArn=balancer.group, Targets=away[first:first + 100])
            for first in range(0, len(away), 100):
                balancer.elb.deregister_targets(TargetGroupArn=balancer.group, Targets=away[first:first + 100])
        took = time.monotonic() - began
    print(f"{20 * len(away) / took:.0f} changes and {load.count / took:.0f} requests a second")
    assert not load.failures, load.failures[:5]
    assert len(load.bodies) == 2


def test_a_change_is_in_force_milliseconds_after_its_call(web):
    _, _, balancer = web
    waits = []
    for number in range(20):
        balancer.elb.modify_listener(ListenerArn=balancer.listener, DefaultActions=[
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": str(number)}}])
        answered = time.monotonic()
        eventually(lambda: balancer.ask() == (200, str(number)), every=0.001)
        waits.append(time.monotonic() - answered)
    print(f"visible after {sorted(waits)[len(waits) // 2] * 1000:.1f} ms, at most {max(waits) * 1000:.1f} ms")


def test_a_rolling_update_of_ten_tasks_loses_no_request(web):
    account, cluster, balancer = web
    definition = account.define(container(
        "web", image="my-web-app:latest", stopTimeout=5, portMappings=[{"containerPort": 80}]))
    behind = {"targetGroupArn": balancer.group, "containerName": "web", "containerPort": 80}
    service = account.serve(cluster, definition, desiredCount=10, loadBalancers=[behind])
    account.until_steady(cluster, service)
    balancer.until_healthy(10)
    before = set(account.tasks(cluster, serviceName=service))
    with Load(balancer, clients=8, rate=500) as load:
        began = time.monotonic()
        account.ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True)
        account.until_steady(cluster, service)
        eventually(lambda: not before & set(account.tasks(cluster, serviceName=service)))
        took = time.monotonic() - began
    print(f"{load.count / took:.0f} requests a second for {took:.1f} s")
    assert not load.failures, load.failures[:5]
    assert len(load.bodies) > 10
    account.ecs.delete_service(cluster=cluster, service=service, force=True)


def test_access_logs_are_whole_when_the_node_ends(halves):
    server, agent = halves
    balancer = Balancer(server.account())
    balancer.elb.modify_load_balancer_attributes(LoadBalancerArn=balancer.arn, Attributes=[
        {"Key": "access_logs.s3.enabled", "Value": "true"}, {"Key": "access_logs.s3.bucket", "Value": "logs"}])
    logs = agent.data_dir / "access-logs" / "logs"

    def is_logged():
        balancer.ask("/asked")
        return [path for path in below(logs) if path.name.endswith(".log.gz.part")]

    eventually(is_logged)
    assert balancer.ask("/last")[0] == 503
    agent.stop()
    written = files(logs)
    assert written and all(path.name.endswith(".log.gz") for path in written), written
    lines = "".join(gzip.decompress(path.read_bytes()).decode() for path in written)
    assert f"GET http://{balancer.name}:80/last HTTP/1.1" in lines, lines
