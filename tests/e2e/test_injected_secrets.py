"""`secrets` of containers out of Secrets Manager, values under a customer's key, and `secretOptions` of log drivers."""

import json

from account import eventually, unique
from test_identity import allow, root
from test_injection import HERE, UNABLE, Given, arn, in_clear, parameter, short
from test_task_roles import lending

ASM = UNABLE.replace("secrets from ssm", "secret from asm")


def secret(instance, value):
    made = root(instance).client("secretsmanager").create_secret(Name=f"app/{unique()}", SecretString=value)
    return made["ARN"], made["VersionId"]


def test_every_form_of_a_secrets_reference_gives_its_value(real):
    whole, version = secret(real, json.dumps({"password": "planted-one", "port": 5432}))
    root(real).client("secretsmanager").put_secret_value(SecretId=whole, SecretString=json.dumps({"password": "two"}))
    made = lending(real, allow("secretsmanager:GetSecretValue", resource=whole))
    task = Given(real, made, {
        "WHOLE": whole, "KEY": f"{whole}:password::", "OLD": f"{whole}:password:AWSPREVIOUS:",
        "VERSION": f"{whole}:port::{version}", "PARTIAL": f"{whole[:-7]}:password::",
    })
    found = task.variables()
    wanted = {"WHOLE": '{"password": "two"}', "KEY": "two", "OLD": "planted-one", "VERSION": "5432", "PARTIAL": "two"}
    assert {key: found.get(key) for key in wanted} == wanted
    assert "planted-one" not in task.told()
    task.stop()


def test_a_secret_that_cannot_be_read_stops_the_task(real):
    whole, _ = secret(real, '{"password": "planted-one"}')
    made = lending(real, allow("ssm:GetParameters"))
    stopped = Given(real, made, {"A": whole}).stopped()["stoppedReason"]
    assert stopped.startswith(
        f"{ASM}service call has been retried 1 time(s): failed to fetch secret {whole} from secrets manager: "
        "AccessDeniedException: User: ")
    assert f"{short(made)}/" in stopped and f"secretsmanager:GetSecretValue on resource: {whole}" in stopped
    made = lending(real, allow("secretsmanager:GetSecretValue"))
    stopped = Given(real, made, {"A": f"{whole}:user::"}).stopped()["stoppedReason"]
    assert stopped == f"{ASM}retrieved secret from Secrets Manager did not contain json key user"
    none = f"arn:aws:secretsmanager:{HERE}:secret:none-AbCdEf"
    assert "ResourceNotFoundException: Secrets Manager can't find" in Given(real, made, {"A": none}).stopped()["stoppedReason"]


def test_a_value_under_a_customers_key_needs_the_key(real):
    key = root(real).client("kms").create_key()["KeyMetadata"]["Arn"]
    name = f"/{unique()}/value"
    root(real).client("ssm").put_parameter(Name=name, Type="SecureString", Value="planted-two", KeyId=key)
    reads = allow("ssm:GetParameters", resource=arn(name))
    stopped = Given(real, lending(real, reads), {"A": name}).stopped()["stoppedReason"]
    assert f"is not authorized to perform: kms:Decrypt on resource: {key}" in stopped
    through = {"StringEquals": {"kms:ViaService": "ssm.us-east-1.amazonaws.com",
                                "kms:EncryptionContext:PARAMETER_ARN": arn(name)}}
    task = Given(real, lending(real, reads, allow("kms:Decrypt", resource=key, Condition=through)), {"A": name})
    assert task.variables()["A"] == "planted-two"
    task.stop()


def test_an_option_of_the_log_driver_comes_from_a_secret(real):
    account, group = real.account(), f"/e2e/{unique()}"
    account.logs.create_log_group(logGroupName=group)
    whole, _ = secret(real, json.dumps({"pattern": "^planted-three"}))
    writes = allow("logs:CreateLogStream", "logs:PutLogEvents")
    made = lending(real, writes, allow("secretsmanager:GetSecretValue", resource=whole))
    options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e"}
    log = {"logDriver": "awslogs", "options": options,
           "secretOptions": [{"name": "awslogs-multiline-pattern", "valueFrom": f"{whole}:pattern::"}]}
    # Spelt so that the words are nowhere but in what it says.
    script = "for n in 1 2; do echo plan''ted-three $n; echo more $n; done; while :; do sleep 1; done"
    task = Given(real, made, {}, logConfiguration=log, command=[script])
    stream = f"e2e/main/{short(task.arn)}"
    # The second event is told when the container has ended.
    eventually(lambda: account.lines(group, stream) == ["planted-three 1\nmore 1"])
    assert in_clear(real, "^planted-three") == []
    assert "^planted-three" not in task.told()
    task.stop()
    eventually(lambda: len(account.lines(group, stream)) == 2)
    refused = Given(real, lending(real, writes), {}, logConfiguration=log).stopped()["stoppedReason"]
    assert refused.startswith(f"{ASM}service call has been retried 1 time(s): failed to fetch secret {whole}")


def test_an_option_that_the_driver_does_not_take_is_not_quoted(real):
    name = parameter(real, "planted-four")
    made = lending(real, allow("logs:*"), allow("ssm:GetParameters", resource=arn(name)))
    options = {"awslogs-group": f"/e2e/{unique()}", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e"}
    log = {"logDriver": "awslogs", "options": options, "secretOptions": [{"name": "mode", "valueFrom": name}]}
    task = Given(real, made, {}, logConfiguration=log)
    stopped = task.stopped()
    assert stopped["stoppedReason"].startswith("CannotCreateContainerError: failed to initialize logging driver: ")
    assert "planted-four" not in str(stopped) + task.told()
