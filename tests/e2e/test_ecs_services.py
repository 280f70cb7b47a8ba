"""Services, over the API: made, updated, rolled out, drained. The engine only pretends that containers run."""

import re

import pytest

from account import container, eventually, short, unique
from refusal import check_holds, check_refused

FAST = {"Delay": 0.1, "MaxAttempts": 200}
# A task with a health check counts as healthy at once; without one ECS watches it for 40 s before it stops another.
CHECKED = container(healthCheck={"command": ["CMD", "true"]})
NEVER = container(dockerLabels={"longshore.simulate.exit-after": "never"})


@pytest.fixture
def cluster(account):
    return account.cluster()


def messages(service):
    return [event["message"] for event in service["events"]]


def revisions(account, cluster, name):
    """Live tasks by the definition they run."""
    found = {}
    arns = account.tasks(cluster, serviceName=name)
    tasks = account.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    for task in tasks:
        if task["lastStatus"] != "STOPPED":
            found.setdefault(short(task["taskDefinitionArn"]), []).append(task)
    return found


def test_a_new_service_is_whole_from_the_first_answer(account, cluster):
    definition = account.define()
    name = unique()
    service = account.ecs.create_service(
        cluster=cluster, serviceName=name, taskDefinition=definition.split(":")[0], desiredCount=2,
        launchType="FARGATE", networkConfiguration=account.network(), enableECSManagedTags=True,
        propagateTags="SERVICE", tags=[{"key": "team", "value": "docks"}], enableExecuteCommand=True,
        healthCheckGracePeriodSeconds=7, availabilityZoneRebalancing="DISABLED",
    )["service"]
    check_holds({
        "serviceArn": account.arn(f"service/{cluster}/{name}"), "serviceName": name, "status": "ACTIVE",
        "clusterArn": account.arn(f"cluster/{cluster}"), "desiredCount": 2, "launchType": "FARGATE",
        "taskDefinition": account.arn(f"task-definition/{definition}"), "schedulingStrategy": "REPLICA",
        "platformVersion": "LATEST", "platformFamily": "Linux", "deploymentController": {"type": "ECS"},
        "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100},
        "networkConfiguration": account.network(), "enableECSManagedTags": True, "propagateTags": "SERVICE",
        "tags": [{"key": "team", "value": "docks"}], "enableExecuteCommand": True, "loadBalancers": [],
        "healthCheckGracePeriodSeconds": 7, "availabilityZoneRebalancing": "DISABLED", "placementConstraints": [],
        "placementStrategy": [], "serviceRegistries": [], "createdBy": f"arn:aws:iam::{account.id}:root",
    }, service)
    deployment = service["deployments"][0]
    check_holds({
        "status": "PRIMARY", "rolloutState": "IN_PROGRESS", "desiredCount": 2, "failedTasks": 0,
        "taskDefinition": service["taskDefinition"], "launchType": "FARGATE", "platformVersion": "1.4.0",
        "networkConfiguration": account.network(),
    }, deployment)
    assert re.fullmatch(r"ecs-svc/\d{19}", deployment["id"])
    assert deployment["rolloutStateReason"] == f"ECS deployment {deployment['id']} in progress."


def test_a_services_tasks_are_its_own(account, cluster):
    definition = account.define(tags=[{"key": "from", "value": "definition"}])
    tags = [{"key": "team", "value": "docks"}]
    tagged = {"tags": tags, "propagateTags": "SERVICE", "enableECSManagedTags": True}
    name = account.serve(cluster, definition, desiredCount=2, **tagged)
    service = account.until_steady(cluster, name)
    arns = account.tasks(cluster, serviceName=name)
    tasks = account.ecs.describe_tasks(cluster=cluster, tasks=arns, include=["TAGS"])["tasks"]
    assert len(tasks) == 2
    for task in tasks:
        assert task["group"] == f"service:{name}"
        assert task["startedBy"] == service["deployments"][0]["id"]
        assert {tag["key"]: tag["value"] for tag in task["tags"]} == {
            "team": "docks", "aws:ecs:clusterName": cluster, "aws:ecs:serviceName": name,
        }
    assert len({task["availabilityZone"] for task in tasks}) == 2, "tasks spread over the zones"


