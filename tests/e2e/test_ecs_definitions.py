"""Task definitions, over the API and by the AWS CLI: what is registered comes back whole, and the guides' forms."""

import json

import pytest

from account import container, fargate, unique
from refusal import check_holds, check_refused

ROLE = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"

EVERYTHING = {
    "name": "everything", "image": "registry.example.com:5000/team/app:1.2", "cpu": 128, "memory": 256,
    "memoryReservation": 128, "essential": True,
    "portMappings": [
        {"containerPort": 80, "hostPort": 80, "protocol": "tcp", "name": "http", "appProtocol": "http"},
        {"containerPort": 53, "hostPort": 53, "protocol": "udp"},
    ],
    "restartPolicy": {"enabled": True, "ignoredExitCodes": [0, 3], "restartAttemptPeriod": 60},
    "entryPoint": ["/bin/sh", "-c"], "command": ["sleep 1", ""],
    "environment": [{"name": "A", "value": "1"}, {"name": "EMPTY", "value": ""}, {"name": "U", "value": "ü \" \\ \n"}],
    "environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::bucket/app.env"}],
    "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch", "readOnly": True}],
    "volumesFrom": [{"sourceContainer": "side", "readOnly": False}],
    "linuxParameters": {
        "capabilities": {"add": ["SYS_PTRACE"], "drop": ["NET_RAW"]}, "initProcessEnabled": True,
    },
    "secrets": [{"name": "KEY", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/key"}],
    "dependsOn": [{"containerName": "side", "condition": "START"}],
    "startTimeout": 60, "stopTimeout": 30, "versionConsistency": "disabled", "user": "1000:1000",
    "workingDirectory": "/srv", "readonlyRootFilesystem": True, "interactive": True, "pseudoTerminal": True,
    "dockerLabels": {"com.example.key": "value", "empty": ""},
    "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
    "logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": "/ecs/everything", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs",
        "awslogs-create-group": "true", "mode": "non-blocking", "max-buffer-size": "25m",
    }},
    "healthCheck": {
        "command": ["CMD-SHELL", "true"], "interval": 5, "timeout": 2, "retries": 1, "startPeriod": 10,
    },
    "systemControls": [{"namespace": "net.core.somaxconn", "value": "512"}],
}
WHOLE = {
    "executionRoleArn": ROLE, "taskRoleArn": "arn:aws:iam::000000000000:role/app",
    "volumes": [{"name": "scratch"}],
    "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
    "ephemeralStorage": {"sizeInGiB": 25},
    "tags": [{"key": "team", "value": "docks"}],
}


def test_everything_that_is_registered_comes_back(account):
    given = fargate(EVERYTHING, container("side", essential=False), **WHOLE)
    answer = account.ecs.register_task_definition(**given)
    tags = given.pop("tags")
    assert answer["tags"] == tags
    made = answer["taskDefinition"]
    check_holds(given, made)
    name = f"{given['family']}:1"
    assert made["taskDefinitionArn"] == account.arn(f"task-definition/{name}")
    assert (made["revision"], made["status"]) == (1, "ACTIVE")
    assert made["registeredBy"] == f"arn:aws:iam::{account.id}:root"
    assert "FARGATE" in made["compatibilities"]
    attributes = {attribute["name"] for attribute in made["requiresAttributes"]}
    assert {"ecs.capability.task-eni", "com.amazonaws.ecs.capability.logging-driver.awslogs"} <= attributes
    described = account.ecs.describe_task_definition(taskDefinition=name, include=["TAGS"])
    assert described["taskDefinition"] == made and described["tags"] == tags


def test_what_is_left_out_is_filled_in_as_ecs_does(account):
    given = fargate({"name": "web", "image": "nginx", "portMappings": [{"containerPort": 80}]})
    made = account.ecs.register_task_definition(**given)["taskDefinition"]
    assert made["containerDefinitions"] == [{
        "name": "web", "image": "nginx", "cpu": 0, "essential": True, "environment": [], "mountPoints": [],
        "volumesFrom": [], "systemControls": [],
        "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
    }]
    assert (made["volumes"], made["placementConstraints"]) == ([], [])


