"""`repositoryCredentials`: a registry that asks for a login, which lies in a secret that the execution role may read."""

import json

import pytest
from account import container, unique, why
from test_identity import ACCOUNT, allow, root
from test_images import Registry
from test_injection import HERE, in_clear
from test_task_roles import lending

PASSWORD = "planted-registry-5d0c"
# As `htpasswd -nbB` writes it.
HTPASSWD = "puller:$2y$05$/zP0Dld8tKsOPmqrF9u9Rej3G6T2Bea0clLC5R0Pp5TxUNLx/YWv6\n"
UNABLE = ("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
          "unable to get registry auth from asm: ")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("guarded"), f"puller:{PASSWORD}", HTPASSWD)
    yield registry
    registry.end()


def login(instance, value=None):
    """The ARN of a secret with a login, and the role that may read it."""
    text = json.dumps({"username": "puller", "password": PASSWORD}) if value is None else value
    arn = root(instance).client("secretsmanager").create_secret(Name=f"dock/{unique()}", SecretString=text)["ARN"]
    return arn, lending(instance, allow("secretsmanager:GetSecretValue", resource=arn))


def ended(instance, image, parameter, role):
    """A task of the image, once it has ended, and everything that ECS says of it."""
    account = instance.account()
    fields = {"repositoryCredentials": {"credentialsParameter": parameter}} if parameter else {}
    cluster, definition = account.cluster(), account.define(
        container(image=image, command=["true"], **fields), executionRoleArn=role)
    arn = account.run(cluster, definition)[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    return task, str([task, account.ecs.describe_task_definition(taskDefinition=definition)])


def test_an_image_is_pulled_with_the_login_of_a_secret(real, guarded):
    digest = guarded.push("busybox.tar", "team/box:1")
    parameter, role = login(real)
    name = parameter.split(":secret:")[1][:-7]
    for image, given in [(f"{guarded.host}/team/box:1", parameter), (f"{guarded.host}/team/box@{digest}", name)]:
        task, told = ended(real, image, given, role)
        one = task["containers"][0]
        assert (one.get("exitCode"), one.get("imageDigest")) == (0, digest), why(task)
        assert PASSWORD not in told and given in told
    assert in_clear(real, PASSWORD) == []


def test_what_was_pulled_with_a_login_is_nobody_elses(real, guarded):
    digest = guarded.push("busybox.tar", f"team/{unique()}:1")
    guarded.push("busybox.tar", "team/own:1")
    parameter, role = login(real)
    assert ended(real, f"{guarded.host}/team/own:1", parameter, role)[0]["containers"][0]["exitCode"] == 0
    wrong, other = login(real, json.dumps({"username": "puller", "password": "planted-wrong"}))
    for image in (f"{guarded.host}/team/own:1", f"{guarded.host}/team/own@{digest}"):
        for given, role_arn in [(None, role), (wrong, other)]:
            task, told = ended(real, image, given, role_arn)
            assert task["stopCode"] == "TaskFailedToStart"
            assert task["stoppedReason"].startswith("CannotPullContainerError: pull image manifest has been retried"), told
            assert "pull access denied" in task["stoppedReason"] and "planted" not in told


def test_a_login_that_cannot_be_read_stops_the_task(real, guarded):
    image = f"{guarded.host}/team/box:1"
    parameter, _ = login(real)
    role = lending(real, allow("ssm:GetParameters"))
    task, told = ended(real, image, parameter, role)
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(
        f"{UNABLE}service call has been retried 1 time(s): asm fetching secret from the service for {parameter}: "
        f"AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/"), told
    assert f"is not authorized to perform: secretsmanager:GetSecretValue on resource: {parameter}" in told
    none = f"arn:aws:secretsmanager:{HERE}:secret:none-AbCdEf"
    anything = lending(real, allow("secretsmanager:GetSecretValue"))
    assert "ResourceNotFoundException: Secrets Manager can't find" in ended(real, image, none, anything)[0]["stoppedReason"]


@pytest.mark.parametrize("value, told", [
    ("planted-text", "asm fetching authorization data: unable to unmarshal secret value, invalid schema"),
    ('{"username": "planted-user"}', "asm fetching password: AuthorizationData is malformed, empty field"),
    ('{"username": "", "password": "planted"}', "asm fetching username: AuthorizationData is malformed, empty field"),
])
def test_a_secret_that_holds_no_login_is_named_and_not_quoted(real, guarded, value, told):
    parameter, role = login(real, value)
    task, all_of_it = ended(real, f"{guarded.host}/team/box:1", parameter, role)
    assert task["stoppedReason"] == UNABLE + told
    assert "planted" not in all_of_it