def test_events_tell_the_story_in_ecs_words(account, cluster):
    name = account.serve(cluster, account.define(), desiredCount=2)
    account.ecs.get_waiter("services_stable").wait(cluster=cluster, services=[name], WaiterConfig=FAST)
    eventually(lambda: f"(service {name}) has reached a steady state." in messages(account.service(cluster, name)))
    service = account.service(cluster, name)
    told = messages(service)
    id = service["deployments"][0]["id"]
    assert f"(service {name}) (deployment {id}) deployment completed." in told
    started = re.fullmatch(rf"\(service {name}\) has started 2 tasks: \(task (\w+)\) \(task (\w+)\)\.", told[-1])
    assert started, told
    assert set(started.groups()) == {short(arn) for arn in account.tasks(cluster, serviceName=name)}
    moments = [event["createdAt"] for event in service["events"]]
    assert moments == sorted(moments, reverse=True), "the newest comes first"
    assert len({event["id"] for event in service["events"]}) == len(told)
    deployment = service["deployments"][0]
    assert (deployment["rolloutState"], deployment["runningCount"]) == ("COMPLETED", 2)
    assert deployment["rolloutStateReason"] == f"ECS deployment {id} completed."


def test_a_stopped_task_is_replaced(account, cluster):
    name = account.serve(cluster, account.define(), desiredCount=2)
    account.until_steady(cluster, name)
    before = account.tasks(cluster, serviceName=name)
    account.ecs.stop_task(cluster=cluster, task=before[0])
    eventually(lambda: before[0] not in account.tasks(cluster, serviceName=name))
    account.until_steady(cluster, name)
    after = account.tasks(cluster, serviceName=name)
    assert before[1] in after and len(after) == 2
    assert account.task(cluster, before[0])["stopCode"] == "UserInitiated"


def test_desired_count_goes_up_and_down(account, cluster):
    name = account.serve(cluster, account.define())
    account.until_steady(cluster, name)
    service = account.ecs.update_service(cluster=cluster, service=name, desiredCount=5)["service"]
    assert service["desiredCount"] == 5 and len(service["deployments"]) == 1, "a count needs no new deployment"
    account.until_steady(cluster, name)
    five = set(account.tasks(cluster, serviceName=name))
    assert len(five) == 5
    account.ecs.update_service(cluster=cluster, service=name, desiredCount=2)
    account.until_steady(cluster, name)
    two = set(account.tasks(cluster, serviceName=name))
    assert len(two) == 2 and two < five
    for arn in five - two:
        task = account.until(cluster, arn, "STOPPED")
        assert task["stopCode"] == "ServiceSchedulerInitiated"
        assert task["stoppedReason"].startswith("Scaling activity initiated by (deployment ecs-svc/")
    stopped = rf"\(service {name}\) has stopped \d running tasks: (\(task \w+\) ?)+\."
    assert any(re.fullmatch(stopped, message) for message in messages(account.service(cluster, name)))


def test_a_service_at_zero_runs_nothing_and_may_be_deleted(account, cluster):
    name = account.serve(cluster, account.define(), desiredCount=2)
    account.until_steady(cluster, name)
    delete = account.ecs.delete_service
    check_refused("InvalidParameterException", "while it is scaled above 0", delete, cluster=cluster, service=name)
    account.ecs.update_service(cluster=cluster, service=name, desiredCount=0)
    eventually(lambda: not account.tasks(cluster, serviceName=name))
    assert delete(cluster=cluster, service=name)["service"]["status"] == "DRAINING"
    account.ecs.get_waiter("services_inactive").wait(cluster=cluster, services=[name], WaiterConfig=FAST)
    assert account.ecs.list_services(cluster=cluster)["serviceArns"] == []
    gone = {"cluster": cluster, "service": name}
    check_refused("ServiceNotActiveException", "", account.ecs.update_service, **gone, desiredCount=1)
    assert account.serve(cluster, account.define(), serviceName=name) == name


