"""A restart under many tasks: all are back as they were. The time it takes is printed, not asserted."""

import time

from account import eventually
from ledger import Sightings
from writer import Writer

TASKS = 5000


class Fleet(Writer):
    """One client with one large service."""

    def __init__(self, instance):
        super().__init__(instance, "fleet", 0)
        self.ecs(
            "CreateService", cluster=self.own, serviceName="many", taskDefinition="fleet-base", desiredCount=TASKS,
            launchType="FARGATE", networkConfiguration=self.network,
        )

    def running(self):
        service, = self.ecs("DescribeServices", cluster=self.own, services=["many"])["services"]
        return service["runningCount"]


def test_five_thousand_tasks_are_back_after_a_kill(fresh):
    instance = fresh("--engine", "simulated")
    fleet = Fleet(instance)
    began = time.monotonic()
    eventually(lambda: fleet.running() == TASKS)
    print(f"{TASKS} tasks run {time.monotonic() - began:.2f} s after they were asked for")
    seen = Sightings()
    for task in fleet.tasks():
        seen.see(task)
    instance.kill()
    fleet.caller.hang_up()
    began = time.monotonic()
    instance.start()
    print(f"ready with {TASKS} tasks {time.monotonic() - began:.2f} s after the start")
    tasks = fleet.tasks()
    assert {task["taskArn"] for task in tasks} == set(seen.seen) and len(tasks) == TASKS
    for task in tasks:
        seen.see(task)
        assert (task["lastStatus"], task["desiredStatus"], task["connectivity"]) == ("RUNNING", "RUNNING", "CONNECTED")
    # The node knows them too: it ends those that it is told to end.
    ends = [task["taskArn"] for task in tasks[:10]]
    for arn in ends:
        fleet.ecs("StopTask", cluster=fleet.own, task=arn)
    eventually(lambda: all(task["lastStatus"] == "STOPPED" for task in fleet.described(ends)))
    eventually(lambda: fleet.running() == TASKS)
