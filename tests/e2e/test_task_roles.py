"""Roles of tasks: the credentials that a container finds, what they are good for, and who else finds them (nobody).

What a program in a container would ask is asked from its network namespace, where boto3's own provider works too.
"""

import datetime
import json
import pathlib
import subprocess
import sys

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest
from account import container, eventually, short, unique
from conftest import IMAGES, ROOM
from test_cloudtrail import look_up, segments
from test_identity import ACCOUNT, TASKS, Bearer, allow, role, root, trusting, user

URL = "http://169.254.170.2"
VARIABLE = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
STAY = container(entryPoint=["/bin/sh", "-c"], command=["while :; do sleep 1; done"], stopTimeout=2)


def process(task):
    """A process of a task's container, by what its environment says."""
    runtime = task["containers"][0]["runtimeId"]
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = dict(pair.split("=", 1) for pair in environ.read_text().split("\0") if "=" in pair)
        except (OSError, UnicodeDecodeError):
            continue
        if variables.get("ECS_CONTAINER_METADATA_URI_V4", "").endswith(f"/{runtime}"):
            return environ.parent.name, variables
    return None


class Lent:
    """A running task, seen from inside."""

    def __init__(self, instance, role_arn=None, **fields):
        self.instance, self.account = instance, instance.account()
        fields |= {"taskRoleArn": role_arn} if role_arn else {}
        self.cluster = self.account.cluster()
        definition = self.account.define(STAY, **fields)
        self.arn = self.account.run(self.cluster, definition)[0]["taskArn"]
        self.found = None

    def running(self):
        """The process and its variables."""
        if self.found is None:
            task = self.account.until(self.cluster, self.arn, "RUNNING")
            self.found = eventually(lambda: process(task))
        return self.found

    @property
    def path(self):
        return self.running()[1].get(VARIABLE)

    def inside(self, *words):
        """What a command of this machine says in the task's network."""
        command = ["nsenter", "-t", self.running()[0], "-n", *words]
        return subprocess.run(command, text=True, capture_output=True, timeout=60)

    def ask(self, path, *words):
        """Status and body of a request in the task's network; status 0 without an answer."""
        done = self.inside("curl", "-s", "-m", "5", "-w", "\n%{http_code}", *words, URL + path)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def credentials(self):
        status, body = self.ask(self.path)
        assert status == 200, body
        return json.loads(body)

    def bearer(self):
        given = self.credentials()
        return Bearer(self.instance, given["AccessKeyId"], given["SecretAccessKey"], given["Token"])

    def stop(self):
        self.account.ecs.stop_task(cluster=self.cluster, task=self.arn)
        return self.account.until(self.cluster, self.arn, "STOPPED")


def lending(instance, *statements, trust=TASKS):
    """The ARN of a role with these policies."""
    made = role(instance, trust)
    for number, statement in enumerate(statements):
        document = json.dumps(statement)
        root(instance).client("iam").put_role_policy(RoleName=short(made), PolicyName=f"p{number}", PolicyDocument=document)
    return made


def test_a_task_may_do_what_its_role_may_until_it_stops(real):
    made = lending(real, allow("ecs:ListClusters"), allow("logs:CreateLogGroup", resource="arn:aws:logs:*:*:log-group:/mine/*"))
    task = Lent(real, made)
    given = task.credentials()
    assert sorted(given) == ["AccessKeyId", "Expiration", "RoleArn", "SecretAccessKey", "Token"]
    assert given["RoleArn"] == made and given["AccessKeyId"].startswith("ASIA")
    left = datetime.datetime.fromisoformat(given["Expiration"]) - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(minutes=30) < left <= datetime.timedelta(hours=1)
    # That the node got them is in the audit log.
    events = [event["Full"] for event in look_up(real, ResourceName=task.arn) if event["EventName"] == "AssumeRole"]
    assert {event["requestParameters"]["roleArn"] for event in events} == {made}
    assert {event["additionalEventData"]["roleType"] for event in events} == {"TaskApplication"}
    bearer = task.bearer()
    who = bearer.client("sts").get_caller_identity()
    session = f"assumed-role/{short(made)}/{short(task.arn)}"
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:{session}" and who["UserId"].endswith(f":{short(task.arn)}")
    assert bearer.client("ecs").list_clusters()["clusterArns"]
    bearer.client("logs").create_log_group(logGroupName=f"/mine/{unique()}")
    code, status, told = bearer.refused("logs", "create_log_group", logGroupName="/others")
    assert (code, status) == ("AccessDeniedException", 400) and f"{session} is not authorized" in told
    assert bearer.refused("ecs", "stop_task", cluster=task.cluster, task=task.arn)[0] == "AccessDeniedException"
    assert bearer.refused("iam", "list_users")[0] == "AccessDenied"
    task.stop()
    assert bearer.refused("ecs", "list_clusters")[0] == "UnrecognizedClientException"
    assert bearer.refused("sts", "get_caller_identity")[0] == "InvalidClientTokenId"


