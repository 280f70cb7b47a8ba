"""CloudWatch Logs: groups, streams, events, searches, retention, and `aws logs tail`."""

import re
import subprocess
import threading
import time

import pytest

from account import eventually, unique
from refusal import check_refused, refused


def now():
    return int(time.time() * 1000)


@pytest.fixture
def logs(account):
    return account.logs


@pytest.fixture
def group(logs):
    name = f"/test/{unique()}"
    logs.create_log_group(logGroupName=name)
    return name


@pytest.fixture
def stream(logs, group):
    name = unique()
    logs.create_log_stream(logGroupName=group, logStreamName=name)
    return name


def put(logs, group, stream, *messages, at=None, step=1):
    """Put messages a millisecond apart, the last of them now."""
    first = (now() - step * len(messages)) if at is None else at
    events = [{"timestamp": first + step * index, "message": text} for index, text in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def texts(events):
    return [event["message"] for event in events]


def found(logs, group, pattern="", **fields):
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, filterPattern=pattern, **fields)
    return [event["message"] for page in pages for event in page["events"]]


# Groups and streams


def test_groups_are_made_listed_and_removed(account, logs):
    names = [f"/ecs/{letter}" for letter in "abc"] + ["other"]
    for name in names:
        logs.create_log_group(logGroupName=name, tags={"team": "docks"})
    check_refused("ResourceAlreadyExistsException", "already exists", logs.create_log_group, logGroupName="other")
    pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 3})
    assert [[one["logGroupName"] for one in page["logGroups"]] for page in pages] == [names[:3], names[3:]]
    shown = logs.describe_log_groups(logGroupNamePrefix="/ecs/b")["logGroups"]
    assert len(shown) == 1
    assert shown[0]["arn"] == account.arn("log-group:/ecs/b:*", "logs") and shown[0]["storedBytes"] == 0
    assert "retentionInDays" not in shown[0] and abs(shown[0]["creationTime"] - now()) < 60_000
    matched = logs.describe_log_groups(logGroupNamePattern="the")["logGroups"]
    assert [one["logGroupName"] for one in matched] == ["other"]
    logs.delete_log_group(logGroupName="/ecs/b")
    check_refused("ResourceNotFoundException", "log group does not exist", logs.delete_log_group, logGroupName="/ecs/b")
    assert logs.describe_log_groups(logGroupNamePrefix="/ecs/b")["logGroups"] == []


def test_a_group_made_again_is_empty(logs, group, stream):
    put(logs, group, stream, "old")
    logs.delete_log_group(logGroupName=group)
    logs.create_log_group(logGroupName=group)
    assert logs.describe_log_streams(logGroupName=group)["logStreams"] == []
    logs.create_log_stream(logGroupName=group, logStreamName=stream)
    assert found(logs, group) == []


def test_streams_are_ordered_by_name_or_by_their_last_event(account, logs, group):
    for name in ("ecs/c", "ecs/a", "ecs/b", "x"):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    check_refused(
        "ResourceAlreadyExistsException", "log stream already exists", logs.create_log_stream,
        logGroupName=group, logStreamName="x",
    )
    for age, name in enumerate(("ecs/b", "x", "ecs/a")):
        put(logs, group, name, "line", at=now() - 1000 * age)

    def listed(**fields):
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=group, **fields, PaginationConfig={"PageSize": 2}
        )
        return [one["logStreamName"] for page in pages for one in page["logStreams"]]

    assert listed() == ["ecs/a", "ecs/b", "ecs/c", "x"]
    assert listed(descending=True) == ["x", "ecs/c", "ecs/b", "ecs/a"]
    assert listed(logStreamNamePrefix="ecs/") == ["ecs/a", "ecs/b", "ecs/c"]
    assert listed(orderBy="LastEventTime", descending=True)[:3] == ["ecs/b", "x", "ecs/a"]
    shown = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="x")["logStreams"][0]
    assert shown["arn"] == account.arn(f"log-group:{group}:log-stream:x", "logs")
    assert shown["firstEventTimestamp"] == shown["lastEventTimestamp"] <= shown["lastIngestionTime"]
    logs.delete_log_stream(logGroupName=group, logStreamName="x")
    assert listed() == ["ecs/a", "ecs/b", "ecs/c"] and len(found(logs, group)) == 2


