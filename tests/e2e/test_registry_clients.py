"""The registry as its clients use it: skopeo, docker and containerd push to it and pull from it."""

import json
import os
import shutil
import subprocess
import tempfile

import pytest
from account import eventually, unique
from conftest import IMAGES
from hub import DOCKER, INDEX, MANIFEST, index, password, sha256
from hub import hub, strict, token  # noqa: F401
from test_identity import root


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), text=True, capture_output=True, timeout=300, **options)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def skopeo(token, command, *words):
    login, flags = f"AWS:{password(token)}", []
    if command != "copy":
        flags = ["--creds", login, "--tls-verify=false"]
    for side, place in zip(("src", "dest"), words[-2:]):
        if command == "copy" and place.startswith("docker://"):
            flags += [f"--{side}-creds", login, f"--{side}-tls-verify=false"]
    return run("skopeo", "--insecure-policy", command, *flags, *words)


def test_skopeo_pushes_pulls_lists_and_deletes(strict, hub, tmp_path):
    place = f"docker://127.0.0.1:{strict.port}/{hub.name}"
    skopeo(hub.token, "copy", f"oci-archive:{IMAGES / 'busybox.tar'}", f"{place}:one")
    skopeo(hub.token, "copy", "--format", "v2s2", f"oci-archive:{IMAGES / 'busybox.tar'}", f"{place}:docker")
    assert json.loads(skopeo(hub.token, "list-tags", place))["Tags"] == ["docker", "one"]
    told = json.loads(skopeo(hub.token, "inspect", f"{place}:one"))
    answer = hub("GET", "manifests/one")
    assert (answer.headers["Content-Type"], told["Digest"]) == (MANIFEST, sha256(answer.body))
    assert hub("GET", "manifests/docker", Accept=DOCKER).headers["Content-Type"] == DOCKER
    for tag in ("one", "docker"):
        skopeo(hub.token, "copy", f"{place}:{tag}", f"dir:{tmp_path / tag}")
    layers = {layer["digest"] for layer in answer.json()["layers"]}
    for layer in layers:
        assert sha256((tmp_path / "one" / layer.removeprefix("sha256:")).read_bytes()) == layer
    # A copy between two repositories mounts what is there.
    other = f"team/{unique()}"
    root(strict).client("ecr").create_repository(repositoryName=other)
    skopeo(hub.token, "copy", f"{place}:one", f"docker://127.0.0.1:{strict.port}/{other}:copy")
    assert sha256(hub.of(other)("GET", "manifests/copy").body) == told["Digest"]
    skopeo(hub.token, "delete", f"{place}:docker")
    assert json.loads(skopeo(hub.token, "list-tags", place))["Tags"] == ["one"]


def test_who_has_no_token_gets_nothing(strict, hub):
    words = ["skopeo", "inspect", "--tls-verify=false"]
    for creds in (["--no-creds"], ["--creds", "AWS:nonsense"]):
        done = subprocess.run([*words, *creds, f"docker://127.0.0.1:{strict.port}/{hub.name}:one"],
                              text=True, capture_output=True, timeout=60)
        told = done.stderr.lower()
        assert done.returncode != 0 and ("authentication required" in told or "unauthorized" in told), (done.returncode, told)


class Docker:
    """A docker daemon of its own: no bridge, no rules of the host's."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="longshore-docker-")
        self.socket = f"unix://{self.directory}/s"
        flags = ["--iptables=false", "--ip6tables=false", "--bridge=none", "-H", self.socket, "--data-root", f"{self.directory}/d",
                 "--exec-root", f"{self.directory}/e", "--pidfile", f"{self.directory}/pid"]
        with open(f"{self.directory}/log", "w") as log:
            self.process = subprocess.Popen(["dockerd", *flags], stdout=log, stderr=log)
        eventually(lambda: subprocess.run(["docker", "-H", self.socket, "version"], capture_output=True).returncode == 0)

    def __call__(self, *words, **options):
        return run("docker", "--config", f"{self.directory}/config", "-H", self.socket, *words, **options)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def docker():
    docker = Docker()
    yield docker
    docker.end()


def test_docker_logs_in_builds_pushes_and_pulls(strict, hub, docker, tmp_path):
    registry = f"127.0.0.1:{strict.port}"
    secret = strict.aws("ecr", "get-login-password")
    docker("login", "--username", "AWS", "--password-stdin", registry, input=secret)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY data /data\nENV A=b\n")
    (tmp_path / "data").write_bytes(os.urandom(3_000_000))
    name = f"{registry}/{hub.name}:built"
    docker("build", "-t", name, tmp_path)
    docker("push", name)
    manifest = hub("GET", "manifests/built")
    assert manifest.headers["Content-Type"] == DOCKER
    first = docker("image", "inspect", "-f", "{{.Id}}", name)
    docker("rmi", name)
    docker("pull", name)
    assert docker("image", "inspect", "-f", "{{.Id}}", name) == first
    assert docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", name).strip() == f"{registry}/{hub.name}@{sha256(manifest.body)}"
    docker("pull", f"{registry}/{hub.name}@{sha256(manifest.body)}")
    # Pushed to another repository, its layers are mounted.
    other = f"team/{unique()}"
    root(strict).client("ecr").create_repository(repositoryName=other)
    docker("tag", name, f"{registry}/{other}:built")
    assert "Mounted from" in docker("push", f"{registry}/{other}:built")
    done = subprocess.run(["docker", "--config", f"{docker.directory}/config", "-H", docker.socket, "push", f"{registry}/team/none:x"],
                          text=True, capture_output=True, timeout=60)
    assert done.returncode != 0


class Containerd:
    """A containerd of its own."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="longshore-ctr-")
        config = f'version = 2\nroot = "{self.directory}/root"\nstate = "{self.directory}/state"\n' \
                 f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{self.directory}/s"\n'
        with open(f"{self.directory}/config.toml", "w") as file:
            file.write(config)
        with open(f"{self.directory}/log", "w") as log:
            self.process = subprocess.Popen(["containerd", "--config", f"{self.directory}/config.toml"], stdout=log, stderr=log)
        eventually(lambda: subprocess.run(["ctr", "-a", f"{self.directory}/s", "version"], capture_output=True).returncode == 0)

    def __call__(self, *words):
        return run("ctr", "-a", f"{self.directory}/s", *words)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def ctr():
    containerd = Containerd()
    yield containerd
    containerd.end()


def test_containerd_pulls_and_pushes_also_an_index(strict, hub, ctr):
    place = f"127.0.0.1:{strict.port}/{hub.name}"
    login = ["--plain-http", "--user", f"AWS:{password(hub.token)}"]
    skopeo(hub.token, "copy", f"oci-archive:{IMAGES / 'busybox.tar'}", f"docker://{place}:one")
    manifest = hub("GET", "manifests/one")
    listing = json.loads(index(manifest.body))
    listing["manifests"][0]["platform"] = {"architecture": "amd64", "os": "linux"}
    listing = json.dumps(listing).encode()
    assert hub.put(listing, "multi", INDEX).status == 201
    for tag, digest in [("one", sha256(manifest.body)), ("multi", sha256(listing))]:
        ctr("images", "pull", *login, "--all-platforms", f"{place}:{tag}")
        assert digest in ctr("images", "list", f"name=={place}:{tag}")
    ctr("images", "tag", f"{place}:multi", f"{place}:again")
    ctr("images", "push", *login, f"{place}:again")
    assert hub("GET", "manifests/again", Accept=INDEX).body == listing