def test_boto3_finds_the_credentials_by_itself(real):
    task = Lent(real, lending(real, allow("ecs:ListClusters")))
    script = ("import boto3; found = boto3.Session().get_credentials(); "
              "print(found.method, found.get_frozen_credentials().access_key)")
    python = pathlib.Path(sys.executable)
    done = task.inside("env", "-i", f"{VARIABLE}={task.path}", "HOME=/nonexistent", str(python), "-c", script)
    assert done.stdout.split() == ["container-role", task.credentials()["AccessKeyId"]], done.stderr
    # So does busybox, in the container itself.
    pid, _ = task.running()
    words = ["nsenter", "-t", pid, "-a", "/bin/sh", "-c", f"wget -qO- {URL}{task.path}"]
    own = subprocess.run(words, text=True, capture_output=True, timeout=60)
    assert json.loads(own.stdout) == task.credentials(), own.stderr
    task.stop()


def test_a_task_without_a_role_has_none(real):
    task, lent = Lent(real), Lent(real, lending(real))
    assert task.path is None
    assert task.ask("/v2/credentials/")[0] == task.ask("/v1/credentials")[0] == 400
    for path in (lent.path, "/v1/credentials?id=" + short(lent.path), "/v2/credentials/0"):
        status, body = task.ask(path)
        assert status == 404 and json.loads(body)["code"] == "InvalidIdInRequest", body
    assert lent.ask("/v1/credentials?id=" + short(lent.path))[0] == 200
    assert lent.ask(lent.path, "-X", "POST")[0] == 405
    task.stop()
    lent.stop()


def test_no_other_task_reads_them_by_any_way(real):
    arn = lending(real, allow("*"))
    owner, thief = Lent(real, arn), Lent(real, arn)
    interface = owner.account.task(owner.cluster, owner.arn)["attachments"][0]["details"]
    address = next(detail["value"] for detail in interface if detail["name"] == "privateIPv4Address")
    assert owner.path != thief.path and owner.ask(owner.path)[0] == 200
    for header in ("Host: 169.254.170.2", f"Host: {address}", "Host: 127.0.0.1", f"X-Forwarded-For: {address}",
                   f"Forwarded: for={address}", f"X-Real-IP: {address}"):
        assert thief.ask(owner.path, "-H", header)[0] == 404, header
    for path in (f"{thief.path}/..{owner.path}", f"/v4/x/../..{owner.path}", owner.path.upper(), f"/{owner.path}x"):
        assert thief.ask(path, "--path-as-is")[0] == 404, path
    # From an address that is not its own it gets no answer at all.
    steal = f"ip address add {address}/32 dev lo && curl -s -m 2 --interface {address} {URL}{owner.path}; " \
            f"echo $?; ip address del {address}/32 dev lo"
    assert thief.inside("sh", "-c", steal).stdout.strip() == "28"
    for url in (f"http://[fd00:ec2::2]{owner.path}", f"http://[::ffff:169.254.170.2]{owner.path}",
                f"http://{address}{owner.path}", "http://169.254.169.254/latest/meta-data/iam/security-credentials/"):
        done = thief.inside("curl", "-s", "-g", "-m", "2", url)
        assert "SecretAccessKey" not in done.stdout, url
    outside = subprocess.run(["curl", "-s", "-m", "2", URL + owner.path], text=True, capture_output=True, timeout=60)
    assert "AccessKeyId" not in outside.stdout
    owner.stop()
    thief.stop()


