"""Repositories that are encrypted by a key of KMS: nothing of an image lies in clear, and without its key nobody has it."""

import http.client
import json
import os
import random
import uuid

import pytest
from account import eventually, unique, why
from botocore.exceptions import ClientError
from disk import content, files
from ecr import HOST, digest, host, push, repository, skopeo
from ecr import token as login_of
from hub import Hub, churn, sha256, token_of
from hub import hub, token  # noqa: F401
from picture import busybox, entry, layer, write
from test_ecr_tasks import PULL, ended
from test_identity import allow, root
from test_scan import debian, import_advisories, scan_of
from test_scan import push as push_files
from test_task_roles import lending

LARGE = 700_000
DISABLED = "The repository's key cannot be used: arn:aws:kms:us-east-1:"


@pytest.fixture(scope="module")
def alone():
    """An instance whose files are those of these tests."""
    from conftest import Instance
    instance = Instance("--engine", "simulated").start()
    yield instance
    instance.remove()


def key(instance):
    return root(instance).client("kms").create_key()["KeyMetadata"]["Arn"]


def encrypted(instance, of=None, name=None, kind="KMS", **fields):
    """A client of a new repository that is encrypted, and its key."""
    of = of or key(instance)
    client, name = root(instance).client("ecr"), name or f"team/{unique()}"
    made = client.create_repository(
        repositoryName=name, encryptionConfiguration={"encryptionType": kind, "kmsKey": of}, **fields)["repository"]
    assert made["encryptionConfiguration"] == {"encryptionType": kind, "kmsKey": of}
    return Hub(instance, name, token_of(client)), of


def lies(instance, *wanted, below=None):
    """Which of these bytes are in any file of the instance."""
    texts = [content(path) for path in files(below or instance.data_dir)]
    return {one for one in wanted if any(one in text for text in texts)}


