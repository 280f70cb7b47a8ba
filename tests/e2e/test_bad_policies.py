"""Policies that are none, or far too much (P1), over the API of each service that takes them: AWS's error, nothing kept, and
a server that is none the worse for it."""

import json
import pathlib
import re

import botocore.exceptions
import pytest
from account import unique
from test_identity import ACCOUNT, root

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
# More than the server may have grown by, in bytes: ten times the largest policy.
MOST_GROWTH = 100 << 20


def resident(instance):
    status = pathlib.Path(f"/proc/{instance.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture(scope="module")
def calls(strict):
    """By operation: the kind of its policies, its service, its code for what does not read, and the call."""
    def client(service):
        return strict.client(service, parameter_validation=False)

    iam, kms, secrets = client("iam"), client("kms"), client("secretsmanager")
    name, key = unique(), kms.create_key()["KeyMetadata"]["KeyId"]
    iam.create_user(UserName=name)
    secrets.create_secret(Name=name, SecretString="x")
    malformed, json_malformed = "MalformedPolicyDocument", "MalformedPolicyDocumentException"
    return {
        "CreatePolicy": (None, "iam", malformed, lambda text: iam.create_policy(PolicyName=unique(), PolicyDocument=text)),
        "PutUserPolicy": (None, "iam", malformed,
                          lambda text: iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=text)),
        "CreateRole": ("trust", "iam", malformed,
                       lambda text: iam.create_role(RoleName=unique(), AssumeRolePolicyDocument=text)),
        "PutResourcePolicy": ("resource", "secretsmanager", json_malformed,
                              lambda text: secrets.put_resource_policy(SecretId=name, ResourcePolicy=text)),
        "PutKeyPolicy": ("resource", "kms", json_malformed, lambda text: kms.put_key_policy(KeyId=key, Policy=text)),
        "CreateKey": ("resource", "kms", json_malformed, lambda text: kms.create_key(Policy=text)),
    }


OPERATIONS = ["CreatePolicy", "PutUserPolicy", "CreateRole", "PutResourcePolicy", "PutKeyPolicy", "CreateKey"]


def statement(kind):
    """A statement that is a good one of its kind of policy."""
    if kind == "trust":
        return {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "sts:AssumeRole"}
    return {"Effect": "Allow", "Action": "*", "Resource": "*"} | ({"Principal": {"AWS": ROOT}} if kind else {})


def document(kind, *statements, **more):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [statement(kind)]} | more)


def odd(**changes):
    """A document with one statement that is good but for this."""
    return lambda kind: document(kind, statement(kind) | changes)


MALFORMED = {
    "no JSON": lambda kind: "policy",
    "cut off": lambda kind: document(kind)[:-1],
    "something behind it": lambda kind: document(kind) + "}",
    "an empty object": lambda kind: "{}",
    "a list": lambda kind: f"[{document(kind)}]",
    "a number for statements": lambda kind: '{"Version": "2012-10-17", "Statement": 1}',
    "a list of numbers for statements": lambda kind: '{"Version": "2012-10-17", "Statement": [1, 2]}',
    "another version": lambda kind: document(kind, Version="2012-10-18"),
    "a number for a version": lambda kind: document(kind, Version=2012),
    "a member that no policy has": lambda kind: document(kind, Statements=[]),
    "a key twice": lambda kind: document(kind).replace('"Version"', '"Version": "2012-10-17", "Version"'),
    "a key of a statement twice": lambda kind: document(kind).replace('"Effect"', '"Effect": "Deny", "Effect"'),
    "a Sid twice": lambda kind: document(kind, statement(kind) | {"Sid": "a"}, statement(kind) | {"Sid": "a"}),
    "another effect": odd(Effect="Permit"),
    "a list for an effect": odd(Effect=["Allow"]),
    "an object for an action": odd(Action={"ecs:RunTask": True}),
    "an action of no service": odd(Action="RunTask"),
    "Action and NotAction": odd(NotAction="ecs:*"),
    "a resource that is none": odd(Resource="everything"),
    "an unknown operator": odd(Condition={"StringSame": {"aws:username": "x"}}),
    "an unknown condition key": odd(Condition={"StringEquals": {"aws:Nobody": "x"}}),
    "a list for conditions": odd(Condition=[{"StringEquals": {"aws:username": "x"}}]),
    "an object for a condition's value": odd(Condition={"StringEquals": {"aws:username": {"a": "b"}}}),
    "lists in lists": odd(Action=json.loads("[" * 100 + "]" * 100)),
    "an array nine hundred deep": lambda kind: "[" * 900 + "]" * 900,
    "an object three hundred deep": lambda kind: '{"a":' * 300 + "1" + "}" * 300,
    "a condition two hundred deep": lambda kind: (
        document(kind, statement(kind) | {"Condition": "HERE"}).replace('"HERE"', '{"a":' * 200 + "1" + "}" * 200)),
}


def refusal(call, text):
    """Code and status of a call that must be refused."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(text)
    answer = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    assert 400 <= status < 500 and len(answer["Error"].get("Message", "")) < 2000, answer
    return answer["Error"]["Code"], status


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_policy_that_does_not_read_is_refused_and_one_that_does_is_taken(calls, operation):
    kind, _, code, call = calls[operation]
    told = {what: refusal(call, text(kind)) for what, text in MALFORMED.items()}
    assert told == dict.fromkeys(MALFORMED, (code, 400))
    call(document(kind))


# By service: a body that is too long, a text that is longer than the model says, one that is longer than the quota.
BODY = ("RequestEntityTooLargeException", 413)
TEXT = {"iam": ("ValidationError", 400), "kms": ("ValidationException", 400), "secretsmanager": ("ValidationException", 400)}
QUOTA = {"iam": ("LimitExceeded", 409), "kms": ("LimitExceededException", 400), "secretsmanager": TEXT["secretsmanager"]}


def far_too_long(service, kind):
    """Policies, and how they are refused."""
    text, quota = TEXT[service], QUOTA[service]
    body = 1 << 20 if service == "iam" else 10 << 20
    one = len(json.dumps(statement(kind))) + 2
    many = document(kind, *[statement(kind)] * 10_000)
    return {
        "ten MiB of white space": (document(kind) + " " * (10 << 20), BODY),
        "ten MiB of one text": (document(kind, Id="x" * (10 << 20)), BODY),
        "as long as a body": (document(kind) + " " * (body - 10_000), text),
        "ten thousand statements": (many, BODY if len(many) > body else text),
        "statements as many as the model takes": (document(kind, *[statement(kind)] * (130_000 // one)), quota),
        "eight thousand actions": (document(kind, statement(kind) | {"Action": ["ecs:RunTask"] * 8000}), quota),
        "an array fifty thousand deep": ("[" * 50_000 + "]" * 50_000, quota),
        "an object fifteen thousand deep": ('{"a":' * 15_000 + "1" + "}" * 15_000, quota),
    }


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_policy_that_is_far_too_long_is_refused_and_takes_no_memory(strict, calls, operation):
    kind, service, _, call = calls[operation]
    before = resident(strict)
    for what, (text, wanted) in far_too_long(service, kind).items():
        assert refusal(call, text) == wanted, what
    assert resident(strict) - before < MOST_GROWTH
    call(document(kind))
    assert root(strict).client("sts").get_caller_identity()["Arn"] == ROOT