def details(task):
    """Names to values of a task's interface."""
    found = task.account.task(task.cluster, task.arn)["attachments"][0]["details"]
    return {detail["name"]: detail["value"] for detail in found}


def python(task, script, *words):
    """What a script says in the task's network."""
    done = task.inside(sys.executable, *script, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_raw_sockets_lend_nobody_anothers_address(real):
    """A container may use raw sockets. These have all rights in the task's network."""
    arn = lending(real, allow("*"))
    owner, thief = Lent(real, arn), Lent(real, arn)
    assert owner.ask(owner.path)[0] == thief.ask(thief.path)[0] == 200
    theirs, own = details(owner), details(thief)
    script = [str(pathlib.Path(__file__).with_name("raw_socket.py"))]
    assert python(thief, script, own["privateIPv4Address"], "own") == "answered", "the script speaks well"
    for sender in ("own", theirs["macAddress"]):
        assert python(thief, script, theirs["privateIPv4Address"], sender) == "silent", sender
    assert owner.ask(owner.path)[0] == 200, "nobody took its address"
    owner.stop()
    thief.stop()


# Connects to an address and port, and says how that failed, or the status of a GET of a path.
CONNECT = """
import errno, socket, sys
address, port, path = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
try:
    with socket.socket(family) as to:
        to.settimeout(5)
        to.connect((address, int(port)))
        to.sendall(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n".encode())
        print(to.recv(4096).split(b" ")[1].decode())
except OSError as error:
    print(errno.errorcode.get(error.errno, type(error).__name__))
"""


def test_other_families_and_addresses_lead_to_nobodys_credentials(real):
    arn = lending(real, allow("*"))
    owner, thief = Lent(real, arn), Lent(real, arn)
    assert owner.ask(owner.path)[0] == 200

    def connect(address, path, port=80):
        return python(thief, ["-c", CONNECT], address, str(port), path)

    mapped = "::ffff:169.254.170.2"
    assert (connect(mapped, thief.path), connect(mapped, owner.path)) == ("200", "404")
    assert connect(mapped, "/latest/meta-data/iam/security-credentials/") == "404"
    for address in ("fd00:ec2::2", "fd00:ec2::254", "fd00:ec2::23", "64:ff9b::a9fe:aa02"):
        assert connect(address, owner.path) in ("ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL"), address
    # The machine's own metadata, by whatever port; another's agents; the owner itself.
    for address, port in [("169.254.169.254", 80), ("169.254.169.254", 8080), ("::ffff:169.254.169.254", 80),
                          ("169.254.170.23", 80), ("169.254.170.3", 80)]:
        assert connect(address, "/latest/meta-data/", port) == "EHOSTUNREACH", address
    assert connect(details(owner)["privateIPv4Address"], owner.path) == "ECONNREFUSED"
    for address in ("127.0.0.1", "0.0.0.0", "::1"):
        assert connect(address, owner.path) == "ECONNREFUSED", address
    owner.stop()
    thief.stop()


def test_odd_requests_for_credentials_are_refused(real):
    task = Lent(real, lending(real, allow("*")))
    path = task.path
    rows = [
        (["-H", "X: " + "y" * 20_000], path, 431), ([], path + "?" + "y" * 20_000, 431), (["-X", "PUT", "-d", "x"], path, 405),
        (["-X", "OPTIONS"], path, 405), ([], path + "%00", 404), ([], path.replace("-", "%2d"), 404),
        ([], path[:-1], 404), ([], "/v2/credentials/*", 404), ([], "/v2/credentials/" + "a" * 4000, 404),
        ([], "/v1/credentials?id=" + short(path) + "%20", 404), ([], path + "/", 200), ([], path, 200),
    ]
    for words, asked, status in rows:
        found, body = task.ask(asked, "--path-as-is", *words)
        assert found == status, (asked[:80], body)
        assert (status == 200) == ("SecretAccessKey" in body)
    task.stop()


def test_a_role_that_tasks_cannot_have_is_refused_as_ecs_does(real):
    account, cluster = real.account(), real.account().cluster()
    foreign = role(real, trusting({"Service": "ec2.amazonaws.com"}))
    elsewhere = {"ArnLike": {"aws:SourceArn": f"arn:aws:ecs:eu-west-1:{ACCOUNT}:*"}}
    narrow = role(real, trusting({"Service": "ecs-tasks.amazonaws.com"}, Condition=elsewhere))
    missing = f"arn:aws:iam::{ACCOUNT}:role/{unique()}"
    for arn in (foreign, narrow, missing):
        words = (f"ECS was unable to assume the role '{arn}' that was provided for this task. Please verify that the role "
                 "being passed has the proper trust relationship and permissions and that your IAM user has permissions "
                 "to pass this role.")
        plain = account.define(STAY)
        for definition, overrides in [
            (account.define(STAY, taskRoleArn=arn), {}), (account.define(STAY, executionRoleArn=arn), {}),
            (plain, {"taskRoleArn": arn}), (plain, {"executionRoleArn": arn}),
        ]:
            with pytest.raises(botocore.exceptions.ClientError) as error:
                account.try_run(cluster, definition, overrides=overrides)
            told = error.value.response["Error"]
            assert (told["Code"], told["Message"]) == ("ClientException", words)
    assert account.tasks(cluster) == []


def test_a_service_tells_of_such_a_role_and_starts_when_it_is_lent(real):
    account, cluster = real.account(), real.account().cluster()
    arn = role(real, trusting({"Service": "ec2.amazonaws.com"}))
    name = account.serve(cluster, account.define(STAY, taskRoleArn=arn))
    words = (f"(service {name}) failed to launch a task with (error ECS was unable to assume the role '{arn}' that was "
             "provided for this task. Please verify that the role being passed has the proper trust relationship and "
             "permissions and that your IAM user has permissions to pass this role.).")
    eventually(lambda: [event["message"] for event in account.service(cluster, name)["events"]] == [words])
    assert account.tasks(cluster) == []
    root(real).client("iam").update_assume_role_policy(RoleName=short(arn), PolicyDocument=json.dumps(TASKS))
    eventually(lambda: account.service(cluster, name)["runningCount"] == 1)
    account.ecs.delete_service(cluster=cluster, service=name, force=True)


def test_the_role_of_a_launch_comes_before_the_definitions(real):
    account, cluster = real.account(), real.account().cluster()
    made = lending(real, allow("ecs:ListClusters"))
    task = Lent.__new__(Lent)
    task.instance, task.account, task.cluster, task.found = real, account, cluster, None
    definition = account.define(STAY, taskRoleArn=lending(real))
    task.arn = account.run(cluster, definition, overrides={"taskRoleArn": made})[0]["taskArn"]
    assert task.credentials()["RoleArn"] == made
    assert task.bearer().client("ecs").list_clusters()["clusterArns"]
    task.stop()


def logging(group, **more):
    """A container that logs to a group."""
    options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "e2e"} | more
    return STAY | {"logConfiguration": {"logDriver": "awslogs", "options": options}}


