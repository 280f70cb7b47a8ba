"""What comes in over the wire and is not a proper request: classes W1 to W6, each a row with its exact answer."""

import gzip
import json
import pathlib
import re
import socket
import time
import xml.etree.ElementTree

import pytest

ECS = "AmazonEC2ContainerServiceV20141113"
JSON = {"Content-Type": "application/x-amz-json-1.1"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def target(operation, prefix=ECS):
    return {**JSON, "X-Amz-Target": f"{prefix}.{operation}"}


def post(instance, body, headers):
    status, answer, answered = instance.http("/", "POST", body, headers)
    return status, answer.decode("utf-8", "replace"), {key.lower(): value for key, value in answered.items()}


def fault(body):
    """The code of an error in any protocol."""
    if body.lstrip().startswith("<"):
        return re.search("<Code>(.*?)</Code>", body)[1]
    return json.loads(body)["__type"].split("#")[-1]


BODIES = {
    "nothing": b"",
    "an array": b"[]",
    "null": b"null",
    "a string": b'"x"',
    "a number": b"17",
    "trailing garbage": b"{} x",
    "two values": b"{}{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"clusters":[]}'.encode("utf-16"),
    "invalid utf-8": b'{"nextToken":"\xff"}',
    "a raw control character": b'{"nextToken":"\x00"}',
    "cut off": b'{"nextToken":',
    "single quotes": b"{'nextToken':'x'}",
    "nesting of ten thousand": b'{"nextToken":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a duplicate key": b'{"nextToken":"a","nextToken":"b"}',
    "1e400": b'{"maxResults":1e400}',
    "NaN": b'{"maxResults":NaN}',
    "Infinity": b'{"maxResults":Infinity}',
    "2^63": b'{"maxResults":9223372036854775808}',
    "a fraction": b'{"maxResults":1.5}',
    "a string for a number": b'{"maxResults":"one"}',
    "an object for a string": b'{"nextToken":{}}',
    "a lone surrogate": b'{"nextToken":"\\ud800"}',
    "an escaped NUL": b'{"nextToken":"\\u0000"}',
    "true for a number": b'{"maxResults":true}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_no_input_is_a_serialization_exception(simulated, body):
    status, answer, headers = post(simulated, body, target("ListClusters"))
    assert (status, fault(answer)) == (400, "SerializationException"), answer
    assert headers["x-amzn-requestid"]


def test_minus_zero_is_zero(simulated):
    status, answer, _ = post(simulated, b'{"maxResults":-0}', target("ListClusters"))
    assert (status, fault(answer)) == (400, "InvalidParameterException"), answer


def test_unknown_members_are_ignored(simulated):
    status, answer, _ = post(simulated, b'{"noSuchMember":{"a":[1]}}', target("ListClusters"))
    assert status == 200, answer


TARGETS = {
    "no target": JSON,
    "an unknown operation": target("MakeCoffee"),
    "an unknown service": target("ListClusters", "AmazonTeaService"),
    "an operation in another case": target("listclusters"),
    "no dot": {**JSON, "X-Amz-Target": "ListClusters"},
    "two dots": target("ListClusters.x"),
}


OTHER_TYPES = ["text/plain", "application/json", "application/xml", "application/x-www-form-urlencoded",
               "multipart/form-data; boundary=x", "application/x-amz-json-1.1x", "*/*", ""]


@pytest.mark.parametrize("kind", OTHER_TYPES)
def test_a_target_with_another_content_type_is_no_request(simulated, kind):
    status, answer, _ = post(simulated, b"{}", target("ListClusters") | {"Content-Type": kind})
    assert (status, fault(answer)) == (400, "UnknownOperationException"), answer


@pytest.mark.parametrize("headers", TARGETS.values(), ids=TARGETS.keys())
def test_a_target_that_names_nothing_is_unknown(simulated, headers):
    status, answer, _ = post(simulated, b"{}", headers)
    assert (status, fault(answer)) == (400, "UnknownOperationException"), answer


def test_an_operation_that_is_not_built_says_so(simulated):
    status, answer, _ = post(simulated, b"{}", target("ListDaemons"))
    assert status == 400
    assert fault(answer) == "UnsupportedOperationException"
    assert "does not implement ecs:ListDaemons" in answer


# One for each form: REST with XML, REST with JSON, JSON, query; and a body that is not read.
NOT_HERE = {
    "s3": (["s3", "ls"], "ListBuckets"),
    "s3, a body": (["s3", "cp", __file__, "s3://bucket/key"], "PutObject"),
    "lambda": (["lambda", "list-functions"], "ListFunctions"),
    "dynamodb": (["dynamodb", "list-tables"], "ListTables"),
    "redshift": (["redshift", "describe-clusters"], "DescribeClusters"),
}


@pytest.mark.parametrize("words,operation", NOT_HERE.values(), ids=NOT_HERE.keys())
def test_the_cli_prints_that_a_service_is_not_here(simulated, words, operation):
    done = simulated.aws(*words, check=False)
    expected = f"(UnsupportedOperationException) when calling the {operation} operation: " \
               f"Longshore does not implement {words[0]} yet"
    assert done.returncode != 0 and expected in done.stderr, done.stderr


QUERIES = {
    "no action": (b"Version=2011-06-15", "MissingAction"),
    "an unknown action": (b"Action=MakeCoffee&Version=2011-06-15", "InvalidAction"),
    "an unknown version": (b"Action=GetCallerIdentity&Version=1999-01-01", "InvalidAction"),
}


@pytest.mark.parametrize("body,code", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_that_names_nothing_is_refused(simulated, body, code):
    status, answer, _ = post(simulated, body, FORM)
    assert (status, fault(answer)) == (400, code), answer


def test_two_actions_are_refused(simulated):
    body = b"Action=GetCallerIdentity&Action=GetCallerIdentity&Version=2011-06-15"
    status, answer, _ = post(simulated, body, FORM)
    assert status == 400, answer


def test_an_action_in_the_address_and_in_the_body_is_refused(simulated):
    action = "Action=GetCallerIdentity&Version=2011-06-15"
    status, answer, _ = simulated.http(f"/?{action}", "POST", action.encode(), FORM)
    assert (status, fault(answer.decode())) == (400, "InvalidAction"), answer
    assert simulated.http(f"/?{action}")[0] == 200


def test_a_body_over_the_limit_is_refused_and_the_server_lives(simulated):
    body = b'{"nextToken":"' + b"x" * (11 << 20) + b'"}'
    # The server may answer and close before all is sent: then the client sees either.
    status, answer, _ = post(simulated, body, target("ListClusters"))
    assert status in (413, 0), answer
    assert simulated.http("/healthz")[0] == 200


LONG = {
    "announced": (b"Content-Length: 104857600", b"{"),
    "in pieces without an end": (b"Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
}


@pytest.mark.parametrize("header,piece", LONG.values(), ids=LONG.keys())
def test_a_body_that_would_be_too_long_is_not_waited_for(simulated, header, piece):
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=60) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: " + ECS.encode() + b".ListClusters\r\n")
        raw.sendall(b"Content-Type: application/x-amz-json-1.1\r\n" + header + b"\r\n\r\n")
        try:
            for _ in range(200 if b"chunked" in header else 1):
                raw.sendall(piece)
        except OSError:
            pass
        assert raw.recv(64).startswith(b"HTTP/1.1 413")


def forget_peak(instance):
    """Count the peak from now on: what an earlier request took must not hide what the next one takes."""
    pathlib.Path(f"/proc/{instance.process.pid}/clear_refs").write_text("5")


def peak_memory(instance):
    """The most memory that the server has had since, in bytes."""
    status = pathlib.Path(f"/proc/{instance.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


HUGE = {
    "keys": b"{" + b",".join(b'"k%d":0' % index for index in range(80_000)) + b"}",
    "elements": b'{"clusters":[' + b",".join([b'"a"'] * 200_000) + b"]}",
    "one string": b'{"nextToken":"' + b"x" * 900_000 + b'"}',
    "escapes": b'{"nextToken":"' + b"\\u0041" * 150_000 + b'"}',
    "digits": b'{"maxResults":' + b"1" * 900_000 + b"}",
}


def takes_little(instance, body, headers):
    forget_peak(instance)
    before, began = peak_memory(instance), time.monotonic()
    status, answer, _ = post(instance, body, headers)
    assert status in (200, 400, 413), answer[:200]
    assert time.monotonic() - began < 30
    assert peak_memory(instance) - before < 64 << 20
    return status, answer


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
def test_a_huge_body_takes_neither_long_nor_much_memory(simulated, body):
    takes_little(simulated, body, target("DescribeClusters"))


def repeated(before, element, times, after):
    return before + b",".join([element] * times) + after


# Few bytes that stand for much: 10 MiB of JSON, and as many structures as are still read.
WIDE = {
    "containers": repeated(b'{"containerDefinitions":[', b"{}", 3_400_000, b"]}"),
    "containers, the most": repeated(b'{"containerDefinitions":[', b"{}", 4_000, b"]}"),
    "volumes": repeated(b'{"family":"a","volumes":[', b"{}", 3_400_000, b"]}"),
    "tags": repeated(b'{"family":"a","tags":[', b"{}", 3_400_000, b"]}"),
    "port mappings": repeated(b'{"containerDefinitions":[{"portMappings":[', b"{}", 3_400_000, b"]}]}"),
    "port mappings, the most": repeated(b'{"containerDefinitions":[{"portMappings":[', b"{}", 20_000, b"]}]}"),
    "labels": repeated(b'{"containerDefinitions":[', b'{"dockerLabels":{"":""}}', 400_000, b"]}"),
    "short strings": repeated(b'{"requiresCompatibilities":[', b'"a"', 2_500_000, b"]}"),
    "lists in an unknown member": repeated(b'{"unknown":[', b"[]", 3_400_000, b"]}"),
    "unknown keys": b"{" + b",".join(b'"%x":0' % index for index in range(1_000_000)) + b"}",
}


@pytest.mark.parametrize("body", WIDE.values(), ids=WIDE.keys())
def test_short_elements_of_wide_structures_take_no_more(simulated, body):
    assert len(body) < 10 << 20
    status, answer = takes_little(simulated, body, target("RegisterTaskDefinition"))
    assert status == 400, answer[:200]
    assert len(body) < 1 << 20 or fault(answer) == "SerializationException"


FORMS = {
    "deep names": b"&".join(b"%d%s=" % (index, b".a" * 31) for index in range(14_000)),
    "deeper names": b"&".join(b"%d%s=" % (index, b".a" * 127) for index in range(3_900)),
    "wide filters": b"&".join(b"Filter.%d.Value.1=" % index for index in range(1, 19_000)),
}


@pytest.mark.parametrize("fields", FORMS.values(), ids=FORMS.keys())
def test_forms_of_deep_names_take_no_more(simulated, fields):
    body = b"Action=DescribeSubnets&Version=2016-11-15&" + fields
    assert len(body) < 1 << 20
    status, answer = takes_little(simulated, body, FORM)
    assert (status, fault(answer)) == (400, "InvalidParameterValue"), answer


HOSTS = {
    "an address": ("127.0.0.1:4566", 200),
    "localhost": ("localhost", 200),
    "a name under localhost": ("ecs.localhost:4566", 200),
    "a prefixed host": ("data-localhost:4566", 200),
    "a stranger's name": ("attacker.example:4566", 403),
    "a name that begins like an address": ("127.0.0.1.attacker.example", 403),
}


@pytest.mark.parametrize("host,expected", HOSTS.values(), ids=HOSTS.keys())
def test_only_hosts_that_are_local_whoever_is_asked_are_served(simulated, host, expected):
    status, answer, headers = post(simulated, b"{}", {**target("ListClusters"), "Host": host})
    assert status == expected, answer
    assert status == 200 or fault(answer) == "AccessDeniedException"
    assert headers["x-amzn-requestid"]
    assert simulated.http("/metrics", headers={"Host": host})[0] == expected


def test_web_pages_may_neither_reset_nor_open_channels(fresh):
    instance = fresh("--engine", "simulated", "--auth", "permissive")
    page = {"Origin": "http://attacker.example"}
    assert instance.http("/_longshore/reset", "POST", b"", page)[0] == 403
    assert instance.http("/acs/ws", headers=page)[0] == 403
    assert instance.http("/tcs/ws", headers=page)[0] == 403
    assert instance.http("/_longshore/reset", "POST", b"")[0] == 200


def test_an_encoded_body_is_refused(simulated):
    headers = {**target("ListClusters"), "Content-Encoding": "gzip"}
    status, answer, _ = post(simulated, gzip.compress(b"{}"), headers)
    assert status == 415, answer


def test_expect_continue_is_answered(simulated):
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=60) as raw:
        head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: {ECS}.ListClusters\r\nContent-Length: 2\r\n"
            "Content-Type: application/x-amz-json-1.1\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        raw.sendall(head.encode())
        assert raw.recv(64).startswith(b"HTTP/1.1 100")
        raw.sendall(b"{}")
        assert b"200 OK" in raw.recv(4096)


def test_a_chunked_body_is_taken(simulated):
    with socket.create_connection(("127.0.0.1", simulated.port), timeout=60) as raw:
        head = (
            f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: {ECS}.ListClusters\r\nTransfer-Encoding: chunked\r\n"
            "Content-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        )
        raw.sendall(head.encode())
        assert b"200 OK" in raw.recv(4096)


LISTS = {
    "an index of zero": b"SubnetId.0=subnet-1",
    "a huge index": b"SubnetId.1000000000=subnet-1",
    "a negative index": b"SubnetId.-1=subnet-1",
    "no number": b"SubnetId.x=subnet-1",
    "a gap": b"SubnetId.1=subnet-1&SubnetId.3=subnet-3",
    "an index twice": b"SubnetId.1=subnet-1&SubnetId.1=subnet-2",
    "a list and a value": b"SubnetId=subnet-1&SubnetId.1=subnet-2",
    "the form of query": b"SubnetId.member.1=subnet-1",
    "a structure for a string": b"SubnetId.1.x=subnet-1",
}


@pytest.mark.parametrize("parameter", LISTS.values(), ids=LISTS.keys())
def test_hostile_list_indices_do_no_harm(simulated, parameter):
    status, answer, _ = post(simulated, b"Action=DescribeSubnets&Version=2016-11-15&" + parameter, FORM)
    assert status == 400 and fault(answer) in ("InvalidParameterValue", "InvalidSubnetID.NotFound"), answer
    xml.etree.ElementTree.fromstring(answer)


@pytest.mark.parametrize("name", ["<script>", "\x1b[31m", "\u202egnp", "../etc", "a" * 256, "\u0000", "x y"])
def test_odd_names_are_refused_and_echoed_safely(simulated, name):
    body = json.dumps({"clusterName": name}).encode()
    status, answer, headers = post(simulated, body, target("CreateCluster"))
    assert status == 400, answer
    assert fault(answer) in ("InvalidParameterException", "ClientException", "SerializationException")
    assert headers["content-type"].startswith("application/x-amz-json")


def test_xml_escapes_what_it_echoes(simulated):
    hostile = b"Action=DescribeSubnets&Version=2016-11-15&SubnetId.1=%3Ca%3E%5D%5D%3E%26%EF%BF%BE%01%F0%9F%98%80"
    status, answer, _ = post(simulated, hostile, FORM)
    assert status == 400
    xml.etree.ElementTree.fromstring(answer)