def samples(data):
    return [data[at:at + 24] for at in range(0, len(data) - 24, len(data) // 7)]


def sealed(instance):
    """The digests of what lies sealed, of all repositories."""
    return {f"{path.parent.parent.name}:{path.name}" for path in files(instance.data_dir / "registry/sealed")}


@pytest.mark.parametrize("kind", ["KMS", "KMS_DSSE"])
def test_nothing_of_an_image_lies_in_clear(alone, tmp_path, kind):
    """By skopeo, layers and manifests; what is looked for is found where nothing is encrypted."""
    mark = os.urandom(LARGE)
    archive = write(tmp_path / "image.tar", [layer(entry("mark", content=mark))], {"Labels": {"m": uuid.uuid4().hex}})
    closed, _ = encrypted(alone, kind=kind)
    pushed = push(alone, archive, f"{closed.name}:1")
    manifest = closed("GET", f"manifests/{pushed}").body
    [blob] = json.loads(manifest)["layers"]
    data = closed("GET", f"blobs/{blob['digest']}").body
    assert sha256(data) == blob["digest"] and len(data) >= LARGE
    registry = alone.data_dir / "registry"
    assert lies(alone, *samples(data)) == set() and lies(alone, manifest, below=registry) == set()
    assert {pushed, blob["digest"]} <= sealed(alone)
    out = tmp_path / "out"
    skopeo("copy", "--quiet", "--src-tls-verify=false", "--src-creds", login_of(root(alone).client("ecr")),
           f"docker://{host(alone)}/{closed.name}:1", f"dir:{out}")
    assert (out / blob["digest"][7:]).read_bytes() == data
    open_one = repository(alone)
    assert push(alone, archive, f"{open_one}:1") == pushed
    assert lies(alone, *samples(data)) == set(samples(data)) and lies(alone, manifest, below=registry)


def test_parts_of_a_sealed_layer_are_read(alone):
    one, _ = encrypted(alone)
    data = random.randbytes(LARGE)
    one.push(data)
    for first, last in [(0, 0), (65_507, 65_508), (70_000, 400_000), (LARGE - 1, LARGE + 9)]:
        part = one("GET", f"blobs/{sha256(data)}", Range=f"bytes={first}-{last}")
        assert (part.status, part.body) == (206, data[first:last + 1]), (first, last)
    assert one("GET", f"blobs/{sha256(data)}", Range=f"bytes={LARGE}-").status == 416
    assert one("HEAD", f"blobs/{sha256(data)}").headers["Content-Length"] == str(LARGE)
    url = root(alone).client("ecr").get_download_url_for_layer(repositoryName=one.name, layerDigest=sha256(data))["downloadUrl"]
    assert alone.http(url.removeprefix(alone.endpoint))[1] == data
    one.push(b"")
    assert one("GET", f"blobs/{sha256(b'')}").body == b""


def refused(act, **fields):
    """The code of KMS that a call is refused with."""
    with pytest.raises(ClientError) as error:
        act(**fields)
    assert error.value.response["Error"]["Code"] == "KmsException", error.value
    assert error.value.response["Error"]["Message"].startswith(DISABLED), error.value
    return error.value.response["kmsError"]


def check_refused(one, ecr, manifest, data, url, code):
    """Neither face of the registry gives or takes anything."""
    name, tag = one.name, {"imageTag": "it"}
    got = ecr.batch_get_image(repositoryName=name, imageIds=[tag])
    assert [failure["failureCode"] for failure in got["failures"]] == ["KmsError"] and not got["images"]
    assert got["failures"][0]["failureReason"].startswith(DISABLED)
    assert refused(ecr.get_download_url_for_layer, repositoryName=name, layerDigest=sha256(data)) == code
    assert refused(ecr.initiate_layer_upload, repositoryName=name) == code
    assert refused(ecr.put_image, repositoryName=name, imageManifest=manifest.decode(), imageTag="new") == code
    for answer in [one("GET", "manifests/it"), one("GET", f"manifests/{sha256(manifest)}"),
                   one("GET", f"blobs/{sha256(data)}"), one("POST", "blobs/uploads/", b""), one.put(manifest, "new")]:
        assert answer.refusal == (403, "DENIED"), answer.body
        assert answer.json()["errors"][0]["message"].startswith(DISABLED)
    assert one.instance.http(url)[0] == 403
    # What is known of it is told.
    assert ecr.describe_images(repositoryName=name)["imageDetails"][0]["imageDigest"] == sha256(manifest)
    assert one("HEAD", "manifests/it").status == 403


def test_without_its_key_an_image_is_neither_pushed_nor_pulled(alone, tmp_path):
    one, of = encrypted(alone)
    client = root(alone)
    kms, ecr = client.client("kms"), client.client("ecr")
    data = random.randbytes(5000)
    manifest = one.image("it", [data])
    url = ecr.get_download_url_for_layer(repositoryName=one.name, layerDigest=sha256(data))["downloadUrl"]
    url = url.removeprefix(alone.endpoint)
    place = one.begin()
    assert one.request("PATCH", place, data[:1000]).status == 202

    def check_works():
        assert one("GET", "manifests/it").body == manifest
        assert one("GET", f"blobs/{sha256(data)}").body == data and alone.http(url)[1] == data
        assert ecr.batch_get_image(repositoryName=one.name, imageIds=[{"imageTag": "it"}])["images"]

    check_works()
    kms.disable_key(KeyId=of)
    check_refused(one, ecr, manifest, data, url, "DisabledException")
    assert one.request("PATCH", place, data[1000:]).refusal == (403, "DENIED")
    login = login_of(ecr)
    failed = skopeo("copy", "--src-tls-verify=false", "--src-creds", login, f"docker://{host(alone)}/{one.name}:it",
                    f"dir:{tmp_path}/out", check=False)
    assert failed.returncode != 0 and "is disabled" in failed.stderr, failed.stderr
    kms.enable_key(KeyId=of)
    check_works()
    kms.schedule_key_deletion(KeyId=of, PendingWindowInDays=7)
    check_refused(one, ecr, manifest, data, url, "KMSInvalidStateException")
    kms.cancel_key_deletion(KeyId=of)
    check_refused(one, ecr, manifest, data, url, "DisabledException")
    kms.enable_key(KeyId=of)
    check_works()
    kms.rotate_key_on_demand(KeyId=of)
    check_works()
    assert one.request("PUT", f"{place}?digest={sha256(data)}", data[1000:]).status == 201
    # What it takes no bytes for is done without the key as well.
    kms.disable_key(KeyId=of)
    assert one("DELETE", "manifests/it").status == 202
    ecr.delete_repository(repositoryName=one.name, force=True)
    eventually(lambda: sha256(data) not in sealed(alone))


def test_an_upload_that_a_kill_broke_off_is_resumed_and_sealed_throughout(fresh):
    instance = fresh("--engine", "simulated")
    one, _ = encrypted(instance)
    manifest, data = one.image("it"), random.randbytes(2_000_000)
    place = one.begin()
    assert one.request("PATCH", place, data[:1_500_000]).status == 202
    assert lies(instance, *samples(data)) == set()
    instance.kill()
    assert lies(instance, *samples(data)) == set()
    instance.start()
    one.line = None
    assert one("GET", "manifests/it").body == manifest
    assert one.request("GET", place).headers["Range"] == "0-1499999"
    assert one.request("PATCH", place, data[1_500_000:1_600_000]).headers["Range"] == "0-1599999"
    assert one.request("PUT", f"{place}?digest={sha256(data)}", data[1_600_000:]).status == 201
    assert one("GET", f"blobs/{sha256(data)}").body == data
    assert lies(instance, *samples(data)) == set()


def test_changed_bytes_are_not_served(fresh):
    instance = fresh("--engine", "simulated")
    one, of = encrypted(instance)
    other, _ = encrypted(instance, of)
    data, twin = random.randbytes(300_000), random.randbytes(300_000)
    for layer_of in (data, twin):
        one.push(layer_of)
    other.push(data)
    paths = {path.name: path for path in files(instance.data_dir / "registry/sealed")
             if path.parts[-4] != sealed_id(instance, other, data)}
    here, there = paths[sha256(data)[7:]], paths[sha256(twin)[7:]]
    kept = here.read_bytes()
    for forged in [there.read_bytes(), kept[:-1], kept[:200_000], kept + b"x", b""]:
        here.write_bytes(forged)
        assert one("GET", f"blobs/{sha256(data)}").status == 500
    here.write_bytes(kept[:150_000] + bytes([kept[150_000] ^ 1]) + kept[150_001:])
    assert one("GET", f"blobs/{sha256(data)}", Range="bytes=0-9999").body == data[:10_000]
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        assert one("GET", f"blobs/{sha256(data)}").body == data
    one.line = None
    here.write_bytes(kept)
    assert one("GET", f"blobs/{sha256(data)}").body == data and other("GET", f"blobs/{sha256(data)}").body == data


def sealed_id(instance, one, data):
    """The directory of a repository, whose layer another has too: that which was made last."""
    rooms = sorted((instance.data_dir / "registry/sealed").iterdir(), key=lambda path: path.stat().st_ctime_ns)
    assert all((room / "sha256" / sha256(data)[7:9] / sha256(data)[7:]).exists() for room in rooms), rooms
    return rooms[-1].name


def test_layers_are_not_mounted_from_one_key_to_another(alone):
    of = key(alone)
    one, _ = encrypted(alone, of)
    other, _ = encrypted(alone, of)
    plain = Hub(alone, repository(alone), one.token)
    data = random.randbytes(9000)
    one.push(data)
    plain_data = random.randbytes(9000)
    plain.push(plain_data)
    for to, source, blob in [(other, one, data), (plain, one, data), (one, plain, plain_data)]:
        answer = to("POST", f"blobs/uploads/?mount={sha256(blob)}&from={source.name}", b"")
        assert answer.status == 202 and "/blobs/uploads/" in answer.headers["Location"], answer.body
        # The client sends it then.
        assert to.request("PUT", f"{answer.headers['Location']}?digest={sha256(blob)}", blob).status == 201
        assert to("GET", f"blobs/{sha256(blob)}").body == blob
    again = one("POST", f"blobs/uploads/?mount={sha256(data)}&from={one.name}", b"")
    assert again.status == 201


def test_sealed_bytes_go_with_what_held_them_and_no_sooner(fresh):
    """The same image in three repositories, two of them under one key: each has bytes of its own."""
    instance = fresh("--engine", "simulated")
    one, of = encrypted(instance, name="one")
    two, _ = encrypted(instance, of, name="two")
    plain = Hub(instance, repository(instance, "plain"), one.token)
    data = random.randbytes(5000)
    manifest = one.image("it", [data])
    config = one("GET", f"blobs/{json.loads(manifest)['config']['digest']}").body
    for hub_of in (two, plain):
        hub_of.push(data), hub_of.push(config)
        assert hub_of.put(manifest, "it").status == 201

    def count():
        registry = instance.data_dir / "registry"
        names = {sha256(data)[7:], sha256(manifest)[7:]}
        return tuple(len([path for path in files(registry / below) if path.name in names]) for below in ("sealed", "blobs"))

    assert count() == (4, 2)
    for number, (hub_of, left) in enumerate([(plain, (4, 0)), (one, (2, 0)), (two, (0, 0))]):
        assert hub_of("DELETE", f"manifests/{sha256(manifest)}").status == 202
        assert hub_of("DELETE", f"blobs/{sha256(data)}").status == 202
        eventually(lambda: count() == left)
        for rest in [plain, one, two][number + 1:]:
            assert rest("GET", "manifests/it").body == manifest and rest("GET", f"blobs/{sha256(data)}").body == data
    # What a process left behind goes at the next start; and of a repository that is gone, its directory too.
    ecr = root(instance).client("ecr")
    for name in ("one", "two"):
        two_data = random.randbytes(100)
        one.of(name).push(two_data)
    instance.kill()
    [room, *_] = (instance.data_dir / "registry/sealed").iterdir()
    (room / "sha256/00").mkdir(exist_ok=True)
    lost = room / "sha256/00" / ("00" + "1" * 62)
    lost.write_bytes(b"lost")
    instance.start()
    eventually(lambda: not lost.exists())
    for name in ("one", "two"):
        ecr.delete_repository(repositoryName=name, force=True)
    eventually(lambda: sealed(instance) == set())
    instance.kill()
    instance.start()
    eventually(lambda: list((instance.data_dir / "registry/sealed").iterdir()) == [])


def test_a_repository_made_again_has_nothing_of_the_one_before(alone):
    one, of = encrypted(alone)
    ecr, data = root(alone).client("ecr"), random.randbytes(1000)
    manifest = one.image("it", [data])
    place = one.begin()
    ecr.delete_repository(repositoryName=one.name, force=True)
    encrypted(alone, of, name=one.name)
    for path in ("manifests/it", f"blobs/{sha256(data)}"):
        assert one("GET", path).status == 404
    assert one.request("PUT", f"{place}?digest={sha256(data)}", data).refusal == (404, "BLOB_UPLOAD_UNKNOWN")
    one.push(data)
    assert one.put(manifest, "it").refusal == (400, "MANIFEST_BLOB_UNKNOWN")


def test_sealed_bytes_may_lie_in_a_bucket(fresh, tmp_path):
    instance = fresh("--engine", "simulated", "--registry-url", f"file://{tmp_path}/images")
    one, of = encrypted(instance)
    data = random.randbytes(9_000_000)
    manifest = one.image("it", [data])

    def there():
        return {path.name for path in files(tmp_path / "images/sealed")}

    assert {sha256(data)[7:], sha256(manifest)[7:]} <= there()
    assert lies(instance, *samples(data)) == lies(instance, manifest, *samples(data), below=tmp_path / "images") == set()
    assert one("GET", f"blobs/{sha256(data)}").body == data
    assert one("GET", f"blobs/{sha256(data)}", Range="bytes=5000000-5000009").body == data[5_000_000:5_000_010]
    kms = root(instance).client("kms")
    kms.disable_key(KeyId=of)
    assert one("GET", f"blobs/{sha256(data)}").refusal == (403, "DENIED")
    kms.enable_key(KeyId=of)
    instance.kill()
    instance.start()
    one.line = None
    assert one("GET", "manifests/it").body == manifest
    assert one("DELETE", f"manifests/{sha256(manifest)}").status == 202
    assert one("DELETE", f"blobs/{sha256(data)}").status == 202
    eventually(lambda: not {sha256(data)[7:], sha256(manifest)[7:]} & there())


def test_a_sealed_image_is_scanned_with_its_key_alone(fresh):
    instance = fresh("--engine", "simulated")
    from test_scan_db import advisory
    import_advisories(instance, advisory("CVE-2024-1", "bash", "5.2-2"))
    one, of = encrypted(instance)
    client = root(instance)
    ecr, kms, image = client.client("ecr"), client.client("kms"), {"imageTag": "latest"}
    push_files(ecr, one.name, debian([("bash", "5.2-1")]))

    def scanned():
        ecr.start_image_scan(repositoryName=one.name, imageId=image)
        return scan_of(ecr, one.name)

    found = scanned()
    assert [finding["name"] for finding in found["imageScanFindings"]["findings"]] == ["CVE-2024-1"]
    assert lies(instance, b"CVE-2024-1", below=instance.data_dir / "registry") == set()
    kms.disable_key(KeyId=of)
    assert refused(ecr.describe_image_scan_findings, repositoryName=one.name, imageId=image) == "DisabledException"
    ecr.start_image_scan(repositoryName=one.name, imageId=image)

    def status():
        return ecr.describe_images(repositoryName=one.name)["imageDetails"][0]["imageScanStatus"]

    eventually(lambda: status()["status"] == "FAILED")
    assert status()["description"].startswith(DISABLED), status()
    kms.enable_key(KeyId=of)
    assert [finding["name"] for finding in scanned()["imageScanFindings"]["findings"]] == ["CVE-2024-1"]


def test_repositories_under_different_keys_lose_nothing_to_each_other(strict, hub):
    """Two that are encrypted and two that are not share bytes: each pushes, pulls whole and deletes."""
    of, names = key(strict), [f"{hub.name}/{number}" for number in range(4)]
    for name in names[:2]:
        encrypted(strict, of, name=name)
    for name in names[2:]:
        repository(strict, name)
    churn([hub.of(name) for name in names], [random.randbytes(70_000) for _ in range(4)])


def test_a_task_pulls_a_sealed_image_while_its_key_may_be_used(real, tmp_path):
    one, of = encrypted(real)
    archive = write(tmp_path / "own.tar", [layer(*busybox(), entry("mark", content=unique().encode()))], {})
    pushed = push(real, archive, f"{one.name}:1")
    role, account, kms = lending(real, allow(*PULL)), real.account(), root(real).client("kms")
    image = f"{HOST}.localhost:{real.port}/{one.name}:1"
    # The second time the node has the image.
    for _ in range(2):
        kms.disable_key(KeyId=of)
        task = ended(account, image, role)
        assert task["stopCode"] == "TaskFailedToStart", why(task)
        assert task["stoppedReason"].startswith("CannotPullContainerError") and f"{of} is disabled" in task["stoppedReason"]
        kms.enable_key(KeyId=of)
        task = ended(account, image, role)
        assert (task["containers"][0].get("exitCode"), task["containers"][0]["imageDigest"]) == (0, pushed), why(task)
    assert digest(real, f"{one.name}:1") == pushed