@pytest.mark.parametrize("what", ["stream", "group"])
def test_a_task_stops_whose_execution_role_may_not_write_its_logs(real, what):
    account, cluster, group = real.account(), real.account().cluster(), f"/e2e/{unique()}"
    if what == "stream":
        account.logs.create_log_group(logGroupName=group)
        made, container_definition = lending(real), logging(group)
    else:
        made = lending(real, allow("logs:CreateLogStream", "logs:PutLogEvents"))
        container_definition = logging(group, **{"awslogs-create-group": "true"})
    definition = account.define(container_definition, executionRoleArn=made)
    arn = account.run(cluster, definition)[0]["taskArn"]
    task = account.until(cluster, arn, "STOPPED")
    stream = f"e2e/main/{short(arn)}" if what == "stream" else ""
    action = f"logs:CreateLog{what.capitalize()}"
    assert task["stopCode"] == "TaskFailedToStart" and task["stoppedReason"] == (
        "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to "
        f"create Cloudwatch log {what}: AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/{short(made)}/"
        f"{short(arn)} is not authorized to perform: {action} on resource: "
        f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}:log-stream:{stream} because no identity-based policy allows "
        f"the {action} action: exit status 1")
    assert account.lines(group) == []


def test_a_task_logs_by_what_its_execution_role_may(real):
    account, cluster, group = real.account(), real.account().cluster(), f"/e2e/{unique()}"
    account.logs.create_log_group(logGroupName=group)
    made = lending(real, allow("logs:CreateLogStream", "logs:PutLogEvents",
                               resource=f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}:*"))
    says = logging(group) | {"command": ["echo written; while :; do sleep 1; done"]}
    arn = account.run(cluster, account.define(says, executionRoleArn=made))[0]["taskArn"]
    eventually(lambda: account.lines(group, f"e2e/main/{short(arn)}") == ["written"])
    account.ecs.stop_task(cluster=cluster, task=arn)
    account.until(cluster, arn, "STOPPED")


def denials(instance, task):
    """Whether they were denied, of all PutLogEvents of a task's that the audit log has."""
    lines = [line for path in segments(instance) for line in path.read_text(errors="replace").splitlines()]
    puts = [line for line in lines if '"PutLogEvents"' in line and f"/{short(task)}" in line]
    return ["AccessDeniedException" in line for line in puts]


def test_lines_are_written_for_as_long_as_the_execution_role_may(real):
    account, cluster, group = real.account(), real.account().cluster(), f"/e2e/{unique()}"
    account.logs.create_log_group(logGroupName=group)
    made = lending(real, allow("logs:CreateLogStream", "logs:PutLogEvents"))
    says = logging(group) | {"command": ["n=0; while :; do n=$((n+1)); echo line $n; sleep 0.2; done"]}
    arn = account.run(cluster, account.define(says, executionRoleArn=made))[0]["taskArn"]
    stream = f"e2e/main/{short(arn)}"
    eventually(lambda: "line 3" in account.lines(group, stream))
    iam = root(real).client("iam")
    deny = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "logs:PutLogEvents", "Resource": f"arn:aws:logs:*:*:log-group:{group}:*"}]}
    iam.put_role_policy(RoleName=short(made), PolicyName="deny", PolicyDocument=json.dumps(deny))
    eventually(lambda: denials(real, arn)[-1])
    before, count = account.lines(group, stream), len(denials(real, arn))
    eventually(lambda: len(denials(real, arn)) > count + 3)
    assert all(denials(real, arn)[count - 1:]) and account.lines(group, stream) == before
    iam.delete_role_policy(RoleName=short(made), PolicyName="deny")
    eventually(lambda: len(account.lines(group, stream)) > len(before))
    account.ecs.stop_task(cluster=cluster, task=arn)
    account.until(cluster, arn, "STOPPED")


