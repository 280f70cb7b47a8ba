"""The pull-through cache in front of Debian's docker-registry, which wants a login: by skopeo, by docker and by tasks, also when
the upstream is gone.
"""

import json
import subprocess

import pytest
from account import eventually, unique, why
from conftest import ROOM, Instance
from ecr import HOST, host, skopeo, token
from test_registry_clients import docker  # noqa: F401
from test_ecr_tasks import PULL, ended
from test_identity import allow, root
from test_images import Registry
from test_private_registry import HTPASSWD, PASSWORD
from test_task_roles import lending

IMPORT = [*PULL, "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("upstream"), f"puller:{PASSWORD}", HTPASSWD)
    yield registry
    registry.end()


@pytest.fixture(scope="module")
def cached(guarded):
    instance = Instance(*ROOM, "--upstream-registry", f"debian.test=http://{guarded.host}").start()
    text = json.dumps({"username": "puller", "accessToken": PASSWORD})
    client = root(instance).client("secretsmanager")
    secret = client.create_secret(Name="ecr-pullthroughcache/debian", SecretString=text)["ARN"]
    root(instance).client("ecr").create_pull_through_cache_rule(
        ecrRepositoryPrefix="debian", upstreamRegistryUrl="debian.test", credentialArn=secret)
    yield instance
    instance.remove()


def there(cached, name):
    """Whether `repository:tag` is here for good."""
    repository, tag = name.split(":")
    tags = root(cached).client("ecr").list_images(repositoryName=repository)["imageIds"]
    return tag in [one.get("imageTag") for one in tags]


def test_skopeo_pulls_what_nobody_has_pulled(cached, guarded, tmp_path):
    name = f"team/{unique()}:1"
    digest = guarded.push("busybox.tar", name)
    login = token(root(cached).client("ecr"))
    skopeo("copy", "--quiet", "--src-tls-verify=false", "--src-creds", login,
           f"docker://{host(cached)}/debian/{name}", f"oci:{tmp_path}/image:1")
    [manifest] = json.loads((tmp_path / "image/index.json").read_text())["manifests"]
    assert manifest["digest"] == digest
    eventually(lambda: there(cached, f"debian/{name}"))
    missing = skopeo("inspect", "--tls-verify=false", "--creds", login, f"docker://{host(cached)}/debian/team/none:1", check=False)
    assert missing.returncode != 0 and "does not have team/none:1" in missing.stderr, missing.stderr
    assert PASSWORD not in cached.log_text()


def test_docker_pulls_what_nobody_has_pulled(cached, guarded, docker):  # noqa: F811
    name = f"team/{unique()}:1"
    digest = guarded.push("busybox.tar", name)
    password = token(root(cached).client("ecr")).removeprefix("AWS:")
    docker("login", "--username", "AWS", "--password-stdin", host(cached), input=password)
    assert digest in docker("pull", f"{host(cached)}/debian/{name}").stdout
    eventually(lambda: there(cached, f"debian/{name}"))
    docker("rmi", f"{host(cached)}/debian/{name}")
    docker("logout", host(cached))


def test_a_task_pulls_what_nobody_has_pulled_and_again_when_the_upstream_is_gone(cached, guarded):
    account, name = cached.account(), f"team/{unique()}:1"
    digest = guarded.push("busybox.tar", name)
    image = f"{HOST}.localhost:{cached.port}/debian/{name}"
    task = ended(account, image, lending(cached, allow(*PULL)))
    assert "is not authorized to perform: ecr:BatchImportUpstreamImage" in task["stoppedReason"], why(task)
    assert task["stoppedReason"].startswith("CannotPullContainerError"), why(task)
    role = lending(cached, allow(*IMPORT))
    task = ended(account, image, role)
    assert (task["containers"][0].get("exitCode"), task["containers"][0].get("imageDigest")) == (0, digest), why(task)
    eventually(lambda: there(cached, f"debian/{name}"))
    guarded.end()
    try:
        for reference in (image, f"{image.rsplit(':', 1)[0]}@{digest}"):
            task = ended(account, reference, lending(cached, allow(*IMPORT)))
            assert task["containers"][0].get("exitCode") == 0, why(task)
        task = ended(account, image.replace(":1", ":2"), role)
        assert "cannot be reached" in task["stoppedReason"], why(task)
    finally:
        again = guarded.process.args
        guarded.process = subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(guarded.is_up)
