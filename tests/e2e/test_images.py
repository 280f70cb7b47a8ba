"""Images: the subcommands of `longshore image`, and pulls from a real registry on loopback."""

import base64
import hashlib
import io
import json
import re
import subprocess
import tarfile
import urllib.request

import pytest

from account import container, eventually, unique, why
from conftest import IMAGES, free_port

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {directory}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


class Registry:
    """Debian's docker-registry with what is pushed to it. `login` is `user:password`, and `htpasswd` its line for it."""

    def __init__(self, directory, login=None, htpasswd=None):
        self.port, self.login = free_port(), login
        config = directory / "config.yml"
        text = CONFIG.format(directory=directory / "store", port=self.port)
        if htpasswd:
            (directory / "htpasswd").write_text(htpasswd)
            text += f"auth: {{htpasswd: {{realm: e2e, path: {directory / 'htpasswd'}}}}}\n"
        config.write_text(text)
        with open(directory / "registry.log", "w") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
        eventually(self.is_up)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def request(self, path, **headers):
        if self.login:
            headers["Authorization"] = "Basic " + base64.b64encode(self.login.encode()).decode()
        return urllib.request.urlopen(urllib.request.Request(f"http://{self.host}{path}", headers=headers), timeout=30)

    def is_up(self):
        try:
            return self.request("/v2/").status == 200
        except OSError:
            return False

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=120)

    def push(self, archive, name):
        """The digest of the image under its new name."""
        subprocess.run(
            ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false",
             *(["--dest-creds", self.login] if self.login else []), f"oci-archive:{IMAGES / archive}", f"docker://{self.host}/{name}"],
            check=True, capture_output=True,
        )
        repository, tag = name.split(":")
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        with self.request(f"/v2/{repository}/manifests/{tag}", **accept) as answer:
            return answer.headers["Docker-Content-Digest"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.end()


@pytest.fixture(scope="module")
def account(real):
    return real.account()


def run(account, image, **fields):
    """A task of the image, once it has run to its end."""
    cluster = account.cluster()
    definition = account.define(container(image=image, command=["true"], **fields))
    arn = account.run(cluster, definition)[0]["taskArn"]
    return account.until(cluster, arn, "STOPPED")


def test_an_image_is_pulled_by_tag_and_by_digest(account, registry):
    digest = registry.push("busybox.tar", "team/box:1")
    for image in (f"{registry.host}/team/box:1", f"{registry.host}/team/box@{digest}"):
        task = run(account, image)
        one = task["containers"][0]
        assert (one.get("exitCode"), one.get("imageDigest"), one["image"]) == (0, digest, image), why(task)
        assert task["pullStartedAt"] <= task["pullStoppedAt"] <= task["startedAt"]


def test_what_the_registry_does_not_have_is_a_pull_error(account, registry):
    registry.push("busybox.tar", "team/box:1")
    for image in ("team/box:nowhere", "team/nobody:1", "team/box@sha256:" + "0" * 64):
        task = run(account, f"{registry.host}/{image}")
        assert task["stopCode"] == "TaskFailedToStart", why(task)
        assert task["stoppedReason"].startswith("CannotPullContainerError: "), why(task)
        assert "not found" in task["stoppedReason"].lower(), why(task)


def test_many_tasks_share_one_pull(account, registry):
    name = f"team/{unique()}:1"
    registry.push("busybox.tar", name)
    cluster = account.cluster()
    definition = account.define(container(image=f"{registry.host}/{name}", command=["true"]))
    for task in account.run(cluster, definition, count=8):
        ended = account.until(cluster, task["taskArn"], "STOPPED")
        assert ended["containers"][0].get("exitCode") == 0, why(ended)


def remade(archive, file, mark):
    """The archive's image with a label more: another image, that runs alike."""
    blobs = {}
    with tarfile.open(IMAGES / archive) as source:
        members = {member.name.removeprefix("./"): source.extractfile(member).read()
                   for member in source.getmembers() if member.isfile()}

    def put(document):
        content = json.dumps(document).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def blob(descriptor):
        return json.loads(members["blobs/sha256/" + descriptor["digest"].split(":")[1]])

    index = json.loads(members["index.json"])
    manifest = blob(index["manifests"][0])
    config = blob(manifest["config"])
    config.setdefault("config", {}).setdefault("Labels", {})["mark"] = mark
    manifest["config"] |= put(config)
    index["manifests"][0] |= put(manifest)
    with tarfile.open(file, "w") as target:
        for name, content in (members | blobs | {"index.json": json.dumps(index).encode()}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return file


def digests(account, cluster, name):
    """Digests of the service's running tasks, by task."""
    arns = account.tasks(cluster, serviceName=name)
    tasks = account.ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []
    return {task["taskArn"]: task["containers"][0]["imageDigest"] for task in tasks if task["lastStatus"] == "RUNNING"}


@pytest.mark.parametrize("consistency", ["enabled", "disabled"])
def test_a_deployment_keeps_to_what_its_first_task_ran(account, registry, tmp_path, consistency):
    repository = f"team/{unique()}:latest"
    image = f"{registry.host}/{repository}"
    first = registry.push("busybox.tar", repository)
    cluster = account.cluster()
    sleeper = container(image=image, command=["sleep", "600"], stopTimeout=2, versionConsistency=consistency)
    name = account.serve(cluster, account.define(sleeper), desiredCount=1,
                         deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 100})
    account.until_steady(cluster, name)
    assert list(digests(account, cluster, name).values()) == [first]
    second = registry.push(remade("busybox.tar", tmp_path / "second.tar", "2"), repository)
    assert second != first
    before = set(digests(account, cluster, name))
    account.ecs.update_service(cluster=cluster, service=name, desiredCount=2)
    account.until_steady(cluster, name)
    added = {arn: digest for arn, digest in digests(account, cluster, name).items() if arn not in before}
    assert list(added.values()) == [first if consistency == "enabled" else second]
    shown = account.task(cluster, next(iter(added)))["containers"][0]["image"]
    assert shown == image, "the tag is what is shown"
    account.ecs.update_service(cluster=cluster, service=name, forceNewDeployment=True)
    eventually(lambda: (now := digests(account, cluster, name)) and len(now) == 2 and set(now.values()) == {second})
    account.ecs.delete_service(cluster=cluster, service=name, force=True)


def test_a_rollback_brings_back_what_ran_before_the_tag_moved(account, registry, tmp_path):
    repository, family = f"team/{unique()}", unique()
    first = registry.push("busybox.tar", f"{repository}:latest")
    cluster = account.cluster()

    def sleeper(tag):
        return container(image=f"{registry.host}/{repository}:{tag}", command=["sleep", "600"], stopTimeout=2)

    good, missing = [account.define(sleeper(tag), family=family) for tag in ("latest", "nowhere")]
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 1}}
    name = account.serve(cluster, good, deploymentConfiguration={
        "deploymentCircuitBreaker": breaker, "minimumHealthyPercent": 0, "maximumPercent": 100})
    old = account.until_steady(cluster, name)["deployments"][0]["id"]
    registry.push(remade("busybox.tar", tmp_path / "second.tar", "2"), f"{repository}:latest")
    account.ecs.update_service(cluster=cluster, service=name, taskDefinition=missing)
    told = f"(service {name}) rolling back to deployment {old}."
    eventually(lambda: told in [event["message"] for event in account.service(cluster, name)["events"]])
    eventually(lambda: list(digests(account, cluster, name).values()) == [first])
    service = account.until_steady(cluster, name)
    assert service["taskDefinition"].endswith(good) and service["deployments"][0]["id"] == old
    account.ecs.delete_service(cluster=cluster, service=name, force=True)


