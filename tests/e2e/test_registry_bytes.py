"""What stays in the registry and what goes: over `kill -9`, with its last holder, with its repository, on a disk and in a bucket."""

import http.client
import json
import os
import random
import time
import uuid

import pytest
from account import eventually
from conftest import Instance
from hub import Hub, churn, sha256, token_of
from hub import hub, token  # noqa: F401
from test_identity import ACCOUNT, root


def bytes_of(length):
    return random.randbytes(length)


def test_an_upload_and_images_outlast_a_kill(fresh):
    instance = fresh("--engine", "simulated")
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="kept")
    hub = Hub(instance, "kept", token_of(client))
    manifest, data = hub.image("one"), bytes_of(2_000_000)
    place = hub.begin()
    assert hub.request("PATCH", place, data[:1_500_000]).status == 202
    instance.kill()
    instance.start()
    hub.line = None
    assert hub("GET", "manifests/one").body == manifest
    for layer in json.loads(manifest)["layers"]:
        assert sha256(hub("GET", f"blobs/{layer['digest']}").body) == layer["digest"]
    assert hub.request("GET", place).headers["Range"] == "0-1499999"
    assert hub.request("PUT", f"{place}?digest={sha256(data)}", data[1_500_000:]).status == 201
    assert hub("GET", f"blobs/{sha256(data)}").body == data


def blobs_of(instance):
    return {f"{path.parent.parent.name}:{path.name}" for path in (instance.data_dir / "registry" / "blobs").glob("*/*/*")}


def test_bytes_go_with_the_last_that_holds_them(fresh):
    instance = fresh("--engine", "simulated")
    client = root(instance).client("ecr")
    for name in ("one", "two"):
        client.create_repository(repositoryName=name)
    one = Hub(instance, "one", token_of(client))
    two = one.of("two")
    shared, own = bytes_of(5000), bytes_of(5000)
    first = one.image("it", [shared, own])
    two.image("it", [shared])
    assert {sha256(shared), sha256(own), sha256(first)} <= blobs_of(instance)
    assert one("DELETE", f"manifests/{sha256(first)}").status == 202
    eventually(lambda: sha256(first) not in blobs_of(instance))
    for layer in (shared, own):
        assert one("DELETE", f"blobs/{sha256(layer)}").status == 202
    eventually(lambda: sha256(own) not in blobs_of(instance))
    assert sha256(shared) in blobs_of(instance)
    assert two("GET", f"blobs/{sha256(shared)}").body == shared


def test_uploads_go_with_their_repository(strict, hub):
    """One that waits and one that comes; the repository that is made again under the name sees neither."""
    client, coming, waiting = root(strict).client("ecr"), hub.begin(), hub.begin()
    assert hub.request("PATCH", waiting, b"some").status == 202
    places = [coming.rsplit("/", 1)[1], waiting.rsplit("/", 1)[1]]

    def files():
        return [path for path in (strict.data_dir / "registry" / "uploads").rglob("*") if path.name.endswith(tuple(places))]

    line = http.client.HTTPConnection("127.0.0.1", strict.port, timeout=60)
    line.putrequest("PATCH", coming)
    for header, value in [("Authorization", "Basic " + hub.token), ("Content-Length", "1000")]:
        line.putheader(header, value)
    line.endheaders(b"a" * 100)
    eventually(lambda: hub.request("GET", coming).status == 409)
    assert len(files()) == 2
    client.delete_repository(repositoryName=hub.name)
    client.create_repository(repositoryName=hub.name)
    for method, path in [("GET", waiting), ("PATCH", waiting), ("PUT", f"{waiting}?digest={sha256(b'some')}"), ("GET", coming)]:
        assert hub.request(method, path, b"").refusal == (404, "BLOB_UPLOAD_UNKNOWN"), (method, path)
    eventually(lambda: len(files()) == 1)
    line.send(b"a" * 900)
    line.getresponse().read()
    line.close()
    eventually(lambda: files() == [])
    for place in (coming, waiting):
        assert hub.request("GET", place).refusal == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_of_a_repository_that_is_gone_goes_at_the_start(fresh):
    instance = fresh("--engine", "simulated")
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="kept")
    place = Hub(instance, "kept", token_of(client)).begin()
    instance.kill()
    shelf = instance.data_dir / "registry" / "uploads" / ACCOUNT
    lost = shelf / f"{'0123456789abcdef' * 2}.{uuid.uuid4()}"
    lost.write_bytes(b"x")
    instance.start()
    eventually(lambda: not lost.exists())
    assert Hub(instance, "kept", token_of(client)).request("GET", place).status == 204


