"""Rotation of secrets by tasks: a real container with an SDK makes the new value and moves the label."""

import datetime
import json

import botocore.exceptions
import pytest
from account import container, eventually, short, unique
from conftest import ROOM, ROOT
from test_identity import ACCOUNT, allow, user
from test_injection import Given
from test_task_roles import lending

PROGRAM = (ROOT / "examples" / "rotation.py").read_text()
NEEDED = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]


class Rotated:
    """A secret, and the task definition that rotates it."""

    def __init__(self, instance, program=PROGRAM):
        self.instance, self.account = instance, instance.account()
        self.client, self.name = instance.client("secretsmanager"), unique()
        self.arn = self.client.create_secret(Name=self.name, SecretString="first")["ARN"]
        actions = [f"secretsmanager:{action}" for action in NEEDED]
        self.role = lending(instance, allow(*actions, resource=self.arn), allow("secretsmanager:GetRandomPassword"))
        self.family = unique()
        self.define(program)

    def define(self, program):
        """Another revision that runs this."""
        made = container(image="python:latest", command=["-c", program], stopTimeout=2)
        self.account.define(made, family=self.family, taskRoleArn=self.role)

    @property
    def function(self):
        return self.account.arn(f"task-definition/{self.family}")

    def rotate(self, **fields):
        return self.client.rotate_secret(SecretId=self.name, **fields)

    def refused(self, **fields):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            self.rotate(**fields)
        told = error.value.response["Error"]
        return told["Code"], told["Message"]

    def described(self):
        return self.client.describe_secret(SecretId=self.name)

    def stages(self):
        """Versions by label."""
        versions = self.described()["VersionIdsToStages"]
        return {label: version for version, labels in versions.items() for label in labels}

    def value(self, stage="AWSCURRENT"):
        return self.client.get_secret_value(SecretId=self.name, VersionStage=stage)["SecretString"]

    def tasks(self, status="RUNNING"):
        """The tasks that rotate, of this family."""
        return self.account.tasks("default", family=self.family, desiredStatus=status)

    def until_tasks(self, count, status):
        return eventually(lambda: len(found := self.tasks(status)) == count and found)


def test_a_task_rotates_a_secret_and_new_tasks_read_the_new_value(python):
    rotated = Rotated(python)
    before = rotated.described()
    assert "RotationEnabled" not in before and "NextRotationDate" not in before
    answer = rotated.rotate(RotationLambdaARN=rotated.function, RotationRules={"AutomaticallyAfterDays": 30})
    assert answer["ARN"] == rotated.arn and answer["Name"] == rotated.name
    eventually(lambda: rotated.described().get("LastRotatedDate"))
    described = rotated.described()
    assert described["RotationEnabled"] and described["RotationLambdaARN"] == rotated.function
    assert described["RotationRules"] == {"AutomaticallyAfterDays": 30}
    assert described["NextRotationDate"] - described["LastRotatedDate"] == datetime.timedelta(days=30)
    assert rotated.stages() == {"AWSCURRENT": answer["VersionId"], "AWSPREVIOUS": next(iter(before["VersionIdsToStages"]))}
    value = rotated.value()
    assert len(value) == 32 and rotated.value("AWSPREVIOUS") == "first"
    [listed] = rotated.client.list_secrets(Filters=[{"Key": "name", "Values": [rotated.name]}])["SecretList"]
    assert listed["RotationEnabled"] and listed["LastRotatedDate"] == described["LastRotatedDate"]
    [arn] = rotated.until_tasks(1, "STOPPED")
    task = rotated.account.task("default", arn)
    assert (task["startedBy"], task["containers"][0]["exitCode"]) == ("secretsmanager", 0)
    reader = lending(python, allow("secretsmanager:GetSecretValue", resource=rotated.arn))
    given = Given(python, reader, {"PASSWORD": rotated.arn})
    assert given.variables()["PASSWORD"] == value
    given.stop()


def test_what_fails_leaves_the_value_and_is_tried_again_with_the_same_version(python):
    rotated = Rotated(python, "raise SystemExit(3)")
    token = "0" * 32
    said = rotated.rotate(RotationLambdaARN=rotated.function, ClientRequestToken=token)
    assert said["VersionId"] == token
    rotated.until_tasks(1, "STOPPED")
    eventually(lambda: not rotated.tasks())
    assert rotated.stages()["AWSPENDING"] == token and rotated.value() == "first"
    previous = "A previous rotation isn't complete. That rotation will be reattempted."
    assert rotated.refused() == ("InvalidRequestException", previous)
    # It is tried again in a minute by itself, and at once when its owner says so.
    rotated.define(PROGRAM)
    def tried():
        rotated.rotate(ClientRequestToken=token)
        return "LastRotatedDate" in rotated.described()
    eventually(tried, every=1)
    assert rotated.stages()["AWSCURRENT"] == token and rotated.value() != "first"
    assert "AWSPENDING" not in rotated.stages()


