"""The registry as the clients that people have use it, as the guides have them: skopeo, Docker's (Debian's `docker.io`) and
containerd's. Each daemon is of the tests' own, in a mount namespace in which the registry's host name is known.
"""

import json
import os
import shutil
import subprocess

import pytest
from account import eventually, why
from conftest import IMAGES
from ecr import HOST, digest, host, repository, token
from hub import DOCKER, INDEX, MANIFEST, Hub, index, sha256, token_of
from picture import BUSYBOX, busybox, layer, write
from test_ecr_tasks import PULL, ended
from test_identity import ACCOUNT, allow, root
from test_task_roles import lending


def registries(instance):
    """Both names of the registry."""
    return f"{HOST}.localhost:{instance.port}", host(instance)


@pytest.fixture
def hub(real):
    """A repository of its own, as the root sees it."""
    return Hub(real, repository(real), token_of(root(real).client("ecr")))


@pytest.fixture
def login(real):
    """What opens the registry, as `user:password`."""
    return token(root(real).client("ecr"))


# skopeo

@pytest.fixture
def skopeo(login):
    """A function that runs skopeo with the login, and gives what it said."""
    def run(command, *words):
        flags = ["--creds", login, "--tls-verify=false"] if command != "copy" else []
        for side, place in zip(("src", "dest"), words[-2:]):
            if command == "copy" and place.startswith("docker://"):
                flags += [f"--{side}-creds", login, f"--{side}-tls-verify=false"]
        done = subprocess.run(["skopeo", "--insecure-policy", command, *flags, *words], text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, f"skopeo {command} {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_skopeo_pushes_pulls_lists_and_deletes(real, hub, skopeo, tmp_path):
    place = f"docker://{host(real)}/{hub.name}"
    skopeo("copy", f"oci-archive:{IMAGES / 'busybox.tar'}", f"{place}:one")
    skopeo("copy", "--format", "v2s2", f"oci-archive:{IMAGES / 'busybox.tar'}", f"{place}:docker")
    assert json.loads(skopeo("list-tags", place))["Tags"] == ["docker", "one"]
    told = json.loads(skopeo("inspect", f"{place}:one"))
    answer = hub("GET", "manifests/one")
    assert (answer.headers["Content-Type"], told["Digest"]) == (MANIFEST, sha256(answer.body))
    assert hub("GET", "manifests/docker", Accept=DOCKER).headers["Content-Type"] == DOCKER
    for tag in ("one", "docker"):
        skopeo("copy", f"{place}:{tag}", f"dir:{tmp_path / tag}")
    for one in {layer["digest"] for layer in answer.json()["layers"]}:
        assert sha256((tmp_path / "one" / one.removeprefix("sha256:")).read_bytes()) == one
    # A copy between two repositories mounts what is there.
    other = repository(real)
    skopeo("copy", f"{place}:one", f"docker://{host(real)}/{other}:copy")
    assert sha256(hub.of(other)("GET", "manifests/copy").body) == told["Digest"]
    skopeo("delete", f"{place}:docker")
    assert json.loads(skopeo("list-tags", place))["Tags"] == ["one"]


def test_who_has_no_token_gets_nothing(real, hub):
    hub.image("one")
    for creds in (["--no-creds"], ["--creds", "AWS:nonsense"]):
        done = subprocess.run(["skopeo", "inspect", "--tls-verify=false", *creds, f"docker://{host(real)}/{hub.name}:one"],
                              text=True, capture_output=True, timeout=60)
        said = done.stderr.lower()
        assert done.returncode != 0 and ("authentication required" in said or "unauthorized" in said), done.stderr


class Daemon:
    """A program that listens, among files of its own; `up` is a command that succeeds once it does."""

    def __init__(self, place, name, words, up):
        self.place = place
        hosts = place / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {HOST}.localhost\n")
        inside = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        with open(place / f"{name}.log", "w") as log:
            self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", inside, "sh", *words], stdout=log, stderr=log)
        try:
            eventually(lambda: subprocess.run(up, capture_output=True, timeout=60).returncode == 0)
        except BaseException:
            print((place / f"{name}.log").read_text()[-4000:])
            self.end()
            raise

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        finally:
            self.process.kill()


# Docker

@pytest.fixture(scope="module")
def docker(real, tmp_path_factory):
    """A function that runs Docker's client, and gives what was done."""
    place = tmp_path_factory.mktemp("docker")
    socket, config = f"unix://{place}/docker.sock", place / "config"
    client = ["/usr/bin/docker", "--host", socket, "--config", str(config)]
    daemon = Daemon(place, "dockerd", [
        "dockerd", "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs",
        "--host", socket, "--data-root", f"{place}/data", "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid",
    ], [*client, "info"])

    def run(*words, check=True, **options):
        environment = os.environ | {"DOCKER_BUILDKIT": "0"}
        done = subprocess.run([*client, *words], text=True, capture_output=True, timeout=300, env=environment, **options)
        assert not check or done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done

    yield run
    daemon.end()


def test_docker_builds_pushes_and_pulls_and_a_task_runs_it(real, docker, tmp_path):
    """As the guides have it: get-login-password, login, build, push, run."""
    shutil.copy(BUSYBOX, tmp_path / "busybox")
    (tmp_path / "data").write_bytes(os.urandom(3_000_000))
    (tmp_path / "Dockerfile").write_text(
        'FROM scratch\nCOPY busybox /bin/true\nCOPY busybox /bin/sh\nCOPY data /data\nENV A=b\nCMD ["/bin/true"]\n')
    role, bearer = lending(real, allow(*PULL)), token_of(root(real).client("ecr"))
    for registry in registries(real):
        name = repository(real)
        image = f"{registry}/{name}:latest"
        docker("build", "--quiet", "--tag", image, str(tmp_path))
        denied = docker("push", image, check=False)
        assert denied.returncode != 0 and "no basic auth credentials" in denied.stderr, denied.stderr
        password = real.aws("ecr", "get-login-password")
        said = docker("login", "--username", "AWS", "--password-stdin", registry, input=password)
        assert "Login Succeeded" in said.stdout
        wrong = docker("login", "--username", "AWS", "--password-stdin", registry, input="planted", check=False)
        assert wrong.returncode != 0
        docker("login", "--username", "AWS", "--password-stdin", registry, input=password)
        pushed = docker("push", image).stdout
        found = digest(real, f"{name}:latest")
        assert found in pushed
        manifest = Hub(real, name, bearer)("GET", "manifests/latest")
        assert (manifest.headers["Content-Type"], sha256(manifest.body)) == (DOCKER, found)
        built = docker("image", "inspect", "-f", "{{.Id}}", image).stdout
        docker("rmi", image)
        assert found in docker("pull", image).stdout
        assert docker("image", "inspect", "-f", "{{.Id}}", image).stdout == built
        assert docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", image).stdout.strip() == f"{registry}/{name}@{found}"
        docker("pull", f"{registry}/{name}@{found}")
        again = docker("push", image).stdout
        assert "Layer already exists" in again
        # Pushed to another repository, its layers are mounted.
        other = f"{registry}/{repository(real)}:built"
        docker("tag", image, other)
        assert "Mounted from" in docker("push", other).stdout
        task = ended(real.account(), image, role)
        assert task["containers"][0].get("exitCode") == 0, why(task)
        docker("rmi", image, other)
        docker("logout", registry)


def test_docker_is_told_what_is_not_there_or_not_allowed(real, docker, login, tmp_path):
    registry = registries(real)[0]
    docker("login", "--username", "AWS", "--password-stdin", registry, input=login.removeprefix("AWS:"))
    missing = docker("pull", f"{registry}/nobody/here:1", check=False)
    assert missing.returncode != 0 and f"does not exist in the registry with id '{ACCOUNT}'" in missing.stderr, missing.stderr
    name = repository(real)
    nowhere = docker("pull", f"{registry}/{name}:nowhere", check=False)
    assert nowhere.returncode != 0 and "not found" in nowhere.stderr, nowhere.stderr
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /file\n")
    docker("build", "--quiet", "--tag", f"{registry}/nobody/here:1", str(tmp_path))
    unmade = docker("push", f"{registry}/nobody/here:1", check=False)
    assert unmade.returncode != 0 and "does not exist" in unmade.stderr, unmade.stderr
    docker("rmi", f"{registry}/nobody/here:1")
    docker("logout", registry)


# containerd

@pytest.fixture(scope="module")
def ctr(tmp_path_factory):
    """A function that runs containerd's client, and gives what was done."""
    place = tmp_path_factory.mktemp("containerd")
    config = place / "config.toml"
    config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
    client = ["ctr", "--address", f"{place}/containerd.sock"]
    daemon = Daemon(place, "containerd", [
        "containerd", "--config", str(config), "--root", f"{place}/root", "--state", f"{place}/state",
        "--address", f"{place}/containerd.sock"], [*client, "version"])

    def run(*words, check=True):
        inside = f'mount --bind {place}/hosts /etc/hosts && exec "$@"'
        done = subprocess.run(["unshare", "--mount", "sh", "-c", inside, "sh", *client, *words], text=True,
                              capture_output=True, timeout=300)
        assert not check or done.returncode == 0, f"ctr {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done

    yield run
    daemon.end()


def test_containerd_pushes_and_pulls_and_a_task_runs_it(real, ctr, login, tmp_path):
    archive = write(tmp_path / "image.tar", [layer(*busybox())], {})
    role = lending(real, allow(*PULL))
    for registry in registries(real):
        name = repository(real)
        image = f"{registry}/{name}:1"
        ctr("images", "import", "--index-name", image, str(archive))
        ctr("images", "push", "--plain-http", "--user", login, image)
        ctr("images", "rm", image)
        ctr("images", "pull", "--plain-http", "--user", login, image)
        assert digest(real, f"{name}:1") in ctr("images", "ls").stdout
        nobody = ctr("images", "pull", "--plain-http", image, check=False)
        assert nobody.returncode != 0
        task = ended(real.account(), image, role)
        assert task["containers"][0].get("exitCode") == 0, why(task)


def test_containerd_pulls_and_pushes_also_an_index(real, hub, ctr, skopeo, login):
    place = f"{host(real)}/{hub.name}"
    signed = ["--plain-http", "--user", login]
    skopeo("copy", f"oci-archive:{IMAGES / 'busybox.tar'}", f"docker://{place}:one")
    manifest = hub("GET", "manifests/one")
    listing = json.loads(index(manifest.body))
    listing["manifests"][0]["platform"] = {"architecture": "amd64", "os": "linux"}
    listing = json.dumps(listing).encode()
    assert hub.put(listing, "multi", INDEX).status == 201
    for tag, found in [("one", sha256(manifest.body)), ("multi", sha256(listing))]:
        ctr("images", "pull", *signed, "--all-platforms", f"{place}:{tag}")
        assert found in ctr("images", "list", f"name=={place}:{tag}").stdout
    ctr("images", "tag", f"{place}:multi", f"{place}:again")
    ctr("images", "push", *signed, f"{place}:again")
    assert hub("GET", "manifests/again", Accept=INDEX).body == listing
