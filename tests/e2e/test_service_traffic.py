"""Services of real tasks behind a load balancer, with clients that ask all the time."""

import pytest

from account import container, eventually, short
from balancing import Balancer, Load
from test_elb_traffic import SCRIPT, address

WEB = container("web", image="my-web-app:latest", portMappings=[{"containerPort": 80}])
# Its checks fail once somebody has asked for /cgi-bin/ill.
FRAGILE = container(
    "web", image="busybox:latest", entryPoint=["/bin/sh", "-c"], command=[SCRIPT + "\n"],
    portMappings=[{"containerPort": 80}],
)


@pytest.fixture
def site(real):
    account = real.account()
    cluster, balancer = account.cluster(), Balancer(account)
    yield account, cluster, balancer
    for arn in account.ecs.list_services(cluster=cluster)["serviceArns"]:
        account.ecs.delete_service(cluster=cluster, service=arn, force=True)
    eventually(lambda: not account.tasks(cluster))
    balancer.remove()


def serve(account, cluster, balancer, definition, **fields):
    entry = {"targetGroupArn": balancer.group, "containerName": "web", "containerPort": 80}
    return account.serve(cluster, definition, loadBalancers=[entry], **fields)


def until_complete(account, cluster, name):
    def check():
        service = account.service(cluster, name)
        [last, *others] = service["deployments"]
        return not others and last["rolloutState"] == "COMPLETED" and service
    return eventually(check, 300)


def test_a_rolling_update_loses_no_request(site):
    account, cluster, balancer = site
    first, second = account.define(WEB), account.define(WEB | {"environment": [{"name": "A", "value": "1"}]})
    name = serve(account, cluster, balancer, first, desiredCount=10)
    until_complete(account, cluster, name)
    balancer.until_healthy(10)
    old = {short(arn) for arn in account.tasks(cluster, serviceName=name)}
    with Load(balancer, clients=10, rate=500) as load:
        account.ecs.update_service(cluster=cluster, service=name, taskDefinition=second)
        until_complete(account, cluster, name)
    new = {short(arn) for arn in account.tasks(cluster, serviceName=name)}
    assert not load.failures, (len(load.failures), load.count, load.failures[:5])
    assert len(new) == 10 and not old & new
    served = {body.split()[-1] for body in load.bodies}
    assert served == old | new
    # Scaling in loses none either.
    with Load(balancer, clients=4, rate=100) as load:
        account.ecs.update_service(cluster=cluster, service=name, desiredCount=2)
        eventually(lambda: len(balancer.health()) == 2)
    assert not load.failures, (len(load.failures), load.count, load.failures[:5])


def test_an_unhealthy_task_is_replaced(site):
    account, cluster, balancer = site
    balancer.elb.modify_target_group(
        TargetGroupArn=balancer.group, HealthCheckPath="/cgi-bin/health", UnhealthyThresholdCount=2,
    )
    name = serve(account, cluster, balancer, account.define(FRAGILE))
    until_complete(account, cluster, name)
    [sick] = account.tasks(cluster, serviceName=name)
    assert balancer.ask("/cgi-bin/ill")[0] == 200
    stopped = account.until(cluster, sick, "STOPPED")
    reason = f"Task failed ELB health checks in (target-group {balancer.group})"
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("ServiceSchedulerInitiated", reason)
    [sound] = account.tasks(cluster, serviceName=name)
    assert sound != sick and balancer.health()[address(account, cluster, sound)] == ("healthy", None)
    told = [event["message"] for event in account.service(cluster, name)["events"]]
    unwell = f"(service {name}) (port 80) is unhealthy in (target-group {balancer.group}) due to (reason Health checks failed"
    assert any(message.startswith(unwell) for message in told), told
