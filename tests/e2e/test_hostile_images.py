"""Images made to harm (R7, R8): what their configurations and their root file systems say is refused or stays inside of the
container, and the host is as it was. Layers that do not unpack (R5, R6) are the agent's tests'.
"""

import os

import pytest
from account import container, unique, why
from conftest import IMAGES
from picture import busybox, directory, entry, layer, link, write


class Canary:
    """A directory of the host with a file, which no container may see or change."""

    def __init__(self, place):
        self.place = place
        self.file = place / "file"
        self.file.write_text("planted-canary")
        self.before = self.state()

    def state(self):
        every = [self.place, *sorted(self.place.rglob("*"))]
        return [(str(path), os.lstat(path).st_mode, os.lstat(path).st_uid, os.lstat(path).st_nlink,
                 path.read_bytes() if path.is_file() else None) for path in every]


@pytest.fixture
def canary(tmp_path):
    place = tmp_path / "canary"
    place.mkdir()
    canary = Canary(place)
    devices = {name: os.lstat(f"/dev/{name}") for name in ("null", "zero", "console", "ptmx") if os.path.exists(f"/dev/{name}")}
    yield canary
    assert canary.state() == canary.before
    for name, before in devices.items():
        now = os.lstat(f"/dev/{name}")
        assert (now.st_mode, now.st_rdev, now.st_uid) == (before.st_mode, before.st_rdev, before.st_uid), name


def ran(real, archive, layers, config, command=None):
    """The task of an image, once it has ended, and what it wrote."""
    name = f"hostile:{unique()}"
    write(archive, layers, config)
    done = real.command("image", "import", str(archive), "--tag", name)
    assert done.returncode == 0, done.stderr
    return run(real, name, command)


def run(real, image, command=None):
    account, group = real.account(), f"/hostile/{unique()}"
    log = {"logDriver": "awslogs", "options": {
        "awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e", "awslogs-create-group": "true"}}
    fields = {"command": command} if command else {}
    cluster = account.cluster()
    definition = account.define(container(image=image, logConfiguration=log, **fields),
                                executionRoleArn="arn:aws:iam::000000000000:role/ecsTaskExecutionRole")
    task = account.until(cluster, account.run(cluster, definition)[0]["taskArn"], "STOPPED")
    assert real.command("image", "remove", image).returncode == 0
    return task, "\n".join(account.lines(group))


def shell(script):
    return ["sh", "-c", script]


# What the configuration says, and what comes of it: words of why the task did not start, or its exit code.
CONFIGS = {
    "a descriptor as directory": ({"WorkingDir": "/proc/self/fd/8"}, "must be absolute, without \"..\" and outside /proc"),
    "a descriptor's parent": ({"WorkingDir": "/proc/self/fd/8/../../.."}, "must be absolute"),
    "a way up": ({"WorkingDir": "/work/../../.."}, "must be absolute"),
    "another way to /proc": ({"WorkingDir": "/./proc/self/cwd"}, "must be absolute"),
    "a user beyond 32 bits": ({"User": "4294967296"}, "unable to find user 4294967296"),
    "a user below zero": ({"User": "-1"}, "unable to find user -1"),
    "a path as user": ({"User": "../x"}, "unable to find user ../x"),
    "nobody": ({"User": "nobody-here"}, "unable to find user nobody-here"),
    "a group that is none": ({"User": "0:nowhere"}, "unable to find group nowhere"),
    "a variable of a megabyte": ({"Env": ["PATH=/bin:" + "x" * (1 << 20)]}, "argument list too long"),
    "a variable without a name": ({"Env": ["=x"]}, "is not an environment variable"),
    "nothing to run": ({"Entrypoint": None, "Cmd": None}, "no command specified"),
    "an empty program": ({"Entrypoint": [""], "Cmd": None}, "no command specified"),
    "a signal that is none": ({"StopSignal": "SIGNONE"}, 0),
    "a volume over /proc": ({"Volumes": {"/proc": {}, "/": {}, "../x": {}}, "Cmd": shell("test -e /proc/self/exe")}, 0),
    "root by numbers": ({"User": "0:0"}, 0),
    "numbers that nobody has": ({"User": "65534:65533", "Cmd": shell("test $(id -u):$(id -g) = 65534:65533")}, 0),
}