def test_a_service_deleted_by_force_drains_first(account, cluster):
    name = account.serve(cluster, account.define(), desiredCount=3)
    account.until_steady(cluster, name)
    arns = account.tasks(cluster, serviceName=name)
    service = account.ecs.delete_service(cluster=cluster, service=name, force=True)["service"]
    assert (service["status"], service["desiredCount"]) == ("DRAINING", 0)
    eventually(lambda: account.service(cluster, name)["status"] == "INACTIVE")
    assert {account.task(cluster, arn)["lastStatus"] for arn in arns} == {"STOPPED"}


def test_a_rolling_update_keeps_floor_and_ceiling(account, cluster):
    family = unique()
    old, new = account.define(CHECKED, family=family), account.define(CHECKED, family=family)
    name = account.serve(cluster, old, desiredCount=4)
    account.until_steady(cluster, name)
    started = account.ecs.update_service(cluster=cluster, service=name, taskDefinition=new)["service"]
    assert [one["status"] for one in started["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert started["taskDefinition"].endswith(new)
    counts = []

    def done():
        before = account.tasks(cluster, serviceName=name)
        live = revisions(account, cluster, name)
        if sorted(before) != sorted(account.tasks(cluster, serviceName=name)):
            # What was listed and what was described are of two moments.
            return False
        tasks = [task for group in live.values() for task in group]
        serving = [task for task in tasks if task["lastStatus"] == "RUNNING" and task["desiredStatus"] == "RUNNING"]
        counts.append((len(serving), len(tasks)))
        return set(live) == {new} and len(tasks) == 4 and len(account.service(cluster, name)["deployments"]) == 1

    eventually(done, every=0.01)
    assert min(serving for serving, _ in counts) >= 4, counts
    assert max(existing for _, existing in counts) <= 8, counts
    service = account.until_steady(cluster, name)
    assert short(service["deployments"][0]["taskDefinition"]) == new
    assert any(message.endswith("deployment completed.") for message in messages(service))


def test_at_a_ceiling_of_hundred_old_tasks_stop_first(account, cluster):
    family = unique()
    old, new = account.define(CHECKED, family=family), account.define(CHECKED, family=family)
    limits = {"minimumHealthyPercent": 0, "maximumPercent": 100}
    name = account.serve(cluster, old, desiredCount=2, deploymentConfiguration=limits)
    account.until_steady(cluster, name)
    account.ecs.update_service(cluster=cluster, service=name, taskDefinition=new)
    most = 0

    def done():
        nonlocal most
        live = revisions(account, cluster, name)
        most = max(most, sum(len(tasks) for tasks in live.values()))
        return set(live) == {new} and len(live[new]) == 2

    eventually(done, every=0.01)
    assert most <= 2


def test_a_deployment_that_can_never_move_says_so(account, cluster):
    limits = {"minimumHealthyPercent": 100, "maximumPercent": 125}
    name = account.serve(cluster, account.define(CHECKED), desiredCount=3, deploymentConfiguration=limits)
    account.until_steady(cluster, name)
    account.ecs.update_service(cluster=cluster, service=name, forceNewDeployment=True)
    stuck = "was unable to stop or start tasks during a deployment because of the service deployment configuration"
    eventually(lambda: any(stuck in message for message in messages(account.service(cluster, name))))
    assert account.service(cluster, name)["deployments"][0]["runningCount"] == 0


def test_a_forced_deployment_replaces_every_task(account, cluster):
    name = account.serve(cluster, account.define(CHECKED), desiredCount=2)
    first = account.until_steady(cluster, name)["deployments"][0]["id"]
    before = set(account.tasks(cluster, serviceName=name))
    account.ecs.update_service(cluster=cluster, service=name, forceNewDeployment=True)
    service = eventually(lambda: len((now := account.until_steady(cluster, name))["deployments"]) == 1 and now)
    assert service["deployments"][0]["id"] != first
    assert not before & set(account.tasks(cluster, serviceName=name))


def test_a_second_update_supersedes_the_first(account, cluster):
    family = unique()
    first, bad, good = [account.define(one, family=family) for one in (CHECKED, NEVER, CHECKED)]
    name = account.serve(cluster, first, desiredCount=2)
    account.until_steady(cluster, name)
    account.ecs.update_service(cluster=cluster, service=name, taskDefinition=bad)
    eventually(lambda: account.service(cluster, name)["deployments"][0]["failedTasks"] > 0)
    assert len(revisions(account, cluster, name)[first]) == 2, "what works goes on"
    service = account.ecs.update_service(cluster=cluster, service=name, taskDefinition=good)["service"]
    assert [one["status"] for one in service["deployments"]].count("PRIMARY") == 1
    eventually(lambda: set(revisions(account, cluster, name)) == {good})
    assert short(account.until_steady(cluster, name)["taskDefinition"]) == good


def test_tasks_that_never_start_are_tried_ever_more_slowly(account, cluster):
    name = account.serve(cluster, account.define(NEVER))
    words = f"(service {name}) is unable to consistently start tasks successfully."
    eventually(lambda: any(message.startswith(words) for message in messages(account.service(cluster, name))))
    service = account.service(cluster, name)
    assert service["runningCount"] == 0 and service["deployments"][0]["failedTasks"] >= 2
    assert len(account.tasks(cluster, desiredStatus="STOPPED")) <= 5
    assert service["deployments"][0]["rolloutState"] == "IN_PROGRESS"


def test_tasks_that_end_at_once_are_replaced_ever_more_slowly(account, cluster):
    """Neither a failure nor an event, but not twenty a second either: after two in a row a pause, which doubles."""
    definition = account.define(container(dockerLabels={"longshore.simulate.exit-after": "0:1"}))
    name = account.serve(cluster, definition)

    def ended():
        arns = account.tasks(cluster, serviceName=name, desiredStatus="STOPPED")
        tasks = account.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
        return sorted(tasks, key=lambda task: task["createdAt"])

    tasks = eventually(lambda: len(found := ended()) >= 5 and found)
    ends = {(task["stopCode"], task["containers"][0]["exitCode"]) for task in tasks}
    assert ends == {("EssentialContainerExited", 1)}
    pauses = [(later["createdAt"] - one["stoppedAt"]).total_seconds() for one, later in zip(tasks, tasks[1:])]
    assert all(pause >= least for pause, least in zip(pauses, [0, 0, 1, 2, 4])), pauses
    service = account.service(cluster, name)
    assert service["deployments"][0]["failedTasks"] == 0
    assert not any("unable to consistently start" in message for message in messages(service))
    # A new deployment begins afresh.
    account.ecs.update_service(cluster=cluster, service=name, taskDefinition=account.define(CHECKED))
    account.until_steady(cluster, name)


def test_a_deregistered_definition_keeps_its_service(account, cluster):
    definition = account.define()
    name = account.serve(cluster, definition)
    account.until_steady(cluster, name)
    account.ecs.deregister_task_definition(taskDefinition=definition)
    account.ecs.update_service(cluster=cluster, service=name, desiredCount=2)
    account.until_steady(cluster, name)
    assert set(revisions(account, cluster, name)) == {definition}
    check_refused("ClientException", "inactive", account.serve, cluster, definition)


def test_services_are_listed_in_pages_and_found_by_every_name(account, cluster):
    definition = account.define()
    names = sorted(account.serve(cluster, definition, desiredCount=0) for _ in range(5))
    pages = account.ecs.get_paginator("list_services").paginate(cluster=cluster, PaginationConfig={"PageSize": 2})
    listed = [arn for page in pages for arn in page["serviceArns"]]
    assert sorted(listed) == [account.arn(f"service/{cluster}/{name}") for name in names]
    assert account.ecs.list_services(cluster=cluster, launchType="EC2")["serviceArns"] == []
    asked = [names[0], listed[1], account.arn(f"service/{cluster}/nobody")]
    answer = account.ecs.describe_services(cluster=cluster, services=asked)
    assert len(answer["services"]) == 2
    assert answer["failures"] == [{"arn": asked[2], "reason": "MISSING"}]
    check_refused("InvalidParameterException", "", account.ecs.describe_services, cluster=cluster, services=[])
    check_refused("InvalidParameterException", "", account.ecs.describe_services, cluster=cluster, services=["a"] * 11)
    check_refused("ServiceNotFoundException", "", account.ecs.update_service, cluster=cluster, service="nobody")
    check_refused("ServiceNotFoundException", "", account.ecs.delete_service, cluster=cluster, service="nobody")


def test_a_client_token_makes_one_service(account, cluster):
    definition, name, token = account.define(), unique(), unique()
    given = {
        "cluster": cluster, "serviceName": name, "taskDefinition": definition, "desiredCount": 1,
        "launchType": "FARGATE", "networkConfiguration": account.network(), "clientToken": token,
    }
    first = account.ecs.create_service(**given)["service"]
    again = account.ecs.create_service(**given)["service"]
    assert again["deployments"][0]["id"] == first["deployments"][0]["id"]
    other = given | {"desiredCount": 2}
    with pytest.raises(account.ecs.exceptions.ClientError):
        account.ecs.create_service(**other)
    check_refused(
        "InvalidParameterException", "Creation of service was not idempotent.", account.ecs.create_service,
        **other | {"clientToken": unique()},
    )
    assert account.service(cluster, name)["desiredCount"] == 1


def test_a_strategy_spreads_a_service_over_providers(account):
    cluster = account.cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"])
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1}, {"capacityProvider": "FARGATE_SPOT", "weight": 1},
    ]
    made = account.ecs.create_service(
        cluster=cluster, serviceName=unique(), taskDefinition=account.define(), desiredCount=5,
        capacityProviderStrategy=strategy, networkConfiguration=account.network(),
    )["service"]
    assert "launchType" not in made
    check_holds(strategy, made["capacityProviderStrategy"])
    account.until_steady(cluster, made["serviceName"])
    tasks = account.ecs.describe_tasks(cluster=cluster, tasks=account.tasks(cluster))["tasks"]
    providers = [task["capacityProviderName"] for task in tasks]
    assert (providers.count("FARGATE"), providers.count("FARGATE_SPOT")) == (3, 2)