def test_a_deployment_keeps_to_an_imported_image(real, account, tmp_path):
    name = f"kept:{unique()}"
    imported = real.command("image", "import", str(IMAGES / "busybox.tar"), "--tag", name)
    first = imported.stdout.split()[1]
    cluster = account.cluster()
    sleeper = container(image=name, command=["sleep", "600"], stopTimeout=2)
    service = account.serve(cluster, account.define(sleeper))
    account.until_steady(cluster, service)
    other = real.command("image", "import", str(remade("busybox.tar", tmp_path / "other.tar", name)), "--tag", name)
    assert other.returncode == 0 and other.stdout.split()[1] != first, other.stderr
    account.ecs.update_service(cluster=cluster, service=service, desiredCount=2)
    account.until_steady(cluster, service)
    assert list(digests(account, cluster, service).values()) == [first, first]
    account.ecs.delete_service(cluster=cluster, service=service, force=True)


def rows(real):
    listed = real.command("image", "list")
    assert listed.returncode == 0, listed.stderr
    return {line.split()[0]: line.split()[1] for line in listed.stdout.splitlines()[1:]}


def test_images_are_imported_listed_and_removed(real, account):
    name = f"imported:{unique()}"
    done = real.command("image", "import", str(IMAGES / "busybox.tar"), "--tag", name)
    assert done.returncode == 0, done.stderr
    shown, digest = done.stdout.split()
    assert shown.endswith(name) and re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    listed = rows(real)
    assert digest.startswith(listed[name])
    assert run(account, name)["containers"][0]["exitCode"] == 0
    removed = real.command("image", "remove", name)
    assert removed.returncode == 0, removed.stderr
    assert name not in rows(real)
    again = real.command("image", "remove", name)
    assert again.returncode not in (0, 101) and name in again.stderr
    assert any("busybox" in other for other in rows(real)), "the same content under another name stays"


def test_a_running_task_keeps_its_removed_image(real, account):
    name = f"kept:{unique()}"
    real.command("image", "import", str(IMAGES / "busybox.tar"), "--tag", name)
    cluster = account.cluster()
    definition = account.define(container(
        image=name, entryPoint=["/bin/sh", "-c"], stopTimeout=2,
        command=["trap 'ls /bin/busybox && exit 9' TERM; while :; do sleep 0.1; done"],
    ))
    arn = account.run(cluster, definition)[0]["taskArn"]
    account.until(cluster, arn, "RUNNING")
    assert real.command("image", "remove", name).returncode == 0
    account.ecs.stop_task(cluster=cluster, task=arn)
    task = account.until(cluster, arn, "STOPPED")
    assert task["containers"][0]["exitCode"] == 9, why(task)


ARCHIVES = {"nothing": b"", "no archive": b"x" * 10_000, "an empty archive": bytes(10_240)}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES.keys())
def test_what_is_no_image_is_not_imported(real, tmp_path, content):
    file = tmp_path / "image.tar"
    file.write_bytes(content)
    done = real.command("image", "import", str(file), "--tag", "bad:1")
    assert done.returncode not in (0, 101) and "panicked" not in done.stderr and done.stderr.strip()
    assert not any("bad:1" in name for name in rows(real))