def test_a_rotation_goes_on_where_it_was_when_the_server_is_killed(fresh, python_archive):
    instance = fresh(*ROOM)
    assert instance.command("image", "import", python_archive, "--tag", "python:latest").returncode == 0
    # Its task waits for a secret that is made later.
    gate = unique()
    waits = ("import boto3, time\nclient = boto3.client('secretsmanager')\nwhile True:\n  try:\n"
             f"    client.get_secret_value(SecretId='{gate}'); break\n  except Exception: time.sleep(0.2)\n")
    rotated = Rotated(instance, waits + PROGRAM)
    allowed = allow("secretsmanager:GetSecretValue", resource=rotated.account.arn(f"secret:{gate}-*", "secretsmanager"))
    instance.client("iam").put_role_policy(RoleName=short(rotated.role), PolicyName="gate", PolicyDocument=json.dumps(allowed))
    token = rotated.rotate(RotationLambdaARN=rotated.function)["VersionId"]
    instance.kill()
    instance.start()
    [arn] = rotated.until_tasks(1, "RUNNING")
    rotated.account.until("default", arn, "RUNNING")
    instance.kill()
    instance.start()
    assert rotated.stages()["AWSPENDING"] == token and rotated.value() == "first"
    instance.client("secretsmanager").create_secret(Name=gate, SecretString="open")
    eventually(lambda: rotated.described().get("LastRotatedDate"))
    assert rotated.stages()["AWSCURRENT"] == token
    assert rotated.until_tasks(1, "STOPPED") == [arn] and not rotated.tasks()


def test_a_rotation_is_cancelled_with_its_task(python):
    rotated = Rotated(python, "import time; time.sleep(1000)")
    token = rotated.rotate(RotationLambdaARN=rotated.function, RotationRules={"ScheduleExpression": "rate(4 hours)"})
    [arn] = rotated.until_tasks(1, "RUNNING")
    assert rotated.client.cancel_rotate_secret(SecretId=rotated.name)["VersionId"] == token["VersionId"]
    task = rotated.account.until("default", arn, "STOPPED")
    assert task["stoppedReason"] == "The rotation of the secret was cancelled"
    described = rotated.described()
    assert described["RotationEnabled"] is False and "NextRotationDate" not in described
    # What is left behind is its owner's to take away; then rotation may begin anew.
    rotated.client.update_secret_version_stage(SecretId=rotated.name, VersionStage="AWSPENDING",
                                               RemoveFromVersionId=token["VersionId"])
    rotated.define(PROGRAM)
    eventually(lambda: not rotated.tasks())
    def again():
        try:
            return rotated.rotate()["VersionId"]
        except rotated.client.exceptions.InvalidRequestException:
            return None  # The loop has not seen yet that the task is gone.
    assert eventually(again, every=0.5) != token["VersionId"]
    eventually(lambda: rotated.described().get("LastRotatedDate"))


def test_who_may_not_pass_the_roles_may_not_have_tasks_rotate(python):
    rotated = Rotated(python)
    rotates = allow("secretsmanager:RotateSecret", resource=rotated.arn)
    runs = allow("ecs:RunTask", resource=f"{rotated.function}:*")
    passes = allow("iam:PassRole", resource=rotated.role)
    asked = {"SecretId": rotated.name, "RotationLambdaARN": rotated.function}
    for statements, lacks in [([rotates, passes], "ecs:RunTask"), ([rotates, runs], "iam:PassRole"),
                              ([runs, passes], "secretsmanager:RotateSecret")]:
        _, bearer = user(python, *statements)
        code, _, told = bearer.refused("secretsmanager", "rotate_secret", **asked)
        assert code == "AccessDeniedException" and f"not authorized to perform: {lacks}" in told
    assert "RotationEnabled" not in rotated.described()
    _, bearer = user(python, rotates, runs, passes)
    bearer.client("secretsmanager").rotate_secret(**asked)
    eventually(lambda: rotated.described().get("LastRotatedDate"))


def test_bad_requests_are_told_in_words_and_change_nothing(python):
    rotated = Rotated(python)
    none = ("You tried to enable rotation on a secret that doesn't already have a Lambda function ARN configured and you "
            "didn't include such an ARN as a parameter in this call.")
    assert rotated.refused() == ("InvalidRequestException", none)
    function = {"RotationLambdaARN": rotated.function}
    for fields in [
        {"RotationLambdaARN": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"}, {"RotationLambdaARN": rotated.family},
        {"RotationLambdaARN": rotated.function.replace("us-east-1", "eu-west-1")},
        function | {"RotationRules": {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"}},
        function | {"RotationRules": {"ScheduleExpression": "rate(1 hour)"}},
        function | {"RotationRules": {"ScheduleExpression": "cron(0 8 30 2 ? *)"}},
        function | {"RotationRules": {"AutomaticallyAfterDays": 1, "Duration": "25h"}},
    ]:
        assert rotated.refused(**fields)[0] == "InvalidParameterException", fields
    missing = rotated.function + "-missing"
    assert rotated.refused(RotationLambdaARN=missing) == ("InvalidRequestException", "TaskDefinition not found.")
    assert "RotationEnabled" not in rotated.described()
    rotated.rotate(**function, RotateImmediately=False, RotationRules={"ScheduleExpression": "cron(0 8 1 * ? *)"})
    described = rotated.described()
    assert described["NextRotationDate"].astimezone(datetime.UTC).strftime("%d %H:%M:%S") == "01 08:00:00"
    assert "AWSPENDING" not in rotated.stages() and not rotated.tasks()
    rotated.client.delete_secret(SecretId=rotated.name)
    words = "You can't perform this operation on the secret because it was marked for deletion."
    assert rotated.refused(**function) == ("InvalidRequestException", words)