@pytest.fixture
def own(fresh):
    instance = fresh(*ROOM)
    done = instance.command("image", "import", IMAGES / "busybox.tar", "--tag", "busybox:latest")
    assert done.returncode == 0, done.stderr
    return instance


def holders(instance, *secrets):
    """Files of an instance in which one of these texts lies."""
    places = [instance.directory, *pathlib.Path("/run/longshore").glob("*")]
    words = [word for secret in secrets for word in ("-e", secret)]
    done = subprocess.run(["grep", "-rlaF", *words, *places], text=True, capture_output=True, timeout=120)
    return done.stdout.split()


def test_credentials_are_fetched_anew_by_the_next_agent_and_lie_on_no_disk(own):
    made = lending(own, allow("ecs:ListClusters"))
    task = Lent(own, made)
    before, path = task.credentials(), task.path
    own.kill()
    own.start()
    after = eventually(lambda: task.ask(path)[0] == 200 and task.credentials())
    assert after["AccessKeyId"] != before["AccessKeyId"] and after["RoleArn"] == made
    for given in (before, after):
        bearer = Bearer(own, given["AccessKeyId"], given["SecretAccessKey"], given["Token"])
        assert bearer.client("ecs").list_clusters()["clusterArns"]
        assert holders(own, given["SecretAccessKey"], given["Token"], given["Token"][:64]) == []
    # A role that is gone takes its sessions along.
    iam = root(own).client("iam")
    iam.delete_role_policy(RoleName=short(made), PolicyName="p0")
    assert task.bearer().refused("ecs", "list_clusters")[0] == "AccessDeniedException"
    iam.delete_role(RoleName=short(made))
    assert bearer.refused("ecs", "list_clusters")[0] == "UnrecognizedClientException"
    task.stop()


