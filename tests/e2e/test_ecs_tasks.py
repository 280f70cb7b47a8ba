"""Tasks, over the API: run, stopped, described, listed. The engine only pretends that containers run."""

import pytest

from account import container, eventually, short, unique
from refusal import check_holds, check_refused, refused

STATES = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"]
MOMENTS = [
    "createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt", "executionStoppedAt",
    "stoppedAt",
]
FAST = {"Delay": 0.1, "MaxAttempts": 100}


def ends(after, code):
    """A container that exits by itself."""
    return container(dockerLabels={"longshore.simulate.exit-after": f"{after}:{code}"})


@pytest.fixture
def cluster(account):
    return account.cluster()


def test_a_new_task_is_whole_from_the_first_answer(account, cluster):
    definition = account.define(container("web", cpu=128, memory=256, memoryReservation=128), container("side"))
    task = account.run(cluster, definition, startedBy="test", group="blue", enableExecuteCommand=True)[0]
    check_holds({
        "clusterArn": account.arn(f"cluster/{cluster}"),
        "taskDefinitionArn": account.arn(f"task-definition/{definition}"),
        "lastStatus": "PROVISIONING", "desiredStatus": "RUNNING", "launchType": "FARGATE", "cpu": "256",
        "memory": "512", "platformVersion": "1.4.0", "platformFamily": "Linux", "group": "blue", "startedBy": "test",
        "enableExecuteCommand": True, "version": 1, "tags": [], "ephemeralStorage": {"sizeInGiB": 20},
        "healthStatus": "UNKNOWN", "overrides": {"containerOverrides": [{"name": "web"}, {"name": "side"}]},
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
    }, task)
    assert task["taskArn"].startswith(account.arn(f"task/{cluster}/")) and len(short(task["taskArn"])) == 32
    web = task["containers"][0]
    check_holds({
        "name": "web", "image": "busybox:latest", "lastStatus": "PENDING", "cpu": "128", "memory": "256",
        "memoryReservation": "128", "taskArn": task["taskArn"], "healthStatus": "UNKNOWN",
    }, web)
    assert web["containerArn"].startswith(account.arn(f"container/{cluster}/"))


def test_a_tasks_network_interface_is_the_same_everywhere(account, cluster):
    task = account.run(cluster, account.define())[0]
    attachment = task["attachments"][0]
    details = {pair["name"]: pair["value"] for pair in attachment["details"]}
    assert attachment["type"] == "ElasticNetworkInterface"
    assert details["subnetId"] in account.places[0]
    task = account.until(cluster, task["taskArn"], "RUNNING")
    assert task["attachments"][0]["status"] == "ATTACHED"
    assert task["connectivity"] == "CONNECTED"
    for one in task["containers"]:
        assert one["networkInterfaces"] == [
            {"attachmentId": attachment["id"], "privateIpv4Address": details["privateIPv4Address"]}
        ]
    interface = account.ec2.describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]]
    )["NetworkInterfaces"][0]
    assert interface["PrivateIpAddress"] == details["privateIPv4Address"]
    assert interface["MacAddress"] == details["macAddress"]
    assert (interface["SubnetId"], interface["AvailabilityZone"]) == (details["subnetId"], task["availabilityZone"])
    assert [group["GroupId"] for group in interface["Groups"]] == account.places[1]


def test_no_two_tasks_share_an_address(account, cluster):
    definition = account.define()
    tasks = [task for _ in range(3) for task in account.run(cluster, definition, count=10)]
    addresses = {task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in tasks}
    assert len(addresses) == len({task["taskArn"] for task in tasks}) == 30


def test_a_task_walks_forward_and_every_change_raises_its_version(account, cluster):
    arn = account.run(cluster, account.define(ends(2, 3)))[0]["taskArn"]
    seen = []

    def stopped():
        task = account.task(cluster, arn)
        if not seen or seen[-1] != task:
            seen.append(task)
        return task["lastStatus"] == "STOPPED"

    eventually(stopped, every=0.005)
    versions = [task["version"] for task in seen]
    assert versions == sorted(set(versions)), "every change that is seen has a version of its own"
    walk = [STATES.index(task["lastStatus"]) for task in seen]
    assert walk == sorted(walk) and "RUNNING" in [task["lastStatus"] for task in seen]
    last = seen[-1]
    assert [moment for moment in MOMENTS if moment not in last] == []
    moments = [last[moment] for moment in MOMENTS]
    assert moments == sorted(moments)
    for earlier in seen:
        for moment in MOMENTS:
            assert moment not in earlier or earlier[moment] == last[moment], f"{moment} is set once"


