"""The built binary, driven by boto3 and the AWS CLI.

`simulated` and `real` are running instances, one for the whole session each; tests keep apart by cluster and family
names of their own (`name`). `fresh` makes an instance for one test.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid

import boto3
import botocore.config
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGSHORE = ROOT / "target" / "release" / "longshore"
IMAGES = ROOT / "build" / "images"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Instance:
    """One `longshore up` with a data directory and a port of its own."""

    def __init__(self, *flags, directory=None):
        self.flags = list(flags)
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="longshore-e2e-"))
        self.data_dir = self.directory / "data"
        self.port = free_port()
        self.process = None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self, *words, **options):
        """Run a subcommand of the binary against this instance."""
        return subprocess.run(
            [LONGSHORE, *words, "--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}"],
            text=True, capture_output=True, timeout=120, **options,
        )

    def start(self, wait=True):
        self.log = open(self.directory / "longshore.log", "a")
        self.process = subprocess.Popen(
            [LONGSHORE, "up", "--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}", *self.flags],
            stdout=self.log, stderr=self.log, start_new_session=True,
        )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
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
            self.process.wait(timeout=20)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)

    def remove(self):
        self.stop()
        down = self.command("down")
        shutil.rmtree(self.directory, ignore_errors=True)
        assert down.returncode == 0, down.stderr

    def http(self, path, method="GET", body=None, headers=None):
        """Status, body and headers of a bare request."""
        request = urllib.request.Request(self.endpoint + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)
        except (urllib.error.URLError, ConnectionError):
            return 0, b"", {}

    def environment(self):
        """What `longshore env` exports."""
        exported = {}
        for line in self.command("env").stdout.splitlines():
            if line.startswith("export "):
                key, value = line.removeprefix("export ").split("=", 1)
                exported[key] = value
        return exported

    def client(self, service, **options):
        env = self.environment()
        config = botocore.config.Config(retries={"max_attempts": 0}, read_timeout=60, **options.pop("config", {}))
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=env["AWS_REGION"],
            aws_access_key_id=options.get("key", env["AWS_ACCESS_KEY_ID"]),
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"], config=config,
        )

    def aws(self, *words, check=True):
        """Run the AWS CLI; standard output parsed where it is JSON."""
        env = {"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}", "HOME": str(self.directory), "AWS_PAGER": "",
               "AWS_EC2_METADATA_DISABLED": "true", **self.environment()}
        done = subprocess.run(["aws", *words], env=env, text=True, capture_output=True, timeout=120)
        if check:
            assert done.returncode == 0, f"aws {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
            try:
                return json.loads(done.stdout)
            except ValueError:
                return done.stdout
        return done

    def network(self, public=True):
        """A network configuration out of the account's defaults."""
        ec2 = self.client("ec2")
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
        groups = [group["GroupId"] for group in ec2.describe_security_groups()["SecurityGroups"]]
        address = "ENABLED" if public else "DISABLED"
        return {"awsvpcConfiguration": {"subnets": subnets, "securityGroups": groups[:1], "assignPublicIp": address}}


def eventually(check, seconds=20, every=0.05):
    """The first true answer of `check`; fails with the last answer after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(every)


@pytest.fixture(scope="session")
def simulated():
    instance = Instance("--engine", "simulated", "--auth", "permissive").start()
    yield instance
    instance.remove()


@pytest.fixture(scope="session")
def real():
    instance = Instance().start()
    for image in ("my-web-app", "busybox"):
        done = instance.command("image", "import", IMAGES / f"{image}.tar", "--tag", f"{image}:latest")
        assert done.returncode == 0, done.stderr
    yield instance
    instance.remove()


@pytest.fixture
def fresh():
    made = []

    def make(*flags):
        made.append(Instance(*flags).start())
        return made[-1]

    yield make
    for instance in made:
        instance.remove()


@pytest.fixture
def name():
    """A name that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"
