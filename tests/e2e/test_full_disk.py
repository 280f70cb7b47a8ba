"""A full disk: writes are refused and say why, reads are served, and with space everything goes on. Nothing that was
acknowledged is lost."""

import errno
import os
import subprocess
import time

import botocore.exceptions
import pytest

from account import eventually
from conftest import Instance

# More than the log store and the registry leave free.
SIZE = 256 * 1024 * 1024


@pytest.fixture
def small():
    """A simulated instance whose data directory is a small file system of its own, and that directory."""
    instance = Instance("--engine", "simulated")
    instance.data_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", instance.data_dir], check=True)
    try:
        yield instance.start()
        instance.stop()
        assert "the store failed" not in instance.log_text()
    finally:
        instance.stop()
        instance.command("down")
        subprocess.run(["umount", instance.data_dir], check=True)
        instance.remove()


def fill(directory, leave=0):
    """Take all space but so many bytes; again if somebody took some meanwhile."""
    def taken():
        filler = os.open(directory / "filler", os.O_CREAT | os.O_WRONLY)
        try:
            disk = os.statvfs(directory)
            os.posix_fallocate(filler, 0, disk.f_bavail * disk.f_frsize - leave)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            return False
        finally:
            os.close(filler)
        return True

    eventually(taken)


def refused(call, **given):
    """Whether a call is refused for want of space; only that may be the reason."""
    try:
        call(**given)
    except botocore.exceptions.ClientError as error:
        # CloudWatch Logs' own ServiceUnavailableException is a 500.
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), error
        assert "disk of the control plane is full" in error.response["Error"]["Message"], error
        return True
    return False


def clusters(account):
    names = account.ecs.get_paginator("list_clusters").paginate().build_full_result()["clusterArns"]
    return {arn.rsplit("/", 1)[1] for arn in names}


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(small):
    account = small.account()
    taken = {"before"}
    account.ecs.create_cluster(clusterName="before")
    fill(small.data_dir)
    # The database's log has some room left in its file; a wide tag takes it up sooner.
    tags = [{"key": f"k{number}", "value": "v" * 256} for number in range(50)]
    for number in range(2000):
        name = f"c{number}"
        if refused(account.ecs.create_cluster, clusterName=name, tags=tags):
            break
        taken.add(name)
    else:
        pytest.fail("a full disk took 2000 clusters")
    assert clusters(account) == taken, "what was refused is not seen"
    assert small.http("/healthz")[0] == 200
    assert b"longshore_store_full 1" in small.http("/metrics")[1]
    assert refused(account.ecs.create_cluster, clusterName="still")
    assert refused(account.ecs.delete_cluster, cluster="before")
    assert clusters(account) == taken
    (small.data_dir / "filler").unlink()
    eventually(lambda: not refused(account.ecs.create_cluster, clusterName="after"))
    taken.add("after")
    assert b"longshore_store_full 0" in small.http("/metrics")[1]
    assert clusters(account) == taken
    small.kill()
    small.start()
    assert clusters(account) == taken, "what was acknowledged is there after a kill"


def test_a_nearly_full_disk_takes_no_log_events_and_goes_on(small):
    account = small.account()
    account.logs.create_log_group(logGroupName="/g")
    account.logs.create_log_stream(logGroupName="/g", logStreamName="s")
    event = {"timestamp": int(time.time() * 1000), "message": "kept"}
    put = {"logGroupName": "/g", "logStreamName": "s", "logEvents": [event]}
    account.logs.put_log_events(**put)
    fill(small.data_dir, leave=8 * 1024 * 1024)
    assert refused(account.logs.put_log_events, **put)
    read = account.logs.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True)["events"]
    assert [seen["message"] for seen in read] == ["kept"]
    account.ecs.create_cluster(clusterName="still-taken")
    (small.data_dir / "filler").unlink()
    assert not refused(account.logs.put_log_events, **put)
    read = account.logs.get_log_events(logGroupName="/g", logStreamName="s", startFromHead=True)["events"]
    assert [seen["message"] for seen in read] == ["kept", "kept"]