def test_an_essential_containers_exit_stops_the_task(account, cluster):
    arn = account.run(cluster, account.define(ends(0, 3), container("side")))[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    assert (task["stopCode"], task["desiredStatus"]) == ("EssentialContainerExited", "STOPPED")
    assert task["stoppedReason"] == "Essential container in task exited"
    assert {one["name"]: (one["lastStatus"], one["exitCode"]) for one in task["containers"]} == {
        "main": ("STOPPED", 3), "side": ("STOPPED", 143),
    }


def test_a_container_that_is_not_essential_may_end(account, cluster):
    side = ends(0, 1) | {"name": "side", "essential": False}
    arn = account.run(cluster, account.define(container(), side))[0]["taskArn"]
    account.until(cluster, arn, "RUNNING")
    assert account.task(cluster, arn)["desiredStatus"] == "RUNNING"


def test_a_task_stops_when_asked_and_says_why(account, cluster):
    arn = account.run(cluster, account.define())[0]["taskArn"]
    account.until(cluster, arn, "RUNNING")
    answer = account.ecs.stop_task(cluster=cluster, task=short(arn), reason="closing time")["task"]
    assert (answer["desiredStatus"], answer["stoppedReason"]) == ("STOPPED", "closing time")
    task = account.until(cluster, arn, "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "closing time")
    assert task["attachments"][0]["status"] == "DELETED"
    again = account.ecs.stop_task(cluster=cluster, task=arn, reason="again")["task"]
    assert (again["stoppedReason"], again["version"]) == ("closing time", task["version"])


def test_a_task_that_cannot_start_says_so(account, cluster):
    arn = account.run(cluster, account.define(ends("never", "x")))[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "never" in task["stoppedReason"]
    assert "startedAt" not in task


UNSUPPORTED = {
    "environmentFiles": container(environmentFiles=[{"type": "s3", "value": "arn:aws:s3:::bucket/app.env"}]),
    "firelens": container(firelensConfiguration={"type": "fluentbit"}),
}
ROLE = {"executionRoleArn": "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_is_not_supported_stops_the_task_at_once_with_the_reason(account, cluster, what):
    arn = account.run(cluster, account.define(UNSUPPORTED[what], **ROLE))[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: ") and what in task["stoppedReason"]


def test_efs_stops_the_task_at_once_with_the_reason(account, cluster):
    volumes = [{"name": "shared", "efsVolumeConfiguration": {"fileSystemId": "fs-12345678"}}]
    mounted = container(mountPoints=[{"sourceVolume": "shared", "containerPath": "/shared"}])
    arn = account.run(cluster, account.define(mounted, volumes=volumes))[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart" and "EFS" in task["stoppedReason"]


def test_a_health_check_shows_in_container_and_task(account, cluster):
    checked = container(healthCheck={"command": ["CMD", "true"]})
    arn = account.run(cluster, account.define(checked))[0]["taskArn"]
    account.until(cluster, arn, "RUNNING")
    task = eventually(lambda: (task := account.task(cluster, arn))["healthStatus"] == "HEALTHY" and task)
    assert task["containers"][0]["healthStatus"] == "HEALTHY"


def test_waiters_of_boto3_come_to_an_end(account, cluster):
    arns = [task["taskArn"] for task in account.run(cluster, account.define(), count=3)]
    account.ecs.get_waiter("tasks_running").wait(cluster=cluster, tasks=arns, WaiterConfig=FAST)
    for arn in arns:
        account.ecs.stop_task(cluster=cluster, task=arn)
    account.ecs.get_waiter("tasks_stopped").wait(cluster=cluster, tasks=arns, WaiterConfig=FAST)


def test_described_tasks_that_are_not_there_are_missing(account, cluster):
    arn = account.run(cluster, account.define())[0]["taskArn"]
    nowhere = "0" * 32
    answer = account.ecs.describe_tasks(cluster=cluster, tasks=[nowhere, short(arn)])
    assert [task["taskArn"] for task in answer["tasks"]] == [arn]
    assert answer["failures"] == [{"arn": account.arn(f"task/{cluster}/{nowhere}"), "reason": "MISSING"}]
    check_refused(
        "InvalidParameterException", "", account.ecs.describe_tasks, cluster=cluster, tasks=[nowhere] * 101
    )
    check_refused("InvalidParameterException", "not found", account.ecs.stop_task, cluster=cluster, task=nowhere)


def test_every_filter_of_list_tasks_acts(account, cluster):
    first, second = account.define(), account.define()
    blue = account.run(cluster, first, startedBy="blue", count=2)
    green = account.run(cluster, second, startedBy="green")
    stopped = account.run(cluster, second, startedBy="blue")[0]["taskArn"]
    account.ecs.stop_task(cluster=cluster, task=stopped)
    account.until(cluster, stopped, "STOPPED")
    service = account.serve(cluster, first)
    account.until_steady(cluster, service)
    arns = {name: {task["taskArn"] for task in tasks} for name, tasks in (("blue", blue), ("green", green))}
    served = set(account.tasks(cluster, serviceName=service))
    assert len(served) == 1

    def listed(**fields):
        return set(account.tasks(cluster, **fields))

    assert listed() == listed(desiredStatus="RUNNING") == arns["blue"] | arns["green"] | served
    assert listed(startedBy="blue") == arns["blue"]
    assert listed(family=second.split(":")[0]) == arns["green"]
    assert listed(desiredStatus="STOPPED") == {stopped}
    assert listed(desiredStatus="STOPPED", startedBy="green") == set()
    assert listed(desiredStatus="PENDING") == set()
    assert listed(launchType="FARGATE") == listed() and listed(launchType="EC2") == set()
    assert listed(startedBy="blue", family=first.split(":")[0]) == arns["blue"]
    assert listed(startedBy="nobody") == set()


def test_listing_gives_every_task_once(account, cluster):
    arns = {task["taskArn"] for task in account.run(cluster, account.define(), count=7)}
    pages = account.ecs.get_paginator("list_tasks").paginate(cluster=cluster, PaginationConfig={"PageSize": 3})
    pages = [page["taskArns"] for page in pages]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(arn for page in pages for arn in page) == sorted(arns)


def test_a_client_token_makes_one_effect(account, cluster):
    definition, token = account.define(), unique()
    first = account.run(cluster, definition, clientToken=token, count=2)
    again = account.run(cluster, definition, clientToken=token, count=2)
    arns = [task["taskArn"] for task in first]
    assert [task["taskArn"] for task in again] == arns
    assert sorted(account.tasks(cluster)) == sorted(arns)
    with pytest.raises(account.ecs.exceptions.ConflictException) as caught:
        account.try_run(cluster, definition, clientToken=token, count=3)
    assert sorted(caught.value.response["resourceIds"]) == sorted(arns)
    other = account.cluster()
    assert account.run(other, definition, clientToken=token)[0]["taskArn"] not in arns
    assert len(account.tasks(cluster)) == 2


def test_overrides_are_shown_and_count(account, cluster):
    definition = account.define(container("web"), container("side"), ephemeralStorage={"sizeInGiB": 30})
    overrides = {
        "cpu": "512", "memory": "1024", "taskRoleArn": f"arn:aws:iam::{account.id}:role/other",
        "ephemeralStorage": {"sizeInGiB": 40},
        "containerOverrides": [
            {"name": "web", "command": ["echo", "hi"], "environment": [{"name": "A", "value": "1"}], "cpu": 128},
        ],
    }
    task = account.run(cluster, definition, overrides=overrides)[0]
    assert (task["cpu"], task["memory"], task["ephemeralStorage"]["sizeInGiB"]) == ("512", "1024", 40)
    shown = dict(task["overrides"])
    assert shown.pop("containerOverrides") == [*overrides["containerOverrides"], {"name": "side"}]
    check_holds({key: overrides[key] for key in ("cpu", "memory", "taskRoleArn", "ephemeralStorage")}, shown)


BAD_OVERRIDES = {
    "an unknown container": {"containerOverrides": [{"name": "nobody"}]},
    "a size that Fargate lacks": {"cpu": "256", "memory": "8192"},
    "too little storage": {"ephemeralStorage": {"sizeInGiB": 20}},
    "too long": {"containerOverrides": [{"name": "main", "command": ["x" * 9000]}]},
}


@pytest.mark.parametrize("overrides", BAD_OVERRIDES.values(), ids=BAD_OVERRIDES.keys())
def test_bad_overrides_are_refused(account, cluster, overrides):
    code, message = refused(account.try_run, cluster, account.define(), overrides=overrides)
    assert code in ("InvalidParameterException", "ClientException"), message
    assert account.tasks(cluster) == []


def test_a_strategy_fills_the_base_and_then_goes_by_weight(account):
    cluster = account.cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"])
    strategy = [
        {"capacityProvider": "FARGATE", "base": 2, "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 3},
    ]
    tasks = account.run(cluster, account.define(), count=10, capacityProviderStrategy=strategy)
    providers = [task["capacityProviderName"] for task in tasks]
    assert (providers.count("FARGATE"), providers.count("FARGATE_SPOT")) == (4, 6)
    assert providers[:2] == ["FARGATE"] * 2
    assert {task["launchType"] for task in tasks} == {"FARGATE"}


def test_the_clusters_default_strategy_counts_where_none_is_given(account):
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    cluster = account.cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=strategy)
    given = {"cluster": cluster, "taskDefinition": account.define(), "networkConfiguration": account.network()}
    assert account.ecs.run_task(**given)["tasks"][0]["capacityProviderName"] == "FARGATE_SPOT"
    assert "capacityProviderName" not in account.ecs.run_task(**given, launchType="FARGATE")["tasks"][0]
    check_refused(
        "InvalidParameterException", "both a launch type and capacity provider strategy", account.ecs.run_task,
        **given, launchType="FARGATE", capacityProviderStrategy=strategy,
    )


def test_tags_come_from_the_request_and_the_definition(account, cluster):
    definition = account.define(tags=[{"key": "team", "value": "docks"}, {"key": "tier", "value": "web"}])
    own = [{"key": "team", "value": "cranes"}]
    task = account.run(cluster, definition, tags=own, propagateTags="TASK_DEFINITION", enableECSManagedTags=True)[0]
    tags = {tag["key"]: tag["value"] for tag in task["tags"]}
    assert tags == {"team": "cranes", "tier": "web", "aws:ecs:clusterName": cluster}
    assert account.task(cluster, task["taskArn"])["tags"] == []
    shown = account.task(cluster, task["taskArn"], include=["TAGS"])["tags"]
    assert {tag["key"]: tag["value"] for tag in shown} == tags
    plain = account.run(cluster, definition, tags=own)[0]
    assert plain["tags"] == own


def test_tags_of_every_kind_of_resource_are_added_replaced_and_removed(account, cluster):
    definition = account.define()
    task = account.run(cluster, definition)[0]["taskArn"]
    service = account.serve(cluster, definition)
    resources = [
        account.arn(f"cluster/{cluster}"), account.arn(f"task-definition/{definition}"), task,
        account.arn(f"service/{cluster}/{service}"),
    ]
    for arn in resources:
        account.ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
        account.ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "3"}])
        account.ecs.untag_resource(resourceArn=arn, tagKeys=["a", "never"])
        assert account.ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "3"}], arn
    described = account.ecs.describe_task_definition(taskDefinition=definition, include=["TAGS"])
    assert described["tags"] == [{"key": "b", "value": "3"}]


LAUNCHES = {
    "no network": ({"networkConfiguration": {}}, "InvalidParameterException", "Network Configuration must be provided"),
    "a subnet that is not there": (
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"]}}},
        "InvalidParameterException", "'subnet-0123456789abcdef0' does not exist.*InvalidSubnetID.NotFound",
    ),
    "no tasks": ({"count": 0}, "InvalidParameterException", "count"),
    "eleven tasks": ({"count": 11}, "InvalidParameterException", "count"),
    "an unknown definition": ({"taskDefinition": "nobody"}, "ClientException", "TaskDefinition not found"),
    "an unknown cluster": ({"cluster": "nowhere"}, "ClusterNotFoundException", r"^Cluster not found\.$"),
    "EC2 without instances": ({"launchType": "EC2"}, "InvalidParameterException", "No Container Instances were found"),
    "a platform that is not there": ({"platformVersion": "9.9.9"}, "PlatformUnknownException", ""),
    "placement on Fargate": (
        {"placementConstraints": [{"type": "distinctInstance"}]}, "InvalidParameterException", "FARGATE",
    ),
    "the group of a service": ({"group": "service:web"}, "InvalidParameterException", "group"),
    "tags of a service": ({"propagateTags": "SERVICE"}, "InvalidParameterException", "propagateTags"),
    "a long startedBy": ({"startedBy": "x" * 129}, "InvalidParameterException", "startedBy"),
}


@pytest.mark.parametrize("given,code,pattern", LAUNCHES.values(), ids=LAUNCHES.keys())
def test_a_launch_that_makes_no_sense_is_refused(account, cluster, given, code, pattern):
    definition = account.define()
    check_refused(code, pattern, account.try_run, **{"cluster": cluster, "definition": definition} | renamed(given))
    assert account.tasks(cluster) == []


def renamed(given):
    """`try_run` names the definition on its own."""
    given = dict(given)
    return given | ({"definition": given.pop("taskDefinition")} if "taskDefinition" in given else {})


def test_a_task_of_another_network_mode_is_not_for_fargate(account, cluster):
    made = account.ecs.register_task_definition(
        family=unique(), networkMode="bridge", containerDefinitions=[container(memory=64)]
    )["taskDefinition"]["taskDefinitionArn"]
    check_refused("InvalidParameterException", "does not support launch_type FARGATE", account.try_run, cluster, made)
