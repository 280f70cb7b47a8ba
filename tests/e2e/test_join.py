"""Machines become nodes: a token, good once; a key that is one node's; what the key may do, and when it is void."""

import base64
import json
import os
import socket
import stat

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from account import container, eventually, short
from caller import Caller, Refused
from conftest import free_port
from half import Half
from refusal import refused
from test_cloudtrail import look_up, segments, verify
from test_identity import Bearer, allow, root, user
from test_task_roles import holders, lending

FARGATE = "longshore.fargate"
TARGET = "Longshore_20261121"


class Halves:
    """A control plane and the machines beside it."""

    def __init__(self):
        self.server, self.machines = Half("server").start(), []

    def token(self, *words):
        done = self.server.command("join-token", "create", *words, check=True)
        assert "good once, for arn:aws:ecs:" in done.stderr
        return done.stdout.strip()

    def machine(self, token=None):
        machine = Half("agent", self.server.port, "--engine", "simulated")
        self.machines.append(machine)
        if token:
            file = machine.directory / "token"
            file.write_text(token + "\n")
            machine.flags += ["--join-token", str(file)]
        return machine

    def nodes(self):
        """ARN to status and whether it is connected."""
        ecs = self.server.client("ecs")
        arns = ecs.list_container_instances(cluster=FARGATE)["containerInstanceArns"]
        found = arns and ecs.describe_container_instances(cluster=FARGATE, containerInstances=arns)["containerInstances"]
        return {one["containerInstanceArn"]: (one["status"], one["agentConnected"]) for one in found}

    def connected(self, machine):
        """The ARN of a machine that has joined, once it is there."""
        machine.start(wait=False)
        arn = eventually(lambda: kept(machine) and self.bearer(machine).client("sts").get_caller_identity()["Arn"])
        eventually(lambda: self.nodes().get(arn) == ("ACTIVE", True))
        return arn

    def bearer(self, machine):
        return Bearer(self.server, kept(machine)["accessKeyId"], kept(machine)["secretAccessKey"])

    def join(self, token, client="c" * 32):
        """Status and answer of JoinNode."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.JoinNode",
                   "authorization": f"LONGSHORE-JOIN {token}"}
        body = json.dumps({"clientToken": client}).encode()
        status, answer, _ = self.server.http("/", "POST", body, headers)
        return status, json.loads(answer)

    def deregister(self, arn):
        self.server.client("ecs").deregister_container_instance(cluster=FARGATE, containerInstance=arn)

    def remove(self):
        for machine in [*self.machines, self.server]:
            machine.remove()


def kept(machine):
    """The key of a machine; nothing while it has none."""
    file = machine.data_dir / "agent" / "node-key"
    text = json.loads(file.read_text()) if file.exists() else {}
    return text if text.get("secretAccessKey") else None


def ended(machine):
    """Why a machine's agent ended."""
    assert machine.process.wait(timeout=120) != 0
    return machine.log_text().splitlines()[-1]


