"""What was called is in the audit log, in CloudTrail's form, without secrets; it is found by LookupEvents, it survives
a kill, and whoever changes it is found out."""

import json
import os
import subprocess
import time

import botocore.exceptions
import pytest
from account import eventually, unique
from test_identity import ACCOUNT, allow, root, user

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"
IMAGE = {"name": "app", "image": "example.test/app:1", "memory": 128}


def look_up(instance, **attributes):
    """All events that have the attribute, the newest first."""
    asked = [{"AttributeKey": key, "AttributeValue": value} for key, value in attributes.items()]
    pages = instance.client("cloudtrail").get_paginator("lookup_events").paginate(LookupAttributes=asked)
    return [event | {"Full": json.loads(event["CloudTrailEvent"])} for page in pages for event in page["Events"]]


def verify(instance, *words):
    """Exit code and words of `longshore audit verify`."""
    done = subprocess.run(
        [instance.binary, "audit", "verify", "--data-dir", str(instance.data_dir), *words],
        env=instance.env, text=True, capture_output=True, timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def segments(instance):
    return sorted((instance.data_dir / "audit").glob("*.log"))


def test_a_call_is_found_by_each_attribute(strict):
    name, bearer = user(strict, allow("ecs:*"))
    cluster = unique()
    bearer.client("ecs").create_cluster(clusterName=cluster)
    found = look_up(strict, Username=name)
    assert [event["EventName"] for event in found] == ["CreateCluster"]
    event, full = found[0], found[0]["Full"]
    arn = f"arn:aws:ecs:us-east-1:{ACCOUNT}:cluster/{cluster}"
    identity = full["userIdentity"]
    assert identity["type"] == "IAMUser" and identity["userName"] == name
    assert identity["arn"] == f"arn:aws:iam::{ACCOUNT}:user/{name}" and identity["accountId"] == ACCOUNT
    assert identity["principalId"].startswith("AIDA") and identity["accessKeyId"] == event["AccessKeyId"]
    assert full["eventSource"] == "ecs.amazonaws.com" and full["awsRegion"] == "us-east-1"
    assert full["sourceIPAddress"] == "127.0.0.1" and "Boto3" in full["userAgent"]
    assert full["requestParameters"] == {"clusterName": cluster}
    assert full["responseElements"]["cluster"]["clusterArn"] == arn
    assert full["readOnly"] is False and full["managementEvent"] is True and full["recipientAccountId"] == ACCOUNT
    assert full["resources"] == [{"accountId": ACCOUNT, "type": "AWS::ECS::Cluster", "ARN": arn}]
    assert event["ReadOnly"] == "false" and event["EventSource"] == "ecs.amazonaws.com"
    assert abs(event["EventTime"].timestamp() - time.time()) < 60
    for attribute in (
        {"EventId": event["EventId"]}, {"ResourceName": cluster}, {"ResourceName": arn}, {"AccessKeyId": event["AccessKeyId"]},
    ):
        assert [one["EventId"] for one in look_up(strict, **attribute)] == [event["EventId"]], attribute
    for attribute in (
        {"EventName": "CreateCluster"}, {"ReadOnly": "false"}, {"ResourceType": "AWS::ECS::Cluster"},
        {"EventSource": "ecs.amazonaws.com"},
    ):
        assert event["EventId"] in [one["EventId"] for one in look_up(strict, **attribute)], attribute
    assert event["EventId"] not in [one["EventId"] for one in look_up(strict, ReadOnly="true")]
    assert look_up(strict, Username=unique()) == []


def test_reads_refusals_and_strangers_are_recorded_too(strict):
    name, bearer = user(strict, allow("ecs:DescribeClusters"))
    cluster = unique()
    bearer.client("ecs").describe_clusters(clusters=[cluster])
    assert bearer.refused("ecs", "create_cluster", clusterName=cluster)[0] == "AccessDeniedException"
    denied, described = [event["Full"] for event in look_up(strict, Username=name)]
    assert described["readOnly"] is True and described["responseElements"] is None
    assert described["requestParameters"] == {"clusters": [cluster]}
    assert denied["errorCode"] == "AccessDeniedException" and "ecs:CreateCluster" in denied["errorMessage"]
    assert denied["requestParameters"] == {"clusterName": cluster}
    stranger = "AKIASTRANGERSTRANGER"
    with pytest.raises(botocore.exceptions.ClientError):
        strict.client("ecs", key=stranger).list_clusters()
    (event,) = look_up(strict, AccessKeyId=stranger)
    assert event["Full"]["userIdentity"] == {"type": "Unknown", "accessKeyId": stranger}
    assert event["Full"]["errorCode"] == "UnrecognizedClientException"


def test_strangers_fill_the_log_slowly(strict):
    before = sum(path.stat().st_size for path in segments(strict))
    for _ in range(600):
        strict.http("/", "POST", b"x" * 5000, {"X-Amz-Target": "No.Such", "User-Agent": "y" * 4000})
    strict.client("cloudtrail").lookup_events(MaxResults=1)
    grown = sum(path.stat().st_size for path in segments(strict)) - before
    assert 0 < grown < 400 * 2000
    time.sleep(1.1)
    strict.http("/", "POST", b"x", {"X-Amz-Target": "No.Such"})
    omitted = look_up(strict, EventName="RefusedRequestsOmitted")
    assert omitted[0]["Full"]["serviceEventDetails"]["requests"] > 10


def test_secrets_are_in_no_record(strict):
    planted = unique()
    ecs = root(strict).client("ecs")
    family = unique()
    log = {"logDriver": "splunk", "options": {"splunk-token": planted, "splunk-url": "http://127.0.0.1"}}
    container = IMAGE | {"environment": [{"name": "PASSWORD", "value": planted}]}
    ecs.register_task_definition(family=family, containerDefinitions=[container])
    with pytest.raises(botocore.exceptions.ClientError):
        ecs.register_task_definition(family=family, containerDefinitions=[container | {"logConfiguration": log}], cpu="x")
    iam = root(strict).client("iam")
    iam.create_user(UserName=planted[:8])
    key = iam.create_access_key(UserName=planted[:8])["AccessKey"]
    token = root(strict).client("sts").get_session_token()["Credentials"]["SessionToken"]
    event = look_up(strict, EventName="RegisterTaskDefinition")[-1]["Full"]
    for side in (event["requestParameters"]["containerDefinitions"], event["responseElements"]["taskDefinition"]["containerDefinitions"]):
        assert side[0]["environment"] == HIDDEN
    made = look_up(strict, EventName="CreateAccessKey")[0]["Full"]["responseElements"]["accessKey"]
    assert made["secretAccessKey"] == HIDDEN and made["accessKeyId"] == key["AccessKeyId"]
    text = b"".join(path.read_bytes() for path in segments(strict)).decode()
    for secret in (planted, key["SecretAccessKey"], token):
        assert secret not in text and json.dumps(secret) not in text


def test_pages_are_newest_first_and_bound_to_their_request(strict):
    name, bearer = user(strict, allow("ecs:ListClusters"))
    ecs = bearer.client("ecs")
    for _ in range(120):
        ecs.list_clusters()
    client = strict.client("cloudtrail")
    asked = {"LookupAttributes": [{"AttributeKey": "Username", "AttributeValue": name}]}
    first = client.lookup_events(**asked)
    assert len(first["Events"]) == 50
    second = client.lookup_events(**asked, NextToken=first["NextToken"])
    third = client.lookup_events(**asked, NextToken=second["NextToken"])
    assert (len(second["Events"]), len(third["Events"])) == (50, 20)
    events = [event for page in (first, second, third) for event in page["Events"]]
    assert len({event["EventId"] for event in events}) == 120
    assert [event["EventTime"] for event in events] == sorted((event["EventTime"] for event in events), reverse=True)
    for wrong in ({"NextToken": first["NextToken"]}, asked | {"NextToken": "x"}):
        with pytest.raises(client.exceptions.InvalidNextTokenException):
            client.lookup_events(**wrong)
    assert len(client.lookup_events(**asked, MaxResults=3)["Events"]) == 3
    with pytest.raises(client.exceptions.InvalidTimeRangeException):
        client.lookup_events(StartTime=200, EndTime=100)
    assert client.lookup_events(**asked, EndTime=100)["Events"] == []
    begun = min(event["EventTime"] for event in events)
    assert len(client.lookup_events(**asked, StartTime=begun, EndTime=events[0]["EventTime"])["Events"]) == 50
    with pytest.raises(client.exceptions.InvalidLookupAttributesException):
        client.lookup_events(LookupAttributes=asked["LookupAttributes"] * 2)


def with_records(fresh):
    """An instance with some records, and the clusters that it acknowledged."""
    instance = fresh("--engine", "simulated")
    ecs = root(instance).client("ecs")
    clusters = [unique() for _ in range(20)]
    for cluster in clusters:
        ecs.create_cluster(clusterName=cluster)
    return instance, clusters


@pytest.fixture
def killed(fresh):
    """One that was killed as soon as it had refused a read of a user's, which is named."""
    instance, clusters = with_records(fresh)
    name, bearer = user(instance)
    bearer.refused("ecs", "list_clusters")
    instance.kill()
    return instance, clusters, name


@pytest.fixture
def synced(fresh):
    """One that was killed when its mark had come to the last record."""
    instance, clusters = with_records(fresh)

    def is_marked():
        lines = segments(instance)[-1].read_bytes().splitlines()
        mark = (instance.data_dir / "audit" / "head").read_text().split()
        return lines and mark and int(mark[0]) == number(lines[-1])

    eventually(is_marked)
    instance.kill()
    return instance, clusters


def test_what_was_acknowledged_or_refused_survives_a_kill_and_a_torn_tail_is_cut(killed):
    instance, clusters, name = killed
    assert verify(instance)[0] == 0
    with open(segments(instance)[-1], "ab") as last:
        last.write(b'{"sequence":21,"time":17')
    code, told = verify(instance)
    assert code == 0 and "24 bytes at the end" in told
    instance.start()
    assert "a torn record was cut off" in instance.log_text()
    (cut,) = look_up(instance, EventName="AuditLogTailCut")
    assert cut["Full"]["serviceEventDetails"] == {"bytes": 24}
    made = {event["Full"]["requestParameters"]["clusterName"] for event in look_up(instance, EventName="CreateCluster")}
    assert made == set(clusters)
    (refused,) = look_up(instance, Username=name)
    assert (refused["EventName"], refused["Full"]["errorCode"]) == ("ListClusters", "AccessDeniedException")
    instance.stop()
    code, told = verify(instance)
    assert code == 0 and "as they were written" in told
    mark = told.split()[-1]
    assert verify(instance, "--known", mark)[0] == 0
    digit = "0" if mark[-1] != "0" else "1"
    code, told = verify(instance, "--known", mark[:-1] + digit)
    assert code == 1 and "is not the one that was known" in told


def number(line):
    return json.loads(line)["sequence"]


def test_whoever_changes_the_log_is_found_out(synced):
    instance, _ = synced
    path = segments(instance)[0]
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    swapped = lines[:4] + [lines[5], lines[4]] + lines[6:]
    made = next(at for at, line in enumerate(lines) if b'"CreateCluster"' in line)
    for broken, named in (
        (lines[:made] + [lines[made].replace(b"CreateCluster", b"DeleteCluster", 1)] + lines[made + 1:], lines[made]),
        (lines[:4] + lines[5:], lines[4]),
        (swapped, lines[4]),
        (lines[:-1], lines[-1]),
        ([*lines[:-1], lines[-1][:-9]], lines[-1]),
    ):
        path.write_bytes(b"".join(broken))
        code, told = verify(instance)
        assert code == 1, told
        assert f"record {number(named)} " in told, told
    path.write_bytes(whole)
    assert verify(instance)[0] == 0
    os.remove(path)
    assert verify(instance)[0] == 1
    path.write_bytes(whole)