def test_tags_of_groups_by_both_families_of_operations(account, logs, group):
    arn = account.arn(f"log-group:{group}", "logs")
    logs.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    assert logs.list_tags_log_group(logGroupName=group)["tags"] == {"a": "1", "b": "2"}
    logs.tag_log_group(logGroupName=group, tags={"b": "3"})
    logs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "3"}
    logs.untag_log_group(logGroupName=group, tags=["b"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {}


# Events


def test_events_are_read_forward_and_backward_to_both_ends(logs, group, stream):
    lines = [f"line {index}" for index in range(25)]
    put(logs, group, stream, *lines)

    def get(**fields):
        return logs.get_log_events(logGroupName=group, logStreamName=stream, limit=10, **fields)

    def walk(page, token):
        """Pages from this one to the end, where the token sent comes back with nothing."""
        pages = [page]
        while (page := get(nextToken=pages[-1][token]))[token] != pages[-1][token]:
            pages.append(page)
        assert page["events"] == []
        return pages

    forward = walk(get(startFromHead=True), "nextForwardToken")
    assert [len(page["events"]) for page in forward] == [10, 10, 5]
    assert [line for page in forward for line in texts(page["events"])] == lines
    backward = walk(get(), "nextBackwardToken")
    assert [line for page in reversed(backward) for line in texts(page["events"])] == lines
    assert re.fullmatch(r"f/\d{56}/s", forward[0]["nextForwardToken"])
    assert re.fullmatch(r"b/\d{56}/s", forward[0]["nextBackwardToken"])
    put(logs, group, stream, "one more", at=now())
    assert texts(get(nextToken=forward[-1]["nextForwardToken"])["events"]) == ["one more"]


def test_a_page_token_is_good_for_its_stream_only(logs, group, stream):
    put(logs, group, stream, "line")
    logs.create_log_stream(logGroupName=group, logStreamName="other")
    token = logs.get_log_events(logGroupName=group, logStreamName=stream)["nextForwardToken"]
    given = {"logGroupName": group, "logStreamName": "other"}
    check_refused("InvalidParameterException", "nextToken", logs.get_log_events, **given, nextToken=token)
    forged = f"f/{'1' * 56}/s"
    check_refused("InvalidParameterException", "nextToken", logs.get_log_events, **given, nextToken=forged)


def test_times_bound_what_is_read(logs, group, stream):
    start = now() - 10_000
    put(logs, group, stream, *"abcde", at=start, step=1000)
    bounds = {"startTime": start + 1000, "endTime": start + 3000}
    got = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **bounds)
    assert texts(got["events"]) == ["b", "c"], "the end is not included"
    assert found(logs, group, **bounds) == ["b", "c", "d"], "the end of a search is included"
    event = got["events"][0]
    assert event["timestamp"] == start + 1000 and event["ingestionTime"] >= event["timestamp"]


def test_events_of_one_time_keep_their_order_of_arrival(logs, group, stream):
    at = now()
    lines = [f"{index:04}" for index in range(500)]
    for begin in range(0, 500, 100):
        put(logs, group, stream, *lines[begin:begin + 100], at=at, step=0)
    got = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    assert texts(got["events"]) == lines
    assert found(logs, group) == lines


def test_what_is_too_old_or_too_new_is_left_out_and_told(logs, group, stream):
    day, current = 24 * 3600 * 1000, now()
    events = [(current - 15 * day, "old"), (current, "good"), (current + 3 * 3600 * 1000, "new")]
    events = [{"timestamp": at, "message": text} for at, text in events]
    answer = logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}
    assert found(logs, group) == ["good"]
    assert answer["nextSequenceToken"]


BATCHES = {
    "out of order": ([(5, "a"), (0, "b")], "chronological"),
    "over a day long": ([(0, "a"), (25 * 3600 * 1000, "b")], "24 hours"),
    "over a mebibyte": ([(index, "x" * 200_000) for index in range(6)], "large"),
    "one event over a mebibyte": ([(0, "x" * 1_048_600)], "large"),
    "too many": ([(0, "x")] * 10_001, "10,?000"),
    "none": ([], "logEvents"),
}


@pytest.mark.parametrize("events,pattern", BATCHES.values(), ids=BATCHES.keys())
def test_a_bad_batch_is_refused_whole(account, group, stream, events, pattern):
    start = now() - 26 * 3600 * 1000
    events = [{"timestamp": start + at, "message": text} for at, text in events]
    check_refused(
        "InvalidParameterException", pattern, account.unchecked("logs").put_log_events,
        logGroupName=group, logStreamName=stream, logEvents=events,
    )
    assert found(account.logs, group) == []


def test_the_largest_event_and_any_text_come_back_whole(logs, group, stream):
    lines = ["x" * 1_000_000, "ü 🚢 \" \\ \t \u2028 \x1b[31m", "{\"a\": [1, 2]}", " leading and trailing "]
    put(logs, group, stream, lines[0])
    put(logs, group, stream, *lines[1:])
    assert found(logs, group) == lines


