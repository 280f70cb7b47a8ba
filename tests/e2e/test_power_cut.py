"""The power goes while clients write all kinds of things, and what was acknowledged must be there when it is back.

The data directory is a file system of its own, in an image. What the server has written and not yet synced lies in the
kernel's memory; a copy of the image, made while the server stands still, is what a machine finds after a power cut.
"""

import pathlib
import shutil
import signal
import subprocess
import time

import botocore.exceptions
import pytest

from conftest import SIMULATED, Instance
from pusher import Pusher
from writer import Writer, at_once, until_ended

CUTS = 5


class Disk:
    """An ext4 of one gigabyte in a sparse file. It writes nothing of its own accord while a test runs."""

    def __init__(self, directory, point):
        self.directory, self.point, self.images = directory, point, 0
        self.image = self.next_image()
        with open(self.image, "wb") as file:
            file.truncate(1 << 30)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        self.mount()

    def next_image(self):
        self.images += 1
        return self.directory / f"disk-{self.images}.img"

    def mount(self):
        self.point.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-o", "loop,commit=300", self.image, self.point], check=True)

    def unmount(self):
        subprocess.run(["umount", self.point], check=True)
        self.image.unlink()

    def lose_power(self, process):
        """The process ends, and of what it wrote there is what has reached the disk."""
        stand_still(process)
        after = self.next_image()
        subprocess.run(["cp", "--sparse=always", self.image, after], check=True)
        process.kill()
        process.wait(timeout=120)
        self.unmount()
        self.image = after
        self.mount()


def stands(thread):
    """Whether a thread is stopped, or has ended meanwhile."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return True


def stand_still(process):
    """Stop all threads; a system call that one is in comes to its end first."""
    process.send_signal(signal.SIGSTOP)
    threads = pathlib.Path(f"/proc/{process.pid}/task")
    deadline = time.monotonic() + 60
    while not all(map(stands, threads.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def powered(tmp_path):
    """An instance, not started, and its disk."""
    if subprocess.run(["losetup", "--find"], capture_output=True).returncode != 0:
        pytest.skip("this machine has no loop devices")
    instance = Instance(*SIMULATED, directory=tmp_path / "instance")
    disk = Disk(tmp_path, instance.data_dir)
    try:
        yield instance, disk
        instance.remove()
    finally:
        instance.stop()
        disk.unmount()
        shutil.rmtree(tmp_path)


def test_nothing_acknowledged_is_lost_when_the_power_goes(powered, chance):
    instance, disk = powered
    instance.start()
    writers = [Writer(instance, f"w{each}", chance.random(), f"70000000000{each}") for each in range(4)]
    answered = 0
    for cut in range(1, CUTS + 1):
        answered += until_ended(writers, chance.uniform(0.3, 1.5), lambda: disk.lose_power(instance.process))
        instance.start()
        at_once(writers, lambda writer: writer.check(everything=cut == CUTS))
    lines = sum(len(writer.lines) for writer in writers)
    print(f"{answered} calls were answered, {lines} lines stored")
    assert answered > 20 * CUTS and lines > 20


@pytest.mark.parametrize("where", ["directory", "bucket"])
def test_no_image_that_was_pushed_is_lost_when_the_power_goes(powered, chance, where):
    instance, disk = powered
    instance.flags = ["--engine", "simulated"]
    if where == "bucket":
        instance.flags += ["--registry-url", f"file://{instance.data_dir}/bucket"]
    instance.start()
    shared = [chance.randbytes(50_000) for _ in range(20)]
    pushers = [Pusher(instance, f"p{each}", chance.random(), shared) for each in range(3)]
    pushed = 0
    for _ in range(CUTS):
        pushed += until_ended(pushers, chance.uniform(0.5, 1.5), lambda: disk.lose_power(instance.process))
        instance.start()
        at_once(pushers, Pusher.check)
    print(f"{pushed} images were pushed")
    assert pushed > 2 * CUTS


# Syncs of files whose path has SYNC_FAILS_AT in it fail once the file SYNC_FAILS_FROM exists.
FAILING = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(int fd) {
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0 || !strstr(path, getenv("SYNC_FAILS_AT"))) return 0;
    return access(getenv("SYNC_FAILS_FROM"), F_OK) == 0;
}
static int sync_by(long number, int fd) {
    if (!fails(fd)) return syscall(number, fd);
    errno = EIO;
    return -1;
}
int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }
"""


@pytest.mark.parametrize("where", ["/logs/", ".db"])
def test_a_sync_that_fails_stops_the_server(fresh, tmp_path, where):
    source, library, begin = tmp_path / "fail.c", tmp_path / "fail.so", tmp_path / "begin"
    source.write_text(FAILING)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    env = {"LD_PRELOAD": str(library), "SYNC_FAILS_AT": where, "SYNC_FAILS_FROM": str(begin)}
    instance = fresh(*SIMULATED, env=env)
    account = instance.account()
    account.logs.create_log_group(logGroupName="g")
    account.logs.create_log_stream(logGroupName="g", logStreamName="s")

    def write(message):
        event = {"timestamp": int(time.time() * 1000), "message": message}
        account.logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[event])
        account.ecs.create_cluster(clusterName=message)

    write("kept")
    begin.touch()
    with pytest.raises((botocore.exceptions.ClientError, botocore.exceptions.HTTPClientError)):
        write("refused")
    assert instance.process.wait(timeout=60) == 1
    begin.unlink()
    instance.start()
    events = account.logs.get_log_events(logGroupName="g", logStreamName="s", startFromHead=True)["events"]
    assert events[0]["message"] == "kept"
    assert account.ecs.describe_clusters(clusters=["kept"])["clusters"][0]["status"] == "ACTIVE"
