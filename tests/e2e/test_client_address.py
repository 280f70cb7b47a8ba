"""Whom the targets of network load balancers see: the client, where its group says so and it can be, else the balancer."""

import ipaddress
import socket
import subprocess
import sys

import pytest

from account import container, eventually, short, unique
from conftest import ROOM, Instance
from test_elb_traffic import address

# This machine and one outside, which are joined by a cable.
HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"

PORT = 8090

# Tells whom it sees: connections at port 80, datagrams at port 81.
WITNESS = """
import socket, threading

def connections():
    listener = socket.create_server(("0.0.0.0", 80))
    while True:
        stream, caller = listener.accept()
        stream.sendall(("%s %s" % caller).encode())
        stream.close()

threading.Thread(target=connections).start()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 81))
while True:
    caller = datagrams.recvfrom(64)[1]
    datagrams.sendto(("%s %s" % caller).encode(), caller)
"""

# Who it is and whom the target sees, by a connection or a datagram.
CLIENT = """
import socket, sys

kind, host, port = sys.argv[1:]
client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
client.settimeout(20)
client.connect((host, int(port)))
client.send(b"who?")
print(*client.getsockname(), client.recv(64).decode())
"""


@pytest.fixture(scope="module")
def outside():
    """The namespace that is a machine outside."""
    name, near, far = (f"{kind}{unique()[2:10]}" for kind in ("client-", "cn", "cf"))
    run = lambda line: subprocess.run(["ip", *line.split()], check=True)
    run(f"netns add {name}")
    try:
        run(f"link add {near} type veth peer name {far} netns {name}")
        run(f"address add {HOST}/30 dev {near}")
        run(f"link set {near} up")
        run(f"-n {name} address add {OUTSIDE}/30 dev {far}")
        run(f"-n {name} link set {far} up")
        yield name
    finally:
        run(f"netns delete {name}")


@pytest.fixture(scope="module")
def instance(outside, python_archive):
    """An instance whose balancers are reached from outside, with an image that runs Python."""
    made = Instance(*ROOM, "--balancer-address", HOST)
    try:
        made.start()
        done = made.command("image", "import", python_archive, "--tag", "python:latest")
        assert done.returncode == 0, done.stderr
        made.lend_execution_role()
        yield made
    finally:
        made.remove()


