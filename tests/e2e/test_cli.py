"""The walk of the guide, by the AWS CLI, on real containers."""

import subprocess
import urllib.request

import pytest

from account import eventually
from conftest import ROOT

# Its minute passes while the other real tests run.
pytestmark = pytest.mark.usefixtures("restarting")


def public_addresses(instance, cluster, service):
    tasks = instance.aws("ecs", "list-tasks", "--cluster", cluster, "--service-name", service)["taskArns"]
    if not tasks:
        return {}
    described = instance.aws("ecs", "describe-tasks", "--cluster", cluster, "--tasks", *tasks)["tasks"]
    found = {}
    for task in described:
        details = {entry["name"]: entry["value"] for entry in task["attachments"][0]["details"]}
        interface = instance.aws(
            "ec2", "describe-network-interfaces", "--network-interface-ids", details["networkInterfaceId"]
        )["NetworkInterfaces"][0]
        assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
        found[task["taskArn"]] = interface["Association"]["PublicIp"]
    return found


def get(address):
    with urllib.request.urlopen(f"http://{address}:80/", timeout=30) as answer:
        return answer.read().decode()


def running_tasks(instance):
    """Task id to process id of its first container."""
    rows = instance.command("ps").stdout.splitlines()[1:]
    return {row.split()[0]: int(row.split()[2]) for row in rows if row.split()[2].isdigit()}


def test_the_guides_web_service_runs_and_heals(real, name):
    network = real.network()["awsvpcConfiguration"]
    configuration = "awsvpcConfiguration={{subnets=[{}],securityGroups=[{}],assignPublicIp=ENABLED}}".format(
        ",".join(network["subnets"]), ",".join(network["securityGroups"])
    )
    real.aws("ecs", "create-cluster", "--cluster-name", name)
    definition = real.aws(
        "ecs", "register-task-definition", "--cli-input-json", f"file://{ROOT}/examples/web-app.json"
    )["taskDefinition"]
    service = real.aws(
        "ecs", "create-service", "--cluster", name, "--service-name", "my-web-app",
        "--task-definition", f"my-web-app:{definition['revision']}", "--desired-count", "2",
        "--launch-type", "FARGATE", "--network-configuration", configuration,
    )["service"]
    assert service["status"] == "ACTIVE"
    real.aws("ecs", "wait", "services-stable", "--cluster", name, "--services", "my-web-app")

    addresses = public_addresses(real, name, "my-web-app")
    assert len(addresses) == 2
    for arn, address in addresses.items():
        answer = eventually(lambda address=address: _try(get, address))
        assert "Hello, World!" in answer and arn.rsplit("/", 1)[1] in answer

    def requests():
        lines = [line for line in real.tail("/ecs/my-web-app", "--since", "5m") if "GET /" in line]
        return len(lines) >= 2 and lines

    assert all(" ecs/web/" in line for line in eventually(requests))

    victim = next(iter(addresses)).rsplit("/", 1)[1]
    subprocess.run(["kill", "-9", str(running_tasks(real)[victim])], check=True)
    eventually(lambda: victim not in str(list(public_addresses(real, name, "my-web-app"))))
    real.aws("ecs", "wait", "services-stable", "--cluster", name, "--services", "my-web-app")
    stopped = real.aws("ecs", "describe-tasks", "--cluster", name, "--tasks", victim)["tasks"][0]
    assert stopped["lastStatus"] == "STOPPED"
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert stopped["containers"][0]["exitCode"] == 137

    described = real.aws("ecs", "describe-services", "--cluster", name, "--services", "my-web-app")["services"][0]
    messages = [event["message"] for event in described["events"]]
    assert any("has started 2 tasks" in message for message in messages), messages
    assert any("has reached a steady state" in message for message in messages), messages

    real.aws("ecs", "update-service", "--cluster", name, "--service", "my-web-app", "--desired-count", "0")
    real.aws("ecs", "delete-service", "--cluster", name, "--service", "my-web-app")
    real.aws("ecs", "wait", "services-inactive", "--cluster", name, "--services", "my-web-app")
    eventually(lambda: not real.aws("ecs", "list-tasks", "--cluster", name)["taskArns"])
    assert real.aws("ecs", "delete-cluster", "--cluster", name)["cluster"]["status"] == "INACTIVE"


def _try(function, *arguments):
    try:
        return function(*arguments)
    except OSError:
        return None


def test_the_caller_is_the_accounts_root(real):
    identity = real.aws("sts", "get-caller-identity")
    assert identity["Account"] == "000000000000"
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"


def test_an_unknown_cluster_reads_as_in_aws(real):
    done = real.aws("ecs", "list-tasks", "--cluster", "nowhere", check=False)
    assert done.returncode != 0
    assert "(ClusterNotFoundException) when calling the ListTasks operation: Cluster not found." in done.stderr
