"""Clusters, capacity providers and account settings, over the API."""

import pytest

from account import container, eventually, unique
from refusal import check_holds, check_refused

TAGS = [{"key": "team", "value": "harbour"}, {"key": "empty", "value": ""}]


def describe(account, *names, include=()):
    return account.ecs.describe_clusters(clusters=list(names), include=list(include))


def test_a_new_cluster_is_active_and_empty(account):
    name = unique()
    cluster = account.ecs.create_cluster(clusterName=name)["cluster"]
    assert cluster["clusterArn"] == account.arn(f"cluster/{name}")
    assert (cluster["clusterName"], cluster["status"]) == (name, "ACTIVE")
    counts = ("registeredContainerInstancesCount", "runningTasksCount", "pendingTasksCount", "activeServicesCount")
    assert [cluster[count] for count in counts] == [0, 0, 0, 0]
    assert cluster["settings"] == [{"name": "containerInsights", "value": "disabled"}]


def test_everything_given_to_a_cluster_is_kept(account):
    given = {
        "tags": TAGS,
        "settings": [{"name": "containerInsights", "value": "enhanced"}],
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
        "defaultCapacityProviderStrategy": [
            {"capacityProvider": "FARGATE", "weight": 1, "base": 2},
            {"capacityProvider": "FARGATE_SPOT", "weight": 3, "base": 0},
        ],
        "configuration": {"executeCommandConfiguration": {
            "logging": "OVERRIDE", "logConfiguration": {"cloudWatchLogGroupName": "exec"},
        }},
        "serviceConnectDefaults": {"namespace": "harbour"},
    }
    name = account.cluster(**given)
    include = ["TAGS", "SETTINGS", "CONFIGURATIONS", "ATTACHMENTS", "STATISTICS"]
    shown = describe(account, name, include=include)["clusters"][0]
    check_holds(given | {"serviceConnectDefaults": {"namespace": shown["serviceConnectDefaults"]["namespace"]}}, shown)
    assert {pair["name"]: pair["value"] for pair in shown["statistics"]}["runningFargateTasksCount"] == "0"
    bare = describe(account, name)["clusters"][0]
    assert not bare["tags"] and not bare["settings"] and "configuration" not in bare


def test_creating_a_cluster_again_gives_the_same_one(account):
    name = account.cluster(tags=TAGS)
    again = account.ecs.create_cluster(clusterName=name)["cluster"]
    assert again["clusterArn"] == account.arn(f"cluster/{name}")
    assert describe(account, name, include=["TAGS"])["clusters"][0]["tags"] == TAGS


def test_clusters_are_found_by_name_and_arn_and_the_rest_is_missing(account):
    name = account.cluster()
    answer = describe(account, name, account.arn("cluster/nowhere"), "nobody")
    assert [cluster["clusterName"] for cluster in answer["clusters"]] == [name]
    assert answer["failures"] == [
        {"arn": account.arn("cluster/nowhere"), "reason": "MISSING"},
        {"arn": account.arn("cluster/nobody"), "reason": "MISSING"},
    ]
    by_arn = describe(account, account.arn(f"cluster/{name}"))
    assert by_arn["clusters"][0]["clusterName"] == name and not by_arn["failures"]


def test_listing_gives_every_active_cluster_once(account):
    names = sorted(account.cluster() for _ in range(7))
    account.ecs.delete_cluster(cluster=names.pop(3))
    pages = list(account.ecs.get_paginator("list_clusters").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["clusterArns"]) for page in pages] == [2, 2, 2]
    listed = [arn for page in pages for arn in page["clusterArns"]]
    assert sorted(listed) == [account.arn(f"cluster/{name}") for name in names]


