"""One account of an instance: its clients, and its workloads in few words."""

import functools
import time
import uuid


# Nothing takes as long; but a busy machine may take long.
PATIENCE = 120


def eventually(check, seconds=PATIENCE, every=0.05):
    """The first true answer of `check`; fails with the last answer after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(every)


def unique():
    return f"t-{uuid.uuid4().hex[:12]}"


def container(name="main", **fields):
    """A container definition that runs nothing in particular."""
    return {"name": name, "image": "busybox:latest", "essential": True} | fields


def short(arn):
    """The id at the end of an ARN."""
    return arn.rsplit("/", 1)[1]


class Account:
    """The configured account of an instance, or, in permissive mode, the one of this number."""

    def __init__(self, instance, number=None):
        self.instance = instance
        self.key = number
        self.id = number or "000000000000"

    @functools.cached_property
    def ecs(self):
        return self.instance.client("ecs", self.key)

    @functools.cached_property
    def logs(self):
        return self.instance.client("logs", self.key)

    @functools.cached_property
    def ec2(self):
        return self.instance.client("ec2", self.key)

    @functools.cached_property
    def sts(self):
        return self.instance.client("sts", self.key)

    @functools.cache
    def unchecked(self, service):
        """A client that sends whatever it is given."""
        return self.instance.client(service, self.key, parameter_validation=False)

    def arn(self, resource, service="ecs"):
        return f"arn:aws:{service}:us-east-1:{self.id}:{resource}"

    @functools.cached_property
    def places(self):
        """Ids of the default subnets and of the default security group."""
        subnets = [subnet["SubnetId"] for subnet in self.ec2.describe_subnets()["Subnets"]]
        groups = [group["GroupId"] for group in self.ec2.describe_security_groups()["SecurityGroups"]]
        return subnets, groups[:1]

    def network(self, public=True):
        """A network configuration out of the account's defaults."""
        subnets, groups = self.places
        address = "ENABLED" if public else "DISABLED"
        return {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups, "assignPublicIp": address}}

    def cluster(self, **fields):
        """The name of a cluster of its own."""
        return self.ecs.create_cluster(**{"clusterName": unique()} | fields)["cluster"]["clusterName"]

    def define(self, *containers, **fields):
        """`family:revision` of a new Fargate definition."""
        made = self.ecs.register_task_definition(**fargate(*containers, **fields))["taskDefinition"]
        return f"{made['family']}:{made['revision']}"

    def run(self, cluster, definition, **fields):
        """The tasks that RunTask makes; none may be refused."""
        answer = self.try_run(cluster, definition, **fields)
        assert not answer["failures"], answer["failures"]
        return answer["tasks"]

    def try_run(self, cluster, definition, **fields):
        """The whole answer of RunTask on Fargate."""
        given = {"cluster": cluster, "taskDefinition": definition, "networkConfiguration": self.network(public=False)}
        capacity = {} if "capacityProviderStrategy" in fields else {"launchType": "FARGATE"}
        return self.ecs.run_task(**given | capacity | fields)

    def task(self, cluster, arn, **fields):
        """A task as it is now."""
        return self.ecs.describe_tasks(cluster=cluster, tasks=[arn], **fields)["tasks"][0]

    def until(self, cluster, arn, status, seconds=PATIENCE):
        """The task, once it is in `status`. It must not stop on its way to another."""
        def check():
            task = self.task(cluster, arn)
            assert status == "STOPPED" or task["lastStatus"] != "STOPPED", why(task)
            return task["lastStatus"] == status and task
        return eventually(check, seconds)

    def serve(self, cluster, definition, **fields):
        """The name of a new Fargate service."""
        given = {"serviceName": unique(), "desiredCount": 1, "launchType": "FARGATE"}
        given["networkConfiguration"] = self.network(public=False)
        answer = self.ecs.create_service(cluster=cluster, taskDefinition=definition, **given | fields)
        return answer["service"]["serviceName"]

    def service(self, cluster, name):
        """A service as it is now."""
        return self.ecs.describe_services(cluster=cluster, services=[name])["services"][0]

    def until_steady(self, cluster, name, seconds=PATIENCE):
        """The service, once one deployment is left and runs what is desired."""
        def check():
            service = self.service(cluster, name)
            steady = len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]
            return steady and not service["pendingCount"] and service
        return eventually(check, seconds)

    def tasks(self, cluster, **fields):
        """ARNs of the cluster's tasks, of all pages."""
        pages = self.ecs.get_paginator("list_tasks").paginate(cluster=cluster, **fields)
        return [arn for page in pages for arn in page["taskArns"]]

    def lines(self, group, stream=None):
        """Messages of a log stream (or of the whole group), or none while it does not exist."""
        streams = {"logStreamNames": [stream]} if stream else {}
        try:
            pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group, **streams)
            return [event["message"] for page in pages for event in page["events"]]
        except self.logs.exceptions.ResourceNotFoundException:
            return []


def fargate(*containers, **fields):
    """A RegisterTaskDefinition request for Fargate."""
    given = {
        "family": unique(), "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256",
        "memory": "512", "containerDefinitions": list(containers or [container()]),
    }
    return given | fields


def why(task):
    """Why a task stopped, for messages."""
    ends = [(one["name"], one.get("exitCode"), one.get("reason")) for one in task["containers"]]
    return f"{task.get('stopCode')}: {task.get('stoppedReason')} {ends}"
