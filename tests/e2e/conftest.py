"""The built binary, driven by boto3 and the AWS CLI.

`simulated` and `real` are running instances, one for the whole session each. On the simulated one tests keep apart by
accounts of their own (`account`), on the real one by the names they give (`name`). `fresh` makes an instance for one
test.
"""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

import boto3
import botocore.config
import pytest

from account import Account, container, eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools"))

import python_image

LONGSHORE = pathlib.Path(os.environ.get("LONGSHORE_BINARY", ROOT / "target" / "release" / "longshore"))
IMAGES = ROOT / "build" / "images"

# What the surroundings set for another instance or account is none of the tests'.
BARE = {key: value for key, value in os.environ.items() if not key.startswith(("LONGSHORE_", "AWS_"))}


# A node's room for tasks that do next to nothing, whatever this machine has.
ROOM = ["--cpu", "65536", "--memory", "131072"]


def free_port():
    """A port that nobody has and that the kernel gives to nobody who asks for any: it stays free while a server is away,
    and nobody who looks for that server meets himself."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


class Instance:
    """One `longshore up` with a data directory and a port of its own."""

    def __init__(self, *flags, directory=None, env=None, user=None):
        self.flags = list(flags)
        self.env = BARE | (env or {})
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="longshore-e2e-"))
        self.data_dir = self.directory / "data"
        self.port = free_port()
        self.binary, self.user = LONGSHORE, user
        if user:
            # Others may not read where the binary lies.
            self.binary = shutil.copy(LONGSHORE, self.directory)
            os.chown(self.directory, user, user)
        self.process = None
        self.exported = None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self):
        """The flags that say which instance it is."""
        return ["--data-dir", str(self.data_dir), "--listen", f"127.0.0.1:{self.port}"]

    def command(self, *words, **options):
        """Run a subcommand of the binary against this instance."""
        options = {"env": self.env, "text": True, "capture_output": True, "timeout": 300, "user": self.user} | options
        return subprocess.run([self.binary, *words, *self.place], **options)

    def start(self, wait=True):
        with open(self.directory / "longshore.log", "a") as log:
            self.process = subprocess.Popen(
                [self.binary, "up", *self.place, *self.flags],
                env=self.env, stdout=log, stderr=log, start_new_session=True, user=self.user,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=120):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"longshore ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
            if self.http("/readyz")[0] == 200:
                return
            time.sleep(0.02)
        raise TimeoutError(f"longshore is not ready:\n{self.log_text()[-4000:]}")

    def log_text(self):
        return (self.directory / "longshore.log").read_text()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=120)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=120)

    def remove(self):
        """Leave nothing behind. The server must not have panicked while it ran."""
        self.stop()
        log = self.log_text() if (self.directory / "longshore.log").exists() else ""
        down = self.command("down")
        shutil.rmtree(self.directory, ignore_errors=True)
        assert down.returncode == 0, down.stderr
        assert "panicked at" not in log, log[-4000:]

    def http(self, path, method="GET", body=None, headers=None):
        """Status, body and headers of a bare request."""
        request = urllib.request.Request(self.endpoint + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)
        except (urllib.error.URLError, ConnectionError):
            return 0, b"", {}

    def environment(self):
        """What `longshore env` exports."""
        if self.exported is None:
            lines = self.command("env", check=True).stdout.splitlines()
            pairs = (line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
            self.exported = dict(pairs)
        return self.exported

    def client(self, service, key=None, **config):
        """A client of boto3 that tries once; `key` may be an account's number."""
        env = self.environment()
        config = botocore.config.Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 60} | config)
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=env["AWS_REGION"],
            aws_access_key_id=key or env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"], config=config,
        )

    def account(self, number=None):
        """The clients of one account: the configured one, or the one of this number."""
        return Account(self, number)

    def aws_environment(self, **more):
        """The environment of an AWS CLI that speaks to this instance."""
        path = f"{pathlib.Path(sys.executable).parent}:{ROOT}/.venv/bin:{BARE['PATH']}"
        return {"PATH": path, "HOME": str(self.directory), "AWS_PAGER": "", "PYTHONUNBUFFERED": "1",
                "AWS_EC2_METADATA_DISABLED": "true", **self.environment(), **more}

    def aws(self, *words, check=True, **env):
        """Run the AWS CLI; standard output parsed where it is JSON."""
        env = self.aws_environment(**env)
        done = subprocess.run(["aws", *words], env=env, text=True, capture_output=True, timeout=900)
        if check:
            assert done.returncode == 0, f"aws {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
            try:
                return json.loads(done.stdout)
            except ValueError:
                return done.stdout
        return done

    def tail_command(self, group, *words):
        """`aws logs tail` is of version 2 alone: Debian's package is one, PyPI's is version 1."""
        return ["/usr/bin/aws", "--endpoint-url", self.endpoint, "logs", "tail", group, *words]

    def tail(self, group, *words, **env):
        """Lines of `aws logs tail`; none while the group does not exist."""
        env = self.aws_environment(**env)
        done = subprocess.run(self.tail_command(group, *words), env=env, text=True, capture_output=True, timeout=300)
        assert done.returncode == 0 or "ResourceNotFoundException" in done.stderr, done.stderr
        return done.stdout.splitlines()

    def lend_execution_role(self):
        """Make the execution role of the guides, by which tasks may also make their log groups."""
        iam, name = self.client("iam"), "ecsTaskExecutionRole"
        trust = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        for policy in ("service-role/AmazonECSTaskExecutionRolePolicy", "CloudWatchLogsFullAccess"):
            iam.attach_role_policy(RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")

    def network(self, public=True):
        """A network configuration out of the account's defaults."""
        return self.account().network(public)


SIMULATED = ["--engine", "simulated", "--auth", "permissive", "--cpu", "1048576", "--memory", "4194304"]


@pytest.fixture(scope="session")
def simulated():
    instance = Instance(*SIMULATED).start()
    yield instance
    instance.remove()


@pytest.fixture
def account(simulated):
    """An account that no other test uses, on the simulated instance."""
    return simulated.account(f"{random.randrange(10**11, 10**12)}")


@pytest.fixture(scope="module")
def strict():
    """An instance that judges its callers."""
    instance = Instance("--engine", "simulated").start()
    yield instance
    instance.remove()


@pytest.fixture
def ecr(strict):
    return strict.client("ecr")


@pytest.fixture
def repository(ecr):
    """A repository that no other test uses."""
    name = f"team/{uuid.uuid4().hex[:12]}"
    ecr.create_repository(repositoryName=name)
    return name


@pytest.fixture(scope="session")
def real():
    instance = Instance(*ROOM).start()
    for image in ("my-web-app", "busybox"):
        done = instance.command("image", "import", IMAGES / f"{image}.tar", "--tag", f"{image}:latest")
        assert done.returncode == 0, done.stderr
    instance.lend_execution_role()
    yield instance
    instance.remove()


@pytest.fixture(scope="session")
def python_archive(tmp_path_factory):
    """An image, in a file, whose containers run Python and have boto3."""
    archive = tmp_path_factory.mktemp("python") / "python.tar"
    python_image.write(archive)
    yield archive
    archive.unlink()


@pytest.fixture(scope="session")
def python(real, python_archive):
    """The real instance, with the image `python:latest`."""
    done = real.command("image", "import", python_archive, "--tag", "python:latest")
    assert done.returncode == 0, done.stderr
    return real


@pytest.fixture(scope="session")
def rollout(simulated):
    """A rollout without health checks, for which ECS takes its time; begun early, looked at late."""
    account = simulated.account("400000000040")
    cluster, definition = account.cluster(), account.define()
    name = account.serve(cluster, definition, desiredCount=2)
    account.until_steady(cluster, name)
    account.ecs.update_service(cluster=cluster, service=name, forceNewDeployment=True)
    eventually(lambda: account.service(cluster, name)["runningCount"] == 4)
    return account, cluster, name


@pytest.fixture(scope="session")
def restarting(real):
    """A task whose container exits after 61 seconds and is to be restarted; begun early, looked at late."""
    account = real.account()
    log = {"logDriver": "awslogs", "options": {
        "awslogs-group": "/e2e/restart", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e",
        "awslogs-create-group": "true",
    }}
    script = "echo started $(cut -d' ' -f1 /proc/uptime); sleep 61; exit 3"
    again = container(
        "again", entryPoint=["/bin/sh", "-c"], command=[script], logConfiguration=log, stopTimeout=2,
        restartPolicy={"enabled": True, "ignoredExitCodes": [0], "restartAttemptPeriod": 60},
    )
    role = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"
    cluster, definition = account.cluster(), account.define(again, executionRoleArn=role)
    return account, cluster, account.run(cluster, definition)[0]["taskArn"]


@pytest.fixture
def fresh():
    made = []

    def make(*flags, **options):
        made.append(Instance(*flags, **options))
        return made[-1].start()

    yield make
    for instance in made:
        instance.remove()


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def chance():
    """Dice whose seed is printed; LONGSHORE_KILL_SEED repeats a run as far as threads let it."""
    seed = os.environ.get("LONGSHORE_KILL_SEED") or str(random.randrange(10**9))
    print(f"LONGSHORE_KILL_SEED={seed}")
    return random.Random(seed)