def test_settings_and_configuration_change(account):
    name = account.cluster()
    changed = account.ecs.update_cluster_settings(
        cluster=name, settings=[{"name": "containerInsights", "value": "enabled"}]
    )["cluster"]
    assert changed["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    configuration = {"executeCommandConfiguration": {"logging": "NONE"}}
    changed = account.ecs.update_cluster(cluster=name, configuration=configuration)["cluster"]
    assert changed["configuration"] == configuration
    shown = describe(account, name, include=["SETTINGS", "CONFIGURATIONS"])["clusters"][0]
    assert shown["settings"][0]["value"] == "enabled" and shown["configuration"] == configuration


def test_capacity_providers_are_replaced_as_a_whole(account):
    name = account.cluster()
    put = account.ecs.put_cluster_capacity_providers
    strategy = [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
    cluster = put(cluster=name, capacityProviders=["FARGATE", "FARGATE_SPOT"], defaultCapacityProviderStrategy=strategy)
    check_holds(
        {"capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": strategy},
        cluster["cluster"],
    )
    cluster = put(cluster=name, capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[])["cluster"]
    assert (cluster["capacityProviders"], cluster["defaultCapacityProviderStrategy"]) == (["FARGATE"], [])
    check_refused(
        "InvalidParameterException", "not associated with the cluster", put,
        cluster=name, capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=strategy,
    )


def test_a_capacity_provider_in_use_stays(account):
    name = account.cluster(capacityProviders=["FARGATE", "FARGATE_SPOT"])
    spot = [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]
    account.run(name, account.define(), capacityProviderStrategy=spot)
    check_refused(
        "ResourceInUseException", "FARGATE_SPOT", account.ecs.put_cluster_capacity_providers,
        cluster=name, capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[],
    )


def test_the_providers_of_fargate_are_described(account):
    found = account.ecs.describe_capacity_providers()["capacityProviders"]
    assert {(one["name"], one["status"]) for one in found} >= {("FARGATE", "ACTIVE"), ("FARGATE_SPOT", "ACTIVE")}
    one = account.ecs.describe_capacity_providers(capacityProviders=["FARGATE", "mine"])
    assert one["capacityProviders"][0]["capacityProviderArn"] == account.arn("capacity-provider/FARGATE")
    assert [failure["reason"] for failure in one["failures"]] == ["MISSING"]


def test_a_cluster_with_a_service_or_tasks_is_not_deleted(account):
    name, definition = account.cluster(), account.define()
    service = account.serve(name, definition)
    delete = account.ecs.delete_cluster
    check_refused("ClusterContainsServicesException", "while Services are active", delete, cluster=name)
    account.ecs.delete_service(cluster=name, service=service, force=True)
    eventually(lambda: account.service(name, service)["status"] == "INACTIVE")
    task = account.run(name, definition)[0]["taskArn"]
    check_refused("ClusterContainsTasksException", "while Tasks are active", delete, cluster=name)
    account.ecs.stop_task(cluster=name, task=task)
    account.until(name, task, "STOPPED")
    assert delete(cluster=name)["cluster"]["status"] == "INACTIVE"


def test_a_deleted_cluster_is_described_and_not_used(account):
    name = account.cluster()
    account.ecs.delete_cluster(cluster=name)
    assert describe(account, name)["clusters"][0]["status"] == "INACTIVE"
    check_refused("ClusterNotFoundException", "", account.ecs.list_tasks, cluster=name)
    check_refused("ClusterNotFoundException", "", account.ecs.delete_cluster, cluster=name)
    check_refused("ClusterNotFoundException", "", account.try_run, name, account.define())
    assert account.ecs.create_cluster(clusterName=name)["cluster"]["status"] == "ACTIVE"


def test_the_default_cluster_is_made_on_demand(account):
    assert account.ecs.list_clusters()["clusterArns"] == []
    request = {"taskDefinition": account.define(), "launchType": "FARGATE", "networkConfiguration": account.network()}
    task = account.ecs.run_task(**request)["tasks"][0]
    assert task["clusterArn"] == account.arn("cluster/default")
    assert account.ecs.list_tasks()["taskArns"] == [task["taskArn"]]
    assert account.ecs.describe_clusters()["clusters"][0]["clusterName"] == "default"


def test_a_clusters_counts_are_those_of_its_tasks_and_services(account):
    name, definition = account.cluster(), account.define(container())
    account.until_steady(name, account.serve(name, definition, desiredCount=3))
    task = account.run(name, definition)[0]["taskArn"]
    account.until(name, task, "RUNNING")
    shown = describe(account, name, include=["STATISTICS"])["clusters"][0]
    assert (shown["runningTasksCount"], shown["pendingTasksCount"], shown["activeServicesCount"]) == (4, 0, 1)
    statistics = {pair["name"]: pair["value"] for pair in shown["statistics"]}
    assert (statistics["runningFargateTasksCount"], statistics["activeFargateServiceCount"]) == ("4", "1")


SETTINGS = {
    "containerInsights": "enabled", "awsvpcTrunking": "enabled", "fargateTaskRetirementWaitPeriod": "14",
    "defaultLogDriverMode": "blocking", "tagResourceAuthorization": "off", "fargateFIPSMode": "enabled",
}


def effective(account, name):
    listed = account.ecs.list_account_settings(name=name, effectiveSettings=True)["settings"]
    assert len(listed) == 1
    return listed[0]["value"]


@pytest.mark.parametrize("name,value", SETTINGS.items())
def test_an_account_setting_is_set_and_taken_back(account, name, value):
    default = effective(account, name)
    assert default != value
    setting = account.ecs.put_account_setting(name=name, value=value)["setting"]
    assert (setting["name"], setting["value"]) == (name, value)
    assert setting["principalArn"] == f"arn:aws:iam::{account.id}:root"
    assert effective(account, name) == value
    assert [one["name"] for one in account.ecs.list_account_settings()["settings"]] == [name]
    account.ecs.delete_account_setting(name=name)
    assert effective(account, name) == default


def test_a_default_holds_for_who_has_no_setting_of_their_own(account):
    user = f"arn:aws:iam::{account.id}:user/dora"
    account.ecs.put_account_setting_default(name="containerInsights", value="enabled")
    listed = account.ecs.list_account_settings(name="containerInsights", principalArn=user, effectiveSettings=True)
    assert listed["settings"][0]["value"] == "enabled"
    account.ecs.put_account_setting(name="containerInsights", value="disabled", principalArn=user)
    listed = account.ecs.list_account_settings(name="containerInsights", principalArn=user, effectiveSettings=True)
    assert listed["settings"][0]["value"] == "disabled"
    cluster = account.ecs.create_cluster(clusterName=unique())["cluster"]
    assert cluster["settings"] == [{"name": "containerInsights", "value": "enabled"}]


def test_all_settings_are_listed_in_pages_with_their_defaults(account):
    pages = account.ecs.get_paginator("list_account_settings").paginate(
        effectiveSettings=True, PaginationConfig={"PageSize": 3}
    )
    listed = {one["name"]: one["value"] for page in pages for one in page["settings"]}
    known = account.ecs.meta.service_model.shape_for("SettingName").enum
    assert sorted(listed) == sorted(known)
    long_names = ("serviceLongArnFormat", "taskLongArnFormat", "containerInstanceLongArnFormat")
    assert [listed[name] for name in long_names] == ["enabled"] * 3
    assert listed["containerInsights"] == "disabled" and listed["fargateTaskRetirementWaitPeriod"] == "7"