EBS = {"roleArn": "arn:aws:iam::000000000000:role/ebs", "sizeInGiB": 10, "filesystemType": "xfs", "encrypted": True}

# Members of CreateService that need nothing else to exist: what is answered and described is what was given.
STORED = {
    "deploymentConfiguration": {
        "deploymentCircuitBreaker": {
            "enable": True, "rollback": True, "resetOnHealthyTask": False,
            "thresholdConfiguration": {"type": "UNBOUNDED_PERCENT", "value": 30},
        },
        "alarms": {"alarmNames": [], "enable": False, "rollback": False}, "strategy": "ROLLING",
        "bakeTimeInMinutes": 5, "maximumPercent": 150, "minimumHealthyPercent": 50,
        "earlySuccessCriteria": {"enable": True, "healthyPercent": 60, "sourceServiceRevisionCleanup": "DEFERRED"},
    },
    "healthCheckGracePeriodSeconds": 30, "availabilityZoneRebalancing": "DISABLED", "propagateTags": "TASK_DEFINITION",
    "loadBalancers": [], "serviceRegistries": [], "placementConstraints": [], "placementStrategy": [],
    "deploymentController": {"type": "ECS"}, "schedulingStrategy": "REPLICA", "platformVersion": "1.4.0",
    "enableECSManagedTags": True, "enableExecuteCommand": True,
}


