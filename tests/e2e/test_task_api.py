"""What programs of a task say to the API: an SDK in a container finds it by its environment alone, and nothing else of the
host."""

import json

from account import container, eventually, short, unique
from conftest import IMAGES, ROOM
from test_identity import ACCOUNT, allow
from test_task_roles import Lent, lending

EXECUTION = f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"

ASK = """
import json, os, boto3, botocore.exceptions
def outcome(service, operation, **fields):
    try:
        answer = getattr(boto3.client(service), operation)(**fields)
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]
print(json.dumps({
    "url": os.environ["AWS_ENDPOINT_URL"], "environment": os.environ["AWS_EXECUTION_ENV"],
    "found by": boto3.Session().get_credentials().method,
    "who": outcome("sts", "get_caller_identity"),
    "cluster": outcome("ecs", "describe_clusters", clusters=[os.environ["CLUSTER"]]),
    "secret": outcome("secretsmanager", "get_secret_value", SecretId=os.environ["ALLOWED"]),
    "other": outcome("secretsmanager", "get_secret_value", SecretId=os.environ["DENIED"]),
    "logs": outcome("logs", "create_log_group", logGroupName="/not/mine"),
}, default=str))
"""


def logged(group):
    """Options of a container that logs to a group."""
    options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e",
               "awslogs-create-group": "true"}
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}}


def variables(**given):
    return {"environment": [{"name": name, "value": value} for name, value in given.items()]}


def test_boto3_in_a_container_may_do_what_its_role_may_and_nothing_else(python):
    account, cluster, group = python.account(), python.account().cluster(), f"/e2e/{unique()}"
    secrets = python.client("secretsmanager")
    mine, other = (secrets.create_secret(Name=unique(), SecretString=f"value-{number}") for number in range(2))
    made = lending(python, allow("ecs:DescribeClusters"), allow("secretsmanager:GetSecretValue", resource=mine["ARN"]))
    asks = container(image="python:latest", command=["-c", ASK], **logged(group),
                     **variables(CLUSTER=cluster, ALLOWED=mine["Name"], DENIED=other["Name"]))
    definition = account.define(asks, taskRoleArn=made, executionRoleArn=EXECUTION)
    arn = account.run(cluster, definition)[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    said = json.loads("".join(eventually(lambda: account.lines(group))))
    assert task["containers"][0]["exitCode"] == 0, said
    session = f"assumed-role/{short(made)}/{short(arn)}"
    assert (said["url"], said["environment"]) == ("http://169.254.170.2:4566", "AWS_ECS_FARGATE")
    assert said["found by"] == "container-role" and said["who"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:{session}"
    assert [found["clusterArn"] for found in said["cluster"]["clusters"]] == [account.arn(f"cluster/{cluster}")]
    assert said["secret"]["SecretString"] == "value-0"
    for denied in ("other", "logs"):
        assert said[denied]["Code"] == "AccessDeniedException" and session in said[denied]["Message"], said[denied]


def test_a_task_reaches_the_api_and_no_other_port_of_the_host(real):
    task = Lent(real)
    assert "AWS_ENDPOINT_URL" not in task.running()[1], "it has no credentials that it could use there"
    ask = lambda url: task.inside("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", url).stdout
    assert ask("http://169.254.170.2:4566/healthz") == "200"
    assert ask("http://169.254.170.2:4566/?Action=GetCallerIdentity&Version=2011-06-15") == "403"
    for path in ("/_longshore/reset", "/acs/ws", "/tcs/ws"):
        closed = task.inside("curl", "-s", "-m", "3", "-d", "", f"http://169.254.170.2:4566{path}").stdout
        assert closed == "tasks may not call this\n", path
    for host in ("169.254.170.2", "172.31.0.1", "172.31.0.2", "127.0.0.1"):
        assert ask(f"http://{host}:{real.port}/healthz") == "000", host
    task.stop()


def test_the_api_is_reached_again_when_the_control_plane_is_back(fresh):
    instance = fresh(*ROOM)
    assert instance.command("image", "import", IMAGES / "busybox.tar", "--tag", "busybox:latest").returncode == 0
    task = Lent(instance)
    reached = lambda: task.inside("curl", "-s", "-m", "3", "http://169.254.170.2:4566/readyz").stdout == "ready\n"
    task.running()
    eventually(reached)
    instance.kill()
    assert not reached()
    instance.start()
    eventually(reached)
    task.stop()