def test_groups_and_streams_that_are_not_there(logs, group):
    missing = {"logGroupName": group, "logStreamName": "nobody"}
    events = {"logEvents": [{"timestamp": now(), "message": "x"}]}
    check_refused("ResourceNotFoundException", "log stream does not exist", logs.get_log_events, **missing)
    check_refused("ResourceNotFoundException", "log stream does not exist", logs.put_log_events, **missing, **events)
    nowhere = {"logGroupName": "nowhere"}
    check_refused("ResourceNotFoundException", "log group does not exist", logs.filter_log_events, **nowhere)
    check_refused("ResourceNotFoundException", "log group does not exist", logs.describe_log_streams, **nowhere)
    check_refused("ResourceNotFoundException", "", logs.create_log_stream, **nowhere, logStreamName="x")


def test_a_group_is_named_by_its_arn_too(account, logs, group, stream):
    put(logs, group, stream, "line")
    arn = account.arn(f"log-group:{group}", "logs")
    got = logs.get_log_events(logGroupIdentifier=arn, logStreamName=stream)
    assert texts(got["events"]) == ["line"]
    assert texts(logs.filter_log_events(logGroupIdentifier=arn)["events"]) == ["line"]
    assert len(logs.describe_log_streams(logGroupIdentifier=arn)["logStreams"]) == 1


# Searches

LINES = [
    "ERROR failed to dock", "WARN slow crane", "INFO ship docked", "ERROR timeout while INFO was sent",
    '{"level": "error", "code": 500, "ship": {"name": "Endurance"}, "tags": ["a", "b"], "ok": false}',
    '{"level": "info", "code": 200, "ship": {"name": "Erebus"}, "tags": ["c"], "ok": true, "owner": null}',
    '127.0.0.1 - dora [10/Oct/2026:13:55:36] "GET /index.html HTTP/1.0" 404 2326',
    '127.0.0.2 - boots [10/Oct/2026:13:55:37] "GET /logo.png HTTP/1.0" 200 17',
]
PATTERNS = {
    "": range(8), "ERROR": [0, 3], "ERROR INFO": [3], "?WARN ?docked": [1, 2], "ERROR -INFO": [0],
    '"to dock"': [0], '"no such phrase"': [], "error": [4],
    '{ $.level = "error" }': [4], "{ $.code > 200 }": [4], "{ $.code >= 200 }": [4, 5],
    '{ $.ship.name = "E*" && $.code = 200 }': [5], '{ ($.code = 500) || ($.level = "info") }': [4, 5],
    "{ $.ok IS TRUE }": [5], "{ $.owner IS NULL }": [5], "{ $.owner NOT EXISTS }": [4], '{ $.tags[1] = "b" }': [4],
    '{ $.level != "info" }': [4],
    "[address, id, user, time, request, status = 404, bytes]": [6],
    "[address, id, user, time, request, status, bytes > 1000]": [6],
    "[address, ..., status = 2*, bytes]": [7],
    "%ship dock\\w+%": [2],
}


@pytest.fixture(scope="module")
def library(simulated):
    """A group whose lines the patterns are tried on, over two streams."""
    account = simulated.account("400000000003")
    account.logs.create_log_group(logGroupName="library")
    start = now() - 60_000
    for index, line in enumerate(LINES):
        name = f"shelf-{index % 2}"
        if index < 2:
            account.logs.create_log_stream(logGroupName="library", logStreamName=name)
        put(account.logs, "library", name, line, at=start + index)
    return account.logs


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_filter_pattern_finds_what_it_says(library, pattern):
    assert found(library, "library", pattern) == [LINES[index] for index in PATTERNS[pattern]]


@pytest.mark.parametrize("pattern", ["{ $.a = ", "{ }", "[a, b", '"open', "{ $.a ~ 1 }", "%(%"])
def test_a_pattern_that_is_none_is_refused(library, pattern):
    check_refused(
        "InvalidParameterException", "(?i)filter ?pattern", library.filter_log_events,
        logGroupName="library", filterPattern=pattern,
    )


def test_a_search_keeps_to_streams_and_goes_by_pages(library):
    assert found(library, "library", logStreamNames=["shelf-1"]) == LINES[1::2]
    assert found(library, "library", logStreamNamePrefix="shelf-0") == LINES[0::2]
    assert found(library, "library", PaginationConfig={"PageSize": 3}) == LINES
    assert found(library, "library", "ERROR", PaginationConfig={"PageSize": 1}) == [LINES[0], LINES[3]]
    events = library.filter_log_events(logGroupName="library")["events"]
    ids = [event["eventId"] for event in events]
    assert ids == sorted(set(ids), key=int)
    both = {"logStreamNames": ["shelf-0"], "logStreamNamePrefix": "shelf"}
    check_refused("InvalidParameterException", "", library.filter_log_events, logGroupName="library", **both)


# Retention


