"""The clients that people have, as the guides have them: Docker's (Debian's `docker.io`) and containerd's. Each is a daemon of the
test's own, in a mount namespace in which the registry's host name is known.
"""

import os
import shutil
import subprocess

import pytest
from account import eventually, why
from ecr import HOST, digest, host, repository, token
from picture import BUSYBOX, busybox, layer, write
from test_ecr_tasks import PULL, ended
from test_identity import ACCOUNT, allow, root
from test_task_roles import lending


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
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY busybox /bin/true\nCOPY busybox /bin/sh\nCMD ["/bin/true"]\n')
    role = lending(real, allow(*PULL))
    for registry in (f"{HOST}.localhost:{real.port}", host(real)):
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
        assert digest(real, f"{name}:latest") in pushed
        docker("rmi", image)
        pulled = docker("pull", image).stdout
        assert digest(real, f"{name}:latest") in pulled
        again = docker("push", image).stdout
        assert "Layer already exists" in again
        task = ended(real.account(), image, role)
        assert task["containers"][0].get("exitCode") == 0, why(task)
        docker("logout", registry)


def test_docker_is_told_what_is_not_there_or_not_allowed(real, docker):
    password = token(root(real).client("ecr")).removeprefix("AWS:")
    registry = f"{HOST}.localhost:{real.port}"
    docker("login", "--username", "AWS", "--password-stdin", registry, input=password)
    missing = docker("pull", f"{registry}/nobody/here:1", check=False)
    assert missing.returncode != 0 and f"does not exist in the registry with id '{ACCOUNT}'" in missing.stderr, missing.stderr
    name = repository(real)
    nowhere = docker("pull", f"{registry}/{name}:nowhere", check=False)
    assert nowhere.returncode != 0 and "not found" in nowhere.stderr, nowhere.stderr
    docker("logout", registry)


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


def test_containerd_pushes_and_pulls_and_a_task_runs_it(real, ctr, tmp_path):
    archive = write(tmp_path / "image.tar", [layer(*busybox())], {})
    login = token(root(real).client("ecr"))
    role = lending(real, allow(*PULL))
    for registry in (f"{HOST}.localhost:{real.port}", host(real)):
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
