"""Real tasks outlive whatever happens to `longshore up`, and `longshore down` leaves nothing of them."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from account import container, eventually, short
from conftest import IMAGES, ROOM

ROLE = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"
COUNT = "i=0; while :; do echo line $i; i=$((i+1)); usleep 10000; done"
WAIT = "trap 'exit 5' TERM; while :; do sleep 0.1; done"
# How long nobody is there: some lines are written meanwhile.
AWAY = 0.5


class Machine:
    """A real instance, and what this machine shows of it."""

    def __init__(self, instance):
        self.instance = instance
        self.account = instance.account()
        self.cluster = self.account.cluster(clusterName="c")
        done = instance.command("image", "import", str(IMAGES / "busybox.tar"), "--tag", "busybox:latest")
        assert done.returncode == 0, done.stderr
        instance.lend_execution_role()
        sockets = [re.search(r"/run/longshore/([0-9a-f]{8})/", words) for words in self.processes(instance.process.pid)]
        self.id = next(found[1] for found in sockets if found)

    def processes(self, parent):
        """Command lines of a process's children."""
        shown = subprocess.run(["ps", "-o", "args=", "--ppid", str(parent)], text=True, capture_output=True)
        return shown.stdout.splitlines()

    def run(self, script, **fields):
        """A running task of one container that logs to a group of its own."""
        log = {"logDriver": "awslogs", "options": {
            "awslogs-group": "/e2e", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e",
            "awslogs-create-group": "true",
        }}
        given = {"entryPoint": ["/bin/sh", "-c"], "command": [script], "logConfiguration": log, "stopTimeout": 2}
        definition = self.account.define(container(**given | fields), executionRoleArn=ROLE)
        arn = self.account.run(self.cluster, definition)[0]["taskArn"]
        self.account.until(self.cluster, arn, "RUNNING")
        return arn

    def until(self, arn, status):
        return self.account.until(self.cluster, arn, status)

    def lines(self, arn):
        return self.account.lines("/e2e", f"e2e/main/{short(arn)}")

    def pids(self):
        """Task id to the process id of its container; works without a server."""
        rows = [row.split() for row in self.instance.command("ps").stdout.splitlines()[1:]]
        return {row[0]: int(row[2]) for row in rows if row[2].isdigit()}

    def process(self, wanted):
        """The one process whose words satisfy."""
        found = [
            int(entry.name) for entry in pathlib.Path("/proc").iterdir()
            if entry.name.isdigit() and wanted(read(entry / "cmdline").split("\0")[:-1])
        ]
        assert len(found) == 1, found
        return found[0]

    def supervisor(self, arn):
        """The process that watches over a task."""
        return self.process(lambda words: "supervise" in words and short(arn) in words[-1])

    def containerd(self):
        return self.process(lambda words: words[:1] and words[0].endswith("containerd") and self.id in words[-1])

    def traces(self):
        """Everything on this machine that carries the instance's id, by kind."""
        def told(*words):
            # `find` complains of what vanishes under it.
            shown = subprocess.run(words, text=True, capture_output=True, check=words[0] != "find")
            return [line for line in shown.stdout.splitlines() if self.id in line]

        cmdlines = (read(entry / "cmdline") for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit())
        found = {
            "links": told("ip", "-o", "link"), "namespaces": told("ip", "netns"), "routes": told("ip", "route"),
            "firewall": told("nft", "list", "ruleset") + told("iptables-save"),
            "mounts": [line for line in read("/proc/self/mounts").splitlines() if self.id in line],
            "groups": told("find", "/sys/fs/cgroup", "-maxdepth", "5", "-name", f"*{self.id}*"),
            "processes": [words for words in cmdlines if self.id in words and "find\0" not in words],
            "files": [str(path) for path in pathlib.Path("/run/longshore").glob(f"*{self.id}*")],
        }
        return {kind: lines for kind, lines in found.items() if lines}


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists() and ") Z " not in read(f"/proc/{pid}/stat")


