"""Bad input over the API: identifiers (W8), names (W9), pages (W10), tags (W11), client tokens (W12), services (W13),
task definitions (W14), environments (N4), limits (N5) and ports (N6). Each is refused with a typed error and leaves
nothing behind.
"""

import base64

import pytest

from account import container, fargate, unique
from refusal import check_refused, refused

# Its time passes while the other tests run.
pytestmark = pytest.mark.usefixtures("rollout")

NAMING = {"InvalidParameterException", "ClientException", "SerializationException", "ValidationException"}


@pytest.fixture(scope="module")
def here(simulated):
    """An account with a cluster, a definition, a service and a task."""
    account = simulated.account("400000000008")
    account.name, account.definition = account.cluster(), account.define()
    account.running = account.run(account.name, account.definition)[0]["taskArn"]
    account.served = account.serve(account.name, account.definition, desiredCount=0)
    return account


@pytest.fixture(scope="module")
def elsewhere(simulated):
    account = simulated.account("400000000009")
    account.cluster(clusterName="own")
    return account


# W8


def identified(account):
    """Calls that take an identifier: the kind of its ARN, and the call."""
    ecs = account.unchecked("ecs")
    within = {"cluster": account.name} if hasattr(account, "name") else {"cluster": "own"}
    return {
        "list tasks": ("cluster", lambda arn: ecs.list_tasks(cluster=arn)),
        "delete cluster": ("cluster", lambda arn: ecs.delete_cluster(cluster=arn)),
        "describe clusters": ("cluster", lambda arn: ecs.describe_clusters(clusters=[arn])),
        "describe tasks": ("task", lambda arn: ecs.describe_tasks(**within, tasks=[arn])),
        "stop task": ("task", lambda arn: ecs.stop_task(**within, task=arn)),
        "describe services": ("service", lambda arn: ecs.describe_services(**within, services=[arn])),
        "update service": ("service", lambda arn: ecs.update_service(**within, service=arn)),
        "delete service": ("service", lambda arn: ecs.delete_service(**within, service=arn, force=True)),
        "describe definition": ("task-definition", lambda arn: ecs.describe_task_definition(taskDefinition=arn)),
        "deregister definition": ("task-definition", lambda arn: ecs.deregister_task_definition(taskDefinition=arn)),
        "list tags": ("cluster", lambda arn: ecs.list_tags_for_resource(resourceArn=arn)),
        "tag": ("task", lambda arn: ecs.tag_resource(resourceArn=arn, tags=[{"key": "a", "value": "b"}])),
    }


ARNS = {
    "another partition": "arn:aws-cn:ecs:us-east-1:{account}:{kind}/x",
    "another region": "arn:aws:ecs:eu-west-1:{account}:{kind}/x",
    "another account": "arn:aws:ecs:us-east-1:123123123123:{kind}/x",
    "no account": "arn:aws:ecs:us-east-1::{kind}/x",
    "another service": "arn:aws:s3:us-east-1:{account}:{kind}/x",
    "another kind": "arn:aws:ecs:us-east-1:{account}:daemon/x",
    "ten kilobytes": "arn:aws:ecs:us-east-1:{account}:{kind}/" + "a" * 10_000,
    "a wildcard": "arn:aws:ecs:us-east-1:{account}:{kind}/*",
    "a way up": "arn:aws:ecs:us-east-1:{account}:{kind}/../x",
    "percent-encoded": "arn:aws:ecs:us-east-1:{account}:{kind}/%2e%2e",
    "a trailing colon": "arn:aws:ecs:us-east-1:{account}:{kind}/x:",
    "nothing behind": "arn:aws:ecs:us-east-1:{account}:{kind}",
    "cut off": "arn:aws:ecs",
    "control characters": "arn:aws:ecs:us-east-1:{account}:{kind}/\x1b[31m\x00",
}


@pytest.mark.parametrize("form", ARNS.values(), ids=ARNS.keys())
def test_an_arn_that_cannot_be_meant_is_refused(here, form):
    for what, (kind, call) in identified(here).items():
        code, message = refused(call, form.format(account=here.id, kind=kind))
        assert code in NAMING | {"ResourceNotFoundException"}, f"{what}: {code}"
        assert len(message) < 1000 and message.isprintable() and message.isascii(), f"{what}: {message[:200]}"