SIZES = [
    ("256", "512", "256", "512"), ("0.25 vCPU", "1 GB", "256", "1024"), (".5 vcpu", "2GB", "512", "2048"),
    ("1 vCPU", "2 GB", "1024", "2048"), ("4096", "8192", "4096", "8192"), ("16 vCPU", "32GB", "16384", "32768"),
]


@pytest.mark.parametrize("cpu,memory,units,mib", SIZES)
def test_sizes_are_normalised(account, cpu, memory, units, mib):
    made = account.ecs.register_task_definition(**fargate(cpu=cpu, memory=memory))["taskDefinition"]
    assert (made["cpu"], made["memory"]) == (units, mib)


def test_revisions_count_up_and_the_newest_active_one_stands_for_the_family(account):
    family = unique()
    names = [account.define(family=family) for _ in range(3)]
    assert names == [f"{family}:1", f"{family}:2", f"{family}:3"]

    def newest():
        return account.ecs.describe_task_definition(taskDefinition=family)["taskDefinition"]["revision"]

    assert newest() == 3
    gone = account.ecs.deregister_task_definition(taskDefinition=names[2])["taskDefinition"]
    assert gone["status"] == "INACTIVE" and gone["deregisteredAt"] >= gone["registeredAt"]
    assert newest() == 2
    assert account.ecs.describe_task_definition(taskDefinition=names[2])["taskDefinition"]["status"] == "INACTIVE"
    assert account.define(family=family) == f"{family}:4"
    check_refused("ClientException", "", account.ecs.describe_task_definition, taskDefinition="nobody")
    check_refused("ClientException", "", account.ecs.describe_task_definition, taskDefinition=f"{family}:9")


def test_definitions_and_families_are_listed(account):
    one, two = f"a-{unique()}", f"b-{unique()}"
    for family in (two, one, one, one):
        account.define(family=family)
    account.ecs.deregister_task_definition(taskDefinition=f"{one}:2")
    arn = lambda *names: [account.arn(f"task-definition/{name}") for name in names]

    def listed(**fields):
        pages = account.ecs.get_paginator("list_task_definitions").paginate(**fields, PaginationConfig={"PageSize": 1})
        return [arn for page in pages for arn in page["taskDefinitionArns"]]

    assert listed() == arn(f"{one}:1", f"{one}:3", f"{two}:1")
    assert listed(sort="DESC") == arn(f"{two}:1", f"{one}:3", f"{one}:1")
    assert listed(familyPrefix=two) == arn(f"{two}:1")
    assert listed(status="INACTIVE") == arn(f"{one}:2")
    families = account.ecs.list_task_definition_families
    assert families()["families"] == [one, two]
    assert families(familyPrefix="b-")["families"] == [two]
    account.ecs.deregister_task_definition(taskDefinition=f"{two}:1")
    assert families(status="INACTIVE")["families"] == [two]
    assert families(status="ACTIVE")["families"] == [one]


def test_only_inactive_definitions_are_deleted(account):
    active, inactive = account.define(), account.define()
    account.ecs.deregister_task_definition(taskDefinition=inactive)
    answer = account.ecs.delete_task_definitions(taskDefinitions=[active, inactive, "nobody:1"])
    assert [one["status"] for one in answer["taskDefinitions"]] == ["DELETE_IN_PROGRESS"]
    assert [failure["arn"] for failure in answer["failures"]] == [
        account.arn(f"task-definition/{active}"), account.arn("task-definition/nobody:1"),
    ]
    assert "still in ACTIVE status" in answer["failures"][0]["reason"]
    check_refused("ClientException", "", account.try_run, account.cluster(), inactive)