class Flows:
    """A network load balancer with a listener of both transports, and a target in its first subnet."""

    def __init__(self, account, cluster):
        self.account, self.cluster = account, cluster
        self.elb = account.instance.client("elbv2", account.key)
        self.near, self.far = account.places[0][:2]
        found = account.ec2.describe_subnets(SubnetIds=[self.near])["Subnets"][0]
        self.vpc, self.gateway = found["VpcId"], str(ipaddress.ip_network(found["CidrBlock"])[1])
        made = self.elb.create_load_balancer(Name=unique(), Type="network", Subnets=[self.near])["LoadBalancers"][0]
        self.arn, self.name = made["LoadBalancerArn"], made["DNSName"]
        self.address = made["AvailabilityZones"][0]["LoadBalancerAddresses"][0]["IpAddress"]
        task = self.run(self.near, "-c", WITNESS)
        self.account.until(cluster, task, "RUNNING")
        self.target = address(account, cluster, task)
        self.groups = {kind: self.serve(kind.upper(), PORT + place, 80 + place) for place, kind in enumerate(["tcp", "udp"])}

    def run(self, subnet, *command, **fields):
        network = {"awsvpcConfiguration": {"subnets": [subnet], "assignPublicIp": "DISABLED"}}
        definition = self.account.define(
            container("main", image="python:latest", command=list(command), **fields),
            executionRoleArn="arn:aws:iam::000000000000:role/ecsTaskExecutionRole")
        return self.account.run(self.cluster, definition, networkConfiguration=network)[0]["taskArn"]

    def serve(self, protocol, port, target_port):
        group = self.elb.create_target_group(
            Name=unique(), Protocol=protocol, Port=target_port, VpcId=self.vpc, TargetType="ip", HealthCheckPort="80",
            HealthCheckProtocol="TCP", HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2)["TargetGroups"][0]["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=group, Targets=[{"Id": self.target}])
        self.elb.create_listener(LoadBalancerArn=self.arn, Protocol=protocol, Port=port,
                                 DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
        health = lambda: self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        eventually(lambda: [one["TargetHealth"]["State"] for one in health()] == ["healthy"])
        return group

    def preserve(self, value):
        self.elb.modify_target_group_attributes(
            TargetGroupArn=self.groups["tcp"], Attributes=[{"Key": "preserve_client_ip.enabled", "Value": value}])

    def from_task(self, subnet):
        """Who a task is, and whom the target sees, by either transport."""
        group, prefix = "/e2e/clients", unique()
        log = {"logDriver": "awslogs", "options": {
            "awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": prefix,
            "awslogs-create-group": "true"}}
        script = "import sys\nfor words in (%r, %r):\n    sys.argv[1:] = words\n    exec(%r)" % (
            ["tcp", self.name, str(PORT)], ["udp", self.name, str(PORT + 1)], CLIENT)
        task = self.run(subnet, "-c", script, logConfiguration=log)
        self.account.until(self.cluster, task, "STOPPED")
        lines = eventually(lambda: self.account.lines(group, f"{prefix}/main/{short(task)}"))
        return [parse(line) for line in lines]

    def remove(self):
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)
        for group in self.groups.values():
            self.elb.delete_target_group(TargetGroupArn=group)


def parse(line):
    """Who somebody is and whom the target sees, as addresses with ports."""
    own, port, seen, seen_port = line.split()
    return (own, port), (seen, seen_port)


def ask(host, port, *prefix):
    """Who a client on this machine is, or one by a command before it, and whom the target sees."""
    done = subprocess.run([*prefix, sys.executable, "-c", CLIENT, "tcp", host, str(port)], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return parse(done.stdout)


@pytest.fixture(scope="module")
def flows(instance):
    account = instance.account()
    cluster = account.cluster()
    made = Flows(account, cluster)
    yield made
    for arn in account.tasks(cluster):
        account.ecs.stop_task(cluster=cluster, task=arn)
    made.remove()


def test_a_target_sees_a_client_outside_if_its_group_preserves_addresses(flows, outside):
    from_outside = lambda: ask(HOST, PORT, "ip", "netns", "exec", outside)
    own, seen = from_outside()
    assert (own[0], seen[0]) == (OUTSIDE, flows.gateway)
    flows.preserve("true")
    eventually(lambda: from_outside()[1][0] == OUTSIDE)
    for _ in range(5):
        own, seen = from_outside()
        assert seen == own
    flows.preserve("false")
    eventually(lambda: from_outside()[1][0] == flows.gateway)


def test_a_client_that_cannot_be_shown_is_served_all_the_same(flows):
    flows.preserve("true")
    own, seen = ask(HOST, PORT)
    assert seen == own and own[0] == HOST
    own, seen = ask(flows.address, PORT)
    assert (own[0], seen[0]) == ("127.0.0.1", flows.gateway)


def test_tasks_are_shown_to_targets_of_other_subnets(flows):
    flows.preserve("true")
    for own, seen in flows.from_task(flows.far):
        assert seen == own
    for own, seen in flows.from_task(flows.near):
        assert seen[0] == flows.gateway != own[0]


def test_targets_of_datagrams_are_always_shown_their_clients(flows):
    modify = flows.elb.modify_target_group_attributes
    with pytest.raises(flows.elb.exceptions.InvalidConfigurationRequestException):
        modify(TargetGroupArn=flows.groups["udp"], Attributes=[{"Key": "preserve_client_ip.enabled", "Value": "false"}])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.bind((HOST, 0))
        client.connect((flows.address, PORT + 1))
        client.send(b"who?")
        assert client.recv(64).decode().split() == [str(word) for word in client.getsockname()]
