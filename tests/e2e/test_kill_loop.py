"""The loop of kills: clients write all kinds of things, the process dies at a random moment, and what was acknowledged
must be there when it is back. Twenty deaths, or as many as LONGSHORE_KILL_CYCLES says; LONGSHORE_KILL_SEED repeats a
run as far as threads let it.
"""

import contextlib
import os
import signal
import time

from account import PATIENCE, container, eventually, fargate, short
from conftest import IMAGES, ROOM, SIMULATED
from writer import HEALTH, Writer, at_once, until_ended

CYCLES = int(os.environ.get("LONGSHORE_KILL_CYCLES", "20"))
# The deaths after which everything ever acknowledged is read, and not only the newest.
WHOLE = 10


def back_again(instance, chance):
    """Start it; every fourth time it dies once more on its way."""
    instance.start(wait=False)
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, 0.2))
        instance.kill()
        instance.start(wait=False)
    instance.wait_ready()


def settle(writers):
    """Left alone, everything becomes as it is wanted."""
    deadline = time.monotonic() + PATIENCE
    while unsettled := sum(at_once(writers, Writer.unsettled), []):
        assert time.monotonic() < deadline, f"{len(unsettled)} are not settled: {unsettled[:3]}"
        time.sleep(0.1)


def test_nothing_acknowledged_is_lost_however_often_it_is_killed(fresh, chance):
    instance = fresh(*SIMULATED)
    writers = [Writer(instance, f"w{each}", chance.random(), f"70000000000{each}") for each in range(4)]
    answered = 0
    for cycle in range(1, CYCLES + 1):
        answered += until_ended(writers, chance.uniform(0.01, 1.0), instance.kill)
        back_again(instance, chance)
        everything = cycle % WHOLE == 0 or cycle == CYCLES
        at_once(writers, lambda writer: writer.check(everything))
    assert answered > 5 * CYCLES
    print(f"{answered} calls were answered, {sum(len(writer.lines) for writer in writers)} lines stored")
    settle(writers)


# Containers

COUNT = "trap 'echo end; exit 5' TERM; i=0; while :; do echo line $i; i=$((i+1)); usleep 10000; done"
# Two clients of one account, and one of another on the same node.
ACCOUNTS = [None, None, "710000000000"]


class ContainerWriter(Writer):
    """A client of a real engine: its tasks count aloud until they are told to stop."""

    ACTS = {
        "define": 1, "run": 1, "stop": 1, "serve": 1, "tag": 2, "log": 2, "group": 1, "cluster": 1, "look": 4,
    }
    LIVE, REST = 4, 0.01

    def base(self):
        log = {"logDriver": "awslogs", "options": {
            "awslogs-group": "/kill", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "k",
            "awslogs-create-group": "true",
        }}
        main = container(
            entryPoint=["/bin/sh", "-c"], command=[COUNT], stopTimeout=2, logConfiguration=log, healthCheck=HEALTH,
        )
        role = f"arn:aws:iam::{self.account.id}:role/ecsTaskExecutionRole"
        return fargate(main, family=f"{self.own}-base", executionRoleArn=role)


def processes(instance):
    """Task id to the process of its container; needs no server."""
    rows = [row.split() for row in instance.command("ps", check=True).stdout.splitlines()[1:]]
    return {row[0]: int(row[2]) for row in rows if row[2].isdigit()}


def end_one(before, chance):
    """A container ends while nobody looks; its task's id."""
    victim = chance.choice(sorted(before))
    with contextlib.suppress(ProcessLookupError):
        os.kill(before[victim], signal.SIGTERM)
    return victim


def check_processes(instance, writers, before, victims):
    """A task that was to go on has the process that it had; one that ended had a reason."""
    after = processes(instance)
    for task in sum(at_once(writers, Writer.tasks), []):
        own = short(task["taskArn"])
        if task["desiredStatus"] == "RUNNING" and own in before and own not in victims:
            assert after.get(own) == before[own], (before[own], after.get(own), task)
        if task["desiredStatus"] == "STOPPED":
            check_end(task, own in victims)


def check_end(task, victim):
    reasons = {"UserInitiated", "ServiceSchedulerInitiated"} | ({"EssentialContainerExited"} if victim else set())
    assert task["stopCode"] in reasons, str(task)
    if task["lastStatus"] == "STOPPED" and task["stopCode"] == "EssentialContainerExited":
        assert task["containers"][0]["exitCode"] == 5, task


def check_output(account, task):
    """Every line once and in order, and the last word of a container that had one."""
    lines = account.lines("/kill", f"k/main/{short(task['taskArn'])}")
    said = [f"line {index}" for index in range(len(lines))]
    if task["containers"][0].get("exitCode") == 5:
        said[-1:] = ["end"]
    wrong = [(index, line) for index, (line, want) in enumerate(zip(lines, said)) if line != want]
    assert not wrong, f"{task['taskArn']}: {len(wrong)} of {len(lines)} lines, the first: {wrong[:3]}"
    return len(lines)


def check_ends(writers):
    """Once all has stopped: how many tasks there were and how many lines they said."""
    at_once(writers, Writer.stop_all)
    gone = lambda task: task["lastStatus"] == "STOPPED"
    eventually(lambda: all(map(gone, sum(at_once(writers, Writer.tasks), []))))
    ended = [(writer.account, task) for writer in writers for task in writer.tasks()]
    return len(ended), sum(check_output(account, task) for account, task in ended)


def test_containers_and_their_lines_outlive_every_kill(fresh, chance):
    instance = fresh("--auth", "permissive", *ROOM)
    done = instance.command("image", "import", IMAGES / "busybox.tar", "--tag", "busybox:latest")
    assert done.returncode == 0, done.stderr
    writers = [ContainerWriter(instance, f"w{each}", chance.random(), number) for each, number in enumerate(ACCOUNTS)]
    victims, ever = set(), {}
    for cycle in range(max(4, CYCLES // 4)):
        until_ended(writers, chance.uniform(0.1, 1.5), instance.kill)
        before = processes(instance)
        victims |= {end_one(before, chance)} if before else set()
        back_again(instance, chance)
        at_once(writers, Writer.check)
        check_processes(instance, writers, before, victims)
        for own, pid in before.items():
            assert ever.setdefault(own, pid) == pid, f"task {own} ran as {ever[own]} and as {pid}"
    at_once(writers, lambda writer: writer.check(everything=True))
    tasks, lines = check_ends(writers)
    print(f"{tasks} tasks said {lines} lines")
    assert tasks >= 4 and lines > 100
    eventually(lambda: not processes(instance))