def test_what_another_account_has_looks_like_what_nobody_has(here, elsewhere):
    theirs = {
        "cluster": here.arn(f"cluster/{here.name}"), "task": here.running,
        "service": here.arn(f"service/{here.name}/{here.served}"),
        "task-definition": here.arn(f"task-definition/{here.definition}"),
    }
    nobodys = {
        "cluster": here.arn("cluster/nobody"), "task": here.arn(f"task/{here.name}/{'0' * 32}"),
        "service": here.arn(f"service/{here.name}/nobody"), "task-definition": here.arn("task-definition/nobody:1"),
    }
    for what, (kind, call) in identified(elsewhere).items():
        assert refused(call, theirs[kind]) == refused(call, nobodys[kind]), what
    assert here.task(here.name, here.running)["desiredStatus"] == "RUNNING"
    assert here.service(here.name, here.served)["status"] == "ACTIVE"


# W9

NAMES = {
    "markup": "<script>alert(1)</script>", "an escape": "\x1b[31mred", "right to left": "\u202egnp.exe",
    "a way up": "../etc", "a NUL": "a\x00b", "too long": "a" * 600, "a space": "a b", "a line end": "a\n",
    "a colon": "a:b", "an emoji": "🚢",
}


def naming(account):
    ecs, logs = account.unchecked("ecs"), account.unchecked("logs")
    return {
        "cluster": lambda name: ecs.create_cluster(clusterName=name),
        "family": lambda name: ecs.register_task_definition(**fargate(family=name)),
        "container": lambda name: ecs.register_task_definition(**fargate(container(name))),
        "volume": lambda name: ecs.register_task_definition(**fargate(volumes=[{"name": name}])),
        "service": lambda name: account.ecs.create_service(
            cluster=account.name, serviceName=name, taskDefinition=account.definition, desiredCount=0,
            launchType="FARGATE", networkConfiguration=account.network(),
        ),
        "log group": lambda name: logs.create_log_group(logGroupName=name),
    }


# A log group's name may hold dots and slashes: it is a name and never a path.
NAMED = [
    (what, how) for what in ("cluster", "family", "container", "volume", "service", "log group") for how in NAMES
    if (what, how) != ("log group", "a way up")
]


@pytest.mark.parametrize("what,how", NAMED, ids=[f"{what}-{how}" for what, how in NAMED])
def test_an_odd_name_is_refused(here, what, how):
    code, message = refused(naming(here)[what], NAMES[how])
    assert code in NAMING, f"{code}: {message}"
    # CloudWatch Logs repeats the value in its message, as AWS does; ECS does not.
    assert what == "log group" or not any(character in message for character in "\x00\x1b\u202e\n")


def test_a_name_that_looks_like_an_option_is_a_name(account):
    name = "-rf"
    assert account.ecs.create_cluster(clusterName=name)["cluster"]["clusterName"] == name
    assert account.ecs.list_clusters()["clusterArns"] == [account.arn(f"cluster/{name}")]


# W10


def listing(account):
    ecs = account.unchecked("ecs")
    return {
        "clusters": lambda **page: ecs.list_clusters(**page),
        "definitions": lambda **page: ecs.list_task_definitions(**page),
        "families": lambda **page: ecs.list_task_definition_families(**page),
        "services": lambda **page: ecs.list_services(cluster=account.name, **page),
        "tasks": lambda **page: ecs.list_tasks(cluster=account.name, **page),
        "settings": lambda **page: ecs.list_account_settings(effectiveSettings=True, **page),
    }


@pytest.mark.parametrize("count", [0, -1, 10**9])
@pytest.mark.parametrize("what", ["clusters", "definitions", "families", "services", "tasks", "settings"])
def test_a_page_has_a_size_that_makes_sense(here, what, count):
    check_refused("InvalidParameterException", "maxResults", listing(here)[what], maxResults=count)


def test_a_page_token_is_good_where_it_came_from_and_nowhere_else(here, elsewhere):
    for _ in range(2):
        here.cluster(), elsewhere.cluster()
    token = here.ecs.list_clusters(maxResults=1)["nextToken"]
    assert here.ecs.list_clusters(maxResults=1, nextToken=token)["clusterArns"]
    forged = base64.b64encode(b'{"after":"a"}').decode()
    for bad in (token[:-1], token[1:], token + "A", token.swapcase(), forged, "x", "a" * 100_000, "\x01"):
        check_refused("InvalidParameterException", "oken", here.unchecked("ecs").list_clusters, nextToken=bad)
    check_refused("InvalidParameterException", "oken", elsewhere.ecs.list_clusters, nextToken=token)
    check_refused("InvalidParameterException", "oken", here.ecs.list_task_definitions, nextToken=token)