def test_a_definition_deleted_while_its_task_runs_goes_on_serving_it(account):
    cluster, definition = account.cluster(), account.define()
    task = account.run(cluster, definition)[0]["taskArn"]
    account.until(cluster, task, "RUNNING")
    account.ecs.deregister_task_definition(taskDefinition=definition)
    account.ecs.delete_task_definitions(taskDefinitions=[definition])
    assert account.task(cluster, task)["lastStatus"] == "RUNNING"
    shown = account.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]
    assert shown["status"] == "DELETE_IN_PROGRESS"


# The guides' forms, by the AWS CLI.

WEB = [{"name": "web", "image": "nginx:latest", "portMappings": [{"containerPort": 80}], "essential": True}]


def aws(account, *words, check=True):
    return account.instance.aws(*words, check=check, AWS_ACCESS_KEY_ID=account.key)


def test_a_definition_is_registered_by_options(account):
    made = aws(
        account, "ecs", "register-task-definition", "--family", "my-app", "--cpu", "1024", "--memory", "2048",
        "--requires-compatibilities", "FARGATE", "--network-mode", "awsvpc", "--container-definitions", json.dumps(WEB),
    )["taskDefinition"]
    check_holds({"family": "my-app", "revision": 1, "cpu": "1024", "memory": "2048"}, made)


def test_a_definition_is_registered_from_a_file(account, tmp_path):
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(fargate(*WEB, family="my-app", executionRoleArn=ROLE)))
    made = aws(account, "ecs", "register-task-definition", "--cli-input-json", f"file://{file}")["taskDefinition"]
    assert made["taskDefinitionArn"] == account.arn("task-definition/my-app:1")


def test_where_a_guide_contradicts_aws_the_answer_is_awss(account):
    register = ("ecs", "register-task-definition", "--family", "f", "--requires-compatibilities", "FARGATE")
    done = aws(account, *register, "--cpu", "256", "--memory", "512", check=False)
    assert done.returncode in (2, 252) and "--container-definitions" in done.stderr
    containers = ("--container-definitions", json.dumps(WEB), "--network-mode", "awsvpc")
    done = aws(account, *register, *containers, check=False)
    assert done.returncode != 0 and "(ClientException)" in done.stderr, done.stderr
    aws(account, *register, *containers, "--cpu", "256", "--memory", "512")
    aws(account, "ecs", "create-cluster", "--cluster-name", "production")
    create = ("ecs", "create-service", "--cluster", "production", "--service-name", "web", "--task-definition", "f",
              "--desired-count", "1", "--launch-type", "FARGATE")
    run = ("ecs", "run-task", "--cluster", "production", "--task-definition", "f", "--launch-type", "FARGATE")
    for words in (create, run):
        done = aws(account, *words, check=False)
        assert done.returncode != 0
        assert "(InvalidParameterException)" in done.stderr and "Network Configuration must be provided" in done.stderr
    done = aws(account, "logs", "describe-log-groups", "--log-group-name", "x", check=False)
    assert done.returncode in (2, 252)


def test_the_guides_queries_give_what_they_promise(account):
    cluster, definition = account.cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"]), account.define()
    strategy = [{"capacityProvider": "FARGATE", "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    arns = [task["taskArn"] for task in account.run(cluster, definition, count=2, capacityProviderStrategy=strategy)]
    for arn in arns:
        account.until(cluster, arn, "RUNNING")
    listed = aws(account, "ecs", "list-tasks", "--cluster", cluster, "--query", "taskArns[*]", "--output", "text")
    assert sorted(listed.split()) == sorted(arns)
    table = aws(
        account, "ecs", "describe-tasks", "--cluster", cluster, "--tasks", *arns, "--output", "table", "--query",
        "sort_by(tasks,&capacityProviderName)[].{Id:taskArn,Capacity:capacityProviderName,Status:lastStatus}",
    )
    assert table.count("RUNNING") == 2 and table.index("FARGATE ") < table.index("FARGATE_SPOT")