def test_bytes_that_a_killed_process_left_go(fresh):
    instance = fresh("--engine", "simulated")
    instance.kill()
    data = bytes_of(100)
    shelf = instance.data_dir / "registry" / "blobs" / "sha256" / sha256(data)[7:9]
    shelf.mkdir(exist_ok=True)
    (shelf / sha256(data)[7:]).write_bytes(data)
    instance.start()
    eventually(lambda: sha256(data) not in blobs_of(instance))


def test_a_shelf_that_cannot_be_read_does_not_keep_the_others(fresh):
    instance = fresh("--engine", "simulated")
    instance.kill()
    place, data = instance.data_dir / "registry" / "blobs" / "sha256", bytes_of(100)
    while sha256(data).startswith("sha256:00"):
        data = bytes_of(100)
    if (place / "00").exists():
        (place / "00").rmdir()
    (place / "00").write_bytes(b"no directory")
    shelf = place / sha256(data)[7:9]
    shelf.mkdir(exist_ok=True)
    (shelf / sha256(data)[7:]).write_bytes(data)
    instance.start()
    eventually(lambda: not (shelf / sha256(data)[7:]).exists())


def test_bytes_may_lie_in_a_bucket(fresh, tmp_path):
    instance = fresh("--engine", "simulated", "--registry-url", f"file://{tmp_path}/images")
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="far")
    hub, data = Hub(instance, "far", token_of(client)), bytes_of(9_000_000)
    manifest = hub.image("one", [data])
    def there():
        return {path.name for path in (tmp_path / "images" / "blobs").glob("*/*/*")}
    assert {sha256(data)[7:], sha256(manifest)[7:]} <= there() and blobs_of(instance) == set()
    assert hub("GET", f"blobs/{sha256(data)}").body == data
    assert hub("GET", f"blobs/{sha256(data)}", Range="bytes=5000000-5000009").body == data[5_000_000:5_000_010]
    instance.kill()
    instance.start()
    assert hub("GET", "manifests/one").body == manifest
    assert hub("DELETE", f"manifests/{sha256(manifest)}").status == 202
    assert hub("DELETE", f"blobs/{sha256(data)}").status == 202
    eventually(lambda: not {sha256(data)[7:], sha256(manifest)[7:]} & there())


def test_an_installation_with_other_records_leaves_a_bucket_alone(fresh, tmp_path):
    options = ("--engine", "simulated", "--registry-url", f"file://{tmp_path}/images")
    instance = fresh(*options)
    client = root(instance).client("ecr")
    client.create_repository(repositoryName="far")
    hub = Hub(instance, "far", token_of(client))
    manifest = hub.image("one")

    def there():
        return {path: path.read_bytes() for path in (tmp_path / "images").rglob("*") if path.is_file()}

    before = there()
    day_ago = time.time() - 25 * 3600
    for path in before:
        os.utime(path, (day_ago, day_ago))
    other = Instance(*options)
    try:
        with pytest.raises(RuntimeError, match="give it a prefix of its own"):
            other.start()
    finally:
        other.remove()
    # Not even its own records, when they are lost, speak against it.
    instance.kill()
    for path in instance.data_dir.glob("state.db*"):
        path.unlink()
    with pytest.raises(RuntimeError, match="give it a prefix of its own"):
        instance.start()
    assert there() == before and sha256(manifest)[7:] in {path.name for path in before}


def test_pushes_and_deletes_at_once_lose_nothing(strict, hub):
    """Repositories that share bytes: each pushes, pulls whole and deletes, and never lacks what another let go."""
    hubs = [hub.of(f"{hub.name}/{number}") for number in range(4)]
    for one in hubs:
        root(strict).client("ecr").create_repository(repositoryName=one.name)
    churn(hubs, [bytes_of(2000) for _ in range(4)])