def test_what_is_given_is_stored_and_returned(account, cluster):
    volumes = [{"name": "data", "managedEBSVolume": EBS}]
    definition = account.define(volumes=[{"name": "data", "configuredAtLaunch": True}])
    name = account.serve(
        cluster, definition, volumeConfigurations=volumes, serviceConnectConfiguration={"enabled": False},
        monitoring={"metricConfigurations": [{"metricNames": ["CPUUtilization"], "resolutionSeconds": 20}]}, **STORED,
    )
    service = account.service(cluster, name)
    check_holds(STORED | {"resourceManagementType": "CUSTOMER"}, service)
    deployment = service["deployments"][0]
    check_holds({"volumeConfigurations": volumes, "serviceConnectConfiguration": {"enabled": False}}, deployment)
    number = deployment["id"].removeprefix("ecs-svc/")
    assert service["currentServiceDeployment"] == account.arn(f"service-deployment/{cluster}/{name}/{number}")
    assert service["currentServiceRevisions"][0]["arn"] == account.arn(f"service-revision/{cluster}/{name}/{number}")
    stopped = eventually(lambda: account.tasks(cluster, serviceName=name, desiredStatus="STOPPED"))
    assert "volumes configured at launch (volume data)" in account.task(cluster, stopped[0])["stoppedReason"]
    changed = {"availabilityZoneRebalancing": "ENABLED", "deploymentConfiguration": {"maximumPercent": 200}}
    service = account.ecs.update_service(cluster=cluster, service=name, desiredCount=0, **changed)["service"]
    kept = STORED["deploymentConfiguration"] | changed["deploymentConfiguration"]
    check_holds(STORED | changed | {"deploymentConfiguration": kept}, service)


