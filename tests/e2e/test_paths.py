"""Paths that mean one thing to who signs and another to who routes (T5): what is routed is what came in, byte for byte."""

import http.client
import json
import re
import socket
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from test_identity import root

TARGET = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "AmazonEC2ContainerServiceV20141113.ListClusters"}


def send(instance, method, target, headers, body=b""):
    """Status and code of a request whose target goes out as it is given."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", instance.port), timeout=60) as raw:
        raw.sendall("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body)
        answer = http.client.HTTPResponse(raw, method=method)
        answer.begin()
        return answer.status, code(answer.read().decode())


def code(body):
    """The code of an error in any protocol; none where there is no error."""
    if body.startswith("{"):
        return json.loads(body).get("__type", "").split("#")[-1]
    found = re.search("<Code>(.*?)</Code>", body)
    return found[1] if found else ""


def signed(bearer, method, path, headers, body=b""):
    """Headers of a request to `path`, signed as botocore signs."""
    url, host = bearer.instance.endpoint + path, f"127.0.0.1:{bearer.instance.port}"
    request = botocore.awsrequest.AWSRequest(method, url, headers | {"host": host}, body)
    credentials = botocore.credentials.Credentials(bearer.key, bearer.secret)
    botocore.auth.SigV4Auth(credentials, "ecs", "us-east-1").add_auth(request)
    return dict(request.headers)


UNKNOWN = (404, "UnknownOperationException")
# What is sent, and the answer. Signed is the path that is sent.
SENT = {
    "nothing special": ("/", (200, "")),
    "an encoded way up": ("/%2e%2e", UNKNOWN),
    "an encoded way up and a slash": ("/%2e%2e/", UNKNOWN),
    "two slashes": ("//", UNKNOWN),
    "a dot": ("/./", UNKNOWN),
    "a way up": ("/a/../", UNKNOWN),
    "a parameter": ("/;x=1", UNKNOWN),
    "an encoded slash": ("/%2f", UNKNOWN),
    "encoded twice": ("/%252e%252e/", UNKNOWN),
    "a plus": ("/+", UNKNOWN),
    "an encoded space": ("/%20", UNKNOWN),
    "letters beyond ASCII, encoded": ("/%c3%a9", UNKNOWN),
}


@pytest.mark.parametrize("path,wanted", SENT.values(), ids=SENT.keys())
def test_a_path_is_no_other_path(strict, path, wanted):
    headers = signed(root(strict), "POST", path, TARGET, b"{}")
    assert send(strict, "POST", path, headers, b"{}") == wanted


# Paths whose canonical form is that of `/`: a signature for it is good for them, and they are not it.
SAME = ["//", "/.", "/./", "/a/..", "/a/../", "/../", "//.//"]


@pytest.mark.parametrize("path", SAME)
def test_a_signature_of_the_root_opens_no_other_path(strict, path):
    bearer = root(strict)
    headers = signed(bearer, "POST", "/", TARGET, b"{}")
    assert send(strict, "POST", path, headers, b"{}") == UNKNOWN
    url = bearer.client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    host, query = {"host": f"127.0.0.1:{strict.port}"}, urllib.parse.urlsplit(url).query
    assert send(strict, "GET", f"/?{query}", host) == (200, "")
    assert send(strict, "GET", f"{path}?{query}", host) == UNKNOWN


def test_a_target_with_its_host_is_the_path_in_it(strict):
    here = f"http://127.0.0.1:{strict.port}"
    headers = signed(root(strict), "POST", "/", TARGET, b"{}")
    for target, wanted in {
        f"{here}/": (200, ""), here: (200, ""), f"{here}//": UNKNOWN, f"{here}/%2e%2e/": UNKNOWN, f"{here}/;": UNKNOWN,
        "http://attacker.example/": (403, "AccessDeniedException"),
        f"http://127.0.0.1:{strict.port}@attacker.example/": (403, "AccessDeniedException"),
        f"{here}.attacker.example/": (403, "AccessDeniedException"), "*": UNKNOWN,
    }.items():
        assert send(strict, "POST", target, headers, b"{}") == wanted, target


def test_a_nodes_channel_has_one_path(strict):
    """Who may open it is asked at its own path alone; others are none of it, whatever they come to."""
    node = "arn:aws:ecs:us-east-1:000000000000:container-instance/default/none"
    query = urllib.parse.urlencode({"containerInstanceArn": node})
    bearer = root(strict)
    assert send(strict, "GET", f"/acs/ws?{query}", signed(bearer, "GET", f"/acs/ws?{query}", {}))[0] == 400
    for path in ["/acs/%77s", "/acs//ws", "//acs/ws", "/acs/./ws", "/x/../acs/ws", "/acs/ws/", "/acs/ws;x", "/%61cs/ws"]:
        headers = signed(bearer, "GET", f"{path}?{query}", {})
        assert send(strict, "GET", f"{path}?{query}", headers) == UNKNOWN, path
