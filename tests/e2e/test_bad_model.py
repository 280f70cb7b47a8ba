"""Bad input, class W7: every constraint of botocore's model is violated once, for every operation that is built."""

import functools
import re

import botocore
import botocore.session
import pytest

from conftest import ROOT
from refusal import refused

DEPTH = 4
# Longer values than this are another class: bodies over the limit.
LONGEST = 20_000
CODES = {
    "ecs": {"InvalidParameterException", "ClientException", "SerializationException"},
    "logs": {"InvalidParameterException", "SerializationException", "ValidationException"},
    "ec2": {"MissingParameter", "InvalidParameterValue", "InvalidParameterCombination", "InvalidParameter"},
    "iam": {"ValidationError"},
    "sts": {"ValidationError"},
    "kms": {"ValidationException", "SerializationException"},
    "secretsmanager": {"ValidationException", "SerializationException"},
    "ssm": {"ValidationException", "SerializationException"},
    "cloudtrail": {"ValidationException", "SerializationException"},
    "elbv2": {"ValidationError"},
    "acm": {"ValidationException", "SerializationException"},
    "ecr": {"InvalidParameterException", "SerializationException"},
}
# What boto3 calls a service where the page of operations has its name in policies.
NAMES = {"elasticloadbalancing": "elbv2"}


def built():
    """(service, operation) of the page of operations."""
    service, found = None, []
    for line in (ROOT / "docs" / "operations.md").read_text().splitlines():
        if heading := re.match(r"## (\w+) ", line):
            service = NAMES.get(heading[1], heading[1])
        elif row := re.match(r"\| (\w+) \| yes \|", line):
            found.append((service, row[1]))
    return found


@functools.cache
def model(service):
    return botocore.session.get_session().get_service_model(service)


def plausible(shape, seen=()):
    """A value of the shape with what is required and nothing else."""
    if shape.name in seen:
        return {}
    seen = (*seen, shape.name)
    if shape.type_name == "structure":
        return {name: plausible(shape.members[name], seen) for name in shape.required_members}
    if shape.type_name == "list":
        return [plausible(shape.member, seen) for _ in range(max(1, shape.metadata.get("min", 1)))]
    if shape.type_name == "map":
        return {"key": plausible(shape.value, seen)}
    if shape.type_name == "boolean":
        return False
    if shape.type_name in ("integer", "long", "double", "float"):
        return shape.metadata.get("min", 1)
    if shape.type_name == "timestamp":
        return 1
    return shape.metadata["enum"][0] if shape.metadata.get("enum") else "a" * max(1, shape.metadata.get("min", 1))


def elements(shape, count):
    """A list of so many. An empty structure would not be sent by the query protocols."""
    element = plausible(shape.member)
    if element == {} and shape.member.type_name == "structure":
        element = {name: plausible(member) for name, member in list(shape.member.members.items())[:1]}
    return [element] * count


def violations(shape):
    """Values of the shape that each break one constraint of its own."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name == "string":
        if shape.metadata.get("enum"):
            yield "enum", "no-such-value"
        if least:
            yield "min", "a" * (least - 1)
        if most and most < LONGEST:
            yield "max", "a" * (most + 1)
        # Python knows no \p{L} and its like; none of the values below is in such a class.
        pattern = re.sub(r"\\p\{\w+\}", "A", shape.metadata.get("pattern", ""))
        yield from (("pattern", text) for text in ("\u0007", ":*") if pattern and not re.fullmatch(pattern, text))
    elif shape.type_name in ("integer", "long", "double"):
        if least is not None:
            yield "min", least - 1
        if most is not None and most < 2**31 - 1:
            yield "max", most + 1
    elif shape.type_name == "list":
        if least:
            yield "min", elements(shape, least - 1)
        if most and most < LONGEST:
            yield "max", elements(shape, most + 1)


def places(shape, depth=DEPTH, seen=()):
    """Every place inside the shape: its member's name, its shape, and how a value there is wrapped up."""
    if depth == 0 or shape.name in seen:
        return
    seen = (*seen, shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            around = plausible(shape)
            yield name, member, lambda value, name=name, around=around: {**around, name: value}
            for inner, found, wrap in places(member, depth - 1, seen):
                yield inner or name, found, lambda value, n=name, a=around, wrap=wrap: {**a, n: wrap(value)}
    elif shape.type_name == "list":
        yield None, shape.member, lambda value: [value]
        for inner, found, wrap in places(shape.member, depth, seen):
            yield inner, found, lambda value, wrap=wrap: [wrap(value)]


def something(shape):
    """A value of the shape that the query protocols send: of an empty structure they would send nothing."""
    value = plausible(shape)
    if value != {} or shape.type_name != "structure" or not shape.members:
        return value
    name, member = next(iter(shape.members.items()))
    return {name: something(member)}


def without(shape, required):
    """A structure that lacks a required member, with another one if need be."""
    left = {key: value for key, value in plausible(shape).items() if key != required}
    others = [(name, member) for name, member in shape.members.items() if name not in shape.required_members]
    if left or not others:
        return left
    name, member = next((other for other in others if other[1].type_name == "string"), others[0])
    return {name: something(member)}


def broken(shape):
    """Requests that each break one constraint: (what, the member's name, the request)."""
    for name in shape.required_members:
        yield "required", name, {key: value for key, value in plausible(shape).items() if key != name}
    for name, member, wrap in places(shape):
        for what, value in violations(member):
            yield what, name, wrap(value)
        if member.type_name == "structure":
            for inner in member.required_members:
                yield "required", inner, wrap(without(member, inner))


def plain(text):
    return re.sub(r"[^a-z0-9]", "", text.lower())


@pytest.fixture(scope="module")
def stranger(simulated):
    """The account that sends nothing that is right."""
    return simulated.account("400000000007")


OPERATIONS = [(service, name) for service, name in built() if model(service).operation_model(name).input_shape]


@pytest.mark.parametrize("service,name", OPERATIONS, ids=[f"{service}-{name}" for service, name in OPERATIONS])
def test_each_violated_constraint_is_refused_by_name(stranger, service, name):
    client = stranger.unchecked(service)
    method = getattr(client, botocore.xform_name(name))
    wrong = []
    for what, member, request in broken(model(service).operation_model(name).input_shape):
        code, message = refused(method, **request)
        if code not in CODES[service] or plain(member) not in plain(message):
            wrong.append(f"{what} of {member}: {code}: {message[:200]}")
    assert not wrong, "\n".join(wrong)


def test_the_model_holds_constraints_enough():
    found = sum(1 for service, name in OPERATIONS for _ in broken(model(service).operation_model(name).input_shape))
    assert len(OPERATIONS) > 50 and found > 400, found


def test_nothing_came_of_it(simulated, stranger):
    assert stranger.ecs.list_clusters()["clusterArns"] == []
    assert stranger.ecs.list_task_definition_families()["families"] == []
    assert stranger.ecs.list_account_settings()["settings"] == []
    assert stranger.logs.describe_log_groups()["logGroups"] == []
    assert "panicked at" not in simulated.log_text()
