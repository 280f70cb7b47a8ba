"""Load balancers in few words, and clients who count what they are answered."""

import http.client
import threading
import time

from account import eventually, unique


class Balancer:
    """An application load balancer with one listener of HTTP and one group of addresses."""

    def __init__(self, account, port=80, check_path="/health", delay=2, **group):
        self.elb = account.instance.client("elbv2", account.key)
        network = account.places[0]
        vpc = account.ec2.describe_subnets(SubnetIds=network[:1])["Subnets"][0]["VpcId"]
        made = self.elb.create_load_balancer(Name=unique(), Subnets=network)["LoadBalancers"][0]
        self.arn, self.name = made["LoadBalancerArn"], made["DNSName"]
        self.address = made["AvailabilityZones"][0]["LoadBalancerAddresses"][0]["IpAddress"]
        self.group = self.elb.create_target_group(**{
            "Name": unique(), "Protocol": "HTTP", "Port": port, "VpcId": vpc, "TargetType": "ip",
            "HealthCheckPath": check_path, "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2,
            "HealthyThresholdCount": 2, **group})["TargetGroups"][0]["TargetGroupArn"]
        self.elb.modify_target_group_attributes(TargetGroupArn=self.group, Attributes=[
            {"Key": "deregistration_delay.timeout_seconds", "Value": str(delay)}])
        self.listener = self.elb.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}])["Listeners"][0]["ListenerArn"]

    def remove(self):
        self.elb.delete_load_balancer(LoadBalancerArn=self.arn)
        self.elb.delete_target_group(TargetGroupArn=self.group)

    def register(self, *addresses):
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": address} for address in addresses])

    def deregister(self, *addresses):
        self.elb.deregister_targets(TargetGroupArn=self.group, Targets=[{"Id": address} for address in addresses])

    def health(self):
        """State and reason by address."""
        found = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: (one["TargetHealth"]["State"], one["TargetHealth"].get("Reason")) for one in found}

    def until_healthy(self, count):
        eventually(lambda: [state for state, _ in self.health().values()] == ["healthy"] * count)

    def ask(self, path="/", host=None, address=None, port=80):
        """Status and body of one request on a connection of its own; status 0 if there was no answer."""
        return ask(http.client.HTTPConnection(address or self.address, port, timeout=30), path, host or self.name)


def ask(connection, path, host):
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)


class Load:
    """Clients that ask without a pause, or `rate` times a second together, each on a connection that it keeps."""

    def __init__(self, balancer, clients=4, rate=None):
        self.balancer, self.pause = balancer, clients / rate if rate else 0
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.bodies, self.failures, self.count = {}, [], 0
        self.threads = [threading.Thread(target=self.run) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def run(self):
        connection = http.client.HTTPConnection(self.balancer.address, 80, timeout=30)
        while not self.stopping.is_set():
            began = time.monotonic()
            status, body = ask(connection, "/", self.balancer.name)
            with self.lock:
                self.count += 1
                self.bodies[body] = self.bodies.get(body, 0) + 1
                if status != 200:
                    self.failures.append((status, body))
            if status == 0:
                connection.close()
            time.sleep(max(0, self.pause - (time.monotonic() - began)))
        connection.close()