# W11

TAGS = {
    "fifty-one": [{"key": f"k{index}", "value": ""} for index in range(51)],
    "a reserved key": [{"key": "aws:mine", "value": ""}],
    "a key twice": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}],
    "a long key": [{"key": "k" * 129, "value": ""}],
    "a long value": [{"key": "k", "value": "v" * 257}],
    "an empty key": [{"key": "", "value": ""}],
    "no key": [{"value": "v"}],
    "markup": [{"key": "<b>", "value": ""}],
    "a control character": [{"key": "k", "value": "a\x07"}],
}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS.keys())
def test_bad_tags_are_refused_everywhere(here, tags):
    ecs = here.unchecked("ecs")
    calls = [
        lambda: ecs.create_cluster(clusterName=unique(), tags=tags),
        lambda: ecs.register_task_definition(**fargate(tags=tags)),
        lambda: ecs.tag_resource(resourceArn=here.arn(f"cluster/{here.name}"), tags=tags),
        lambda: ecs.run_task(
            cluster=here.name, taskDefinition=here.definition, launchType="FARGATE",
            networkConfiguration=here.network(public=False), tags=tags,
        ),
    ]
    for call in calls:
        assert refused(call)[0] == "InvalidParameterException"
    assert here.ecs.list_tags_for_resource(resourceArn=here.arn(f"cluster/{here.name}"))["tags"] == []


def test_a_resource_has_fifty_tags_and_no_more(account):
    arn = account.arn(f"cluster/{account.cluster(tags=TAGS['fifty-one'][:50])}")
    code, _ = refused(account.ecs.tag_resource, resourceArn=arn, tags=[{"key": "one more", "value": ""}])
    assert code in ("LimitExceededException", "InvalidParameterException")
    account.ecs.tag_resource(resourceArn=arn, tags=[{"key": "k0", "value": "new"}])
    assert len(account.ecs.list_tags_for_resource(resourceArn=arn)["tags"]) == 50


# W12


@pytest.mark.parametrize("token", ["a" * 65, "a b", "🚢", "a\tb", "\x01"])
def test_a_bad_client_token_is_refused(here, token):
    code, message = refused(here.try_run, here.name, here.definition, clientToken=token)
    assert code in NAMING and "clientToken" in message, message


def test_a_services_client_token_is_shorter(here):
    long = "a" * 37
    check_refused("InvalidParameterException", "clientToken", here.serve, here.name, here.definition, clientToken=long)


def test_a_token_means_its_own_cluster_operation_and_account(account, elsewhere):
    """One token over two clusters, two operations and two accounts has as many effects."""
    def use(owner, cluster):
        definition = owner.define()
        task = owner.run(cluster, definition, clientToken="same")[0]["taskArn"]
        service = owner.serve(cluster, definition, clientToken="same", desiredCount=0)
        return task, service

    used = [use(account, account.cluster()), use(account, account.cluster()), use(elsewhere, elsewhere.cluster())]
    assert len({task for task, _ in used}) == len({service for _, service in used}) == 3


# W13

