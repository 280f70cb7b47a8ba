"""The loop of kills: clients write all kinds of things, the process dies at a random moment, and what was acknowledged
must be there when it is back. Twenty deaths, or as many as LONGSHORE_KILL_CYCLES says; LONGSHORE_KILL_SEED repeats a run
as far as threads let it.
"""

import concurrent.futures
import os
import random
import time

import pytest

from conftest import SIMULATED
from writer import Writer

CYCLES = int(os.environ.get("LONGSHORE_KILL_CYCLES", "20"))
# The deaths after which everything ever acknowledged is read, and not only the newest.
WHOLE = 10


@pytest.fixture
def chance():
    seed = os.environ.get("LONGSHORE_KILL_SEED") or str(random.randrange(10**9))
    print(f"LONGSHORE_KILL_SEED={seed}")
    return random.Random(seed)


def until_killed(instance, writers, seconds):
    """All write until the process dies; how many calls were answered."""
    with concurrent.futures.ThreadPoolExecutor(len(writers)) as pool:
        working = [pool.submit(writer.work) for writer in writers]
        concurrent.futures.wait(working, seconds, concurrent.futures.FIRST_COMPLETED)
        instance.kill()
        return sum(one.result() for one in working)


def back_again(instance, chance):
    """Start it; every fourth time it dies once more on its way."""
    instance.start(wait=False)
    if chance.random() < 0.25:
        time.sleep(chance.uniform(0, 0.2))
        instance.kill()
        instance.start(wait=False)
    instance.wait_ready()


def at_once(writers, what):
    with concurrent.futures.ThreadPoolExecutor(len(writers)) as pool:
        return list(pool.map(what, writers))


def settle(writers):
    """Left alone, everything becomes as it is wanted."""
    deadline = time.monotonic() + 30
    while unsettled := sum(at_once(writers, Writer.unsettled), []):
        assert time.monotonic() < deadline, f"{len(unsettled)} are not settled: {unsettled[:3]}"
        time.sleep(0.1)


def test_nothing_acknowledged_is_lost_however_often_it_is_killed(fresh, chance):
    instance = fresh(*SIMULATED)
    writers = [Writer(instance, f"70000000000{number}", chance.random()) for number in range(4)]
    answered = 0
    for cycle in range(1, CYCLES + 1):
        answered += until_killed(instance, writers, chance.uniform(0.01, 1.0))
        back_again(instance, chance)
        everything = cycle % WHOLE == 0 or cycle == CYCLES
        at_once(writers, lambda writer: writer.check(everything))
    assert answered > 50 * CYCLES
    print(f"{answered} calls were answered, {sum(len(writer.lines) for writer in writers)} lines stored")
    settle(writers)
