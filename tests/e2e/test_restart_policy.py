"""A container's restart policy. ECS restarts a container only once it has run for the period of a minute or more, so
the task of this test begins with the session's other real tasks (`restarting`) and is looked at after them.
"""

from account import eventually, short


def test_a_container_is_restarted_once_it_has_run_for_its_period(restarting):
    account, cluster, arn = restarting
    stream = f"e2e/again/{short(arn)}"
    eventually(lambda: len(account.lines("/e2e/restart", stream)) >= 2, 90, every=0.5)
    first, second = account.lines("/e2e/restart", stream)[:2]
    assert (first.split()[0], second.split()[0]) == ("started", "started")
    assert 60 <= float(second.split()[1]) - float(first.split()[1]) < 75
    task = account.task(cluster, arn)
    assert task["lastStatus"] == "RUNNING"
    again = next(one for one in task["containers"] if one["name"] == "again")
    assert again["lastStatus"] == "RUNNING"
    account.ecs.stop_task(cluster=cluster, task=arn)
    account.until(cluster, arn, "STOPPED")
    assert len(account.lines("/e2e/restart", stream)) == 2, "a stop is no reason to restart"