TARGET = {"containerName": "main", "containerPort": 80}
LATTICE = {"roleArn": "arn:aws:iam::000000000000:role/x", "targetGroupArn": "arn:group", "portName": "web"}
ALARMS = {"alarmNames": ["high"], "enable": True, "rollback": True}

# What names a thing that is not there: code and words of the refusal.
ABSENT = {
    "target group": (
        {"loadBalancers": [TARGET | {"targetGroupArn": "arn:group"}]},
        "InvalidParameterException", "^The specified target group does not exist.$",
    ),
    "classic load balancer": (
        {"loadBalancers": [TARGET | {"loadBalancerName": "lb"}]},
        "InvalidParameterException", "^The load balancer lb does not exist.$",
    ),
    "registry": (
        {"serviceRegistries": [{"registryArn": "arn:registry"}]},
        "InvalidParameterException", "^The service registry arn:registry does not exist.$",
    ),
    "namespace": (
        {"serviceConnectConfiguration": {"enabled": True, "namespace": "inner"}},
        "NamespaceNotFoundException", "^Failed to retrieve namespace for inner$",
    ),
    "lattice": (
        {"vpcLatticeConfigurations": [LATTICE]},
        "InvalidParameterException", "^The specified target group does not exist.$",
    ),
    "alarms": (
        {"deploymentConfiguration": {"alarms": ALARMS}},
        "InvalidParameterException", "^The specified alarms do not exist: high.$",
    ),
    "volume": (
        {"volumeConfigurations": [{"name": "data", "managedEBSVolume": EBS}]},
        "InvalidParameterException", "no matching configuredAtLaunch volume found in task definition",
    ),
    "daemon": ({"schedulingStrategy": "DAEMON"}, "InvalidParameterException", "does not support a desired count"),
    "code deploy": (
        {"deploymentController": {"type": "CODE_DEPLOY"}},
        "UnsupportedFeatureException", "the deployment controller CODE_DEPLOY",
    ),
    "blue green": (
        {"deploymentConfiguration": {"strategy": "BLUE_GREEN"}},
        "UnsupportedFeatureException", "strategies other than ROLLING",
    ),
}


@pytest.mark.parametrize("given, code, words", ABSENT.values(), ids=ABSENT.keys())
def test_what_does_not_exist_cannot_be_named(account, cluster, given, code, words):
    definition = account.define()
    check_refused(code, words, account.serve, cluster, definition, **given)
    assert account.ecs.list_services(cluster=cluster)["serviceArns"] == []
    name = account.serve(cluster, definition, desiredCount=0)
    if given.keys() & {"schedulingStrategy"}:
        return
    check_refused(code, words, account.ecs.update_service, cluster=cluster, service=name, **given)


def breaker(rollback, **threshold):
    configuration = {"thresholdConfiguration": threshold} if threshold else {}
    return {"deploymentCircuitBreaker": {"enable": True, "rollback": rollback} | configuration}