def test_retention_acts(logs, group, stream):
    day = 24 * 3600 * 1000
    put(logs, group, stream, "two days old", at=now() - 2 * day)
    put(logs, group, stream, "new")
    assert found(logs, group) == ["two days old", "new"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]["retentionInDays"] == 1
    assert found(logs, group) == ["new"]
    answer = put(logs, group, stream, "two days old", at=now() - 2 * day)
    assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    logs.delete_retention_policy(logGroupName=group)
    assert "retentionInDays" not in logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]


@pytest.mark.parametrize("days", [0, 2, -1, 4000])
def test_only_aws_retentions_are_taken(account, group, days):
    code, message = refused(account.unchecked("logs").put_retention_policy, logGroupName=group, retentionInDays=days)
    assert code in ("InvalidParameterException", "ValidationException"), message
    assert "retentionInDays" not in account.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"][0]


# Batches of our own log pumps


def pump(account):
    """A way to put a batch under a pump's id and sequence."""
    client = account.instance.client("logs", account.key)
    batches = []

    def add_header(request, **_):
        request.headers["x-longshore-batch"] = batches[-1]

    client.meta.events.register("before-sign.logs.PutLogEvents", add_header)

    def send(group, stream, batch, *messages):
        batches.append(batch)
        return put(client, group, stream, *messages)

    return send


def test_a_batch_that_comes_again_is_not_stored_again(account, logs, group, stream):
    send = pump(account)
    send(group, stream, "pump/1", "a", "b")
    send(group, stream, "pump/2", "c")
    send(group, stream, "pump/2", "c")
    send(group, stream, "pump/1", "a", "b")
    send(group, stream, "other/1", "d")
    assert found(logs, group) == ["a", "b", "c", "d"]
    logs.create_log_stream(logGroupName=group, logStreamName="second")
    send(group, "second", "pump/1", "e")
    assert found(logs, group, logStreamNames=["second"]) == ["e"], "sequences count per stream"


@pytest.mark.parametrize("batch", ["pump", "pump/x", "/1", "a b/1", "p" * 65 + "/1", "pump/-1"])
def test_a_batch_header_that_is_none_is_refused(account, group, stream, batch):
    assert refused(pump(account), group, stream, batch, "a")[0] == "InvalidParameterException"
    assert found(account.logs, group) == []


# Durability


def test_what_was_acknowledged_survives_kill_nine(fresh):
    instance = fresh("--engine", "simulated")
    account = instance.account()
    account.logs.create_log_group(logGroupName="g")
    account.logs.create_log_stream(logGroupName="g", logStreamName="s")
    acknowledged = []

    def write():
        for index in range(100_000):
            try:
                put(account.logs, "g", "s", f"line {index}")
            except Exception:
                return
            acknowledged.append(f"line {index}")

    writer = threading.Thread(target=write)
    writer.start()
    eventually(lambda: len(acknowledged) > 50, every=0.005)
    instance.kill()
    writer.join(timeout=300)
    instance.start()
    kept = found(account.logs, "g")
    assert kept[:len(acknowledged)] == acknowledged
    assert len(kept) <= len(acknowledged) + 1, "only the one that was in flight may be there without an answer"
    pump(account)("g", "s", "pump/7", "batch")
    instance.kill()
    instance.start()
    pump(account)("g", "s", "pump/7", "batch")
    assert found(account.logs, "g").count("batch") == 1


# The AWS CLI


def test_tail_shows_what_it_is_asked_for(account, logs, group, stream):
    put(logs, group, stream, "an hour old", at=now() - 3_600_000)
    put(logs, group, stream, "ERROR new", "INFO new")

    def tail(*words):
        return account.instance.tail(group, *words, AWS_ACCESS_KEY_ID=account.key)

    lines = tail("--since", "5m")
    assert [line.split(" ", 1)[1] for line in lines] == [f"{stream} ERROR new", f"{stream} INFO new"]
    lines = tail("--since", "2h", "--filter-pattern", "ERROR", "--format", "short")
    assert len(lines) == 1 and lines[0].endswith(" ERROR new")
    assert len(tail("--since", "2h")) == 3


def test_tail_follows(account, logs, group, stream):
    environment = account.instance.aws_environment(AWS_ACCESS_KEY_ID=account.key)
    command = account.instance.tail_command(group, "--follow", "--since", "1m")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tail:
        shown = []
        reader = threading.Thread(target=lambda: shown.extend(iter(tail.stdout.readline, "")))
        reader.start()
        try:
            put(logs, group, stream, "before")
            eventually(lambda: any("before" in line for line in shown))
            put(logs, group, stream, "after")
            eventually(lambda: any("after" in line for line in shown))
        finally:
            tail.terminate()
            reader.join(timeout=120)
    assert [line.split()[-1] for line in shown] == ["before", "after"]
