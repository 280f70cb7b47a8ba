"""The registry's bytes in a bucket of S3's, as `moto` plays it: through a gate that the tests open and close."""

import contextlib
import json
import os
import selectors
import socket
import subprocess
import threading

import boto3
import botocore.config
import botocore.exceptions
import pytest
from account import eventually
from conftest import IMAGES, ROOT, free_port
from disk import files
from ecr import skopeo
from hub import Hub, password, sha256, token_of
from test_identity import root

MOTO = ROOT / "build" / "moto" / "bin" / "moto_server"
PART = 8 * 2**20

# Of other programs, and of other services: none of them is the bucket's.
OTHERS = {"BUCKET": "other", "TOKEN": "other", "ENDPOINT": "http://127.0.0.1:1", "REGION": "other", "TIMEOUT": "0",
          "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "GOOGLE_BUCKET": "other"}
SECRETS = {"AWS_SECRET_ACCESS_KEY": "planted/secret/key/of/the/bucket0000000", "AWS_SESSION_TOKEN": "plantedtokenofthebucket"}


class Gate:
    """A way to a server on this machine. While it is shut, connections to it are refused, and those that were are ended."""

    def __init__(self, target):
        self.target, self.port = target, free_port()
        self.left = None
        self.open()

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.lines, self.is_open, self.left = [], True, None
        threading.Thread(target=self.take, args=(self.listener,), daemon=True).start()

    def shut(self):
        self.is_open = False
        # Who waits in `accept` hears of it by `shutdown` alone.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for line in self.lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def shut_after(self, size):
        """It shuts by itself once that many more bytes were sent to the server."""
        self.left = size

    def take(self, listener):
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            other = socket.create_connection(("127.0.0.1", self.target))
            self.lines += [line, other]
            if self.is_open:
                threading.Thread(target=self.carry, args=(line, other), daemon=True).start()
            else:
                line.close()

    def carry(self, line, other):
        ways = selectors.DefaultSelector()
        ways.register(line, selectors.EVENT_READ, other)
        ways.register(other, selectors.EVENT_READ, line)
        with line, other, contextlib.suppress(OSError):
            while True:
                for key, _ in ways.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    if key.fileobj is line and self.left is not None:
                        self.left -= len(data)
                        if self.left < 0:
                            self.shut()
                            return
                    key.data.sendall(data)


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    """The port of a server that plays S3."""
    port = free_port()
    with open(tmp_path_factory.mktemp("moto") / "log", "w") as log:
        process = subprocess.Popen([MOTO, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)

    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(answers)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


class Bucket:
    def __init__(self, moto, name):
        self.name = name
        self.s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{moto}", region_name="us-east-1", aws_access_key_id="x",
                               aws_secret_access_key="x", config=botocore.config.Config(s3={"addressing_style": "path"}))

    def there(self):
        """Its keys, and how large what is there is."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    def has(self, digest):
        return key(digest) in self.there()

    def half(self):
        """Objects whose parts are not together."""
        return self.s3.list_multipart_uploads(Bucket=self.name).get("Uploads", [])


def key(digest):
    algorithm, digits = digest.split(":")
    return f"some/prefix/blobs/{algorithm}/{digits[:2]}/{digits}"


@pytest.fixture
def bucket(moto, name):
    bucket = Bucket(moto, name)
    bucket.s3.create_bucket(Bucket=name)
    return bucket


@pytest.fixture
def gate(moto):
    gate = Gate(moto)
    yield gate
    gate.shut()


@pytest.fixture
def hub(fresh, bucket, gate):
    """A repository of an instance whose bytes are in the bucket, behind the gate."""
    env = OTHERS | SECRETS | {
        "AWS_ACCESS_KEY_ID": "AKIABUCKETBUCKETBUCK", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{gate.port}",
        "AWS_ALLOW_HTTP": "true", "LONGSHORE_LOG": "trace"}
    instance = fresh("--engine", "simulated", "--registry-url", f"s3://{bucket.name}/some/prefix", env=env)
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="far")
    hub = Hub(instance, "far", token_of(client))
    yield hub
    for planted in SECRETS.values():
        assert planted not in instance.log_text()


def test_what_is_pushed_is_in_the_bucket_and_pulled_from_it(hub, bucket, tmp_path):
    small, large = os.urandom(PART), os.urandom(2 * PART + 1_000_000)
    manifest = hub.image("one", [small, large])
    for data, parts in [(small, ""), (large, "3"), (manifest, "")]:
        found = bucket.s3.get_object(Bucket=bucket.name, Key=key(sha256(data)))
        assert found["Body"].read() == data and found["ETag"].strip('"').partition("-")[2] == parts
    assert bucket.half() == []
    assert files(hub.instance.data_dir / "registry") == []
    # What is there is not sent again.
    assert hub("HEAD", f"blobs/{sha256(large)}").headers["Content-Length"] == str(len(large))
    for first, last in [(0, 0), (PART - 2, PART + 2), (100, 2 * PART + 100), (len(large) - 5, len(large) - 1)]:
        answer = hub("GET", f"blobs/{sha256(large)}", Range=f"bytes={first}-{last}")
        assert (answer.status, answer.body) == (206, large[first:last + 1]), (first, last)
    assert hub("GET", f"blobs/{sha256(large)}", Range=f"bytes={len(large)}-").status == 416
    # In pieces, over the end of the process.
    pieces, at = os.urandom(PART + 5000), hub.begin()
    at = hub.request("PATCH", at, pieces[:3000]).headers["Location"]
    hub.instance.kill()
    hub.instance.start()
    assert hub("GET", "tags/list").json()["tags"] == ["one"]
    assert hub.request("PATCH", at, pieces[3000:], {"Content-Range": f"3000-{len(pieces) - 1}"}).status == 202
    assert hub.request("PUT", f"{at}?digest={sha256(pieces)}", b"").status == 201
    assert hub("GET", "manifests/one").body == manifest
    for data in (small, large, pieces):
        assert hub("GET", f"blobs/{sha256(data)}").body == data
    # By a client that people have.
    login, image = f"AWS:{password(hub.token)}", f"docker://127.0.0.1:{hub.instance.port}/far:box"
    skopeo("copy", "--quiet", "--dest-tls-verify=false", "--dest-creds", login, f"oci-archive:{IMAGES / 'busybox.tar'}", image)
    skopeo("copy", "--quiet", "--src-tls-verify=false", "--src-creds", login, image, f"dir:{tmp_path}/box")
    for layer in hub("GET", "manifests/box").json()["layers"]:
        assert bucket.has(layer["digest"]) and sha256((tmp_path / "box" / layer["digest"][7:]).read_bytes()) == layer["digest"]


def test_what_nothing_holds_goes_from_the_bucket(hub, bucket):
    client = root(hub.instance).client("ecr")
    manifest = hub.image("one", [os.urandom(PART + 1), os.urandom(1000)])
    client.create_repository(repositoryName="kept")
    kept = hub.of("kept").image("one", [os.urandom(1000)])
    bystander = "some/prefix/blobs/README"
    bucket.s3.put_object(Bucket=bucket.name, Key=bystander, Body=b"not ours")
    client.delete_repository(repositoryName="far", force=True)
    held = {descriptor["digest"] for descriptor in (json.loads(kept)["config"], *json.loads(kept)["layers"])} | {sha256(kept)}
    eventually(lambda: set(bucket.there()) == {key(digest) for digest in held} | {bystander, "some/prefix/longshore-owner"})
    assert sha256(manifest) not in held
    assert hub.of("kept")("GET", "manifests/one").body == kept


def test_a_bucket_that_is_away_is_told_and_comes_back(hub, gate, bucket):
    client = root(hub.instance).client("ecr")
    data, layer = os.urandom(5000), os.urandom(6000)
    manifest = hub.image("one", [data])
    gate.shut()
    assert hub("GET", f"blobs/{sha256(data)}").refusal == (503, "UNAVAILABLE")
    place = hub.begin()
    assert hub.request("PATCH", place, layer).status == 202
    refused = hub.request("PUT", f"{place}?digest={sha256(layer)}", b"")
    assert refused.refusal == (503, "UNAVAILABLE") and "bucket does not answer" in refused.body.decode()
    upload = client.initiate_layer_upload(repositoryName="far")["uploadId"]
    client.upload_layer_part(repositoryName="far", uploadId=upload, partFirstByte=0, partLastByte=3999, layerPartBlob=layer[:4000])
    with pytest.raises(botocore.exceptions.ClientError, match="ServiceUnavailable.*The registry's bucket does not answer"):
        client.complete_layer_upload(repositoryName="far", uploadId=upload, layerDigests=[sha256(layer[:4000])])
    assert hub.put(manifest.replace(b"{", b"{ ", 1), "two").refusal == (503, "UNAVAILABLE")
    # The rest goes on: what is in memory is read, and the control plane answers.
    assert hub("GET", "manifests/one").body == manifest
    assert hub.instance.http("/readyz")[0] == 200
    assert client.describe_images(repositoryName="far")["imageDetails"][0]["imageTags"] == ["one"]
    gate.open()
    assert hub("GET", f"blobs/{sha256(data)}").body == data
    # What had come need not come again.
    assert hub.request("PUT", f"{place}?digest={sha256(layer)}", b"").status == 201
    client.complete_layer_upload(repositoryName="far", uploadId=upload, layerDigests=[sha256(layer[:4000])])
    assert hub("GET", f"blobs/{sha256(layer)}").body == layer
    assert bucket.has(sha256(layer[:4000]))


def test_a_layer_that_breaks_off_between_its_parts_is_not_there(hub, gate, bucket):
    data = os.urandom(3 * PART)
    place = hub.begin()
    assert hub.request("PATCH", place, data).status == 202
    gate.shut_after(PART + PART // 2)
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", b"").refusal == (503, "UNAVAILABLE")
    assert not bucket.has(sha256(data))
    gate.open()
    assert hub("HEAD", f"blobs/{sha256(data)}").status == 404
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", b"").status == 201
    assert hub("GET", f"blobs/{sha256(data)}").body == data


def test_what_a_killed_process_sent_of_a_layer_goes_from_the_bucket(hub, gate, bucket):
    data = os.urandom(3 * PART)
    place = hub.begin()
    assert hub.request("PATCH", place, data).status == 202
    # It breaks off between its parts, and nobody can be told.
    gate.shut_after(PART + PART // 2)
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", b"").refusal == (503, "UNAVAILABLE")
    assert len(bucket.half()) == 1
    hub.instance.kill()
    gate.open()
    hub.instance.start()
    eventually(lambda: bucket.half() == [])
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", b"").status == 201
    assert hub("GET", f"blobs/{sha256(data)}").body == data
    assert list((hub.instance.data_dir / "registry" / "parts").iterdir()) == []


def test_a_bucket_that_is_none_is_told(fresh, moto, name):
    env = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{moto}",
           "AWS_ALLOW_HTTP": "true"}
    instance = fresh("--engine", "simulated", "--registry-url", f"s3://{name}", env=env)
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="far")
    hub, data = Hub(instance, "far", token_of(client)), os.urandom(1000)
    assert hub("POST", f"blobs/uploads/?digest={sha256(data)}", data).refusal == (503, "UNAVAILABLE")
    assert "NoSuchBucket" in instance.log_text()