SERVICES = {
    "a daemon that is counted": {"schedulingStrategy": "DAEMON", "desiredCount": 1},
    "no room to move": {"deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 100}},
    "a floor over hundred": {"deploymentConfiguration": {"minimumHealthyPercent": 101}},
    "a negative floor": {"deploymentConfiguration": {"minimumHealthyPercent": -1}},
    "a low ceiling": {"deploymentConfiguration": {"maximumPercent": 99}},
    "launch type and strategy": {"capacityProviderStrategy": [{"capacityProvider": "FARGATE", "weight": 1}]},
    "placement on Fargate": {"placementStrategy": [{"type": "spread", "field": "instanceId"}]},
    "seven target groups": {"loadBalancers": [
        {"targetGroupArn": f"arn:aws:elasticloadbalancing:us-east-1:400000000008:targetgroup/t/{index}",
         "containerName": "main", "containerPort": 80} for index in range(7)
    ]},
    "an unknown subnet": {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-00000000000000000"]}}},
    "an unknown security group": {"securityGroups": ["sg-00000000000000000"]},
    "seventeen subnets": {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"] * 17}}},
    "no network": {"networkConfiguration": {}},
    "a negative count": {"desiredCount": -1},
    "too many tasks": {"desiredCount": 5001},
    "no definition": {"taskDefinition": "nobody:1"},
    "an unknown provider": {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "x", "weight": 1}]},
    "a platform that is not there": {"platformVersion": "0.0.1"},
}


def service_request(account, given):
    request = {
        "cluster": account.name, "serviceName": unique(), "taskDefinition": account.definition, "desiredCount": 1,
        "launchType": "FARGATE", "networkConfiguration": account.network(public=False),
    }
    given = dict(given)
    if "securityGroups" in given:
        vpc = account.network()["awsvpcConfiguration"] | {"securityGroups": given.pop("securityGroups")}
        given["networkConfiguration"] = {"awsvpcConfiguration": vpc}
    return {key: value for key, value in (request | given).items() if value is not None}


@pytest.mark.parametrize("given", SERVICES.values(), ids=SERVICES.keys())
def test_a_service_that_contradicts_itself_is_refused(here, given):
    request = service_request(here, given)
    code, message = refused(here.unchecked("ecs").create_service, **request)
    assert code in ("InvalidParameterException", "ClientException", "PlatformUnknownException"), f"{code}: {message}"
    assert here.ecs.describe_services(cluster=here.name, services=[request["serviceName"]])["services"] == []


UPDATES = ["a floor over hundred", "a low ceiling", "an unknown subnet", "an unknown security group",
           "a negative count", "too many tasks", "no definition", "seventeen subnets", "no room to move"]


@pytest.mark.parametrize("what", UPDATES)
def test_an_update_that_contradicts_itself_changes_nothing(here, what):
    before = here.service(here.name, here.served)
    request = service_request(here, SERVICES[what])
    wanted = {key: request[key] for key in SERVICES[what] if key in request}
    if what == "an unknown security group":
        wanted = {"networkConfiguration": request["networkConfiguration"]}
    code, message = refused(here.unchecked("ecs").update_service, cluster=here.name, service=here.served, **wanted)
    assert code in ("InvalidParameterException", "ClientException"), f"{code}: {message}"
    assert here.service(here.name, here.served) == before


# W14, N4, N5, N6


def one(**fields):
    return fargate(container(**fields))


def depends(*pairs):
    return [
        container(name, dependsOn=[{"containerName": on, "condition": "START"}] if on else []) for name, on in pairs
    ]


def linux(**fields):
    return one(linuxParameters=fields)


def mounts(volume):
    return fargate(
        container(mountPoints=[{"sourceVolume": volume["name"], "containerPath": "/data"}]), volumes=[volume]
    )


def ports(*mappings, **fields):
    return fargate(container(portMappings=list(mappings)), **fields)


BRIDGE = {"networkMode": "bridge", "requiresCompatibilities": ["EC2"]}

DEFINITIONS = {
    "no containers": fargate() | {"containerDefinitions": []},
    "eleven containers": fargate(*[container(f"c{index}") for index in range(11)]),
    "over 64 KiB": one(command=["x" * 66_000]),
    "nothing essential": one(essential=False),
    "a name twice": fargate(container(), container()),
    "no image": one(image=""),
    "an image of two tags": one(image="a:b:c d"),
    "a circle of dependencies": fargate(*depends(("a", "b"), ("b", "c"), ("c", "a"))),
    "a dependency on itself": fargate(*depends(("a", "a"))),
    "a dependency on nobody": fargate(*depends(("a", "nobody"))),
    "a port twice": ports({"containerPort": 80}, {"containerPort": 80}),
    "memory under its reservation": one(memory=128, memoryReservation=256),
    "containers over the task's memory": fargate(container("a", memory=300), container("b", memory=300)),
    "containers over the task's cpu": fargate(container("a", cpu=200), container("b", cpu=200)),
    "a pair Fargate lacks": fargate(cpu="256", memory="8192"),
    "a cpu that is no number": fargate(cpu="lots"),
    "no cpu": {key: value for key, value in fargate().items() if key != "cpu"},
    "Fargate on a bridge": fargate(networkMode="bridge"),
    "links": one(links=["other"]),
    "a host path": mounts({"name": "v", "host": {"sourcePath": "/"}}),
    "the socket of Docker (N3)": mounts({"name": "v", "host": {"sourcePath": "/var/run/docker.sock"}}),
    "the processes of the host (N3)": mounts({"name": "v", "host": {"sourcePath": "/proc"}}),
    "a host path with a way up": mounts({"name": "v", "host": {"sourcePath": "/srv/../etc"}}),
    "a volume that is not there": one(mountPoints=[{"sourceVolume": "nobody", "containerPath": "/data"}]),
    "a volume twice": fargate(volumes=[{"name": "v"}, {"name": "v"}]),
    "volumes from nobody": one(volumesFrom=[{"sourceContainer": "nobody"}]),
    "a mount on a path that is not absolute": fargate(
        container(mountPoints=[{"sourceVolume": "v", "containerPath": "data"}]), volumes=[{"name": "v"}]
    ),
    "a health check every second": one(healthCheck={"command": ["CMD", "true"], "interval": 1}),
    "a health check without a command": one(healthCheck={"command": []}),
    "a stop that takes an hour": one(stopTimeout=3600),
    "a start that takes an hour": one(startTimeout=3600),
    "restarts every second": one(restartPolicy={"enabled": True, "restartAttemptPeriod": 1}),
    "awslogs without a group": one(logConfiguration={"logDriver": "awslogs", "options": {}}),
    "a log driver Fargate lacks": one(logConfiguration={"logDriver": "syslog"}),
    "no storage": fargate(ephemeralStorage={"sizeInGiB": 20}),
    "too much storage": fargate(ephemeralStorage={"sizeInGiB": 201}),
    "a variable with NUL (N4)": one(environment=[{"name": "A", "value": "a\x00b"}]),
    "a variable's name with a line end (N4)": one(environment=[{"name": "A\nB", "value": ""}]),
    "a variable without a name (N4)": one(environment=[{"name": "", "value": ""}]),
    "an equals sign in a name (N4)": one(environment=[{"name": "A=B", "value": ""}]),
    "an environment of a mebibyte (N4)": one(environment=[{"name": "A", "value": "a" * 2**20}]),
    "privileged (N5)": one(privileged=True),
    "SYS_ADMIN (N5)": linux(capabilities={"add": ["SYS_ADMIN"]}),
    "all capabilities (N5)": linux(capabilities={"add": ["ALL"]}),
    "a device (N5)": linux(devices=[{"hostPath": "/dev/kvm"}]),
    "shared memory (N5)": linux(sharedMemorySize=64),
    "a control of the whole host (N5)": one(systemControls=[{"namespace": "kernel.panic", "value": "1"}]),
    "a control with a way up (N5)": one(systemControls=[{"namespace": "net.ipv4/../../kernel.panic", "value": "1"}]),
    "a limit below its soft one (N5)": one(ulimits=[{"name": "nofile", "softLimit": 2048, "hardLimit": 1024}]),
    "a limit above every host's (N5)": one(ulimits=[{"name": "nofile", "softLimit": 10**9, "hardLimit": 10**9}]),
    "negative shares (N5)": one(cpu=-1),
    "memory of four mebibytes (N5)": one(memory=4),
    "port 65536 (N6)": ports({"containerPort": 65_536}),
    "a negative port (N6)": ports({"containerPort": -1}),
    "another host port on awsvpc (N6)": ports({"containerPort": 80, "hostPort": 8080}),
    "SCTP (N6)": ports({"containerPort": 80, "protocol": "sctp"}),
    "a host port twice (N6)": fargate(
        container("a", memory=64, portMappings=[{"containerPort": 80, "hostPort": 8080}]),
        container("b", memory=64, portMappings=[{"containerPort": 81, "hostPort": 8080}]), **BRIDGE,
    ),
}


@pytest.mark.parametrize("request_", DEFINITIONS.values(), ids=DEFINITIONS.keys())
def test_a_definition_that_cannot_run_is_refused(here, request_):
    code, message = refused(here.unchecked("ecs").register_task_definition, **request_)
    assert code in ("ClientException", "InvalidParameterException", "SerializationException"), f"{code}: {message}"
    assert message and message.isprintable() and len(message) < 1000
    families = here.ecs.list_task_definition_families(familyPrefix=request_["family"])["families"]
    assert families == []


def test_nothing_was_made_and_nothing_broke(simulated, here):
    assert [arn.rsplit("/", 1)[1] for arn in here.ecs.list_services(cluster=here.name)["serviceArns"]] == [here.served]
    assert here.tasks(here.name) == [here.running]
    assert here.logs.describe_log_groups()["logGroups"] == []
    assert simulated.http("/healthz")[0] == 200
    assert "panicked at" not in simulated.log_text()
