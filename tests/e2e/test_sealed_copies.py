"""Images that come from an upstream registry into repositories that KMS encrypts, and that are replicated out of them."""

import random

import pytest
import test_pull_through as through
from account import eventually
from hub import Hub, sha256, token_of
from test_ecr_replication import HERE, SOURCE, pair  # noqa: F401
from test_identity import root
from test_pull_through import cached, ecr, far, honest, hub, known, prefix, pulled, upstream  # noqa: F401
from test_sealed_images import DISABLED, LARGE, lies, samples, sealed


@pytest.fixture
def of(cached, ecr, prefix):  # noqa: F811
    """The key of all repositories that a pull makes below the prefix."""
    of = root(cached).client("kms").create_key()["KeyMetadata"]["Arn"]
    ecr.create_repository_creation_template(
        prefix=prefix, appliedFor=["PULL_THROUGH_CACHE"], encryptionConfiguration={"encryptionType": "KMS", "kmsKey": of})
    yield of
    ecr.delete_repository_creation_template(prefix=prefix)


def test_what_is_fetched_is_sealed_and_not_had_without_the_key(cached, upstream, ecr, hub, of):  # noqa: F811
    data, kms = random.randbytes(LARGE), root(cached).client("kms")
    manifest = upstream.push(far(hub), "v1", layers=[data])
    pulled(hub, manifest, "v1")
    eventually(lambda: known(ecr, hub) == {sha256(manifest): ["v1"]})
    [made] = ecr.describe_repositories(repositoryNames=[hub.name])["repositories"]
    assert made["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": of}
    pulled(hub, manifest, "v1")
    assert upstream.fetched(sha256(data)) == 1
    assert {sha256(data), sha256(manifest)} <= sealed(cached)
    assert lies(cached, manifest, *samples(data), below=cached.data_dir / "registry") == set()
    fresh = random.randbytes(1000)
    another = upstream.push(far(hub), "v2", layers=[fresh])
    kms.disable_key(KeyId=of)
    for path in ("manifests/v1", f"blobs/{sha256(data)}", "manifests/v2", f"blobs/{sha256(fresh)}"):
        answer = hub("GET", path)
        assert answer.refusal == (403, "DENIED"), (path, answer.body)
        assert answer.json()["errors"][0]["message"].startswith(DISABLED), path
    assert upstream.fetched(sha256(fresh)) == 0
    kms.enable_key(KeyId=of)
    pulled(hub, manifest, "v1")
    pulled(hub, another, "v2")


def test_a_layer_that_is_sealed_is_read_while_it_comes(upstream, hub, of):  # noqa: F811
    through.test_a_layer_is_read_while_it_comes(upstream, hub)


def test_an_image_that_is_sealed_is_replicated_while_its_key_may_be_used(pair):  # noqa: F811
    kms, name = pair.source.client("kms"), f"closed/{random.randrange(10**9)}"
    of = kms.create_key()["KeyMetadata"]["Arn"]
    assert f":{HERE}:{SOURCE}:" in of
    pair.follow(name)
    pair.near.create_repository(repositoryName=name, encryptionConfiguration={"encryptionType": "KMS", "kmsKey": of})
    hub_of, data = Hub(pair.source, name, token_of(pair.near)), random.randbytes(LARGE)
    first = hub_of.image("first", [data])
    pair.complete(name, first)
    pair.target.stop()
    second = hub_of.image("second", [random.randbytes(1000)])
    kms.disable_key(KeyId=of)
    pair.target.start()
    eventually(lambda: f"The repository's key cannot be used: {of} is disabled" in pair.source.log_text())
    [status] = pair.statuses(name, sha256(second))
    assert status["status"] == "IN_PROGRESS" and sha256(second) not in pair.digests(name)
    kms.enable_key(KeyId=of)
    pair.complete(name, second)
    assert pair.far_hub(name)("GET", f"blobs/{sha256(data)}").body == data
    assert pair.tags(name) == {"first": sha256(first), "second": sha256(second)}
