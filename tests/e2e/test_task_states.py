"""A real task's way through the states, as somebody sees it who looks all the time; and what an account's settings do to
its tasks."""

import json
import time

from account import PATIENCE, container, eventually, short, unique

ROLE = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"
ORDER = ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"]
SLOW_END = "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"


def shell(name, script, **fields):
    return container(name, entryPoint=["/bin/sh", "-c"], command=[script], **fields)


def walk(account, cluster, arn):
    """Every state that is seen until the task has stopped."""
    seen, deadline = [], time.monotonic() + PATIENCE
    while not seen or seen[-1] != "STOPPED":
        assert time.monotonic() < deadline, seen
        state = account.task(cluster, arn)["lastStatus"]
        seen += [] if seen[-1:] == [state] else [state]
    return seen


def test_a_task_is_activating_until_all_it_waits_for_is_there_and_stopping_while_something_runs(real):
    account = real.account()
    cluster = account.cluster()
    definition = account.define(
        shell("first", "sleep 1.5", essential=False),
        shell("main", "sleep 2; exit 3", dependsOn=[{"containerName": "first", "condition": "SUCCESS"}]),
        shell("slow", SLOW_END, essential=False, stopTimeout=10),
    )
    arn = account.run(cluster, definition)[0]["taskArn"]
    seen = walk(account, cluster, arn)
    assert seen == sorted(seen, key=ORDER.index), "forward only"
    assert {"ACTIVATING", "RUNNING", "STOPPING", "STOPPED"} <= set(seen), seen
    task = account.task(cluster, arn)
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["createdAt"] <= task["startedAt"] <= task["stoppingAt"] <= task["executionStoppedAt"] <= task["stoppedAt"]
    assert (task["executionStoppedAt"] - task["stoppingAt"]).total_seconds() > 0.5


def test_a_task_without_a_mode_for_its_logs_has_that_of_its_account(real):
    account, group = real.account(), f"/e2e/{unique()}"
    options = {
        "awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e",
        "awslogs-create-group": "true",
    }
    log = {"logDriver": "awslogs", "options": options}
    own = {"logDriver": "awslogs", "options": options | {"mode": "non-blocking"}}
    ask = "wget -qO- $ECS_CONTAINER_METADATA_URI_V4"
    definition = account.define(
        shell("plain", ask, logConfiguration=log), shell("chosen", ask, logConfiguration=own, essential=False),
        executionRoleArn=ROLE,
    )
    cluster = account.cluster()
    account.ecs.put_account_setting(name="defaultLogDriverMode", value="blocking")
    try:
        arn = account.run(cluster, definition)[0]["taskArn"]
        account.until(cluster, arn, "STOPPED")
    finally:
        account.ecs.delete_account_setting(name="defaultLogDriverMode")
    for name, mode in (("plain", "blocking"), ("chosen", "non-blocking")):
        said = eventually(lambda: account.lines(group, f"e2e/{name}/{short(arn)}"))
        assert json.loads(said[0])["LogOptions"]["mode"] == mode
