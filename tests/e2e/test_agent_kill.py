"""The agent dies at random moments while its tasks run, end, are started and stopped; the control plane stays.

A container's process never changes, an end that nobody saw is told with its code, and of its lines none is lost or
doubled. Five deaths, or as many as LONGSHORE_AGENT_KILLS says; LONGSHORE_KILL_SEED repeats a run as far as threads let
it.
"""

import os
import random
import time

import pytest

import half
from account import container, eventually, short

KILLS = int(os.environ.get("LONGSHORE_AGENT_KILLS", "5"))
GROUP = "/agent-kill"
ROLE = "arn:aws:iam::000000000000:role/ecsTaskExecutionRole"
# Says goodbye when told to stop.
STEADY = "trap 'echo end; exit 5' TERM; i=0; while :; do echo line $i; i=$((i+1)); usleep 10000; done"
MORTAL = "i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); usleep 10000; done; exit {code}"


@pytest.fixture
def halves():
    with half.both("busybox") as (server, agent):
        server.lend_execution_role()
        yield server, agent


class World:
    """The tasks there are, and what is to become of each."""

    def __init__(self, server, agent, chance):
        self.agent, self.chance = agent, chance
        self.account = server.account()
        self.cluster = self.account.cluster()
        self.steady, self.mortal, self.stopped = [], {}, []
        # Every process that a task was ever seen with.
        self.ever = {}

    def run(self, script):
        log = {"logDriver": "awslogs", "options": {
            "awslogs-group": GROUP, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "k",
            "awslogs-create-group": "true",
        }}
        given = {"entryPoint": ["/bin/sh", "-c"], "command": [script], "logConfiguration": log, "stopTimeout": 3}
        definition = self.account.define(container(**given), executionRoleArn=ROLE)
        return self.account.run(self.cluster, definition)[0]["taskArn"]

    def run_steady(self):
        self.steady.append(self.run(STEADY))

    def run_mortal(self):
        lines, code = self.chance.randrange(1, 120), self.chance.randrange(1, 100)
        self.mortal[self.run(MORTAL.format(lines=lines, code=code))] = (lines, code)

    def stop_one(self):
        task = self.steady.pop(self.chance.randrange(len(self.steady)))
        self.account.ecs.stop_task(cluster=self.cluster, task=task, reason="enough")
        self.stopped.append(task)

    def act(self):
        """Something of everything, in any order."""
        acts = [self.run_mortal, self.run_mortal, self.stop_one]
        acts += [self.run_steady] * (2 if len(self.steady) < 5 else 1)
        self.chance.shuffle(acts)
        for act in acts:
            act()

    def check_processes(self):
        """Who runs, runs as before; works without an agent."""
        rows = [row.split() for row in self.agent.command("ps", check=True).stdout.splitlines()[1:]]
        now = {row[0]: int(row[2]) for row in rows if row[2].isdigit()}
        for task, pid in now.items():
            assert self.ever.setdefault(task, pid) == pid, f"task {task} ran as {self.ever[task]} and as {pid}"
        return now

    def lines(self, task):
        return self.account.lines(GROUP, f"k/main/{short(task)}")

    def check_mortal(self, task):
        """It ran once to its end, which is told as it was."""
        lines, code = self.mortal[task]
        ended = self.account.until(self.cluster, task, "STOPPED")
        assert (ended["stopCode"], ended["containers"][0].get("exitCode")) == ("EssentialContainerExited", code), ended
        self.check_lines(task, [f"line {index}" for index in range(lines)])

    def check_stopped(self, task):
        ended = self.account.until(self.cluster, task, "STOPPED")
        assert (ended["stopCode"], ended["stoppedReason"]) == ("UserInitiated", "enough"), ended
        code = ended["containers"][0].get("exitCode")
        # One that was stopped before it ran has no code and no lines; one that was not ready to hear it was killed.
        assert code in (5, 137, None), ended
        if code == 5:
            eventually(lambda: "end" in self.lines(task))
        said = self.lines(task)
        counted = [f"line {index}" for index in range(len(said))]
        self.check_lines(task, {5: counted[:-1] + ["end"], 137: counted, None: []}[code])

    def check_lines(self, task, wanted):
        said = eventually(lambda: len(now := self.lines(task)) >= len(wanted) and [now])[0]
        wrong = [(index, line) for index, (line, want) in enumerate(zip(said, wanted)) if line != want]
        assert not wrong and len(said) == len(wanted), f"{task}: {len(said)} lines of {len(wanted)}, {wrong[:3]}"
        return len(said)


@pytest.fixture
def chance():
    seed = os.environ.get("LONGSHORE_KILL_SEED") or str(random.randrange(10**9))
    print(f"LONGSHORE_KILL_SEED={seed}")
    return random.Random(seed)


def kill_and_start(agent, world, chance):
    """It is away for a while, in which a task may be told to stop; every third time it dies once more on its way."""
    agent.kill()
    world.check_processes()
    if chance.random() < 0.5 and len(world.steady) > 1:
        world.stop_one()
    time.sleep(chance.uniform(0, 0.4))
    if chance.random() < 0.33:
        agent.start(wait=False)
        time.sleep(chance.uniform(0, 0.3))
        agent.kill()
    agent.start()


def test_tasks_and_their_lines_outlive_every_death_of_the_agent(halves, chance):
    server, agent = halves
    world = World(server, agent, chance)
    world.run_steady(), world.run_steady()
    for task in world.steady:
        world.account.until(world.cluster, task, "RUNNING")
    for _ in range(KILLS):
        before = world.check_processes()
        world.act()
        time.sleep(chance.uniform(0, 0.5))
        kill_and_start(agent, world, chance)
        after = world.check_processes()
        gone = [short(task) for task in world.steady if short(task) in before and short(task) not in after]
        assert not gone, f"{gone} run no more"
    while world.steady:
        world.stop_one()
    for task in world.mortal:
        world.check_mortal(task)
    for task in world.stopped:
        world.check_stopped(task)
    print(f"{len(world.mortal)} tasks ended by themselves, {len(world.stopped)} were stopped")
    eventually(lambda: world.check_processes() == {})
    eventually(lambda: not any((agent.data_dir / "tasks").iterdir()))
