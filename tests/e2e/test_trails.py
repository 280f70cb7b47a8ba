"""Trails by boto3 and the AWS CLI: files in a directory, events in a log group, and what becomes of it in a kill."""

import gzip
import json

import pytest
from account import eventually, unique
from conftest import Instance
from disk import below
from test_identity import ACCOUNT, role, root, trusting

TRUST = trusting({"Service": "cloudtrail.amazonaws.com"})


@pytest.fixture(scope="module")
def trailing():
    instance = Instance("--engine", "simulated", "--trail-interval", "1").start()
    yield instance
    instance.remove()


def delivered_files(instance, bucket):
    return sorted(path for path in below(instance.data_dir / "trails" / bucket) if path.name.endswith(".json.gz"))


def delivered(instance, bucket):
    """The names of the events in a bucket's files, in order, by what they were asked for."""
    records = [record for path in delivered_files(instance, bucket) for record in json.loads(gzip.decompress(path.read_bytes()))["Records"]]
    assert len({record["eventID"] for record in records}) == len(records), "delivered twice"
    return records


def made(records):
    return [one["requestParameters"]["clusterName"] for one in records if one["eventName"] == "CreateCluster"]


def test_the_command_line_sets_up_a_trail_that_delivers_files(trailing):
    aws, bucket, name = trailing.aws, unique().lower(), unique()
    shown = aws("cloudtrail", "create-trail", "--name", name, "--s3-bucket-name", bucket, "--s3-key-prefix", "team/a")
    assert shown["TrailARN"] == f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/{name}"
    assert aws("cloudtrail", "get-trail-status", "--name", name)["IsLogging"] is False
    ecs, before, clusters = root(trailing).client("ecs"), unique(), [unique() for _ in range(3)]
    ecs.create_cluster(clusterName=before)
    aws("cloudtrail", "start-logging", "--name", name)
    for cluster in clusters:
        ecs.create_cluster(clusterName=cluster)
    eventually(lambda: made(delivered(trailing, bucket)) == clusters)
    path = delivered_files(trailing, bucket)[0]
    assert path.name.startswith(f"{ACCOUNT}_CloudTrail_us-east-1_")
    assert f"/{bucket}/team/a/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/20" in str(path)
    assert aws("cloudtrail", "get-trail-status", "--name", name)["LatestDeliveryTime"]
    aws("cloudtrail", "stop-logging", "--name", name)
    aws("cloudtrail", "delete-trail", "--name", name)
    assert aws("cloudtrail", "describe-trails", "--trail-name-list", name)["trailList"] == []


def test_a_trail_writes_to_a_log_group_by_a_role_that_may(trailing):
    group, name = f"/trail/{unique()}", unique()
    logs, trails, ecs = (root(trailing).client(service) for service in ("logs", "cloudtrail", "ecs"))
    logs.create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}:*"
    may_not = role(trailing, TRUST)
    asked = {"Name": name, "S3BucketName": unique().lower(), "CloudWatchLogsLogGroupArn": arn}
    with pytest.raises(trails.exceptions.InvalidCloudWatchLogsRoleArnException):
        trails.create_trail(**asked, CloudWatchLogsRoleArn=may_not)
    stranger = role(trailing, trusting({"Service": "ecs-tasks.amazonaws.com"}), "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")
    with pytest.raises(trails.exceptions.InvalidCloudWatchLogsRoleArnException):
        trails.create_trail(**asked, CloudWatchLogsRoleArn=stranger)
    may = role(trailing, TRUST, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")
    trails.create_trail(**asked, CloudWatchLogsRoleArn=may)
    trails.put_event_selectors(TrailName=name, EventSelectors=[{"ReadWriteType": "WriteOnly"}])
    trails.start_logging(Name=name)
    cluster = unique()
    ecs.create_cluster(clusterName=cluster)
    ecs.list_clusters()
    ecs.delete_cluster(cluster=cluster)
    stream = f"{ACCOUNT}_CloudTrail_us-east-1"

    def told():
        try:
            events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [json.loads(event["message"])["eventName"] for event in events]

    eventually(lambda: [one for one in told() if "Cluster" in one] == ["CreateCluster", "DeleteCluster"])
    assert "LatestCloudWatchLogsDeliveryError" not in trails.get_trail_status(Name=name)
    iam = root(trailing).client("iam")
    iam.detach_role_policy(RoleName=may.rsplit("/", 1)[1], PolicyArn="arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")
    status = lambda: trails.get_trail_status(Name=name).get("LatestCloudWatchLogsDeliveryError", "")
    eventually(lambda: "Check the permissions" in status())
    trails.delete_trail(Name=name)


def test_a_kill_loses_and_doubles_nothing(fresh):
    instance = fresh("--engine", "simulated", "--trail-interval", "1")
    trails = root(instance).client("cloudtrail")
    trails.create_trail(Name="trail", S3BucketName="bucket")
    trails.start_logging(Name="trail")
    clusters = []
    for _ in range(4):
        for _ in range(5):
            clusters.append(unique())
            root(instance).client("ecs").create_cluster(clusterName=clusters[-1])
        instance.kill()
        instance.start()
    eventually(lambda: made(delivered(instance, "bucket")) == clusters)


def test_a_bucket_is_no_way_out(trailing):
    trails = root(trailing).client("cloudtrail")
    for bucket in ("../up", "a/b", "..", "Up", ".hid", "x" * 64):
        with pytest.raises(trails.exceptions.InvalidS3BucketNameException):
            trails.create_trail(Name="trail", S3BucketName=bucket)
    for prefix in ("../up", "a/../../b", "/abs", "a//b", "a\\..\\b"):
        with pytest.raises(trails.exceptions.InvalidS3PrefixException):
            trails.create_trail(Name="trail", S3BucketName="bucket", S3KeyPrefix=prefix)