def knock(instance, bearer, node):
    """Status of a websocket handshake in a node's name."""
    url = f"{instance.endpoint}/acs/ws?containerInstanceArn={node.replace(':', '%3A').replace('/', '%2F')}"
    request = botocore.awsrequest.AWSRequest("GET", url)
    credentials = botocore.credentials.Credentials(bearer.key, bearer.secret, bearer.token)
    botocore.auth.SigV4Auth(credentials, "ecs", "us-east-1").add_auth(request)
    # Without its key it is no websocket: a node that may come in is told so, and no session begins.
    return instance.http(url.removeprefix(instance.endpoint), headers=dict(request.headers))[0]


def test_a_node_is_itself_however_much_others_may(own):
    ecs = root(own).client("ecs")
    [node] = ecs.list_container_instances(cluster="longshore.fargate")["containerInstanceArns"]
    task = Lent(own, lending(own, allow("*")))
    _, admin = user(own, allow("*"))
    assert admin.client("ecs").list_clusters() and task.bearer().client("ecs").list_clusters()
    key = json.loads((own.data_dir / "agent" / "node-key").read_text())
    itself = Bearer(own, key["accessKeyId"], key["secretAccessKey"])
    for bearer, status in [(task.bearer(), 403), (admin, 403), (root(own), 403), (itself, 426)]:
        assert knock(own, bearer, node) == status
    again = {"cluster": "longshore.fargate", "containerInstanceArn": node,
             "attributes": [{"name": "longshore.fargate"}],
             "totalResources": [{"name": name, "type": "INTEGER", "integerValue": 1024} for name in ("CPU", "MEMORY")]}
    code, _, told = admin.refused("ecs", "register_container_instance", **again)
    assert (code, told) == ("ClientException", "The container instance was registered by somebody else.")
    words = "A node that serves all clusters is not registered with temporary credentials."
    for request in (again, {name: value for name, value in again.items() if name != "containerInstanceArn"}):
        code, _, told = task.bearer().refused("ecs", "register_container_instance", **request)
        assert (code, told) == ("ClientException", words)
    task.stop()


def test_where_policies_are_not_asked_a_role_need_not_exist(fresh):
    instance = fresh(*ROOM, "--auth", "permissive")
    done = instance.command("image", "import", IMAGES / "busybox.tar", "--tag", "busybox:latest")
    assert done.returncode == 0, done.stderr
    none = Lent(instance, f"arn:aws:iam::{ACCOUNT}:role/none")
    some = Lent(instance, lending(instance, trust=trusting({"Service": "ec2.amazonaws.com"})))
    assert none.path is None
    who = some.bearer().client("sts").get_caller_identity()
    assert who["Arn"].endswith(f"/{short(some.arn)}")
    # The lines of another account's task are that account's.
    other, group = instance.account("123456789012"), f"/e2e/{unique()}"
    other.logs.create_log_group(logGroupName=group)
    says = logging(group) | {"command": ["echo other"]}
    definition = other.define(says, executionRoleArn="arn:aws:iam::123456789012:role/none")
    other.run(other.cluster(), definition)
    eventually(lambda: other.lines(group) == ["other"])
    none.stop()
    some.stop()