class Channel:
    """A node's channel, opened by hand."""

    def __init__(self, instance, key, node, path="acs"):
        name = "containerInstanceArn" if path == "acs" else "containerInstance"
        url = f"/{path}/ws?{name}={node.replace(':', '%3A').replace('/', '%2F')}"
        request = botocore.awsrequest.AWSRequest("GET", instance.endpoint + url)
        credentials = botocore.credentials.Credentials(key["accessKeyId"], key["secretAccessKey"])
        botocore.auth.SigV4Auth(credentials, "ecs", "us-east-1").add_auth(request)
        lines = [f"GET {url} HTTP/1.1", f"host: 127.0.0.1:{instance.port}", "connection: upgrade", "upgrade: websocket",
                 "sec-websocket-version: 13", f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}"]
        lines += [f"{name}: {value}" for name, value in dict(request.headers).items()]
        self.socket = socket.create_connection(("127.0.0.1", instance.port), timeout=120)
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.exactly(1)
        self.status = int(head.split()[1])

    def send(self, kind, message):
        self.say(json.dumps({"type": kind, "message": message}).encode())

    def say(self, text):
        """One frame of text, masked as a client's must be: with zeros, which change nothing."""
        self.socket.sendall(b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError
            data += piece
        return data

    def frame(self):
        """The next frame's message; None when the other side closes."""
        first, second = self.exactly(2)
        length = second & 127
        length = int.from_bytes(self.exactly({126: 2, 127: 8}[length]), "big") if length > 125 else length
        data = self.exactly(length)
        return None if first & 15 == 8 else json.loads(data)

    def heard(self, kind):
        """The next message of a type; others are passed over."""
        while True:
            frame = self.frame()
            assert frame is not None, "the channel was closed"
            if frame["type"] == kind:
                return frame["message"]

    def parting(self):
        """Waits for the end; the last words."""
        words = None
        try:
            while (frame := self.frame()) is not None:
                words = frame["message"].get("message") if frame["type"] == "CloseMessage" else words
        except ConnectionError:
            pass
        return words


@pytest.fixture(scope="module")
def halves():
    made = Halves()
    # The shortest that there is; looked at when the other tests are done.
    made.aged = made.token("--expires-in", "60")
    yield made
    made.remove()


def test_a_machine_joins_once_and_comes_back_as_the_same_node(halves):
    token = halves.token()
    machine = halves.machine(token)
    arn = halves.connected(machine)
    file = machine.data_dir / "agent" / "node-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (machine.data_dir / "root-key").exists()
    key = kept(machine)
    assert holders(halves.server, token, key["secretAccessKey"], key["clientToken"]) == []
    assert holders(machine, key["secretAccessKey"]) == [str(file)]
    # Its agent dies, and the token is no more: the key is enough.
    machine.kill()
    (machine.directory / "token").unlink()
    assert halves.connected(machine) == arn and kept(machine) == key
    account = halves.server.account()
    task = account.run(account.cluster(), account.define())[0]["taskArn"]
    account.until(task.split("/")[1], task, "RUNNING")
    # Whoever comes second is refused, with the token or with an answer that is not its own.
    other = halves.machine(token).start(wait=False)
    assert "JoinNode: AccessDeniedException: The join token was used." in ended(other)
    assert kept(other) is None
    assert halves.join(token)[1] == {
        "__type": "AccessDeniedException", "message": "The join token was used."}
    account.ecs.stop_task(cluster=task.split("/")[1], task=task)
    account.until(task.split("/")[1], task, "STOPPED")


def test_what_is_no_token_is_refused(halves):
    token = halves.token()
    for wrong in ("x", token[:-1], token + "0", token.upper(), "x" * 10_000, "longshore-join-" + "0" * 64):
        status, answer = halves.join(wrong)
        assert (status, answer["__type"].split("#")[-1]) == (400, "UnrecognizedClientException"), wrong
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.JoinNode"}
    status, answer, _ = halves.server.http("/", "POST", b"{}", headers)
    assert status == 400 and b"MissingAuthenticationToken" in answer
    # A token opens nothing else.
    headers |= {"authorization": f"LONGSHORE-JOIN {token}", "x-amz-target": f"{TARGET}.CreateJoinToken"}
    for target in (f"{TARGET}.CreateJoinToken", "AmazonEC2ContainerServiceV20141113.ListClusters"):
        status, answer, _ = halves.server.http("/", "POST", b"{}", headers | {"x-amz-target": target})
        assert status == 400 and b"UnrecognizedClientException" in answer, answer
    assert halves.server.http("/acs/ws?containerInstanceArn=x", headers=headers)[0] == 403
    for client in ("", "short", "x" * 65, "x" * 32 + "\n", "ä" * 32):
        status, answer = halves.join(token, client)
        assert (status, answer["__type"].split("#")[-1]) == (400, "ValidationException"), client
    machine = halves.machine()
    assert "this machine is no node yet: give it a token of `longshore join-token create`" in ended(machine.start(wait=False))
    assert halves.join(token)[0] == 200, "what was refused has not used it"


def test_an_agent_that_finds_nobody_says_so_and_goes_on(halves):
    machine = halves.machine(halves.token())
    there, machine.port = machine.port, free_port()
    machine.start(wait=False)
    told = "this node is waiting for the control plane error=JoinNode: the control plane at 127.0.0.1"
    eventually(lambda: told in machine.log_text())
    assert machine.process.poll() is None and machine.log_text().count("is waiting for") == 1
    machine.stop()
    machine.port = there
    halves.connected(machine)


def test_a_key_is_good_for_being_its_node_and_nothing_else(halves):
    machine, beside = halves.machine(halves.token()), halves.machine(halves.token())
    own, other = halves.connected(machine), halves.connected(beside)
    bearer = halves.bearer(machine)
    for service, operation, given in [
        ("ecs", "list_clusters", {}), ("ecs", "list_container_instances", {"cluster": FARGATE}),
        ("ecs", "describe_container_instances", {"cluster": FARGATE, "containerInstances": [own]}),
        ("ecs", "deregister_container_instance", {"cluster": FARGATE, "containerInstance": own}),
        ("ecs", "run_task", {"taskDefinition": "x"}), ("ecs", "list_tags_for_resource", {"resourceArn": other}),
        ("ecs", "register_task_definition", {"family": "x", "containerDefinitions": [container()]}),
        ("logs", "describe_log_groups", {}), ("logs", "create_log_group", {"logGroupName": "/mine"}),
        ("logs", "put_log_events", {"logGroupName": "/x", "logStreamName": "y", "logEvents": [{"timestamp": 1, "message": "m"}]}),
        ("secretsmanager", "list_secrets", {}), ("ssm", "get_parameter", {"Name": "/x"}),
        ("kms", "list_keys", {}), ("cloudtrail", "lookup_events", {}),
    ]:
        code, _, told = bearer.refused(service, operation, **given)
        assert code == "AccessDeniedException" and f"User: {own} is not authorized" in told, (operation, code, told)
    for service, operation, given in [
        ("iam", "create_user", {"UserName": "mallory"}), ("iam", "create_access_key", {}), ("sts", "get_session_token", {}),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::000000000000:role/x", "RoleSessionName": "x1"}),
    ]:
        assert bearer.refused(service, operation, **given)[0] == "AccessDenied", operation
    again = {"cluster": FARGATE, "containerInstanceArn": other, "attributes": [{"name": "longshore.fargate"}],
             "totalResources": [{"name": name, "type": "INTEGER", "integerValue": 1024} for name in ("CPU", "MEMORY")]}
    assert bearer.refused("ecs", "register_container_instance", **again)[0] == "AccessDeniedException"
    # Nor is anybody else the node: not the root itself.
    code, _, told = root(halves.server).refused("ecs", "register_container_instance", **again)
    assert (code, told) == ("ClientException", "The container instance was registered by somebody else.")
    for path in ("acs", "tcs"):
        assert Channel(halves.server, kept(machine), other, path).status == 403
        environment = halves.server.environment()
        mine = {"accessKeyId": environment["AWS_ACCESS_KEY_ID"], "secretAccessKey": environment["AWS_SECRET_ACCESS_KEY"]}
        assert Channel(halves.server, mine, other, path).status == 403
    # It reports the tasks of its own, and gets credentials for no other's.
    account = halves.server.account()
    cluster = account.cluster()
    tasks = [account.run(cluster, account.define())[0]["taskArn"] for _ in range(12)]
    for task in tasks:
        account.until(cluster, task, "RUNNING")
    reported = [task for task in tasks if not foreign(bearer, task)]
    assert 0 < len(reported) < len(tasks), "both nodes have tasks"
    channel = Channel(halves.server, kept(machine), own)
    for task in tasks:
        wanted = {"messageId": "m", "taskArn": task, "roleType": "TaskApplication", "credentialsId": "x"}
        channel.send("TaskCredentialsRequest", wanted)
        refusal = channel.heard("TaskCredentialsRefusal")
        assert refusal["taskArn"] == task
        assert (refusal["reason"] == "the task has no such role") == (task in reported), refusal
    for task in tasks:
        account.ecs.stop_task(cluster=cluster, task=task)


def foreign(bearer, task):
    """Whether a node may not report on a task."""
    try:
        bearer.client("ecs").submit_task_state_change(task=task, status="RUNNING")
    except bearer.client("ecs").exceptions.ClientError as error:
        assert error.response["Error"]["Message"] == "The referenced task was not found."
        return True
    return False


def test_who_makes_tokens_is_for_policies_to_say(halves):
    _, nobody = user(halves.server)
    _, clerk = user(halves.server, allow("longshore:CreateJoinToken"))
    caller = Caller(halves.server, "")
    for bearer, may in ((nobody, False), (clerk, True)):
        caller.credentials = botocore.credentials.Credentials(bearer.key, bearer.secret)
        try:
            answer = caller.call("longshore", "CreateJoinToken")
        except Refused as error:
            assert not may and "AccessDeniedException" in str(error) and "longshore:CreateJoinToken" in str(error)
        else:
            assert may and answer["joinToken"].startswith("longshore-join-")
    for given in ({"expiresInSeconds": 59}, {"expiresInSeconds": 86401}, {"containerInstance": "../x"},
                  {"containerInstance": "x" * 300}, {"expiresInSeconds": []}):
        with pytest.raises(Refused, match="400 .*(ValidationException|SerializationException)"):
            caller.call("longshore", "CreateJoinToken", **given)
    done = halves.server.command("join-token", "create", "--instance", "nobody")
    assert done.returncode != 0 and "ValidationException" in done.stderr and done.stdout == ""


def test_a_newer_session_of_a_key_ends_the_older(halves):
    status, joined = halves.join(halves.token())
    assert status == 200
    own = joined["containerInstanceArn"]
    bearer = Bearer(halves.server, joined["accessKeyId"], joined["secretAccessKey"])
    offer = {"cluster": FARGATE, "attributes": [{"name": "longshore.fargate"}],
             "totalResources": [{"name": name, "type": "INTEGER", "integerValue": 1024} for name in ("CPU", "MEMORY")]}
    assert Channel(halves.server, joined, own).status == 400, "it has not registered"
    registered = bearer.client("ecs").register_container_instance(**offer)["containerInstance"]
    assert registered["containerInstanceArn"] == own
    first = Channel(halves.server, joined, own)
    assert first.heard("TaskManifestMessage")["containerInstanceArn"] == own
    second = Channel(halves.server, joined, own)
    assert (first.status, second.status) == (101, 101)
    second.heard("TaskManifestMessage")
    first.parting()
    assert halves.nodes()[own] == ("ACTIVE", True), "the newer one goes on"
    # The channel of telemetry beside it is one too.
    telemetry = measuring(halves.server, joined, own)
    newer = measuring(halves.server, joined, own)
    telemetry.parting()
    newer.send("PublishMetricsRequest", {})
    assert newer.heard("AckPublishMetric")
    # What the key opened ends with the key.
    halves.deregister(own)
    assert "InactiveInstance" in second.parting()
    newer.send("PublishMetricsRequest", {})
    newer.parting()
    assert bearer.refused("ecs", "discover_poll_endpoint")[0] == "UnrecognizedClientException"
    assert Channel(halves.server, joined, own).status == 403


def measuring(server, key, node):
    """A node's channel of telemetry that the control plane listens to."""
    channel = Channel(server, key, node, "tcs")
    channel.send("PublishMetricsRequest", {})
    assert channel.heard("AckPublishMetric")
    return channel


def dropped(server, node, channel):
    """What the audit log says of dropped messages of a node: how many of each kind, the tasks named, and in how many records."""
    events = [event["Full"] for event in look_up(server, EventName="AgentMessagesDropped")]
    events = [event for event in events if event["resources"][0]["ARN"] == node]
    details = [event["serviceEventDetails"] for event in events if event["serviceEventDetails"]["channel"] == channel]
    tasks = {named["ARN"] for event in events for named in event["resources"][1:]}
    return {kind: sum(one[kind] for one in details) for kind in ("unreadable", "unknownType", "foreignTask")}, tasks, len(details)


def test_what_makes_no_sense_in_a_session_is_dropped_and_what_is_foreign_is_refused(halves):
    machine, beside = halves.machine(halves.token()), halves.machine(halves.token())
    own, other = halves.connected(machine), halves.connected(beside)
    account = halves.server.account()
    cluster = account.cluster()
    tasks = [account.run(cluster, account.define())[0]["taskArn"] for _ in range(12)]
    for task in tasks:
        account.until(cluster, task, "RUNNING")
    beside.stop(), machine.stop()
    channel = Channel(halves.server, kept(machine), own)
    timeline = channel.heard("TaskManifestMessage")
    for text in (b"", b"{", b"[]", b"null", b"\x00", b"{}", b'{"type":1,"message":{}}', b'{"type":"AckRequest"}', b"[" * 50_000,
                 b'{"type":"Payload","message":{}}', b'{"type":"AckRequest","message":{"messageId":"of-nobody"}}',
                 json.dumps({"type": "TaskManifestMessage", "message": timeline}).encode(),
                 b'{"type":"TaskStateChangesMessage","message":{"messageId":"m","changes":{}}}',
                 json.dumps({"type": "x" * 100_000, "message": {"y": "z" * 1_000_000}}).encode()):
        channel.say(text)
    # None of it was for another node, nor ended the session; what is about another's tasks changes nothing.
    changes = [{"task": task, "status": "STOPPED"} for task in tasks]
    channel.send("TaskStateChangesMessage", {"messageId": "all", "containerInstance": other, "changes": changes})
    refused = {one["task"] for one in channel.heard("TaskStateChangesAck")["refused"]}
    assert 0 < len(refused) < len(tasks), "both nodes have tasks"
    for task in account.ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"]:
        assert (task["lastStatus"] == "STOPPED") == (task["taskArn"] not in refused), task["taskArn"]
    # A frame beyond any bound ends the session, and that alone.
    channel.socket.sendall(b"\x81\xff" + (100 * 1024 * 1024).to_bytes(8, "big") + bytes(4))
    channel.parting()
    assert halves.server.http("/healthz")[0] == 200
    # All that was dropped is counted in the audit log, in few records.
    eventually(lambda: dropped(halves.server, own, "ACS")[0] == {
        "unreadable": 11, "unknownType": 3, "foreignTask": len(refused)})
    assert dropped(halves.server, own, "ACS")[1] <= refused and dropped(halves.server, own, "ACS")[2] <= 3
    telemetry, foreign = measuring(halves.server, kept(machine), own), sorted(refused)[0]
    health = [{"taskArn": foreign, "containers": [{"containerName": "main", "healthStatus": "UNHEALTHY"}]}]
    for _ in range(200):
        telemetry.send("PublishHealthRequest", {"tasks": health})
        telemetry.heard("AckPublishHealth")
    telemetry.say(b"{"), telemetry.say(b'{"type":"x","message":{}}')
    telemetry.socket.close()
    eventually(lambda: dropped(halves.server, own, "TCS")[0] == {"unreadable": 1, "unknownType": 1, "foreignTask": 200})
    assert foreign in dropped(halves.server, own, "TCS")[1] and dropped(halves.server, own, "TCS")[2] <= 3
    assert account.task(cluster, foreign).get("healthStatus") != "UNHEALTHY"
    assert halves.connected(machine) == own and halves.connected(beside) == other
    for task in refused:
        account.ecs.stop_task(cluster=cluster, task=task)


def assumed(server, task):
    """The lines of the audit log in which a role is assumed for a task, as they are on the disk."""
    lines = [line for path in segments(server) for line in path.read_text(errors="replace").splitlines()]
    return [line for line in lines if '"AssumeRole"' in line and f'"{task}"' in line]


def test_credentials_that_a_node_gets_for_a_task_are_recorded_before_it_gets_them(halves):
    machine, beside = halves.machine(halves.token()), halves.machine(halves.token())
    own, other = halves.connected(machine), halves.connected(beside)
    account = halves.server.account()
    cluster, lent = account.cluster(), lending(halves.server, allow("ecs:ListClusters"))
    tasks = [account.run(cluster, account.define(taskRoleArn=lent))[0]["taskArn"] for _ in range(12)]
    for task in tasks:
        account.until(cluster, task, "RUNNING")
    beside.stop(), machine.stop()
    channel = Channel(halves.server, kept(machine), own)
    held = [task["taskArn"] for task in channel.heard("TaskManifestMessage")["tasks"]]
    mine, foreign = held[0], next(task for task in tasks if task not in held)
    before = {task: len(assumed(halves.server, task)) for task in tasks}
    # Many at once, with one in between that is another node's.
    asked = [*held, foreign, *held]
    for number, task in enumerate(asked):
        channel.send("TaskCredentialsRequest", {
            "messageId": str(number), "taskArn": task, "roleType": "TaskApplication", "credentialsId": "c"})
    answers = {}
    while len(answers) < len(asked):
        frame = channel.frame()
        if frame["type"] in ("IAMRoleCredentialsMessage", "TaskCredentialsRefusal"):
            answers[int(frame["message"]["messageId"])] = frame
    # As soon as the answers are there, so are the records; reading them flushes nothing.
    for task in held:
        assert len(assumed(halves.server, task)) == before[task] + 2, task
    assert len(assumed(halves.server, foreign)) == before[foreign]
    refusal = answers.pop(len(held))
    assert refusal["type"] == "TaskCredentialsRefusal" and refusal["message"]["taskArn"] == foreign
    given = [answer["message"]["roleCredentials"] for answer in answers.values()]
    assert len({one["accessKeyId"] for one in given}) == len(given) and {one["roleArn"] for one in given} == {lent}
    event = next(event["Full"] for event in look_up(halves.server, ResourceName=mine) if event["EventName"] == "AssumeRole")
    assert event["userIdentity"] == {"type": "AWSService", "invokedBy": "ecs-tasks.amazonaws.com"}
    assert event["requestParameters"] == {"roleArn": lent, "roleSessionName": short(mine)}
    assert [named["ARN"] for named in event["resources"]] == [lent, mine, own]
    assert event["additionalEventData"] == {"roleType": "TaskApplication"} and event["eventSource"] == "sts.amazonaws.com"
    assert event["eventID"] in [one["EventId"] for one in look_up(halves.server, EventName="AssumeRole")]
    for one in (given[0], given[-1]):
        assert holders(halves.server, one["secretAccessKey"], one["sessionToken"], one["sessionToken"][:64]) == []
    # A role that is not there any more is not lent, and that is recorded too.
    iam = root(halves.server).client("iam")
    iam.delete_role_policy(RoleName=short(lent), PolicyName="p0")
    iam.delete_role(RoleName=short(lent))
    channel.send("TaskCredentialsRequest", {
        "messageId": "gone", "taskArn": mine, "roleType": "TaskApplication", "credentialsId": "c"})
    assert "unable to assume the role" in channel.heard("TaskCredentialsRefusal")["reason"]
    assert '"errorCode":"AccessDenied"' in assumed(halves.server, mine)[-1]
    channel.socket.close()
    eventually(lambda: dropped(halves.server, own, "ACS")[0]["foreignTask"] == 1)
    assert dropped(halves.server, own, "ACS")[1] == {foreign}
    assert halves.connected(machine) == own and halves.connected(beside) == other
    for task in tasks:
        account.ecs.stop_task(cluster=cluster, task=task)
    halves.server.kill()
    code, told = verify(halves.server)
    assert code == 0, told
    halves.server.start()


def test_deregistering_voids_the_key_until_it_joins_again_by_name(halves):
    machine = halves.machine(halves.token())
    own, before = halves.connected(machine), kept(machine)
    halves.deregister(own)
    assert "the key of this node is void" in ended(machine)
    assert halves.bearer(machine).refused("sts", "get_caller_identity")[0] == "InvalidClientTokenId"
    machine.start(wait=False)
    assert "The join token was used." in ended(machine)
    # Another machine takes the name; the one of before is nobody.
    heir = halves.machine(halves.token("--instance", short(own)))
    assert halves.connected(heir) == own
    assert kept(heir)["secretAccessKey"] != before["secretAccessKey"]
    old = Bearer(halves.server, before["accessKeyId"], before["secretAccessKey"])
    assert old.refused("ecs", "discover_poll_endpoint")[0] == "InvalidSignatureException"
    # So while it is there: it goes when its name is given away.
    assert halves.join(halves.token("--instance", own))[0] == 200
    assert "refuses this node" in ended(heir)


def test_what_was_used_is_used_after_kill_nine(halves):
    token, unused = halves.token(), halves.token()
    machine = halves.machine(token)
    own = halves.connected(machine)
    late = halves.machine(unused)
    halves.server.kill()
    late.start(wait=False)
    halves.server.start()
    eventually(lambda: halves.nodes().get(own) == ("ACTIVE", True))
    assert halves.join(token)[1]["message"] == "The join token was used."
    arn = eventually(lambda: kept(late) and halves.bearer(late).client("sts").get_caller_identity()["Arn"])
    assert arn != own
    # A join whose answer was lost is the same join, also for the next control plane.
    token = halves.token()
    status, first = halves.join(token)
    halves.server.kill()
    halves.server.start()
    assert (status, halves.join(token)) == (200, (200, first))
    assert halves.join(token, "d" * 32)[0] == 400


def test_joins_are_recorded_without_their_secrets(halves):
    token = halves.token()
    _, joined = halves.join(token)
    trail = halves.server.client("cloudtrail")

    def record(name):
        events = trail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}])["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in events]
        own = [one for one in records if joined["containerInstanceArn"] in json.dumps(one)]
        return own[0] if own else None

    refused_knock = Channel(halves.server, joined, joined["containerInstanceArn"])
    assert refused_knock.status == 400, "it has not registered"
    poll = eventually(lambda: record("Poll"))
    assert (poll["errorCode"], poll["eventSource"]) == ("InactiveInstanceException", "ecs.amazonaws.com")
    assert poll["userIdentity"]["arn"] == joined["containerInstanceArn"]
    made, used = (eventually(lambda name=name: record(name)) for name in ("CreateJoinToken", "JoinNode"))
    assert made["eventSource"] == "longshore.amazonaws.com" and made["userIdentity"]["type"] == "Root"
    assert used["userIdentity"]["type"] == "ContainerInstance"
    assert used["userIdentity"]["arn"] == joined["containerInstanceArn"]
    hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert made["responseElements"]["joinToken"] == used["responseElements"]["secretAccessKey"] == hidden
    assert used["requestParameters"] == {"clientToken": hidden}
    assert holders(halves.server, token, joined["secretAccessKey"]) == []


def test_the_node_of_up_is_a_node_like_others(fresh):
    instance = fresh("--engine", "simulated")
    account = instance.account()
    [own] = account.ecs.list_container_instances(cluster=FARGATE)["containerInstanceArns"]
    key = kept(instance)
    bearer = Bearer(instance, key["accessKeyId"], key["secretAccessKey"])
    assert bearer.client("sts").get_caller_identity()["Arn"] == own
    assert bearer.refused("ecs", "list_clusters")[0] == "AccessDeniedException"
    instance.stop()
    instance.start()
    assert kept(instance) == key and account.ecs.list_container_instances(cluster=FARGATE)["containerInstanceArns"] == [own]
    # Deregistered, it stays away until the next start, and the control plane stays.
    account.ecs.deregister_container_instance(cluster=FARGATE, containerInstance=own)
    eventually(lambda: "goes on without a node" in instance.log_text())
    assert instance.http("/readyz")[0] == 503 and account.ecs.list_clusters()["clusterArns"] == []
    instance.stop()
    instance.start()
    assert account.ecs.list_container_instances(cluster=FARGATE)["containerInstanceArns"] == [own]
    assert kept(instance)["secretAccessKey"] != key["secretAccessKey"]


def test_permissive_instances_have_nodes_with_keys_too(simulated):
    key = kept(simulated)
    assert key["accessKeyId"].startswith("NODE")
    assert refused(simulated.client("ecs", "NODE" + "0" * 32).list_clusters)[0] == "UnrecognizedClientException"


def test_a_token_is_no_good_after_its_time(halves):
    answer = eventually(lambda: (halves.join(halves.aged, "e" * 32)[1] if expired(halves) else None), every=1)
    # It is forgotten soon after.
    assert answer["__type"].split("#")[-1] in ("ExpiredTokenException", "UnrecognizedClientException")
    machine = halves.machine(halves.aged).start(wait=False)
    assert "JoinNode: " in ended(machine) and kept(machine) is None


def expired(halves):
    """Whether the token's minute is over, by the control plane's clock; a join that is not well-formed does not use it."""
    return halves.join(halves.aged, "short")[1]["__type"].split("#")[-1] != "ValidationException"