def test_the_circuit_breaker_brings_the_last_complete_deployment_back(account, cluster):
    family = unique()
    good, bad = account.define(CHECKED, family=family), account.define(NEVER, family=family)
    name = account.serve(cluster, good, desiredCount=3, deploymentConfiguration=breaker(True))
    service = account.until_steady(cluster, name)
    before, old = set(account.tasks(cluster, serviceName=name)), service["deployments"][0]["id"]
    eventually(lambda: account.service(cluster, name)["deployments"][0]["rolloutState"] == "COMPLETED")
    service = account.ecs.update_service(cluster=cluster, service=name, taskDefinition=bad)["service"]
    new = service["deployments"][0]["id"]
    rolling = f"(service {name}) rolling back to deployment {old}."
    eventually(lambda: rolling in messages(account.service(cluster, name)))
    assert f"(service {name}) (deployment {new}) deployment failed: tasks failed to start." in messages(
        account.service(cluster, name))
    service = account.until_steady(cluster, name)
    assert (short(service["taskDefinition"]), service["deployments"][0]["id"]) == (good, old)
    eventually(lambda: account.service(cluster, name)["deployments"][0]["rolloutState"] == "COMPLETED")
    assert set(account.tasks(cluster, serviceName=name)) == before, "what works was left alone"
    failed = [account.task(cluster, arn) for arn in account.tasks(cluster, desiredStatus="STOPPED")]
    # Three trip it; one or two that were replaced before the third failed may be on their way.
    assert 3 <= len([task for task in failed if task["startedBy"] == new]) <= 5


def test_tasks_that_turn_unhealthy_trip_the_circuit_breaker(real):
    account = real.account()
    cluster, family = account.cluster(), unique()

    def sleeper(check):
        health = {"command": ["CMD", check], "interval": 5, "timeout": 60, "retries": 1}
        return container(command=["sleep", "600"], stopTimeout=2, healthCheck=health)

    good, bad = [account.define(sleeper(check), family=family) for check in ("true", "false")]
    configuration = breaker(True, type="COUNT", value=1)
    name = account.serve(cluster, good, deploymentConfiguration=configuration)
    old = eventually(
        lambda: (one := account.service(cluster, name)["deployments"][0])["rolloutState"] == "COMPLETED" and one)
    before = account.tasks(cluster, serviceName=name)
    account.ecs.update_service(cluster=cluster, service=name, taskDefinition=bad)
    rolling = f"(service {name}) rolling back to deployment {old['id']}."
    eventually(lambda: rolling in messages(account.service(cluster, name)))
    assert any(message.endswith(") failed container health checks.") for message in
               messages(account.service(cluster, name)))
    service = account.until_steady(cluster, name)
    assert short(service["taskDefinition"]) == good and account.tasks(cluster, serviceName=name) == before
    account.ecs.delete_service(cluster=cluster, service=name, force=True)


def test_without_rollback_a_failed_deployment_stands_still(account, cluster):
    name = account.serve(
        cluster, account.define(NEVER), desiredCount=2, deploymentConfiguration=breaker(True, type="COUNT", value=2),
    )
    failed = eventually(
        lambda: (one := account.service(cluster, name)["deployments"][0])["rolloutState"] == "FAILED" and one)
    assert failed["rolloutStateReason"] == "ECS deployment circuit breaker: tasks failed to start."
    # Two trip it; one or two that were replaced before the second failed may be on their way.
    assert failed["status"] == "PRIMARY" and failed["runningCount"] == 0 and 2 <= failed["failedTasks"] <= 4
    assert not any("rolling back" in message for message in messages(account.service(cluster, name)))
    eventually(lambda: account.service(cluster, name)["pendingCount"] == 0)
    assert 2 <= len(account.tasks(cluster, desiredStatus="STOPPED")) <= 4
    account.ecs.update_service(cluster=cluster, service=name, taskDefinition=account.define())
    assert account.until_steady(cluster, name)["deployments"][0]["failedTasks"] == 0


def test_without_health_checks_old_tasks_stay_for_forty_seconds(rollout):
    account, cluster, name = rollout
    service = account.until_steady(cluster, name)
    assert service["runningCount"] == 2
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"
    stops = [event for event in service["events"] if " has stopped " in event["message"]]
    waited = min(event["createdAt"] for event in stops) - service["deployments"][0]["createdAt"]
    assert waited.total_seconds() >= 40, service["events"]