@pytest.mark.parametrize("config, expected", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_configuration_harms_nobody(real, tmp_path, canary, config, expected):
    task, _ = ran(real, tmp_path / "image.tar", [layer(*busybox())], config)
    if isinstance(expected, int):
        assert task["containers"][0].get("exitCode") == expected, why(task)
    else:
        assert expected in why(task) and task["stopCode"] == "TaskFailedToStart", why(task)


def test_a_configuration_that_is_too_large_or_does_not_read_is_not_taken(real, tmp_path):
    for config, told in [
        ({"Labels": {"big": "x" * (10 << 20)}}, "is out of range"),
        ({"WorkingDir": "../x"}, "WorkingDir is not an absolute path"),
        ({"Env": ["A=\0"]}, "zero byte"),
        ({"Env": "A=1"}, "malformed image configuration"),
    ]:
        archive = write(tmp_path / "image.tar", [layer(*busybox())], config)
        done = real.command("image", "import", str(archive), "--tag", f"hostile:{unique()}")
        assert done.returncode not in (0, 101) and told in done.stderr, done.stderr


def hostile_roots(canary):
    """Root file systems by what is wrong with them."""
    file, place = str(canary.file), str(canary.place)
    up = "../" * 12
    return {
        "/dev elsewhere": [link("dev", place)],
        "/dev up and elsewhere": [link("dev", up + place.lstrip("/"))],
        "/proc elsewhere": [link("proc", place)],
        "/sys elsewhere": [link("sys", place)],
        "/dev/null elsewhere": [directory("dev"), link("dev/null", file)],
        "/dev/console elsewhere": [directory("dev"), link("dev/console", file)],
        "/dev/pts and /dev/ptmx elsewhere": [directory("dev"), link("dev/pts", place), link("dev/ptmx", file)],
        "/dev/shm elsewhere": [directory("dev"), link("dev/shm", place)],
        "/etc elsewhere": [link("etc", place)],
        "/etc/passwd elsewhere": [directory("etc"), link("etc/passwd", file), link("etc/group", file)],
        "files that are mounted, elsewhere": [
            directory("etc"), *(link(f"etc/{name}", file) for name in ("hosts", "hostname", "resolv.conf", "mtab"))],
        "/run and /tmp elsewhere": [link("run", place), link("tmp", place), link("var", place)],
        "/proc/self in the way": [directory("proc"), directory("proc/self"), link("proc/self/attr", place)],
        "the working directory elsewhere": [link("work", place)],
        "the working directory a descriptor": [link("work", "/proc/self/fd/8")],
        "a chain of links": [link("a", "b"), link("b", "c"), link("c", place), link("dev", "a"), link("work", "a")],
        "links that never end": [link("dev", "dev"), link("proc", "sys"), link("sys", "proc"), link("work", "work")],
        "files for directories": [entry(name, content=b"x") for name in ("dev", "proc", "sys", "etc", "work")],
        "a pipe for /etc/passwd": [directory("etc"), entry("etc/passwd", b"6", mode=0o666)],
        "an endless line in /etc/passwd": [
            directory("etc"), entry("etc/passwd", content=b"a" * (64 << 20) + b"\nweb:x:7:7::/:/bin/sh\n")],
        "a home elsewhere": [directory("etc"), entry("etc/passwd", content=f"root:x:0:0::{place}:/bin/sh\n".encode())],
    }


ROOTS = ["/dev elsewhere", "/dev up and elsewhere", "/proc elsewhere", "/sys elsewhere", "/dev/null elsewhere",
         "/dev/console elsewhere", "/dev/pts and /dev/ptmx elsewhere", "/dev/shm elsewhere", "/etc elsewhere",
         "/etc/passwd elsewhere", "files that are mounted, elsewhere", "/run and /tmp elsewhere",
         "/proc/self in the way", "the working directory elsewhere", "the working directory a descriptor",
         "a chain of links", "links that never end", "files for directories", "a pipe for /etc/passwd",
         "an endless line in /etc/passwd", "a home elsewhere"]


# Writes wherever a link may lead, and tells what it finds there.
PROBE = """
for place in /dev /proc /sys /etc /work /run /tmp /dev/pts /dev/shm . .. ../..; do
  cat $place/file 2>/dev/null; touch $place/touched 2>/dev/null
done
for file in /dev/null /dev/console /dev/ptmx /etc/passwd /etc/hosts /etc/hostname /etc/resolv.conf /etc/mtab; do
  test -p $file && continue
  test -f $file && cat $file 2>/dev/null; echo changed 2>/dev/null >$file
done
cat %s/file; echo probed
"""


@pytest.mark.parametrize("what", ROOTS)
def test_a_root_file_system_reaches_nothing(real, tmp_path, canary, what):
    roots = hostile_roots(canary)
    assert list(roots) == ROOTS
    config = {"WorkingDir": "/work", "Cmd": shell(PROBE % canary.place)}
    task, said = ran(real, tmp_path / "image.tar", [layer(*busybox(), *roots[what])], config)
    assert "planted-canary" not in said + str(task), said
    # It is kept from starting with a reason, or runs among its own files.
    assert "probed" in said or (task["stopCode"] == "TaskFailedToStart" and task["stoppedReason"]), why(task)


def test_without_any_of_it_the_same_image_runs(real, tmp_path, canary):
    """What keeps the others from starting is their own."""
    config = {"WorkingDir": "/work", "Cmd": shell(PROBE % canary.place)}
    task, said = ran(real, tmp_path / "image.tar", [layer(*busybox())], config)
    assert "probed" in said, why(task)


def test_the_node_goes_on_after_all_of_it(real):
    assert run(real, copied(real), ["true"])[0]["containers"][0]["exitCode"] == 0


def copied(real):
    """Another name of the usual image."""
    name = f"usual:{unique()}"
    assert real.command("image", "import", str(IMAGES / "busybox.tar"), "--tag", name).returncode == 0
    return name
