"""`secrets` of containers: values read by the execution role when a task starts, and nowhere else in clear."""

import botocore.exceptions
import pytest
from account import container, eventually, short, unique
from conftest import IMAGES, ROOM
from disk import holding
from test_identity import ACCOUNT, allow, root
from test_task_roles import lending, process

SECRET = "planted-c3a91e07d4"
HERE = f"us-east-1:{ACCOUNT}"
STAY = ["while :; do sleep 1; done"]
UNABLE = ("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
          "unable to retrieve secrets from ssm: ")


def parameter(instance, value=SECRET, kind="SecureString"):
    name = f"/{unique()}/value"
    root(instance).client("ssm").put_parameter(Name=name, Type=kind, Value=value)
    return name


def arn(name):
    return f"arn:aws:ssm:{HERE}:parameter{name}"


def reader(instance, *names):
    """A role that may read these parameters."""
    return lending(instance, allow("ssm:GetParameters", resource=[arn(name) for name in names]))


class Given:
    """A task with secrets."""

    def __init__(self, instance, execution_role, secrets, **fields):
        self.instance, self.account = instance, instance.account()
        listed = [{"name": name, "valueFrom": value} for name, value in secrets.items()]
        usual = {"entryPoint": ["/bin/sh", "-c"], "command": STAY, "stopTimeout": 2, "secrets": listed}
        main = container(**usual | fields)
        self.cluster = self.account.cluster()
        self.definition = self.account.define(main, executionRoleArn=execution_role)
        self.arn = self.account.run(self.cluster, self.definition)[0]["taskArn"]

    def variables(self):
        task = self.account.until(self.cluster, self.arn, "RUNNING")
        return eventually(lambda: process(task))[1]

    def stopped(self):
        return self.account.until(self.cluster, self.arn, "STOPPED")

    def stop(self):
        self.account.ecs.stop_task(cluster=self.cluster, task=self.arn)
        return self.stopped()

    def told(self):
        """Everything that ECS says of it."""
        ecs = self.account.ecs
        return str([ecs.describe_tasks(cluster=self.cluster, tasks=[self.arn])["tasks"],
                    ecs.describe_task_definition(taskDefinition=self.definition)["taskDefinition"]])


def in_clear(instance, value):
    """Files of an instance, its logs among them, that hold a value."""
    return holding([value.encode()], instance.directory, "/run/longshore")


def test_every_form_of_a_reference_gives_its_value(real):
    name = parameter(real, "first")
    ssm = root(real).client("ssm")
    ssm.put_parameter(Name=name, Value=SECRET, Overwrite=True)
    ssm.label_parameter_version(Name=name, ParameterVersion=1, Labels=["old"])
    plain = parameter(real, "a,b", "StringList")
    task = Given(real, reader(real, name, plain), {
        "NAME": name, "ARN": arn(name), "VERSION": f"{name}:1", "LABEL": f"{arn(name)}:old", "PLAIN": plain,
    }, environment=[{"name": "GIVEN", "value": "plain"}])
    found = task.variables()
    wanted = {"NAME": SECRET, "ARN": SECRET, "VERSION": "first", "LABEL": "first", "PLAIN": "a,b", "GIVEN": "plain"}
    assert {key: found.get(key) for key in wanted} == wanted
    assert SECRET not in task.told()
    task.stop()


def test_a_secret_lies_in_no_file_and_no_answer_and_outlives_the_agent(fresh):
    instance = fresh(*ROOM)
    done = instance.command("image", "import", IMAGES / "busybox.tar", "--tag", "busybox:latest")
    assert done.returncode == 0, done.stderr
    name = parameter(instance)
    health = {"command": ["CMD-SHELL", f"test ${{#PASSWORD}} -eq {len(SECRET)}"], "interval": 5, "retries": 2}
    plain = [{"name": "PLAIN", "value": "in-the-open-7be1"}]
    task = Given(instance, reader(instance, name), {"PASSWORD": name}, healthCheck=health, environment=plain)
    assert task.variables()["PASSWORD"] == SECRET
    healthy = lambda: task.account.ecs.describe_tasks(cluster=task.cluster, tasks=[task.arn])["tasks"][0]["healthStatus"]
    eventually(lambda: healthy() == "HEALTHY")
    assert in_clear(instance, SECRET) == []
    assert in_clear(instance, "in-the-open-7be1"), "what is no secret is found"
    assert SECRET not in task.told()
    instance.kill()
    instance.start()
    assert in_clear(instance, SECRET) == []
    assert task.variables()["PASSWORD"] == SECRET
    assert task.stop()["containers"][0]["exitCode"] is not None
    assert in_clear(instance, SECRET) == []


def test_a_task_that_may_not_read_does_not_start_and_says_why(real):
    name, other = parameter(real), parameter(real)
    made = reader(real, other)
    task = Given(real, made, {"A": other, "B": name})
    stopped = task.stopped()
    assert stopped["stopCode"] == "TaskFailedToStart"
    session = f"arn:aws:sts::{ACCOUNT}:assumed-role/{short(made)}/{short(task.arn)}"
    sentence = (f"AccessDeniedException: User: {session} is not authorized to perform: ssm:GetParameters on resource: "
                f"{arn(name)} because no identity-based policy allows the ssm:GetParameters action")
    assert stopped["stoppedReason"].startswith(f"{UNABLE}service call has been retried 1 time(s): {sentence}")
    assert SECRET not in task.told()


def test_a_parameter_that_is_not_there_is_named(real):
    name = f"/{unique()}/none"
    stopped = Given(real, reader(real, name), {"A": name}).stopped()
    assert stopped["stoppedReason"] == f"{UNABLE}invalid parameters: {name}"
    foreign = "arn:aws:ssm:us-east-1:999999999999:parameter/x"
    made = lending(real, allow("ssm:GetParameters"))
    assert Given(real, made, {"A": foreign}).stopped()["stoppedReason"].startswith(UNABLE)


def test_secrets_need_an_execution_role(real):
    account = real.account()
    main = container(secrets=[{"name": "A", "valueFrom": "/a"}])
    with pytest.raises(botocore.exceptions.ClientError) as error:
        account.define(main)
    assert error.value.response["Error"] == {
        "Code": "ClientException",
        "Message": "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."}


def test_a_new_version_is_for_new_tasks(real):
    name = parameter(real, "old")
    made = reader(real, name)
    first = Given(real, made, {"A": name})
    assert first.variables()["A"] == "old"
    root(real).client("ssm").put_parameter(Name=name, Value="new", Overwrite=True)
    second = Given(real, made, {"A": name})
    assert (first.variables()["A"], second.variables()["A"]) == ("old", "new")
    first.stop()
    second.stop()
