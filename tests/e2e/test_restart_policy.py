"""A container's restart policy. ECS restarts a container only once it has run for the period of a minute or more, so
the task of this test begins with the session's other real tasks (`restarting`) and is looked at after them.
"""

import pathlib

from account import eventually, short


def test_a_container_is_restarted_once_it_has_run_for_its_period(restarting):
    account, cluster, arn = restarting
    stream = f"e2e/again/{short(arn)}"

    def starts():
        """Moments in seconds since the machine started."""
        return [float(line.split()[1]) for line in account.lines("/e2e/restart", stream)]

    def began_lately():
        """It has been restarted, and will not be for a while."""
        uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
        return len(starts()) >= 2 and uptime - starts()[-1] < 30

    eventually(began_lately, 300, every=0.5)
    moments = starts()
    between = [later - earlier for earlier, later in zip(moments, moments[1:])]
    assert all(seconds >= 60 for seconds in between), between
    task = account.task(cluster, arn)
    assert task["lastStatus"] == "RUNNING"
    again = next(one for one in task["containers"] if one["name"] == "again")
    assert again["lastStatus"] == "RUNNING"
    assert "exitCode" not in again, "the code is of the life before"
    account.ecs.stop_task(cluster=cluster, task=arn)
    account.until(cluster, arn, "STOPPED")
    assert len(starts()) == len(moments), "a stop is no reason to restart"