@pytest.fixture
def machine(fresh):
    return Machine(fresh(*ROOM))


def check_count(lines):
    """Every line once, in order, from the first."""
    wanted = [f"line {index}" for index in range(len(lines))]
    wrong = [(index, line) for index, (line, want) in enumerate(zip(lines, wanted)) if line != want]
    assert not wrong, f"{len(wrong)} of {len(lines)} lines, the first: {wrong[:3]}"


def check_goes_on(machine, arn, interrupt):
    """A counting task lives through three interruptions: the same process, no line lost, none doubled."""
    pid = machine.pids()[short(arn)]
    for _ in range(3):
        before = len(machine.lines(arn))
        eventually(lambda: len(machine.lines(arn)) > before + 10)
        interrupt()
        time.sleep(AWAY)
        assert alive(pid), "the task goes on meanwhile"
        machine.instance.start()
        assert machine.pids()[short(arn)] == pid
    before = len(machine.lines(arn))
    eventually(lambda: len(machine.lines(arn)) > before + 50)
    machine.account.ecs.stop_task(cluster=machine.cluster, task=arn)
    machine.until(arn, "STOPPED")
    lines = eventually(lambda: len(now := machine.lines(arn)) > before + 50 and now)
    check_count(lines)


def test_a_task_counts_on_while_the_server_is_killed(machine):
    check_goes_on(machine, machine.run(COUNT), machine.instance.kill)


def test_a_task_counts_on_while_the_server_is_upgraded(machine):
    check_goes_on(machine, machine.run(COUNT), machine.instance.stop)


def test_an_end_while_nobody_looked_is_told_afterwards(machine):
    ended, going = machine.run(WAIT), machine.run(WAIT)
    pids = machine.pids()
    machine.instance.kill()
    assert machine.pids() == pids, "ps needs no server"
    os.kill(pids[short(ended)], signal.SIGTERM)
    eventually(lambda: not alive(pids[short(ended)]))
    machine.instance.start()
    task = machine.until(ended, "STOPPED")
    assert (task["stopCode"], task["containers"][0]["exitCode"]) == ("EssentialContainerExited", 5)
    assert machine.account.task(machine.cluster, going)["lastStatus"] == "RUNNING"
    assert machine.pids() == {short(going): pids[short(going)]}


def test_a_service_heals_what_broke_while_nobody_looked(machine):
    account = machine.account
    definition = account.define(container(entryPoint=["/bin/sh", "-c"], command=[WAIT], stopTimeout=2))
    name = account.serve(machine.cluster, definition, desiredCount=2)
    account.until_steady(machine.cluster, name)
    pids = machine.pids()
    victim, survivor = pids
    machine.instance.kill()
    os.kill(pids[victim], signal.SIGKILL)
    machine.instance.start()
    eventually(lambda: victim not in str(account.tasks(machine.cluster, serviceName=name)))
    account.until_steady(machine.cluster, name)
    after = machine.pids()
    assert len(after) == 2 and after[survivor] == pids[survivor]


def test_a_task_that_was_just_acknowledged_runs_once(machine):
    definition = machine.account.define(container(entryPoint=["/bin/sh", "-c"], command=[WAIT], stopTimeout=2))
    arns = []
    # A start takes some tens of milliseconds: the end comes at each of its steps.
    for milliseconds in (0, 3, 6, 10, 15, 20, 30, 45):
        arns += [task["taskArn"] for task in machine.account.run(machine.cluster, definition, count=2)]
        time.sleep(milliseconds / 1000)
        machine.instance.kill()
        machine.instance.start()
    for arn in arns:
        machine.until(arn, "RUNNING")
    rows = [row.split() for row in machine.instance.command("ps").stdout.splitlines()[1:]]
    assert sorted(row[0] for row in rows) == sorted(short(arn) for arn in arns)
    supervisors = [words for words in machine.traces()["processes"] if "\0supervise\0" in words]
    assert len(supervisors) == len(arns)


