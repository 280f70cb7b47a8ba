"""What tasks leave behind once they have ended: nothing. Two hundred come and go, ten at a time, and what this machine
then holds for the instance is what it held before them.
"""

import os
import pathlib
import subprocess

from account import container, eventually
from conftest import ROOM
from disk import below
from test_durability import ROLE, Machine, read

WARM, TASKS, AT_ONCE = 20, 200, 10
MIB = 1 << 20

# How much more there may be than before. Some of a thing are kept ready or written in the background; what leaks would
# grow by two hundred. Ended tasks are described for an hour and their lines are kept: some KiB each.
MORE = {
    "descriptors": 20, "threads": 16, "namespaces": 8, "links": 8, "words of rules": 40, "files": 20,
    "bytes on disk": 4 * MIB,
}
# The write-ahead log is written back once it is so long.
LOG_BYTES = 20 * MIB


def told(*words):
    return subprocess.run(words, text=True, capture_output=True, check=True).stdout


def children(pid):
    """A process and all below it."""
    found = [str(pid)]
    for parent in found:
        shown = subprocess.run(["ps", "-o", "pid=", "--ppid", parent], text=True, capture_output=True)
        found += shown.stdout.split()
    return set(found)


def links(directory):
    """What the entries of a directory of links point at."""
    try:
        return {os.readlink(entry) for entry in pathlib.Path(directory).iterdir()}
    except OSError:
        return set()


def size(path):
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0


class Holdings:
    """What a machine holds for an instance, by kind."""

    def __init__(self, machine):
        self.machine = machine
        self.router = f"longshore-{machine.id}"
        tree = pathlib.Path("/sys/fs/cgroup")
        self.groups = [*tree.glob(f"longshore/{machine.id}"), *tree.glob(f"*/longshore/{machine.id}")]

    def processes(self):
        """Ids of the server's process, of those below it, of supervisors and of whatever is in a task's group."""
        marked = {
            entry.name for entry in pathlib.Path("/proc").iterdir()
            if entry.name.isdigit() and self.machine.id in read(entry / "cmdline")
        }
        grouped = {pid for group in self.groups for path in below(group)
                   if path.name == "cgroup.procs" for pid in read(path).split()}
        return children(self.machine.instance.process.pid) | marked | grouped

    def count(self):
        processes = self.processes()
        own = self.machine.instance.process.pid
        namespaces = set().union(*(links(f"/proc/{pid}/ns") | links(f"/proc/{pid}/fd") for pid in processes))
        data = below(self.machine.instance.data_dir)
        # Calls are recorded for good, up to a bound of their own.
        data = [path for path in data if "audit" not in path.parts]
        traces = self.machine.traces()
        return {
            "processes": len(processes),
            "descriptors": len(os.listdir(f"/proc/{own}/fd")),
            "containerd's descriptors": len(os.listdir(f"/proc/{self.machine.containerd()}/fd")),
            "threads": len(os.listdir(f"/proc/{own}/task")),
            "namespaces": len([name for name in namespaces if name.startswith("net:[")]),
            "links": told("ip", "-n", self.router, "-o", "link").count("\n") + len(traces["links"]),
            "words of rules": len(told("ip", "netns", "exec", self.router, "nft", "list", "ruleset").split()),
            "rules outside": len(traces.get("firewall", [])),
            "routes": len(traces["routes"]),
            "mounts": len(traces.get("mounts", [])),
            "groups": sum(len(list(os.walk(group))) for group in self.groups),
            "entries at run time": len(below(f"/run/longshore/{self.machine.id}")),
            "files": len(data),
            "bytes on disk": sum(size(path) for path in data if not path.name.endswith("-wal")),
        }


class Shift:
    """Tasks that end by themselves and tasks that are stopped, some of each at a time."""

    def __init__(self, machine):
        self.machine, self.account = machine, machine.account
        log = {"logDriver": "awslogs", "options": {
            "awslogs-group": "/leaks", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e",
            "awslogs-create-group": "true",
        }}
        says = container(command=["echo", "here"], logConfiguration=log)
        stays = container(
            command=["sleep", "1000"], stopTimeout=2, linuxParameters={"initProcessEnabled": True},
            healthCheck={"command": ["CMD", "true"]}, mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}],
        )
        self.ending = self.account.define(says, executionRoleArn=ROLE)
        self.staying = self.account.define(stays, volumes=[{"name": "v"}])

    def run(self, tasks):
        for _ in range(tasks // AT_ONCE):
            ending = self.start(self.ending, public=False)
            staying = self.start(self.staying, public=True)
            for arn in staying:
                self.machine.until(arn, "RUNNING")
                self.account.ecs.stop_task(cluster=self.machine.cluster, task=arn)
            for arn in ending + staying:
                self.machine.until(arn, "STOPPED")

    def start(self, definition, public):
        network = self.account.network(public)
        tasks = self.account.run(self.machine.cluster, definition, count=AT_ONCE // 2, networkConfiguration=network)
        return [task["taskArn"] for task in tasks]


def more(before, now):
    """The kinds of which there is more than there may be: how many there were and are."""
    return {kind: (before[kind], now[kind]) for kind in now if now[kind] > before[kind] + MORE.get(kind, 0)}


def test_two_hundred_tasks_leave_nothing(fresh):
    machine = Machine(fresh(*ROOM))
    shift = Shift(machine)
    shift.run(WARM)
    eventually(lambda: not any("\0supervise\0" in words for words in machine.traces()["processes"]))
    holdings = Holdings(machine)
    before = holdings.count()
    shift.run(TASKS)
    print(before, holdings.count(), sep="\n")

    try:
        eventually(lambda: not more(before, holdings.count()), every=0.5)
    except AssertionError:
        raise AssertionError(f"more than before: {more(before, holdings.count())}") from None
    log = machine.instance.data_dir / "state.db-wal"
    assert log.stat().st_size < LOG_BYTES
    assert machine.pids() == {}