def test_a_task_that_was_told_to_stop_stops_after_a_restart(machine):
    arn = machine.run(WAIT)
    machine.account.ecs.stop_task(cluster=machine.cluster, task=arn, reason="enough")
    machine.instance.kill()
    machine.instance.start()
    task = machine.until(arn, "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    eventually(lambda: machine.pids() == {})


@pytest.mark.parametrize("while_away", [False, True])
def test_the_death_of_a_supervisor_ends_its_task_and_no_other(machine, while_away):
    victim, other = machine.run(WAIT), machine.run(WAIT)
    pids = machine.pids()
    if while_away:
        machine.instance.kill()
    os.kill(machine.supervisor(victim), signal.SIGKILL)
    if while_away:
        machine.instance.start()
    machine.until(victim, "STOPPED")
    eventually(lambda: not alive(pids[short(victim)]))
    assert machine.pids() == {short(other): pids[short(other)]}
    assert alive(pids[short(other)])


def test_a_containerd_that_dies_comes_back(machine):
    running = machine.run(WAIT)
    pid = machine.containerd()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))
    assert machine.account.task(machine.cluster, running)["lastStatus"] == "RUNNING"
    machine.run(WAIT)


def test_a_reset_ends_the_containers_that_run(fresh):
    machine = Machine(fresh("--auth", "permissive", *ROOM))
    arns = [machine.run(WAIT), machine.run(COUNT)]
    account = machine.account
    definition = account.define(container(entryPoint=["/bin/sh", "-c"], command=[WAIT], stopTimeout=2))
    account.serve(machine.cluster, definition, desiredCount=2)
    pids = eventually(lambda: len(now := machine.pids()) == 4 and now)
    assert machine.instance.http("/_longshore/reset", "POST", b"")[0] == 200
    assert account.ecs.list_clusters()["clusterArns"] == []
    eventually(lambda: not any(alive(pid) for pid in pids.values()) and machine.pids() == {})
    assert not set(map(short, arns)) & set(machine.pids())
    account.cluster(clusterName="c")
    machine.run(WAIT)
    assert len(machine.pids()) == 1


@pytest.mark.parametrize("how", ["after a stop", "after a kill"])
def test_down_leaves_nothing(machine, how):
    machine.run(COUNT), machine.run(WAIT)
    account = machine.account
    definition = account.define(container(command=["sleep", "1000"], stopTimeout=2))
    account.serve(machine.cluster, definition, networkConfiguration=account.network())
    eventually(lambda: len(machine.pids()) == 3)
    pids = list(machine.pids().values())
    assert set(machine.traces()) >= {"links", "namespaces", "routes", "groups", "processes", "files"}
    machine.instance.stop() if how == "after a stop" else machine.instance.kill()
    assert all(alive(pid) for pid in pids), "tasks go on until down"
    down = machine.instance.command("down")
    assert down.returncode == 0, down.stderr
    assert not any(alive(pid) for pid in pids)
    assert machine.traces() == {}
    assert machine.instance.command("down").returncode == 0, "once more does no harm"


def test_after_down_it_starts_again_and_its_service_runs_again(machine):
    account = machine.account
    definition = account.define(container(entryPoint=["/bin/sh", "-c"], command=[WAIT], stopTimeout=2))
    name = account.serve(machine.cluster, definition)
    account.until_steady(machine.cluster, name)
    before = account.tasks(machine.cluster, serviceName=name)
    machine.instance.stop()
    assert machine.instance.command("down").returncode == 0
    machine.instance.start()
    eventually(lambda: account.tasks(machine.cluster, serviceName=name) != before)
    account.until_steady(machine.cluster, name)
    assert account.task(machine.cluster, before[0])["lastStatus"] == "STOPPED"
